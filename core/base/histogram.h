/* How long things take: counts of durations in buckets whose bounds go 1, 2, 5, 10 ... from 10 µs to 10 s. Counting is
 * a few compares and an addition; nothing is allocated. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 19 };

/* Zeroed: empty. */
struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* durations above the bound before and up to this one; last: longer */
	uint64_t sum_ns;
};

/* The upper bound of a bucket, nanoseconds; i < HISTOGRAM_BOUNDS. */
int64_t histogram_bound_ns(unsigned i);
/* Counts one duration; a negative one counts as none at all. */
void histogram_add(struct histogram *histogram, int64_t duration_ns);

#endif
