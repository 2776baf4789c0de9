/* The only file that knows expat. Input waits in `in`; the gate says how much of it expat may see and where
 * stanzas end, so expat is only ever called with input that ends, at the latest, where a stanza does. Its handlers
 * build the tree and note what is wrong; nothing is handed out, freed or started anew before the call into expat
 * has returned (SECURITY fact 6: several CVEs).
 * expat comes up at the first byte that needs it and goes whenever the stream is between stanzas and it holds too
 * much (it never forgets a name). A new one is shown the stream's header again, silently. Document parsers show it
 * a header of their own, so that one expat serves many documents. */
#define XML_DTD 1 /* else expat.h hides the attack protection's setters, and calls to them go wrong silently */

#include "xml/parser.h"

#include <assert.h>
#include <expat.h>
#include <stdalign.h>
#include <stdarg.h>

#include "base/buf.h"
#include "base/mem.h"
#include "xml/gate_private.h"
#include "xml/stanza_private.h"

enum {
	FEED_BYTES = 4096,            /* shown to expat at a time; it keeps a buffer of about twice that */
	INPUT_BYTES_MAX = 64 << 20,   /* pushed at a time */
	INPUT_BYTES_KEPT = 1024,      /* a larger input buffer is not kept while empty */
	EXPAT_BYTES_KEPT = 256 << 10, /* above this it is replaced between stanzas */
	EXPAT_BYTES_MAX = 8 << 20,    /* above this it gets no more: out of memory, as far as it knows */
	TRACKER_BYTES = 1 << 20,
	NS_DECLARATIONS_MAX = 32,
	CONTENT_NS_MAX = 31
};
#define AMPLIFICATION_MAX 4
#define NS_SEPARATOR '\1' /* cannot occur in XML, so no URI can fake it (CVE-2022-25236) */
#define DOCUMENT_HEADER SLICE("<d>")

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

struct parser {
	struct parser_limits limits;
	struct gate gate;
	struct buf in;
	size_t from;        /* where in `in` the input not yet used begins */
	size_t seen, whole; /* of that: read by the gate, fit for expat */

	XML_Parser expat; /* NULL while it rests */
	size_t expat_bytes;
	struct slice header; /* the stream's opening tag as it came, owned */

	struct stanza *stanza; /* being built, or finished and not yet handed out */
	size_t expanded_bytes; /* of names with their namespaces, this stanza */
	struct el el;          /* the element we are in */
	uint32_t depth;        /* as expat sees it */
	uint32_t ns_declarations;

	bool is_document;
	bool at_start;  /* an XML declaration may come */
	bool restarted; /* something came before this start, and white space may be left of it */
	bool has_space; /* white space came since the start */
	bool has_mark;  /* a byte order mark came before it */
	bool replaying; /* expat is shown the header again */
	bool finished;  /* expat has ended what it was to build */
	bool has_footer, is_over;
	bool comments, instructions;
	uint8_t content_ns_len;
	char content_ns[CONTENT_NS_MAX]; /* the stream's own namespace */

	const char *condition, *text; /* NULL: alive */
};

/* ---- expat's memory, counted per parser ---- */

/* expat's allocator is told nothing but a size: this is the parser whose expat is running. Set around every call. */
static struct parser *running;
static size_t all_expat_bytes, expat_count;

struct expat_block {
	alignas(max_align_t) size_t size;
};

static void *resize_expat_block(void *old, size_t size)
{
	struct expat_block *block = old != NULL ? (struct expat_block *)old - 1 : NULL;
	size_t old_size = block != NULL ? block->size : 0;
	if (size > EXPAT_BYTES_MAX || running->expat_bytes - old_size + size > EXPAT_BYTES_MAX)
		return NULL;
	block = mem_resize(block, sizeof(*block) + size);
	block->size = size;
	running->expat_bytes += size - old_size;
	all_expat_bytes += size - old_size;
	return block + 1;
}

static void *new_expat_block(size_t size)
{
	return resize_expat_block(NULL, size);
}

static void free_expat_block(void *old)
{
	if (old == NULL)
		return;
	struct expat_block *block = (struct expat_block *)old - 1;
	running->expat_bytes -= block->size;
	all_expat_bytes -= block->size;
	mem_free(block);
}

size_t parser_expat_bytes(void)
{
	return all_expat_bytes;
}

size_t parser_expat_count(void)
{
	return expat_count;
}

/* ---- expat's handlers ---- */

/* The first reason counts. Later callbacks, of which expat makes a few after it was stopped, see the condition and
 * leave. */
static void refuse(struct parser *p, const char *condition, const char *text)
{
	if (p->condition != NULL)
		return;
	p->condition = condition;
	p->text = text;
	if (running == p)
		XML_StopParser(p->expat, XML_FALSE);
}

/* "NS\1name" or "name": gives the name. Neither part can hold the separator. */
static struct slice split_name(struct slice full, struct slice *ns_r)
{
	const char *split = full.len > 0 ? memchr(full.ptr, NS_SEPARATOR, full.len) : NULL;
	if (split == NULL) {
		*ns_r = SLICE_NONE;
		return full;
	}
	*ns_r = slice_of(full.ptr, (size_t)(split - full.ptr));
	return slice_from(full, ns_r->len + 1);
}

static bool count_expanded(struct parser *p, size_t bytes)
{
	p->expanded_bytes += bytes;
	if (p->expanded_bytes <= 4 * p->limits.stanza_bytes)
		return true;
	refuse(p, "policy-violation", "namespaces make a stanza too big");
	return false;
}

/* Names in the namespace of xml: keep their well-known prefix; others are keyed by namespace. */
static void add_attrs(struct parser *p, struct el el, const XML_Char **attrs, uint32_t tail)
{
	for (; attrs[0] != NULL; attrs += 2) {
		struct slice name = slice_of_str(attrs[0]), ns;
		if (!count_expanded(p, name.len))
			return;
		struct slice local = split_name(name, &ns);
		if (!slice_is(ns, XML_NS)) {
			stanza_append_attr(p->stanza, el, &tail, name, slice_of_str(attrs[1]));
			continue;
		}
		char key[64] = "xml:";
		if (local.len > sizeof(key) - 4) {
			refuse(p, "not-well-formed", "an unknown attribute of xml:");
			return;
		}
		memcpy(key + 4, local.ptr, local.len);
		stanza_append_attr(p->stanza, el, &tail, slice_of(key, local.len + 4), slice_of_str(attrs[1]));
	}
}

static void start_header(struct parser *p, struct slice name, struct slice ns, const XML_Char **attrs)
{
	/* Its namespace declarations came first and have made the stanza. */
	uint32_t tail = 0;
	if (p->stanza == NULL) {
		p->stanza = stanza_new(name, ns);
	} else {
		el_set_name(p->stanza, stanza_root(p->stanza), name);
		el_set_ns(p->stanza, stanza_root(p->stanza), ns);
		for (uint32_t at = element_at(p->stanza, stanza_root(p->stanza).at)->attrs; at != 0;
			at = attr_at(p->stanza, at)->next)
			tail = at;
	}
	add_attrs(p, stanza_root(p->stanza), attrs, tail);
	p->finished = true;
}

static bool is_content_ns(const struct parser *p, struct slice ns)
{
	return p->content_ns_len > 0 && slice_equal(ns, slice_of(p->content_ns, p->content_ns_len));
}

static void start_element(struct parser *p, struct slice name, struct slice ns, const XML_Char **attrs)
{
	if (p->depth == 1)
		p->stanza = stanza_new(name, ns);
	struct stanza *st = p->stanza;
	struct el parent = p->el;
	p->el = p->depth == 1 ? stanza_root(st) : el_add(st, parent, name, ns);

	bool in_stream_ns = is_content_ns(p, ns);
	if (p->depth > 1)
		in_stream_ns = in_stream_ns && (element_at(st, parent.at)->node.kind & NODE_STREAM_NS) != 0;
	if (in_stream_ns)
		element_at(st, p->el.at)->node.kind |= NODE_STREAM_NS;
	else if (ns.len == 0 && (p->depth > 1 ? el_ns(st, parent).len > 0 : p->content_ns_len > 0))
		element_at(st, p->el.at)->node.kind |= NODE_NO_NS;
	add_attrs(p, p->el, attrs, 0);
}

static void XMLCALL on_start(void *ctx, const XML_Char *full_name, const XML_Char **attrs)
{
	struct parser *p = ctx;
	if (p->condition != NULL)
		return;
	struct slice ns, full = slice_of_str(full_name), name = split_name(full, &ns);
	p->ns_declarations = 0;
	if (p->replaying) {
		;
	} else if (p->finished) {
		refuse(p, "not-well-formed", "the stanza should have ended before");
	} else if (slice_is(ns, XML_NS)) {
		refuse(p, "bad-namespace-prefix", "no element has the prefix xml");
	} else if (count_expanded(p, full.len)) {
		if (p->depth == 0)
			start_header(p, name, ns, attrs);
		else
			start_element(p, name, ns, attrs);
	}
	p->depth++;
}

static void XMLCALL on_end(void *ctx, const XML_Char *full_name)
{
	(void)full_name;
	struct parser *p = ctx;
	if (p->condition != NULL || p->depth == 0)
		return;
	p->depth--;
	if (p->depth == 0)
		p->has_footer = true;
	else if (p->depth == 1)
		p->finished = true;
	else
		p->el = el_parent(p->stanza, p->el);
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int len)
{
	struct parser *p = ctx;
	if (p->condition != NULL)
		return;
	if (p->depth < 2 || p->finished)
		refuse(p, "bad-format", "text between stanzas");
	else
		el_add_text(p->stanza, p->el, slice_of(text, (size_t)len));
}

/* A header's declarations become attributes of the header; the default one is the stream's content namespace. */
static void note_header_ns(struct parser *p, struct slice prefix, struct slice uri)
{
	if (p->stanza == NULL)
		p->stanza = stanza_new(SLICE_NONE, SLICE_NONE);
	struct el root = stanza_root(p->stanza);
	if (prefix.len == 0) {
		el_set_attr(p->stanza, root, SLICE("xmlns"), uri);
		parser_set_content_ns(p, uri);
		return;
	}
	char key[128] = "xmlns:";
	if (prefix.len > sizeof(key) - 6) {
		refuse(p, "policy-violation", "a namespace prefix is too long");
		return;
	}
	memcpy(key + 6, prefix.ptr, prefix.len);
	el_set_attr(p->stanza, root, slice_of(key, prefix.len + 6), uri);
}

static void XMLCALL on_ns(void *ctx, const XML_Char *prefix, const XML_Char *uri)
{
	struct parser *p = ctx;
	if (p->condition != NULL || p->replaying)
		return;
	struct slice ns = slice_of_str(uri);
	if (ns.len > p->limits.ns_bytes || ++p->ns_declarations > NS_DECLARATIONS_MAX)
		refuse(p, "policy-violation", "a namespace is too long, or there are too many");
	else if (p->depth == 0)
		note_header_ns(p, slice_of_str(prefix), ns);
}

/* What the gate has refused already, should it ever have overlooked it. */
static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system, const XML_Char *public,
	int internal)
{
	(void)name, (void)system, (void)public, (void)internal;
	refuse(ctx, "restricted-xml", "a DTD");
}

static void XMLCALL on_comment(void *ctx, const XML_Char *text)
{
	(void)text;
	struct parser *p = ctx;
	if (!p->comments)
		refuse(p, "restricted-xml", "a comment");
}

static void XMLCALL on_instruction(void *ctx, const XML_Char *target, const XML_Char *text)
{
	(void)target, (void)text;
	struct parser *p = ctx;
	if (!p->instructions)
		refuse(p, "restricted-xml", "a processing instruction");
}

static void XMLCALL on_declaration(void *ctx, const XML_Char *version, const XML_Char *encoding, int standalone)
{
	(void)version, (void)encoding, (void)standalone;
	refuse(ctx, "restricted-xml", "an XML declaration in an odd place");
}

/* ---- expat up and down ---- */

static void close_expat(struct parser *p)
{
	if (p->expat == NULL)
		return;
	running = p;
	XML_ParserFree(p->expat);
	running = NULL;
	p->expat = NULL;
	p->depth = 0;
	expat_count--;
	assert(p->expat_bytes == 0);
}

/* Translates what expat says into RFC 6120 4.9.3. */
static void refuse_as_expat(struct parser *p)
{
	enum XML_Error error = XML_GetErrorCode(p->expat);
	const char *text = XML_ErrorString(error);
	switch (error) {
	case XML_ERROR_UNBOUND_PREFIX:
	case XML_ERROR_UNDECLARING_PREFIX:
	case XML_ERROR_RESERVED_PREFIX_XML:
	case XML_ERROR_RESERVED_PREFIX_XMLNS:
	case XML_ERROR_RESERVED_NAMESPACE_URI:
		refuse(p, "bad-namespace-prefix", text);
		break;
	case XML_ERROR_UNDEFINED_ENTITY: /* 11.1: no references but the predefined ones */
		refuse(p, "restricted-xml", text);
		break;
	case XML_ERROR_UNKNOWN_ENCODING:
	case XML_ERROR_INCORRECT_ENCODING:
		refuse(p, "unsupported-encoding", text);
		break;
	case XML_ERROR_NO_MEMORY:
	case XML_ERROR_AMPLIFICATION_LIMIT_BREACH:
		refuse(p, "policy-violation", "the parser would need too much memory");
		break;
	default:
		refuse(p, "not-well-formed", text != NULL ? text : "not XML");
	}
}

static void show_expat(struct parser *p, struct slice bytes)
{
	while (bytes.len > 0 && p->condition == NULL) {
		size_t len = bytes.len < FEED_BYTES ? bytes.len : FEED_BYTES;
		enum XML_Status status = XML_STATUS_ERROR;
		running = p;
		void *room = XML_GetBuffer(p->expat, (int)len);
		if (room != NULL) {
			memcpy(room, bytes.ptr, len);
			status = XML_ParseBuffer(p->expat, (int)len, XML_FALSE);
		}
		running = NULL;
		if (status == XML_STATUS_ERROR)
			refuse_as_expat(p);
		bytes = slice_from(bytes, len);
	}
}

/* Every protection must be accepted, or there is no parser: a library that lacks them is not one to face the
 * network with. */
static bool protect(XML_Parser expat)
{
	return XML_SetReparseDeferralEnabled(expat, XML_FALSE) == XML_TRUE &&
		XML_SetAllocTrackerActivationThreshold(expat, TRACKER_BYTES) == XML_TRUE &&
		XML_SetAllocTrackerMaximumAmplification(expat, AMPLIFICATION_MAX) == XML_TRUE &&
		XML_SetBillionLaughsAttackProtectionActivationThreshold(expat, TRACKER_BYTES) == XML_TRUE &&
		XML_SetBillionLaughsAttackProtectionMaximumAmplification(expat, AMPLIFICATION_MAX) == XML_TRUE &&
		XML_SetParamEntityParsing(expat, XML_PARAM_ENTITY_PARSING_NEVER) != 0;
}

static void open_expat(struct parser *p)
{
	static const XML_Memory_Handling_Suite memory = { new_expat_block, resize_expat_block, free_expat_block };
	static const XML_Char separator[] = { NS_SEPARATOR, '\0' };
	running = p;
	p->expat = XML_ParserCreate_MM("UTF-8", &memory, separator);
	assert(p->expat != NULL);
	bool is_protected = protect(p->expat);
	assert(is_protected);
	running = NULL;
	expat_count++;
	p->depth = 0;
	XML_SetUserData(p->expat, p);
	XML_SetElementHandler(p->expat, on_start, on_end);
	XML_SetCharacterDataHandler(p->expat, on_text);
	XML_SetStartNamespaceDeclHandler(p->expat, on_ns);
	XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
	XML_SetCommentHandler(p->expat, on_comment);
	XML_SetProcessingInstructionHandler(p->expat, on_instruction);
	XML_SetXmlDeclHandler(p->expat, on_declaration);

	struct slice header = p->is_document ? DOCUMENT_HEADER : p->header;
	if (header.len > 0) {
		p->replaying = true;
		show_expat(p, header);
		p->replaying = false;
	}
}

/* ---- the parser ---- */

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
	close_expat(p);
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
	assert(running == NULL); /* not from inside a handler */
	drop_all(*parser);
	mem_free(*parser);
	*parser = NULL;
}

void parser_reset(struct parser *p)
{
	assert(running == NULL);
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
		refuse(p, "policy-violation", "too much at once");
}

/* Ends the parser's life. */
static enum parser_result die(struct parser *p)
{
	drop_all(p);
	return PARSER_FAILED;
}

static enum parser_result die_of_gate(struct parser *p)
{
	refuse(p, p->gate.condition, p->gate.text);
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
		refuse(p, "unsupported-encoding", "the only encoding is UTF-8 (RFC 6120 11.6)");
		return die(p);
	}
	int len = bytes.len > 0 ? gate_declaration(&p->gate, bytes) : GATE_DECLARATION_UNFINISHED;
	if (len == GATE_DECLARATION_UNFINISHED)
		return PARSER_MORE;
	if (len < 0)
		return die_of_gate(p);
	if (len > 0 && p->has_space && !p->restarted) {
		refuse(p, "not-well-formed", "white space before the XML declaration");
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
		close_expat(p);
}

/* Shows expat what the gate has passed, and compares what both have seen. */
static enum parser_result build(struct parser *p, enum gate_stop stop, struct stanza **stanza_r)
{
	struct slice bytes = slice_of(input(p).ptr, p->whole);
	if (bytes.len > 0) {
		if (p->expat == NULL)
			open_expat(p);
		if (stop == GATE_HEADER)
			p->header = slice_of(mem_copy(bytes), bytes.len);
		show_expat(p, bytes);
		use_input(p, bytes.len);
	}
	if (p->condition != NULL)
		return die(p);
	bool has_stanza = stop == GATE_HEADER || stop == GATE_STANZA;
	bool has_footer = stop == GATE_FOOTER || (stop == GATE_HEADER && p->gate.header_is_empty);
	if (p->finished != has_stanza || p->has_footer != has_footer) {
		refuse(p, "not-well-formed", "tags do not match");
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
		refuse(p, "not-well-formed", "something follows the end of the stream");
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
	assert(running == NULL);
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
	close_expat(p);
	buf_done(&p->in);
	p->gate.stanza_bytes = 0;
	return true;
}
