/* T.stream_table(): the stream's state table, cell by cell, for the spec that holds it against the RFC. */
#include <lauxlib.h>

#include "lua/test.h"
#include "xmpp/stream.h"

/* stream_table() -> { state = { class = action } } */
static int l_stream_table(lua_State *L)
{
	lua_newtable(L);
	for (unsigned s = 0; stream_state_name(s) != NULL; s++) {
		lua_newtable(L);
		for (unsigned c = 0; stream_class_name(c) != NULL; c++) {
			lua_pushstring(L, stream_action_name(s, c));
			lua_setfield(L, -2, stream_class_name(c));
		}
		lua_setfield(L, -2, stream_state_name(s));
	}
	return 1;
}

void l_test_xmpp(lua_State *L)
{
	lua_pushcfunction(L, l_stream_table);
	lua_setfield(L, -2, "stream_table");
}
