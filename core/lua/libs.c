/* The list of libraries written in C. One line each; the loader finds them by these names. */
#include "lua/libs.h"

#include <lauxlib.h>

static const luaL_Reg libs[] = {
	{ "util.stanza", l_open_stanza },
	{ "util.xml", l_open_xml },
	{ "util.jid", l_open_jid },
	{ "util.encodings", l_open_encodings },
	{ "util.hashes", l_open_hashes },
	{ "util.random", l_open_random },
	{ "util.time", l_open_time },
	{ "util.json", l_open_json },
	{ "util.literal", l_open_literal },
	{ "util.files", l_open_files },
	{ "util.incoming", l_open_incoming },
	{ "util.texts", l_open_texts },
	{ "util.pposix", l_open_pposix },
	{ "util.net", l_open_net },
	{ "util.x509core", l_open_x509 },
	{ "util.console", l_open_console },
	{ "net.http.wire", l_open_http },
	{ NULL, NULL },
};

/* preload["util.x"] opens the library; preload["prosody.util.x"] requires "util.x", so both give one table. */
static int l_require_plain(lua_State *L)
{
	lua_getglobal(L, "require");
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_call(L, 1, 1);
	return 1;
}

void l_register_libs(lua_State *L)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	for (const luaL_Reg *lib = libs; lib->name != NULL; lib++) {
		lua_pushcfunction(L, lib->func);
		lua_setfield(L, -2, lib->name);
		lua_pushfstring(L, "prosody.%s", lib->name);
		lua_pushstring(L, lib->name);
		lua_pushcclosure(L, l_require_plain, 1);
		lua_settable(L, -3);
	}
	lua_pop(L, 1);
}
