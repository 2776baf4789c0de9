#include "lua/out.h"

#include <lauxlib.h>

void l_out_init(struct out *out, lua_State *L)
{
	luaL_checkstack(L, 1, "text");
	lua_pushnil(L);
	out->L = L;
	out->index = lua_gettop(L);
	out->ptr = out->first;
	out->len = 0;
	out->size = sizeof(out->first);
}

void l_out_grow(struct out *out, size_t more)
{
	if (more > (size_t)PTRDIFF_MAX / 2 - out->size)
		luaL_error(out->L, "text too long");
	size_t size = out->size * 2;
	while (size - out->len < more)
		size *= 2;
	char *ptr = lua_newuserdatauv(out->L, size, 0);
	memcpy(ptr, out->ptr, out->len);
	lua_replace(out->L, out->index); /* the old one goes to the collector */
	out->ptr = ptr;
	out->size = size;
}

void l_out_push(struct out *out)
{
	lua_pushlstring(out->L, out->ptr, out->len);
}
