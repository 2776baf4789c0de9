/* However the same bytes are cut, a reader of HTTP says the same; and what it lets through keeps its promises. The
 * first bytes choose the limits and seed the cuts. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/http.h"

enum { SAID_MAX = 1 << 22 };

static void check_head(const struct http_head *head)
{
	assert(http_token_is_valid(head->method));
	assert(head->target.len > 0 && (head->path.ptr[0] == '/' || slice_is(head->path, "*")));
	assert(!head->is_chunked || head->content_length < 0);
	assert(head->is_1_0 || head->host.ptr != NULL);
	for (unsigned i = 0; i < head->n_fields; i++)
		assert(http_token_is_valid(head->fields[i].name) && http_value_is_valid(head->fields[i].value));
	char path[64 * 1024];
	if (head->path.len <= sizeof(path)) {
		int len = http_decode_path(head->path, path);
		assert(len < 0 || memchr(path, '\0', (size_t)len) == NULL);
	}
}

/* What the reader said, in words. */
static void run(struct slice input, const struct http_limits *limits, uint32_t seed, struct buf *said)
{
	struct http_reader *reader = http_reader_new(limits);
	enum http_result result = HTTP_MORE;
	buf_init(said, SAID_MAX);
	while (result != HTTP_FAILED) {
		struct slice body;
		result = http_next(reader, &body);
		switch (result) {
		case HTTP_MORE: {
			if (input.len == 0)
				goto out;
			seed = seed * 1664525 + 1013904223;
			size_t piece = seed == 0 ? input.len : 1 + (seed >> 8) % 97;
			piece = piece < input.len ? piece : input.len;
			assert(http_push(reader, slice_of(input.ptr, piece)) == 0);
			input = slice_from(input, piece);
			break;
		}
		case HTTP_HEAD: {
			const struct http_head *head = http_reader_head(reader);
			check_head(head);
			buf_addf(said, "[%.*s %.*s %u]", SLICE_ARG(head->method), SLICE_ARG(head->target), head->n_fields);
			break;
		}
		case HTTP_BODY:
			buf_add(said, body);
			break;
		case HTTP_END:
			buf_add(said, SLICE("[end]"));
			break;
		case HTTP_FAILED:
			buf_addf(said, "[%d]", http_why(reader)->status);
			break;
		}
	}
out:
	http_reader_free(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 4 || size > 64 * 1024)
		return 0;
	struct http_limits limits = http_default_limits;
	if ((data[0] & 1) != 0)
		limits = (struct http_limits){ .head_bytes = 256, .fields = 4, .body_bytes = 100 };
	struct slice input = slice_of((const char *)data + 4, size - 4);
	struct buf one, other;
	run(input, &limits, 1, &one);
	run(input, &limits, (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3], &other);
	assert(slice_equal(buf_slice(&one), buf_slice(&other)));
	buf_done(&one);
	buf_done(&other);
	return 0;
}
