/* The door of the test build: all of core as one Lua module for busted. */
#include "lua/test.h"

#include <stddef.h>

#include "lua/libs.h"

int luaopen_couplet_core(lua_State *L)
{
	void (*const parts[])(lua_State *) = {
		l_test_base, l_test_bus, l_test_net, l_test_xml, l_test_store, l_test_xmpp, l_test_lua,
	};

	l_register_libs(L);
	lua_newtable(L);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (parts[i] != NULL)
			parts[i](L);
	}
	return 1;
}
