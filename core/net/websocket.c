/* The reader of messages. libwslay gives a frame's payload piece by piece, unmasked; it is put together here.
 *
 * Of libwslay we use the reader of frames, not the one of messages above it ("event"): that one checks the UTF-8 of a
 * close frame's reason differently depending on where its bytes were cut, takes a close code of one byte, and answers
 * by itself (decisions/0006). */
#include "net/websocket.h"

#include <string.h>
#include <wslay/wslay.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { INPUT_ROOM = 128 * 1024, MASK_BYTES = 4 };

struct websocket_reader {
	wslay_frame_context_ptr wslay; /* NULL between frames */
	struct buf input;              /* what came; `given` of it went to wslay */
	size_t given;
	size_t unread;                 /* bytes that went to wslay and are not of a frame that is read: also read ahead */
	uint64_t missing;              /* of the payload of the frame under way */
	bool is_within;                /* a frame is under way */
	struct buf message, control;   /* the fragments so far; a control frame may come between them */
	size_t max_bytes;
	unsigned fragments, max_fragments;
	uint8_t opcode;                /* of the message in progress; WSLAY_CONTINUATION_FRAME: none is */
	struct buf *handed_out;        /* message or control, until the next call; or NULL */
	bool is_dead;
};

struct websocket_reader *websocket_reader_new(size_t message_bytes, unsigned fragments)
{
	struct websocket_reader *reader = mem_new(sizeof(*reader));
	reader->max_fragments = fragments;
	buf_init(&reader->input, INPUT_ROOM);
	buf_init(&reader->message, SIZE_MAX / 2);
	buf_init(&reader->control, WEBSOCKET_CONTROL_MAX);
	websocket_limit(reader, message_bytes);
	return reader;
}

static void free_context(struct websocket_reader *reader)
{
	if (reader->wslay != NULL)
		wslay_frame_context_free(reader->wslay);
	reader->wslay = NULL;
}

void websocket_reader_free(struct websocket_reader **reader)
{
	if (*reader == NULL)
		return;
	free_context(*reader);
	buf_done(&(*reader)->input);
	buf_done(&(*reader)->message);
	buf_done(&(*reader)->control);
	mem_free(*reader);
	*reader = NULL;
}

void websocket_limit(struct websocket_reader *reader, size_t message_bytes)
{
	reader->max_bytes = message_bytes;
}

/* What was handed out is over. */
static void settle(struct websocket_reader *reader)
{
	if (reader->handed_out != NULL)
		buf_done(reader->handed_out);
	reader->handed_out = NULL;
}

int websocket_push(struct websocket_reader *reader, struct slice bytes)
{
	settle(reader);
	buf_consume(&reader->input, reader->given);
	reader->given = 0;
	return buf_add(&reader->input, bytes);
}

static enum websocket_result fail(struct websocket_reader *reader, struct websocket_message *message_r, uint16_t code,
				  const char *why)
{
	reader->is_dead = true;
	*message_r = (struct websocket_message){ slice_of_str(why), code };
	return WEBSOCKET_FAILED;
}

/* ---- frames, by wslay ---- */

static ssize_t give_input(uint8_t *into, size_t room, int flags, void *user_data)
{
	(void)flags;
	struct websocket_reader *reader = user_data;
	size_t len = reader->input.len - reader->given;
	if (len == 0)
		return -1;
	len = len < room ? len : room;
	memcpy(into, reader->input.ptr + reader->given, len);
	reader->given += len;
	reader->unread += len;
	return (ssize_t)len;
}

static void make_context(struct websocket_reader *reader)
{
	static const struct wslay_frame_callbacks callbacks = { .recv_callback = give_input };
	if (reader->wslay == NULL && wslay_frame_context_init(&reader->wslay, &callbacks, reader) != 0)
		mem_exhausted();
}

/* Between frames nothing is held for who says nothing. */
static enum websocket_result wait_for_more(struct websocket_reader *reader)
{
	buf_done(&reader->input);
	reader->given = 0;
	if (reader->unread == 0)
		free_context(reader);
	return WEBSOCKET_MORE;
}

/* A frame that begins, by its head: NULL, or why it may not, and in *code_r what to close with (RFC 6455 5). */
static const char *refuse_frame(struct websocket_reader *reader, const struct wslay_frame_iocb *frame, uint16_t *code_r)
{
	bool is_control = wslay_is_ctrl_frame(frame->opcode);
	*code_r = WSLAY_CODE_PROTOCOL_ERROR;
	if (frame->rsv != 0)
		return "No extension was agreed on";
	if (!frame->mask)
		return "A client's frames must be masked";
	if (frame->opcode > WSLAY_PONG || (frame->opcode > WSLAY_BINARY_FRAME && !is_control))
		return "Unknown opcode";
	if (is_control)
		return NULL;
	if (frame->opcode == WSLAY_CONTINUATION_FRAME && reader->opcode == WSLAY_CONTINUATION_FRAME)
		return "There is no message to continue";
	if (frame->opcode != WSLAY_CONTINUATION_FRAME && reader->opcode != WSLAY_CONTINUATION_FRAME)
		return "The message before is not complete";
	*code_r = WSLAY_CODE_MESSAGE_TOO_BIG;
	if (reader->message.len > reader->max_bytes || frame->payload_length > reader->max_bytes - reader->message.len)
		return "The message is too long";
	if (reader->fragments == reader->max_fragments)
		return "The message has too many fragments";
	return NULL;
}

static void begin_frame(struct websocket_reader *reader, const struct wslay_frame_iocb *frame)
{
	reader->is_within = true;
	reader->missing = frame->payload_length;
	if (wslay_is_ctrl_frame(frame->opcode))
		return;
	reader->fragments++;
	if (frame->opcode != WSLAY_CONTINUATION_FRAME)
		reader->opcode = frame->opcode;
}

static void end_frame(struct websocket_reader *reader, const struct wslay_frame_iocb *frame)
{
	uint8_t head[WEBSOCKET_HEAD_MAX];
	size_t length = (size_t)frame->payload_length;
	reader->is_within = false;
	reader->unread -= websocket_head(frame->opcode, length, head) + MASK_BYTES + length;
}

/* ---- messages ---- */

/* RFC 6455 7.4.1, 7.4.2 and its registry: codes that may be sent. */
static bool is_sendable(uint16_t code)
{
	return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

static enum websocket_result end_close(struct websocket_reader *reader, struct slice payload,
				       struct websocket_message *message_r)
{
	if (payload.len == 1)
		return fail(reader, message_r, WSLAY_CODE_PROTOCOL_ERROR, "A close code has two bytes");
	message_r->code = WSLAY_CODE_NO_STATUS_RCVD;
	if (payload.len >= 2) {
		message_r->code = (uint16_t)((uint8_t)payload.ptr[0] << 8 | (uint8_t)payload.ptr[1]);
		message_r->payload = slice_from(payload, 2);
		if (!is_sendable(message_r->code))
			return fail(reader, message_r, WSLAY_CODE_PROTOCOL_ERROR, "That close code cannot be sent");
		if (!utf8_is_valid(message_r->payload))
			return fail(reader, message_r, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "The reason is not UTF-8");
	}
	reader->is_dead = true;
	return WEBSOCKET_CLOSE;
}

static enum websocket_result end_control(struct websocket_reader *reader, uint8_t opcode,
					 struct websocket_message *message_r)
{
	struct slice payload = buf_slice(&reader->control);
	reader->handed_out = &reader->control;
	if (opcode == WSLAY_CONNECTION_CLOSE)
		return end_close(reader, payload, message_r);
	message_r->payload = payload.len > 0 ? payload : SLICE("");
	return opcode == WSLAY_PING ? WEBSOCKET_PING : WEBSOCKET_PONG;
}

static enum websocket_result end_message(struct websocket_reader *reader, struct websocket_message *message_r)
{
	bool is_text = reader->opcode == WSLAY_TEXT_FRAME;
	reader->opcode = WSLAY_CONTINUATION_FRAME;
	reader->fragments = 0;
	reader->handed_out = &reader->message;
	if (reader->message.len > 0)
		message_r->payload = buf_slice(&reader->message);
	if (is_text && !utf8_is_valid(message_r->payload))
		return fail(reader, message_r, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "The text is not UTF-8");
	return is_text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
}

enum websocket_result websocket_next(struct websocket_reader *reader, struct websocket_message *message_r)
{
	settle(reader);
	*message_r = (struct websocket_message){ .payload = SLICE("") };
	if (reader->is_dead)
		return fail(reader, message_r, WSLAY_CODE_PROTOCOL_ERROR, "The connection is closed");
	if (reader->wslay == NULL && reader->input.len == 0)
		return WEBSOCKET_MORE;
	make_context(reader);
	for (;;) {
		struct wslay_frame_iocb frame;
		ssize_t n = wslay_frame_recv(reader->wslay, &frame);
		if (n == WSLAY_ERR_WANT_READ)
			return wait_for_more(reader);
		if (n < 0)
			return fail(reader, message_r, WSLAY_CODE_PROTOCOL_ERROR,
				    "A control frame is short and whole, a length in its shortest form");
		uint16_t code;
		const char *why = reader->is_within ? NULL : refuse_frame(reader, &frame, &code);
		if (why != NULL)
			return fail(reader, message_r, code, why);
		if (!reader->is_within)
			begin_frame(reader, &frame);
		bool is_control = wslay_is_ctrl_frame(frame.opcode);
		buf_add(is_control ? &reader->control : &reader->message, slice_of((const char *)frame.data, (size_t)n));
		reader->missing -= (uint64_t)n;
		if (reader->missing > 0)
			continue;
		end_frame(reader, &frame);
		if (is_control)
			return end_control(reader, frame.opcode, message_r);
		if (frame.fin)
			return end_message(reader, message_r);
	}
}

bool websocket_is_partial(const struct websocket_reader *reader)
{
	return reader->unread > 0 || reader->opcode != WSLAY_CONTINUATION_FRAME;
}

/* ---- what we send ---- */

size_t websocket_head(uint8_t opcode, uint64_t payload_bytes, uint8_t into[WEBSOCKET_HEAD_MAX])
{
	into[0] = (uint8_t)(0x80 | opcode);
	size_t extra = payload_bytes < 126 ? 0 : payload_bytes < 65536 ? 2 : 8;
	into[1] = (uint8_t)(extra == 0 ? payload_bytes : extra == 2 ? 126 : 127);
	for (size_t i = 0; i < extra; i++)
		into[2 + i] = (uint8_t)(payload_bytes >> (8 * (extra - 1 - i)));
	return 2 + extra;
}

const struct websocket_ops websocket_ops = {
	websocket_reader_free, websocket_limit, websocket_push, websocket_next, websocket_is_partial, websocket_head,
};
