/* Always true: what is written parses back to the same tree, whatever the values contain (SECURITY: stanza
 * smuggling). Hence also CR as &#13; in text, which a parser would read as LF, and TAB, LF, CR as references in
 * attributes, which a parser would read as spaces (XML 1.0 2.11, 3.3.3).
 * An attribute literally called xmlns exists only on a received stream header, and is not written. */
#include "xml/write.h"

#include <assert.h>
#include <stdint.h>

#include "xml/stanza_private.h"

enum { IN_TEXT = 1, IN_ATTR = 2, LONGEST_ESCAPE = 6 };

static const uint8_t special[256] = {
	['<'] = IN_TEXT | IN_ATTR, ['>'] = IN_TEXT | IN_ATTR,  ['&'] = IN_TEXT | IN_ATTR,  ['\''] = IN_TEXT | IN_ATTR,
	['"'] = IN_TEXT | IN_ATTR, ['\r'] = IN_TEXT | IN_ATTR, ['\n'] = IN_ATTR,           ['\t'] = IN_ATTR,
};

static struct slice escape_of(char c)
{
	switch (c) {
	case '<': return SLICE("&lt;");
	case '>': return SLICE("&gt;");
	case '&': return SLICE("&amp;");
	case '\'': return SLICE("&apos;");
	case '"': return SLICE("&quot;");
	case '\r': return SLICE("&#13;");
	case '\n': return SLICE("&#10;");
	default: return SLICE("&#9;");
	}
}

/* Where the bytes go: memory of known size, or a buffer that grows. */
struct out {
	char *at, *end;
	struct buf *buf; /* NULL: the caller has seen to it that there is room */
	bool full;
};

static bool more_room(struct out *o, size_t need)
{
	assert(o->buf != NULL); /* else write_bound is wrong */
	o->buf->len = (size_t)(o->at - o->buf->ptr);
	if (o->full || buf_reserve(o->buf, need) != 0) {
		o->full = true;
		return false;
	}
	o->at = o->buf->ptr + o->buf->len;
	o->end = o->buf->ptr + (o->buf->size < o->buf->max ? o->buf->size : o->buf->max);
	return true;
}

static inline bool has_room(struct out *o, size_t need)
{
	return (size_t)(o->end - o->at) >= need || more_room(o, need);
}

static inline void put(struct out *o, struct slice bytes)
{
	if (bytes.len == 0 || !has_room(o, bytes.len))
		return;
	memcpy(o->at, bytes.ptr, bytes.len);
	o->at += bytes.len;
}

static size_t escaped_len(struct slice text, uint8_t where)
{
	size_t len = text.len;
	for (size_t i = 0; i < text.len; i++)
		if ((special[(unsigned char)text.ptr[i]] & where) != 0)
			len += escape_of(text.ptr[i]).len - 1;
	return len;
}

static void put_escaped(struct out *o, struct slice text, uint8_t where)
{
	/* Usually there is room for the worst case; only else look how much is needed. */
	if ((size_t)(o->end - o->at) / LONGEST_ESCAPE < text.len && !has_room(o, escaped_len(text, where)))
		return;
	const char *from = text.ptr, *end = text.ptr + text.len;
	char *to = o->at;
	while (from < end) {
		if ((special[(unsigned char)*from] & where) == 0) {
			*to++ = *from++;
			continue;
		}
		struct slice escape = escape_of(*from++);
		memcpy(to, escape.ptr, escape.len);
		to += escape.len;
	}
	o->at = to;
}

static void put_number(struct out *o, unsigned number)
{
	char digits[12];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	put(o, slice_of(digits + at, sizeof(digits) - at));
}

static void put_attr(struct out *o, struct slice name, struct slice value, unsigned *prefixes)
{
	const char *split = memchr(name.ptr, 1, name.len);
	if (split != NULL) {
		/* In a namespace. Prefixes are ours to choose: ns1, ns2 ... per element. */
		struct slice ns = slice_of(name.ptr, (size_t)(split - name.ptr));
		name = slice_from(name, ns.len + 1);
		if (slice_is(ns, XML_NS)) {
			put(o, SLICE(" xml:"));
		} else {
			++*prefixes;
			put(o, SLICE(" xmlns:ns"));
			put_number(o, *prefixes);
			put(o, SLICE("='"));
			put_escaped(o, ns, IN_ATTR);
			put(o, SLICE("' ns"));
			put_number(o, *prefixes);
			put(o, SLICE(":"));
		}
	} else if (slice_is(name, "xmlns")) {
		return;
	} else {
		put(o, SLICE(" "));
	}
	put(o, name);
	put(o, SLICE("='"));
	put_escaped(o, value, IN_ATTR);
	put(o, SLICE("'"));
}

/* <name xmlns='inside' attributes; the > or /> is up to the caller. */
static void put_open(struct out *o, const struct stanza *st, struct el el, struct slice around, struct slice inside)
{
	put(o, SLICE("<"));
	put(o, el_name(st, el));
	if (!slice_equal(around, inside)) {
		put(o, SLICE(" xmlns='"));
		put_escaped(o, inside, IN_ATTR);
		put(o, SLICE("'"));
	}
	unsigned prefixes = 0;
	uint32_t at = 0;
	struct slice name, value;
	while (el_next_attr(st, el, &at, &name, &value))
		put_attr(o, name, value, &prefixes);
}

/* The default namespace inside an element that is not the top, standing where `around` is the default. */
static struct slice scope_inside(const struct stanza *st, const struct element *e, struct slice around,
	struct slice context_ns)
{
	if (!has_own_ns(e) || ((e->node.kind & NODE_STREAM_NS) != 0 && slice_equal(around, context_ns)))
		return around;
	return piece(st, e->ns, e->ns_len);
}

static void put_tree(struct out *o, const struct stanza *st, struct el top, struct slice context_ns)
{
	uint32_t at = top.at;
	struct slice around = context_ns, inside = stanza_scope(st, top, context_ns);
	for (;;) {
		const struct node *n = node_at(st, at);
		if ((n->kind & NODE_TEXT) != 0) {
			put_escaped(o, piece(st, n->at, n->len), IN_TEXT);
		} else {
			const struct element *e = element_at(st, at);
			if (at != top.at)
				inside = scope_inside(st, e, around, context_ns);
			put_open(o, st, (struct el){ at }, around, inside);
			if (e->first != 0) {
				put(o, SLICE(">"));
				at = e->first;
				around = inside;
				continue;
			}
			put(o, SLICE("/>"));
		}
		bool climbed = false;
		while (at != top.at && node_at(st, at)->next == 0) {
			at = node_at(st, at)->parent;
			put(o, SLICE("</"));
			put(o, el_name(st, (struct el){ at }));
			put(o, SLICE(">"));
			climbed = true;
		}
		if (at == top.at)
			return;
		if (climbed)
			around = stanza_scope(st, (struct el){ node_at(st, at)->parent }, context_ns);
		at = node_at(st, at)->next;
	}
}

static struct out out_to_buf(struct buf *buf)
{
	size_t size = buf->size < buf->max ? buf->size : buf->max;
	return (struct out){ .at = buf->ptr + buf->len, .end = buf->ptr + size, .buf = buf };
}

static int finish(struct out *o, size_t old_len)
{
	o->buf->len = o->full ? old_len : (size_t)(o->at - o->buf->ptr);
	return o->full ? -1 : 0;
}

int write_el(struct buf *into, const struct stanza *st, struct el el, struct slice context_ns)
{
	size_t old_len = into->len;
	if (buf_reserve(into, 1) != 0)
		return -1;
	struct out o = out_to_buf(into);
	put_tree(&o, st, el, context_ns);
	return finish(&o, old_len);
}

size_t write_into(char *into, const struct stanza *st, struct el el, struct slice context_ns)
{
	struct out o = { .at = into, .end = into + write_bound(st, el) };
	put_tree(&o, st, el, context_ns);
	return (size_t)(o.at - into);
}

static size_t bound_of_element(const struct stanza *st, const struct element *e)
{
	size_t bound = 2 * (size_t)e->node.len + sizeof("< xmlns=''></>");
	if (has_own_ns(e))
		bound += LONGEST_ESCAPE * (size_t)e->ns_len;
	for (uint32_t at = e->attrs; at != 0; at = attr_at(st, at)->next) {
		const struct attr *a = attr_at(st, at);
		bound += a->name_len + LONGEST_ESCAPE * (size_t)a->value_len + sizeof(" =''");
		if (memchr(st->block + a->name, 1, a->name_len) != NULL)
			bound += LONGEST_ESCAPE * (size_t)a->name_len + sizeof(" xmlns:ns4294967295='' ns4294967295:");
	}
	return bound;
}

size_t write_bound(const struct stanza *st, struct el el)
{
	uint32_t at = el.at;
	size_t bound = LONGEST_ESCAPE * el_ns(st, el).len; /* the top may need an inherited namespace written down */
	for (;;) {
		const struct node *n = node_at(st, at);
		if ((n->kind & NODE_TEXT) != 0) {
			bound += LONGEST_ESCAPE * (size_t)n->len;
		} else {
			bound += bound_of_element(st, element_at(st, at));
			if (element_at(st, at)->first != 0) {
				at = element_at(st, at)->first;
				continue;
			}
		}
		while (at != el.at && node_at(st, at)->next == 0)
			at = node_at(st, at)->parent;
		if (at == el.at)
			return bound;
		at = node_at(st, at)->next;
	}
}

int write_escaped(struct buf *into, struct slice text)
{
	size_t old_len = into->len;
	if (text.len == 0)
		return 0;
	if (buf_reserve(into, 1) != 0)
		return -1;
	struct out o = out_to_buf(into);
	put_escaped(&o, text, IN_ATTR);
	return finish(&o, old_len);
}

size_t write_text_bound(struct slice text)
{
	return LONGEST_ESCAPE * text.len;
}

size_t write_text_into(char *into, struct slice text)
{
	struct out o = { .at = into, .end = into + write_text_bound(text) };
	put_escaped(&o, text, IN_TEXT);
	return (size_t)(o.at - into);
}
