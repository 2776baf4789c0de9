/* The block, its memory, and reading. Changes are in stanza_edit.c.
 * Blocks of the common size and the structs themselves are kept in two small stacks, so that a busy server does
 * not touch malloc per stanza. They are the only state here besides the live count, and belong to the one thread
 * that runs the loop. Sanitizer builds do without, so that a use after free is seen. */
#include "xml/stanza.h"

#include <assert.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "xml/stanza_private.h"

enum { POOL_BLOCK = 1024 };
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { POOL_MAX = 0 };
#else
enum { POOL_MAX = 64 };
#endif

struct pool {
	size_t count;
	void *items[POOL_MAX + 1];
};
static struct pool blocks, structs;
static size_t live_count;

static void *pool_take(struct pool *pool, size_t size)
{
	return pool->count > 0 ? pool->items[--pool->count] : mem_resize(NULL, size);
}

static void pool_give(struct pool *pool, void *item)
{
	const size_t max = POOL_MAX;
	if (pool->count < max)
		pool->items[pool->count++] = item;
	else
		mem_free(item);
}

static void free_block(struct stanza *st)
{
	if (st->memory.resize != NULL)
		st->memory.free(st->memory.ctx, st->block);
	else if (st->size == POOL_BLOCK)
		pool_give(&blocks, st->block);
	else
		mem_free(st->block);
	st->block = NULL;
}

static void begin(struct stanza *st)
{
	memset(st->block, 0, BLOCK_START);
	st->used = BLOCK_START;
}

struct stanza *stanza_blank(size_t size)
{
	assert(size <= STANZA_BYTES_MAX);
	struct stanza *st = pool_take(&structs, sizeof(*st));
	memset(st, 0, sizeof(*st));
	live_count++;
	if (size <= POOL_BLOCK) {
		st->block = pool_take(&blocks, POOL_BLOCK);
		st->size = POOL_BLOCK;
	} else {
		st->block = mem_resize(NULL, size);
		st->size = (uint32_t)size;
	}
	begin(st);
	return st;
}

void stanza_reserve(struct stanza *st, size_t more)
{
	if (more <= st->size - st->used)
		return;
	size_t need = st->used + more;
	assert(more <= STANZA_BYTES_MAX && need <= STANZA_BYTES_MAX);
	size_t size = st->size;
	while (size < need)
		size *= 2;
	if (st->memory.resize != NULL)
		st->block = st->memory.resize(st->memory.ctx, st->block, st->size, size);
	else
		st->block = mem_resize(st->block, size);
	st->size = (uint32_t)size;
}

struct stanza *stanza_new_in(void *place, const struct stanza_memory *memory, void *block, size_t size,
	struct slice name, struct slice ns)
{
	struct stanza *st = place;
	memset(st, 0, sizeof(*st));
	st->settled = true;
	st->memory = *memory;
	st->block = block;
	st->size = (uint32_t)size;
	begin(st);
	el_add(st, EL_NONE, name, ns);
	return st;
}

struct stanza *stanza_new(struct slice name, struct slice ns)
{
	struct stanza *st = stanza_blank(0);
	el_add(st, EL_NONE, name, ns);
	return st;
}

void stanza_free(struct stanza **stanza)
{
	struct stanza *st = *stanza;
	*stanza = NULL;
	if (st == NULL || st->settled)
		return;
	free_block(st);
	live_count--;
	pool_give(&structs, st);
}

void stanza_move_into(struct stanza *st, const struct stanza_memory *memory, void *block, size_t size)
{
	assert(size >= st->used && size <= STANZA_BYTES_MAX);
	memcpy(block, st->block, st->used);
	free_block(st);
	st->block = block;
	st->size = (uint32_t)size;
	st->memory = memory != NULL ? *memory : (struct stanza_memory){ NULL, NULL, NULL };
}

void stanza_move(struct stanza *st, const struct stanza_memory *memory)
{
	if (memory != NULL) {
		size_t size = (st->used + 7U) & ~(size_t)7;
		stanza_move_into(st, memory, memory->resize(memory->ctx, NULL, 0, size), size);
	} else {
		size_t size = st->used > POOL_BLOCK ? st->used : POOL_BLOCK;
		void *block = size == POOL_BLOCK ? pool_take(&blocks, size) : mem_resize(NULL, size);
		stanza_move_into(st, NULL, block, size);
	}
}

struct stanza *stanza_settle(struct stanza **stanza, void *place)
{
	struct stanza *from = *stanza, *st = place;
	assert(!from->settled && from->memory.resize != NULL);
	*stanza = NULL;
	memcpy(st, from, sizeof(*st));
	st->settled = true;
	live_count--;
	pool_give(&structs, from);
	return st;
}

size_t stanza_struct_size(void)
{
	return (sizeof(struct stanza) + 7) & ~(size_t)7;
}

size_t stanza_size(const struct stanza *st)
{
	return st->size;
}

size_t stanza_used(const struct stanza *st)
{
	return st->used;
}

uint32_t stanza_changes(const struct stanza *st)
{
	return st->changes;
}

size_t stanza_live_count(void)
{
	return live_count;
}

struct el stanza_root(const struct stanza *st)
{
	(void)st;
	return (struct el){ BLOCK_START };
}

/* ---- reading ---- */

struct slice el_name(const struct stanza *st, struct el el)
{
	const struct node *n = node_at(st, el.at);
	return piece(st, n->at, n->len);
}

struct slice el_own_ns(const struct stanza *st, struct el el)
{
	const struct element *e = element_at(st, el.at);
	return has_own_ns(e) ? piece(st, e->ns, e->ns_len) : SLICE_NONE;
}

/* The nearest element, from `at` upwards, that says which namespace it is in; NULL when none does. */
static const struct element *ns_holder(const struct stanza *st, uint32_t at)
{
	while (at != 0) {
		const struct element *e = element_at(st, at);
		if (has_own_ns(e))
			return e;
		at = e->node.parent;
	}
	return NULL;
}

struct slice el_ns(const struct stanza *st, struct el el)
{
	const struct element *e = ns_holder(st, el.at);
	return e != NULL ? piece(st, e->ns, e->ns_len) : SLICE_NONE;
}

bool el_in_stream_ns(const struct stanza *st, struct el el)
{
	const struct element *e = ns_holder(st, el.at);
	return e != NULL && (e->node.kind & NODE_STREAM_NS) != 0;
}

struct slice stanza_scope(const struct stanza *st, struct el el, struct slice context_ns)
{
	/* The nearest holder decides. A marked one is in the context's namespace when what surrounds it is, else
	 * in its own: go up until that is known. */
	const struct element *marked = NULL;
	for (uint32_t at = el.at; at != 0; at = node_at(st, at)->parent) {
		const struct element *e = element_at(st, at);
		if (!has_own_ns(e))
			continue;
		struct slice ns = piece(st, e->ns, e->ns_len);
		if ((e->node.kind & NODE_STREAM_NS) == 0) {
			if (marked == NULL)
				return ns;
			return slice_equal(ns, context_ns) ? context_ns : piece(st, marked->ns, marked->ns_len);
		}
		if (slice_equal(ns, context_ns))
			return context_ns;
		if (marked == NULL)
			marked = e;
	}
	return context_ns;
}

bool el_is(const struct stanza *st, struct el el, struct slice name, struct slice ns)
{
	return slice_equal(el_name(st, el), name) && slice_equal(el_ns(st, el), ns);
}

struct slice el_attr(const struct stanza *st, struct el el, struct slice name)
{
	for (uint32_t at = element_at(st, el.at)->attrs; at != 0; at = attr_at(st, at)->next) {
		const struct attr *a = attr_at(st, at);
		if (slice_equal(piece(st, a->name, a->name_len), name))
			return piece(st, a->value, a->value_len);
	}
	return SLICE_NONE;
}

struct el el_parent(const struct stanza *st, struct el el)
{
	return (struct el){ node_at(st, el.at)->parent };
}

bool el_is_text(const struct stanza *st, struct el node)
{
	return (node_at(st, node.at)->kind & NODE_TEXT) != 0;
}

struct slice el_text_of(const struct stanza *st, struct el text_node)
{
	return el_name(st, text_node); /* kept in the same place */
}

struct el el_first_node(const struct stanza *st, struct el el)
{
	return (struct el){ element_at(st, el.at)->first };
}

struct el el_next_node(const struct stanza *st, struct el node)
{
	return (struct el){ node_at(st, node.at)->next };
}

static struct el skip_texts(const struct stanza *st, uint32_t at)
{
	while (at != 0 && (node_at(st, at)->kind & NODE_TEXT) != 0)
		at = node_at(st, at)->next;
	return (struct el){ at };
}

struct el el_first(const struct stanza *st, struct el el)
{
	return skip_texts(st, element_at(st, el.at)->first);
}

struct el el_next(const struct stanza *st, struct el el)
{
	return skip_texts(st, node_at(st, el.at)->next);
}

uint32_t el_count(const struct stanza *st, struct el el)
{
	uint32_t count = 0;
	for (struct el child = el_first(st, el); !el_is_none(child); child = el_next(st, child))
		count++;
	return count;
}

/* From `child` on. A parent built without namespace and a child in the stream's (or the other way round) are at
 * home in the same namespace: both go without xmlns on a stream. */
static struct el find_child(const struct stanza *st, struct el child, struct slice name, struct slice ns)
{
	if (el_is_none(child))
		return EL_NONE;
	const struct element *above = ns_holder(st, node_at(st, child.at)->parent);
	struct slice parent_ns = above != NULL ? piece(st, above->ns, above->ns_len) : SLICE_NONE;
	bool inherits = ns.len == 0 || slice_equal(ns, parent_ns);
	for (; !el_is_none(child); child = el_next(st, child)) {
		const struct element *e = element_at(st, child.at);
		if (name.len > 0 && !slice_equal(piece(st, e->node.at, e->node.len), name))
			continue;
		if (!has_own_ns(e)) {
			if (inherits)
				return child;
		} else if (slice_equal(piece(st, e->ns, e->ns_len), ns.len > 0 ? ns : parent_ns)) {
			return child;
		} else if (ns.len == 0 && above == NULL && (e->node.kind & NODE_STREAM_NS) != 0) {
			return child;
		}
	}
	return EL_NONE;
}

struct el el_child(const struct stanza *st, struct el el, struct slice name, struct slice ns)
{
	return find_child(st, el_first(st, el), name, ns);
}

struct el el_next_child(const struct stanza *st, struct el child, struct slice name, struct slice ns)
{
	return find_child(st, el_next(st, child), name, ns);
}

struct slice el_text(const struct stanza *st, struct el el)
{
	for (uint32_t at = element_at(st, el.at)->first; at != 0; at = node_at(st, at)->next)
		if ((node_at(st, at)->kind & NODE_TEXT) != 0)
			return piece(st, node_at(st, at)->at, node_at(st, at)->len);
	return SLICE_NONE;
}

bool el_next_attr(const struct stanza *st, struct el el, uint32_t *at, struct slice *name_r, struct slice *value_r)
{
	uint32_t next = *at == 0 ? element_at(st, el.at)->attrs : attr_at(st, *at)->next;
	if (next == 0)
		return false;
	const struct attr *a = attr_at(st, next);
	*name_r = piece(st, a->name, a->name_len);
	*value_r = piece(st, a->value, a->value_len);
	*at = next;
	return true;
}

/* ---- what XML allows ---- */

bool stanza_text_is_valid(struct slice text)
{
	bool ascii = true;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
			return false;
		/* U+FFFE and U+FFFF are EF BF BE and EF BF BF: valid UTF-8, but no characters of XML 1.0 (2.2). */
		if (c == 0xef && text.len - i >= 3 && (unsigned char)text.ptr[i + 1] == 0xbf &&
			(unsigned char)text.ptr[i + 2] >= 0xbe)
			return false;
		if (c >= 0x80)
			ascii = false;
	}
	return ascii || utf8_is_valid(text);
}

bool stanza_name_is_valid(struct slice name)
{
	bool ascii = true;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i], lower = c | 0x20;
		bool starts = (lower >= 'a' && lower <= 'z') || c == '_' || c == ':' || c >= 0x80;
		if (!starts && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '.')))
			return false;
		if (c >= 0x80)
			ascii = false;
	}
	return name.len > 0 && (ascii || stanza_text_is_valid(name));
}
