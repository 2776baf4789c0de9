/* The gate: a small scanner that reads ahead of expat. It knows just enough XML to see where tags and stanzas end.
 * Always true: it passes on whole tags, references, comments and instructions, and text as it comes, so that expat
 * never has to scan bytes again when more arrive (quadratic time). Every limit on counts and sizes
 * is checked here, at the same byte however the input is cut. What is not XML it leaves to expat to refuse: should
 * the two ever see different things, the parser notices and the stream ends. */
#ifndef XML_GATE_PRIVATE_H
#define XML_GATE_PRIVATE_H

#include "xml/parser.h"

enum gate_state {
	GATE_TEXT,
	GATE_REFERENCE, /* after & */
	GATE_OPEN,      /* after < */
	GATE_START_TAG,
	GATE_END_TAG,
	GATE_APOS, /* in a value */
	GATE_QUOT,
	GATE_BANG, /* after <! */
	GATE_CDATA,
	GATE_COMMENT,
	GATE_INSTRUCTION
};

enum gate_stop {
	GATE_MORE,   /* all input seen */
	GATE_HEADER, /* the first tag ended */
	GATE_STANZA,
	GATE_FOOTER,
	GATE_MISC,   /* a comment or instruction between stanzas ended */
	GATE_FAILED /* condition and text say why; the bytes before may still be passed on */
};

struct gate {
	enum gate_state state;
	bool document;               /* no surrounding stream: depth begins at 1 */
	bool header_is_empty;        /* <stream:stream/> */
	bool comments, instructions; /* allowed */
	uint8_t brackets;            /* ] just seen in CDATA, up to 2 */
	uint32_t depth;              /* 0 before the header, 1 between stanzas */
	uint32_t attributes;         /* of this tag */
	uint32_t elements;           /* of this stanza */
	size_t token_bytes;          /* of the unfinished tag or reference */
	size_t stanza_bytes;         /* since the last finished stanza */
	const char *condition, *text;
};

void gate_init(struct gate *gate, bool document);
/* At the outermost level and nothing begun? */
bool gate_is_between(const struct gate *gate);

/* Reads bytes from *seen on. Moves *seen behind what was read and *whole behind what may be passed on; the bytes
 * from *whole on have to be offered again, together with what follows them. On any stop but MORE and FAILED both
 * are at the end of the tag that caused it. */
enum gate_stop gate_scan(struct gate *gate, const struct parser_limits *limits, struct slice bytes, size_t *seen,
	size_t *whole);
/* Counts whitespace between stanzas, which nobody else gets to see. False when that is too much. */
bool gate_count_space(struct gate *gate, const struct parser_limits *limits, size_t count);

/* An XML declaration at the start of bytes: 0 when there is none, its length, -1 when refused (gate's condition says
 * why), or GATE_DECLARATION_UNFINISHED. */
enum { GATE_DECLARATION_UNFINISHED = -2, GATE_DECLARATION_MAX = 128 };
int gate_declaration(struct gate *gate, struct slice bytes);

#endif
