/* What couplet.websocket (so_websocket.c) hands to native.websocket (lua_websocket_session.c): a reader, with the
 * functions of the shared object that it is of. */
#ifndef LUA_WEBSOCKET_PRIVATE_H
#define LUA_WEBSOCKET_PRIVATE_H

#include <lauxlib.h>
#include <stddef.h>

#include "net/websocket.h"

#define WEBSOCKET_READER_TYPE "couplet.websocket.reader"

struct lua_websocket_reader {
	const struct websocket_ops *ops;
	struct websocket_reader *reader; /* NULL: closed, or taken */
	size_t message_bytes;
};

enum { MESSAGE_BYTES_MAX = 64 << 20 };

/* How long messages may be, from Lua. Raises. In the header, since one of its callers is a shared object. */
static inline size_t l_check_message_bytes(lua_State *L, int index)
{
	lua_Integer bytes = luaL_checkinteger(L, index);
	luaL_argcheck(L, bytes >= 1 && bytes <= MESSAGE_BYTES_MAX, index, "a message has 1 byte to 64 MiB");
	return (size_t)bytes;
}

#endif
