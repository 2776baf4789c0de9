/* Bytes to HTTP/1.1 requests (RFC 9110, RFC 9112): a reader that is pushed what a connection brought and says what it
 * found: a head, pieces of its body, its end.
 *
 * It is strict, since whatever two programs read differently can be used to smuggle a request past one of them: lines
 * end with CRLF, a field name touches its colon, nothing is folded, there is one Host, and a body is announced by one
 * Content-Length or by `chunked`, never by both. What it refuses it refuses for good, with the status to answer.
 *
 * Always true: however the same bytes are cut, the same things come out. Nothing is kept beyond the head (limits), one
 * line of a chunk's frame, and input that was pushed and not yet asked for. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct http_reader;

enum { HTTP_FIELDS_MAX = 64 };

struct http_limits {
	size_t head_bytes;   /* request line and fields; trailers have as much again */
	unsigned fields;     /* at most HTTP_FIELDS_MAX */
	uint64_t body_bytes; /* of one body; 0 is none, UINT64_MAX no limit */
};
extern const struct http_limits http_default_limits; /* 8 KiB, 64, 1 MiB */

struct http_field {
	struct slice name, value; /* the name as it was sent; the value without spaces around it */
};

/* Slices are borrowed until the next call of http_next or http_push. */
struct http_head {
	struct slice method;        /* a token; case matters */
	struct slice target;        /* path and query; "*" for OPTIONS */
	struct slice path, query;   /* parts of target; query.ptr NULL when there is no "?" */
	struct slice host;          /* of the Host field; ptr NULL when there is none (HTTP/1.0) */
	bool is_1_0;
	bool keeps_alive;           /* what Connection and the version say */
	bool expects_continue;
	bool is_chunked;
	int64_t content_length;     /* -1: not said */
	unsigned n_fields;
	struct http_field fields[HTTP_FIELDS_MAX];
};

/* Why a request is not taken: 400, 413, 417, 431, 501 or 505, and a sentence. */
struct http_refusal {
	int status;
	const char *reason;
};

enum http_result {
	HTTP_MORE,  /* all input used; push more */
	HTTP_HEAD,  /* http_reader_head has it; the body, if any, follows */
	HTTP_BODY,  /* a piece of the body, borrowed until the next call */
	HTTP_END,   /* the request is over; the next http_next begins another */
	HTTP_FAILED /* http_why says why; the reader is dead */
};

struct http_reader *http_reader_new(const struct http_limits *limits);
void http_reader_free(struct http_reader **reader);
/* For the request whose head was just read, or later ones. A Content-Length beyond it fails at the head, unless the
 * limit is raised before the next http_next. */
void http_reader_limit_body(struct http_reader *reader, uint64_t bytes);

/* Gives it input (copied). -1 when more than 128 KiB wait to be asked for: its owner should have paused. */
int http_push(struct http_reader *reader, struct slice bytes);
enum http_result http_next(struct http_reader *reader, struct slice *body_r);
const struct http_head *http_reader_head(const struct http_reader *reader);
/* The bytes of that head, request line and fields with their CRLF: whoever keeps a copy can read it again. */
struct slice http_reader_text(const struct http_reader *reader);
/* Such bytes, with at most fields_max fields (<= HTTP_FIELDS_MAX). -1: they are no head that is taken, *why_r says why.
 * What *head_r holds is borrowed from text. */
int http_head_read(struct slice text, unsigned fields_max, struct http_head *head_r, struct http_refusal *why_r);

/* Between two requests, nothing of the next one here? */
bool http_is_idle(const struct http_reader *reader);
/* Is input left that http_next was not asked for? */
bool http_has_rest(const struct http_reader *reader);
/* What was pushed and not used, for whoever speaks on this connection from now on (101 Switching Protocols). Borrowed
 * until the next call. */
struct slice http_rest(const struct http_reader *reader);

/* After HTTP_FAILED. */
const struct http_refusal *http_why(const struct http_reader *reader);

/* Undoes the escapes of a path, once, to `into` (path.len bytes). The length, or -1 when there is something in it that
 * must not be: a broken escape, a control character, a segment "." or ".." (SECURITY E1). */
int http_decode_path(struct slice path, char *into);
/* Is the path of a head itself what that would give? Most are. */
bool http_path_is_plain(struct slice path);

/* For heads of our own: may these stand there? */
bool http_token_is_valid(struct slice name);
bool http_value_is_valid(struct slice value);

#endif
