/* Routing for Lua: Prosody's core_post_stanza, core_process_stanza, core_route_stanza. */
#include <lauxlib.h>

#include "lua/core.h"
#include "lua/lua_stanza.h"
#include "xml/stanza.h"
#include "xmpp/host.h"
#include "xmpp/session.h"

/* The sender named by argument 1: a session, a host's table, or nil (then the host of the stanza's from, else of its
 * to). */
static struct session *l_origin(lua_State *L, const struct stanza *stanza, struct el el)
{
	struct session *origin = l_test_session(L, 1);
	static const char *const attrs[] = { "from", "to" };
	for (int i = 0; origin == NULL && i < 2; i++) {
		char scratch[JID_MAX];
		struct jid jid;
		struct slice text = el_attr(stanza, el, slice_of_str(attrs[i]));
		if (text.ptr == NULL || !jid_parse(text, scratch, &jid))
			continue;
		struct host *host = server_host(lua_core_of(L)->server, jid.host);
		origin = host != NULL ? host->self : NULL;
	}
	return origin;
}

static int l_post_as(lua_State *L, bool with_pre)
{
	struct el el;
	struct stanza *stanza = l_check_stanza(L, 2, &el);
	struct session *origin = l_origin(L, stanza, el);
	if (origin == NULL || origin->host == NULL) {
		lua_pushboolean(L, false);
		return 1;
	}
	struct stanza *copy = stanza_clone(stanza, el);
	router_post(origin, &copy, with_pre);
	lua_pushboolean(L, true);
	return 1;
}

/* native.post(origin, stanza, preevents) */
static int l_post(lua_State *L) { return l_post_as(L, lua_toboolean(L, 3)); }

/* native.route(origin, stanza) */
static int l_route(lua_State *L) { return l_post_as(L, false); }

/* native.process(origin, stanza): as if it had just arrived from that session. */
static int l_process(lua_State *L)
{
	struct el el;
	struct stanza *stanza = l_check_stanza(L, 2, &el);
	struct session *origin = l_check_session(L, 1);
	struct stanza *copy = stanza_clone(stanza, el);
	if (origin->type == SESSION_C2S || session_is_s2s(origin))
		router_receive(origin, &copy);
	else if (origin->host != NULL)
		router_post(origin, &copy, false);
	stanza_free(&copy);
	return 0;
}

void l_add_router(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "post", l_post },
		{ "route", l_route },
		{ "process", l_process },
		{ NULL, NULL },
	};
	luaL_setfuncs(L, functions, 0);
}
