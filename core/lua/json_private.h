/* The parts of util.json: its library (lua_json.c), writing (lua_json_encode.c) and reading (lua_json_decode.c). */
#ifndef LUA_JSON_PRIVATE_H
#define LUA_JSON_PRIVATE_H

#include <lua.h>
#include <stdbool.h>

#define JSON_DEPTH_MAX 256
#define JSON_STACK_PER_LEVEL 8 /* places on the Lua stack that a level of nesting takes */

/* Upvalues of the functions below: json.null, and the metatable of util.array (or our own when there is no such
 * library). */
#define JSON_NULL_INDEX lua_upvalueindex(1)
#define JSON_ARRAY_INDEX lua_upvalueindex(2)

/* Is the value at index a table made to be a list, even if it is empty? */
bool json_is_array(lua_State *L, int index);

int l_json_encode(lua_State *L);
int l_json_encode_ordered(lua_State *L);
int l_json_encode_array(lua_State *L);
int l_json_decode(lua_State *L);

#endif
