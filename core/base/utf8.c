#include "base/utf8.h"

#include <assert.h>

size_t utf8_length(struct slice text)
{
	if (text.len == 0)
		return 0;
	const unsigned char *b = (const unsigned char *)text.ptr;
	if (b[0] < 0x80)
		return 1;
	/* RFC 3629 4: the first byte decides the length and, for E0, ED, F0 and F4, narrows the second. */
	size_t len;
	unsigned char low = 0x80, high = 0xbf;
	if (b[0] >= 0xc2 && b[0] <= 0xdf) {
		len = 2;
	} else if (b[0] >= 0xe0 && b[0] <= 0xef) {
		len = 3;
		if (b[0] == 0xe0)
			low = 0xa0; /* overlong */
		else if (b[0] == 0xed)
			high = 0x9f; /* surrogates */
	} else if (b[0] >= 0xf0 && b[0] <= 0xf4) {
		len = 4;
		if (b[0] == 0xf0)
			low = 0x90; /* overlong */
		else if (b[0] == 0xf4)
			high = 0x8f; /* above U+10FFFF */
	} else {
		return 0;
	}
	if (text.len < len || b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool utf8_is_valid(struct slice text)
{
	while (text.len > 0) {
		/* Most text is ASCII: look at eight bytes at once. */
		uint64_t word;
		while (text.len >= sizeof(word)) {
			memcpy(&word, text.ptr, sizeof(word));
			if ((word & UINT64_C(0x8080808080808080)) != 0)
				break;
			text = slice_from(text, sizeof(word));
		}
		if (text.len == 0)
			break;
		size_t len = utf8_length(text);
		if (len == 0)
			return false;
		text = slice_from(text, len);
	}
	return true;
}

uint32_t utf8_next(struct slice *text)
{
	const unsigned char *b = (const unsigned char *)text->ptr;
	size_t len = utf8_length(*text);
	assert(len > 0);
	uint32_t point = len == 1 ? b[0] : b[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++)
		point = point << 6 | (b[i] & 0x3f);
	*text = slice_from(*text, len);
	return point;
}

size_t utf8_encode(uint32_t point, char bytes[UTF8_ENCODED_MAX])
{
	if (point < 0x80) {
		bytes[0] = (char)point;
		return 1;
	}
	/* From the last byte on; the first one holds what fits beside the length. */
	char reversed[UTF8_ENCODED_MAX];
	size_t n = 0;
	uint32_t first_max = 0x3f;
	do {
		reversed[n++] = (char)(0x80 | (point & 0x3f));
		point >>= 6;
		first_max >>= 1;
	} while (point > first_max);
	reversed[n++] = (char)((~first_max << 1) | point);
	for (size_t i = 0; i < n; i++)
		bytes[i] = reversed[n - 1 - i];
	return n;
}

