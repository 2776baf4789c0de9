/* Any sequence of changes leaves a whole tree that reads back as it was written. The input is a program: one byte
 * chooses the change, the next ones its place and value. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "xml/parser.h"
#include "xml/write.h"

struct program {
	const uint8_t *at, *end;
};

static uint8_t take(struct program *p)
{
	return p->at < p->end ? *p->at++ : 0;
}

static struct slice take_text(struct program *p)
{
	size_t len = take(p) % 40;
	if (len > (size_t)(p->end - p->at))
		len = (size_t)(p->end - p->at);
	struct slice text = slice_of((const char *)p->at, len);
	p->at += len;
	return stanza_text_is_valid(text) ? text : SLICE("<&>'\"\r\n\t]]> \xc3\xa9");
}

static struct slice take_name(struct program *p)
{
	static const char *const names[] = { "a", "body", "x-y", "_", "\xc3\xa9t\xc3\xa9" };
	return slice_of_str(names[take(p) % 5]);
}

static struct slice take_ns(struct program *p)
{
	static const char *const ns[] = { NULL, "urn:a", "urn:b&'<", "jabber:client" };
	return slice_of_str(ns[take(p) % 4]);
}

static struct slice take_attr_name(struct program *p)
{
	static const char *const names[] = { "to", "xml:lang", "urn:a\1id", "urn:b\1id", "id" };
	return slice_of_str(names[take(p) % 5]);
}

/* The element reached by taking so many steps in document order. */
static struct el take_el(struct program *p, const struct stanza *st)
{
	struct el top = stanza_root(st), at = top;
	for (unsigned steps = take(p); steps > 0; steps--) {
		struct el next = el_first(st, at);
		while (el_is_none(next) && !el_equal(at, top)) {
			next = el_next(st, at);
			if (el_is_none(next))
				at = el_parent(st, at);
		}
		at = el_is_none(next) ? top : next;
	}
	return at;
}

static void change(struct program *p, struct stanza **stanza, const struct stanza *other)
{
	struct stanza *st = *stanza;
	uint8_t what = take(p) % 16;
	struct el el = take_el(p, st);
	bool is_root = el_equal(el, stanza_root(st));
	switch (what) {
	case 0:
	case 1:
	case 2: {
		struct slice name = take_name(p), ns = take_ns(p);
		el_add(st, el, name, ns);
		break;
	}
	case 3:
	case 4:
		el_add_text(st, el, take_text(p));
		break;
	case 5:
	case 6: {
		struct slice name = take_attr_name(p), value = take_text(p);
		el_set_attr(st, el, name, value);
		struct slice got = el_attr(st, el, name);
		assert(slice_equal(got, value) && got.ptr != NULL);
		break;
	}
	case 7: {
		struct slice name = take_attr_name(p);
		el_remove_attr(st, el, name);
		assert(el_attr(st, el, name).ptr == NULL);
		break;
	}
	case 8:
		el_set_ns(st, el, take_ns(p));
		break;
	case 9:
		if ((take(p) & 1) != 0)
			el_set_no_ns(st, el);
		else
			el_set_stream_ns(st, el, SLICE("jabber:client"));
		break;
	case 10:
		el_set_name(st, el, take_name(p));
		break;
	case 11:
		if (!is_root)
			el_remove(st, el);
		break;
	case 12:
		if (!is_root)
			el_replace_with_text(st, el, take_text(p));
		break;
	case 13: {
		struct el from = take_el(p, other);
		if (is_root || (take(p) & 1) != 0)
			el_add_copy(st, el, other, from);
		else
			el_replace(st, el, other, from);
		break;
	}
	case 14:
		if (stanza_used(st) < 1 << 16)
			el_add_copy(st, el, st, take_el(p, st));
		break;
	default: {
		struct stanza *copy = stanza_clone(st, el);
		stanza_free(stanza);
		*stanza = copy;
	}
	}
}

static void check_tree(const struct stanza *st)
{
	struct el top = stanza_root(st), at = top;
	for (;;) {
		if (!el_is_text(st, at)) {
			bool was_text = false;
			for (struct el n = el_first_node(st, at); !el_is_none(n); n = el_next_node(st, n)) {
				bool is_text = el_is_text(st, n);
				assert(el_equal(el_parent(st, n), at) && !(was_text && is_text));
				assert(!is_text || el_text_of(st, n).len > 0);
				was_text = is_text;
			}
			if (!el_is_none(el_first_node(st, at))) {
				at = el_first_node(st, at);
				continue;
			}
		}
		while (!el_equal(at, top) && el_is_none(el_next_node(st, at)))
			at = el_parent(st, at);
		if (el_equal(at, top))
			return;
		at = el_next_node(st, at);
	}
}

/* Written, read and written again. The second time every namespace is known, so the texts are compared after that. */
static void check_round_trip(const struct stanza *st)
{
	static const struct parser_limits wide = {
		.stanza_bytes = 32 << 20, .tag_bytes = 1 << 20, .depth = 100000, .elements = 1000000, .attributes = 64,
		.ns_bytes = 512,
	};
	struct buf once, twice;
	buf_init(&once, 64 << 20);
	buf_init(&twice, 64 << 20);
	int written = write_el(&once, st, stanza_root(st), SLICE_NONE);
	assert(written == 0 && once.len <= write_bound(st, stanza_root(st)));
	struct parser *parser = parser_new_document(&wide);
	parser_push(parser, buf_slice(&once));
	struct stanza *back;
	enum parser_result result = parser_next(parser, &back);
	assert(result == PARSER_STANZA);
	written = write_el(&twice, back, stanza_root(back), SLICE_NONE);
	assert(written == 0 && slice_equal(buf_slice(&once), buf_slice(&twice)));
	stanza_free(&back);
	parser_free(&parser);
	buf_done(&once);
	buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program p = { data, data + size };
	struct stanza *a = stanza_new(SLICE("a"), SLICE_NONE), *b = stanza_new(SLICE("b"), SLICE("urn:b"));
	for (unsigned n = 0; p.at < p.end && n < 200; n++) {
		struct stanza **one = (n & 1) != 0 ? &a : &b, *other = (n & 1) != 0 ? b : a;
		if (stanza_used(*one) < 1 << 16 && stanza_used(other) < 1 << 16)
			change(&p, one, other);
	}
	check_tree(a);
	check_round_trip(a);
	check_tree(b);
	check_round_trip(b);
	stanza_free(&a);
	stanza_free(&b);
	assert(stanza_live_count() == 0);
	return 0;
}
