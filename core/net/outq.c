/* Always true: bytes is the sum over the chunks; no chunk of a queue is empty; tail means something while head is
 * set. */
#include "net/outq.h"

#include <assert.h>

#include "base/mem.h"

struct chunk {
	struct chunk *next;
	uint32_t start, end, size; /* data[start..end) waits, data[end..size) is free */
	char data[];
};

enum {
	CHUNK_BYTES = 4096,
	PAYLOAD = CHUNK_BYTES - sizeof(struct chunk),
	MAX_POOLED = 1024, /* 4 MiB */
};

static struct chunk *take(struct chunk_pool *pool)
{
	struct chunk *chunk = pool->first;
	if (chunk != NULL) {
		pool->first = chunk->next;
		pool->count--;
	} else {
		chunk = mem_resize(NULL, CHUNK_BYTES);
		chunk->size = PAYLOAD;
	}
	chunk->next = NULL;
	chunk->start = chunk->end = 0;
	return chunk;
}

static void give_back(struct chunk_pool *pool, struct chunk *chunk)
{
	if (chunk->size != PAYLOAD || pool->count >= MAX_POOLED) {
		mem_free(chunk);
		return;
	}
	chunk->next = pool->first;
	pool->first = chunk;
	pool->count++;
}

void chunk_pool_done(struct chunk_pool *pool)
{
	while (pool->first != NULL)
		mem_free(take(pool));
}

static size_t tail_room(const struct outq *outq)
{
	return outq->head != NULL ? outq->tail->size - outq->tail->end : 0;
}

static void append(struct outq *outq, struct chunk *chunk)
{
	if (outq->head == NULL)
		outq->head = chunk;
	else
		outq->tail->next = chunk;
	outq->tail = chunk;
}

static void fill_tail(struct outq *outq, struct slice bytes)
{
	memcpy(outq->tail->data + outq->tail->end, bytes.ptr, bytes.len);
	outq->tail->end += (uint32_t)bytes.len;
	outq->bytes += bytes.len;
}

void outq_add(struct outq *outq, struct chunk_pool *pool, struct slice bytes)
{
	while (bytes.len > 0) {
		if (tail_room(outq) == 0)
			append(outq, take(pool));
		size_t room = tail_room(outq);
		size_t n = bytes.len < room ? bytes.len : room;
		fill_tail(outq, slice_of(bytes.ptr, n));
		bytes = slice_from(bytes, n);
	}
}

char *outq_reserve(struct outq *outq, struct chunk_pool *pool, size_t max, struct chunk **reserved_r)
{
	assert(max <= UINT32_MAX);
	*reserved_r = NULL;
	if (max > 0 && tail_room(outq) >= max)
		return outq->tail->data + outq->tail->end;
	struct chunk *chunk;
	if (max <= PAYLOAD) {
		chunk = take(pool);
	} else {
		chunk = mem_resize(NULL, sizeof(*chunk) + max);
		*chunk = (struct chunk){ .size = (uint32_t)max };
	}
	*reserved_r = chunk;
	return chunk->data;
}

void outq_commit(struct outq *outq, struct chunk_pool *pool, struct chunk *reserved, size_t used)
{
	if (reserved == NULL) {
		assert(used <= tail_room(outq));
		outq->tail->end += (uint32_t)used;
		outq->bytes += used;
	} else if (used == 0) {
		give_back(pool, reserved);
	} else if (used <= tail_room(outq)) {
		/* More was reserved than used: without this copy, small writes could occupy a whole chunk each. */
		fill_tail(outq, slice_of(reserved->data, used));
		give_back(pool, reserved);
	} else {
		assert(used <= reserved->size);
		if (reserved->size != PAYLOAD) {
			reserved = mem_resize(reserved, sizeof(*reserved) + used);
			reserved->size = (uint32_t)used;
		}
		reserved->end = (uint32_t)used;
		append(outq, reserved);
		outq->bytes += used;
	}
}

size_t outq_pieces(const struct outq *outq, size_t max, struct iovec *pieces, size_t count)
{
	size_t n = 0;
	for (struct chunk *chunk = outq->head; chunk != NULL && n < count && max > 0; chunk = chunk->next) {
		size_t len = chunk->end - chunk->start;
		if (len > max)
			len = max;
		pieces[n++] = (struct iovec){ chunk->data + chunk->start, len };
		max -= len;
	}
	return n;
}

struct slice outq_front(const struct outq *outq, char *scratch, size_t max)
{
	const struct chunk *chunk = outq->head;
	if (chunk == NULL)
		return SLICE_NONE;
	size_t len = chunk->end - chunk->start;
	if (len >= max || chunk->next == NULL)
		return slice_of(chunk->data + chunk->start, len < max ? len : max);
	size_t filled = 0;
	for (; chunk != NULL && filled < max; chunk = chunk->next) {
		len = chunk->end - chunk->start;
		if (len > max - filled)
			len = max - filled;
		memcpy(scratch + filled, chunk->data + chunk->start, len);
		filled += len;
	}
	return slice_of(scratch, filled);
}

void outq_consume(struct outq *outq, struct chunk_pool *pool, size_t n)
{
	assert(n <= outq->bytes);
	outq->bytes -= n;
	while (n > 0) {
		struct chunk *chunk = outq->head;
		size_t len = chunk->end - chunk->start;
		if (n < len) {
			chunk->start += (uint32_t)n;
			return;
		}
		n -= len;
		outq->head = chunk->next;
		give_back(pool, chunk);
	}
}

void outq_cut(struct outq *outq, struct chunk_pool *pool, size_t n)
{
	if (n == 0)
		outq_clear(outq, pool);
	if (n >= outq->bytes)
		return;
	outq->bytes = n;
	struct chunk *chunk = outq->head;
	for (; n > chunk->end - chunk->start; chunk = chunk->next)
		n -= chunk->end - chunk->start;
	chunk->end = chunk->start + (uint32_t)n;
	outq->tail = chunk;
	struct chunk *after = chunk->next;
	chunk->next = NULL;
	while (after != NULL) {
		struct chunk *next = after->next;
		give_back(pool, after);
		after = next;
	}
}

void outq_clear(struct outq *outq, struct chunk_pool *pool)
{
	outq_consume(outq, pool, outq->bytes);
}
