/* Listening sockets and connections for Lua: native streams' conns (session.conn) and conns whose owner is a Lua
 * listener, with the methods of Prosody's net.server handles. */
#include <lauxlib.h>
#include <limits.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/tls.h"
#include "xmpp/session.h"
#include "xmpp/stream.h"

#define CONN_TYPE "couplet.conn"
#define LISTENER_TYPE "couplet.listener"

struct lua_conn {
	struct lua_core *core;
	struct conn *conn;          /* NULL for a session's conn, and after its end */
	struct session_id session;  /* for a session's conn */
	bool is_of_session;
	bool is_client;             /* we connected, so that TLS is the client's side */
	bool is_failing;            /* onfailed runs */
	unsigned n_waiting;         /* callbacks that wait; the registry keeps the handle for them */
	int self_ref;               /* keeps the handle while the conn lives; LUA_NOREF */
	intake_fn *intake;          /* where input goes, NULL: to onincoming; user value 2 is what owns intake_ctx */
	void *intake_ctx;
};

enum listener_kind { LISTENER_LUA, LISTENER_C2S, LISTENER_S2S };

struct lua_listener {
	struct lua_core *core;
	struct listener *listener;
	struct tls_context *tls;
	enum listener_kind kind;
	bool is_direct_tls;
	int callbacks_ref;
};

/* ---- handle and check ---- */

void l_push_conn_of(lua_State *L, struct session *session)
{
	struct lua_conn *handle = lua_newuserdatauv(L, sizeof(*handle), 1);
	*handle = (struct lua_conn){ .core = lua_core_of(L), .session = session->id, .is_of_session = true,
				     .self_ref = LUA_NOREF };
	luaL_setmetatable(L, CONN_TYPE);
}

static struct conn *conn_of(struct lua_conn *handle)
{
	if (!handle->is_of_session)
		return handle->conn;
	struct session *session = server_session(handle->core->server, handle->session);
	return session != NULL ? stream_conn(session) : NULL;
}

struct conn *l_check_conn(lua_State *L, int index) { return conn_of(luaL_checkudata(L, index, CONN_TYPE)); }

static struct conn *l_conn(lua_State *L) { return l_check_conn(L, 1); } /* NULL when it has ended */

/* ---- callbacks of Lua listeners: user value 1 of the handle is the callbacks table ---- */

static void call_back(struct lua_conn *handle, const char *name, const struct slice *data, const char *reason);

/* A callback has died: of an error, or ended by the watchdog. What it left undone, onfailed may put right; when that
 * dies too, nobody looks after the connection. */
static void call_failed(struct lua_conn *handle)
{
	if (handle->is_failing) {
		if (handle->conn != NULL)
			conn_close(handle->conn, "its owner has failed");
		return;
	}
	handle->is_failing = true;
	call_back(handle, "onfailed", NULL, NULL);
	handle->is_failing = false;
}

static void on_waited(void *ctx, enum bus_result answer)
{
	struct lua_conn *handle = ctx;
	if (answer == BUS_FAILED)
		call_failed(handle);
	if (--handle->n_waiting > 0)
		return;
	lua_pushnil(handle->core->L);
	lua_rawsetp(handle->core->L, LUA_REGISTRYINDEX, handle);
}

static void call_back(struct lua_conn *handle, const char *name, const struct slice *data, const char *reason)
{
	struct lua_core *core = handle->core;
	if (handle->self_ref == LUA_NOREF)
		return;
	struct thread *thread = barrier_begin(core, name);
	lua_State *L = thread->L;
	lua_rawgeti(L, LUA_REGISTRYINDEX, handle->self_ref);
	lua_getiuservalue(L, 1, 1);
	lua_getfield(L, 2, name);
	lua_replace(L, 2);
	enum barrier_result result = BARRIER_OK;
	if (lua_isfunction(L, 2)) {
		lua_insert(L, 1);
		int n = 1;
		if (data != NULL)
			lua_pushlstring(L, data->ptr, data->len), n++;
		else if (reason != NULL)
			lua_pushstring(L, reason), n++;
		result = barrier_run(core, thread, n);
	}
	if (result == BARRIER_WAITS) {
		thread->go_on = on_waited;
		thread->go_on_ctx = handle;
		if (handle->n_waiting++ == 0) {
			lua_rawgeti(core->L, LUA_REGISTRYINDEX, handle->self_ref);
			lua_rawsetp(core->L, LUA_REGISTRYINDEX, handle);
		}
		return;
	}
	barrier_end(core, thread);
	if (result == BARRIER_FAILED)
		call_failed(handle);
}

static void on_data(void *ctx, struct slice bytes)
{
	struct lua_conn *handle = ctx;
	if (handle->intake == NULL) {
		call_back(handle, "onincoming", &bytes, NULL);
		return;
	}
	enum intake_result result = handle->intake(handle->intake_ctx, bytes);
	if (result != INTAKE_NOTHING)
		call_back(handle, result == INTAKE_FULL ? "onfull" : "onincoming", NULL, NULL);
}

struct conn *lua_conn_get(void *handle) { return conn_of(handle); }
void lua_conn_call_incoming(void *handle) { call_back(handle, "onincoming", NULL, NULL); }

static void on_opened(void *ctx) { call_back(ctx, "onconnect", NULL, NULL); }
static void on_secured(void *ctx) { call_back(ctx, "onstatus", NULL, "ssl-handshake-complete"); }
static void on_drained(void *ctx) { call_back(ctx, "ondrain", NULL, NULL); }
static void on_idle(void *ctx) { call_back(ctx, "onreadtimeout", NULL, NULL); }

static void on_closed(void *ctx, const char *reason)
{
	struct lua_conn *handle = ctx;
	call_back(handle, "ondisconnect", NULL, reason);
	handle->conn = NULL;
	int ref = handle->self_ref;
	handle->self_ref = LUA_NOREF;
	luaL_unref(handle->core->L, LUA_REGISTRYINDEX, ref);
	stream_other_ended(handle->core->server);
}

static const struct conn_handler lua_handler = {
	.opened = on_opened, .data = on_data, .secured = on_secured, .drained = on_drained, .idle = on_idle,
	.closed = on_closed,
};

/* A handle for a conn with the callbacks on top of L (popped). Runs on the core's main thread, outside of any call. */
static struct lua_conn *adopt(struct lua_core *core, struct conn *conn)
{
	lua_State *L = core->L;
	struct lua_conn *handle = lua_newuserdatauv(L, sizeof(*handle), 2);
	*handle = (struct lua_conn){ .core = core, .conn = conn };
	luaL_setmetatable(L, CONN_TYPE);
	lua_insert(L, -2);
	lua_setiuservalue(L, -2, 1);
	handle->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	conn_set_handler(conn, &lua_handler, handle);
	return handle;
}

static void on_accept(void *ctx, struct conn *conn)
{
	struct lua_listener *listener = ctx;
	if (listener->is_direct_tls && conn_start_tls_server(conn, listener->tls) != 0) {
		conn_abort(conn, "TLS could not be started");
		return;
	}
	if (listener->kind == LISTENER_C2S) {
		stream_accept_c2s(listener->core->server, conn);
		return;
	}
	if (listener->kind == LISTENER_S2S) {
		stream_accept_s2s(listener->core->server, conn);
		return;
	}
	lua_rawgeti(listener->core->L, LUA_REGISTRYINDEX, listener->callbacks_ref);
	call_back(adopt(listener->core, conn), "onconnect", NULL, NULL);
}

/* ---- listening ---- */

/* native.listen { interface =, port = | path =, kind =, listener =, tls =, direct_tls = } -> listener | nil, error */
static int l_listen(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_getfield(L, 1, "interface");
	lua_getfield(L, 1, "port");
	lua_getfield(L, 1, "path");
	lua_getfield(L, 1, "kind");
	lua_getfield(L, 1, "listener");
	lua_getfield(L, 1, "tls");
	lua_getfield(L, 1, "direct_tls");
	static const char *const kinds[] = { "lua", "c2s", "s2s", NULL };
	int kind = luaL_checkoption(L, 5, "lua", kinds);
	if (kind == LISTENER_LUA)
		luaL_checktype(L, 6, LUA_TTABLE);
	struct tls_context *tls = lua_isnil(L, 7) ? NULL : l_check_tls_context(L, 7);
	bool is_direct = lua_toboolean(L, 8);
	luaL_argcheck(L, !is_direct || tls != NULL, 1, "direct_tls needs a tls context");
	struct lua_listener *listener = lua_newuserdatauv(L, sizeof(*listener), 0);
	*listener = (struct lua_listener){ .core = core, .kind = (enum listener_kind)kind, .is_direct_tls = is_direct,
					   .callbacks_ref = LUA_NOREF };
	luaL_setmetatable(L, LISTENER_TYPE);
	if (kind == LISTENER_LUA) {
		lua_pushvalue(L, 6);
		listener->callbacks_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	struct error error = { "" };
	if (lua_isstring(L, 4))
		listener->listener = listener_new_unix(core->server->loop, lua_tostring(L, 4), on_accept, listener, &error);
	else
		listener->listener = listener_new(core->server->loop, lua_tostring(L, 2), (uint16_t)lua_tointeger(L, 3),
						  on_accept, listener, &error);
	if (listener->listener == NULL)
		return l_failed(L, &error);
	if (tls != NULL)
		listener->tls = tls_context_ref(tls);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, listener); /* lives until closed, whoever forgets it */
	return 1;
}

static int l_listener_close(lua_State *L)
{
	struct lua_listener *listener = luaL_checkudata(L, 1, LISTENER_TYPE);
	listener_free(&listener->listener);
	tls_context_unref(&listener->tls);
	luaL_unref(L, LUA_REGISTRYINDEX, listener->callbacks_ref);
	listener->callbacks_ref = LUA_NOREF;
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, listener);
	return 0;
}

static int l_listener_port(lua_State *L)
{
	struct lua_listener *listener = luaL_checkudata(L, 1, LISTENER_TYPE);
	if (listener->listener == NULL)
		return 0;
	lua_pushinteger(L, listener_port(listener->listener));
	return 1;
}

/* listener:set_tls(context): for connections from now on (certificates were reloaded). */
static int l_listener_set_tls(lua_State *L)
{
	struct lua_listener *listener = luaL_checkudata(L, 1, LISTENER_TYPE);
	struct tls_context *tls = l_check_tls_context(L, 2);
	tls_context_unref(&listener->tls);
	listener->tls = tls_context_ref(tls);
	return 0;
}

static unsigned l_limit(lua_State *L, const char *name)
{
	lua_getfield(L, 2, name);
	lua_Integer value = luaL_optinteger(L, -1, 0);
	lua_pop(L, 1);
	return value > 0 && value <= INT_MAX ? (unsigned)value : 0;
}

/* listener:set_limits { accepts_per_second =, accepts_per_second_per_ip =, connections_per_ip =, strangers =,
 * strangers_per_ip =, exempt = list of { address =, bits = } }; see net/listener.h. */
static int l_listener_set_limits(lua_State *L)
{
	struct lua_listener *listener = luaL_checkudata(L, 1, LISTENER_TYPE);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	struct listener_limits limits = {
		.accepts_per_second = l_limit(L, "accepts_per_second"),
		.accepts_per_second_per_ip = l_limit(L, "accepts_per_second_per_ip"),
		.connections_per_ip = l_limit(L, "connections_per_ip"),
		.strangers = l_limit(L, "strangers"), .strangers_per_ip = l_limit(L, "strangers_per_ip"),
	};
	if (listener->listener == NULL)
		return 0;
	listener_set_limits(listener->listener, &limits);
	listener_clear_exempt(listener->listener);
	lua_getfield(L, 2, "exempt");
	lua_Integer n = lua_istable(L, 3) ? (lua_Integer)lua_rawlen(L, 3) : 0;
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, 3, i);
		lua_getfield(L, 4, "address");
		lua_getfield(L, 4, "bits");
		const char *address = luaL_checkstring(L, 5);
		if (listener_exempt(listener->listener, address, (unsigned)luaL_checkinteger(L, 6)) != 0)
			return luaL_error(L, "%s is no network, or there are too many", address);
		lua_settop(L, 3);
	}
	return 0;
}

/* native.connect(address, port, callbacks) -> conn | nil, error. address is numeric. */
static int l_connect(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	const char *address = luaL_checkstring(L, 1);
	lua_Integer port = luaL_checkinteger(L, 2);
	luaL_checktype(L, 3, LUA_TTABLE);
	struct lua_conn *handle = lua_newuserdatauv(L, sizeof(*handle), 2);
	*handle = (struct lua_conn){ .core = core, .self_ref = LUA_NOREF, .is_client = true };
	luaL_setmetatable(L, CONN_TYPE);
	lua_pushvalue(L, 3);
	lua_setiuservalue(L, -2, 1);
	struct error error = { "" };
	handle->conn = conn_connect(core->server->loop, address, (uint16_t)port, &lua_handler, handle, &error);
	if (handle->conn == NULL)
		return l_failed(L, &error);
	lua_pushvalue(L, -1);
	handle->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 1;
}

/* ---- methods of a conn; all are harmless after its end ---- */

static int l_write(lua_State *L)
{
	struct conn *conn = l_conn(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, conn != NULL && conn_write(conn, slice_of(bytes, len)) == 0);
	return 1;
}

static int l_close(lua_State *L)
{
	struct conn *conn = l_conn(L);
	if (conn != NULL)
		conn_close(conn, luaL_optstring(L, 2, "closed by us"));
	return 0;
}

static int l_ip(lua_State *L)
{
	struct conn *conn = l_conn(L);
	lua_pushstring(L, conn != NULL ? conn_ip(conn) : NULL);
	return 1;
}

static int l_port(lua_State *L)
{
	struct conn *conn = l_conn(L);
	lua_pushinteger(L, conn != NULL ? conn_port(conn) : 0);
	return 1;
}

static int l_serverport(lua_State *L)
{
	struct conn *conn = l_conn(L);
	lua_pushinteger(L, conn != NULL ? conn_local_port(conn) : 0);
	return 1;
}

static int l_server_ip(lua_State *L)
{
	struct conn *conn = l_conn(L);
	lua_pushstring(L, conn != NULL ? conn_local_ip(conn) : NULL);
	return 1;
}

static int l_pause(lua_State *L)
{
	struct conn *conn = l_conn(L);
	if (conn != NULL)
		conn_pause(conn);
	return 0;
}

static int l_resume_reading(lua_State *L)
{
	struct conn *conn = l_conn(L);
	if (conn != NULL)
		conn_resume(conn);
	return 0;
}

static int l_set_mode(lua_State *L)
{
	luaL_checkudata(L, 1, CONN_TYPE);
	lua_pushliteral(L, "*a");
	return 1;
}

static int l_setlistener(lua_State *L)
{
	struct lua_conn *handle = luaL_checkudata(L, 1, CONN_TYPE);
	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_argcheck(L, !handle->is_of_session, 1, "this connection belongs to a native stream");
	lua_settop(L, 2);
	lua_setiuservalue(L, 1, 1);
	handle->intake = NULL;
	lua_pushnil(L);
	lua_setiuservalue(L, 1, 2);
	return 0;
}

void l_set_intake(lua_State *L, int conn_index, int owner_index, intake_fn *intake)
{
	struct lua_conn *handle = luaL_checkudata(L, conn_index, CONN_TYPE);
	luaL_argcheck(L, !handle->is_of_session, conn_index, "this connection belongs to a native stream");
	lua_pushvalue(L, owner_index);
	lua_setiuservalue(L, conn_index, 2);
	handle->intake = intake;
	handle->intake_ctx = lua_touserdata(L, owner_index);
}

/* conn:starttls(context[, name[, alpn]]): name is the server's, when it was we who connected. */
static int l_starttls(lua_State *L)
{
	struct lua_conn *handle = luaL_checkudata(L, 1, CONN_TYPE);
	struct tls_context *context = l_check_tls_context(L, 2);
	int started = -1;
	if (handle->is_of_session) {
		struct session *session = server_session(handle->core->server, handle->session);
		if (session != NULL)
			started = stream_start_tls(session, context, luaL_optstring(L, 3, NULL));
	} else if (handle->conn != NULL && handle->is_client) {
		const char *name = luaL_optstring(L, 3, NULL), *alpn = luaL_optstring(L, 4, NULL);
		started = conn_start_tls_client(handle->conn, context, name, alpn);
	} else if (handle->conn != NULL) {
		started = conn_start_tls_server(handle->conn, context);
	}
	lua_pushboolean(L, started == 0);
	return 1;
}

static int l_ssl(lua_State *L)
{
	struct conn *conn = l_conn(L);
	lua_pushboolean(L, conn != NULL && conn_is_secure(conn));
	return 1;
}

static int l_ssl_info(lua_State *L)
{
	struct conn *conn = l_conn(L);
	if (conn == NULL || !conn_is_secure(conn))
		return 0;
	lua_createtable(L, 0, 4);
	lua_pushstring(L, tls_protocol(conn));
	lua_setfield(L, -2, "protocol");
	lua_pushstring(L, tls_cipher(conn));
	lua_setfield(L, -2, "cipher");
	lua_pushstring(L, tls_alpn(conn));
	lua_setfield(L, -2, "alpn");
	lua_pushstring(L, tls_sni(conn));
	lua_setfield(L, -2, "sni");
	return 1;
}

static int l_ssl_peerchain_pem(lua_State *L)
{
	struct conn *conn = l_conn(L);
	char *pem = conn != NULL && conn_is_secure(conn) ? tls_peer_chain_pem(conn) : NULL;
	lua_pushstring(L, pem);
	mem_free(pem);
	return 1;
}

/* Is the peer the server of this connection? */
static bool is_client(lua_State *L)
{
	const struct lua_conn *handle = lua_touserdata(L, 1);
	const struct session *session = handle->is_of_session ? server_session(handle->core->server, handle->session) : NULL;
	return handle->is_client ||
	       (session != NULL && (session->type == SESSION_S2SOUT_UNAUTHED || session->type == SESSION_S2SOUT));
}

static int l_ssl_peerverify(lua_State *L)
{
	struct conn *conn = l_conn(L);
	const char *why = "not connected";
	bool is_valid = conn != NULL && conn_is_secure(conn) && tls_peer_chain_is_valid(conn, is_client(L), &why);
	lua_pushboolean(L, is_valid);
	lua_pushstring(L, is_valid ? NULL : why);
	return 2;
}

static uint8_t l_byte_field(lua_State *L, int record, const char *name)
{
	lua_getfield(L, record, name);
	lua_Integer number = luaL_checkinteger(L, -1);
	luaL_argcheck(L, number >= 0 && number <= UINT8_MAX, 2, name);
	lua_pop(L, 1);
	return (uint8_t)number;
}

/* conn:ssl_dane(list) -> "certificate" | "chain" (names are still to be checked) | "unusable" | nil, why. list: TLSA
 * records { use =, select =, match =, data = } as net.dns reads them. Is the peer's certificate what they say? */
static int l_ssl_dane(lua_State *L)
{
	static const char *const verdicts[] = { "certificate", "chain", "unusable" };
	struct conn *conn = l_conn(L);
	struct tls_tlsa records[TLSA_MAX];
	size_t n = 0;
	luaL_checktype(L, 2, LUA_TTABLE);
	for (; n < TLSA_MAX && lua_geti(L, 2, (lua_Integer)n + 1) == LUA_TTABLE; n++) {
		records[n].usage = l_byte_field(L, 3, "use");
		records[n].selector = l_byte_field(L, 3, "select");
		records[n].matching = l_byte_field(L, 3, "match");
		luaL_argcheck(L, lua_getfield(L, 3, "data") == LUA_TSTRING, 2, "data"); /* stays in its table */
		records[n].data = l_to_slice(L, -1);
		lua_settop(L, 2);
	}
	const char *why = "not connected";
	enum tls_dane verdict = TLS_DANE_MISMATCH;
	if (conn != NULL && conn_is_secure(conn))
		verdict = tls_peer_dane(conn, records, n, is_client(L), &why);
	if (verdict != TLS_DANE_MISMATCH) {
		lua_pushstring(L, verdicts[verdict]);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, why);
	return 2;
}

static int l_ssl_binding(lua_State *L)
{
	static const char *const types[] = { "tls-exporter", "tls-server-end-point", "tls-unique", NULL };
	struct conn *conn = l_conn(L);
	int type = luaL_checkoption(L, 2, NULL, types);
	uint8_t bytes[64];
	size_t len = 0;
	if (conn != NULL && conn_is_secure(conn))
		len = type == 0 ? tls_binding_exporter(conn, bytes)
				: type == 1 ? tls_binding_server_end_point(conn, bytes) : tls_binding_unique(conn, bytes);
	if (len == 0)
		return 0;
	lua_pushlstring(L, (const char *)bytes, len);
	return 1;
}

/* conn:set_rate(bytes_per_second, burst_bytes); 0 for no limit. */
static int l_set_rate(lua_State *L)
{
	struct conn *conn = l_conn(L);
	lua_Number rate = luaL_checknumber(L, 2), burst = luaL_optnumber(L, 3, 0);
	if (conn != NULL)
		conn_set_rate(conn, (size_t)(rate > 0 ? rate : 0), (size_t)(burst > 0 ? burst : 0));
	return 0;
}

/* conn:set_idle(seconds): onreadtimeout after so much silence. */
static int l_set_idle(lua_State *L)
{
	struct conn *conn = l_conn(L);
	lua_Number seconds = luaL_checknumber(L, 2);
	if (conn != NULL)
		conn_set_idle_ms(conn, (int64_t)(seconds * 1000));
	return 0;
}

static int l_socket(lua_State *L)
{
	luaL_checkudata(L, 1, CONN_TYPE);
	lua_settop(L, 1);
	return 1;
}

static int l_counts(lua_State *L)
{
	struct conn *conn = l_conn(L);
	lua_pushinteger(L, conn != NULL ? (lua_Integer)conn_bytes_in(conn) : 0);
	lua_pushinteger(L, conn != NULL ? (lua_Integer)conn_bytes_out(conn) : 0);
	lua_pushinteger(L, conn != NULL ? (lua_Integer)conn_queued(conn) : 0);
	return 3;
}

static int l_conn_tostring(lua_State *L)
{
	struct lua_conn *handle = luaL_checkudata(L, 1, CONN_TYPE);
	struct conn *conn = conn_of(handle);
	if (conn == NULL)
		lua_pushliteral(L, "connection (closed)");
	else
		lua_pushfstring(L, "connection from %s port %d", conn_ip(conn), (int)conn_port(conn));
	return 1;
}

void l_add_conns(lua_State *L)
{
	static const luaL_Reg conn_methods[] = {
		{ "write", l_write },           { "close", l_close },
		{ "ip", l_ip },                 { "port", l_port },
		{ "clientport", l_port },       { "serverport", l_serverport },
		{ "server_ip", l_server_ip },   { "pause", l_pause },
		{ "resume", l_resume_reading }, { "set_mode", l_set_mode },
		{ "setlistener", l_setlistener }, { "starttls", l_starttls },
		{ "ssl", l_ssl },               { "ssl_info", l_ssl_info },
		{ "ssl_peerchain_pem", l_ssl_peerchain_pem }, { "ssl_peerverify", l_ssl_peerverify },
		{ "ssl_dane", l_ssl_dane },
		{ "ssl_binding", l_ssl_binding }, { "set_rate", l_set_rate },
		{ "set_idle", l_set_idle },     { "socket", l_socket },
		{ "counts", l_counts },         { "send_file", l_conn_send_file },
		{ NULL, NULL },
	};
	static const luaL_Reg listener_methods[] = {
		{ "close", l_listener_close },
		{ "port", l_listener_port },
		{ "set_tls", l_listener_set_tls },
		{ "set_limits", l_listener_set_limits },
		{ NULL, NULL },
	};
	luaL_newmetatable(L, CONN_TYPE);
	lua_newtable(L);
	luaL_setfuncs(L, conn_methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, l_conn_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pop(L, 1);
	l_new_type(L, LISTENER_TYPE, listener_methods, l_listener_close);
	lua_pushcfunction(L, l_listen);
	lua_setfield(L, -2, "listen");
	lua_pushcfunction(L, l_connect);
	lua_setfield(L, -2, "connect");
}
