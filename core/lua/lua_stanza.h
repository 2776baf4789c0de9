/* Stanzas between C and Lua. To Lua a stanza, or any element in one, is a userdata with Prosody's interface
 * (util.stanza); a plain table with st.stanza_mt as its metatable is taken for one wherever a stanza is expected.
 * The block of a stanza that Lua can see lives in Lua's own memory, so the collector sees its true size and no
 * finalizer runs. The struct follows when C lets go of it. All functions may raise. */
#ifndef LUA_LUA_STANZA_H
#define LUA_LUA_STANZA_H

#include <lua.h>

#include "xml/stanza.h"

/* Pushes the stanza; Lua takes it and *stanza becomes NULL. */
void l_push_stanza(lua_State *L, struct stanza **stanza);

/* Pushes a stanza that C still owns for this turn. Pushing it again pushes the same handle. C must not free it before
 * l_stanza_unpin. */
void l_push_stanza_pinned(lua_State *L, struct stanza *stanza);
/* At the end of its dispatch. lua_keeps: Lua takes the stanza, which C must not touch any more (it is freed here
 * when it was never pushed). Else it stays with C and the handles are dead: using one raises. */
void l_stanza_unpin(lua_State *L, struct stanza *stanza, bool lua_keeps);

/* The stanza and element behind an argument; borrowed while the value is on the stack. Raises when it is none. The
 * stanza may be changed from C. A plain table is replaced on the stack by what it was converted to. */
struct stanza *l_check_stanza(lua_State *L, int index, struct el *el_r);
/* Same; NULL when it is none. */
struct stanza *l_test_stanza(lua_State *L, int index, struct el *el_r);


#endif
