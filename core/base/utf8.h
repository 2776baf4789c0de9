/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* How many bytes the well-formed character at the start of text has: 1 to 4, or 0 when there is none. */
size_t utf8_length(struct slice text);

bool utf8_is_valid(struct slice text);

/* Takes the first character off text, which must begin with a well-formed one, and gives its code point. */
uint32_t utf8_next(struct slice *text);

/* Writes the character of a code point: 1 to 4 bytes for those of Unicode, whose surrogates the caller refuses; 5 or 6
 * for numbers up to 2^31 - 1, which only Lua's literals know. Gives how many bytes there are. */
#define UTF8_ENCODED_MAX 6
size_t utf8_encode(uint32_t point, char bytes[UTF8_ENCODED_MAX]);


#endif
