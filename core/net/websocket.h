/* WebSocket frames (RFC 6455 5) to messages, and back: the server's side, without extensions.
 *
 * Always true: a client's frame is masked, of a known opcode, without reserved bits, its length in the shortest form;
 * control frames are short and whole; text is UTF-8. Anything else ends with the close code that RFC 6455 7.4.1 gives
 * it. A message never grows beyond its limit, nor has more fragments than it may; memory is only spent on bytes that
 * came. */
#ifndef NET_WEBSOCKET_H
#define NET_WEBSOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf;
struct websocket_reader;

enum websocket_result {
	WEBSOCKET_MORE,
	WEBSOCKET_TEXT,
	WEBSOCKET_BINARY,
	WEBSOCKET_PING,
	WEBSOCKET_PONG,
	WEBSOCKET_CLOSE,  /* payload: the reason; websocket_code: the peer's, 1005 when it gave none. Nothing may follow */
	WEBSOCKET_FAILED  /* websocket_code (1002, 1007, 1009) is what to close with; the reader is dead */
};

enum { WEBSOCKET_HEAD_MAX = 10, WEBSOCKET_CONTROL_MAX = 125 };

struct websocket_reader *websocket_reader_new(size_t message_bytes, unsigned fragments);
void websocket_reader_free(struct websocket_reader **reader);
void websocket_limit(struct websocket_reader *reader, size_t message_bytes);

/* Gives it input (copied). -1 when more waits than a reader that is asked can leave behind. */
int websocket_push(struct websocket_reader *reader, struct slice bytes);
/* The next whole message or control frame; its payload is borrowed until the next call. */
enum websocket_result websocket_next(struct websocket_reader *reader, struct slice *payload_r);
uint16_t websocket_code(const struct websocket_reader *reader);
const char *websocket_reason(const struct websocket_reader *reader); /* after WEBSOCKET_FAILED */

/* The head of an unmasked, unfragmented frame of ours. Gives its length. */
size_t websocket_head(uint8_t opcode, uint64_t payload_bytes, uint8_t into[WEBSOCKET_HEAD_MAX]);

#endif
