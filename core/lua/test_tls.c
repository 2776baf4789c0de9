/* T.net's TLS contexts. */
#include <lauxlib.h>

#include "lua/bind.h"
#include "lua/test_net_private.h"
#include "net/tls.h"

#define TLS "couplet.test.tls"

struct tls_context *l_test_check_tls(lua_State *L, int index)
{
	struct tls_context **context = luaL_checkudata(L, index, TLS);
	luaL_argcheck(L, *context != NULL, index, "the context is freed");
	return *context;
}

struct tls_context *test_tls_at(lua_State *L, int index)
{
	struct tls_context **context = luaL_testudata(L, index, TLS);
	return context != NULL ? *context : NULL;
}

/* tls { server =, certificate =, key =, ... } -> context | nil, why */
static int l_tls(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	static const char *const names[] = { "certificate", "key",    "ca_file",      "ca_path",
					     "ciphers",	    "curves", "min_protocol", "alpn" };
	const char *values[8];
	for (int i = 0; i < 8; i++) {
		lua_getfield(L, 1, names[i]);
		values[i] = luaL_optstring(L, -1, NULL); /* stays on the stack: borrowed */
	}
	lua_getfield(L, 1, "ask_client_certificate");
	lua_getfield(L, 1, "server");
	struct tls_config config = {
		.certificate = values[0],
		.key = values[1],
		.ca_file = values[2],
		.ca_path = values[3],
		.ciphers = values[4],
		.curves = values[5],
		.min_protocol = values[6],
		.alpn = values[7],
		.ask_client_certificate = lua_toboolean(L, -2),
	};
	bool is_server = lua_toboolean(L, -1);
	struct tls_context **context = lua_newuserdatauv(L, sizeof(struct tls_context *), 0);
	*context = NULL;
	luaL_setmetatable(L, TLS);
	struct error error;
	*context = tls_context_new(&config, is_server, &error);
	if (*context != NULL)
		return 1;
	return l_failed(L, &error);
}

static int l_tls_set_sni(lua_State *L)
{
	tls_context_set_sni(l_test_check_tls(L, 1), luaL_checkstring(L, 2), l_test_check_tls(L, 3));
	return 0;
}

static int l_tls_clear_sni(lua_State *L)
{
	tls_context_clear_sni(l_test_check_tls(L, 1));
	return 0;
}

static int l_tls_free(lua_State *L)
{
	tls_context_unref(luaL_checkudata(L, 1, TLS));
	return 0;
}

static const luaL_Reg tls_methods[] = {
	{ "set_sni", l_tls_set_sni },
	{ "clear_sni", l_tls_clear_sni },
	{ "free", l_tls_free },
	{ NULL, NULL },
};

void l_test_tls(lua_State *L)
{
	l_new_type(L, TLS, tls_methods, l_tls_free);
	lua_pushcfunction(L, l_tls);
	lua_setfield(L, -2, "tls");
}
