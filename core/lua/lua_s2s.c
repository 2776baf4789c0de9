/* Streams between servers for Lua: connecting, and what is proven. Policy is in mod_s2s and its companions. */
#include <lauxlib.h>

#include "base/error.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "xmpp/host.h"
#include "xmpp/jid.h"
#include "xmpp/s2s.h"
#include "xmpp/session.h"
#include "xmpp/stream.h"

/* A prepared domain out of a string argument, in memory of the caller; raises when it is none. */
static struct slice l_check_domain(lua_State *L, int index, char into[JID_PART_MAX + 1])
{
	struct slice text = l_check_slice(L, index);
	int len = jid_prep_host(text, into);
	luaL_argcheck(L, len > 0, index, "a domain is expected");
	return slice_of(into, (size_t)len);
}

/* native.connect_s2s { from_host =, to_host =, address =, port =, tls = context or nil: TLS from the first byte,
 * sni = } -> session | nil, error. What becomes of it is told by events of from_host: s2sout-connected,
 * s2s-session-secured, stanza/...:features, s2s-session-ended. */
static int l_connect_s2s(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_getfield(L, 1, "from_host");
	lua_getfield(L, 1, "to_host");
	lua_getfield(L, 1, "address");
	lua_getfield(L, 1, "port");
	lua_getfield(L, 1, "tls");
	lua_getfield(L, 1, "sni");
	char from_text[JID_PART_MAX + 1], to_text[JID_PART_MAX + 1];
	struct slice from = l_check_domain(L, 2, from_text);
	lua_Integer port = luaL_checkinteger(L, 5);
	luaL_argcheck(L, port > 0 && port < 65536, 1, "no such port");
	struct s2s_target target = {
		.domain = l_check_domain(L, 3, to_text),
		.address = luaL_checkstring(L, 4),
		.port = (uint16_t)port,
		.tls = lua_isnil(L, 6) ? NULL : l_check_tls_context(L, 6),
		.sni = luaL_optstring(L, 7, NULL),
	};
	struct host *host = server_host(core->server, from);
	luaL_argcheck(L, host != NULL, 1, "from_host is none of our hosts");
	luaL_argcheck(L, server_host(core->server, target.domain) == NULL, 1, "to_host is one of our hosts");
	struct error error = { "" };
	struct session *session = stream_connect_s2s(core->server, host, &target, &error);
	if (session == NULL)
		return l_failed(L, &error);
	l_push_session(L, session);
	return 1;
}

/* native.s2s_prove(session, ours, theirs, "in" | "out" | "both") -> true | false */
static int l_prove(lua_State *L)
{
	static const char *const names[] = { "in", "out", "both", NULL };
	struct session *session = l_check_session(L, 1);
	luaL_argcheck(L, session_is_s2s(session), 1, "this is no session between servers");
	char ours_text[JID_PART_MAX + 1], theirs_text[JID_PART_MAX + 1];
	struct slice ours = l_check_domain(L, 2, ours_text), theirs = l_check_domain(L, 3, theirs_text);
	unsigned directions = 1u + (unsigned)luaL_checkoption(L, 4, NULL, names); /* PAIR_IN, PAIR_OUT, both */
	lua_pushboolean(L, s2s_prove(session, ours, theirs, directions) == 0);
	return 1;
}

/* native.s2s_limit(session, bytes): the other side takes no bigger stanzas (XEP-0478). */
static int l_limit(lua_State *L)
{
	struct session *session = l_check_session(L, 1);
	luaL_argcheck(L, session_is_s2s(session), 1, "this is no session between servers");
	lua_Integer bytes = luaL_checkinteger(L, 2);
	luaL_argcheck(L, bytes > 0 && bytes <= UINT32_MAX, 2, "bytes");
	s2s_set_limit(session, (uint32_t)bytes);
	return 0;
}

/* native.s2s_link(ours, theirs) -> session | nil: where stanzas from our host to that domain go. */
static int l_link(lua_State *L)
{
	struct host *host = server_host(lua_core_of(L)->server, l_to_slice(L, 1));
	l_push_session(L, host != NULL ? s2s_link(host, l_to_slice(L, 2)) : NULL);
	return 1;
}

/* native.s2s_hold(session, ours, theirs, held): while held, the link of that pair is not used by the core, so that what
 * waited before it came up is not overtaken; stanzas pass route/remote as if there were none. */
static int l_hold(lua_State *L)
{
	struct session *session = l_check_session(L, 1);
	char ours_text[JID_PART_MAX + 1], theirs_text[JID_PART_MAX + 1];
	struct slice ours = l_check_domain(L, 2, ours_text), theirs = l_check_domain(L, 3, theirs_text);
	s2s_hold(session, ours, theirs, lua_toboolean(L, 4));
	return 0;
}

/* native.s2s_pairs(session) -> list of { ours =, theirs =, in = boolean, out = boolean } */
static int l_pairs(lua_State *L)
{
	struct session *session = l_check_session(L, 1);
	uint32_t at = 0;
	unsigned directions;
	struct slice ours, theirs;
	lua_Integer n = 0;
	lua_newtable(L);
	while (s2s_next_pair(session, &at, &ours, &theirs, &directions)) {
		lua_createtable(L, 0, 4);
		l_push_slice(L, ours);
		lua_setfield(L, -2, "ours");
		l_push_slice(L, theirs);
		lua_setfield(L, -2, "theirs");
		lua_pushboolean(L, (directions & PAIR_IN) != 0);
		lua_setfield(L, -2, "in");
		lua_pushboolean(L, (directions & PAIR_OUT) != 0);
		lua_setfield(L, -2, "out");
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* native.s2s_is_leaving(ours, theirs) -> boolean: the stream that carried stanzas there is being closed. */
static int l_is_leaving(lua_State *L)
{
	struct host *host = server_host(lua_core_of(L)->server, l_to_slice(L, 1));
	lua_pushboolean(L, host != NULL && s2s_is_leaving(host, l_to_slice(L, 2)));
	return 1;
}

void l_add_s2s(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "connect_s2s", l_connect_s2s },
		{ "s2s_prove", l_prove },
		{ "s2s_hold", l_hold },
		{ "s2s_limit", l_limit },
		{ "s2s_link", l_link },
		{ "s2s_is_leaving", l_is_leaving },
		{ "s2s_pairs", l_pairs },
		{ NULL, NULL },
	};
	luaL_setfuncs(L, functions, 0);
}
