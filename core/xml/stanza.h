/* One XML element and all below it, in one block of memory.
 *
 * Elements, attributes and text refer to each other by offset, never by pointer, so the block can move, a clone is a
 * memcpy and freeing is one free. An element is named by a small value, `struct el`, valid as long as its stanza is.
 * Slices got from a stanza are borrowed until the next change to it (a change may move the block).
 *
 * Names: an element has a local name and a namespace. A namespace of length 0 means "as my parent's" (built without
 * xmlns); the parser always sets it. Attributes are keyed by plain name, by "xml:lang", or by "NAMESPACE\1name". */
#ifndef XML_STANZA_H
#define XML_STANZA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct stanza;

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
/* Gives a deep copy of the element and all below it as a stanza of its own. Root copies are a memcpy. A root cut from a
 * parent gets its inherited namespace written down. */
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
void el_set_ns(struct stanza *st, struct el el, struct slice ns);
/* Deep copy of `from` (in another or the same stanza) as last child of parent. Gives the copy. */
struct el el_add_copy(struct stanza *st, struct el parent, const struct stanza *from_st, struct el from);
/* Puts a deep copy in the place of `node`, which is removed. */
struct el el_replace(struct stanza *st, struct el node, const struct stanza *from_st, struct el from);
void el_remove(struct stanza *st, struct el node); /* node may be a text; not the root */

/* T: stanzas alive now. */
size_t stanza_live_count(void);

#endif
