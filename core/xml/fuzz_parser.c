/* However the same bytes are cut, the same things come out at the same moment; and what came out, written and read
 * again, is the same. The first byte picks the kind of parser and its limits, the next two seed the cuts. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "xml/parser.h"
#include "xml/write.h"

enum { EVENTS_MAX = 4096, STANZA_KEPT = 1 << 16 };

struct fuzz_event {
	enum parser_result result;
	const char *condition;
	size_t at; /* how many bytes had been pushed */
	size_t text_from, text_len;
};

struct run {
	struct fuzz_event events[EVENTS_MAX];
	size_t count;
	struct buf text; /* what came out, serialized */
};

static const struct parser_limits small = {
	.stanza_bytes = 600, .tag_bytes = 100, .depth = 4, .elements = 8, .attributes = 3, .ns_bytes = 40,
};

static struct parser *make(uint8_t kind)
{
	const struct parser_limits *limits = (kind & 2) != 0 ? &small : &parser_limits_c2s;
	struct parser *parser = (kind & 1) != 0 ? parser_new_document(limits) : parser_new(limits);
	if ((kind & 1) != 0) {
		parser_allow(parser, (kind & 4) != 0, (kind & 8) != 0);
		if ((kind & 16) != 0)
			parser_set_content_ns(parser, SLICE("jabber:client"));
	}
	return parser;
}

static bool is_end(enum parser_result result)
{
	return result == PARSER_MORE || result == PARSER_FAILED;
}

/* Writes what the text reads as. False when it is no stanza. */
static bool rewrite(struct slice text, struct slice content_ns, struct buf *again)
{
	struct parser *parser = parser_new_document(&parser_limits_s2s);
	struct stanza *stanza;
	if (content_ns.len > 0)
		parser_set_content_ns(parser, content_ns);
	parser_push(parser, text);
	enum parser_result result = parser_next(parser, &stanza);
	if (result == PARSER_FAILED) /* escapes made it longer than the limit */
		assert(text.len > STANZA_KEPT / 8);
	if (result == PARSER_STANZA) {
		int written = write_el(again, stanza, stanza_root(stanza), SLICE_NONE);
		assert(written == 0);
		stanza_free(&stanza);
	}
	parser_free(&parser);
	return result == PARSER_STANZA;
}

/* What was written reads as itself. With a content namespace an xmlns that names it goes, the first time. */
static void check_round_trip(struct slice text, struct slice content_ns)
{
	struct buf once, twice;
	buf_init(&once, 64 << 20);
	buf_init(&twice, 64 << 20);
	if (rewrite(text, content_ns, &once)) {
		if (content_ns.len == 0)
			assert(slice_equal(buf_slice(&once), text));
		else if (rewrite(buf_slice(&once), content_ns, &twice))
			assert(slice_equal(buf_slice(&twice), buf_slice(&once)));
	}
	buf_done(&once);
	buf_done(&twice);
}

static void add_event(struct run *run, const struct parser *parser, enum parser_result result,
	const struct stanza *stanza, size_t at)
{
	assert(run->count < EVENTS_MAX);
	struct fuzz_event *event = &run->events[run->count++];
	*event = (struct fuzz_event){ .result = result, .condition = "", .at = at, .text_from = run->text.len };
	if (result == PARSER_FAILED)
		event->condition = parser_condition(parser);
	if (stanza != NULL) {
		int written = write_el(&run->text, stanza, stanza_root(stanza), SLICE_NONE);
		assert(written == 0);
		event->text_len = run->text.len - event->text_from;
	}
}

/* Pushes in pieces of 1 (seed 0) or random length. Rests now and then, where limits are wide: a rest forgives
 * whitespace. */
static void run_all(struct run *run, uint8_t kind, struct slice input, uint32_t seed)
{
	struct parser *parser = make(kind);
	run->count = 0;
	buf_init(&run->text, 256 << 20);
	enum parser_result result = PARSER_MORE;
	size_t at = 0;
	while (at < input.len && result != PARSER_FAILED) {
		uint32_t random = seed;
		size_t len = 1;
		if (seed != 0) {
			seed = seed * 1664525 + 1013904223;
			random = seed >> 8;
			len = 1 + random % ((random & 0x700) == 0 ? 600 : 12);
		}
		if (len > input.len - at)
			len = input.len - at;
		parser_push(parser, slice_of(input.ptr + at, len));
		at += len;
		do {
			struct stanza *stanza;
			result = parser_next(parser, &stanza);
			if (result != PARSER_MORE)
				add_event(run, parser, result, stanza, at);
			stanza_free(&stanza);
		} while (!is_end(result));
		if (result == PARSER_MORE && (random & 0x3000) == 0 && (kind & 2) == 0)
			parser_rest(parser);
	}
	parser_free(&parser);
	assert(parser_expat_bytes() == 0 && parser_expat_count() == 0 && stanza_live_count() == 0);
}

static struct slice text_of(const struct run *run, size_t i)
{
	if (run->events[i].text_len == 0)
		return SLICE_NONE;
	return slice_of(run->text.ptr + run->events[i].text_from, run->events[i].text_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > STANZA_KEPT)
		return 0;
	uint8_t kind = data[0];
	struct slice input = slice_of((const char *)data + 3, size - 3);
	static struct run bytewise, cut;
	run_all(&bytewise, kind, input, 0);
	run_all(&cut, kind, input, 1 + (uint32_t)(data[1] << 8 | data[2]));

	assert(bytewise.count == cut.count);
	for (size_t i = 0; i < cut.count; i++) {
		const struct fuzz_event *a = &bytewise.events[i], *b = &cut.events[i];
		assert(a->result == b->result && strcmp(a->condition, b->condition) == 0);
		assert(b->at >= a->at);
		assert(i + 1 == cut.count || b->at <= cut.events[i + 1].at);
		assert(slice_equal(text_of(&bytewise, i), text_of(&cut, i)));
		if (a->result == PARSER_STANZA)
			check_round_trip(text_of(&bytewise, i), (kind & 32) != 0 ? SLICE("jabber:client") : SLICE_NONE);
	}
	buf_done(&bytewise.text);
	buf_done(&cut.text);
	return 0;
}
