/* Input waits in `in`; the gate says how much of it expat may see and where stanzas end, and expat.c builds the tree.
 *
 * expat comes up at the first byte that needs it and goes whenever the stream is between stanzas and it holds too
 * much (it never forgets a name). */
#include "xml/parser.h"

#include <assert.h>

#include "base/mem.h"
#include "xml/parser_private.h"

enum {
	INPUT_BYTES_MAX = 64 << 20,   /* pushed at a time */
	INPUT_BYTES_KEPT = 1024,      /* a larger input buffer is not kept while empty */
	EXPAT_BYTES_KEPT = 256 << 10  /* above this it is replaced between stanzas */
};

const struct parser_limits parser_limits_unauthed = {
	.stanza_bytes = 8 << 10, .tag_bytes = 4 << 10, .depth = 8, .elements = 32, .attributes = 64, .ns_bytes = 512,
};
const struct parser_limits parser_limits_c2s = {
	.stanza_bytes = 256 << 10, .tag_bytes = 16 << 10, .depth = 64, .elements = 8192, .attributes = 64,
	.ns_bytes = 512,
};
const struct parser_limits parser_limits_s2s = {
	.stanza_bytes = 512 << 10, .tag_bytes = 16 << 10, .depth = 64, .elements = 8192, .attributes = 64,
	.ns_bytes = 512,
};

static struct parser *new_parser(const struct parser_limits *limits, bool is_document)
{
	struct parser *p = mem_new(sizeof(*p));
	p->limits = *limits;
	p->is_document = is_document;
	p->at_start = true;
	buf_init(&p->in, INPUT_BYTES_MAX);
	gate_init(&p->gate, is_document);
	return p;
}

struct parser *parser_new(const struct parser_limits *limits)
{
	return new_parser(limits, false);
}

struct parser *parser_new_document(const struct parser_limits *limits)
{
	return new_parser(limits, true);
}

/* Everything but limits and settings goes. */
static void drop_all(struct parser *p)
{
	parser_close_expat(p);
	stanza_free(&p->stanza);
	buf_done(&p->in);
	mem_free((char *)p->header.ptr);
	p->header = SLICE_NONE;
	p->from = p->seen = p->whole = 0;
}

void parser_free(struct parser **parser)
{
	if (*parser == NULL)
		return;
	assert(!parser_is_in_expat());
	drop_all(*parser);
	mem_free(*parser);
	*parser = NULL;
}

void parser_reset(struct parser *p)
{
	assert(!parser_is_in_expat());
	drop_all(p);
	gate_init(&p->gate, p->is_document);
	parser_allow(p, p->comments, p->instructions);
	p->el = EL_NONE;
	p->expanded_bytes = 0;
	p->at_start = p->restarted = true;
	p->has_space = p->has_mark = p->finished = p->has_footer = p->is_over = false;
	p->condition = p->text = NULL;
	if (!p->is_document)
		p->content_ns_len = 0;
}

void parser_set_limits(struct parser *p, const struct parser_limits *limits)
{
	p->limits = *limits;
}

void parser_set_content_ns(struct parser *p, struct slice ns)
{
	p->content_ns_len = ns.len <= CONTENT_NS_MAX ? (uint8_t)ns.len : 0;
	if (p->content_ns_len > 0)
		memcpy(p->content_ns, ns.ptr, ns.len);
}

void parser_allow(struct parser *p, bool comments, bool instructions)
{
	assert(p->is_document || (!comments && !instructions));
	p->comments = p->gate.comments = comments;
	p->instructions = p->gate.instructions = instructions;
}

const char *parser_condition(const struct parser *p)
{
	return p->condition;
}

const char *parser_text(const struct parser *p)
{
	return p->text;
}

static struct slice input(const struct parser *p)
{
	return p->in.len > p->from ? slice_from(buf_slice(&p->in), p->from) : SLICE_NONE;
}

static void use_input(struct parser *p, size_t len)
{
	p->from += len;
	p->seen -= p->seen < len ? p->seen : len;
	p->whole -= p->whole < len ? p->whole : len;
	if (p->from < p->in.len)
		return;
	p->from = 0;
	if (p->in.size > INPUT_BYTES_KEPT)
		buf_done(&p->in);
	else
		buf_clear(&p->in);
}

static bool has_input(const struct parser *p)
{
	return p->in.len > p->from;
}

void parser_push(struct parser *p, struct slice bytes)
{
	if (p->condition != NULL)
		return;
	if (p->from > 0) {
		buf_consume(&p->in, p->from);
		p->from = 0;
	}
	if (buf_add(&p->in, bytes) != 0)
		parser_refuse(p, "policy-violation", "too much at once");
}

/* Ends the parser's life. */
static enum parser_result die(struct parser *p)
{
	drop_all(p);
	return PARSER_FAILED;
}

static enum parser_result die_of_gate(struct parser *p)
{
	parser_refuse(p, p->gate.condition, p->gate.text);
	return die(p);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Whitespace between stanzas never reaches expat, so a resting parser sleeps through keepalives. False: too much. */
static bool skip_space(struct parser *p)
{
	struct slice bytes = input(p);
	size_t n = 0;
	while (n < bytes.len && is_space(bytes.ptr[n]))
		n++;
	if (n == 0)
		return true;
	use_input(p, n);
	p->has_space = p->at_start;
	return gate_count_space(&p->gate, &p->limits, n);
}

/* Before the first tag: encodings that are not ours, a byte order mark, the XML declaration. White space before the
 * declaration is not XML, but a line break sent behind the last element of the old stream arrives here after a restart
 * (RFC 6120 4.3.3). PARSER_HEADER means: go on. */
static enum parser_result start_input(struct parser *p)
{
	/* On a stream U+FEFF is a character like others (RFC 6120 11.6), thus text before the first tag; files
	 * have it. */
	const struct slice mark = SLICE("\xef\xbb\xbf");
	struct slice bytes = input(p);
	if (p->is_document && !p->has_mark && bytes.len < mark.len && slice_starts_with(mark, bytes))
		return PARSER_MORE;
	if (p->is_document && !p->has_mark && slice_starts_with(bytes, mark)) {
		p->has_mark = true;
		use_input(p, mark.len);
		if (!skip_space(p))
			return die_of_gate(p);
		bytes = input(p);
	}
	/* UTF-16 and UTF-32, with a mark or without: expat would read them, whatever it was told. */
	unsigned char first = bytes.len > 0 ? (unsigned char)*bytes.ptr : ' ';
	bool is_wide = first == '<' && bytes.len > 1 && bytes.ptr[1] == '\0';
	if (first == 0x00 || first == 0xfe || first == 0xff || is_wide) {
		parser_refuse(p, "unsupported-encoding", "the only encoding is UTF-8 (RFC 6120 11.6)");
		return die(p);
	}
	int len = bytes.len > 0 ? gate_declaration(&p->gate, bytes) : GATE_DECLARATION_UNFINISHED;
	if (len == GATE_DECLARATION_UNFINISHED)
		return PARSER_MORE;
	if (len < 0)
		return die_of_gate(p);
	if (len > 0 && p->has_space && !p->restarted) {
		parser_refuse(p, "not-well-formed", "white space before the XML declaration");
		return die(p);
	}
	if (len > 0) {
		use_input(p, (size_t)len);
		if (!gate_count_space(&p->gate, &p->limits, (size_t)len))
			return die_of_gate(p);
	}
	p->at_start = p->has_mark = p->has_space = false;
	return PARSER_HEADER;
}

static void hand_out(struct parser *p, struct stanza **stanza_r)
{
	*stanza_r = p->stanza;
	p->stanza = NULL;
	p->finished = false;
	p->el = EL_NONE;
	p->expanded_bytes = 0;
	if (p->expat_bytes > EXPAT_BYTES_KEPT)
		parser_close_expat(p);
}

/* Shows expat what the gate has passed, and compares what both have seen. */
static enum parser_result build(struct parser *p, enum gate_stop stop, struct stanza **stanza_r)
{
	struct slice bytes = slice_of(input(p).ptr, p->whole);
	if (bytes.len > 0) {
		parser_show_expat(p, bytes);
		if (stop == GATE_HEADER)
			p->header = slice_of(mem_copy(bytes), bytes.len);
		use_input(p, bytes.len);
	}
	if (p->condition != NULL)
		return die(p);
	bool has_stanza = stop == GATE_HEADER || stop == GATE_STANZA;
	bool has_footer = stop == GATE_FOOTER || (stop == GATE_HEADER && p->gate.header_is_empty);
	if (p->finished != has_stanza || p->has_footer != has_footer) {
		parser_refuse(p, "not-well-formed", "tags do not match");
		return die(p);
	}
	switch (stop) {
	case GATE_HEADER:
		hand_out(p, stanza_r);
		return PARSER_HEADER;
	case GATE_STANZA:
		hand_out(p, stanza_r);
		p->at_start = p->restarted = p->is_document;
		return PARSER_STANZA;
	case GATE_FOOTER:
		p->is_over = true;
		return PARSER_FOOTER;
	case GATE_FAILED:
		return die_of_gate(p);
	case GATE_MISC:
	case GATE_MORE:
		break;
	}
	return PARSER_MORE;
}

/* Up to the next stop of the gate. *again_r: nothing to hand out, but there is more input. */
static enum parser_result step(struct parser *p, struct stanza **stanza_r, bool *again_r)
{
	*again_r = false;
	if (p->condition != NULL)
		return die(p);
	if (p->has_footer && !p->is_over) { /* <stream:stream/>: the header has been handed out */
		p->is_over = true;
		return PARSER_FOOTER;
	}
	if (gate_is_between(&p->gate) && p->whole == 0 && !skip_space(p))
		return die_of_gate(p);
	if (!has_input(p))
		return PARSER_MORE;
	if (p->is_over) {
		parser_refuse(p, "not-well-formed", "something follows the end of the stream");
		return die(p);
	}
	if (p->at_start) {
		enum parser_result started = start_input(p);
		if (started != PARSER_HEADER)
			return started;
		if (!skip_space(p))
			return die_of_gate(p);
		if (!has_input(p))
			return PARSER_MORE;
	}
	enum gate_stop stop = gate_scan(&p->gate, &p->limits, input(p), &p->seen, &p->whole);
	*again_r = stop == GATE_MISC;
	return build(p, stop, stanza_r);
}

enum parser_result parser_next(struct parser *p, struct stanza **stanza_r)
{
	assert(!parser_is_in_expat());
	*stanza_r = NULL;
	enum parser_result result;
	bool again;
	do
		result = step(p, stanza_r, &again);
	while (again && result == PARSER_MORE);
	return result;
}

bool parser_has_rest(const struct parser *p)
{
	for (size_t at = p->from; at < p->in.len; at++) {
		if (!is_space(p->in.ptr[at]))
			return true;
	}
	return false;
}

bool parser_rest(struct parser *p)
{
	if (!gate_is_between(&p->gate) || has_input(p))
		return false;
	parser_close_expat(p);
	buf_done(&p->in);
	p->gate.stanza_bytes = 0;
	return true;
}
