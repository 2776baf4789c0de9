/* What couplet.websocket (so_websocket.c) hands to native.websocket (lua_websocket_session.c): a reader, with the
 * functions of the shared object that it is of. */
#ifndef LUA_WEBSOCKET_PRIVATE_H
#define LUA_WEBSOCKET_PRIVATE_H

#include <stddef.h>

#include "net/websocket.h"

#define WEBSOCKET_READER_TYPE "couplet.websocket.reader"

struct lua_websocket_reader {
	const struct websocket_ops *ops;
	struct websocket_reader *reader; /* NULL: closed, or taken */
	size_t message_bytes;
};

#endif
