/* util.json: JSON (RFC 8259) to Lua and back, in Prosody's dialect, which the SQL storage of both servers holds.
 *
 * The dialect: a table that is not purely a list or purely string-keyed is an object that holds its list part under
 * "__array" and its other keys under "__hash", as [key, value, key, value, ...]. Integers stay integers, null is a
 * value of its own (json.null). docs/decisions/0011 tells why no library reads it for us. */
#include <lauxlib.h>

#include "lua/json_private.h"
#include "lua/libs.h"

bool json_is_array(lua_State *L, int index)
{
	bool answer = false;
	if (lua_getmetatable(L, index)) {
		answer = lua_rawequal(L, -1, JSON_ARRAY_INDEX);
		lua_pop(L, 1);
	}
	return answer;
}

static int l_null_tostring(lua_State *L)
{
	lua_pushliteral(L, "null");
	return 1;
}

/* Pushes the metatable of util.array, so that lists from JSON have its methods; else an empty one, which still tells an
 * empty list from an empty object. */
static void l_push_array_metatable(lua_State *L)
{
	int top = lua_gettop(L);

	lua_getglobal(L, "pcall"); /* Lua's own, to ask without failing */
	lua_getglobal(L, "require");
	lua_pushliteral(L, "util.array");
	lua_call(L, 2, 2);
	if (lua_toboolean(L, top + 1)) {
		lua_getfield(L, top + 2, "new");
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			lua_pushvalue(L, top + 2);
		}
		lua_call(L, 0, 1);
		if (lua_getmetatable(L, -1)) {
			lua_replace(L, top + 1);
			lua_settop(L, top + 1);
			return;
		}
	}
	lua_settop(L, top);
	lua_newtable(L);
	lua_pushliteral(L, "array");
	lua_setfield(L, -2, "__name");
}

static const luaL_Reg functions[] = {
	{ "encode", l_json_encode },
	{ "encode_ordered", l_json_encode_ordered },
	{ "encode_array", l_json_encode_array },
	{ "decode", l_json_decode },
	{ NULL, NULL },
};

int l_open_json(lua_State *L)
{
	luaL_newlibtable(L, functions);
	lua_newtable(L); /* null: one table, known by being itself */
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, l_null_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "null");
	l_push_array_metatable(L);
	luaL_setfuncs(L, functions, 2);
	return 1;
}
