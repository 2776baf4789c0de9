/* Names that look alike: the skeleton of Unicode UTS #39 section 4. Two texts with the same skeleton are easily
 * mistaken for each other. Only ever compared, never shown and never an identity. */
#ifndef XMPP_CONFUSABLE_H
#define XMPP_CONFUSABLE_H

#include <stddef.h>

#include "base/slice.h"

#define CONFUSABLE_TEXT_MAX 1023 /* code points of the text */

/* Writes the skeleton, UTF-8 and a NUL, to `into`. The length, or -1 when the text is not UTF-8, holds a NUL, is longer
 * than CONFUSABLE_TEXT_MAX or its skeleton does not fit. Four bytes per byte of text, and 64, are enough for names. */
int confusable_skeleton(struct slice in, char *into, size_t size);

#endif
