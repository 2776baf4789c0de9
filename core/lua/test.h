/* T, the library that opens the inside of C to specs; compiled into test builds only.
 *
 * A room's part is one function l_test_ROOM in core/lua/test_ROOM.c. It finds T on top of the stack, adds its functions
 * or tables to it, and leaves T on top. A part that is not linked is simply absent from T. */
#ifndef LUA_TEST_H
#define LUA_TEST_H

#include <lua.h>

void l_test_base(lua_State *L) __attribute__((weak));
void l_test_bus(lua_State *L) __attribute__((weak));
void l_test_net(lua_State *L) __attribute__((weak));
void l_test_xml(lua_State *L) __attribute__((weak));
void l_test_store(lua_State *L) __attribute__((weak));
void l_test_xmpp(lua_State *L) __attribute__((weak));
void l_test_lua(lua_State *L) __attribute__((weak));

/* require "couplet_core" in the plain interpreter: makes the libraries written in C available and returns T. */
int luaopen_couplet_core(lua_State *L);

#endif
