/* T's part for core/net: loops, connections, listeners, TLS contexts, workers and output queues for specs.
 *
 *     loop = T.net.loop()
 *     loop:listen { port = 0, accepted = function(conn) end, data = function(conn, bytes) end, closed = ... }
 *     loop:connect(port, { opened = ..., data = ..., closed = ... })
 *     loop:turn(wait_ms)
 *
 * Callbacks are called within the turn; the first error of one is raised when the turn is over. A connection's handle
 * outlives it: after `closed`, its methods raise.
 *
 * Here are the loop, timers and watches. test_conns.c has connections and listeners, test_tls.c TLS contexts,
 * test_work.c workers and output queues. */
#include <lauxlib.h>

#include "lua/barrier.h"
#include "lua/bind.h"
#include "lua/test.h"
#include "lua/test_net_private.h"
#include "net/listener.h"
#include "net/hold.h"
#include "net/loop.h"

#define LOOP "couplet.test.loop"
#define TIMER "couplet.test.timer"
#define WATCH "couplet.test.watch"

struct test_loop *l_test_check_loop(lua_State *L, int index)
{
	struct test_loop *test = luaL_checkudata(L, index, LOOP);
	luaL_argcheck(L, test->loop != NULL, index, "the loop is freed");
	return test;
}

struct test_handle *l_test_check_handle(lua_State *L, const char *type)
{
	struct test_handle *handle = luaL_checkudata(L, 1, type);
	if (handle->any == NULL)
		luaL_error(L, "%s is closed", type);
	return handle;
}

struct test_handle *l_test_new_handle(lua_State *L, struct test_loop *test, const char *type, int callbacks)
{
	lua_pushvalue(L, callbacks);
	struct test_handle *handle = lua_newuserdatauv(L, sizeof(*handle), 1);
	*handle = (struct test_handle){ .test = test };
	list_init(&handle->link);
	luaL_setmetatable(L, type);
	lua_insert(L, -2);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, -1);
	handle->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return handle;
}

void test_let_go(struct test_handle *handle)
{
	handle->any = NULL;
	list_remove(&handle->link);
	if (!handle->test->is_silent)
		luaL_unref(handle->test->L, LUA_REGISTRYINDEX, handle->self_ref);
}

/* --- calling back ------------------------------------------------------------------------------------------------- */

struct call {
	struct test_handle *handle;
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

void test_protect(struct test_loop *test, lua_CFunction fn, void *arg)
{
	if (test->is_silent || barrier_protect(test->L, fn, arg) == 0)
		return;
	if (test->error_ref == LUA_NOREF)
		test->error_ref = luaL_ref(test->L, LUA_REGISTRYINDEX);
	else
		lua_pop(test->L, 1);
}

void test_call_back(struct test_handle *handle, const char *name, struct slice text, int number)
{
	struct call call = { handle, name, text, number };
	test_protect(handle->test, l_call, &call);
}

static void call_function(void *ctx)
{
	test_call_back(ctx, NULL, SLICE_NONE, 0);
}

static void call_function_once(void *ctx)
{
	struct test_handle *handle = ctx;
	test_call_back(handle, NULL, SLICE_NONE, 0);
	test_let_go(handle);
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
	struct test_loop *test = l_test_check_loop(L, 1);
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
	struct test_loop *test = l_test_check_loop(L, 1);
	test->L = L;
	loop_run(test->loop);
	l_raise_error(L, test);
	return 0;
}

static int l_loop_stop(lua_State *L)
{
	loop_stop(l_test_check_loop(L, 1)->loop);
	return 0;
}

static int l_loop_now(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)loop_now_ms(l_test_check_loop(L, 1)->loop));
	return 1;
}

static int l_loop_advance(lua_State *L)
{
	loop_advance(l_test_check_loop(L, 1)->loop, luaL_checkinteger(L, 2));
	return 0;
}

static int l_loop_hold(lua_State *L)
{
	loop_hold(l_test_check_loop(L, 1)->loop);
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
		struct test_handle *handle = list_first(&test->listeners, struct test_handle, link);
		listener_free(&handle->listener);
		test_let_go(handle);
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
	struct test_loop *test = l_test_check_loop(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct test_handle *handle = l_test_new_handle(L, test, TIMER, 2);
	loop_defer(test->loop, call_function_once, handle);
	return 0;
}

/* on_turn_end(step, fn): step 0 commit, 1 flush, 2 free, 3 scratch, 4 collect */
static int l_loop_on_turn_end(lua_State *L)
{
	struct test_loop *test = l_test_check_loop(L, 1);
	enum turn_step step = (enum turn_step)luaL_checkinteger(L, 2);
	luaL_argcheck(L, step < TURN_STEPS, 2, "0 to 4");
	struct test_handle *handle = l_test_new_handle(L, test, TIMER, 3);
	loop_on_turn_end(test->loop, step, call_function, handle);
	return 0;
}

static int l_loop_on_signal(lua_State *L)
{
	struct test_loop *test = l_test_check_loop(L, 1);
	struct test_handle *handle = l_test_new_handle(L, test, TIMER, 3);
	loop_on_signal(test->loop, (int)luaL_checkinteger(L, 2), call_function, handle);
	return 0;
}

/* --- output that waits for the disk ------------------------------------------------------------------------------- */

/* wrote() -> number of the batch */
static int l_loop_wrote(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)output_hold(l_test_check_loop(L, 1)->loop));
	return 1;
}

/* knows(batch) */
static int l_loop_knows(lua_State *L)
{
	output_hold_for(l_test_check_loop(L, 1)->loop, (uint64_t)luaL_checkinteger(L, 2));
	return 0;
}

/* newest_batch() -> number, 0 when all is durable */
static int l_loop_newest_batch(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)loop_newest_batch(l_test_check_loop(L, 1)->loop));
	return 1;
}

static int l_loop_seal(lua_State *L)
{
	loop_seal(l_test_check_loop(L, 1)->loop);
	return 0;
}

static int l_loop_release(lua_State *L)
{
	loop_release(l_test_check_loop(L, 1)->loop);
	return 0;
}

/* take_back(with_synced) */
static int l_loop_take_back(lua_State *L)
{
	loop_take_back_output(l_test_check_loop(L, 1)->loop, lua_toboolean(L, 2), "lost");
	return 0;
}

/* --- timers and watches ------------------------------------------------------------------------------------------- */

static int l_loop_timer(lua_State *L)
{
	struct test_loop *test = l_test_check_loop(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct test_handle *handle = l_test_new_handle(L, test, TIMER, 2);
	handle->timer = timer_new(test->loop, call_function, handle);
	return 1;
}

static struct timer *l_check_timer(lua_State *L)
{
	return l_test_check_handle(L, TIMER)->timer;
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
	struct test_handle *handle = l_test_check_handle(L, TIMER);
	timer_free(&handle->timer);
	test_let_go(handle);
	return 0;
}

static void watch_called(void *ctx, int events)
{
	test_call_back(ctx, NULL, SLICE_NONE, events);
}

static int l_loop_watch(lua_State *L)
{
	struct test_loop *test = l_test_check_loop(L, 1);
	int fd = (int)luaL_checkinteger(L, 2), events = (int)luaL_checkinteger(L, 3);
	struct test_handle *handle = l_test_new_handle(L, test, WATCH, 4);
	handle->watch = watch_new(test->loop, fd, events, watch_called, handle);
	return 1;
}

static int l_watch_set(lua_State *L)
{
	watch_set(l_test_check_handle(L, WATCH)->watch, (int)luaL_checkinteger(L, 2));
	return 0;
}

static int l_watch_free(lua_State *L)
{
	struct test_handle *handle = l_test_check_handle(L, WATCH);
	watch_free(&handle->watch);
	test_let_go(handle);
	return 0;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static const luaL_Reg loop_methods[] = {
	{ "turn", l_loop_turn },
	{ "run", l_loop_run },
	{ "stop", l_loop_stop },
	{ "now", l_loop_now },
	{ "advance", l_loop_advance },
	{ "hold", l_loop_hold },
	{ "defer", l_loop_defer },
	{ "wrote", l_loop_wrote },
	{ "knows", l_loop_knows },
	{ "newest_batch", l_loop_newest_batch },
	{ "seal", l_loop_seal },
	{ "release", l_loop_release },
	{ "take_back", l_loop_take_back },
	{ "on_turn_end", l_loop_on_turn_end },
	{ "on_signal", l_loop_on_signal },
	{ "timer", l_loop_timer },
	{ "watch", l_loop_watch },
	{ "free", l_loop_free },
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

void l_test_add(lua_State *L, const luaL_Reg *functions, const luaL_Reg *methods)
{
	luaL_setfuncs(L, functions, 0);
	lua_pushvalue(L, -2);
	luaL_setfuncs(L, methods, 0);
	lua_pop(L, 1);
}

void l_test_net(lua_State *L)
{
	l_new_type(L, LOOP, loop_methods, l_loop_gc);
	l_new_type(L, TIMER, timer_methods, NULL);
	l_new_type(L, WATCH, watch_methods, NULL);
	luaL_getmetatable(L, LOOP);
	lua_getfield(L, -1, "__index");
	lua_newtable(L);
	lua_pushcfunction(L, l_loop);
	lua_setfield(L, -2, "loop");
	l_test_conns(L);
	l_test_tls(L);
	l_test_work(L);
	l_test_http(L);
	lua_setfield(L, -4, "net");
	lua_pop(L, 2);
}
