/* The parts of util.literal: reading (lua_literal.c) and writing (lua_literal_write.c). */
#ifndef LUA_LITERAL_PRIVATE_H
#define LUA_LITERAL_PRIVATE_H

#include <lua.h>

#define LITERAL_DEPTH_MAX 200
#define LITERAL_STACK_PER_LEVEL 8 /* places on the Lua stack that a level of nesting takes */

/* Adds the functions that write to the table on top of the stack. */
void l_add_literal_writers(lua_State *L);

#endif
