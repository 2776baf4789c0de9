/* The inside of a parser, shared by parser.c (input, the gate, what is handed out) and expat.c (what builds the
 * tree). */
#ifndef XML_PARSER_PRIVATE_H
#define XML_PARSER_PRIVATE_H

#include "base/buf.h"
#include "xml/gate_private.h"
#include "xml/parser.h"
#include "xml/stanza.h"

struct XML_ParserStruct; /* expat's own, of which only expat.c knows more */

enum {
	CONTENT_NS_MAX = 31
};

struct parser {
	struct parser_limits limits;
	struct gate gate;
	struct buf in;
	size_t from;        /* where in `in` the input not yet used begins */
	size_t seen, whole; /* of that: read by the gate, fit for expat */

	struct XML_ParserStruct *expat; /* NULL while it rests */
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

/* Shows expat bytes that the gate has passed; it comes up when it rests. The tree grows in p->stanza, p->finished and
 * p->has_footer tell what has ended; whatever is wrong is refused. */
void parser_show_expat(struct parser *p, struct slice bytes);
/* Gives expat's memory back. Nothing happens when it rests. */
void parser_close_expat(struct parser *p);
/* Is some parser's expat on the call stack? Then no parser may be freed or asked for stanzas. */
bool parser_is_in_expat(void);

/* Notes why the stream must end: a condition of RFC 6120 4.9.3 and a text, both literals. The first one counts. */
void parser_refuse(struct parser *p, const char *condition, const char *text);

#endif
