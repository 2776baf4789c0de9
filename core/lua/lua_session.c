/* Sessions as Lua sees them: a userdata that behaves as Prosody's session table. Known fields come from C; any other
 * field a module sets is kept in the handle's own table. A handle holds an id: after the session's end its C fields
 * read as nil, `destroyed` is true and `send` does nothing, as modules that kept it across a wait expect. */
#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/core.h"
#include "lua/lua_stanza.h"
#include "net/conn.h"
#include "xml/stanza.h"
#include "xmpp/host.h"
#include "xmpp/router.h"
#include "xmpp/s2s.h"
#include "xmpp/session.h"
#include "xmpp/session_sm.h"
#include "xmpp/stream.h"

#define SESSION_TYPE "couplet.session"

struct lua_session {
	struct session_id id;
	struct server *server;
};

/* ---- handle ---- */

void l_push_session(lua_State *L, struct session *session)
{
	if (session == NULL) {
		lua_pushnil(L);
		return;
	}
	if (session->lua_ref != 0) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, session->lua_ref);
		return;
	}
	if (session->type == SESSION_HOST && session->host->lua_ref != 0) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, session->host->lua_ref); /* as in Prosody: the host's own table */
		return;
	}
	struct lua_session *handle = lua_newuserdatauv(L, sizeof(*handle), 1);
	*handle = (struct lua_session){ session->id, session->server };
	luaL_setmetatable(L, SESSION_TYPE);
	lua_pushvalue(L, -1);
	session->lua_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static struct session *live(const struct lua_session *handle) { return server_session(handle->server, handle->id); }

struct session *l_test_session(lua_State *L, int index)
{
	struct lua_session *handle = luaL_testudata(L, index, SESSION_TYPE);
	if (handle != NULL)
		return live(handle);
	if (!lua_istable(L, index))
		return NULL;
	/* A host's table stands for the host as a sender; so does any table that names one of our hosts (module
	 * code passes `prosody.hosts[x]`, or a session-like table of its own). */
	struct lua_core *core = lua_core_of(L);
	lua_getfield(L, index, "host");
	struct slice name = lua_type(L, -1) == LUA_TSTRING ? l_to_slice(L, -1) : SLICE_NONE;
	struct host *host = name.ptr != NULL ? server_host(core->server, name) : NULL;
	lua_pop(L, 1);
	return host != NULL ? host->self : NULL;
}

struct session *l_check_session(lua_State *L, int index)
{
	struct session *session = l_test_session(L, index);
	if (session == NULL)
		luaL_argerror(L, index, luaL_testudata(L, index, SESSION_TYPE) != NULL ? "session is closed"
										 : "session expected");
	return session;
}

/* ---- check: fields a module keeps ---- */

/* Pushes the handle's table of kept fields; makes it when `make`, else pushes nil for none. */
static bool l_push_fields(lua_State *L, int index, bool make)
{
	if (lua_getiuservalue(L, index, 1) == LUA_TTABLE)
		return true;
	if (!make)
		return false;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, index, 1);
	return true;
}

static void l_keep(lua_State *L, int index, const char *key) /* the value on top, which stays */
{
	index = lua_absindex(L, index);
	l_push_fields(L, index, true);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, key);
	lua_pop(L, 1);
}

/* ---- readers ---- */

static int send_nothing(lua_State *L)
{
	lua_pushboolean(L, false);
	return 1;
}

/* session.send(stanza | text): with a dot, so the session is an upvalue. Past what a module put in its place, for
 * that calls this one. */
static int l_send(lua_State *L)
{
	struct session *session = l_test_session(L, lua_upvalueindex(1));
	if (session == NULL)
		return send_nothing(L);
	/* Between servers `send` answers, which is routed; `sends2s` is for this very stream. */
	bool is_answer = session_is_s2s(session) && !lua_toboolean(L, lua_upvalueindex(2));
	int sent;
	if (lua_type(L, 1) == LUA_TSTRING) {
		sent = session->transport != NULL ? session->transport->send_bytes(session, l_to_slice(L, 1)) : -1;
	} else {
		struct el el;
		struct stanza *stanza = l_check_stanza(L, 1, &el);
		if (el_equal(el, stanza_root(stanza))) {
			sent = is_answer ? router_send_back(session, stanza) : session_send_on(session, stanza);
		} else {
			struct stanza *copy = stanza_clone(stanza, el);
			sent = is_answer ? router_send_back(session, copy) : session_send_on(session, copy);
			stanza_free(&copy);
		}
	}
	lua_pushboolean(L, sent == 0);
	return 1;
}

/* session:close([condition | {condition=, text=} | stream error stanza][, text]) */
static int l_close(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	char condition[64] = "", text[256] = "";
	if (lua_type(L, 2) == LUA_TSTRING) {
		snprintf(condition, sizeof(condition), "%s", lua_tostring(L, 2));
	} else if (lua_istable(L, 2)) {
		lua_getfield(L, 2, "condition");
		lua_getfield(L, 2, "text");
		if (lua_isstring(L, -2))
			snprintf(condition, sizeof(condition), "%s", lua_tostring(L, -2));
		if (lua_isstring(L, -1))
			snprintf(text, sizeof(text), "%s", lua_tostring(L, -1));
	} else if (!lua_isnoneornil(L, 2)) {
		struct el el;
		struct stanza *stanza = l_check_stanza(L, 2, &el);
		struct el child = el_first(stanza, el);
		if (!el_is_none(child))
			snprintf(condition, sizeof(condition), "%.*s", SLICE_ARG(el_name(stanza, child)));
	}
	if (session != NULL)
		session_close(session, condition[0] != '\0' ? condition : NULL, text[0] != '\0' ? text : NULL);
	return 0;
}

static int l_reset_stream(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	if (session != NULL)
		stream_reset(session);
	return 0;
}

/* session:open_stream(): our header anew, on a stream that we opened. */
static int l_open_stream(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	lua_pushboolean(L, session != NULL && stream_open(session) == 0);
	return 1;
}

static void l_push_send(lua_State *L, const char *key)
{
	lua_pushvalue(L, 1);
	lua_pushboolean(L, strcmp(key, "sends2s") == 0);
	lua_pushcclosure(L, l_send, 2);
	l_keep(L, 1, key);
}

/* util.logger's function for this session, named as Prosody names them. */
static void l_push_log(lua_State *L, const struct session *session)
{
	lua_getglobal(L, "require");
	lua_pushliteral(L, "prosody.util.logger");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "init");
	const char *type = session != NULL ? session_type_name(session) : "session";
	lua_pushlstring(L, type, strcspn(type, "_")); /* "s2sin", authenticated or not */
	lua_pushfstring(L, "%s%d", lua_tostring(L, -1),
			(int)((struct lua_session *)lua_touserdata(L, 1))->id.index);
	lua_remove(L, -2);
	lua_call(L, 1, 1);
	lua_remove(L, -2);
	l_keep(L, 1, "log");
}

static bool is_outgoing(const struct session *session)
{
	return session->type == SESSION_S2SOUT || session->type == SESSION_S2SOUT_UNAUTHED;
}

enum field {
	F_TYPE = 1, F_USERNAME, F_HOST, F_RESOURCE, F_FULL_JID, F_IP, F_CONN, F_SECURE, F_PRIORITY, F_STREAMID, F_LOG,
	F_SEND, F_SENDS2S, F_CLOSE, F_RESET_STREAM, F_DESTROYED, F_INTERESTED, F_PRESENCE, F_NOTOPEN, F_LANG, F_DIRECTION,
	F_BARE_JID, F_AVAILABLE, F_AVAILABLE_SINCE, F_FROM_HOST, F_TO_HOST, F_OPEN_STREAM,
};

static const struct {
	const char *name;
	enum field field;
} fields[] = {
	{ "type", F_TYPE },           { "username", F_USERNAME },   { "host", F_HOST },
	{ "resource", F_RESOURCE },   { "full_jid", F_FULL_JID },   { "ip", F_IP },
	{ "conn", F_CONN },           { "secure", F_SECURE },       { "encrypted", F_SECURE },
	{ "priority", F_PRIORITY },   { "streamid", F_STREAMID },   { "log", F_LOG },
	{ "send", F_SEND },           { "sends2s", F_SENDS2S },     { "close", F_CLOSE },
	{ "reset_stream", F_RESET_STREAM }, { "destroyed", F_DESTROYED }, { "interested", F_INTERESTED },
	{ "presence", F_PRESENCE },   { "notopen", F_NOTOPEN },     { "xml_lang", F_LANG },
	{ "from_host", F_FROM_HOST }, { "to_host", F_TO_HOST },     { "open_stream", F_OPEN_STREAM },
	{ "available_since", F_AVAILABLE_SINCE },
	{ "direction", F_DIRECTION }, { "bare_jid", F_BARE_JID },   { "available", F_AVAILABLE },
};

/* Pushes the C field; true when there is an answer (which may be nil). Stack: 1 handle, 2 key. */
static bool l_push_field(lua_State *L, enum field field, struct session *session)
{
	switch (field) {
	case F_SEND:
		l_push_send(L, "send");
		return true;
	case F_SENDS2S:
		if (session == NULL || session->type < SESSION_S2SIN_UNAUTHED || session->type > SESSION_S2SOUT)
			return false;
		l_push_send(L, "sends2s");
		return true;
	case F_CLOSE:
		lua_pushcfunction(L, l_close);
		return true;
	case F_RESET_STREAM:
		lua_pushcfunction(L, l_reset_stream);
		return true;
	case F_OPEN_STREAM:
		lua_pushcfunction(L, l_open_stream);
		return true;
	case F_LOG:
		l_push_log(L, session);
		return true;
	case F_DESTROYED:
		lua_pushboolean(L, session == NULL || session->is_ended);
		return true;
	default:
		break;
	}
	if (session == NULL)
		return false;
	switch (field) {
	case F_TYPE: /* to modules an unbound client is "c2s" without a resource, as in Prosody */
		lua_pushstring(L, session->type == SESSION_C2S_UNBOUND ? "c2s" : session_type_name(session));
		return true;
	case F_USERNAME:
		l_push_slice(L, session->node_len > 0 ? session_node(session) : SLICE_NONE);
		return session->node_len > 0;
	case F_HOST:
		l_push_slice(L, session->host != NULL ? host_name(session->host) : SLICE_NONE);
		return session->host != NULL;
	case F_RESOURCE:
		l_push_slice(L, session_resource(session));
		return true;
	case F_FULL_JID:
		l_push_slice(L, session_full_jid(session));
		return true;
	case F_BARE_JID:
		l_push_slice(L, session->jid != NULL ? session_bare_jid(session) : SLICE_NONE);
		return true;
	case F_IP:
		if (stream_conn(session) == NULL)
			return false;
		lua_pushstring(L, conn_ip(stream_conn(session)));
		return true;
	case F_CONN:
		if (stream_conn(session) == NULL)
			return false;
		l_push_conn_of(L, session);
		l_keep(L, 1, "conn");
		return true;
	case F_SECURE:
		if (session->stream == NULL)
			return false;
		if (stream_is_secure(session))
			lua_pushboolean(L, true);
		else
			lua_pushnil(L);
		return true;
	case F_PRIORITY:
		if (session->is_available)
			lua_pushinteger(L, session->priority);
		else
			lua_pushnil(L);
		return true;
	case F_STREAMID:
		if (session->stream == NULL)
			return false;
		lua_pushstring(L, stream_id(session));
		return true;
	case F_INTERESTED:
		lua_pushboolean(L, session->is_interested);
		return true;
	case F_AVAILABLE:
		lua_pushboolean(L, session->is_available);
		return true;
	case F_AVAILABLE_SINCE: /* seconds since 1970, with a fraction */
		if (session->is_available)
			lua_pushnumber(L, session->available_since_s);
		else
			lua_pushnil(L);
		return true;
	case F_NOTOPEN:
		if (session->stream == NULL)
			return false;
		if (stream_id(session)[0] == '\0')
			lua_pushboolean(L, true);
		else
			lua_pushnil(L);
		return true;
	case F_LANG:
		lua_pushstring(L, session->lang);
		return true;
	case F_DIRECTION:
		lua_pushstring(L, is_outgoing(session) ? "outgoing" : "incoming");
		return true;
	case F_FROM_HOST:
	case F_TO_HOST:
		if (!session_is_s2s(session))
			return false;
		if (is_outgoing(session) == (field == F_FROM_HOST))
			l_push_slice(L, session->host != NULL ? host_name(session->host) : SLICE_NONE);
		else
			l_push_slice(L, s2s_remote(session).len > 0 ? s2s_remote(session) : SLICE_NONE);
		return true;
	default:
		return false;
	}
}

/* Upvalue 1: name -> enum field. A field a module has set wins over the C one (send, close, ip, conn ...). */
static int l_session_index(lua_State *L)
{
	struct lua_session *handle = lua_touserdata(L, 1);
	if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE) {
		lua_pushvalue(L, 2);
		if (lua_rawget(L, -2) != LUA_TNIL)
			return 1;
	}
	lua_settop(L, 2);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNUMBER)
		return 0;
	enum field field = (enum field)lua_tointeger(L, -1);
	lua_settop(L, 2);
	return l_push_field(L, field, live(handle)) ? 1 : 0;
}

/* ---- writers ---- */

static int8_t l_check_priority(lua_State *L, int index)
{
	lua_Number priority = luaL_checknumber(L, index);
	return (int8_t)(priority < -128 ? -128 : priority > 127 ? 127 : priority);
}

void l_push_own_field(lua_State *L, struct session *session, const char *name)
{
	l_push_session(L, session);
	if (lua_getiuservalue(L, -1, 1) == LUA_TTABLE) {
		lua_pushstring(L, name);
		lua_rawget(L, -2);
	} else {
		lua_pushnil(L);
	}
	lua_replace(L, -3);
	lua_pop(L, 1);
}

/* Asks the function that a module has set as session.send. */
static int send_through_lua(struct session *session, const struct stanza *stanza)
{
	struct lua_core *core = session->server->lua;
	struct thread *thread = barrier_begin(core, "session.send");
	l_push_own_field(thread->L, session, "send");
	struct stanza *copy = stanza_clone(stanza, stanza_root(stanza));
	l_push_stanza(thread->L, &copy);
	enum barrier_result result = barrier_run(core, thread, 1);
	if (result == BARRIER_WAITS)
		return 0;
	int sent = result == BARRIER_OK && (lua_gettop(thread->L) == 0 || lua_toboolean(thread->L, 1)
					    || lua_isnil(thread->L, 1)) ? 0 : -1;
	barrier_end(core, thread);
	return sent;
}

static int send_bytes_nowhere(struct session *session, struct slice bytes)
{
	(void)session;
	(void)bytes;
	return -1;
}

static void close_through_lua(struct session *session, const char *condition, const char *text)
{
	struct lua_core *core = session->server->lua;
	struct thread *thread = barrier_begin(core, "session.close");
	lua_State *L = thread->L;
	enum barrier_result result = BARRIER_OK;
	l_push_own_field(L, session, "close");
	if (lua_isfunction(L, 1)) {
		l_push_session(L, session);
		lua_createtable(L, 0, 2);
		lua_pushstring(L, condition);
		lua_setfield(L, -2, "condition");
		lua_pushstring(L, text);
		lua_setfield(L, -2, "text");
		result = barrier_run(core, thread, 2);
	}
	if (result != BARRIER_WAITS)
		barrier_end(core, thread);
	session_end(session, condition);
}

static const struct transport lua_transport = {
	.send = send_through_lua, .send_bytes = send_bytes_nowhere, .close = close_through_lua,
};

static void set_presence(lua_State *L, struct session *session)
{
	if (lua_isnil(L, 3)) {
		session_set_available(session, false, 0);
		return;
	}
	struct el el;
	struct stanza *presence = l_check_stanza(L, 3, &el);
	struct el child = el_child(presence, el, SLICE("priority"), SLICE_NONE);
	struct slice text = el_is_none(child) ? SLICE_NONE : el_text(presence, child);
	char digits[8] = "";
	if (text.len < sizeof(digits) && text.len > 0)
		memcpy(digits, text.ptr, text.len);
	long priority = strtol(digits, NULL, 10); /* RFC 6121 4.7.2.3: -128 to 127, default 0 */
	session_set_available(session, true, (int8_t)(priority < -128 ? -128 : priority > 127 ? 127 : priority));
}

static int l_session_newindex(lua_State *L)
{
	struct lua_session *handle = lua_touserdata(L, 1);
	struct session *session = live(handle);
	lua_settop(L, 3);
	lua_pushvalue(L, 2);
	enum field field = 0;
	if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNUMBER)
		field = (enum field)lua_tointeger(L, -1);
	lua_settop(L, 3);
	if (session != NULL) {
		switch (field) {
		case F_PRIORITY:
			session_set_available(session, !lua_isnil(L, 3), lua_isnil(L, 3) ? 0 : l_check_priority(L, 3));
			return 0;
		case F_INTERESTED:
			session->is_interested = lua_toboolean(L, 3);
			return 0;
		case F_PRESENCE:
			set_presence(L, session);
			break; /* the stanza is kept as well */
		case F_SEND: /* a Lua transport has no other send; elsewhere ours is the last of those that wrap it */
			session->is_send_replaced = session->transport != &lua_transport && lua_isfunction(L, 3)
						    && lua_tocfunction(L, 3) != l_send;
			break;
		default:
			break;
		}
	}
	l_push_fields(L, 1, true);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 3);
	lua_rawset(L, -3);
	return 0;
}

static int l_session_tostring(lua_State *L)
{
	struct lua_session *handle = lua_touserdata(L, 1);
	struct session *session = live(handle);
	lua_pushfstring(L, "session %d (%s)", (int)handle->id.index,
			session != NULL ? session_type_name(session) : "destroyed");
	return 1;
}

/* pairs(session): C fields that have a value, then the kept ones. */
static int l_session_pairs(lua_State *L)
{
	lua_settop(L, 1);
	lua_newtable(L);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		lua_getfield(L, 1, fields[i].name);
		lua_setfield(L, 2, fields[i].name);
	}
	if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE) {
		for (lua_pushnil(L); lua_next(L, 3) != 0; lua_pop(L, 1)) {
			lua_pushvalue(L, -2);
			lua_pushvalue(L, -2);
			lua_rawset(L, 2);
		}
	}
	lua_getglobal(L, "next");
	lua_pushvalue(L, 2);
	lua_pushnil(L);
	return 3;
}

/* ---- native functions ---- */

/* native.make_authenticated(session, username) -> true | nil, text */
static int l_make_authenticated(lua_State *L)
{
	struct session *session = l_check_session(L, 1);
	size_t len;
	const char *username = luaL_checklstring(L, 2, &len);
	char node[JID_PART_MAX + 1];
	int node_len = jid_prep_node(slice_of(username, len), node);
	if (session->type != SESSION_C2S_UNAUTHED || session->host == NULL || node_len <= 0) {
		lua_pushnil(L);
		lua_pushstring(L, node_len <= 0 ? "Invalid username" : "This session cannot be authenticated");
		return 2;
	}
	session_authenticated(session, slice_of(node, (size_t)node_len));
	lua_pushboolean(L, true);
	return 1;
}

/* native.bind_resource(session, resource | nil) -> true | nil, type, condition, text */
static int l_bind_resource(lua_State *L)
{
	struct session *session = l_check_session(L, 1);
	const char *type = "cancel", *condition = "internal-server-error";
	if (session_bind(session, l_to_slice(L, 2), &type, &condition) == 0) {
		lua_pushboolean(L, true);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, type);
	lua_pushstring(L, condition);
	return 3;
}

/* native.new_session(type, host): a session without a stream, for a transport written in Lua (BOSH, WebSocket). Its
 * `send` and `close` fields are the transport's. */
static int l_new_session(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	static const char *const types[] = { "c2s_unauthed", "component_unauthed", NULL };
	static const enum session_type values[] = { SESSION_C2S_UNAUTHED, SESSION_COMPONENT_UNAUTHED };
	int type = luaL_checkoption(L, 1, "c2s_unauthed", types);
	struct host *host = server_host(core->server, l_to_slice(L, 2));
	struct session *session = session_new(core->server, values[type]);
	session->host = host;
	session->transport = &lua_transport;
	l_push_session(L, session);
	return 1;
}

/* native.end_session(session, reason): the transport of a Lua session is gone. */
static int l_end_session(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	if (session != NULL && session->type != SESSION_HOST)
		session_end(session, luaL_optstring(L, 2, "session ended"));
	return 0;
}

/* native.lost_session(session, reason): the same when it broke: the session may go on without (XEP-0198). */
static int l_lost_session(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	const char *reason = luaL_optstring(L, 2, "disconnected");
	if (session != NULL && session->type != SESSION_HOST && !session_sm_lost(session, reason))
		session_end(session, reason);
	return 0;
}

static int l_next_session(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	struct session_id *last = lua_touserdata(L, lua_upvalueindex(1));
	for (uint32_t i = last->index; i < core->server->n_slots; i++) {
		struct session *session = server_session_at(core->server, i);
		if (session == NULL || session->type == SESSION_HOST || session->is_ended)
			continue;
		last->index = i + 1;
		l_push_session(L, session);
		return 1;
	}
	return 0;
}

/* for session in native.sessions() do ... end */
static int l_sessions(lua_State *L)
{
	struct session_id *at = lua_newuserdatauv(L, sizeof(*at), 0);
	*at = (struct session_id){ 0, 0 };
	lua_pushcclosure(L, l_next_session, 1);
	return 1;
}

/* native.set_filters(session, stanzas, bytes): util.filters has (no) filters on this session. */
static int l_set_filters(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	if (session != NULL) {
		session->has_filters = lua_toboolean(L, 2);
		session->has_byte_filters = lua_toboolean(L, 3);
	}
	return 0;
}

/* ---- ops ---- */

static void session_gone(struct session *session)
{
	struct lua_core *core = session->server->lua;
	if (session->lua_ref != 0)
		luaL_unref(core->L, LUA_REGISTRYINDEX, session->lua_ref);
	session->lua_ref = 0;
}

/* What Lua was given of the connection is that of another one now; modules get it anew. */
static void session_moved(struct session *session)
{
	struct lua_core *core = session->server->lua;
	if (session->lua_ref == 0 || session->carried_by != NULL) /* a carrier has set its own */
		return;
	lua_State *L = core->L;
	l_push_session(L, session);
	if (lua_getiuservalue(L, -1, 1) == LUA_TTABLE) {
		lua_pushnil(L);
		lua_setfield(L, -2, "conn");
	}
	lua_pop(L, 2);
}

static void user_gone(struct user *user)
{
	struct lua_core *core = user->host->server->lua;
	luaL_unref(core->L, LUA_REGISTRYINDEX, user->lua_ref);
	user->lua_ref = 0;
}

/* Calls session.filter(kind, value) as util.filters installs it. The result is left on the thread. */
static enum barrier_result call_filter(struct lua_core *core, struct thread *thread, struct session *session,
				       const char *kind)
{
	lua_State *L = thread->L; /* value on top */
	l_push_session(L, session);
	lua_getfield(L, -1, "filter");
	lua_replace(L, -2);
	lua_insert(L, 1);
	lua_pushstring(L, kind);
	lua_insert(L, 2);
	return barrier_run(core, thread, 2);
}

static void filter(struct session *session, struct stanza **stanza, bool is_out)
{
	struct lua_core *core = session->server->lua;
	struct thread *thread = barrier_begin(core, "filter");
	l_push_stanza(thread->L, stanza);
	enum barrier_result result = call_filter(core, thread, session, is_out ? "stanzas/out" : "stanzas/in");
	*stanza = NULL;
	if (result == BARRIER_WAITS)
		return;
	struct el el;
	struct stanza *kept = result == BARRIER_OK ? l_test_stanza(thread->L, 1, &el) : NULL;
	if (kept != NULL)
		*stanza = stanza_clone(kept, el);
	barrier_end(core, thread);
}

static struct slice filter_bytes(struct session *session, struct slice bytes, bool is_out)
{
	struct lua_core *core = session->server->lua;
	struct thread *thread = barrier_begin(core, "filter");
	lua_pushlstring(thread->L, bytes.ptr, bytes.len);
	enum barrier_result result = call_filter(core, thread, session, is_out ? "bytes/out" : "bytes/in");
	if (result == BARRIER_WAITS)
		return SLICE_NONE;
	/* The string is anchored in the core until the next call. */
	lua_State *L = core->L;
	if (result == BARRIER_OK && lua_isstring(thread->L, 1)) {
		lua_pushvalue(thread->L, 1);
		lua_xmove(thread->L, L, 1);
	} else {
		lua_pushliteral(L, "");
	}
	struct slice kept = l_to_slice(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, "couplet.filtered");
	barrier_end(core, thread);
	return kept;
}

void lua_sessions_install(struct lua_core *core)
{
	core->server->ops.session_gone = session_gone;
	core->server->ops.session_moved = session_moved;
	core->server->ops.user_gone = user_gone;
	core->server->ops.send = send_through_lua;
	core->server->ops.filter = filter;
	core->server->ops.filter_bytes = filter_bytes;
}

/* ---- tables ---- */

void l_add_sessions(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "make_authenticated", l_make_authenticated },
		{ "bind_resource", l_bind_resource },
		{ "reset_stream", l_reset_stream },
		{ "new_session", l_new_session },
		{ "end_session", l_end_session },
		{ "lost_session", l_lost_session },
		{ "sessions", l_sessions },
		{ "set_filters", l_set_filters },
		{ NULL, NULL },
	};
	luaL_newmetatable(L, SESSION_TYPE);
	lua_newtable(L);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		lua_pushinteger(L, fields[i].field);
		lua_setfield(L, -2, fields[i].name);
	}
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, l_session_index, 1);
	lua_setfield(L, -3, "__index");
	lua_pushcclosure(L, l_session_newindex, 1);
	lua_setfield(L, -2, "__newindex");
	lua_pushcfunction(L, l_session_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushcfunction(L, l_session_pairs);
	lua_setfield(L, -2, "__pairs");
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
