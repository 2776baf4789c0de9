/* Always true: len <= max, and ptr holds `size` bytes. Growth doubles, so n appends cost O(n). */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"

enum { SMALLEST = 64 };

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf){ .max = max };
}

void buf_done(struct buf *buf)
{
	mem_free(buf->ptr);
	buf_init(buf, buf->max);
}

/* need may be max + 1: formatting wants a place for its NUL. */
static void grow(struct buf *buf, size_t need)
{
	if (need <= buf->size)
		return;
	size_t size = buf->size < SMALLEST ? SMALLEST : buf->size;
	while (size < need)
		size = size > buf->max / 2 ? need : size * 2;
	if (size > buf->max)
		size = need > buf->max ? need : buf->max;
	buf->ptr = mem_resize(buf->ptr, size);
	buf->size = size;
}

int buf_reserve(struct buf *buf, size_t more)
{
	if (more > buf->max - buf->len)
		return -1;
	grow(buf, buf->len + more);
	return 0;
}

int buf_add(struct buf *buf, struct slice bytes)
{
	if (bytes.len == 0)
		return 0;
	if (buf_reserve(buf, bytes.len) != 0)
		return -1;
	memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
	buf->len += bytes.len;
	return 0;
}

int buf_add_byte(struct buf *buf, char byte)
{
	return buf_add(buf, slice_of(&byte, 1));
}

int buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	assert(len >= 0);
	if ((size_t)len > buf->max - buf->len)
		return -1;
	grow(buf, buf->len + (size_t)len + 1);
	va_start(args, format);
	vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, args);
	va_end(args);
	buf->len += (size_t)len;
	return 0;
}

void buf_consume(struct buf *buf, size_t n)
{
	assert(n <= buf->len);
	buf->len -= n;
	if (n > 0 && buf->len > 0)
		memmove(buf->ptr, buf->ptr + n, buf->len);
}
