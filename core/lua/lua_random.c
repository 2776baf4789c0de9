/* util.random: bytes from the kernel. There is nothing to seed; seed and boot exist for those who call them. */
#include <lauxlib.h>

#include "base/random.h"
#include "lua/libs.h"

#define BYTES_MAX (1 << 24)

/* bytes(n) -> a string of n random bytes. */
static int l_bytes(lua_State *L)
{
	luaL_Buffer bytes;
	lua_Integer n = luaL_checkinteger(L, 1);

	luaL_argcheck(L, n >= 0 && n <= BYTES_MAX, 1, "between 0 and 16777216 bytes");
	random_bytes(luaL_buffinitsize(L, &bytes, (size_t)n), (size_t)n);
	luaL_pushresultsize(&bytes, (size_t)n);
	return 1;
}

static int l_nothing(lua_State *L)
{
	(void)L;
	return 0;
}

static const luaL_Reg functions[] = {
	{ "bytes", l_bytes },
	{ "seed", l_nothing },
	{ "boot", l_nothing },
	{ NULL, NULL },
};

int l_open_random(lua_State *L)
{
	luaL_newlib(L, functions);
	lua_pushliteral(L, "getrandom");
	lua_setfield(L, -2, "_source");
	return 1;
}
