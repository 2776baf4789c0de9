/* One XML element and all below it, in one block of memory.
 * Elements, attributes and text refer to each other by offset, never by pointer, so the block can move, a clone is
 * a memcpy and freeing is one free. An element is named by a small value, `struct el`, valid as long as its stanza
 * is. Slices got from a stanza are borrowed until the next change to it (a change may move the block).
 * Names: an element has a local name and a namespace. A namespace of length 0 means "as my parent's" (built
 * without xmlns); the parser always sets it. Attributes are keyed by plain name, by "xml:lang", or by
 * "NAMESPACE\1name".
 * An element can be marked as standing in its stream's own namespace (jabber:client on c2s, jabber:server on s2s):
 * the parser marks a stanza and those below it as long as they stay in that namespace. The mark means "the content
 * namespace of whatever stream I am on" (RFC 6120 4.8.3): such an element is written without xmlns on any stream.
 * What a change displaces stays behind as garbage in the block until the next clone, which leaves it out when it
 * is more than half; an attribute that is set again and again reuses its place. */
#ifndef XML_STANZA_H
#define XML_STANZA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct stanza;

#define STANZA_BYTES_MAX (64U << 20) /* no block may grow beyond this; callers check what others decide */
#define XML_NS "http://www.w3.org/XML/1998/namespace"

struct el {
	uint32_t at; /* offset in the block; 0 is no element */
};
#define EL_NONE ((struct el){ 0 })
static inline bool el_is_none(struct el el) { return el.at == 0; }
static inline bool el_equal(struct el a, struct el b) { return a.at == b.at; }

/* The memory a block lives in. The default is malloc; core/lua supplies one where Lua owns the bytes.
 * resize gives the block at its new size (old content kept), free ends it. */
struct stanza_memory {
	void *(*resize)(void *ctx, void *old, size_t old_size, size_t size);
	void (*free)(void *ctx, void *block);
	void *ctx;
};

/* Gives a stanza whose root is <name xmlns=ns>; ns may be empty. */
struct stanza *stanza_new(struct slice name, struct slice ns);
void stanza_free(struct stanza **stanza);
/* Gives a deep copy of the element and all below it as a stanza of its own. Root copies are a memcpy. A root cut
 * from a parent gets its inherited namespace written down. */
struct stanza *stanza_clone(const struct stanza *stanza, struct el el);
/* Gives a copy of the element with its attributes but no children. */
struct stanza *stanza_clone_top(const struct stanza *stanza, struct el el);
/* Moves the block into other memory (see stanza_memory). The struct stanza itself stays where it is. */
void stanza_move(struct stanza *stanza, const struct stanza_memory *memory);
/* Bytes the block holds. */
size_t stanza_size(const struct stanza *stanza);

struct el stanza_root(const struct stanza *stanza);

/* Reading. Absent things give SLICE_NONE (ptr NULL) or EL_NONE; an empty attribute has a non-NULL ptr. */
struct slice el_name(const struct stanza *st, struct el el);
struct slice el_own_ns(const struct stanza *st, struct el el); /* as written on the element; may be empty */
struct slice el_ns(const struct stanza *st, struct el el);     /* own, or the nearest ancestor's */
bool el_in_stream_ns(const struct stanza *st, struct el el);   /* marked, or inherits from an element that is */
/* Name and effective namespace are exactly these (an empty ns: in none). */
bool el_is(const struct stanza *st, struct el el, struct slice name, struct slice ns);
struct slice el_attr(const struct stanza *st, struct el el, struct slice name);
struct el el_parent(const struct stanza *st, struct el el);

/* Nodes are elements and texts in document order. */
bool el_is_text(const struct stanza *st, struct el node);
struct slice el_text_of(const struct stanza *st, struct el text_node);
struct el el_first_node(const struct stanza *st, struct el el);
struct el el_next_node(const struct stanza *st, struct el node);
/* Child elements only. */
struct el el_first(const struct stanza *st, struct el el);
struct el el_next(const struct stanza *st, struct el el);
uint32_t el_count(const struct stanza *st, struct el el);
/* First child with that name (empty: any) and namespace (empty: the parent's). */
struct el el_child(const struct stanza *st, struct el el, struct slice name, struct slice ns);
/* The next such sibling after `child`. */
struct el el_next_child(const struct stanza *st, struct el child, struct slice name, struct slice ns);
/* The element's first text child; texts that follow each other are always one node. */
struct slice el_text(const struct stanza *st, struct el el);

/* Attribute walk: uint32_t at = 0; while (el_next_attr(st, el, &at, &name, &value)) ... in document order. */
bool el_next_attr(const struct stanza *st, struct el el, uint32_t *at, struct slice *name_r, struct slice *value_r);

/* Building and changing. Slices passed in must not point into the same stanza. */
struct el el_add(struct stanza *st, struct el parent, struct slice name, struct slice ns);
void el_add_text(struct stanza *st, struct el parent, struct slice text); /* joins a text that is already last */
void el_set_attr(struct stanza *st, struct el el, struct slice name, struct slice value);
void el_remove_attr(struct stanza *st, struct el el, struct slice name);
void el_set_name(struct stanza *st, struct el el, struct slice name);
void el_set_ns(struct stanza *st, struct el el, struct slice ns); /* empty: as my parent's */
void el_set_no_ns(struct stanza *st, struct el el);               /* xmlns='': in no namespace, whatever the parent's */
void el_set_stream_ns(struct stanza *st, struct el el, struct slice ns); /* sets ns and the mark described above */
/* Deep copy of `from` (in another or the same stanza) as last child of parent. Gives the copy. */
struct el el_add_copy(struct stanza *st, struct el parent, const struct stanza *from_st, struct el from);
/* Puts a deep copy in the place of `node`, which is removed. */
struct el el_replace(struct stanza *st, struct el node, const struct stanza *from_st, struct el from);
void el_replace_with_text(struct stanza *st, struct el node, struct slice text); /* empty: only removes */
/* Node may be a text; not the root. The removed element can still be read and copied from, without a parent. */
void el_remove(struct stanza *st, struct el node);
/* Counts changes of the tree's shape (not of attributes or names), for callers that remember places in it. */
uint32_t stanza_changes(const struct stanza *st);

/* May these stand in XML? Text and attribute values: valid UTF-8, no controls but TAB, LF, CR, no U+FFFE or
 * U+FFFF. Names: an XML name (ASCII letters, digits, - . _ : and everything beyond ASCII; not starting with digit,
 * - or .). */
bool stanza_text_is_valid(struct slice text);
bool stanza_name_is_valid(struct slice name);

/* For owners that collect memory themselves (core/lua). */
size_t stanza_struct_size(void); /* a multiple of 8 */
size_t stanza_used(const struct stanza *stanza);
/* A stanza whose struct stands in `place` (stanza_struct_size bytes, 8-aligned) and whose block begins as `block`
 * (8-aligned, at least 256 bytes) and grows by memory->resize. stanza_free does nothing to it: both belong to the
 * caller. */
struct stanza *stanza_new_in(void *place, const struct stanza_memory *memory, void *block, size_t size,
	struct slice name, struct slice ns);
/* Moves the block into `block` (8-aligned, at least stanza_used bytes), which belongs to memory from now on. */
void stanza_move_into(struct stanza *stanza, const struct stanza_memory *memory, void *block, size_t size);
/* Moves the struct itself to place; *stanza becomes NULL. As after stanza_new_in, provided the block was moved
 * before. */
struct stanza *stanza_settle(struct stanza **stanza, void *place);

/* T: stanzas alive in C memory now (those settled elsewhere do not count). */
size_t stanza_live_count(void);

#endif
