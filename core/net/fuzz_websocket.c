/* However the same bytes are cut, a reader of WebSocket frames says the same, and nothing it gives is too long or, as
 * text, not UTF-8. A single frame that was read is written as it was, but for its mask. */
#include <assert.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "net/websocket.h"
#include "net/websocket_frame.h"

enum { SAID_MAX = 1 << 22 };

static void run(struct slice input, size_t max_bytes, uint32_t seed, struct buf *said)
{
	struct websocket_reader *reader = websocket_reader_new(max_bytes, 8);
	buf_init(said, SAID_MAX);
	for (;;) {
		struct websocket_message message;
		enum websocket_result result = websocket_next(reader, &message);
		struct slice payload = message.payload;
		if (result == WEBSOCKET_MORE) {
			if (input.len == 0)
				break;
			seed = seed * 1664525 + 1013904223;
			size_t piece = 1 + (seed >> 8) % 97;
			piece = piece < input.len ? piece : input.len;
			assert(websocket_push(reader, slice_of(input.ptr, piece)) == 0);
			input = slice_from(input, piece);
			continue;
		}
		assert(payload.len <= max_bytes || (payload.len <= WEBSOCKET_CONTROL_MAX && result > WEBSOCKET_BINARY));
		assert(result != WEBSOCKET_TEXT || utf8_is_valid(payload));
		buf_addf(said, "[%d %u]", (int)result, message.code);
		buf_add(said, payload);
		if (result == WEBSOCKET_FAILED || result == WEBSOCKET_CLOSE)
			break;
	}
	websocket_reader_free(&reader);
}

static void run_frame(struct slice input)
{
	struct buf payload, written;
	struct websocket_frame frame;
	buf_init(&payload, input.len);
	buf_init(&written, WEBSOCKET_HEAD_MAX + input.len);
	ssize_t length = websocket_frame_read(input, &payload, &frame);
	assert(length <= (ssize_t)input.len);
	if (length > 0) {
		size_t mask_len = frame.is_masked ? 4 : 0;
		frame.is_masked = false;
		assert(websocket_frame_write(&frame, &written) == 0);
		assert(written.len + mask_len == (size_t)length && written.ptr[0] == input.ptr[0]);
	}
	buf_done(&payload);
	buf_done(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 4 || size > 64 * 1024)
		return 0;
	struct slice input = slice_of((const char *)data + 4, size - 4);
	run_frame(input);
	size_t max_bytes = (data[0] & 1) != 0 ? 200 : 32 * 1024;
	struct buf one, other;
	run(input, max_bytes, 1, &one);
	run(input, max_bytes, (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3], &other);
	assert(slice_equal(buf_slice(&one), buf_slice(&other)));
	buf_done(&one);
	buf_done(&other);
	return 0;
}
