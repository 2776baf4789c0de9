/* Building and changing a stanza: everything that may make its block grow, and cloning.
 *
 * No recursion over trees, here or anywhere in this room: a peer chooses their depth. */
#include <assert.h>

#include "xml/stanza.h"
#include "xml/stanza_private.h"

/* Bytes for text, at any alignment. The block has been given room before. */
static uint32_t put(struct stanza *st, struct slice text)
{
	uint32_t at = st->used;
	if (text.len > 0)
		memcpy(st->block + at, text.ptr, text.len);
	st->used += (uint32_t)text.len;
	return at;
}

/* Zeroed bytes for a node or attribute; needs size + 3 bytes of room. */
static uint32_t put_struct(struct stanza *st, size_t size)
{
	uint32_t at = (st->used + 3) & ~(uint32_t)3;
	memset(st->block + at, 0, size);
	st->used = at + (uint32_t)size;
	return at;
}

/* Writes the namespace down, sharing the bytes of one that is there already. Needs ns.len bytes of room. */
static void put_ns(struct stanza *st, struct element *e, struct slice ns)
{
	e->ns_len = (uint32_t)ns.len;
	if (ns.len == 0) {
		e->ns = 0;
		return;
	}
	if (e->node.parent != 0) {
		const struct element *parent = element_at(st, e->node.parent);
		if (parent->ns_len == ns.len && memcmp(st->block + parent->ns, ns.ptr, ns.len) == 0) {
			e->ns = parent->ns;
			return;
		}
	}
	for (size_t i = 0; i < NS_SEEN; i++) {
		if (st->ns_seen[i].len == ns.len && memcmp(st->block + st->ns_seen[i].at, ns.ptr, ns.len) == 0) {
			e->ns = st->ns_seen[i].at;
			return;
		}
	}
	e->ns = put(st, ns);
	st->ns_seen[st->ns_next].at = e->ns;
	st->ns_seen[st->ns_next].len = e->ns_len;
	st->ns_next = (uint8_t)((st->ns_next + 1) % NS_SEEN);
}

/* A node that has a parent but is in no list yet. */
static uint32_t make_element(struct stanza *st, uint32_t parent, struct slice name, struct slice ns)
{
	stanza_reserve(st, sizeof(struct element) + 3 + name.len + ns.len);
	uint32_t at = put_struct(st, sizeof(struct element));
	struct element *e = element_at(st, at);
	e->node.parent = parent;
	e->node.len = (uint32_t)name.len;
	e->node.at = put(st, name);
	put_ns(st, e, ns);
	return at;
}

static uint32_t make_text(struct stanza *st, uint32_t parent, struct slice text)
{
	stanza_reserve(st, sizeof(struct node) + 3 + text.len);
	uint32_t at = put_struct(st, sizeof(struct node));
	struct node *n = node_at(st, at);
	n->kind = NODE_TEXT;
	n->parent = parent;
	n->len = (uint32_t)text.len;
	n->at = put(st, text);
	return at;
}

/* Puts a node into its parent's list, after `prev` (0: as the first). */
static void link_after(struct stanza *st, uint32_t at, uint32_t prev)
{
	struct node *n = node_at(st, at);
	struct element *parent = element_at(st, n->parent);
	n->prev = prev;
	if (prev != 0) {
		n->next = node_at(st, prev)->next;
		node_at(st, prev)->next = at;
	} else {
		n->next = parent->first;
		parent->first = at;
	}
	if (n->next != 0)
		node_at(st, n->next)->prev = at;
	else
		parent->last = at;
	st->changes++;
}

static void unlink_node(struct stanza *st, uint32_t at)
{
	struct node *n = node_at(st, at);
	struct element *parent = element_at(st, n->parent);
	if (n->prev != 0)
		node_at(st, n->prev)->next = n->next;
	else
		parent->first = n->next;
	if (n->next != 0)
		node_at(st, n->next)->prev = n->prev;
	else
		parent->last = n->prev;
	n->parent = n->prev = n->next = 0;
	st->changes++;
}

/* Makes the text longer, in place when it is the last thing in the block. */
static void extend_text(struct stanza *st, uint32_t at, struct slice text)
{
	struct node *n = node_at(st, at);
	if (n->at + n->len != st->used) {
		uint32_t old_len = n->len;
		stanza_reserve(st, old_len + text.len);
		n = node_at(st, at);
		st->garbage += old_len;
		n->at = put(st, piece(st, n->at, old_len));
	} else {
		stanza_reserve(st, text.len);
		n = node_at(st, at);
	}
	put(st, text);
	n->len += (uint32_t)text.len;
}

/* Texts that have become neighbours become one node. */
static void join_texts(struct stanza *st, uint32_t left)
{
	if (left == 0)
		return;
	uint32_t right = node_at(st, left)->next;
	if (right == 0 || (node_at(st, left)->kind & node_at(st, right)->kind & NODE_TEXT) == 0)
		return;
	/* The right text's bytes move within the block: reserve before looking at them. */
	stanza_reserve(st, node_at(st, left)->len + node_at(st, right)->len);
	struct node *r = node_at(st, right);
	extend_text(st, left, piece(st, r->at, r->len));
	st->garbage += (uint32_t)sizeof(struct node) + r->len;
	unlink_node(st, right);
}

struct el el_add(struct stanza *st, struct el parent, struct slice name, struct slice ns)
{
	uint32_t at = make_element(st, parent.at, name, ns);
	if (parent.at != 0)
		link_after(st, at, element_at(st, parent.at)->last);
	return (struct el){ at };
}

void el_add_text(struct stanza *st, struct el parent, struct slice text)
{
	if (text.len == 0)
		return;
	uint32_t last = element_at(st, parent.at)->last;
	if (last != 0 && (node_at(st, last)->kind & NODE_TEXT) != 0)
		extend_text(st, last, text);
	else
		link_after(st, make_text(st, parent.at, text), last);
}

void stanza_append_attr(struct stanza *st, struct el el, uint32_t *tail, struct slice name, struct slice value)
{
	stanza_reserve(st, sizeof(struct attr) + 3 + name.len + value.len);
	uint32_t at = put_struct(st, sizeof(struct attr));
	struct attr *a = attr_at(st, at);
	a->name_len = (uint32_t)name.len;
	a->name = put(st, name);
	a->value_len = a->value_size = (uint32_t)value.len;
	a->value = put(st, value);
	if (*tail != 0)
		attr_at(st, *tail)->next = at;
	else
		element_at(st, el.at)->attrs = at;
	*tail = at;
}

void el_set_attr(struct stanza *st, struct el el, struct slice name, struct slice value)
{
	uint32_t tail = 0;
	for (uint32_t at = element_at(st, el.at)->attrs; at != 0; at = attr_at(st, at)->next) {
		struct attr *a = attr_at(st, at);
		tail = at;
		if (!slice_equal(piece(st, a->name, a->name_len), name))
			continue;
		if (value.len > a->value_size) {
			/* Twice the room, so that a value which changes for every recipient does not fill the
			 * block. */
			uint32_t size = (uint32_t)value.len + (value.len < 512 ? a->value_size : 0);
			stanza_reserve(st, size);
			a = attr_at(st, at);
			st->garbage += a->value_size;
			a->value = st->used;
			a->value_size = size;
			memset(st->block + st->used, 0, size);
			st->used += size;
		}
		if (value.len > 0)
			memcpy(st->block + a->value, value.ptr, value.len);
		a->value_len = (uint32_t)value.len;
		return;
	}
	stanza_append_attr(st, el, &tail, name, value);
}

void el_remove_attr(struct stanza *st, struct el el, struct slice name)
{
	uint32_t *link = &element_at(st, el.at)->attrs;
	for (; *link != 0; link = &attr_at(st, *link)->next) {
		struct attr *a = attr_at(st, *link);
		if (slice_equal(piece(st, a->name, a->name_len), name)) {
			st->garbage += (uint32_t)sizeof(*a) + a->name_len + a->value_size;
			*link = a->next;
			return;
		}
	}
}

void el_set_name(struct stanza *st, struct el el, struct slice name)
{
	stanza_reserve(st, name.len);
	struct node *n = node_at(st, el.at);
	st->garbage += n->len;
	n->at = put(st, name);
	n->len = (uint32_t)name.len;
}

void el_set_ns(struct stanza *st, struct el el, struct slice ns)
{
	stanza_reserve(st, ns.len);
	struct element *e = element_at(st, el.at);
	e->node.kind &= ~(uint32_t)(NODE_STREAM_NS | NODE_NO_NS);
	put_ns(st, e, ns);
}

void el_set_no_ns(struct stanza *st, struct el el)
{
	el_set_ns(st, el, SLICE_NONE);
	element_at(st, el.at)->node.kind |= NODE_NO_NS;
}

void el_set_stream_ns(struct stanza *st, struct el el, struct slice ns)
{
	el_set_ns(st, el, ns);
	if (ns.len > 0)
		element_at(st, el.at)->node.kind |= NODE_STREAM_NS;
}

/* ---- copies ---- */

static void copy_attrs(struct stanza *st, struct el to, const struct stanza *from_st, struct el from)
{
	uint32_t at = 0, tail = 0;
	struct slice name, value;
	while (el_next_attr(from_st, from, &at, &name, &value))
		stanza_append_attr(st, to, &tail, name, value);
}

/* An element marked as in its stream's namespace keeps the mark where its surroundings have it too, needs no
 * namespace below something built without one, and has it written out anywhere else. */
static void copy_ns(struct stanza *st, uint32_t to, struct slice ns, bool in_stream_ns)
{
	struct element *e = element_at(st, to);
	struct el parent = { e->node.parent };
	if (!in_stream_ns) {
		if (ns.len == 0 && ns.ptr != NULL)
			e->node.kind |= NODE_NO_NS;
		return; /* already written by make_element */
	}
	struct slice around = parent.at != 0 ? el_ns(st, parent) : ns;
	if (around.ptr == NULL)
		e->ns = e->ns_len = 0;
	else if (slice_equal(around, ns) && (parent.at == 0 || el_in_stream_ns(st, parent)))
		e->node.kind |= NODE_STREAM_NS;
}

/* One element without its children, not yet in its parent's list. */
static uint32_t copy_element(struct stanza *st, uint32_t parent, const struct stanza *from_st, struct el from, bool top)
{
	struct slice ns = el_own_ns(from_st, from);
	bool in_stream_ns = (node_at(from_st, from.at)->kind & NODE_STREAM_NS) != 0;
	if (top && ns.ptr == NULL) {
		ns = el_ns(from_st, from);
		in_stream_ns = el_in_stream_ns(from_st, from);
	}
	uint32_t at = make_element(st, parent, el_name(from_st, from), ns);
	copy_ns(st, at, ns, in_stream_ns);
	copy_attrs(st, (struct el){ at }, from_st, from);
	return at;
}

/* Everything below `from` to below `to`; the stanzas are different ones. */
static void copy_children(struct stanza *st, uint32_t to, const struct stanza *from_st, uint32_t from)
{
	uint32_t at = element_at(from_st, from)->first, parent = to;
	while (at != 0) {
		const struct node *n = node_at(from_st, at);
		bool is_text = (n->kind & NODE_TEXT) != 0;
		uint32_t copy = is_text ? make_text(st, parent, piece(from_st, n->at, n->len))
					: copy_element(st, parent, from_st, (struct el){ at }, false);
		link_after(st, copy, element_at(st, parent)->last);
		if (!is_text && element_at(from_st, at)->first != 0) {
			parent = copy;
			at = element_at(from_st, at)->first;
			continue;
		}
		while (at != from && node_at(from_st, at)->next == 0) {
			at = node_at(from_st, at)->parent;
			if (at != from)
				parent = node_at(st, parent)->parent;
		}
		if (at == from)
			return;
		at = node_at(from_st, at)->next;
	}
}

static uint32_t copy_tree(struct stanza *st, uint32_t parent, const struct stanza *from_st, struct el from)
{
	if (from_st != st) {
		uint32_t at = copy_element(st, parent, from_st, from, true);
		copy_children(st, at, from_st, from.at);
		return at;
	}
	/* Copying a part of a stanza into itself, perhaps below itself: by way of a stanza of its own. */
	struct stanza *apart = stanza_clone(from_st, from);
	uint32_t at = copy_element(st, parent, apart, stanza_root(apart), true);
	copy_children(st, at, apart, stanza_root(apart).at);
	stanza_free(&apart);
	return at;
}

struct stanza *stanza_clone(const struct stanza *from, struct el el)
{
	if (!el_equal(el, stanza_root(from)) || (from->used > 512 && from->garbage > from->used / 2)) {
		struct stanza *st = stanza_blank(0);
		copy_tree(st, 0, from, el);
		return st;
	}
	struct stanza *st = stanza_blank(from->used);
	memcpy(st->block, from->block, from->used);
	st->used = from->used;
	st->garbage = from->garbage;
	st->ns_next = from->ns_next;
	memcpy(st->ns_seen, from->ns_seen, sizeof(st->ns_seen));
	return st;
}

struct stanza *stanza_clone_top(const struct stanza *from, struct el el)
{
	struct stanza *st = stanza_blank(0);
	copy_element(st, 0, from, el, true);
	return st;
}

struct el el_add_copy(struct stanza *st, struct el parent, const struct stanza *from_st, struct el from)
{
	uint32_t at = copy_tree(st, parent.at, from_st, from);
	link_after(st, at, element_at(st, parent.at)->last);
	return (struct el){ at };
}

/* ---- replacing and removing ---- */

/* What the node and everything below it take up, namespaces aside. */
static uint32_t weigh(const struct stanza *st, uint32_t top)
{
	uint32_t bytes = 0, at = top;
	for (;;) {
		const struct node *n = node_at(st, at);
		bool is_text = (n->kind & NODE_TEXT) != 0;
		bytes += n->len + (uint32_t)(is_text ? sizeof(struct node) : sizeof(struct element));
		if (!is_text) {
			const struct attr *attr;
			for (uint32_t a = element_at(st, at)->attrs; a != 0; a = attr->next) {
				attr = attr_at(st, a);
				bytes += (uint32_t)sizeof(*attr) + attr->name_len + attr->value_size;
			}
			if (element_at(st, at)->first != 0) {
				at = element_at(st, at)->first;
				continue;
			}
		}
		while (at != top && node_at(st, at)->next == 0)
			at = node_at(st, at)->parent;
		if (at == top)
			return bytes;
		at = node_at(st, at)->next;
	}
}

void el_remove(struct stanza *st, struct el node)
{
	assert(node_at(st, node.at)->parent != 0);
	uint32_t prev = node_at(st, node.at)->prev;
	st->garbage += weigh(st, node.at);
	unlink_node(st, node.at);
	join_texts(st, prev);
}

struct el el_replace(struct stanza *st, struct el node, const struct stanza *from_st, struct el from)
{
	uint32_t parent = node_at(st, node.at)->parent;
	assert(parent != 0);
	uint32_t at = copy_tree(st, parent, from_st, from);
	link_after(st, at, node.at);
	el_remove(st, node);
	return (struct el){ at };
}

void el_replace_with_text(struct stanza *st, struct el node, struct slice text)
{
	if (text.len > 0) {
		uint32_t parent = node_at(st, node.at)->parent;
		assert(parent != 0);
		uint32_t at = make_text(st, parent, text);
		link_after(st, at, node.at);
		st->garbage += weigh(st, node.at);
		unlink_node(st, node.at);
		join_texts(st, at);
		join_texts(st, node_at(st, at)->prev);
		return;
	}
	el_remove(st, node);
}
