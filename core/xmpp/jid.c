/* Splitting, parsing and writing JIDs. What makes a part normal is in jid_prep.c; here we only see that almost every
 * JID is in normal form already. Always true: a part is refused or kept whole, never cut. */
#include "xmpp/jid.h"

#include "xmpp/jid_private.h"

/* One pass: splits, and says of each part which kinds all its bytes have. */
static bool split(struct slice text, struct jid *jid_r, unsigned *node_kinds_r, unsigned *host_kinds_r,
	unsigned *resource_kinds_r)
{
	const unsigned char *bytes = (const unsigned char *)text.ptr;
	unsigned kinds = JID_BYTE_ANY;
	size_t start = 0, i;

	*jid_r = (struct jid){ SLICE_NONE, SLICE_NONE, SLICE_NONE };
	*node_kinds_r = *resource_kinds_r = JID_BYTE_ANY;
	for (i = 0; i < text.len && bytes[i] != '/'; i++) {
		if (bytes[i] != '@') {
			kinds &= jid_byte_kind[bytes[i]];
			continue;
		}
		if (i == 0 || start != 0)
			return false;
		jid_r->node = slice_of(text.ptr, i);
		*node_kinds_r = kinds;
		kinds = JID_BYTE_ANY;
		start = i + 1;
	}
	if (i == start)
		return false;
	jid_r->host = slice_of(text.ptr + start, i - start);
	*host_kinds_r = kinds;
	if (i == text.len)
		return true;

	start = i + 1;
	if (start == text.len)
		return false;
	jid_r->resource = slice_from(text, start);
	kinds = JID_BYTE_ANY;
	for (i = start; i < text.len; i++)
		kinds &= jid_byte_kind[bytes[i]];
	*resource_kinds_r = kinds;
	return true;
}

bool jid_split(struct slice text, struct jid *jid_r)
{
	unsigned node_kinds, host_kinds, resource_kinds;
	return split(text, jid_r, &node_kinds, &host_kinds, &resource_kinds);
}

/* Prepares *part into *scratch_at, which moves on. */
static bool prep(unsigned kind, struct slice *part, char **scratch_at)
{
	int len = jid_prep_part(kind, *part, *scratch_at);
	if (len < 0)
		return false;
	*part = slice_of(*scratch_at, (size_t)len);
	*scratch_at += len;
	return true;
}

bool jid_parse(struct slice text, char scratch[JID_MAX], struct jid *jid_r)
{
	unsigned node_kinds, host_kinds, resource_kinds;
	char *at = scratch;

	if (!split(text, jid_r, &node_kinds, &host_kinds, &resource_kinds))
		return false;
	if ((node_kinds & JID_BYTE_NODE) == 0 || jid_r->node.len > JID_PART_MAX)
		if (!prep(JID_BYTE_NODE, &jid_r->node, &at))
			return false;
	if ((host_kinds & JID_BYTE_HOST) == 0 || jid_r->host.len > JID_PART_MAX || !jid_labels_are_plain(jid_r->host))
		if (!prep(JID_BYTE_HOST, &jid_r->host, &at))
			return false;
	if ((resource_kinds & JID_BYTE_RESOURCE) == 0 || jid_r->resource.len > JID_PART_MAX)
		if (!prep(JID_BYTE_RESOURCE, &jid_r->resource, &at))
			return false;
	return true;
}

static char *put(char *at, struct slice text)
{
	if (text.len > 0)
		memcpy(at, text.ptr, text.len);
	return at + text.len;
}

static char *put_bare(char *at, const struct jid *jid)
{
	if (jid->node.len > 0) {
		at = put(at, jid->node);
		*at++ = '@';
	}
	return put(at, jid->host);
}

size_t jid_write(const struct jid *jid, char *into)
{
	char *at = put_bare(into, jid);
	if (jid->resource.len > 0) {
		*at++ = '/';
		at = put(at, jid->resource);
	}
	*at = '\0';
	return (size_t)(at - into);
}

bool jid_equal(const struct jid *a, const struct jid *b)
{
	return slice_equal(a->host, b->host) && slice_equal(a->node, b->node) && slice_equal(a->resource, b->resource);
}

/* XEP-0106 3.2: the only sequences there are. Case is significant. */
static const char escapes[] = "20 \0"
			      "22\"\0"
			      "26&\0"
			      "27'\0"
			      "2f/\0"
			      "3a:\0"
			      "3c<\0"
			      "3e>\0"
			      "40@\0"
			      "5c\\";

/* The character that the sequence at `at` (a backslash) stands for, 0 when it is none of them. */
static char escaped_char(struct slice in, size_t at)
{
	if (in.len - at < 3)
		return 0;
	for (size_t i = 0; i < sizeof(escapes); i += 4)
		if (in.ptr[at + 1] == escapes[i] && in.ptr[at + 2] == escapes[i + 1])
			return escapes[i + 2];
	return 0;
}

/* The two digits for a character that may not stand in a node; NULL when it may. */
static const char *escape_of(char c)
{
	for (size_t i = 0; i < sizeof(escapes); i += 4)
		if (c == escapes[i + 2])
			return &escapes[i];
	return NULL;
}

size_t jid_escape(struct slice in, char *into)
{
	char *at = into;
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		const char *digits = escape_of(c);
		bool is_needed = digits != NULL;
		if (c == '\\')
			is_needed = is_needed && escaped_char(in, i) != 0; /* 4.1 rule 7: only where it could be misread */
		else if (c == ' ')
			is_needed = is_needed && i > 0 && i + 1 < in.len; /* 4.1 rule 6 */
		if (is_needed) {
			*at++ = '\\';
			*at++ = digits[0];
			*at++ = digits[1];
		} else {
			*at++ = c;
		}
	}
	*at = '\0';
	return (size_t)(at - into);
}

size_t jid_unescape(struct slice in, char *into)
{
	char *at = into;
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i] == '\\' ? escaped_char(in, i) : 0;
		if (c == ' ' && (i == 0 || i + 3 == in.len))
			c = 0; /* cannot be an escaped space: 4.1 rule 6 */
		if (c != 0) {
			*at++ = c;
			i += 2;
		} else {
			*at++ = in.ptr[i];
		}
	}
	*at = '\0';
	return (size_t)(at - into);
}
