/* The parts of net.http.wire: readers (lua_http.c), heads (lua_http_head.c) and files (lua_http_file.c). */
#ifndef LUA_HTTP_PRIVATE_H
#define LUA_HTTP_PRIVATE_H

#include <lua.h>

/* Each adds its functions to the table on top of the stack. */
void l_add_http_heads(lua_State *L);
void l_add_http_files(lua_State *L);

#endif
