/* Characters that look like others. The table is compact on purpose: Latin, Greek, Cyrillic, Armenian and Cherokee
 * letters, digits and punctuation that common fonts draw alike, as classified by UTS #39; wide, styled and ligature
 * forms fall to NFKC first. Whole scripts and combining marks that UTS #39 also lists are not covered. */
#include "xmpp/confusable.h"

#include <idn-free.h>
#include <stdint.h>
#include <stringprep.h>

#include "base/utf8.h"

struct twin {
	uint32_t point;
	char looks[6];
};

/* Sorted by code point. */
static const struct twin twins[] = {
	{ 0x0022, "''" }, { 0x0030, "O" }, { 0x0031, "l" }, { 0x0049, "l" }, { 0x0060, "'" },
	{ 0x006d, "rn" }, { 0x007c, "l" }, { 0x00c6, "AE" }, { 0x00d7, "x" }, { 0x00e6, "ae" },
	{ 0x011b, "ĕ" }, { 0x0131, "i" }, { 0x0152, "OE" }, { 0x0153, "oe" }, { 0x0184, "b" },
	{ 0x018d, "g" }, { 0x0196, "l" }, { 0x01a6, "R" }, { 0x01a7, "2" }, { 0x01b7, "3" }, { 0x01bc, "5" },
	{ 0x01bd, "s" }, { 0x01bf, "þ" }, { 0x01c0, "l" }, { 0x01c1, "ll" }, { 0x01c3, "!" }, { 0x01ce, "ă" },
	{ 0x01d0, "ĭ" }, { 0x01d2, "ŏ" }, { 0x01d4, "ŭ" }, { 0x01dd, "ə" }, { 0x01e7, "ğ" }, { 0x021c, "3" },
	{ 0x0222, "8" }, { 0x0223, "8" }, { 0x0241, "?" }, { 0x0251, "a" }, { 0x0261, "g" }, { 0x0263, "y" },
	{ 0x0269, "i" }, { 0x026a, "i" }, { 0x026f, "w" }, { 0x028b, "u" }, { 0x028f, "y" }, { 0x0294, "?" },
	{ 0x02a6, "ts" }, { 0x02b9, "'" }, { 0x02ba, "''" }, { 0x02bb, "'" }, { 0x02bc, "'" },
	{ 0x02bd, "'" }, { 0x02be, "'" }, { 0x02c2, "<" }, { 0x02c3, ">" }, { 0x02c4, "^" }, { 0x02c6, "^" },
	{ 0x02c8, "'" }, { 0x02ca, "'" }, { 0x02cb, "'" }, { 0x02d0, ":" }, { 0x02d7, "-" }, { 0x02ee, "''" },
	{ 0x02f8, ":" }, { 0x037f, "J" }, { 0x0391, "A" }, { 0x0392, "B" }, { 0x0395, "E" }, { 0x0396, "Z" },
	{ 0x0397, "H" }, { 0x0399, "l" }, { 0x039a, "K" }, { 0x039c, "M" }, { 0x039d, "N" }, { 0x039f, "O" },
	{ 0x03a1, "P" }, { 0x03a4, "T" }, { 0x03a5, "Y" }, { 0x03a7, "X" }, { 0x03ac, "á" }, { 0x03af, "í" },
	{ 0x03b1, "a" }, { 0x03b2, "ß" }, { 0x03b3, "y" }, { 0x03b5, "ɛ" }, { 0x03b9, "i" }, { 0x03ba, "ĸ" },
	{ 0x03bd, "v" }, { 0x03bf, "o" }, { 0x03c1, "p" }, { 0x03c3, "o" }, { 0x03c5, "u" }, { 0x03c6, "ɸ" },
	{ 0x03cb, "ü" }, { 0x03cc, "ó" }, { 0x03cd, "ú" }, { 0x03dc, "F" }, { 0x03e8, "2" }, { 0x03f3, "j" },
	{ 0x03f7, "Þ" }, { 0x03f8, "þ" }, { 0x03fa, "M" }, { 0x0400, "È" }, { 0x0401, "Ë" }, { 0x0405, "S" },
	{ 0x0406, "l" }, { 0x0408, "J" }, { 0x0410, "A" }, { 0x0412, "B" }, { 0x0413, "Γ" }, { 0x0415, "E" },
	{ 0x0417, "3" }, { 0x041a, "K" }, { 0x041c, "M" }, { 0x041d, "H" }, { 0x041e, "O" }, { 0x041f, "Π" },
	{ 0x0420, "P" }, { 0x0421, "C" }, { 0x0422, "T" }, { 0x0423, "Y" }, { 0x0424, "Φ" }, { 0x0425, "X" },
	{ 0x042b, "bl" }, { 0x042c, "b" }, { 0x042e, "lO" }, { 0x0430, "a" }, { 0x0431, "6" },
	{ 0x0433, "r" }, { 0x0435, "e" }, { 0x043a, "ĸ" }, { 0x043e, "o" }, { 0x043f, "π" }, { 0x0440, "p" },
	{ 0x0441, "c" }, { 0x0443, "y" }, { 0x0444, "ɸ" }, { 0x0445, "x" }, { 0x0450, "è" }, { 0x0451, "ë" },
	{ 0x0454, "ɛ" }, { 0x0455, "s" }, { 0x0456, "i" }, { 0x0457, "ï" }, { 0x0458, "j" }, { 0x045c, "ḱ" },
	{ 0x0461, "w" }, { 0x0470, "Ψ" }, { 0x0471, "ψ" }, { 0x0474, "V" }, { 0x0475, "v" }, { 0x04ae, "Y" },
	{ 0x04af, "y" }, { 0x04bb, "h" }, { 0x04bd, "e" }, { 0x04c0, "l" }, { 0x04cf, "i" }, { 0x04d1, "ă" },
	{ 0x04d2, "Ä" }, { 0x04d3, "ä" }, { 0x04d4, "AE" }, { 0x04d5, "ae" }, { 0x04d7, "ĕ" },
	{ 0x04d8, "Ə" }, { 0x04d9, "ə" }, { 0x04e0, "3" }, { 0x04e6, "Ö" }, { 0x04e7, "ö" }, { 0x04ef, "ȳ" },
	{ 0x04f1, "ÿ" }, { 0x0501, "d" }, { 0x050c, "G" }, { 0x051b, "q" }, { 0x051c, "W" }, { 0x051d, "w" },
	{ 0x054d, "U" }, { 0x054f, "S" }, { 0x0555, "O" }, { 0x055a, "'" }, { 0x055d, "'" }, { 0x0561, "w" },
	{ 0x0563, "q" }, { 0x0566, "q" }, { 0x0570, "h" }, { 0x0578, "n" }, { 0x057c, "n" }, { 0x057d, "u" },
	{ 0x0581, "g" }, { 0x0584, "f" }, { 0x0585, "o" }, { 0x0589, ":" }, { 0x05c3, ":" }, { 0x13a0, "D" },
	{ 0x13a1, "R" }, { 0x13a2, "T" }, { 0x13a5, "i" }, { 0x13a9, "Y" }, { 0x13aa, "A" }, { 0x13ab, "J" },
	{ 0x13ac, "E" }, { 0x13ae, "?" }, { 0x13b3, "W" }, { 0x13b7, "M" }, { 0x13bb, "H" }, { 0x13bd, "Y" },
	{ 0x13c0, "G" }, { 0x13c2, "h" }, { 0x13c3, "Z" }, { 0x13ce, "4" }, { 0x13cf, "b" }, { 0x13d2, "R" },
	{ 0x13d4, "W" }, { 0x13d5, "S" }, { 0x13d9, "V" }, { 0x13da, "S" }, { 0x13de, "L" }, { 0x13df, "C" },
	{ 0x13e2, "P" }, { 0x13e6, "K" }, { 0x13e7, "d" }, { 0x13ee, "6" }, { 0x13f3, "G" }, { 0x13f4, "B" },
	{ 0x1d04, "c" }, { 0x1d0f, "o" }, { 0x1d11, "o" }, { 0x1d1c, "u" }, { 0x1d20, "v" }, { 0x1d21, "w" },
	{ 0x1d22, "z" }, { 0x1d26, "r" }, { 0x2010, "-" }, { 0x2012, "-" }, { 0x2013, "-" }, { 0x2016, "ll" },
	{ 0x2018, "'" }, { 0x2019, "'" }, { 0x201b, "'" }, { 0x201c, "''" }, { 0x201d, "''" },
	{ 0x201f, "''" }, { 0x2032, "'" }, { 0x2035, "'" }, { 0x2039, "<" }, { 0x203a, ">" }, { 0x2041, "/" },
	{ 0x2043, "-" }, { 0x2044, "/" }, { 0x2212, "-" }, { 0x2215, "/" },
};

static const char *twin_of(uint32_t point)
{
	size_t low = 0, high = sizeof(twins) / sizeof(*twins);
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (twins[middle].point == point)
			return twins[middle].looks;
		if (twins[middle].point < point)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* NFKC of NUL-terminated UTF-8 in place. */
static int normalise(char *text, size_t size)
{
	char *normal = stringprep_utf8_nfkc_normalize(text, -1);
	if (normal == NULL)
		return -1;
	size_t len = strlen(normal);
	if (len < size)
		memcpy(text, normal, len + 1);
	idn_free(normal);
	return len < size ? (int)len : -1;
}

/* Replaces what has a twin. */
static int replace(struct slice in, char *into, size_t size)
{
	size_t len = 0;
	while (in.len > 0) {
		const char *start = in.ptr;
		const char *looks = twin_of(utf8_next(&in));
		struct slice piece = looks != NULL ? slice_of_str(looks) : slice_of(start, (size_t)(in.ptr - start));
		if (len + piece.len >= size)
			return -1;
		memcpy(into + len, piece.ptr, piece.len);
		len += piece.len;
	}
	into[len] = '\0';
	return (int)len;
}

int confusable_skeleton(struct slice in, char *into, size_t size)
{
	char text[4 * CONFUSABLE_TEXT_MAX * 4];
	int len;

	if (in.len > 4 * CONFUSABLE_TEXT_MAX || !utf8_is_valid(in))
		return -1;
	if (in.len > 0 && memchr(in.ptr, '\0', in.len) != NULL)
		return -1;
	if (in.len > 0)
		memcpy(text, in.ptr, in.len);
	text[in.len] = '\0';
	/* Replacing may leave a letter and an accent that are one character together, hence once more. */
	for (int round = 0; round < 2; round++) {
		if ((len = normalise(text, sizeof(text))) < 0)
			return -1;
		if ((len = replace(slice_of(text, (size_t)len), into, size)) < 0 || (size_t)len >= sizeof(text))
			return -1;
		memcpy(text, into, (size_t)len + 1);
	}
	return len;
}
