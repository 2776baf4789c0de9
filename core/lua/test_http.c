/* T.net's reader of HTTP: what net/http.c makes of bytes, one thing after the other. */
#include <lauxlib.h>

#include "lua/bind.h"
#include "lua/core.h"
#include "lua/http_private.h"
#include "lua/test_net_private.h"
#include "net/http.h"

#define READER "couplet.test.http"

static struct http_reader *l_check_reader(lua_State *L)
{
	return *(struct http_reader **)luaL_checkudata(L, 1, READER);
}

/* T.net.http_reader([{ head_bytes =, fields =, body_bytes = }]) -> reader */
static int l_reader(lua_State *L)
{
	struct http_limits limits = http_default_limits;
	lua_settop(L, 1);
	if (!lua_isnil(L, 1)) {
		lua_getfield(L, 1, "head_bytes");
		lua_getfield(L, 1, "fields");
		lua_getfield(L, 1, "body_bytes");
		limits.head_bytes = (size_t)luaL_optinteger(L, 2, (lua_Integer)limits.head_bytes);
		limits.fields = (unsigned)luaL_optinteger(L, 3, limits.fields);
		limits.body_bytes = (uint64_t)luaL_optinteger(L, 4, (lua_Integer)limits.body_bytes);
	}
	struct http_reader **reader = lua_newuserdatauv(L, sizeof(struct http_reader *), 0);
	*reader = NULL;
	luaL_setmetatable(L, READER);
	*reader = http_reader_new(&limits);
	return 1;
}

static int l_close(lua_State *L)
{
	http_reader_free(luaL_checkudata(L, 1, READER));
	return 0;
}

/* reader:push(bytes) -> false when too much waits */
static int l_push(lua_State *L)
{
	lua_pushboolean(L, http_push(l_check_reader(L), slice_of(luaL_checkstring(L, 2), lua_rawlen(L, 2))) == 0);
	return 1;
}

static int l_limit_body(lua_State *L)
{
	http_reader_limit_body(l_check_reader(L), (uint64_t)luaL_checkinteger(L, 2));
	return 0;
}

static int l_refused(lua_State *L, int status, const char *reason)
{
	lua_pushliteral(L, "failed");
	lua_pushinteger(L, status);
	lua_pushstring(L, reason);
	return 3;
}

/* reader:next() -> "more" | "head", request, keeps_alive | "body", bytes | "end" | "failed", status, reason */
static int l_next(lua_State *L)
{
	struct http_reader *reader = l_check_reader(L);
	struct slice body;
	switch (http_next(reader, &body)) {
	case HTTP_MORE:
		lua_pushliteral(L, "more");
		return 1;
	case HTTP_HEAD:
		lua_pushliteral(L, "head");
		if (!l_http_push_request(L, reader))
			return l_refused(L, 400, "path");
		lua_createtable(L, 0, 4);
		lua_insert(L, -5);
		static const char *const names[] = { "head", "host_name", "path", "method" };
		for (int i = 0; i < 4; i++)
			lua_setfield(L, -5 + i, names[i]);
		lua_pushboolean(L, http_reader_head(reader)->keeps_alive);
		return 3;
	case HTTP_BODY:
		lua_pushliteral(L, "body");
		l_push_slice(L, body);
		return 2;
	case HTTP_END:
		lua_pushliteral(L, "end");
		return 1;
	case HTTP_FAILED:
		break;
	}
	return l_refused(L, http_why(reader)->status, http_why(reader)->reason);
}

static int l_is_idle(lua_State *L)
{
	lua_pushboolean(L, http_is_idle(l_check_reader(L)));
	return 1;
}

/* reader:rest() -> bytes that were pushed and not used */
static int l_rest(lua_State *L)
{
	struct slice rest = http_rest(l_check_reader(L));
	lua_pushlstring(L, rest.len > 0 ? rest.ptr : "", rest.len);
	return 1;
}

void l_test_http(lua_State *L)
{
	static const luaL_Reg functions[] = { { "http_reader", l_reader }, { NULL, NULL } };
	static const luaL_Reg methods[] = {
		{ "push", l_push }, { "next", l_next }, { "limit_body", l_limit_body }, { "is_idle", l_is_idle },
		{ "rest", l_rest }, { NULL, NULL },
	};
	l_new_type(L, READER, methods, l_close);
	l_test_add(L, functions, &(luaL_Reg){ NULL, NULL });
}
