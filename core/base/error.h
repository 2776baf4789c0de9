/* What went wrong in the world (disk, DNS, TLS, config), in a sentence an admin can act on.
 *
 * A function that can fail this way returns -1 and fills `struct error *error_r`; callers prepend their context, and
 * the one who decides what to do logs it, once. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
	char text[512]; /* NUL-terminated; cut on a character boundary when too long */
};

/* Sets the text, printf-like; error may be NULL when nobody wants it. Always returns -1, so that
 * `return error_set(...)` reads well. */
int error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts context before the text: error_prefix(e, "store: roster of %s", user) -> "store: roster of x: ...".
 * Returns -1. */
int error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
