/* T.stream_table(kind): the state table of a kind of stream, cell by cell, to be held against the RFC. */
#include <lauxlib.h>

#include "lua/test.h"
#include "xmpp/stream.h"

/* stream_table("c2s" | "s2sin" | "s2sout") -> { state = { class = action } } */
static int l_stream_table(lua_State *L)
{
	const char *wanted = luaL_checkstring(L, 1);
	unsigned kind = 0;
	while (stream_kind_name(kind) != NULL && strcmp(stream_kind_name(kind), wanted) != 0)
		kind++;
	luaL_argcheck(L, stream_kind_name(kind) != NULL, 1, "no such kind of stream");
	lua_newtable(L);
	for (unsigned s = 0; s < stream_state_count(); s++) {
		if (stream_state_name(kind, s) == NULL)
			continue;
		lua_newtable(L);
		for (unsigned c = 0; stream_class_name(kind, c) != NULL; c++) {
			lua_pushstring(L, stream_action_name(kind, s, c));
			lua_setfield(L, -2, stream_class_name(kind, c));
		}
		lua_setfield(L, -2, stream_state_name(kind, s));
	}
	return 1;
}

void l_test_xmpp(lua_State *L)
{
	lua_pushcfunction(L, l_stream_table);
	lua_setfield(L, -2, "stream_table");
}
