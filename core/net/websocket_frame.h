/* One WebSocket frame at a time, of either side and of any opcode (RFC 6455 5.2), by libwslay: for who looks at frames
 * himself, and for what is sent now and then. It is part of the same shared object as websocket.h. */
#ifndef NET_WEBSOCKET_FRAME_H
#define NET_WEBSOCKET_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slice.h"

struct buf;

struct websocket_frame {
	uint8_t opcode;   /* 0 to 15 */
	uint8_t reserved; /* RSV1 is 4, RSV2 is 2, RSV3 is 1 */
	bool is_final, is_masked;
	struct slice payload;
};

/* The frame that bytes begin with; its payload, unmasked, is appended to `payload` and borrowed from there. Gives its
 * length in bytes; 0 when not all of it is here; -1 when it is none (a long or fragmented control frame, a length that
 * is not in its shortest form) or more than `payload` may hold. */
ssize_t websocket_frame_read(struct slice bytes, struct buf *payload, struct websocket_frame *frame_r);

/* Appends the frame, masked with a random key if it is to be. -1 when it cannot be: a control frame with more than 125
 * bytes, or more than `into` may hold. */
int websocket_frame_write(const struct websocket_frame *frame, struct buf *into);

#endif
