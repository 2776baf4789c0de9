/* A slice is a pointer and a length: text borrowed from whoever owns it, never NUL-terminated by assumption. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *ptr; /* may be NULL only when len is 0 */
	size_t len;
};

/* A slice of a string literal, measured by the compiler. */
#define SLICE(literal) ((struct slice){ "" literal, sizeof(literal) - 1 })
#define SLICE_NONE ((struct slice){ NULL, 0 })
/* For printf("%.*s", SLICE_ARG(s)). */
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *ptr, size_t len) { return (struct slice){ ptr, len }; }

/* text may be NULL, which gives SLICE_NONE. Borrows. */
static inline struct slice slice_of_str(const char *text)
{
	return text != NULL ? (struct slice){ text, strlen(text) } : SLICE_NONE;
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#define slice_is(s, literal) slice_equal((s), SLICE(literal))

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* The part from byte `from` to the end; from may not exceed the length. */
static inline struct slice slice_from(struct slice s, size_t from)
{
	return (struct slice){ s.ptr + from, s.len - from };
}

#endif
