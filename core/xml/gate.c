#include "xml/gate_private.h"

#include <string.h>
#include <strings.h>

/* The longest reference with a meaning is &#x10FFFF;, give or take leading zeros. */
enum { REFERENCE_MAX = 32 };

/* What ends a run of uninteresting bytes inside a tag. */
static const bool ends_run[256] = { ['>'] = true, ['\''] = true, ['"'] = true, ['='] = true, ['<'] = true };

void gate_init(struct gate *gate, bool document)
{
	*gate = (struct gate){ .document = document, .depth = document ? 1 : 0 };
}

bool gate_is_between(const struct gate *gate)
{
	return gate->state == GATE_TEXT && gate->depth <= 1;
}

static enum gate_stop fail(struct gate *gate, const char *condition, const char *text)
{
	gate->condition = condition;
	gate->text = text;
	return GATE_FAILED;
}

/* At the outermost level. */
static enum gate_stop misplaced_text(struct gate *gate)
{
	if (gate->document)
		return fail(gate, "not-well-formed", "text outside of the document's element");
	return gate->depth == 1 ? fail(gate, "bad-format", "text between stanzas")
				: fail(gate, "not-well-formed", "text before the first tag");
}

static enum gate_stop restricted(struct gate *gate)
{
	return fail(gate, "restricted-xml", "comments, instructions and DTDs are not allowed (RFC 6120 11.1)");
}

bool gate_count_space(struct gate *gate, const struct parser_limits *limits, size_t count)
{
	gate->stanza_bytes += count;
	if (gate->stanza_bytes <= limits->stanza_bytes)
		return true;
	fail(gate, "policy-violation", "too much whitespace without a stanza");
	return false;
}

static enum gate_stop open_element(struct gate *gate, const struct parser_limits *limits)
{
	gate->attributes = 0;
	gate->state = GATE_START_TAG;
	if (gate->depth == 0)
		return GATE_MORE;
	if (gate->depth > limits->depth)
		return fail(gate, "policy-violation", "elements are nested too deeply");
	if (++gate->elements > limits->elements)
		return fail(gate, "policy-violation", "too many elements in one stanza");
	return GATE_MORE;
}

/* The byte after <. */
static enum gate_stop open_tag(struct gate *gate, const struct parser_limits *limits, char c)
{
	switch (c) {
	case '/':
		gate->state = GATE_END_TAG;
		if (gate->depth == 0 || (gate->depth == 1 && gate->document))
			return fail(gate, "not-well-formed", "an end tag without a start tag");
		return GATE_MORE;
	case '!':
		gate->state = GATE_BANG;
		return GATE_MORE;
	case '?':
		gate->state = GATE_INSTRUCTION;
		return gate->instructions ? GATE_MORE : restricted(gate);
	default:
		return open_element(gate, limits);
	}
}

/* The byte after <!. */
static enum gate_stop open_bang(struct gate *gate, char c)
{
	if (c == '-' && gate->comments) {
		gate->state = GATE_COMMENT;
		return GATE_MORE;
	}
	if (c != '[')
		return restricted(gate);
	if (gate->depth <= 1)
		return misplaced_text(gate);
	gate->brackets = 0;
	gate->state = GATE_CDATA; /* that it says CDATA[ is for expat to check */
	return GATE_MORE;
}

static enum gate_stop finish_stanza(struct gate *gate)
{
	gate->elements = 0;
	gate->stanza_bytes = 0;
	return GATE_STANZA;
}

/* At the > of a start tag. */
static enum gate_stop finish_start(struct gate *gate, bool is_empty)
{
	gate->state = GATE_TEXT;
	if (gate->depth == 0) {
		gate->header_is_empty = is_empty;
		gate->depth = 1;
		gate->stanza_bytes = 0;
		return GATE_HEADER;
	}
	if (!is_empty)
		gate->depth++;
	return gate->depth == 1 ? finish_stanza(gate) : GATE_MORE;
}

static enum gate_stop finish_end(struct gate *gate)
{
	gate->state = GATE_TEXT;
	if (gate->depth == 1)
		return GATE_FOOTER;
	gate->depth--;
	return gate->depth == 1 ? finish_stanza(gate) : GATE_MORE;
}

/* Text up to a tag or a reference. */
static const char *scan_text(struct gate *gate, const char *at, const char *end)
{
	if (*at == '<') { /* tags often follow each other */
		gate->state = GATE_OPEN;
		return at;
	}
	const char *tag = memchr(at, '<', (size_t)(end - at));
	const char *stop = tag != NULL ? tag : end;
	const char *reference = memchr(at, '&', (size_t)(stop - at));
	if (reference != NULL)
		stop = reference;
	if (stop < end)
		gate->state = reference != NULL ? GATE_REFERENCE : GATE_OPEN;
	return stop;
}

/* Until something changes in a tag: the position of the byte that did it, or end. */
static const char *scan_tag(const struct gate *gate, const char *at, const char *end)
{
	const char *found = end;
	switch (gate->state) {
	case GATE_APOS:
		found = memchr(at, '\'', (size_t)(end - at));
		break;
	case GATE_QUOT:
		found = memchr(at, '"', (size_t)(end - at));
		break;
	case GATE_END_TAG:
		found = memchr(at, '>', (size_t)(end - at));
		break;
	default:
		while (at < end && !ends_run[(unsigned char)*at])
			at++;
		found = at;
	}
	return found != NULL ? found : end;
}

/* Takes the byte that changed something; before is the one in front of it. */
static enum gate_stop take_tag_byte(struct gate *gate, const struct parser_limits *limits, char c, char before)
{
	if (gate->state == GATE_APOS || gate->state == GATE_QUOT) {
		gate->state = GATE_START_TAG;
		return GATE_MORE;
	}
	if (gate->state == GATE_END_TAG)
		return finish_end(gate);
	switch (c) {
	case '\'':
		gate->state = GATE_APOS;
		return GATE_MORE;
	case '"':
		gate->state = GATE_QUOT;
		return GATE_MORE;
	case '=':
		if (++gate->attributes > limits->attributes)
			return fail(gate, "policy-violation", "too many attributes in one tag");
		return GATE_MORE;
	case '<':
		return fail(gate, "not-well-formed", "a tag begins inside a tag");
	default:
		return finish_start(gate, before == '/');
	}
}

static const char *scan_cdata(struct gate *gate, const char *at, const char *end)
{
	while (at < end) {
		char c = *at++;
		if (c == ']') {
			if (gate->brackets < 2)
				gate->brackets++;
		} else if (c == '>' && gate->brackets == 2) {
			gate->state = GATE_TEXT;
			break;
		} else {
			gate->brackets = 0;
		}
	}
	return at;
}

/* A reference ends with ; and a byte that cannot be in one makes it expat's to refuse. */
static const char *scan_reference(struct gate *gate, const char *at, const char *end)
{
	while (at < end) {
		unsigned char c = (unsigned char)*at, lower = c | 0x20;
		bool inside = c == '#' || (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z');
		if (!inside) {
			gate->state = GATE_TEXT;
			return c == ';' ? at + 1 : at;
		}
		at++;
	}
	return at;
}

/* Comments and instructions, where they are allowed: up to their end, looking back over what was kept. */
static const char *scan_until(struct gate *gate, const char *token, const char *at, const char *end, struct slice close,
	size_t shortest, enum gate_stop *stop)
{
	while (at < end) {
		at++;
		if (at[-1] == '>' && (size_t)(at - token) >= shortest &&
			memcmp(at - close.len, close.ptr, close.len) == 0) {
			gate->state = GATE_TEXT;
			if (gate->depth <= 1)
				*stop = GATE_MISC;
			break;
		}
	}
	return at;
}

/* One step: from `at` to where the state changes or limit. *whole follows where a token ends. */
static const char *scan_step(struct gate *gate, const struct parser_limits *limits, const char *base, const char *at,
	const char *limit, size_t *whole, enum gate_stop *stop)
{
	const char *from = at;
	switch (gate->state) {
	case GATE_TEXT:
		if (gate->depth <= 1 && *at != '<') {
			*stop = misplaced_text(gate);
			return at;
		}
		at = scan_text(gate, at, limit);
		*whole = (size_t)(at - base);
		gate->token_bytes = 1;
		return at < limit ? at + 1 : at;
	case GATE_CDATA:
		at = scan_cdata(gate, at, limit);
		*whole = (size_t)(at - base);
		return at;
	case GATE_COMMENT:
		return scan_until(gate, base + *whole, at, limit, SLICE("-->"), sizeof("<!---->") - 1, stop);
	case GATE_INSTRUCTION:
		return scan_until(gate, base + *whole, at, limit, SLICE("?>"), sizeof("<?x?>") - 1, stop);
	case GATE_REFERENCE:
		at = scan_reference(gate, at, (size_t)(limit - at) > REFERENCE_MAX ? at + REFERENCE_MAX : limit);
		gate->token_bytes += (size_t)(at - from);
		if (gate->token_bytes > REFERENCE_MAX)
			*stop = fail(gate, "not-well-formed", "an endless reference");
		return at;
	case GATE_OPEN:
		*stop = open_tag(gate, limits, *at);
		if (gate->state == GATE_START_TAG)
			return at; /* the byte may be its > already */
		gate->token_bytes++;
		return at + 1;
	case GATE_BANG:
		gate->token_bytes++;
		*stop = open_bang(gate, *at);
		return at + 1;
	case GATE_START_TAG:
	case GATE_END_TAG:
	case GATE_APOS:
	case GATE_QUOT:
		break;
	}
	size_t room = limits->tag_bytes > gate->token_bytes ? limits->tag_bytes - gate->token_bytes : 0;
	const char *tag_limit = (size_t)(limit - at) > room ? at + room : limit;
	at = scan_tag(gate, at, tag_limit);
	if (at < tag_limit) {
		*stop = take_tag_byte(gate, limits, *at, at[-1]);
		at++;
	} else if (at < limit) {
		*stop = fail(gate, "policy-violation", "a tag is too long");
	}
	gate->token_bytes += (size_t)(at - from);
	return at;
}

enum gate_stop gate_scan(struct gate *gate, const struct parser_limits *limits, struct slice bytes, size_t *seen,
	size_t *whole)
{
	const char *base = bytes.ptr, *from = base + *seen, *end = base + bytes.len;
	size_t left = limits->stanza_bytes > gate->stanza_bytes ? limits->stanza_bytes - gate->stanza_bytes : 0;
	const char *limit = (size_t)(end - from) > left ? from + left : end;

	enum gate_stop stop = GATE_MORE;
	const char *at = from;
	while (at < limit && stop == GATE_MORE) {
		at = scan_step(gate, limits, base, at, limit, whole, &stop);
		if (gate->state == GATE_TEXT && stop != GATE_FAILED)
			*whole = (size_t)(at - base);
	}
	*seen = (size_t)(at - base);

	/* A NUL comes before anything else that may be wrong, so that the verdict does not depend on the cuts. */
	const char *nul = memchr(from, 0, (size_t)(at - from));
	if (nul != NULL) {
		if (*whole > (size_t)(nul - base))
			*whole = (size_t)(nul - base);
		return fail(gate, "not-well-formed", "a NUL byte");
	}
	if (stop != GATE_MORE && stop != GATE_MISC)
		return stop;
	gate->stanza_bytes += (size_t)(at - from);
	if (stop == GATE_MORE && limit < end)
		return fail(gate, "policy-violation", "a stanza is too big");
	return stop;
}

/* ---- the XML declaration ---- */

static bool skip(struct slice *s, struct slice what)
{
	if (!slice_starts_with(*s, what))
		return false;
	*s = slice_from(*s, what.len);
	return true;
}

static bool skip_space(struct slice *s)
{
	size_t n = 0;
	while (n < s->len && s->ptr[n] != '\0' && strchr(" \t\r\n", s->ptr[n]) != NULL)
		n++;
	*s = slice_from(*s, n);
	return n > 0;
}

/* ws name = 'value'; false when something else is there. */
static bool skip_pseudo_attribute(struct slice *s, struct slice name, struct slice *value_r)
{
	struct slice rest = *s;
	if (!skip_space(&rest) || !skip(&rest, name))
		return false;
	skip_space(&rest);
	if (!skip(&rest, SLICE("=")))
		return false;
	skip_space(&rest);
	if (rest.len == 0 || (*rest.ptr != '\'' && *rest.ptr != '"'))
		return false;
	const char *close = memchr(rest.ptr + 1, *rest.ptr, rest.len - 1);
	if (close == NULL)
		return false;
	*value_r = slice_of(rest.ptr + 1, (size_t)(close - rest.ptr) - 1);
	*s = slice_from(rest, value_r->len + 2);
	return true;
}

int gate_declaration(struct gate *gate, struct slice bytes)
{
	const struct slice open = SLICE("<?xml");
	size_t common = bytes.len < open.len ? bytes.len : open.len;
	if (memcmp(bytes.ptr, open.ptr, common) != 0)
		return 0;
	if (bytes.len <= open.len)
		return GATE_DECLARATION_UNFINISHED;
	if (strchr(" \t\r\n", bytes.ptr[open.len]) == NULL || bytes.ptr[open.len] == '\0')
		return 0; /* <?xml-stylesheet and the like */
	size_t len = open.len;
	do {
		if (len >= GATE_DECLARATION_MAX) {
			fail(gate, "not-well-formed", "an endless XML declaration");
			return -1;
		}
		if (len == bytes.len)
			return GATE_DECLARATION_UNFINISHED;
		len++;
	} while (bytes.ptr[len - 1] != '>');

	struct slice inside = slice_of(bytes.ptr + open.len, len - open.len), version, encoding, standalone;
	if (!skip_pseudo_attribute(&inside, SLICE("version"), &version)) {
		fail(gate, "not-well-formed", "an XML declaration without version");
		return -1;
	}
	if (!slice_is(version, "1.0")) {
		fail(gate, "restricted-xml", "only XML 1.0 is spoken here");
		return -1;
	}
	if (skip_pseudo_attribute(&inside, SLICE("encoding"), &encoding) &&
		(encoding.len != 5 || strncasecmp(encoding.ptr, "utf-8", 5) != 0)) {
		fail(gate, "unsupported-encoding", "the only encoding is UTF-8 (RFC 6120 11.6)");
		return -1;
	}
	/* Without a DTD it means nothing; feeds and other documents have it, a stream has no business with it. */
	if (skip_pseudo_attribute(&inside, SLICE("standalone"), &standalone) && !gate->document) {
		fail(gate, "restricted-xml", "an XML declaration with standalone");
		return -1;
	}
	skip_space(&inside);
	if (!slice_is(inside, "?>")) {
		fail(gate, "not-well-formed", "an XML declaration that is none");
		return -1;
	}
	return (int)len;
}
