/* The inside of a stanza, for core/xml only.
 * The block begins with 8 unused bytes (offset 0 is "nothing"), then the root, then everything else in the order
 * it was added. Nodes and attributes are aligned to 4 bytes, text is not. Pointers into the block live until the
 * next `take`. */
#ifndef XML_STANZA_PRIVATE_H
#define XML_STANZA_PRIVATE_H

#include "xml/stanza.h"

enum {
	NODE_TEXT = 1,
	NODE_STREAM_NS = 2, /* element: ns is its stream's content namespace */
	NODE_NO_NS = 4      /* element: explicitly in no namespace (ns_len is 0) */
};

enum { BLOCK_START = 8, NS_SEEN = 8 };

/* An element or a text. */
struct node {
	uint32_t parent, prev, next;
	uint32_t kind;    /* NODE_ bits */
	uint32_t at, len; /* the element's name, or the text */
};

struct element {
	struct node node;
	uint32_t ns, ns_len; /* often shared with the parent or an earlier element */
	uint32_t first, last;
	uint32_t attrs; /* first struct attr */
};

struct attr {
	uint32_t next;
	uint32_t name, name_len;
	uint32_t value, value_len, value_size;
};

struct stanza {
	char *block;
	uint32_t used, size;
	uint32_t garbage; /* bytes of the block that nothing refers to any more */
	uint32_t changes;
	struct stanza_memory memory; /* resize is NULL: malloc */
	bool settled;                /* the struct belongs to somebody else's memory */
	uint8_t ns_next;             /* where in ns_seen the next new namespace goes */
	struct {
		uint32_t at, len;
	} ns_seen[NS_SEEN]; /* so that a namespace is stored once */
};

static inline struct node *node_at(const struct stanza *st, uint32_t at) { return (void *)(st->block + at); }
static inline struct element *element_at(const struct stanza *st, uint32_t at) { return (void *)(st->block + at); }
static inline struct attr *attr_at(const struct stanza *st, uint32_t at) { return (void *)(st->block + at); }

static inline struct slice piece(const struct stanza *st, uint32_t at, uint32_t len)
{
	return slice_of(st->block + at, len);
}

/* Has the element a namespace of its own, be it the explicit absence of one? */
static inline bool has_own_ns(const struct element *e)
{
	return e->ns_len > 0 || (e->node.kind & NODE_NO_NS) != 0;
}

/* A struct with an empty block of at least `size` bytes in malloc memory. */
struct stanza *stanza_blank(size_t size);
/* Room for `more` bytes at st->used. May move the block. */
void stanza_reserve(struct stanza *st, size_t more);

/* For the parser, which knows that the name is new: appends an attribute after *tail (0: first of a new element) and
 * moves *tail. */
void stanza_append_attr(struct stanza *st, struct el el, uint32_t *tail, struct slice name, struct slice value);

/* The default namespace inside el when it stands in context_ns; see write.h. */
struct slice stanza_scope(const struct stanza *st, struct el el, struct slice context_ns);

#endif
