/* The one way from C into Lua. See barrier.h for its use.
 *
 * Always true: a thread on the free list has an empty stack and no error state; a waiting thread is anchored in the
 * registry and in the table of waiting threads, and belongs to nobody's C stack. */
#include "lua/barrier.h"

#include <assert.h>
#include <lauxlib.h>
#include <signal.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lua/core.h"
#include "net/loop.h"

enum { THREADS_KEPT = 64, SLOW_MS = 200, WATCHDOG_MS = 500, WATCHDOG_TICKS = 10 };

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
	thread->dispatch = NULL;
	return thread;
}

static void drop(struct lua_core *core, struct thread *thread)
{
	luaL_unref(core->L, LUA_REGISTRYINDEX, thread->ref);
	mem_free(thread);
}

void barrier_end(struct lua_core *core, struct thread *thread)
{
	if (core->n_free_threads >= THREADS_KEPT) {
		drop(core, thread);
		return;
	}
	lua_settop(thread->L, 0);
	list_add_last(&core->free_threads, &thread->link);
	core->n_free_threads++;
}

static void remember_waiting(struct lua_core *core, struct thread *thread, bool is_waiting)
{
	lua_State *L = core->L;
	thread->is_waiting = is_waiting;
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

static void report(struct thread *thread)
{
	lua_State *L = thread->L;
	const char *message = lua_tostring(L, -1);
	if (message == NULL)
		message = luaL_tolstring(L, -1, NULL);
	luaL_traceback(L, L, message, 0);
	log_error(thread->name, "%s", lua_tostring(L, -1));
}

enum barrier_result barrier_run(struct lua_core *core, struct thread *thread, int n_args)
{
	const char *outer = core->running;
	int64_t started_ms = clock_ms();
	int n_results = 0, height = lua_gettop(core->L);
	core->running = thread->name;
	if (outer == NULL)
		core->call_serial++;
	lua_State *outer_thread = core->innermost;
	core->innermost = thread->L;
	int status = lua_resume(thread->L, core->L, n_args, &n_results);
	core->innermost = outer_thread;
	core->running = outer;
	assert(lua_gettop(core->L) == height);
	int64_t took_ms = clock_ms() - started_ms;
	if (took_ms > SLOW_MS && outer == NULL)
		log_warn(thread->name, "blocked the server for %d ms; long work belongs in a timer or a worker",
			 (int)took_ms);
	if (status == LUA_YIELD) {
		lua_pop(thread->L, n_results);
		remember_waiting(core, thread, true);
		return BARRIER_WAITS;
	}
	if (status == LUA_OK) {
		/* Only the results are left on the stack of a thread that has returned. */
		return BARRIER_OK;
	}
	report(thread);
	lua_resetthread(thread->L);
	return BARRIER_FAILED;
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
	if (!lua_isyieldable(L))
		return luaL_error(L, "cannot wait here: not inside a hook or timer");
	return lua_yield(L, 0);
}

/* The thread's call has ended or waits again: its dispatch goes on. */
static void continue_dispatch(struct lua_core *core, struct thread *thread, enum barrier_result result)
{
	struct dispatch *dispatch = thread->dispatch;
	enum bus_result answer = BUS_FAILED;
	if (result == BARRIER_OK)
		answer = lua_gettop(thread->L) == 0 || lua_isnil(thread->L, 1) ? BUS_PASS : BUS_HANDLED;
	barrier_end(core, thread);
	if (dispatch != NULL)
		router_resume(dispatch, answer);
}

static void resume_now(void *ctx)
{
	struct thread *thread = ctx;
	struct lua_core *core = lua_core_of(thread->L);
	int ref = thread->resume_ref;
	thread->resume_ref = LUA_NOREF;
	remember_waiting(core, thread, false);
	lua_rawgeti(thread->L, LUA_REGISTRYINDEX, ref);
	luaL_unref(core->L, LUA_REGISTRYINDEX, ref);
	int table = lua_gettop(thread->L), n = (int)lua_rawlen(thread->L, table);
	luaL_checkstack(thread->L, n + 4, NULL);
	for (int i = 1; i <= n; i++)
		lua_rawgeti(thread->L, table, i);
	lua_remove(thread->L, table);
	enum barrier_result result = barrier_run(core, thread, n);
	if (result != BARRIER_WAITS)
		continue_dispatch(core, thread, result);
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

static void kill_call(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	luaL_error(L, "interrupted: ran for more than %d s without giving the server back",
		   WATCHDOG_MS * WATCHDOG_TICKS / 1000);
}

/* Async-signal-safe: lua_sethook is the one call Lua allows here. Counts CPU time, so an idle server is not woken. */
static void on_tick(int signum)
{
	(void)signum;
	if (watched == NULL || watched->running == NULL || watched->call_serial != watched_serial) {
		watched_serial = watched != NULL ? watched->call_serial : 0;
		watched_ticks = 0;
		return;
	}
	if (++watched_ticks == WATCHDOG_TICKS && watched->innermost != NULL)
		lua_sethook(watched->innermost, kill_call, LUA_MASKCOUNT | LUA_MASKCALL | LUA_MASKLINE, 1);
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
