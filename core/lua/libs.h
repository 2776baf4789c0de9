/* The libraries written in C, by the name Lua requires them by ("util.x" and "prosody.util.x" are the same table).
 * Each is one function that leaves the library's table on the stack, as luaopen_ functions do. */
#ifndef LUA_LIBS_H
#define LUA_LIBS_H

#include <lua.h>

/* Puts every library into package.preload under both names. */
void l_register_libs(lua_State *L);

int l_open_stanza(lua_State *L);    /* util.stanza */
int l_open_xml(lua_State *L);       /* util.xml */
int l_open_jid(lua_State *L);       /* util.jid */
int l_open_encodings(lua_State *L); /* util.encodings */
int l_open_hashes(lua_State *L);    /* util.hashes */
int l_open_random(lua_State *L);    /* util.random */
int l_open_time(lua_State *L);      /* util.time */
int l_open_json(lua_State *L);      /* util.json */
int l_open_literal(lua_State *L);   /* util.literal */
int l_open_files(lua_State *L);     /* util.files */
int l_open_incoming(lua_State *L);  /* util.incoming */
int l_open_texts(lua_State *L);     /* util.texts */
int l_open_pposix(lua_State *L);    /* util.pposix */
int l_open_net(lua_State *L);       /* util.net */
int l_open_x509(lua_State *L);      /* util.x509core */
int l_open_console(lua_State *L);   /* util.console */
int l_open_http(lua_State *L);      /* net.http.wire */

#endif
