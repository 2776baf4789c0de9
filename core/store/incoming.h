/* A file that comes piece by piece (an upload): nobody finds it under its name before all of it is on the disk.
 *
 * Until then it is NAME.part beside it, made for itself alone, so that of two who bring the same file one is refused.
 * Always true: NAME is only ever a whole file, and an existing one is never replaced. What is dropped leaves nothing; a
 * crash may leave a NAME.part, which nothing here opens again (remove it when no server runs on that directory). */
#ifndef STORE_INCOMING_H
#define STORE_INCOMING_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct incoming;

enum incoming_result {
	INCOMING_OK,
	INCOMING_EXISTS, /* there is such a file, or somebody is bringing it */
	INCOMING_FULL,   /* the disk has no room for it */
	INCOMING_FAILED, /* error_r says why */
};

/* Room for `size` bytes is taken on the disk where the file system can do that ahead. name: of a file in the directory,
 * without a slash; it exists already. */
enum incoming_result incoming_open(const char *directory, const char *name, uint64_t size,
				   struct incoming **incoming_r, struct error *error_r);
/* Drops the file unless it was finished. */
void incoming_free(struct incoming **incoming);

/* The next bytes; INCOMING_FAILED too when they are more than was announced. */
enum incoming_result incoming_write(struct incoming *incoming, struct slice bytes, struct error *error_r);
uint64_t incoming_written(const struct incoming *incoming);

/* All has come: makes it durable and gives it its name. Waits for the disk, maybe for seconds; may be called on any
 * thread while no other call is made. INCOMING_FAILED too when bytes are missing. */
enum incoming_result incoming_finish(struct incoming *incoming, struct error *error_r);

#endif
