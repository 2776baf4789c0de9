/* WebSocket messages (RFC 6455), the server's side, without extensions. libwslay reads the frames (only websocket.c and
 * websocket_frame.c know it); which may follow each other, and what a message may be, is decided here.
 *
 * It is part of an optional shared object. Who stands outside of it reaches it through a reader's `websocket_ops`.
 *
 * Always true: a client's frame is masked, of a known opcode, without reserved bits, its length in the shortest form;
 * control frames are short and whole; text is UTF-8. Anything else ends with the close code that RFC 6455 7.4.1 gives
 * it, as soon as the first byte of its payload is here. A message never grows beyond its limit, nor has more fragments
 * than it may; memory is only spent on bytes that came, and on libwslay's 4 KiB while a frame is under way. */
#ifndef NET_WEBSOCKET_H
#define NET_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct websocket_reader;

enum websocket_result {
	WEBSOCKET_MORE,
	WEBSOCKET_TEXT,
	WEBSOCKET_BINARY,
	WEBSOCKET_PING,
	WEBSOCKET_PONG,
	WEBSOCKET_CLOSE,  /* code: the peer's, 1005 when it gave none; payload: the reason. Nothing may follow */
	WEBSOCKET_FAILED  /* code (1002, 1007, 1009) is what to close with; payload: why. The reader is dead */
};

struct websocket_message {
	struct slice payload; /* borrowed until the next call */
	uint16_t code;
};

enum { WEBSOCKET_HEAD_MAX = 10, WEBSOCKET_CONTROL_MAX = 125 };

struct websocket_reader *websocket_reader_new(size_t message_bytes, unsigned fragments);
void websocket_reader_free(struct websocket_reader **reader);
/* From the next frame on. */
void websocket_limit(struct websocket_reader *reader, size_t message_bytes);

/* Gives it input (copied). -1 when more waits than a reader that is asked can leave behind. */
int websocket_push(struct websocket_reader *reader, struct slice bytes);
/* The next whole message or control frame. */
enum websocket_result websocket_next(struct websocket_reader *reader, struct websocket_message *message_r);

/* Has a message or a frame begun that is not all here? To be asked when there is no more. */
bool websocket_is_partial(const struct websocket_reader *reader);

/* The head of an unmasked, unfragmented frame of ours, for a payload that stands where it is to be sent from. Gives its
 * length. */
size_t websocket_head(uint8_t opcode, uint64_t payload_bytes, uint8_t into[WEBSOCKET_HEAD_MAX]);

struct websocket_ops {
	void (*reader_free)(struct websocket_reader **reader);
	void (*limit)(struct websocket_reader *reader, size_t message_bytes);
	int (*push)(struct websocket_reader *reader, struct slice bytes);
	enum websocket_result (*next)(struct websocket_reader *reader, struct websocket_message *message_r);
	bool (*is_partial)(const struct websocket_reader *reader);
	size_t (*head)(uint8_t opcode, uint64_t payload_bytes, uint8_t into[WEBSOCKET_HEAD_MAX]);
};
extern const struct websocket_ops websocket_ops;

#endif
