/* Bytes to stanzas: expat behind our gate. expat is known to parser.c alone.
 * A stream is <stream:stream ...> and its children; a stanza is one finished child. The property we fuzz: however
 * the same bytes are cut, the same stanzas come out at the same moment, without needing further bytes. Refused,
 * never skipped: DTD, comments, processing instructions, a second or odd XML declaration, encodings other than
 * UTF-8 (RFC 6120 11.1), NUL and non-UTF-8 first bytes. Handlers of expat only build; everything is handed out by
 * parser_next, so a caller may free the parser after any result.
 * A small scanner (the gate, gate_private.h) reads ahead of expat: it finds where stanzas end, checks the limits
 * before memory is spent, and passes only whole tags on, so that no input makes expat scan a byte twice. Bytes
 * since the last finished stanza count, whitespace included. What expat builds must end where the gate said it
 * would, else the stream is not well-formed. When expat itself holds more than 256 KiB between stanzas it is
 * replaced and the stream header replayed. An idle stream calls parser_rest to give expat back entirely; the next
 * push brings it up again. */
#ifndef XML_PARSER_H
#define XML_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct parser;
struct stanza;

struct parser_limits {
	size_t stanza_bytes; /* bytes since the last finished stanza; expanded namespaces count toward 4x this */
	size_t tag_bytes;    /* one unfinished tag */
	uint32_t depth, elements, attributes; /* per stanza, per stanza, per element */
	uint32_t ns_bytes;   /* one namespace URI */
};
extern const struct parser_limits parser_limits_unauthed; /* 8 KiB, 4 KiB, 8, 32, 64, 512 */
extern const struct parser_limits parser_limits_c2s;      /* 256 KiB, 16 KiB, 64, 8192, 64, 512 */
extern const struct parser_limits parser_limits_s2s;      /* 512 KiB, ... */

enum parser_result {
	PARSER_MORE,   /* all input used; push more */
	PARSER_HEADER, /* the stream's opening tag: a stanza without children, its xmlns declarations as attributes
			* "xmlns" and "xmlns:x" */
	PARSER_STANZA, /* one finished child */
	PARSER_FOOTER, /* </stream:stream>; nothing may follow */
	PARSER_FAILED  /* parser_condition and parser_text say why; the parser is dead */
};

/* Always well-formed in the sense of a stream. */
struct parser *parser_new(const struct parser_limits *limits);
/* For input that is one whole document per stanza (WebSocket, BOSH bodies, stored XML): no surrounding stream; the
 * root comes as PARSER_STANZA. An XML declaration may precede it (UTF-8 only). */
struct parser *parser_new_document(const struct parser_limits *limits);
/* Document parsers: elements of this namespace, from the root on, are marked as in the stream's (stanza.h). A stream
 * parser takes it from the header's default namespace. At most 63 bytes. */
void parser_set_content_ns(struct parser *parser, struct slice ns);
/* Document parsers: skip comments or processing instructions instead of refusing them. Never for what a peer
 * sends. */
void parser_allow(struct parser *parser, bool comments, bool instructions);
void parser_free(struct parser **parser);
void parser_set_limits(struct parser *parser, const struct parser_limits *limits);

/* Gives it input (copied). Only after parser_next said PARSER_MORE, or at the start. */
void parser_push(struct parser *parser, struct slice bytes);
/* The next thing in the input. *stanza_r is given to the caller for HEADER and STANZA. */
enum parser_result parser_next(struct parser *parser, struct stanza **stanza_r);
/* Is input left that was not yet handed out (as seen between two parser_next)? White space does not count: RFC 6120
 * 5.3.3 forbids it behind <starttls/>, but go-xmpp sends a line break there, and it can say nothing. */
bool parser_has_rest(const struct parser *parser);
/* Start over, as for a new stream (RFC 6120 4.3.3): header expected next, limits stay. Input left is dropped. */
void parser_reset(struct parser *parser);

/* Give expat back while the stream is quiet. False when in the middle of a stanza (then nothing happens).
 * Whitespace so far is forgiven, so that keepalives (RFC 6120 4.6.1) never add up to a violation. Whitespace does
 * not wake expat. */
bool parser_rest(struct parser *parser);

/* After PARSER_FAILED: an RFC 6120 4.9.3 condition ("not-well-formed", "restricted-xml", "policy-violation",
 * "bad-namespace-prefix", "bad-format", "unsupported-encoding") and a sentence. */
const char *parser_condition(const struct parser *parser);
const char *parser_text(const struct parser *parser);

/* T: bytes held by all expat parsers, and parsers that hold an expat now. */
size_t parser_expat_bytes(void);
size_t parser_expat_count(void);

#endif
