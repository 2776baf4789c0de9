/* Hexadecimal digits, two for a byte. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stddef.h>

/* Writes 2 * len digits in lower case, without a NUL. */
void hex_write(const void *bytes, size_t len, char *into);

/* What a digit of either case stands for: 0 to 15, or -1 when it is none (NUL is none). */
int hex_value(char digit);

#endif
