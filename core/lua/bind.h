/* What the bindings would otherwise repeat: text as a slice, a type with its methods, a failure as nil and a sentence.
 * All of it is inline, since an optional shared object links no other file of this room. */
#ifndef LUA_BIND_H
#define LUA_BIND_H

#include <lauxlib.h>

#include "base/error.h"
#include "base/slice.h"

/* The string argument at arg, borrowed while it is on the stack; raises when it is none. */
static inline struct slice l_check_slice(lua_State *L, int arg)
{
	size_t len;
	const char *ptr = luaL_checklstring(L, arg, &len);
	return slice_of(ptr, len);
}

/* The same of an argument that may be missing: SLICE_NONE then. */
static inline struct slice l_opt_slice(lua_State *L, int arg)
{
	return lua_isnoneornil(L, arg) ? SLICE_NONE : l_check_slice(L, arg);
}

/* Makes the metatable of `name`, which luaL_setmetatable then finds. `methods`: what its values answer to, or NULL.
 * `end`: what frees a value when it is collected or its to-be-closed slot is left (it may be called again afterwards),
 * or NULL. Scripts cannot reach the metatable. Leaves the stack as it was. */
static inline void l_new_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction end)
{
	luaL_newmetatable(L, name);
	if (methods != NULL) {
		lua_newtable(L);
		luaL_setfuncs(L, methods, 0);
		lua_setfield(L, -2, "__index");
	}
	if (end != NULL) {
		lua_pushcfunction(L, end);
		lua_pushvalue(L, -1);
		lua_setfield(L, -3, "__gc");
		lua_setfield(L, -2, "__close");
	}
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

/* Gives nil and why: `return l_failed(L, &error);`. */
static inline int l_failed(lua_State *L, const struct error *error)
{
	lua_pushnil(L);
	lua_pushstring(L, error->text);
	return 2;
}

/* Gives true, or nil and why when result is not 0. */
static inline int l_done(lua_State *L, int result, const struct error *error)
{
	if (result != 0)
		return l_failed(L, error);
	lua_pushboolean(L, 1);
	return 1;
}

#endif
