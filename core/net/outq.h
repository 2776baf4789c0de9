/* The output that waits for its socket: bytes in chained chunks. Chunks come from a pool that all connections share,
 * so a connection with nothing to say holds no buffer. */
#ifndef NET_OUTQ_H
#define NET_OUTQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"

struct chunk;

/* Zeroed: empty. */
struct chunk_pool {
	struct chunk *first;
	size_t count;
};

/* Zeroed: empty. */
struct outq {
	struct chunk *head, *tail;
	size_t bytes;
};

void chunk_pool_done(struct chunk_pool *pool);

/* Appends a copy. The ceiling is the caller's to check. */
void outq_add(struct outq *outq, struct chunk_pool *pool, struct slice bytes);

/* Contiguous space for max bytes; what was used of it is then appended by outq_commit, with nothing in between. */
char *outq_reserve(struct outq *outq, struct chunk_pool *pool, size_t max, struct chunk **reserved_r);
void outq_commit(struct outq *outq, struct chunk_pool *pool, struct chunk *reserved, size_t used);

/* The first bytes, at most max, as at most `count` pieces; how many pieces. */
size_t outq_pieces(const struct outq *outq, size_t max, struct iovec *pieces, size_t count);
/* The first bytes in one piece, at most max; copied to scratch (of max bytes) only when they lie in several chunks. */
struct slice outq_front(const struct outq *outq, char *scratch, size_t max);

/* Forgets the first n bytes. */
void outq_consume(struct outq *outq, struct chunk_pool *pool, size_t n);
/* Forgets all but the first n bytes. */
void outq_cut(struct outq *outq, struct chunk_pool *pool, size_t n);
void outq_clear(struct outq *outq, struct chunk_pool *pool);

#endif
