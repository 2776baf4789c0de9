/* net.websocket.wire: WebSocket frames for Lua. */
#include <lauxlib.h>

#include "lua/bind.h"
#include "lua/core.h"
#include "lua/libs.h"
#include "net/websocket.h"

#define READER_TYPE "couplet.websocket.reader"

struct lua_reader {
	struct websocket_reader *reader;
};

static struct websocket_reader *l_check_reader(lua_State *L)
{
	struct lua_reader *handle = luaL_checkudata(L, 1, READER_TYPE);
	luaL_argcheck(L, handle->reader != NULL, 1, "the reader is closed");
	return handle->reader;
}

static size_t l_check_bytes(lua_State *L, int index)
{
	lua_Integer bytes = luaL_checkinteger(L, index);
	luaL_argcheck(L, bytes >= 1 && bytes <= 64 << 20, index, "a message has 1 byte to 64 MiB");
	return (size_t)bytes;
}

/* reader(message_bytes, fragments) -> reader */
static int l_reader(lua_State *L)
{
	size_t bytes = l_check_bytes(L, 1);
	lua_Integer fragments = luaL_checkinteger(L, 2);
	luaL_argcheck(L, fragments >= 1 && fragments <= 1 << 20, 2, "out of range");
	struct lua_reader *handle = lua_newuserdatauv(L, sizeof(*handle), 0);
	handle->reader = NULL;
	luaL_setmetatable(L, READER_TYPE);
	handle->reader = websocket_reader_new(bytes, (unsigned)fragments);
	return 1;
}

static int l_close(lua_State *L)
{
	struct lua_reader *handle = luaL_checkudata(L, 1, READER_TYPE);
	websocket_reader_free(&handle->reader);
	return 0;
}

static int l_limit(lua_State *L)
{
	websocket_limit(l_check_reader(L), l_check_bytes(L, 2));
	return 0;
}

/* reader:push(bytes) -> false when too much waits */
static int l_push(lua_State *L)
{
	struct websocket_reader *reader = l_check_reader(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, websocket_push(reader, slice_of(bytes, len)) == 0);
	return 1;
}

/* reader:next() -> "more" | "text" | "binary" | "ping" | "pong", payload | "close", code, reason
 *                | "failed", code, why */
static int l_next(lua_State *L)
{
	static const char *const names[] = { "more", "text", "binary", "ping", "pong", "close", "failed" };
	struct websocket_reader *reader = l_check_reader(L);
	struct slice payload;
	enum websocket_result result = websocket_next(reader, &payload);
	lua_pushstring(L, names[result]);
	if (result == WEBSOCKET_MORE)
		return 1;
	if (result == WEBSOCKET_FAILED || result == WEBSOCKET_CLOSE)
		lua_pushinteger(L, websocket_code(reader));
	if (result == WEBSOCKET_FAILED)
		lua_pushstring(L, websocket_reason(reader));
	else
		lua_pushlstring(L, payload.ptr, payload.len);
	return result == WEBSOCKET_FAILED || result == WEBSOCKET_CLOSE ? 3 : 2;
}

/* frame(opcode, payload) -> bytes */
static int l_frame(lua_State *L)
{
	lua_Integer opcode = luaL_checkinteger(L, 1);
	size_t len;
	const char *payload = luaL_checklstring(L, 2, &len);
	luaL_argcheck(L, opcode >= 0 && opcode <= 15, 1, "out of range");
	luaL_argcheck(L, opcode < 8 || len <= WEBSOCKET_CONTROL_MAX, 2, "too long for a control frame");
	uint8_t head[WEBSOCKET_HEAD_MAX];
	size_t head_len = websocket_head((uint8_t)opcode, len, head);
	luaL_Buffer text;
	luaL_buffinitsize(L, &text, head_len + len);
	luaL_addlstring(&text, (const char *)head, head_len);
	luaL_addlstring(&text, payload, len);
	luaL_pushresult(&text);
	return 1;
}

int l_open_websocket(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "reader", l_reader },
		{ "frame", l_frame },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "push", l_push }, { "next", l_next }, { "limit", l_limit }, { "close", l_close }, { NULL, NULL },
	};
	l_new_type(L, READER_TYPE, methods, l_close);
	luaL_newlib(L, functions);
	return 1;
}
