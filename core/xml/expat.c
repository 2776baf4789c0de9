/* The only file that knows expat. It is only ever called with input that ends, at the latest, where a stanza does. Its
 * handlers build the tree and note what is wrong; nothing is handed out, freed or started anew before the call into
 * expat has returned (several of its CVEs were that). Its memory is counted for each parser, and has a ceiling.
 *
 * A new one is shown the stream's header again, silently. Document parsers show it a header of their own, so that one
 * expat serves many documents. */
#define XML_DTD 1 /* else expat.h hides the attack protection's setters, and calls to them go wrong silently */

#include <assert.h>
#include <expat.h>
#include <stdalign.h>

#include "base/mem.h"
#include "xml/parser_private.h"
#include "xml/stanza_private.h"

enum {
	FEED_BYTES = 4096,          /* shown to expat at a time; it keeps a buffer of about twice that */
	EXPAT_BYTES_MAX = 8 << 20,  /* above this it gets no more: out of memory, as far as it knows */
	TRACKER_BYTES = 1 << 20,
	NS_DECLARATIONS_MAX = 32
};
#define AMPLIFICATION_MAX 4
#define NS_SEPARATOR '\1' /* cannot occur in XML, so no URI can fake it (CVE-2022-25236) */
#define DOCUMENT_HEADER SLICE("<d>")

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

bool parser_is_in_expat(void)
{
	return running != NULL;
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

/* Later callbacks, of which expat makes a few after it was stopped, see the condition and leave. */
void parser_refuse(struct parser *p, const char *condition, const char *text)
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
	parser_refuse(p, "policy-violation", "namespaces make a stanza too big");
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
			parser_refuse(p, "not-well-formed", "an unknown attribute of xml:");
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
		parser_refuse(p, "not-well-formed", "the stanza should have ended before");
	} else if (slice_is(ns, XML_NS)) {
		parser_refuse(p, "bad-namespace-prefix", "no element has the prefix xml");
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
		parser_refuse(p, "bad-format", "text between stanzas");
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
		parser_refuse(p, "policy-violation", "a namespace prefix is too long");
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
		parser_refuse(p, "policy-violation", "a namespace is too long, or there are too many");
	else if (p->depth == 0)
		note_header_ns(p, slice_of_str(prefix), ns);
}

/* What the gate has refused already, should it ever have overlooked it. */
static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system, const XML_Char *public,
	int internal)
{
	(void)name, (void)system, (void)public, (void)internal;
	parser_refuse(ctx, "restricted-xml", "a DTD");
}

static void XMLCALL on_comment(void *ctx, const XML_Char *text)
{
	(void)text;
	struct parser *p = ctx;
	if (!p->comments)
		parser_refuse(p, "restricted-xml", "a comment");
}

static void XMLCALL on_instruction(void *ctx, const XML_Char *target, const XML_Char *text)
{
	(void)target, (void)text;
	struct parser *p = ctx;
	if (!p->instructions)
		parser_refuse(p, "restricted-xml", "a processing instruction");
}

static void XMLCALL on_declaration(void *ctx, const XML_Char *version, const XML_Char *encoding, int standalone)
{
	(void)version, (void)encoding, (void)standalone;
	parser_refuse(ctx, "restricted-xml", "an XML declaration in an odd place");
}

/* ---- expat up and down ---- */

void parser_close_expat(struct parser *p)
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
		parser_refuse(p, "bad-namespace-prefix", text);
		break;
	case XML_ERROR_UNDEFINED_ENTITY: /* 11.1: no references but the predefined ones */
		parser_refuse(p, "restricted-xml", text);
		break;
	case XML_ERROR_UNKNOWN_ENCODING:
	case XML_ERROR_INCORRECT_ENCODING:
		parser_refuse(p, "unsupported-encoding", text);
		break;
	case XML_ERROR_NO_MEMORY:
	case XML_ERROR_AMPLIFICATION_LIMIT_BREACH:
		parser_refuse(p, "policy-violation", "the parser would need too much memory");
		break;
	default:
		parser_refuse(p, "not-well-formed", text != NULL ? text : "not XML");
	}
}

static void show(struct parser *p, struct slice bytes)
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
		show(p, header);
		p->replaying = false;
	}
}

void parser_show_expat(struct parser *p, struct slice bytes)
{
	if (p->expat == NULL)
		open_expat(p);
	show(p, bytes);
}
