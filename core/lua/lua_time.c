/* util.time: the two clocks, in seconds. */
#include <lauxlib.h>

#include "base/clock.h"
#include "lua/libs.h"

/* now() -> seconds since 1970 UTC, with a fraction. */
static int l_now(lua_State *L)
{
	lua_pushnumber(L, clock_wall());
	return 1;
}

/* monotonic() -> seconds that only ever grow, since an arbitrary start, with a fraction. */
static int l_monotonic(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)clock_ns() / 1e9);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "now", l_now },
	{ "monotonic", l_monotonic },
	{ NULL, NULL },
};

int l_open_time(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
