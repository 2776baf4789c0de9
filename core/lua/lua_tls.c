/* TLS contexts for Lua: made by core.certmanager, handed to listeners and starttls. */
#include <lauxlib.h>

#include "base/error.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "net/tls.h"

#define TLS_TYPE "couplet.tls"

struct tls_context *l_check_tls_context(lua_State *L, int index)
{
	struct tls_context **context = luaL_checkudata(L, index, TLS_TYPE);
	luaL_argcheck(L, *context != NULL, index, "TLS context is gone");
	return *context;
}

static const char *text_field(lua_State *L, const char *name) /* stays anchored in the table at 1 */
{
	lua_getfield(L, 1, name);
	const char *text = lua_tostring(L, -1);
	lua_pop(L, 1);
	return text;
}

static bool flag_field(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	bool flag = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return flag;
}

/* native.tls_context { certificate=, key=, ... } -> context | nil, error */
static int l_tls_context(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	struct tls_config config = {
		.certificate = text_field(L, "certificate"),
		.key = text_field(L, "key"),
		.ca_file = text_field(L, "ca_file"),
		.ca_path = text_field(L, "ca_path"),
		.crl_file = text_field(L, "crl_file"),
		.ciphers = text_field(L, "ciphers"),
		.curves = text_field(L, "curves"),
		.min_protocol = text_field(L, "min_protocol"),
		.ask_client_certificate = flag_field(L, "ask_client_certificate"),
		.alpn = text_field(L, "alpn"),
	};
	bool is_server = flag_field(L, "server");
	struct tls_context **context = lua_newuserdatauv(L, sizeof(*context), 0);
	*context = NULL;
	luaL_setmetatable(L, TLS_TYPE);
	struct error error = { "" };
	*context = tls_context_new(&config, is_server, &error);
	return *context != NULL ? 1 : l_failed(L, &error);
}

static int l_set_sni(lua_State *L)
{
	struct tls_context *server = l_check_tls_context(L, 1);
	const char *name = luaL_checkstring(L, 2);
	tls_context_set_sni(server, name, l_check_tls_context(L, 3));
	return 0;
}

static int l_clear_sni(lua_State *L)
{
	tls_context_clear_sni(l_check_tls_context(L, 1));
	return 0;
}

static int l_tls_gc(lua_State *L)
{
	struct tls_context **context = luaL_checkudata(L, 1, TLS_TYPE);
	tls_context_unref(context);
	return 0;
}

void l_add_tls(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "set_sni", l_set_sni },
		{ "clear_sni", l_clear_sni },
		{ NULL, NULL },
	};
	l_new_type(L, TLS_TYPE, methods, l_tls_gc);
	lua_pushcfunction(L, l_tls_context);
	lua_setfield(L, -2, "tls_context");
}
