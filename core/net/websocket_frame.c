/* libwslay's reader and writer of frames, made for one frame and gone with it. */
#include "net/websocket_frame.h"

#include <string.h>
#include <wslay/wslay.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/websocket.h"

enum { MASK_BYTES = 4 };

struct transfer {
	struct slice from;
	struct buf *into;
};

static ssize_t give(uint8_t *into, size_t room, int flags, void *user_data)
{
	(void)flags;
	struct transfer *transfer = user_data;
	size_t len = transfer->from.len < room ? transfer->from.len : room;
	if (len == 0)
		return -1;
	memcpy(into, transfer->from.ptr, len);
	transfer->from = slice_from(transfer->from, len);
	return (ssize_t)len;
}

static ssize_t take(const uint8_t *bytes, size_t len, int flags, void *user_data)
{
	(void)flags;
	struct transfer *transfer = user_data;
	return buf_add(transfer->into, slice_of((const char *)bytes, len)) == 0 ? (ssize_t)len : -1;
}

static int choose_key(uint8_t *key, size_t len, void *user_data)
{
	(void)user_data;
	random_bytes(key, len);
	return 0;
}

static wslay_frame_context_ptr make_context(struct transfer *transfer)
{
	static const struct wslay_frame_callbacks callbacks = { take, give, choose_key };
	wslay_frame_context_ptr context;
	if (wslay_frame_context_init(&context, &callbacks, transfer) != 0)
		mem_exhausted();
	return context;
}

ssize_t websocket_frame_read(struct slice bytes, struct buf *payload, struct websocket_frame *frame_r)
{
	struct transfer transfer = { .from = bytes };
	wslay_frame_context_ptr context = make_context(&transfer);
	struct wslay_frame_iocb frame;
	size_t start = payload->len;
	ssize_t length;
	do {
		length = wslay_frame_recv(context, &frame);
		if (length == WSLAY_ERR_WANT_READ) {
			length = 0;
			goto out;
		}
		if (length < 0 || frame.payload_length > payload->max - start ||
		    buf_add(payload, slice_of((const char *)frame.data, (size_t)length)) != 0) {
			length = -1;
			goto out;
		}
	} while (payload->len - start < frame.payload_length);
	*frame_r = (struct websocket_frame){ .opcode = frame.opcode, .reserved = frame.rsv, .is_final = frame.fin,
					     .is_masked = frame.mask, .payload = slice_from(buf_slice(payload), start) };
	uint8_t head[WEBSOCKET_HEAD_MAX];
	length = (ssize_t)(websocket_head(frame.opcode, frame.payload_length, head) + (frame.mask ? MASK_BYTES : 0) +
			   frame.payload_length);
out:
	wslay_frame_context_free(context);
	return length;
}

int websocket_frame_write(const struct websocket_frame *frame, struct buf *into)
{
	struct transfer transfer = { .into = into };
	struct wslay_frame_iocb iocb = {
		.fin = frame->is_final, .rsv = frame->reserved, .opcode = frame->opcode, .mask = frame->is_masked,
		.payload_length = frame->payload.len, .data = (const uint8_t *)frame->payload.ptr,
		.data_length = frame->payload.len,
	};
	wslay_frame_context_ptr context = make_context(&transfer);
	ssize_t sent = wslay_frame_send(context, &iocb);
	wslay_frame_context_free(context);
	return sent == (ssize_t)frame->payload.len ? 0 : -1;
}
