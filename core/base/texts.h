/* A queue of texts, the oldest first: what waits for long and must not weigh on anybody meanwhile. Each text is a block
 * of its own, so that memory comes and goes with it, a piece at a time. It sets no limit itself: who adds looks at
 * `bytes` first. */
#ifndef BASE_TEXTS_H
#define BASE_TEXTS_H

#include <stddef.h>

#include "base/slice.h"

struct text;

struct texts {
	struct text *first, *last;
	size_t n, bytes; /* of all texts together */
};

void texts_init(struct texts *texts);
/* Frees all texts; the queue is as after texts_init. */
void texts_done(struct texts *texts);

/* Copies the text to the end. */
void texts_add(struct texts *texts, struct slice text);
/* The oldest, borrowed until it is dropped; ptr NULL when there is none. */
struct slice texts_first(const struct texts *texts);
/* Harmless when there is none. */
void texts_drop_first(struct texts *texts);
/* Moves the n oldest (or all there are) of `from` to the end of `to`, another queue. */
void texts_move(struct texts *to, struct texts *from, size_t n);

#endif
