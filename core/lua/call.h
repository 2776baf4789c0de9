/* A function of Lua that the core calls later: a userdata of the registry, whose user value 1 is the function (2 is the
 * owner's). */
#ifndef LUA_CALL_H
#define LUA_CALL_H

#include <lua.h>

struct lua_core;
struct thread;

struct lua_call {
	struct lua_core *core;
	const char *name; /* for the log; lives as long as the program */
	int self_ref;
};

/* Keeps the function at that index; leaves the userdata on the stack. */
struct lua_call *l_keep_call(lua_State *L, int index, const char *name);
void lua_forget_call(struct lua_call *call);
/* A thread with the function on its stack, for barrier_run. */
struct thread *lua_begin_call(struct lua_call *call);

#endif
