/* T's part for core/net: loops, connections, listeners, TLS contexts, workers and output queues for specs.
 *
 *     loop = T.net.loop()
 *     loop:listen { port = 0, accepted = function(conn) end, data = function(conn, bytes) end, closed = ... }
 *     loop:connect(port, { opened = ..., data = ..., closed = ... })
 *     loop:turn(wait_ms)
 *
 * Callbacks are called within the turn; the first error of one is raised when the turn is over. A connection's handle
 * outlives it: after `closed`, its methods raise. */
#include <lauxlib.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/list.h"
#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/test.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/outq.h"
#include "net/tls.h"
#include "net/worker.h"

#define LOOP "couplet.test.loop"
#define CONN "couplet.test.conn"
#define LISTENER "couplet.test.listener"
#define TIMER "couplet.test.timer"
#define WATCH "couplet.test.watch"
#define TLS "couplet.test.tls"
#define WORKERS "couplet.test.workers"
#define OUTQ "couplet.test.outq"

struct test_loop {
	struct loop *loop; /* NULL: freed */
	struct timer *guard;
	lua_State *L;      /* of the turn in progress */
	int error_ref;     /* the first error of a callback */
	struct list listeners; /* end before the loop */
	bool is_silent;    /* being collected: nobody is called any more */
};

/* Something that calls back: its handle is anchored as long as it may, its callbacks are the handle's user value. */
struct handle {
	struct test_loop *test;
	int self_ref;
	struct list link; /* of a listener, in test->listeners */
	union {
		struct conn *conn;
		struct listener *listener;
		struct timer *timer;
		struct watch *watch;
		struct workers *workers;
		void *any;
	};
};

static struct test_loop *l_check_loop(lua_State *L, int index)
{
	struct test_loop *test = luaL_checkudata(L, index, LOOP);
	luaL_argcheck(L, test->loop != NULL, index, "the loop is freed");
	return test;
}

static void *l_check_alive(lua_State *L, const char *type)
{
	struct handle *handle = luaL_checkudata(L, 1, type);
	if (handle->any == NULL)
		luaL_error(L, "%s is closed", type);
	return handle;
}

static struct conn *l_check_conn(lua_State *L)
{
	return ((struct handle *)l_check_alive(L, CONN))->conn;
}

/* Pushes a new handle, anchored, with the callbacks at `callbacks`. */
static struct handle *l_new_handle(lua_State *L, struct test_loop *test, const char *type, int callbacks)
{
	lua_pushvalue(L, callbacks);
	struct handle *handle = lua_newuserdatauv(L, sizeof(*handle), 1);
	*handle = (struct handle){ .test = test };
	list_init(&handle->link);
	luaL_setmetatable(L, type);
	lua_insert(L, -2);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, -1);
	handle->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return handle;
}

/* The handle's thing is gone. */
static void let_go(struct handle *handle)
{
	handle->any = NULL;
	list_remove(&handle->link);
	if (!handle->test->is_silent)
		luaL_unref(handle->test->L, LUA_REGISTRYINDEX, handle->self_ref);
}

/* --- calling back ------------------------------------------------------------------------------------------------- */

struct call {
	struct handle *handle;
	const char *name; /* of a field of the callbacks; NULL: they are one function */
	struct slice text; /* an argument, when ptr is set */
	int number;        /* an argument, when text is not set and it is not 0 */
};

static int l_call(lua_State *L)
{
	const struct call *call = lua_touserdata(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, call->handle->self_ref);
	lua_getiuservalue(L, -1, 1);
	if (call->name != NULL)
		lua_getfield(L, -1, call->name);
	if (lua_isnil(L, -1))
		return 0;
	lua_pushvalue(L, 2);
	if (call->text.ptr != NULL)
		lua_pushlstring(L, call->text.ptr, call->text.len);
	else
		lua_pushinteger(L, call->number);
	lua_call(L, 2, 0);
	return 0;
}

static void call_back(struct handle *handle, const char *name, struct slice text, int number)
{
	struct test_loop *test = handle->test;
	struct call call = { handle, name, text, number };
	if (test->is_silent || barrier_protect(test->L, l_call, &call) == 0)
		return;
	if (test->error_ref == LUA_NOREF)
		test->error_ref = luaL_ref(test->L, LUA_REGISTRYINDEX);
	else
		lua_pop(test->L, 1);
}

static void call_function(void *ctx)
{
	call_back(ctx, NULL, SLICE_NONE, 0);
}

static void call_function_once(void *ctx)
{
	struct handle *handle = ctx;
	call_back(handle, NULL, SLICE_NONE, 0);
	let_go(handle);
}

/* --- loop --------------------------------------------------------------------------------------------------------- */

static void nothing(void *ctx)
{
	(void)ctx;
}

static int l_loop(lua_State *L)
{
	struct test_loop *test = lua_newuserdatauv(L, sizeof(*test), 0);
	*test = (struct test_loop){ .error_ref = LUA_NOREF, .L = L };
	list_init(&test->listeners);
	luaL_setmetatable(L, LOOP);
	test->loop = loop_new();
	test->guard = timer_new(test->loop, nothing, NULL);
	return 1;
}

static void l_raise_error(lua_State *L, struct test_loop *test)
{
	if (test->error_ref == LUA_NOREF)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, test->error_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, test->error_ref);
	test->error_ref = LUA_NOREF;
	lua_error(L);
}

/* turn(wait_ms): waits at most that long for something to happen; without it, not at all */
static int l_loop_turn(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	lua_Integer wait_ms = luaL_optinteger(L, 2, 0);
	test->L = L;
	if (wait_ms > 0)
		timer_start(test->guard, wait_ms);
	loop_turn(test->loop, wait_ms > 0);
	timer_stop(test->guard);
	l_raise_error(L, test);
	return 0;
}

static int l_loop_run(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	test->L = L;
	loop_run(test->loop);
	l_raise_error(L, test);
	return 0;
}

static int l_loop_stop(lua_State *L)
{
	loop_stop(l_check_loop(L, 1)->loop);
	return 0;
}

static int l_loop_now(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)loop_now_ms(l_check_loop(L, 1)->loop));
	return 1;
}

static int l_loop_advance(lua_State *L)
{
	loop_advance(l_check_loop(L, 1)->loop, luaL_checkinteger(L, 2));
	return 0;
}

static int l_loop_free(lua_State *L)
{
	struct test_loop *test = luaL_checkudata(L, 1, LOOP);
	if (test->loop == NULL)
		return 0;
	test->L = L;
	timer_free(&test->guard);
	while (!list_is_empty(&test->listeners)) {
		struct handle *handle = list_first(&test->listeners, struct handle, link);
		listener_free(&handle->listener);
		let_go(handle);
	}
	loop_free(&test->loop);
	l_raise_error(L, test);
	return 0;
}

static int l_loop_gc(lua_State *L)
{
	struct test_loop *test = luaL_checkudata(L, 1, LOOP);
	test->is_silent = true;
	return l_loop_free(L);
}

static int l_loop_defer(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct handle *handle = l_new_handle(L, test, TIMER, 2);
	loop_defer(test->loop, call_function_once, handle);
	return 0;
}

/* on_turn_end(step, fn): step 0 commit, 1 flush, 2 free, 3 scratch, 4 collect */
static int l_loop_on_turn_end(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	enum turn_step step = (enum turn_step)luaL_checkinteger(L, 2);
	luaL_argcheck(L, step < TURN_STEPS, 2, "0 to 4");
	struct handle *handle = l_new_handle(L, test, TIMER, 3);
	loop_on_turn_end(test->loop, step, call_function, handle);
	return 0;
}

static int l_loop_on_signal(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	struct handle *handle = l_new_handle(L, test, TIMER, 3);
	loop_on_signal(test->loop, (int)luaL_checkinteger(L, 2), call_function, handle);
	return 0;
}

/* --- timers and watches ------------------------------------------------------------------------------------------- */

static int l_loop_timer(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct handle *handle = l_new_handle(L, test, TIMER, 2);
	handle->timer = timer_new(test->loop, call_function, handle);
	return 1;
}

static struct timer *l_check_timer(lua_State *L)
{
	return ((struct handle *)l_check_alive(L, TIMER))->timer;
}

static int l_timer_start(lua_State *L)
{
	timer_start(l_check_timer(L), luaL_checkinteger(L, 2));
	return 0;
}

static int l_timer_stop(lua_State *L)
{
	timer_stop(l_check_timer(L));
	return 0;
}

static int l_timer_is_running(lua_State *L)
{
	lua_pushboolean(L, timer_is_running(l_check_timer(L)));
	return 1;
}

static int l_timer_free(lua_State *L)
{
	struct handle *handle = l_check_alive(L, TIMER);
	timer_free(&handle->timer);
	let_go(handle);
	return 0;
}

static void watch_called(void *ctx, int events)
{
	call_back(ctx, NULL, SLICE_NONE, events);
}

static int l_loop_watch(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	int fd = (int)luaL_checkinteger(L, 2), events = (int)luaL_checkinteger(L, 3);
	struct handle *handle = l_new_handle(L, test, WATCH, 4);
	handle->watch = watch_new(test->loop, fd, events, watch_called, handle);
	return 1;
}

static int l_watch_set(lua_State *L)
{
	watch_set(((struct handle *)l_check_alive(L, WATCH))->watch, (int)luaL_checkinteger(L, 2));
	return 0;
}

static int l_watch_free(lua_State *L)
{
	struct handle *handle = l_check_alive(L, WATCH);
	watch_free(&handle->watch);
	let_go(handle);
	return 0;
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void conn_opened(void *ctx)
{
	call_back(ctx, "opened", SLICE_NONE, 0);
}

static void conn_data(void *ctx, struct slice bytes)
{
	call_back(ctx, "data", bytes, 0);
}

static void conn_secured(void *ctx)
{
	call_back(ctx, "secured", SLICE_NONE, 0);
}

static void conn_ended(void *ctx)
{
	call_back(ctx, "ended", SLICE_NONE, 0);
}

static void conn_drained(void *ctx)
{
	call_back(ctx, "drained", SLICE_NONE, 0);
}

static void conn_idle(void *ctx)
{
	call_back(ctx, "idle", SLICE_NONE, 0);
}

static void conn_closed(void *ctx, const char *reason)
{
	call_back(ctx, "closed", slice_of_str(reason), 0);
	let_go(ctx);
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
	struct test_loop *test = l_check_loop(L, 1);
	uint16_t port = (uint16_t)luaL_checkinteger(L, 2);
	struct tls_context **context = luaL_testudata(L, 3, TLS);
	struct error error;
	struct conn *conn = conn_connect(test->loop, "127.0.0.1", port, &silent, NULL, &error);
	if (conn == NULL)
		return luaL_error(L, "%s", error.text);
	if (context != NULL)
		conn_start_tls_client(conn, *context, NULL, NULL);
	return 0;
}

/* connect(port, callbacks, address) */
static int l_loop_connect(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	uint16_t port = (uint16_t)luaL_checkinteger(L, 2);
	luaL_checktype(L, 3, LUA_TTABLE);
	const char *address = luaL_optstring(L, 4, "127.0.0.1");
	struct error error;
	struct handle *handle = l_new_handle(L, test, CONN, 3);
	handle->conn = conn_connect(test->loop, address, port, l_handler(L, 3), handle, &error);
	if (handle->conn != NULL)
		return 1;
	let_go(handle);
	lua_pushnil(L);
	lua_pushstring(L, error.text);
	return 2;
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

static struct tls_context *l_check_tls(lua_State *L, int index)
{
	struct tls_context **context = luaL_checkudata(L, index, TLS);
	luaL_argcheck(L, *context != NULL, index, "the context is freed");
	return *context;
}

static int l_conn_start_tls_server(lua_State *L)
{
	lua_pushinteger(L, conn_start_tls_server(l_check_conn(L), l_check_tls(L, 2)));
	return 1;
}

/* start_tls_client(context, sni, alpn) */
static int l_conn_start_tls_client(lua_State *L)
{
	lua_pushinteger(L, conn_start_tls_client(l_check_conn(L), l_check_tls(L, 2), luaL_optstring(L, 3, NULL),
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

/* renegotiate(): what a rude peer would do -> did OpenSSL let it */
static int l_conn_renegotiate(lua_State *L)
{
	SSL *ssl = conn_ssl(l_check_conn(L));
	lua_pushboolean(L, SSL_renegotiate(ssl) == 1 && SSL_do_handshake(ssl) == 1);
	return 1;
}

/* --- listeners ---------------------------------------------------------------------------------------------------- */

struct accepted {
	struct handle *listener;
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
		struct tls_context **context = luaL_testudata(L, -1, TLS);
		conn_set_handler(accepted->conn, &silent, NULL);
		if (context != NULL)
			conn_start_tls_server(accepted->conn, *context);
		return 0;
	}
	struct handle *handle = l_new_handle(L, accepted->listener->test, CONN, callbacks);
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
	struct handle *handle = ctx;
	struct test_loop *test = handle->test;
	struct accepted accepted = { handle, conn };
	if (test->is_silent || barrier_protect(test->L, l_accept, &accepted) == 0)
		return;
	if (test->error_ref == LUA_NOREF)
		test->error_ref = luaL_ref(test->L, LUA_REGISTRYINDEX);
	else
		lua_pop(test->L, 1);
}

/* listen { port = | path =, interface =, refuse =, silent = true | TLS context, limits..., callbacks... } */
static int l_loop_listen(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
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
	};
	struct error error;
	struct handle *handle = l_new_handle(L, test, LISTENER, 2);
	handle->listener = path != NULL ? listener_new_unix(test->loop, path, accepted, handle, &error)
					: listener_new(test->loop, interface, port, accepted, handle, &error);
	if (handle->listener != NULL) {
		listener_set_limits(handle->listener, &limits);
		list_add_last(&test->listeners, &handle->link);
		return 1;
	}
	let_go(handle);
	lua_pushnil(L);
	lua_pushstring(L, error.text);
	return 2;
}

static int l_listener_port(lua_State *L)
{
	lua_pushinteger(L, listener_port(((struct handle *)l_check_alive(L, LISTENER))->listener));
	return 1;
}

static int l_listener_free(lua_State *L)
{
	struct handle *handle = l_check_alive(L, LISTENER);
	listener_free(&handle->listener);
	let_go(handle);
	return 0;
}

/* --- TLS contexts ------------------------------------------------------------------------------------------------- */

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
	lua_pushnil(L);
	lua_pushstring(L, error.text);
	return 2;
}

static int l_tls_set_sni(lua_State *L)
{
	tls_context_set_sni(l_check_tls(L, 1), luaL_checkstring(L, 2), l_check_tls(L, 3));
	return 0;
}

static int l_tls_clear_sni(lua_State *L)
{
	tls_context_clear_sni(l_check_tls(L, 1));
	return 0;
}

static int l_tls_free(lua_State *L)
{
	tls_context_unref(luaL_checkudata(L, 1, TLS));
	return 0;
}

/* --- workers ------------------------------------------------------------------------------------------------------ */

/* Jobs wait behind this gate until a spec opens it. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool is_closed;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };

struct square {
	struct handle *handle;
	lua_Integer number;
	pthread_t thread;
};

static void run_square(void *job)
{
	struct square *square = job;
	pthread_mutex_lock(&gate.lock);
	while (gate.is_closed)
		pthread_cond_wait(&gate.moved, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	square->number *= square->number;
	square->thread = pthread_self();
}

/* The callback gets the square, negative when no other thread computed it. */
static void square_done(void *job)
{
	struct square *square = job;
	int number = (int)square->number;
	if (pthread_equal(square->thread, pthread_self()))
		number = -number;
	call_back(square->handle, NULL, SLICE_NONE, number);
	mem_free(square);
}

static int l_gate(lua_State *L)
{
	pthread_mutex_lock(&gate.lock);
	gate.is_closed = lua_toboolean(L, 1);
	pthread_cond_broadcast(&gate.moved);
	pthread_mutex_unlock(&gate.lock);
	return 0;
}

/* workers(threads, fn) */
static int l_loop_workers(lua_State *L)
{
	struct test_loop *test = l_check_loop(L, 1);
	unsigned threads = (unsigned)luaL_checkinteger(L, 2);
	struct handle *handle = l_new_handle(L, test, WORKERS, 3);
	handle->workers = workers_new(test->loop, threads);
	return 1;
}

static int l_workers_square(lua_State *L)
{
	struct handle *handle = l_check_alive(L, WORKERS);
	struct square *square = mem_new(sizeof(*square));
	square->handle = handle;
	square->number = luaL_checkinteger(L, 2);
	int result = workers_submit(handle->workers, run_square, square_done, square);
	if (result != 0)
		mem_free(square);
	lua_pushinteger(L, result);
	return 1;
}

static int l_workers_unfinished(lua_State *L)
{
	struct handle *handle = l_check_alive(L, WORKERS);
	lua_pushinteger(L, (lua_Integer)workers_unfinished(handle->workers));
	return 1;
}

static int l_workers_free(lua_State *L)
{
	struct handle *handle = l_check_alive(L, WORKERS);
	workers_free(&handle->workers);
	let_go(handle);
	return 0;
}

/* --- output queues ------------------------------------------------------------------------------------------------ */

struct test_outq {
	struct outq outq;
	struct chunk_pool pool;
};

static struct test_outq *l_check_outq(lua_State *L)
{
	return luaL_checkudata(L, 1, OUTQ);
}

static int l_outq(lua_State *L)
{
	struct test_outq *test = lua_newuserdatauv(L, sizeof(*test), 0);
	*test = (struct test_outq){ 0 };
	luaL_setmetatable(L, OUTQ);
	return 1;
}

static int l_outq_add(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	outq_add(&test->outq, &test->pool, slice_of(bytes, len));
	return 0;
}

static int l_outq_reserve(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	size_t max = (size_t)luaL_checkinteger(L, 2), len;
	const char *bytes = luaL_checklstring(L, 3, &len);
	luaL_argcheck(L, len <= max, 3, "longer than reserved");
	struct chunk *reserved;
	memcpy(outq_reserve(&test->outq, &test->pool, max, &reserved), bytes, len);
	outq_commit(&test->outq, &test->pool, reserved, len);
	return 0;
}

/* pieces(max) -> the bytes, how many pieces */
static int l_outq_pieces(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	struct iovec pieces[64];
	size_t count = outq_pieces(&test->outq, (size_t)luaL_checkinteger(L, 2), pieces, 64);
	luaL_Buffer bytes;
	luaL_buffinit(L, &bytes);
	for (size_t i = 0; i < count; i++)
		luaL_addlstring(&bytes, pieces[i].iov_base, pieces[i].iov_len);
	luaL_pushresult(&bytes);
	lua_pushinteger(L, (lua_Integer)count);
	return 2;
}

static int l_outq_front(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	size_t max = (size_t)luaL_checkinteger(L, 2);
	char *scratch = lua_newuserdatauv(L, max, 0);
	struct slice front = outq_front(&test->outq, scratch, max);
	lua_pushlstring(L, front.ptr != NULL ? front.ptr : "", front.len);
	return 1;
}

static int l_outq_consume(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	outq_consume(&test->outq, &test->pool, (size_t)luaL_checkinteger(L, 2));
	return 0;
}

static int l_outq_cut(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	outq_cut(&test->outq, &test->pool, (size_t)luaL_checkinteger(L, 2));
	return 0;
}

/* bytes queued, chunks in the pool */
static int l_outq_count(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	lua_pushinteger(L, (lua_Integer)test->outq.bytes);
	lua_pushinteger(L, (lua_Integer)test->pool.count);
	return 2;
}

static int l_outq_done(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	outq_clear(&test->outq, &test->pool);
	chunk_pool_done(&test->pool);
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
	{ "turn", l_loop_turn },
	{ "run", l_loop_run },
	{ "stop", l_loop_stop },
	{ "now", l_loop_now },
	{ "advance", l_loop_advance },
	{ "defer", l_loop_defer },
	{ "on_turn_end", l_loop_on_turn_end },
	{ "on_signal", l_loop_on_signal },
	{ "timer", l_loop_timer },
	{ "watch", l_loop_watch },
	{ "connect", l_loop_connect },
	{ "connect_silent", l_loop_connect_silent },
	{ "listen", l_loop_listen },
	{ "workers", l_loop_workers },
	{ "free", l_loop_free },
	{ "__gc", l_loop_gc },
	{ NULL, NULL },
};

static const luaL_Reg conn_methods[] = {
	{ "write", l_conn_write },
	{ "reserve", l_conn_reserve },
	{ "queued", l_conn_queued },
	{ "pause", l_conn_pause },
	{ "resume", l_conn_resume },
	{ "close", l_conn_close },
	{ "abort", l_conn_abort },
	{ "start_tls_server", l_conn_start_tls_server },
	{ "start_tls_client", l_conn_start_tls_client },
	{ "set_limits", l_conn_set_limits },
	{ "set_idle", l_conn_set_idle },
	{ "set_rate", l_conn_set_rate },
	{ "set_send_buffer", l_conn_set_send_buffer },
	{ "facts", l_conn_facts },
	{ "tls", l_conn_tls },
	{ "is_valid", l_conn_is_valid },
	{ "renegotiate", l_conn_renegotiate },
	{ NULL, NULL },
};

static const luaL_Reg listener_methods[] = {
	{ "port", l_listener_port },
	{ "free", l_listener_free },
	{ NULL, NULL },
};

static const luaL_Reg timer_methods[] = {
	{ "start", l_timer_start },
	{ "stop", l_timer_stop },
	{ "is_running", l_timer_is_running },
	{ "free", l_timer_free },
	{ NULL, NULL },
};

static const luaL_Reg watch_methods[] = {
	{ "set", l_watch_set },
	{ "free", l_watch_free },
	{ NULL, NULL },
};

static const luaL_Reg tls_methods[] = {
	{ "set_sni", l_tls_set_sni },
	{ "clear_sni", l_tls_clear_sni },
	{ "free", l_tls_free },
	{ "__gc", l_tls_free },
	{ NULL, NULL },
};

static const luaL_Reg workers_methods[] = {
	{ "square", l_workers_square },
	{ "unfinished", l_workers_unfinished },
	{ "free", l_workers_free },
	{ NULL, NULL },
};

static const luaL_Reg outq_methods[] = {
	{ "add", l_outq_add },
	{ "reserve", l_outq_reserve },
	{ "pieces", l_outq_pieces },
	{ "front", l_outq_front },
	{ "consume", l_outq_consume },
	{ "cut", l_outq_cut },
	{ "count", l_outq_count },
	{ "__gc", l_outq_done },
	{ NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "loop", l_loop },
	{ "tls", l_tls },
	{ "outq", l_outq },
	{ "gate", l_gate },
	{ "live", l_live },
	{ NULL, NULL },
};

static void l_new_type(lua_State *L, const char *name, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

void l_test_net(lua_State *L)
{
	l_new_type(L, LOOP, loop_methods);
	l_new_type(L, CONN, conn_methods);
	l_new_type(L, LISTENER, listener_methods);
	l_new_type(L, TIMER, timer_methods);
	l_new_type(L, WATCH, watch_methods);
	l_new_type(L, TLS, tls_methods);
	l_new_type(L, WORKERS, workers_methods);
	l_new_type(L, OUTQ, outq_methods);
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	lua_setfield(L, -2, "net");
}
