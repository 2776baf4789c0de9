/* The reader. A head is collected whole (it is small) and looked at once; bodies pass through. */
#include "net/http.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
	INPUT_MAX = 128 * 1024,
	METHOD_MAX = 32,
	CHUNK_LINE_MAX = 256, /* size and extensions, which nobody uses (RFC 9112 7.1.1) */
	CHUNK_DIGITS_MAX = 8,
	LENGTH_DIGITS_MAX = 18,
};

const struct http_limits http_default_limits = { 8 * 1024, HTTP_FIELDS_MAX, 1 << 20 };

enum state {
	HEAD,       /* a head is due */
	BODY_START, /* the head was handed out */
	BODY,       /* of `left` bytes */
	CHUNK_LINE,
	CHUNK,      /* `left` bytes of it */
	CHUNK_END,  /* its CRLF */
	TRAILERS,
	FAILED
};

struct http_reader {
	struct http_limits limits;
	struct http_head head;
	struct slice text;   /* of the head; borrows from input */
	struct buf input;
	size_t used;      /* bytes of input that were handed out: they go at the next call */
	size_t searched;  /* of the head: up to here there is no end */
	uint64_t left;    /* of the body or chunk */
	uint64_t body;    /* bytes of chunks so far */
	size_t trailers;  /* bytes of them so far */
	enum state state;
	struct http_refusal why; /* in FAILED */
};

/* ---- characters ---- */

enum { TOKEN = 1, PATH = 2, QUERY = 4, HOST = 8, HEX = 16 };

/* RFC 9110 5.6.2 tokens; RFC 3986 3.3 paths, 3.4 queries, 3.2.2 hosts with a port. Queries may also hold what browsers
 * leave as it is. */
static const uint8_t classes[256] = {
	['0' ... '9'] = TOKEN | PATH | QUERY | HOST | HEX,
	['a' ... 'f'] = TOKEN | PATH | QUERY | HOST | HEX,
	['A' ... 'F'] = TOKEN | PATH | QUERY | HOST | HEX,
	['g' ... 'z'] = TOKEN | PATH | QUERY | HOST,
	['G' ... 'Z'] = TOKEN | PATH | QUERY | HOST,
	['-'] = TOKEN | PATH | QUERY | HOST, ['.'] = TOKEN | PATH | QUERY | HOST, ['_'] = TOKEN | PATH | QUERY | HOST,
	['~'] = TOKEN | PATH | QUERY | HOST, ['!'] = TOKEN | PATH | QUERY | HOST, ['$'] = TOKEN | PATH | QUERY | HOST,
	['&'] = TOKEN | PATH | QUERY | HOST, ['\''] = TOKEN | PATH | QUERY | HOST, ['*'] = TOKEN | PATH | QUERY | HOST,
	['+'] = TOKEN | PATH | QUERY | HOST, ['('] = PATH | QUERY | HOST, [')'] = PATH | QUERY | HOST,
	[','] = PATH | QUERY | HOST, [';'] = PATH | QUERY | HOST, ['='] = PATH | QUERY | HOST,
	[':'] = PATH | QUERY | HOST, ['%'] = TOKEN | PATH | QUERY, ['@'] = PATH | QUERY, ['/'] = PATH | QUERY,
	['#'] = TOKEN, ['^'] = TOKEN | QUERY, ['`'] = TOKEN | QUERY, ['|'] = TOKEN | QUERY,
	['?'] = QUERY, ['{'] = QUERY, ['}'] = QUERY, ['\\'] = QUERY, ['"'] = QUERY, ['<'] = QUERY, ['>'] = QUERY,
	['['] = QUERY | HOST, [']'] = QUERY | HOST,
};

static bool is_all(struct slice text, uint8_t class)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((classes[(uint8_t)text.ptr[i]] & class) == 0)
			return false;
	}
	return true;
}

bool http_token_is_valid(struct slice name) { return name.len > 0 && is_all(name, TOKEN); }

bool http_value_is_valid(struct slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = (uint8_t)value.ptr[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* other is in lower case */
static bool is_same_word(struct slice text, struct slice other)
{
	if (text.len != other.len)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (lower(text.ptr[i]) != other.ptr[i])
			return false;
	}
	return true;
}

static struct slice trim(struct slice text)
{
	while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
		text = slice_from(text, 1);
	while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* ---- a head ---- */

static int refuse(struct http_refusal *why_r, int status, const char *reason)
{
	*why_r = (struct http_refusal){ status, reason };
	return -1;
}

/* Cuts the text before the first `end` off the front. False when there is none. */
static bool cut(struct slice *text, char end, struct slice *before_r)
{
	const char *at = text->len > 0 ? memchr(text->ptr, end, text->len) : NULL;
	if (at == NULL)
		return false;
	*before_r = slice_of(text->ptr, (size_t)(at - text->ptr));
	*text = slice_from(*text, before_r->len + 1);
	return true;
}

/* A line without its CRLF. False when a CR or LF stands alone. */
static bool cut_line(struct slice *text, struct slice *line_r)
{
	if (!cut(text, '\n', line_r) || line_r->len == 0 || line_r->ptr[line_r->len - 1] != '\r')
		return false;
	line_r->len--;
	return true;
}

static bool has_good_escapes(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] != '%')
			continue;
		if (text.len - i < 3 || (classes[(uint8_t)text.ptr[i + 1]] & HEX) == 0
		    || (classes[(uint8_t)text.ptr[i + 2]] & HEX) == 0)
			return false;
	}
	return true;
}

/* RFC 9112 3.2.2: "http://host/path", as proxies get it, stands for Host and path; both must name the same host. */
static bool cut_authority(struct slice *target, struct slice *authority_r)
{
	for (int i = 0; i < 2; i++) {
		struct slice scheme = i == 0 ? SLICE("http://") : SLICE("https://");
		if (target->len < scheme.len || !is_same_word(slice_of(target->ptr, scheme.len), scheme))
			continue;
		struct slice rest = slice_from(*target, scheme.len);
		size_t len = 0;
		while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
			len++;
		*authority_r = slice_of(rest.ptr, len);
		*target = slice_from(rest, len);
		return len > 0;
	}
	return false;
}

static int read_target(struct http_head *head, struct slice target, struct slice *authority_r,
		       struct http_refusal *why_r)
{
	if (target.len > 0 && target.ptr[0] != '/') {
		if (slice_is(target, "*") && slice_is(head->method, "OPTIONS")) {
			head->target = head->path = target;
			return 0;
		}
		if (!cut_authority(&target, authority_r))
			return refuse(why_r, 400, "The target of the request must be a path");
		if (target.len == 0)
			target = SLICE("/");
	}
	head->target = head->path = target;
	const char *mark = target.len > 0 ? memchr(target.ptr, '?', target.len) : NULL;
	if (mark != NULL) {
		head->path.len = (size_t)(mark - target.ptr);
		head->query = slice_from(target, head->path.len + 1);
	}
	if (head->path.len == 0 || head->path.ptr[0] != '/' || !is_all(head->path, PATH) || !is_all(head->query, QUERY)
	    || !has_good_escapes(head->path) || !has_good_escapes(head->query))
		return refuse(why_r, 400, "The target of the request has characters or escapes that cannot stand there");
	return 0;
}

static int read_request_line(struct http_head *head, struct slice line, struct slice *authority_r,
			     struct http_refusal *why_r)
{
	struct slice target;
	if (!cut(&line, ' ', &head->method) || !http_token_is_valid(head->method) || head->method.len > METHOD_MAX
	    || !cut(&line, ' ', &target))
		return refuse(why_r, 400, "The request line must be METHOD TARGET VERSION");
	if (!slice_is(line, "HTTP/1.1") && !slice_is(line, "HTTP/1.0")) {
		bool is_http = slice_starts_with(line, SLICE("HTTP/")) && line.len == 8 && line.ptr[6] == '.';
		return refuse(why_r, is_http ? 505 : 400, "This server speaks HTTP/1.1 and HTTP/1.0");
	}
	head->is_1_0 = line.ptr[7] == '0';
	return read_target(head, target, authority_r, why_r);
}

/* RFC 9112 5.1: no space before the colon; 5.2: no folding. */
static int read_field(struct slice line, struct http_field *field, struct http_refusal *why_r)
{
	struct slice value = line;
	if (!cut(&value, ':', &field->name) || !http_token_is_valid(field->name))
		return refuse(why_r, 400, "A header line must be NAME: VALUE");
	field->value = trim(value);
	if (!http_value_is_valid(field->value))
		return refuse(why_r, 400, "A header's value has a control character");
	return 0;
}

static int read_length(struct http_head *head, struct slice value, struct http_refusal *why_r)
{
	if (head->content_length >= 0)
		return refuse(why_r, 400, "There is more than one Content-Length");
	int64_t length = 0;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return refuse(why_r, 400, "Content-Length must be a number");
		if (i < LENGTH_DIGITS_MAX)
			length = length * 10 + (value.ptr[i] - '0');
	}
	if (value.len == 0)
		return refuse(why_r, 400, "Content-Length must be a number");
	if (value.len > LENGTH_DIGITS_MAX)
		return refuse(why_r, 413, "The body is larger than what is accepted here");
	head->content_length = length;
	return 0;
}

static void read_connection(struct slice value, bool *closes, bool *stays)
{
	while (value.len > 0) {
		struct slice option;
		if (!cut(&value, ',', &option)) {
			option = value;
			value.len = 0;
		}
		option = trim(option);
		*closes = *closes || is_same_word(option, SLICE("close"));
		*stays = *stays || is_same_word(option, SLICE("keep-alive"));
	}
}

/* The fields that say how the message is framed and where it goes. */
static int understand(struct http_head *head, struct slice authority, struct http_refusal *why_r)
{
	bool closes = false, stays = !head->is_1_0; /* RFC 9112 9.3 */
	for (unsigned i = 0; i < head->n_fields; i++) {
		struct slice name = head->fields[i].name, value = head->fields[i].value;
		if (is_same_word(name, SLICE("host"))) {
			if (head->host.ptr != NULL)
				return refuse(why_r, 400, "There is more than one Host");
			if (!is_all(value, HOST))
				return refuse(why_r, 400, "Host must be a host name");
			head->host = value;
		} else if (is_same_word(name, SLICE("content-length"))) {
			if (read_length(head, value, why_r) != 0)
				return -1;
		} else if (is_same_word(name, SLICE("transfer-encoding"))) {
			if (head->is_1_0 || head->is_chunked)
				return refuse(why_r, 400, "Transfer-Encoding may be given once, in HTTP/1.1");
			if (!is_same_word(value, SLICE("chunked"))) /* RFC 9112 6.1 */
				return refuse(why_r, 501, "The only Transfer-Encoding understood here is chunked");
			head->is_chunked = true;
		} else if (is_same_word(name, SLICE("expect")) && !head->is_1_0) {
			if (!is_same_word(value, SLICE("100-continue")))
				return refuse(why_r, 417, "The only expectation understood here is 100-continue");
			head->expects_continue = true;
		} else if (is_same_word(name, SLICE("connection"))) {
			read_connection(value, &closes, &stays);
		}
	}
	head->keeps_alive = stays && !closes;
	if (head->host.ptr == NULL && !head->is_1_0) /* RFC 9112 3.2 */
		return refuse(why_r, 400, "A request must say its Host");
	if (authority.ptr != NULL) {
		if (!is_all(authority, HOST) || (head->host.ptr != NULL && !slice_equal(authority, head->host)))
			return refuse(why_r, 400, "The target of the request and Host name different hosts");
		head->host = authority;
	}
	if (head->is_chunked && head->content_length >= 0)
		return refuse(why_r, 400, "A body is announced by Content-Length or by chunked, not by both");
	return 0;
}

int http_head_read(struct slice text, unsigned fields_max, struct http_head *head, struct http_refusal *why_r)
{
	struct slice line, authority = SLICE_NONE;
	memset(head, 0, offsetof(struct http_head, fields)); /* of these, n_fields mean something */
	head->content_length = -1;
	if (!cut_line(&text, &line))
		return refuse(why_r, 400, "Lines must end with CR LF");
	if (read_request_line(head, line, &authority, why_r) != 0)
		return -1;
	while (text.len > 0) {
		if (!cut_line(&text, &line))
			return refuse(why_r, 400, "Lines must end with CR LF");
		if (head->n_fields >= fields_max)
			return refuse(why_r, 431, "There are too many header lines");
		if (read_field(line, &head->fields[head->n_fields], why_r) != 0)
			return -1;
		head->n_fields++;
	}
	return understand(head, authority, why_r);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

static bool is_dots(struct slice segment) { return slice_is(segment, ".") || slice_is(segment, ".."); }

bool http_path_is_plain(struct slice path)
{
	struct slice segment;
	if (path.len > 0 && memchr(path.ptr, '%', path.len) != NULL)
		return false;
	while (cut(&path, '/', &segment)) {
		if (is_dots(segment))
			return false;
	}
	return !is_dots(path);
}

int http_decode_path(struct slice path, char *into)
{
	size_t len = 0, start = 0; /* of the segment */
	for (size_t i = 0; i <= path.len; i++) {
		char c = i < path.len ? path.ptr[i] : '/';
		if (c == '%') {
			if (path.len - i < 3 || hex(path.ptr[i + 1]) < 0 || hex(path.ptr[i + 2]) < 0)
				return -1;
			c = (char)(hex(path.ptr[i + 1]) << 4 | hex(path.ptr[i + 2]));
			i += 2;
		}
		if ((uint8_t)c < ' ' || c == 0x7f)
			return -1;
		if (c == '/') {
			if (is_dots(slice_of(into + start, len - start)))
				return -1;
			start = len + 1;
		}
		if (i < path.len)
			into[len++] = c;
	}
	return (int)len;
}

/* ---- the reader ---- */

struct http_reader *http_reader_new(const struct http_limits *limits)
{
	assert(limits->fields <= HTTP_FIELDS_MAX && limits->head_bytes <= INPUT_MAX / 2);
	struct http_reader *reader = mem_new(sizeof(*reader));
	reader->limits = *limits;
	buf_init(&reader->input, INPUT_MAX);
	return reader;
}

void http_reader_free(struct http_reader **reader)
{
	if (*reader == NULL)
		return;
	buf_done(&(*reader)->input);
	mem_free(*reader);
	*reader = NULL;
}

void http_reader_limit_body(struct http_reader *reader, uint64_t bytes) { reader->limits.body_bytes = bytes; }

const struct http_head *http_reader_head(const struct http_reader *reader) { return &reader->head; }
struct slice http_reader_text(const struct http_reader *reader) { return reader->text; }

const struct http_refusal *http_why(const struct http_reader *reader) { return &reader->why; }

struct slice http_rest(const struct http_reader *reader)
{
	return slice_of(reader->input.ptr + reader->used, reader->input.len - reader->used);
}

bool http_has_rest(const struct http_reader *reader) { return reader->input.len > reader->used; }
bool http_is_idle(const struct http_reader *reader) { return reader->state == HEAD && !http_has_rest(reader); }

/* What was handed out is over; a connection that waits holds no memory for input. */
static void settle(struct http_reader *reader)
{
	if (reader->used == reader->input.len)
		buf_done(&reader->input);
	else if (reader->used > 0)
		buf_consume(&reader->input, reader->used);
	reader->used = 0;
}

int http_push(struct http_reader *reader, struct slice bytes)
{
	settle(reader);
	return buf_add(&reader->input, bytes);
}

static enum http_result fail(struct http_reader *reader, int status, const char *reason)
{
	reader->state = FAILED;
	reader->why = (struct http_refusal){ status, reason };
	return HTTP_FAILED;
}

/* RFC 9112 2.2: an empty line before the request is forgiven, once. */
static enum http_result next_head(struct http_reader *reader)
{
	struct slice input = buf_slice(&reader->input);
	size_t skipped = input.len >= 2 && input.ptr[0] == '\r' && input.ptr[1] == '\n' ? 2 : 0;
	size_t end = input.len < reader->limits.head_bytes ? input.len : reader->limits.head_bytes;
	const char *found;
	/* A lone LF is found before it can hide the end. */
	for (size_t at = reader->searched; at < end && (found = memchr(input.ptr + at, '\n', end - at)) != NULL; at++) {
		at = (size_t)(found - input.ptr);
		if (at == 0 || input.ptr[at - 1] != '\r')
			return fail(reader, 400, "Lines must end with CR LF");
		if (at < skipped + 2 || input.ptr[at - 2] != '\n')
			continue;
		reader->searched = 0;
		reader->text = slice_of(input.ptr + skipped, at - 1 - skipped); /* without the empty line */
		if (http_head_read(reader->text, reader->limits.fields, &reader->head, &reader->why) != 0) {
			reader->state = FAILED;
			return HTTP_FAILED;
		}
		reader->used = at + 1;
		reader->state = BODY_START;
		return HTTP_HEAD;
	}
	if (input.len >= reader->limits.head_bytes)
		return fail(reader, 431, "The head of the request is too long");
	reader->searched = input.len;
	return HTTP_MORE;
}

static enum http_result start_body(struct http_reader *reader)
{
	struct http_head *head = &reader->head;
	if (head->is_chunked) {
		reader->body = 0;
		reader->trailers = 0;
		reader->state = CHUNK_LINE;
		return HTTP_MORE;
	}
	uint64_t length = head->content_length > 0 ? (uint64_t)head->content_length : 0;
	if (length > reader->limits.body_bytes)
		return fail(reader, 413, "The body is larger than what is accepted here");
	reader->left = length;
	reader->state = BODY;
	return HTTP_MORE;
}

static enum http_result next_piece(struct http_reader *reader, struct slice *body_r)
{
	size_t len = reader->input.len < reader->left ? reader->input.len : (size_t)reader->left;
	if (len == 0)
		return HTTP_MORE;
	*body_r = slice_of(reader->input.ptr, len);
	reader->used = len;
	reader->left -= len;
	return HTTP_BODY;
}

/* RFC 9112 7.1. Extensions are understood by nobody and passed over. */
static enum http_result next_chunk(struct http_reader *reader)
{
	struct slice rest = buf_slice(&reader->input), line;
	if (rest.len == 0 || memchr(rest.ptr, '\n', rest.len) == NULL)
		return rest.len > CHUNK_LINE_MAX + 1 ? fail(reader, 400, "A chunk's first line is too long") : HTTP_MORE;
	if (!cut_line(&rest, &line) || line.len > CHUNK_LINE_MAX)
		return fail(reader, 400, "A chunk's first line is not well-formed");
	size_t digits = 0;
	uint64_t size = 0;
	while (digits < line.len && hex(line.ptr[digits]) >= 0)
		size = size << 4 | (uint64_t)hex(line.ptr[digits++]);
	struct slice extension = slice_from(line, digits);
	if (digits == 0 || digits > CHUNK_DIGITS_MAX || !http_value_is_valid(extension)
	    || (extension.len > 0 && extension.ptr[0] != ';'))
		return fail(reader, 400, "A chunk's first line is not well-formed");
	if (size > reader->limits.body_bytes || reader->body > reader->limits.body_bytes - size)
		return fail(reader, 413, "The body is larger than what is accepted here");
	reader->used = reader->input.len - rest.len;
	reader->body += size;
	reader->left = size;
	reader->state = size > 0 ? CHUNK : TRAILERS;
	return HTTP_MORE;
}

static enum http_result end_chunk(struct http_reader *reader)
{
	struct slice input = buf_slice(&reader->input);
	if ((input.len > 0 && input.ptr[0] != '\r') || (input.len > 1 && input.ptr[1] != '\n'))
		return fail(reader, 400, "A chunk is longer than it said");
	if (input.len < 2)
		return HTTP_MORE;
	reader->used = 2;
	reader->state = CHUNK_LINE;
	return HTTP_MORE;
}

static enum http_result end(struct http_reader *reader)
{
	reader->state = HEAD;
	return HTTP_END;
}

/* RFC 9112 7.1.2: trailers must be well-formed, and are dropped. */
static enum http_result next_trailer(struct http_reader *reader)
{
	struct slice rest = buf_slice(&reader->input), line;
	struct http_field field;
	const char *end_of_line = rest.len > 0 ? memchr(rest.ptr, '\n', rest.len) : NULL;
	size_t len = end_of_line != NULL ? (size_t)(end_of_line - rest.ptr) : rest.len;
	if (reader->trailers + len >= reader->limits.head_bytes)
		return fail(reader, 431, "The trailers are too long");
	if (end_of_line == NULL)
		return HTTP_MORE;
	if (!cut_line(&rest, &line))
		return fail(reader, 400, "Lines must end with CR LF");
	reader->used = len + 1;
	reader->trailers += reader->used;
	if (line.len == 0)
		return end(reader);
	if (read_field(line, &field, &reader->why) == 0)
		return HTTP_MORE;
	reader->state = FAILED;
	return HTTP_FAILED;
}

static enum http_result step(struct http_reader *reader, struct slice *body_r)
{
	switch (reader->state) {
	case HEAD:
		return next_head(reader);
	case BODY_START:
		return start_body(reader);
	case BODY:
		return reader->left == 0 ? end(reader) : next_piece(reader, body_r);
	case CHUNK_LINE:
		return next_chunk(reader);
	case CHUNK:
		if (reader->left > 0)
			return next_piece(reader, body_r);
		reader->state = CHUNK_END;
		return HTTP_MORE;
	case CHUNK_END:
		return end_chunk(reader);
	case TRAILERS:
		return next_trailer(reader);
	case FAILED:
		break;
	}
	return HTTP_FAILED;
}

enum http_result http_next(struct http_reader *reader, struct slice *body_r)
{
	*body_r = SLICE_NONE;
	for (;;) {
		settle(reader);
		enum state before = reader->state;
		size_t waiting = reader->input.len;
		enum http_result result = step(reader, body_r);
		if (result != HTTP_MORE || (reader->state == before && reader->used == 0 && reader->input.len == waiting))
			return result;
	}
}
