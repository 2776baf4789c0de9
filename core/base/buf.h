/* A growing run of bytes that was told its ceiling at birth. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "base/slice.h"

struct buf {
	char *ptr; /* NULL until the first byte */
	size_t len, size, max;
};

/* In place; allocates nothing. max is the most bytes it may ever hold. */
void buf_init(struct buf *buf, size_t max);
/* Frees the bytes; the buffer is as after buf_init. */
void buf_done(struct buf *buf);

/* Append. 0, or -1 when the ceiling would be passed; then nothing was added. */
int buf_add(struct buf *buf, struct slice bytes);
int buf_add_byte(struct buf *buf, char byte);
int buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for `more` bytes at buf->ptr + buf->len, which the caller fills and then adds to buf->len. -1 over the
 * ceiling. */
int buf_reserve(struct buf *buf, size_t more);

/* Forgets the first n bytes (n <= len). */
void buf_consume(struct buf *buf, size_t n);

static inline struct slice buf_slice(const struct buf *buf) { return (struct slice){ buf->ptr, buf->len }; }
static inline void buf_clear(struct buf *buf) { buf->len = 0; }

#endif
