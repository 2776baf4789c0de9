/* The one way from C into Lua. See barrier.h for its use.
 *
 * Always true: a thread on the free list has an empty stack and no error state; a waiting thread is anchored in the
 * registry and in the table of waiting threads, and belongs to nobody's C stack. core->current is the coroutine whose
 * code runs; while core->stop_reason is set, it has the hook `stop`. */
#include "lua/barrier.h"

#include <assert.h>
#include <lauxlib.h>
#include <signal.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lua/core.h"
#include "net/hold.h"
#include "net/loop.h"

enum { THREADS_KEPT = 64, SLOW_MS = 200, WATCHDOG_MS = 500, WATCHDOG_TICKS = 10 };
#define CALL_BYTES_MAX ((size_t)256 << 20)
#define TOO_LONG "interrupted: ran for more than 5 s without giving the server back"
#define TOO_MUCH "interrupted: took more than 256 MiB of memory in one call"
_Static_assert(WATCHDOG_MS * WATCHDOG_TICKS == 5000, "TOO_LONG says how long");

static const char waiting_key; /* registry: thread -> struct thread (light userdata), for those that wait */

struct thread *barrier_begin(struct lua_core *core, const char *name)
{
	struct thread *thread;
	if (!list_is_empty(&core->free_threads)) {
		thread = list_first(&core->free_threads, struct thread, link);
		list_remove(&thread->link);
		core->n_free_threads--;
	} else {
		thread = mem_new(sizeof(*thread));
		list_init(&thread->link);
		thread->L = lua_newthread(core->L);
		thread->ref = luaL_ref(core->L, LUA_REGISTRYINDEX);
		thread->resume_ref = LUA_NOREF;
	}
	thread->name = name;
	thread->times = times_of(&core->times, name);
	thread->go_on = NULL;
	return thread;
}

/* ---- a call that takes too much is ended ---- */

/* The hook: raises at every instruction, in whatever pcall it may stand, until the outermost call is over. */
static void stop(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	luaL_error(L, "%s", lua_core_of(L)->stop_reason);
}

/* Async-signal-safe: lua_sethook is the one call Lua allows there. */
static void stop_call(struct lua_core *core, const char *reason)
{
	if (core->stop_reason == NULL)
		core->stop_reason = reason;
	if (core->current != NULL)
		lua_sethook(core->current, stop, LUA_MASKCOUNT, 1);
}

/* L runs again: it is stopped if the call is, and not because an earlier one was. */
static void check_stop(struct lua_core *core, lua_State *L)
{
	if (core->stop_reason != NULL)
		lua_sethook(L, stop, LUA_MASKCOUNT, 1);
	else if (lua_gethook(L) == stop)
		lua_sethook(L, NULL, 0, 0);
}

/* lua_resume, counting nested calls (so that endless recursion through the server is an error of Lua, not the end of
 * the C stack), and keeping core->current. */
static int resume(struct lua_core *core, lua_State *L, int n_args, int *n_results)
{
	lua_State *outer = core->current;
	core->current = L;
	check_stop(core, L);
	int status = lua_resume(L, outer != NULL ? outer : core->L, n_args, n_results);
	core->current = outer;
	if (outer != NULL)
		check_stop(core, outer);
	return status;
}

void *barrier_allocate(void *ud, void *old, size_t old_size, size_t size)
{
	struct lua_core *core = ud;
	if (old == NULL)
		old_size = 0; /* Lua tells a type instead */
	if (size > old_size && core->running != NULL && core->memory + (size - old_size) > core->memory_max) {
		core->is_overdrawn = true;
		if (size - old_size > CALL_BYTES_MAX / 2)
			return NULL; /* one string or table: "not enough memory" is Lua's own error */
		stop_call(core, TOO_MUCH);
	}
	core->memory += size - old_size;
	if (size > 0)
		return mem_resize(old, size);
	mem_free(old);
	return NULL;
}

static void drop(struct lua_core *core, struct thread *thread)
{
	luaL_unref(core->L, LUA_REGISTRYINDEX, thread->ref);
	mem_free(thread);
}

void barrier_end(struct lua_core *core, struct thread *thread)
{
	if (core->n_free_threads >= THREADS_KEPT || thread->was_stopped) {
		drop(core, thread);
		return;
	}
	lua_settop(thread->L, 0);
	list_add_last(&core->free_threads, &thread->link);
	core->n_free_threads++;
}

static void check_waiting(void *ctx);

static void remember_waiting(struct lua_core *core, struct thread *thread, bool is_waiting)
{
	lua_State *L = core->L;
	thread->is_waiting = is_waiting;
	if (is_waiting) {
		thread->waits_since_ms = loop_now_ms(core->server->loop);
		thread->held = loop_held_by(core->server->loop);
		list_add_last(&core->waiting, &thread->link);
		if (core->wait_timer == NULL)
			core->wait_timer = timer_new(core->server->loop, check_waiting, core);
		if (!timer_is_running(core->wait_timer))
			timer_start(core->wait_timer, core->server->options.wait_limit_ms);
	} else {
		list_remove(&thread->link);
	}
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &waiting_key) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &waiting_key);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, thread->ref);
	if (is_waiting)
		lua_pushlightuserdata(L, thread);
	else
		lua_pushnil(L);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

struct death {
	struct thread *thread;
	lua_State *outer; /* the coroutine from which it was called, NULL for none */
};

/* Logs the error on top of a dead thread, and where it happened. An error may be an object whose __tostring raises. */
static int l_report(lua_State *L)
{
	struct death *death = lua_touserdata(L, 1);
	lua_State *dead = death->thread->L, *place = dead;
	lua_Debug frame;
	lua_pushvalue(dead, -1);
	lua_xmove(dead, L, 1);
	if (!lua_getstack(dead, 0, &frame) && death->outer != NULL)
		place = death->outer; /* too deeply nested to even begin */
	luaL_traceback(L, place, luaL_tolstring(L, -1, NULL), 0);
	log_error(death->thread->name, "%s", lua_tostring(L, -1));
	return 0;
}

/* The thread died: says why, and runs what its code left to be closed. */
static void bury(struct lua_core *core, struct thread *thread)
{
	lua_State *outer = core->current;
	struct death death = { thread, outer };
	core->current = core->L;
	if (barrier_protect(core->L, l_report, &death) != 0) {
		log_error(thread->name, "died of an error that cannot be told");
		lua_pop(core->L, 1);
	}
	core->current = thread->L;
	thread->was_stopped = core->stop_reason != NULL;
	lua_resetthread(thread->L);
	lua_settop(thread->L, 0);
	core->current = outer;
}

/* After a call that took too much: what it took is given back at once. */
static void recover(struct lua_core *core)
{
	core->stop_reason = NULL;
	core->is_overdrawn = false;
	lua_sethook(core->L, NULL, 0, 0);
	lua_gc(core->L, LUA_GCCOLLECT);
	mem_trim();
}

enum barrier_result barrier_run(struct lua_core *core, struct thread *thread, int n_args)
{
	const char *outer = core->running;
	int64_t started_ns = clock_ns();
	int n_results = 0, height = lua_gettop(core->L);
	core->running = thread->name;
	if (outer == NULL) {
		core->call_serial++;
		core->memory_max = core->memory + CALL_BYTES_MAX;
	}
	lua_State *outer_thread = core->innermost;
	core->innermost = thread->L;
	int status = resume(core, thread->L, n_args, &n_results);
	if (status != LUA_OK && status != LUA_YIELD)
		bury(core, thread);
	core->innermost = outer_thread;
	core->running = outer;
	if (outer == NULL && (core->stop_reason != NULL || core->is_overdrawn))
		recover(core);
	assert(lua_gettop(core->L) == height);
	int64_t took_ns = clock_ns() - started_ns, took_ms = took_ns / 1000000;
	if (thread->times != NULL)
		histogram_add(thread->times, took_ns);
	if (took_ms > SLOW_MS && outer == NULL)
		log_warn(thread->name, "blocked the server for %d ms; long work belongs in a timer or a worker",
			 (int)took_ms);
	if (status == LUA_YIELD) {
		lua_pop(thread->L, n_results);
		remember_waiting(core, thread, true);
		return BARRIER_WAITS;
	}
	/* Only the results are left on the stack of a thread that has returned. */
	return status == LUA_OK ? BARRIER_OK : BARRIER_FAILED;
}

enum barrier_result barrier_call_ref(struct lua_core *core, const char *name, int ref, int n_args)
{
	struct thread *thread = barrier_begin(core, name);
	lua_rawgeti(thread->L, LUA_REGISTRYINDEX, ref);
	luaL_checkstack(thread->L, n_args + 4, NULL);
	lua_xmove(core->L, thread->L, n_args);
	enum barrier_result result = barrier_run(core, thread, n_args);
	if (result != BARRIER_WAITS)
		barrier_end(core, thread);
	return result;
}

static int traceback(lua_State *L)
{
	luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
	return 1;
}

int barrier_protect(lua_State *L, lua_CFunction fn, void *arg)
{
	int height = lua_gettop(L);
	lua_pushcfunction(L, traceback);
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, arg);
	int status = lua_pcall(L, 1, 0, height + 1);
	lua_remove(L, height + 1);
	return status == LUA_OK ? 0 : -1;
}

/* ---- waiting ---- */

int l_wait(lua_State *L)
{
	if (!lua_isyieldable(L) || lua_core_of(L)->innermost != L)
		return luaL_error(L, "cannot wait here: not inside a hook or timer, or inside a coroutine of one");
	return lua_yield(L, 0);
}

/* The thread's call has ended: what was parked for it goes on. */
static void end_waiting(struct lua_core *core, struct thread *thread, enum barrier_result result)
{
	go_on_fn *go_on = thread->go_on;
	void *ctx = thread->go_on_ctx;
	enum bus_result answer = BUS_FAILED;
	if (result == BARRIER_OK)
		answer = lua_gettop(thread->L) == 0 || lua_isnil(thread->L, 1) ? BUS_PASS : BUS_HANDLED;
	barrier_end(core, thread);
	if (go_on != NULL)
		go_on(ctx, answer);
}

/* Nobody else will end its wait: it is closed, where it stands, and the thread is not used again, since whoever should
 * have resumed it may still do so. */
static void give_up(struct lua_core *core, struct thread *thread)
{
	lua_State *L = core->L;
	luaL_traceback(L, thread->L, NULL, 0);
	log_error(thread->name, "has waited for %d s and was ended. %s", (int)(core->server->options.wait_limit_ms / 1000),
		  lua_tostring(L, -1));
	lua_pop(L, 1);
	remember_waiting(core, thread, false);
	lua_resetthread(thread->L);
	thread->was_stopped = true;
	end_waiting(core, thread, BARRIER_FAILED);
}

static void check_waiting(void *ctx)
{
	struct lua_core *core = ctx;
	int64_t now_ms = loop_now_ms(core->server->loop);
	struct list now;
	list_init(&now);
	list_append(&now, &core->waiting); /* what goes on may wait again */
	while (!list_is_empty(&now)) {
		struct thread *thread = list_first(&now, struct thread, link);
		list_remove(&thread->link);
		list_add_last(&core->waiting, &thread->link);
		/* Timers and the like, which keep nobody waiting, have all the time they want. */
		if (thread->go_on != NULL && thread->resume_ref == LUA_NOREF &&
		    now_ms - thread->waits_since_ms >= core->server->options.wait_limit_ms)
			give_up(core, thread);
	}
	if (!list_is_empty(&core->waiting) && !timer_is_running(core->wait_timer))
		timer_start(core->wait_timer, core->server->options.wait_limit_ms / 4 + 1);
}

static void resume_now(void *ctx)
{
	struct thread *thread = ctx;
	struct lua_core *core = lua_core_of(thread->L);
	int ref = thread->resume_ref;
	thread->resume_ref = LUA_NOREF;
	remember_waiting(core, thread, false);
	loop_dispatch(core->server->loop, NULL);
	output_hold_for(core->server->loop, thread->held);
	lua_rawgeti(thread->L, LUA_REGISTRYINDEX, ref);
	luaL_unref(core->L, LUA_REGISTRYINDEX, ref);
	int table = lua_gettop(thread->L), n = (int)lua_rawlen(thread->L, table);
	luaL_checkstack(thread->L, n + 4, NULL);
	for (int i = 1; i <= n; i++)
		lua_rawgeti(thread->L, table, i);
	lua_remove(thread->L, table);
	enum barrier_result result = barrier_run(core, thread, n);
	if (result != BARRIER_WAITS)
		end_waiting(core, thread, result);
}

/* native.resume(thread, ...): in the next turn. False when that thread does not wait. */
int l_resume(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	luaL_checktype(L, 1, LUA_TTHREAD);
	struct thread *thread = NULL;
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &waiting_key) == LUA_TTABLE) {
		lua_pushvalue(L, 1);
		lua_rawget(L, -2);
		thread = lua_touserdata(L, -1);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	if (thread == NULL || thread->resume_ref != LUA_NOREF) {
		lua_pushboolean(L, false);
		return 1;
	}
	int n = lua_gettop(L) - 1;
	lua_createtable(L, n, 0);
	for (int i = 1; i <= n; i++) {
		lua_pushvalue(L, i + 1);
		lua_rawseti(L, -2, i);
	}
	thread->resume_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	if (loop_held_by(core->server->loop) > thread->held)
		thread->held = loop_held_by(core->server->loop);
	loop_defer(core->server->loop, resume_now, thread);
	lua_pushboolean(L, true);
	return 1;
}

void barrier_forget_waiting(struct lua_core *core)
{
	lua_State *L = core->L;
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &waiting_key) == LUA_TTABLE) {
		for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
			mem_free(lua_touserdata(L, -1));
		lua_pushnil(L);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &waiting_key);
	}
	lua_pop(L, 1);
}

/* ---- the watchdog ---- */

static struct lua_core *watched; /* a signal handler has no other way to its subject */
static uint64_t watched_serial;
static int watched_ticks;

/* Counts processor time, so an idle server is not woken. */
static void on_tick(int signum)
{
	(void)signum;
	if (watched == NULL || watched->running == NULL || watched->call_serial != watched_serial) {
		watched_serial = watched != NULL ? watched->call_serial : 0;
		watched_ticks = 0;
		return;
	}
	if (++watched_ticks >= WATCHDOG_TICKS) /* again at every tick: code may have changed coroutines in between */
		stop_call(watched, TOO_LONG);
}

void barrier_start_watchdog(struct lua_core *core)
{
	watched = core;
	struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
	sigemptyset(&action.sa_mask);
	sigaction(SIGVTALRM, &action, NULL);
	struct itimerval every = { { 0, WATCHDOG_MS * 1000 }, { 0, WATCHDOG_MS * 1000 } };
	setitimer(ITIMER_VIRTUAL, &every, NULL);
}

/* ---- coroutines of modules ---- */

/* Runs co with the n values on top of L. How many results it left on L, or -1 with the error there. */
static int run_coroutine(lua_State *L, lua_State *co, int n)
{
	struct lua_core *core = lua_touserdata(L, lua_upvalueindex(1));
	int n_results = 0;
	if (!lua_checkstack(co, n)) {
		lua_pushliteral(L, "too many arguments to resume");
		return -1;
	}
	lua_xmove(L, co, n);
	int status = resume(core, co, n, &n_results);
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_xmove(co, L, 1);
		return -1;
	}
	if (!lua_checkstack(L, n_results + 1)) {
		lua_pop(co, n_results);
		lua_pushliteral(L, "too many results to resume");
		return -1;
	}
	lua_xmove(co, L, n_results);
	return n_results;
}

static int l_coroutine_resume(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);
	luaL_argexpected(L, co != NULL, 1, "coroutine");
	int n = run_coroutine(L, co, lua_gettop(L) - 1);
	lua_pushboolean(L, n >= 0);
	n = n < 0 ? 1 : n;
	lua_insert(L, -n - 1);
	return n + 1;
}

/* The function that coroutine.wrap gives: upvalue 2 is the coroutine. */
static int l_wrapped(lua_State *L)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(2));
	int n = run_coroutine(L, co, lua_gettop(L));
	if (n >= 0)
		return n;
	int status = lua_status(co);
	if (status != LUA_OK && status != LUA_YIELD) { /* it died: what it meant to close has the last word */
		status = lua_resetthread(co);
		lua_xmove(co, L, 1);
	}
	if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int l_coroutine_wrap(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_State *co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, -2);
	lua_pushcclosure(L, l_wrapped, 2);
	return 1;
}

void l_open_coroutines(lua_State *L)
{
	lua_getglobal(L, "coroutine");
	lua_pushlightuserdata(L, lua_core_of(L));
	lua_pushcclosure(L, l_coroutine_resume, 1);
	lua_setfield(L, -2, "resume");
	lua_pushlightuserdata(L, lua_core_of(L));
	lua_pushcclosure(L, l_coroutine_wrap, 1);
	lua_setfield(L, -2, "wrap");
	lua_pop(L, 1);
}
