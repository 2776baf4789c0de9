/* Time. Timers and time-outs use the monotonic clock; what is shown or stored uses the wall clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Monotonic milliseconds since an arbitrary start. */
int64_t clock_ms(void);
/* The same in nanoseconds, for measuring. */
int64_t clock_ns(void);
/* Seconds since 1970-01-01 UTC, with a fraction. */
double clock_wall(void);

#endif
