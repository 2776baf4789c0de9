/* T of the store room. */
#include <lauxlib.h>

#include "lua/test.h"
#include "store/files.h"

/* files_fail_at(n): the nth write, rename or fsync from now on fails with EIO; 0: none does. */
static int l_files_fail_at(lua_State *L)
{
	lua_Integer nth = luaL_checkinteger(L, 1);
	luaL_argcheck(L, nth >= 0 && nth < 1000000, 1, "not a count");
	files_fail_at((unsigned)nth);
	return 0;
}

void l_test_store(lua_State *L)
{
	lua_pushcfunction(L, l_files_fail_at);
	lua_setfield(L, -2, "files_fail_at");
}
