/* T.net's connections and listeners. */
#include <lauxlib.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "lua/bind.h"
#include "lua/test_net_private.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/tls.h"

#define CONN "couplet.test.conn"
#define LISTENER "couplet.test.listener"

static struct conn *l_check_conn(lua_State *L)
{
	return l_test_check_handle(L, CONN)->conn;
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void conn_opened(void *ctx)
{
	test_call_back(ctx, "opened", SLICE_NONE, 0);
}

static void conn_data(void *ctx, struct slice bytes)
{
	test_call_back(ctx, "data", bytes, 0);
}

static void conn_secured(void *ctx)
{
	test_call_back(ctx, "secured", SLICE_NONE, 0);
}

static void conn_ended(void *ctx)
{
	test_call_back(ctx, "ended", SLICE_NONE, 0);
}

static void conn_drained(void *ctx)
{
	test_call_back(ctx, "drained", SLICE_NONE, 0);
}

static void conn_idle(void *ctx)
{
	test_call_back(ctx, "idle", SLICE_NONE, 0);
}

static void conn_closed(void *ctx, const char *reason)
{
	test_call_back(ctx, "closed", slice_of_str(reason), 0);
	test_let_go(ctx);
}

static const struct conn_handler with_end = { conn_opened,  conn_data, conn_secured, conn_ended,
					      conn_drained, conn_idle, conn_closed };
static const struct conn_handler without_end = { conn_opened,  conn_data, conn_secured, NULL,
						 conn_drained, conn_idle, conn_closed };

/* The default end of a conn is another one when nobody wants to hear of the peer's. */
static const struct conn_handler *l_handler(lua_State *L, int callbacks)
{
	bool hears_end = lua_getfield(L, callbacks, "ended") != LUA_TNIL;
	lua_pop(L, 1);
	return hears_end ? &with_end : &without_end;
}

static void ignore_data(void *ctx, struct slice bytes)
{
	(void)ctx;
	(void)bytes;
}

static void ignore_end(void *ctx, const char *reason)
{
	(void)ctx;
	(void)reason;
}

/* Of a connection without a handle, to measure what one costs. */
static const struct conn_handler silent = { .data = ignore_data, .closed = ignore_end };

/* connect_silent(port, tls) */
static int l_loop_connect_silent(lua_State *L)
{
	struct test_loop *test = l_test_check_loop(L, 1);
	uint16_t port = (uint16_t)luaL_checkinteger(L, 2);
	struct tls_context *context = test_tls_at(L, 3);
	struct error error;
	struct conn *conn = conn_connect(test->loop, "127.0.0.1", port, &silent, NULL, &error);
	if (conn == NULL)
		return luaL_error(L, "%s", error.text);
	if (context != NULL)
		conn_start_tls_client(conn, context, NULL, NULL);
	return 0;
}

/* connect(port, callbacks, address) */
static int l_loop_connect(lua_State *L)
{
	struct test_loop *test = l_test_check_loop(L, 1);
	uint16_t port = (uint16_t)luaL_checkinteger(L, 2);
	luaL_checktype(L, 3, LUA_TTABLE);
	const char *address = luaL_optstring(L, 4, "127.0.0.1");
	struct error error;
	struct test_handle *handle = l_test_new_handle(L, test, CONN, 3);
	handle->conn = conn_connect(test->loop, address, port, l_handler(L, 3), handle, &error);
	if (handle->conn != NULL)
		return 1;
	test_let_go(handle);
	return l_failed(L, &error);
}

static int l_conn_write(lua_State *L)
{
	struct conn *conn = l_check_conn(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushinteger(L, conn_write(conn, slice_of(bytes, len)));
	return 1;
}

/* reserve(max, bytes): reserves max, uses as much as bytes has */
static int l_conn_reserve(lua_State *L)
{
	struct conn *conn = l_check_conn(L);
	size_t max = (size_t)luaL_checkinteger(L, 2), len;
	const char *bytes = luaL_checklstring(L, 3, &len);
	luaL_argcheck(L, len <= max, 3, "longer than reserved");
	char *into = conn_reserve(conn, max);
	if (into != NULL) {
		memcpy(into, bytes, len);
		conn_commit(conn, len);
	}
	lua_pushboolean(L, into != NULL);
	return 1;
}

static int l_conn_sent(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)conn_sent(l_check_conn(L)));
	return 1;
}

/* conn:take_back(position) -> boolean */
static int l_conn_take_back(lua_State *L)
{
	lua_pushboolean(L, conn_take_back(l_check_conn(L), (uint64_t)luaL_checkinteger(L, 2)) == 0);
	return 1;
}

static int l_conn_queued(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)conn_queued(l_check_conn(L)));
	return 1;
}

static int l_conn_pause(lua_State *L)
{
	conn_pause(l_check_conn(L));
	return 0;
}

static int l_conn_resume(lua_State *L)
{
	conn_resume(l_check_conn(L));
	return 0;
}

static int l_conn_close(lua_State *L)
{
	conn_close(l_check_conn(L), luaL_optstring(L, 2, "closed by the spec"));
	return 0;
}

static int l_conn_abort(lua_State *L)
{
	conn_abort(l_check_conn(L), luaL_optstring(L, 2, "aborted by the spec"));
	return 0;
}

static int l_conn_start_tls_server(lua_State *L)
{
	lua_pushinteger(L, conn_start_tls_server(l_check_conn(L), l_test_check_tls(L, 2)));
	return 1;
}

/* start_tls_client(context, sni, alpn) */
static int l_conn_start_tls_client(lua_State *L)
{
	lua_pushinteger(L, conn_start_tls_client(l_check_conn(L), l_test_check_tls(L, 2), luaL_optstring(L, 3, NULL),
						 luaL_optstring(L, 4, NULL)));
	return 1;
}

static lua_Integer l_field(lua_State *L, int table, const char *name, int64_t otherwise)
{
	lua_getfield(L, table, name);
	lua_Integer value = luaL_optinteger(L, -1, otherwise);
	lua_pop(L, 1);
	return value;
}

static int l_conn_known(lua_State *L)
{
	struct test_handle *handle = l_test_check_handle(L, CONN);
	if (handle->conn != NULL)
		conn_known(handle->conn);
	return 0;
}

/* set_limits { soft_bytes =, hard_bytes =, stall_ms =, handshake_ms =, linger_ms = } */
static int l_conn_set_limits(lua_State *L)
{
	struct conn *conn = l_check_conn(L);
	struct conn_limits limits = conn_default_limits;
	limits.soft_bytes = (size_t)l_field(L, 2, "soft_bytes", (int64_t)limits.soft_bytes);
	limits.hard_bytes = (size_t)l_field(L, 2, "hard_bytes", (int64_t)limits.hard_bytes);
	limits.stall_ms = l_field(L, 2, "stall_ms", limits.stall_ms);
	limits.handshake_ms = l_field(L, 2, "handshake_ms", limits.handshake_ms);
	limits.linger_ms = l_field(L, 2, "linger_ms", limits.linger_ms);
	conn_set_limits(conn, &limits);
	return 0;
}

static int l_conn_set_idle(lua_State *L)
{
	conn_set_idle_ms(l_check_conn(L), luaL_checkinteger(L, 2));
	return 0;
}

static int l_conn_set_rate(lua_State *L)
{
	conn_set_rate(l_check_conn(L), (size_t)luaL_checkinteger(L, 2), (size_t)luaL_optinteger(L, 3, 0));
	return 0;
}

/* set_send_buffer(bytes): a socket that is soon full, so that a spec needs no megabytes */
static int l_conn_set_send_buffer(lua_State *L)
{
	int bytes = (int)luaL_checkinteger(L, 2);
	setsockopt(conn_fd(l_check_conn(L)), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return 0;
}

/* { ip, port, local_ip, local_port, fd, secure, closing, bytes_in, bytes_out } */
static int l_conn_facts(lua_State *L)
{
	struct conn *conn = l_check_conn(L);
	lua_newtable(L);
	lua_pushstring(L, conn_ip(conn));
	lua_setfield(L, -2, "ip");
	lua_pushinteger(L, conn_port(conn));
	lua_setfield(L, -2, "port");
	lua_pushstring(L, conn_local_ip(conn));
	lua_setfield(L, -2, "local_ip");
	lua_pushinteger(L, conn_local_port(conn));
	lua_setfield(L, -2, "local_port");
	lua_pushinteger(L, conn_fd(conn));
	lua_setfield(L, -2, "fd");
	lua_pushboolean(L, conn_is_secure(conn));
	lua_setfield(L, -2, "secure");
	lua_pushboolean(L, conn_is_closing(conn));
	lua_setfield(L, -2, "closing");
	lua_pushinteger(L, (lua_Integer)conn_bytes_in(conn));
	lua_setfield(L, -2, "bytes_in");
	lua_pushinteger(L, (lua_Integer)conn_bytes_out(conn));
	lua_setfield(L, -2, "bytes_out");
	return 1;
}

static void l_set_binding(lua_State *L, const char *name, const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return;
	lua_pushlstring(L, (const char *)bytes, len);
	lua_setfield(L, -2, name);
}

/* { protocol, cipher, sni, alpn, exporter, end_point, unique, fingerprint, chain } */
static int l_conn_tls(lua_State *L)
{
	struct conn *conn = l_check_conn(L);
	uint8_t bytes[64];
	lua_newtable(L);
	lua_pushstring(L, tls_protocol(conn));
	lua_setfield(L, -2, "protocol");
	lua_pushstring(L, tls_cipher(conn));
	lua_setfield(L, -2, "cipher");
	lua_pushstring(L, tls_sni(conn));
	lua_setfield(L, -2, "sni");
	lua_pushstring(L, tls_alpn(conn));
	lua_setfield(L, -2, "alpn");
	l_set_binding(L, "exporter", bytes, tls_binding_exporter(conn, bytes));
	l_set_binding(L, "end_point", bytes, tls_binding_server_end_point(conn, bytes));
	l_set_binding(L, "unique", bytes, tls_binding_unique(conn, bytes));
	l_set_binding(L, "fingerprint", bytes, tls_peer_fingerprint(conn, bytes) ? 32 : 0);
	char *chain = tls_peer_chain_pem(conn);
	lua_pushstring(L, chain);
	lua_setfield(L, -2, "chain");
	mem_free(chain);
	return 1;
}

/* is_valid(as_server) -> boolean, why */
static int l_conn_is_valid(lua_State *L)
{
	const char *why = NULL;
	lua_pushboolean(L, tls_peer_chain_is_valid(l_check_conn(L), lua_toboolean(L, 2), &why));
	lua_pushstring(L, why);
	return 2;
}

/* dane({ { usage, selector, matching, data }, ... }, as_server) -> "certificate" | "chain" | "unusable" | nil, why */
static int l_conn_dane(lua_State *L)
{
	static const char *const verdicts[] = { "certificate", "chain", "unusable" };
	struct conn *conn = l_check_conn(L);
	struct tls_tlsa records[TLSA_MAX + 1];
	size_t n = 0;
	for (; n <= TLSA_MAX && lua_geti(L, 2, (lua_Integer)n + 1) == LUA_TTABLE; n++) {
		for (int i = 1; i <= 4; i++)
			lua_geti(L, 4, i);
		records[n].usage = (uint8_t)lua_tointeger(L, 5);
		records[n].selector = (uint8_t)lua_tointeger(L, 6);
		records[n].matching = (uint8_t)lua_tointeger(L, 7);
		records[n].data.ptr = lua_tolstring(L, 8, &records[n].data.len);
		lua_settop(L, 3);
	}
	const char *why = NULL;
	enum tls_dane verdict = tls_peer_dane(conn, records, n, lua_toboolean(L, 3), &why);
	lua_pushstring(L, verdict != TLS_DANE_MISMATCH ? verdicts[verdict] : NULL);
	lua_pushstring(L, verdict != TLS_DANE_MISMATCH ? NULL : why);
	return 2;
}

/* renegotiate(): what a rude peer would do -> did OpenSSL let it */
static int l_conn_renegotiate(lua_State *L)
{
	SSL *ssl = conn_ssl(l_check_conn(L));
	lua_pushboolean(L, SSL_renegotiate(ssl) == 1 && SSL_do_handshake(ssl) == 1);
	return 1;
}

/* --- listeners ---------------------------------------------------------------------------------------------------- */

struct accepted {
	struct test_handle *listener;
	struct conn *conn;
};

static int l_accept(lua_State *L)
{
	const struct accepted *accepted = lua_touserdata(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, accepted->listener->self_ref);
	lua_getiuservalue(L, -1, 1);
	int callbacks = lua_gettop(L);
	lua_getfield(L, callbacks, "refuse");
	if (lua_toboolean(L, -1))
		return 0;
	lua_getfield(L, callbacks, "silent");
	if (lua_toboolean(L, -1)) {
		struct tls_context *context = test_tls_at(L, -1);
		conn_set_handler(accepted->conn, &silent, NULL);
		if (context != NULL)
			conn_start_tls_server(accepted->conn, context);
		return 0;
	}
	struct test_handle *handle = l_test_new_handle(L, accepted->listener->test, CONN, callbacks);
	handle->conn = accepted->conn;
	conn_set_handler(accepted->conn, l_handler(L, callbacks), handle);
	lua_getfield(L, callbacks, "accepted");
	if (lua_isnil(L, -1))
		return 0;
	lua_insert(L, -2);
	lua_call(L, 1, 0);
	return 0;
}

static void accepted(void *ctx, struct conn *conn)
{
	struct test_handle *handle = ctx;
	struct accepted accepted = { handle, conn };
	test_protect(handle->test, l_accept, &accepted);
}

/* listen { port = | path =, interface =, refuse =, silent = true | TLS context, limits..., callbacks... } */
static int l_loop_listen(lua_State *L)
{
	struct test_loop *test = l_test_check_loop(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	lua_getfield(L, 2, "path");
	lua_getfield(L, 2, "interface");
	const char *path = luaL_optstring(L, 3, NULL), *interface = luaL_optstring(L, 4, "127.0.0.1");
	uint16_t port = (uint16_t)l_field(L, 2, "port", 0);
	struct listener_limits limits = {
		.accepts_per_second = (unsigned)l_field(L, 2, "accepts_per_second", 0),
		.accepts_per_second_per_ip = (unsigned)l_field(L, 2, "accepts_per_second_per_ip", 0),
		.connections_per_ip = (unsigned)l_field(L, 2, "connections_per_ip", 0),
		.strangers = (unsigned)l_field(L, 2, "strangers", 0),
		.strangers_per_ip = (unsigned)l_field(L, 2, "strangers_per_ip", 0),
	};
	struct error error;
	struct test_handle *handle = l_test_new_handle(L, test, LISTENER, 2);
	handle->listener = path != NULL ? listener_new_unix(test->loop, path, accepted, handle, &error)
					: listener_new(test->loop, interface, port, accepted, handle, &error);
	if (handle->listener != NULL) {
		listener_set_limits(handle->listener, &limits);
		lua_getfield(L, 2, "exempt");
		if (!lua_isnil(L, -1))
			luaL_argcheck(L, listener_exempt(handle->listener, lua_tostring(L, -1),
							 (unsigned)l_field(L, 2, "exempt_bits", 0)) == 0, 2, "exempt");
		lua_pop(L, 1);
		list_add_last(&test->listeners, &handle->link);
		return 1;
	}
	test_let_go(handle);
	return l_failed(L, &error);
}

static int l_listener_port(lua_State *L)
{
	lua_pushinteger(L, listener_port(l_test_check_handle(L, LISTENER)->listener));
	return 1;
}

static int l_listener_free(lua_State *L)
{
	struct test_handle *handle = l_test_check_handle(L, LISTENER);
	listener_free(&handle->listener);
	test_let_go(handle);
	return 0;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

/* live() -> connections, listeners */
static int l_live(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)conn_live_count());
	lua_pushinteger(L, (lua_Integer)listener_live_count());
	return 2;
}

static const luaL_Reg loop_methods[] = {
	{ "connect", l_loop_connect },
	{ "connect_silent", l_loop_connect_silent },
	{ "listen", l_loop_listen },
	{ NULL, NULL },
};

static const luaL_Reg conn_methods[] = {
	{ "write", l_conn_write },
	{ "reserve", l_conn_reserve },
	{ "queued", l_conn_queued },
	{ "sent", l_conn_sent },
	{ "take_back", l_conn_take_back },
	{ "pause", l_conn_pause },
	{ "resume", l_conn_resume },
	{ "close", l_conn_close },
	{ "abort", l_conn_abort },
	{ "start_tls_server", l_conn_start_tls_server },
	{ "start_tls_client", l_conn_start_tls_client },
	{ "set_limits", l_conn_set_limits },
	{ "known", l_conn_known },
	{ "set_idle", l_conn_set_idle },
	{ "set_rate", l_conn_set_rate },
	{ "set_send_buffer", l_conn_set_send_buffer },
	{ "facts", l_conn_facts },
	{ "tls", l_conn_tls },
	{ "is_valid", l_conn_is_valid },
	{ "dane", l_conn_dane },
	{ "renegotiate", l_conn_renegotiate },
	{ NULL, NULL },
};

static const luaL_Reg listener_methods[] = {
	{ "port", l_listener_port },
	{ "free", l_listener_free },
	{ NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "live", l_live },
	{ NULL, NULL },
};

void l_test_conns(lua_State *L)
{
	l_new_type(L, CONN, conn_methods, NULL);
	l_new_type(L, LISTENER, listener_methods, NULL);
	l_test_add(L, functions, loop_methods);
}
