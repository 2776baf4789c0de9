/* The reader of frames. Input is collected up to one frame's head and payload; fragments are joined in `message`. */
#include "net/websocket.h"

#include <stdbool.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { INPUT_ROOM = 128 * 1024, CLIENT_HEAD_MAX = 14, PROTOCOL_ERROR = 1002, BAD_DATA = 1007, TOO_BIG = 1009 };

struct websocket_reader {
	struct buf input;   /* frames not yet looked at */
	struct buf message; /* the fragments so far; a control frame's payload is given from input */
	size_t used;        /* of input, by the frame handed out last */
	size_t max_bytes;
	unsigned fragments, max_fragments;
	uint8_t opcode;     /* of the message in progress; CONTINUATION: none is */
	bool is_whole;      /* message was handed out */
	bool is_dead;
	uint16_t code;
	const char *reason;
};

struct frame {
	uint8_t opcode;
	bool is_final;
	const uint8_t *mask;
	size_t head;
	uint64_t length;
};

struct websocket_reader *websocket_reader_new(size_t message_bytes, unsigned fragments)
{
	struct websocket_reader *reader = mem_new(sizeof(*reader));
	reader->max_fragments = fragments;
	buf_init(&reader->input, SIZE_MAX / 2);
	buf_init(&reader->message, SIZE_MAX / 2);
	websocket_limit(reader, message_bytes);
	return reader;
}

void websocket_reader_free(struct websocket_reader **reader)
{
	if (*reader == NULL)
		return;
	buf_done(&(*reader)->input);
	buf_done(&(*reader)->message);
	mem_free(*reader);
	*reader = NULL;
}

void websocket_limit(struct websocket_reader *reader, size_t message_bytes)
{
	reader->max_bytes = message_bytes;
	reader->input.max = message_bytes + CLIENT_HEAD_MAX + INPUT_ROOM;
	reader->message.max = message_bytes;
}

/* What was handed out is over. */
static void settle(struct websocket_reader *reader)
{
	if (reader->used == reader->input.len)
		buf_done(&reader->input);
	else if (reader->used > 0)
		buf_consume(&reader->input, reader->used);
	reader->used = 0;
	if (reader->is_whole)
		buf_done(&reader->message);
	reader->is_whole = false;
}

int websocket_push(struct websocket_reader *reader, struct slice bytes)
{
	settle(reader);
	return buf_add(&reader->input, bytes);
}

static enum websocket_result fail(struct websocket_reader *reader, uint16_t code, const char *reason)
{
	reader->is_dead = true;
	reader->code = code;
	reader->reason = reason;
	return WEBSOCKET_FAILED;
}

uint16_t websocket_code(const struct websocket_reader *reader) { return reader->code; }
const char *websocket_reason(const struct websocket_reader *reader) { return reader->reason; }

static uint64_t big_endian(const uint8_t *bytes, size_t count)
{
	uint64_t value = 0;
	for (size_t i = 0; i < count; i++)
		value = value << 8 | bytes[i];
	return value;
}

/* RFC 6455 5.2. Refused at the first byte that is wrong: no peer waits for an answer to what can never become right. */
static enum websocket_result read_head(struct websocket_reader *reader, struct frame *frame)
{
	const uint8_t *bytes = (const uint8_t *)reader->input.ptr;
	size_t len = reader->input.len;
	if (len == 0)
		return WEBSOCKET_MORE;
	frame->opcode = bytes[0] & 0x0f;
	frame->is_final = (bytes[0] & 0x80) != 0;
	bool is_control = frame->opcode >= CLOSE;
	if ((bytes[0] & 0x70) != 0)
		return fail(reader, PROTOCOL_ERROR, "No extension was agreed on");
	if (frame->opcode > PONG || (frame->opcode > BINARY && frame->opcode < CLOSE))
		return fail(reader, PROTOCOL_ERROR, "Unknown opcode");
	if (is_control && !frame->is_final)
		return fail(reader, PROTOCOL_ERROR, "A control frame must not be fragmented");
	if (frame->opcode == CONTINUATION && reader->opcode == CONTINUATION)
		return fail(reader, PROTOCOL_ERROR, "There is no message to continue");
	if (!is_control && frame->opcode != CONTINUATION && reader->opcode != CONTINUATION)
		return fail(reader, PROTOCOL_ERROR, "The message before is not complete");
	if (len < 2)
		return WEBSOCKET_MORE;
	if ((bytes[1] & 0x80) == 0)
		return fail(reader, PROTOCOL_ERROR, "A client's frames must be masked");
	uint8_t short_length = bytes[1] & 0x7f;
	size_t extra = short_length == 127 ? 8 : short_length == 126 ? 2 : 0;
	if (is_control && extra > 0)
		return fail(reader, PROTOCOL_ERROR, "A control frame is too long");
	if (len < 2 + extra)
		return WEBSOCKET_MORE;
	frame->length = extra > 0 ? big_endian(bytes + 2, extra) : short_length;
	if (extra > 0 && frame->length < (extra == 2 ? 126U : 65536U))
		return fail(reader, PROTOCOL_ERROR, "A length must be written in its shortest form");
	if (frame->length >> 63 != 0)
		return fail(reader, PROTOCOL_ERROR, "That is no length");
	size_t room = reader->max_bytes - reader->message.len;
	if (!is_control && frame->length > room)
		return fail(reader, TOO_BIG, "The message is too long");
	frame->mask = bytes + 2 + extra;
	frame->head = 2 + extra + 4;
	return len < frame->head || len - frame->head < frame->length ? WEBSOCKET_MORE : WEBSOCKET_TEXT;
}

static void unmask(uint8_t *bytes, size_t len, const uint8_t mask[4])
{
	uint64_t wide;
	uint8_t twice[8];
	for (int i = 0; i < 8; i++)
		twice[i] = mask[i & 3];
	memcpy(&wide, twice, 8);
	size_t i = 0;
	for (; i + 8 <= len; i += 8) {
		uint64_t eight;
		memcpy(&eight, bytes + i, 8);
		eight ^= wide;
		memcpy(bytes + i, &eight, 8);
	}
	for (; i < len; i++)
		bytes[i] ^= mask[i & 3];
}

/* RFC 6455 7.4.1, 7.4.2: codes that may be sent. */
static bool is_sendable(uint16_t code)
{
	return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

static enum websocket_result read_close(struct websocket_reader *reader, struct slice payload, struct slice *reason_r)
{
	if (payload.len == 1)
		return fail(reader, PROTOCOL_ERROR, "A close code has two bytes");
	reader->code = 1005;
	if (payload.len >= 2) {
		reader->code = (uint16_t)big_endian((const uint8_t *)payload.ptr, 2);
		*reason_r = slice_from(payload, 2);
		if (!is_sendable(reader->code))
			return fail(reader, PROTOCOL_ERROR, "That close code cannot be sent");
		if (!utf8_is_valid(*reason_r))
			return fail(reader, BAD_DATA, "The reason is not UTF-8");
	}
	reader->is_dead = true;
	return WEBSOCKET_CLOSE;
}

static enum websocket_result read_control(struct websocket_reader *reader, uint8_t opcode, struct slice payload,
					  struct slice *payload_r)
{
	if (opcode == CLOSE)
		return read_close(reader, payload, payload_r);
	*payload_r = payload;
	return opcode == PING ? WEBSOCKET_PING : WEBSOCKET_PONG;
}

/* A message in one frame is given from the input, without a copy. MORE: its fragments are not all here. */
static enum websocket_result read_data(struct websocket_reader *reader, const struct frame *frame, struct slice payload,
				       struct slice *payload_r)
{
	if (frame->opcode != CONTINUATION) {
		reader->opcode = frame->opcode;
		reader->fragments = 0;
	}
	if (++reader->fragments > reader->max_fragments)
		return fail(reader, TOO_BIG, "The message has too many fragments");
	*payload_r = payload;
	if (!frame->is_final || reader->fragments > 1) {
		buf_add(&reader->message, payload); /* fits: the head was looked at */
		*payload_r = buf_slice(&reader->message);
	}
	if (!frame->is_final)
		return WEBSOCKET_MORE;
	uint8_t opcode = reader->opcode;
	reader->opcode = CONTINUATION;
	reader->is_whole = true;
	if (opcode == TEXT && !utf8_is_valid(*payload_r))
		return fail(reader, BAD_DATA, "The text is not UTF-8");
	return opcode == TEXT ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
}

enum websocket_result websocket_next(struct websocket_reader *reader, struct slice *payload_r)
{
	for (;;) {
		struct frame frame = { 0 };
		*payload_r = SLICE("");
		settle(reader);
		if (reader->is_dead)
			return WEBSOCKET_FAILED;
		enum websocket_result result = read_head(reader, &frame);
		if (result != WEBSOCKET_TEXT)
			return result;
		size_t length = (size_t)frame.length;
		char *start = reader->input.ptr + frame.head;
		unmask((uint8_t *)start, length, frame.mask);
		reader->used = frame.head + length;
		if (frame.opcode >= CLOSE)
			return read_control(reader, frame.opcode, slice_of(start, length), payload_r);
		result = read_data(reader, &frame, slice_of(start, length), payload_r);
		if (result != WEBSOCKET_MORE)
			return result;
	}
}

size_t websocket_head(uint8_t opcode, uint64_t payload_bytes, uint8_t into[WEBSOCKET_HEAD_MAX])
{
	into[0] = (uint8_t)(0x80 | opcode);
	size_t extra = payload_bytes < 126 ? 0 : payload_bytes < 65536 ? 2 : 8;
	into[1] = (uint8_t)(extra == 0 ? payload_bytes : extra == 2 ? 126 : 127);
	for (size_t i = 0; i < extra; i++)
		into[2 + i] = (uint8_t)(payload_bytes >> (8 * (extra - 1 - i)));
	return 2 + extra;
}
