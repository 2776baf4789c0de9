/* couplet.websocket: WebSocket frames (see net/websocket.h) for Lua, an optional shared object that is loaded with
 * net.websocket.frames.
 *
 *	local websocket = require "couplet.websocket"
 *	local reader = websocket.reader(message_bytes, fragments)    of what a client sends
 *	reader:push(bytes)         -> false when too much waits
 *	reader:next()              -> "more" | "text" | "binary" | "ping" | "pong", payload | "close", code, reason
 *	                            | "failed", code, why
 *	reader:is_partial()        -> has something begun that is not all here? After "more"
 *	reader:limit(message_bytes), reader:close()
 *	websocket.write(payload, opcode, is_final, reserved, is_masked)    -> frame
 *	websocket.read(bytes, payload_bytes)    -> length, payload, opcode, is_final, reserved, is_masked
 *	                            | 0 when it is not all here | nil when it is no frame, or longer than that */
#include <lauxlib.h>

#include "base/buf.h"
#include "lua/bind.h"
#include "lua/websocket_private.h"
#include "net/websocket_frame.h"

#define BUF_TYPE "couplet.websocket.buf"

enum { FRAGMENTS_MAX = 1 << 20, CLIENT_HEAD_MAX = WEBSOCKET_HEAD_MAX + 4 };

int luaopen_couplet_websocket(lua_State *L);

/* ---- readers ---- */

static struct lua_websocket_reader *l_check_handle(lua_State *L)
{
	struct lua_websocket_reader *handle = luaL_checkudata(L, 1, WEBSOCKET_READER_TYPE);
	luaL_argcheck(L, handle->reader != NULL, 1, "the reader is closed");
	return handle;
}

static int l_reader(lua_State *L)
{
	size_t bytes = l_check_message_bytes(L, 1);
	lua_Integer fragments = luaL_checkinteger(L, 2);
	luaL_argcheck(L, fragments >= 1 && fragments <= FRAGMENTS_MAX, 2, "out of range");
	struct lua_websocket_reader *handle = lua_newuserdatauv(L, sizeof(*handle), 0);
	*handle = (struct lua_websocket_reader){ .ops = &websocket_ops, .message_bytes = bytes };
	luaL_setmetatable(L, WEBSOCKET_READER_TYPE);
	handle->reader = websocket_reader_new(bytes, (unsigned)fragments);
	return 1;
}

static int l_reader_close(lua_State *L)
{
	struct lua_websocket_reader *handle = luaL_checkudata(L, 1, WEBSOCKET_READER_TYPE);
	websocket_reader_free(&handle->reader);
	return 0;
}

static int l_limit(lua_State *L)
{
	struct lua_websocket_reader *handle = l_check_handle(L);
	handle->message_bytes = l_check_message_bytes(L, 2);
	websocket_limit(handle->reader, handle->message_bytes);
	return 0;
}

static int l_push(lua_State *L)
{
	struct lua_websocket_reader *handle = l_check_handle(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, websocket_push(handle->reader, slice_of(bytes, len)) == 0);
	return 1;
}

static int l_next(lua_State *L)
{
	static const char *const names[] = { "more", "text", "binary", "ping", "pong", "close", "failed" };
	struct lua_websocket_reader *handle = l_check_handle(L);
	struct websocket_message message;
	enum websocket_result result = websocket_next(handle->reader, &message);
	bool has_code = result == WEBSOCKET_FAILED || result == WEBSOCKET_CLOSE;
	lua_pushstring(L, names[result]);
	if (result == WEBSOCKET_MORE)
		return 1;
	if (has_code)
		lua_pushinteger(L, message.code);
	lua_pushlstring(L, message.payload.ptr, message.payload.len);
	return has_code ? 3 : 2;
}

static int l_is_partial(lua_State *L)
{
	lua_pushboolean(L, websocket_is_partial(l_check_handle(L)->reader));
	return 1;
}

/* ---- single frames ---- */

/* One whose memory goes with the function that asks for it. */
static struct buf *l_push_buf(lua_State *L, size_t max)
{
	struct buf *buf = lua_newuserdatauv(L, sizeof(*buf), 0);
	buf_init(buf, max);
	luaL_setmetatable(L, BUF_TYPE);
	lua_toclose(L, -1);
	return buf;
}

static int l_buf_close(lua_State *L)
{
	buf_done(luaL_checkudata(L, 1, BUF_TYPE));
	return 0;
}

static uint8_t l_check_bits(lua_State *L, int index, lua_Integer max)
{
	lua_Integer bits = luaL_optinteger(L, index, 0);
	luaL_argcheck(L, bits >= 0 && bits <= max, index, "out of range");
	return (uint8_t)bits;
}

static int l_write(lua_State *L)
{
	size_t len;
	const char *payload = luaL_checklstring(L, 1, &len);
	struct websocket_frame frame = {
		.opcode = l_check_bits(L, 2, 15), .is_final = lua_toboolean(L, 3), .reserved = l_check_bits(L, 4, 7),
		.is_masked = lua_toboolean(L, 5), .payload = slice_of(payload, len),
	};
	struct buf *into = l_push_buf(L, CLIENT_HEAD_MAX + len);
	luaL_argcheck(L, websocket_frame_write(&frame, into) == 0, 1, "too long for a control frame");
	lua_pushlstring(L, into->ptr, into->len);
	return 1;
}

static int l_read(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 1, &len);
	struct buf *payload = l_push_buf(L, l_check_message_bytes(L, 2));
	struct websocket_frame frame;
	ssize_t length = websocket_frame_read(slice_of(bytes, len), payload, &frame);
	if (length < 0)
		return 0;
	lua_pushinteger(L, length);
	if (length == 0)
		return 1;
	lua_pushlstring(L, frame.payload.ptr, frame.payload.len);
	lua_pushinteger(L, frame.opcode);
	lua_pushboolean(L, frame.is_final);
	lua_pushinteger(L, frame.reserved);
	lua_pushboolean(L, frame.is_masked);
	return 6;
}

int luaopen_couplet_websocket(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "reader", l_reader },
		{ "write", l_write },
		{ "read", l_read },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "push", l_push }, { "next", l_next },           { "is_partial", l_is_partial },
		{ "limit", l_limit }, { "close", l_reader_close }, { NULL, NULL },
	};
	l_new_type(L, WEBSOCKET_READER_TYPE, methods, l_reader_close);
	l_new_type(L, BUF_TYPE, NULL, l_buf_close);
	luaL_newlib(L, functions);
	return 1;
}
