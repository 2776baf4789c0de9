/* Memory that never returns NULL. An allocation that fails ends the program with a message: sizes a peer chose are
 * checked against a limit before they reach these functions, so a failure means the machine is out of memory. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/slice.h"

/* Ends the program as an allocation that fails does; for when one of somebody else's library has. */
_Noreturn void mem_exhausted(void);

/* Gives `size` zeroed bytes. */
void *mem_new(size_t size);

/* Gives the block with a new size; bytes beyond the old size are undefined. old may be NULL. */
void *mem_resize(void *old, size_t size);

/* Gives a NUL-terminated copy. */
char *mem_copy(struct slice text);

/* Frees; NULL is fine. */
void mem_free(void *block);


/* Gives back to the system what is resident but not in use: free memory between blocks, and pages of code (which come
 * back when they run). Costs milliseconds: for quiet moments. */
void mem_trim(void);

/* Bytes of the heap in use now, as the C library counts them (for metrics and leak specs). */
size_t mem_in_use(void);

#endif
