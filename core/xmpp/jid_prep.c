/* The normal form of a JID's parts and of passwords, by libidn's stringprep, nameprep and punycode.
 *
 * Always true: what comes out, put in again, comes out unchanged (checked at run time for everything that is not plain
 * ASCII, because the profiles themselves do not promise it); NUL and broken UTF-8 never pass; no part has more than
 * JID_PART_MAX bytes; preparing a part takes at most about a millisecond, whatever a peer sends. */
#include "xmpp/jid.h"

#include <arpa/inet.h>
#include <assert.h>
#include <idna.h>
#include <punycode.h>
#include <stringprep.h>

#include "base/utf8.h"
#include "xmpp/jid_private.h"

/* A code point may expand (NFKC), never to more than this in total; more could not fit a part anyway. */
#define POINTS_MAX (4 * (JID_PART_MAX + 1))
#define LABEL_POINTS_MAX 256
#define LABEL_MAX 63 /* bytes of a label as A-label: RFC 1035 2.3.4 */
#define NAME_MAX_BYTES 253

#define N JID_BYTE_NODE
#define H JID_BYTE_HOST
#define R JID_BYTE_RESOURCE

/* Nodes: all visible ASCII but upper case and "&'/:<>@ (RFC 7622 3.3.1). Hosts: letters, digits, hyphen, dot; and the
 * underscore, which RFC 5890 does not have, because private networks do (COMPAT). Resources: any printable. */
const uint8_t jid_byte_kind[256] = {
	[' '] = R,
	['!'] = N | R,
	['"'] = R,
	['#' ... '%'] = N | R,
	['&' ... '\''] = R,
	['(' ... ','] = N | R,
	['-' ... '.'] = N | H | R,
	['/'] = R,
	['0' ... '9'] = N | H | R,
	[':'] = R,
	[';'] = N | R,
	['<'] = R,
	['='] = N | R,
	['>'] = R,
	['?'] = N | R,
	['@' ... 'Z'] = R,
	['[' ... '^'] = N | R,
	['_'] = N | H | R,
	['`'] = N | R,
	['a' ... 'z'] = N | H | R,
	['{' ... '~'] = N | R,
};

#undef N
#undef H
#undef R

bool jid_labels_are_plain(struct slice host)
{
	size_t start = 0;
	for (size_t i = 0; i <= host.len; i++) {
		if (i < host.len && host.ptr[i] != '.')
			continue;
		size_t len = i - start;
		const char *label = host.ptr + start;
		if (len == 0 || len > LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
			return false;
		if (len >= 4 && memcmp(label, "xn--", 4) == 0)
			return false;
		start = i + 1;
	}
	return true;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] >= 0x80)
			return false;
	return true;
}

/* UTF-8 to code points; -1 when it is not UTF-8, holds a NUL, or has more than max code points. */
static int decode(struct slice text, uint32_t *points, size_t max)
{
	size_t n = 0;
	while (text.len > 0) {
		if (utf8_length(text) == 0 || text.ptr[0] == 0 || n == max)
			return -1;
		points[n++] = utf8_next(&text);
	}
	return (int)n;
}

/* Code points to UTF-8, no NUL; -1 when it needs more than max bytes. */
static int encode(const uint32_t *points, size_t n, char *into, size_t max)
{
	size_t len = 0;
	for (size_t i = 0; i < n; i++) {
		char bytes[UTF8_ENCODED_MAX];
		size_t more = utf8_encode(points[i], bytes);
		if (len + more > max)
			return -1;
		memcpy(into + len, bytes, more);
		len += more;
	}
	return (int)len;
}

static bool points_equal(const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b)
{
	return n_a == n_b && memcmp(a, b, n_a * sizeof(*a)) == 0;
}

/* Applies a profile until nothing changes any more; usually the second round finds that. */
static bool apply(const Stringprep_profile *profile, unsigned flags, uint32_t *points, size_t *n, size_t max)
{
	uint32_t before[JID_PART_MAX + 1];
	size_t n_before;
	bool is_stable = false;

	for (int round = 0; round < 4 && !is_stable; round++) {
		n_before = *n;
		if (n_before > JID_PART_MAX)
			break;
		memcpy(before, points, n_before * sizeof(*points));
		if (stringprep_4i(points, n, max, (Stringprep_profile_flags)flags, profile) != STRINGPREP_OK)
			break;
		is_stable = points_equal(before, n_before, points, *n);
	}
	if (profile == stringprep_saslprep)
		explicit_bzero(before, sizeof(before));
	return is_stable;
}

/* Characters that order or hide text without being seen. RFC 3454 C.8 has those of Unicode 3.2 (which the profile tests
 * only together with directions); the others came later and so are merely "unassigned" to it. */
static bool is_invisible_control(uint32_t p)
{
	return p == 0x0340 || p == 0x0341 || p == 0x200e || p == 0x200f || (p >= 0x202a && p <= 0x202e) ||
	       (p >= 0x206a && p <= 0x206f) || p == 0x061c || (p >= 0x2064 && p <= 0x2069) ||
	       (p >= 0xfff0 && p <= 0xfff8) || (p >= 0xe0000 && p <= 0xe0fff);
}

/* The profile without its tests of writing direction (RFC 3454 6), which RFC 7622 3.4 does not have for resources. */
static void leave_out_directions(const Stringprep_profile *profile, Stringprep_profile *into, size_t size)
{
	size_t n = 0;
	for (; profile->operation != 0; profile++) {
		bool is_direction = profile->operation == STRINGPREP_BIDI ||
				    profile->operation == STRINGPREP_BIDI_PROHIBIT_TABLE ||
				    profile->operation == STRINGPREP_BIDI_RAL_TABLE ||
				    profile->operation == STRINGPREP_BIDI_L_TABLE;
		if (is_direction)
			continue;
		assert(n + 1 < size);
		into[n++] = *profile;
	}
	into[n] = (Stringprep_profile){ 0 };
}

/* Stringprep of text into UTF-8 without NUL. */
static int prep_text(const Stringprep_profile *profile, unsigned flags, struct slice in, char *into, size_t max)
{
	uint32_t points[POINTS_MAX];
	int decoded = decode(in, points, JID_PART_MAX);
	if (decoded <= 0)
		return -1;

	size_t n = (size_t)decoded;
	int len = -1;
	if (apply(profile, flags, points, &n, POINTS_MAX))
		len = encode(points, n, into, max);
	if (profile == stringprep_saslprep)
		explicit_bzero(points, sizeof(points)); /* libidn's own copies are out of our reach */
	return len > 0 ? len : -1;
}

static bool has_invisible_control(struct slice text)
{
	uint32_t points[JID_PART_MAX];
	int n = decode(text, points, JID_PART_MAX);
	for (int i = 0; i < n; i++)
		if (is_invisible_control(points[i]))
			return true;
	return false;
}

static int prep_node(struct slice in, char *into)
{
	if (!is_ascii(in))
		return prep_text(stringprep_xmpp_nodeprep, STRINGPREP_NO_UNASSIGNED, in, into, JID_PART_MAX);
	if (in.len > JID_PART_MAX)
		return -1;
	for (size_t i = 0; i < in.len; i++) {
		into[i] = lower(in.ptr[i]);
		if ((jid_byte_kind[(unsigned char)into[i]] & JID_BYTE_NODE) == 0)
			return -1;
	}
	return (int)in.len;
}

static int prep_resource(struct slice in, char *into)
{
	if (!is_ascii(in)) {
		Stringprep_profile profile[16];
		leave_out_directions(stringprep_xmpp_resourceprep, profile, sizeof(profile) / sizeof(*profile));
		int len = prep_text(profile, 0, in, into, JID_PART_MAX);
		return len > 0 && !has_invisible_control(slice_of(into, (size_t)len)) ? len : -1;
	}
	if (in.len > JID_PART_MAX)
		return -1;
	for (size_t i = 0; i < in.len; i++)
		if ((jid_byte_kind[(unsigned char)in.ptr[i]] & JID_BYTE_RESOURCE) == 0)
			return -1;
	memcpy(into, in.ptr, in.len);
	return (int)in.len;
}

/* RFC 3490 3.1: these are dots in a host name. */
static bool is_dot(uint32_t p)
{
	return p == '.' || p == 0x3002 || p == 0xff0e || p == 0xff61;
}

static bool all_ascii(const uint32_t *points, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (points[i] >= 0x80)
			return false;
	return true;
}

/* Letters, digits, hyphens inside, underscore; what is not ASCII has been through nameprep. */
static bool is_ldh(const uint32_t *label, size_t n)
{
	if (n == 0 || label[0] == '-' || label[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (label[i] == '.' || (label[i] < 0x80 && (jid_byte_kind[label[i]] & JID_BYTE_HOST) == 0))
			return false;
	return true;
}

/* The length of the label as A-label, written to out (LABEL_MAX + 1 bytes); -1 when it has none. */
static int to_a_label(const uint32_t *label, size_t n, char *out)
{
	/* With the STD3 rules off: is_ldh has looked, and knows of the underscore. */
	if (n == 0 || idna_to_ascii_4i(label, n, out, 0) != IDNA_SUCCESS)
		return -1;
	return (int)strlen(out);
}

/* Does this decoded A-label stand for itself under IDNA2008 though our tables (IDNA2003, Unicode 3.2) would change or
 * refuse it? So it is with newer scripts and with the four characters IDNA2008 keeps (RFC 5894 7.2): sharp s, final
 * sigma, the joiners. Such a name stays an A-label; written otherwise it is another name or none. */
static bool is_newer_name(const uint32_t *label, size_t n)
{
	uint32_t kept[LABEL_POINTS_MAX], prepared[LABEL_POINTS_MAX];
	size_t n_kept = 0, n_prepared;

	for (size_t i = 0; i < n; i++) {
		if (label[i] == 0x200c || label[i] == 0x200d)
			continue;
		kept[n_kept++] = label[i] == 0xdf || label[i] == 0x3c2 ? 'a' : label[i];
	}
	memcpy(prepared, kept, n_kept * sizeof(*kept));
	n_prepared = n_kept;
	return n_kept > 0 && apply(stringprep_nameprep, 0, prepared, &n_prepared, LABEL_POINTS_MAX) &&
	       points_equal(prepared, n_prepared, kept, n_kept) && is_ldh(kept, n_kept);
}

/* An A-label, lower case, becomes its U-label, so that a name has one form. False when it is a sham: not punycode, only
 * ASCII inside, or not what ToASCII would have made. */
static bool decode_a_label(uint32_t *label, size_t *n)
{
	char ascii[LABEL_MAX + 1], again[LABEL_MAX + 1];
	punycode_uint decoded[LABEL_POINTS_MAX];
	uint32_t unicode[LABEL_POINTS_MAX];
	size_t n_decoded = LABEL_POINTS_MAX;

	if (*n <= 4 || *n > LABEL_MAX)
		return false;
	for (size_t i = 0; i < *n; i++)
		ascii[i] = (char)label[i];
	ascii[*n] = '\0';
	if (punycode_decode(*n - 4, ascii + 4, &n_decoded, decoded, NULL) != PUNYCODE_SUCCESS)
		return false;
	for (size_t i = 0; i < n_decoded; i++) {
		if (decoded[i] > 0x10ffff || (decoded[i] >= 0xd800 && decoded[i] <= 0xdfff))
			return false;
		unicode[i] = decoded[i];
	}
	if (all_ascii(unicode, n_decoded) || !is_ldh(unicode, n_decoded))
		return false;

	uint32_t prepared[LABEL_POINTS_MAX];
	size_t n_prepared = n_decoded;
	memcpy(prepared, unicode, n_decoded * sizeof(*unicode));
	if (!apply(stringprep_nameprep, STRINGPREP_NO_UNASSIGNED, prepared, &n_prepared, LABEL_POINTS_MAX) ||
	    !points_equal(prepared, n_prepared, unicode, n_decoded))
		return is_newer_name(unicode, n_decoded); /* stays as it is */
	if (to_a_label(unicode, n_decoded, again) < 0 || strcmp(again, ascii) != 0)
		return false;
	memcpy(label, unicode, n_decoded * sizeof(*unicode));
	*n = n_decoded;
	return true;
}

/* One label in place: label has room for LABEL_POINTS_MAX. */
static bool prep_label(uint32_t *label, size_t *n)
{
	char ascii[LABEL_MAX + 1];

	if (all_ascii(label, *n)) {
		for (size_t i = 0; i < *n; i++)
			label[i] = (unsigned char)lower((char)label[i]);
	} else if (!apply(stringprep_nameprep, STRINGPREP_NO_UNASSIGNED, label, n, LABEL_POINTS_MAX)) {
		return false;
	}
	if (!is_ldh(label, *n))
		return false;
	if (*n >= 4 && label[0] == 'x' && label[1] == 'n' && label[2] == '-' && label[3] == '-')
		return all_ascii(label, *n) && decode_a_label(label, n);
	if (all_ascii(label, *n))
		return *n <= LABEL_MAX;
	return to_a_label(label, *n, ascii) > 0;
}

/* [IPv6]: RFC 7622 3.2, in the one form of RFC 5952. */
static int prep_ipv6(struct slice in, char *into)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (in.len < 2 || in.ptr[in.len - 1] != ']' || in.len - 2 >= sizeof(text) ||
	    memchr(in.ptr, '\0', in.len) != NULL)
		return -1;
	memcpy(text, in.ptr + 1, in.len - 2);
	text[in.len - 2] = '\0';
	if (inet_pton(AF_INET6, text, &address) != 1 || inet_ntop(AF_INET6, &address, text, sizeof(text)) == NULL)
		return -1;
	size_t len = strlen(text);
	into[0] = '[';
	memcpy(into + 1, text, len);
	into[len + 1] = ']';
	return (int)len + 2;
}

static int prep_host(struct slice in, char *into)
{
	uint32_t points[JID_PART_MAX + 1];
	size_t len = 0;

	if (in.len > 0 && in.ptr[0] == '[')
		return prep_ipv6(in, into);
	int decoded = decode(in, points, JID_PART_MAX + 1);
	if (decoded <= 0)
		return -1;
	size_t n = (size_t)decoded;
	if (is_dot(points[n - 1]))
		n--; /* the root label says nothing: RFC 7622 3.2 */
	for (size_t start = 0, i = 0; i <= n; i++) {
		uint32_t label[LABEL_POINTS_MAX];
		size_t n_label = i - start;

		if (i < n && !is_dot(points[i]))
			continue;
		if (n_label == 0 || n_label > LABEL_POINTS_MAX)
			return -1;
		memcpy(label, points + start, n_label * sizeof(*points));
		if (!prep_label(label, &n_label))
			return -1;
		if (start > 0) {
			if (len == JID_PART_MAX)
				return -1;
			into[len++] = '.';
		}
		int added = encode(label, n_label, into + len, JID_PART_MAX - len);
		if (added < 0)
			return -1;
		len += (size_t)added;
		start = i + 1;
	}
	return (int)len;
}

int jid_prep_part(unsigned kind, struct slice in, char *into)
{
	if (in.len == 0 || in.len > 4 * JID_PART_MAX)
		return -1;
	switch (kind) {
	case JID_BYTE_NODE:
		return prep_node(in, into);
	case JID_BYTE_HOST:
		return prep_host(in, into);
	default:
		return prep_resource(in, into);
	}
}

static int prep_terminated(unsigned kind, struct slice in, char *into)
{
	int len = jid_prep_part(kind, in, into);
	if (len >= 0)
		into[len] = '\0';
	return len;
}

int jid_prep_node(struct slice in, char *into)
{
	return prep_terminated(JID_BYTE_NODE, in, into);
}

int jid_prep_host(struct slice in, char *into)
{
	return prep_terminated(JID_BYTE_HOST, in, into);
}

int jid_prep_resource(struct slice in, char *into)
{
	return prep_terminated(JID_BYTE_RESOURCE, in, into);
}

int jid_stringprep(enum jid_profile profile, struct slice in, bool strict, char *into, size_t size)
{
	/* Arrays of libidn, so not constants to a static table. */
	const Stringprep_profile *const profiles[] = {
		[JID_NODEPREP] = stringprep_xmpp_nodeprep,
		[JID_NAMEPREP] = stringprep_nameprep,
		[JID_RESOURCEPREP] = stringprep_xmpp_resourceprep,
		[JID_SASLPREP] = stringprep_saslprep,
	};
	if (size == 0 || in.len == 0 || in.len > 4 * JID_PART_MAX)
		return -1;
	int len = prep_text(profiles[profile], strict ? STRINGPREP_NO_UNASSIGNED : 0, in, into, size - 1);
	if (len >= 0)
		into[len] = '\0';
	return len;
}

int jid_saslprep(struct slice in, char *into, size_t size)
{
	/* Printable ASCII maps to itself (RFC 4013 2.1), and so no copy of a password is made that we cannot wipe. */
	bool is_plain = in.len > 0 && in.len < size && in.len <= JID_PART_MAX;
	for (size_t i = 0; is_plain && i < in.len; i++)
		is_plain = (jid_byte_kind[(unsigned char)in.ptr[i]] & JID_BYTE_RESOURCE) != 0;
	if (!is_plain)
		return jid_stringprep(JID_SASLPREP, in, false, into, size);
	memcpy(into, in.ptr, in.len);
	into[in.len] = '\0';
	return (int)in.len;
}

int jid_host_to_ascii(struct slice host, char *into, size_t size)
{
	char name[JID_PART_MAX];
	uint32_t points[JID_PART_MAX + 1];
	size_t len = 0;
	int prepared = jid_prep_part(JID_BYTE_HOST, host, name);

	if (prepared <= 0 || name[0] == '[' || memchr(name, '_', (size_t)prepared) != NULL)
		return -1;
	int decoded = decode(slice_of(name, (size_t)prepared), points, JID_PART_MAX + 1);
	if (decoded < 0)
		return -1;
	for (size_t start = 0, i = 0; i <= (size_t)decoded; i++) {
		char ascii[LABEL_MAX + 1];
		int n_ascii;

		if (i < (size_t)decoded && points[i] != '.')
			continue;
		if (all_ascii(points + start, i - start))
			n_ascii = encode(points + start, i - start, ascii, LABEL_MAX);
		else
			n_ascii = to_a_label(points + start, i - start, ascii);
		if (n_ascii < 0 || len + (size_t)n_ascii + 2 > size)
			return -1;
		if (start > 0)
			into[len++] = '.';
		memcpy(into + len, ascii, (size_t)n_ascii);
		len += (size_t)n_ascii;
		start = i + 1;
	}
	if (len > NAME_MAX_BYTES)
		return -1;
	into[len] = '\0';
	return (int)len;
}

int jid_host_to_unicode(struct slice host, char *into, size_t size)
{
	char name[JID_PART_MAX];
	int len = jid_prep_part(JID_BYTE_HOST, host, name);
	if (len <= 0 || name[0] == '[' || (size_t)len >= size)
		return -1;
	memcpy(into, name, (size_t)len);
	into[len] = '\0';
	return len;
}
