/* Sessions whose bytes are carried by Lua (WebSocket, BOSH): their elements come in through the same parser and the
 * same table as those of streams, and go out as text. */
#include <lauxlib.h>

#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/core.h"
#include "lua/lua_stanza.h"
#include "xml/parser.h"
#include "xml/stanza.h"
#include "xmpp/foreign.h"
#include "xmpp/host.h"
#include "xmpp/ns.h"
#include "xmpp/session.h"

/* ---- out ---- */

/* Begins a call of carrier.name(session, ...); the carrier is the session's field `carrier`. NULL when it has none. */
static struct thread *begin(struct session *session, const char *name)
{
	struct thread *thread = barrier_begin(session->server->lua, name);
	lua_State *L = thread->L;
	l_push_own_field(L, session, "carrier");
	if (lua_istable(L, 1)) {
		lua_pushstring(L, name);
		lua_rawget(L, 1);
		lua_replace(L, 1);
	}
	if (!lua_isfunction(L, 1)) {
		barrier_end(session->server->lua, thread);
		return NULL;
	}
	l_push_session(L, session);
	return thread;
}

static int send_text(struct session *session, struct slice text)
{
	struct thread *thread = begin(session, "send");
	if (thread == NULL)
		return -1;
	lua_pushlstring(thread->L, text.ptr, text.len);
	enum barrier_result result = barrier_run(session->server->lua, thread, 2);
	if (result == BARRIER_WAITS)
		return 0;
	int sent = result == BARRIER_OK && lua_toboolean(thread->L, 1) ? 0 : -1;
	barrier_end(session->server->lua, thread);
	return sent;
}

static int send_stanza(struct session *session, const struct stanza *stanza)
{
	char *text = mem_new(foreign_write_bound(stanza));
	size_t len = foreign_write(text, stanza);
	server_count(session, stanza, SERVER_OUT);
	int sent = send_text(session, slice_of(text, len));
	mem_free(text);
	return sent;
}

/* Calls carrier.leave(session, condition, text) or carrier.move(from, to). */
void lua_carrier_leave(struct session *session, const char *condition, const char *text)
{
	struct thread *thread = begin(session, "leave");
	if (thread == NULL)
		return;
	lua_pushstring(thread->L, condition);
	lua_pushstring(thread->L, text);
	if (barrier_run(session->server->lua, thread, 3) != BARRIER_WAITS)
		barrier_end(session->server->lua, thread);
}

void lua_carrier_move(struct session *from, struct session *to)
{
	struct thread *thread = begin(from, "move");
	if (thread == NULL)
		return;
	l_push_session(thread->L, to);
	if (barrier_run(from->server->lua, thread, 2) != BARRIER_WAITS)
		barrier_end(from->server->lua, thread);
}

void lua_carrier_close(struct session *session, const char *condition, const char *text)
{
	struct thread *thread = begin(session, "close");
	if (thread != NULL) {
		lua_pushstring(thread->L, condition);
		lua_pushstring(thread->L, text);
		if (barrier_run(session->server->lua, thread, 3) != BARRIER_WAITS)
			barrier_end(session->server->lua, thread);
	}
	session_end(session, text != NULL ? text : condition);
}

static void carrier_resumed(struct session *session)
{
	struct thread *thread = begin(session, "resumed");
	if (thread != NULL && barrier_run(session->server->lua, thread, 1) != BARRIER_WAITS)
		barrier_end(session->server->lua, thread);
}

static const struct transport carried = {
	.send = send_stanza, .send_bytes = send_text, .close = lua_carrier_close, .resumed = carrier_resumed,
};

/* native.carried_session(host, carrier) -> session. carrier.send(session, text) -> true when it will be sent;
 * carrier.close(session, condition, text): say so and end; carrier.resumed(session): what waited is over. Of carriers
 * over WebSocket also: carrier.leave(session, condition, text): the session goes on without this connection, which says
 * why, if there is a condition, and ends; carrier.move(from, to): the connection is the other session's from now on. */
static int l_carried_session(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	size_t len;
	const char *name = luaL_checklstring(L, 1, &len);
	luaL_checktype(L, 2, LUA_TTABLE);
	struct host *host = server_host(core->server, slice_of(name, len));
	luaL_argcheck(L, host != NULL && !host->is_component, 1, "no host for clients");
	struct session *session = session_new(core->server, SESSION_C2S_UNAUTHED);
	session->host = host;
	session->transport = &carried;
	l_push_session(L, session);
	lua_pushvalue(L, 2);
	lua_setfield(L, -2, "carrier");
	return 1;
}

/* ---- in ---- */

/* One parser for all: an element comes whole, so nothing of one waits when the next is looked at. */
struct stanza *lua_parse(struct lua_core *core, struct slice text, size_t bytes, bool is_authed,
			 const char **condition_r, const char **text_r)
{
	struct parser_limits limits = is_authed ? parser_limits_c2s : parser_limits_unauthed;
	limits.stanza_bytes = bytes;
	limits.depth++; /* a wrapper is no part of what it wraps */
	limits.elements++;
	if (core->is_parser_used_up)
		parser_free(&core->parser);
	core->is_parser_used_up = false;
	if (core->parser == NULL) {
		core->parser = parser_new_document(&limits);
		parser_set_content_ns(core->parser, NS_CLIENT);
	}
	struct parser *parser = core->parser;
	parser_set_limits(parser, &limits);
	parser_push(parser, text);
	struct stanza *stanza = NULL, *junk = NULL;
	switch (parser_next(parser, &stanza)) {
	case PARSER_FAILED:
		*condition_r = parser_condition(parser);
		*text_r = parser_text(parser);
		break;
	case PARSER_STANZA:
		if (parser_next(parser, &junk) == PARSER_MORE && !parser_has_rest(parser))
			return stanza;
		*condition_r = "not-well-formed";
		*text_r = "There must be one element, and nothing else";
		break;
	default:
		*condition_r = "not-well-formed";
		*text_r = "The element has no end";
	}
	core->is_parser_used_up = true; /* freed at the next call: it has the text */
	stanza_free(&junk);
	stanza_free(&stanza);
	return NULL;
}

/* native.parse(text, bytes, is_authed) -> element; or nil, condition, text (RFC 6120 4.9.3). The text is one element,
 * of at most so many bytes, under the limits of a stream before or after login. */
static int l_parse(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_Integer bytes = luaL_checkinteger(L, 2);
	luaL_argcheck(L, bytes >= 1 && bytes <= 16 << 20, 2, "out of range");
	const char *condition, *why;
	struct stanza *stanza = lua_parse(lua_core_of(L), slice_of(text, len), (size_t)bytes, lua_toboolean(L, 3),
					  &condition, &why);
	if (stanza != NULL) {
		l_push_stanza(L, &stanza);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, condition);
	lua_pushstring(L, why);
	return 3;
}

/* native.receive(session, element) -> true; false: something of the session waits, so not now (carrier.resumed says
 * when); nil: the session has ended. */
static int l_receive(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	struct el el;
	struct stanza *stanza = l_check_stanza(L, 2, &el);
	if (session == NULL || session->is_ended || session->transport != &carried) {
		lua_pushnil(L);
		return 1;
	}
	if (session->n_parked > 0) {
		lua_pushboolean(L, false);
		return 1;
	}
	struct stanza *copy = stanza_clone(stanza, el);
	foreign_receive(session, &copy);
	lua_pushboolean(L, true);
	return 1;
}

void l_add_foreign(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "carried_session", l_carried_session },
		{ "parse", l_parse },
		{ "receive", l_receive },
		{ NULL, NULL },
	};
	luaL_setfuncs(L, functions, 0);
}
