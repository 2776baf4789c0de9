/* Time, signals, waiting and the log, for Lua. */
#include <lauxlib.h>
#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/bind.h"
#include "lua/call.h"
#include "lua/core.h"
#include "net/loop.h"
#include "xml/stanza.h"
#include "xmpp/session.h"

#define TIMER_TYPE "couplet.timer"
#define WATCH_TYPE "couplet.watch"
#define SINK_TYPE "couplet.sink"

/* ---- timers ---- */

struct lua_timer {
	struct lua_core *core;
	struct timer *timer;
	int fn_ref;
	int self_ref; /* while it runs */
};

static void on_timer(void *ctx)
{
	struct lua_timer *timer = ctx;
	struct lua_core *core = timer->core;
	int self_ref = timer->self_ref;
	timer->self_ref = LUA_NOREF;
	lua_rawgeti(core->L, LUA_REGISTRYINDEX, self_ref); /* the function may start it again, or forget it */
	luaL_unref(core->L, LUA_REGISTRYINDEX, self_ref);
	barrier_call_ref(core, "timer", timer->fn_ref, 0);
	lua_pop(core->L, 1);
}

static void l_start(lua_State *L, struct lua_timer *timer, int index, lua_Number delay_s)
{
	if (timer->self_ref == LUA_NOREF) {
		lua_pushvalue(L, index);
		timer->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	double ms = delay_s > 0 ? delay_s * 1000 : 0;
	timer_start(timer->timer, ms > 1e15 ? (int64_t)1e15 : (int64_t)ms);
}

/* native.timer(delay_seconds, fn) */
static int l_timer(lua_State *L)
{
	lua_Number delay_s = luaL_checknumber(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct lua_core *core = lua_core_of(L);
	struct lua_timer *timer = lua_newuserdatauv(L, sizeof(*timer), 0);
	*timer = (struct lua_timer){ .core = core, .fn_ref = LUA_NOREF, .self_ref = LUA_NOREF };
	luaL_setmetatable(L, TIMER_TYPE);
	lua_pushvalue(L, 2);
	timer->fn_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	timer->timer = timer_new(core->server->loop, on_timer, timer);
	l_start(L, timer, lua_gettop(L), delay_s);
	return 1;
}

static int l_timer_stop(lua_State *L)
{
	struct lua_timer *timer = luaL_checkudata(L, 1, TIMER_TYPE);
	if (timer->timer == NULL)
		return 0;
	timer_stop(timer->timer);
	int ref = timer->self_ref;
	timer->self_ref = LUA_NOREF;
	luaL_unref(L, LUA_REGISTRYINDEX, ref);
	return 0;
}

static int l_timer_restart(lua_State *L)
{
	struct lua_timer *timer = luaL_checkudata(L, 1, TIMER_TYPE);
	l_start(L, timer, 1, luaL_checknumber(L, 2));
	return 0;
}

static int l_timer_gc(lua_State *L)
{
	struct lua_timer *timer = luaL_checkudata(L, 1, TIMER_TYPE);
	timer_free(&timer->timer);
	luaL_unref(L, LUA_REGISTRYINDEX, timer->fn_ref);
	timer->fn_ref = LUA_NOREF;
	return 0;
}

/* ---- file descriptors of others ---- */

struct lua_watch {
	struct lua_core *core;
	struct watch *watch;
	int read_ref, write_ref, self_ref;
};

static void on_watch(void *ctx, int events)
{
	struct lua_watch *watch = ctx;
	if ((events & WATCH_READ) != 0 && watch->read_ref != LUA_NOREF)
		barrier_call_ref(watch->core, "watch", watch->read_ref, 0);
	if ((events & WATCH_WRITE) != 0 && watch->write_ref != LUA_NOREF && watch->watch != NULL)
		barrier_call_ref(watch->core, "watch", watch->write_ref, 0);
}

/* native.watch(fd, on_readable | nil, on_writable | nil) -> watch; watch:close() */
static int l_watch(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	int fd = (int)luaL_checkinteger(L, 1);
	lua_settop(L, 3);
	struct lua_watch *watch = lua_newuserdatauv(L, sizeof(*watch), 0);
	*watch = (struct lua_watch){ core, NULL, LUA_NOREF, LUA_NOREF, LUA_NOREF };
	luaL_setmetatable(L, WATCH_TYPE);
	int events = 0;
	if (!lua_isnil(L, 2)) {
		lua_pushvalue(L, 2);
		watch->read_ref = luaL_ref(L, LUA_REGISTRYINDEX);
		events |= WATCH_READ;
	}
	if (!lua_isnil(L, 3)) {
		lua_pushvalue(L, 3);
		watch->write_ref = luaL_ref(L, LUA_REGISTRYINDEX);
		events |= WATCH_WRITE;
	}
	lua_pushvalue(L, -1);
	watch->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	watch->watch = watch_new(core->server->loop, fd, events, on_watch, watch);
	return 1;
}

static int l_watch_close(lua_State *L)
{
	struct lua_watch *watch = luaL_checkudata(L, 1, WATCH_TYPE);
	watch_free(&watch->watch);
	luaL_unref(L, LUA_REGISTRYINDEX, watch->read_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, watch->write_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, watch->self_ref);
	watch->read_ref = watch->write_ref = watch->self_ref = LUA_NOREF;
	return 0;
}

/* ---- signals, turns, the end ---- */

struct thread *lua_begin_call(struct lua_call *call)
{
	struct thread *thread = barrier_begin(call->core, call->name);
	lua_rawgeti(thread->L, LUA_REGISTRYINDEX, call->self_ref);
	lua_getiuservalue(thread->L, -1, 1);
	lua_remove(thread->L, -2);
	return thread;
}

static void run_call(void *ctx)
{
	struct lua_call *call = ctx;
	struct thread *thread = lua_begin_call(call);
	if (barrier_run(call->core, thread, 0) != BARRIER_WAITS)
		barrier_end(call->core, thread);
}

struct lua_call *l_keep_call(lua_State *L, int index, const char *name)
{
	luaL_checktype(L, index, LUA_TFUNCTION);
	struct lua_call *call = lua_newuserdatauv(L, sizeof(*call), 2);
	*call = (struct lua_call){ lua_core_of(L), name, LUA_NOREF };
	lua_pushvalue(L, index);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, -1);
	call->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return call;
}

void lua_forget_call(struct lua_call *call)
{
	luaL_unref(call->core->L, LUA_REGISTRYINDEX, call->self_ref);
}

/* native.on_signal("SIGHUP", fn) */
static int l_on_signal(lua_State *L)
{
	static const char *const names[] = { "SIGHUP", "SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", NULL };
	static const int numbers[] = { SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };
	int which = luaL_checkoption(L, 1, NULL, names);
	struct lua_call *call = l_keep_call(L, 2, names[which]);
	loop_on_signal(call->core->server->loop, numbers[which], run_call, call);
	return 0;
}

/* native.defer(fn): at the start of the next turn. */
static void run_once(void *ctx)
{
	struct lua_call *call = ctx;
	run_call(call);
	lua_forget_call(call);
}

static int l_defer(lua_State *L)
{
	struct lua_call *call = l_keep_call(L, 1, "deferred call");
	loop_defer(call->core->server->loop, run_once, call);
	return 0;
}

/* native.shutdown(exit_code): the loop ends with this turn. */
static int l_shutdown(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	core->exit_code = (int)luaL_optinteger(L, 1, 0);
	loop_stop(core->server->loop);
	return 0;
}

/* native.turn(may_wait): one turn of the loop, for coupletctl and specs; not from inside a hook. */
static int l_turn(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	loop_turn(core->server->loop, lua_toboolean(L, 1));
	return 0;
}

/* ---- log ---- */

static const char *const level_names[] = { "debug", "info", "warn", "error", NULL };

/* native.log(level, name, text) */
static int l_log(lua_State *L)
{
	int level = luaL_checkoption(L, 1, NULL, level_names);
	size_t len;
	const char *text = luaL_checklstring(L, 3, &len);
	log_text((enum log_level)level, luaL_checkstring(L, 2), slice_of(text, len));
	return 0;
}

static int l_log_wants(lua_State *L)
{
	lua_pushboolean(L, log_wants((enum log_level)luaL_checkoption(L, 1, NULL, level_names)));
	return 1;
}

static const char sinks_key; /* registry: table of struct lua_sink by id */

struct lua_sink { /* user value 1 is the function */
	struct lua_core *core;
	int id;
	bool is_busy; /* a sink that logs is not called for its own words */
};

static void lua_sink(void *ctx, enum log_level level, const char *name, const char *text)
{
	struct lua_sink *sink = ctx;
	if (sink->is_busy)
		return;
	sink->is_busy = true;
	struct thread *thread = barrier_begin(sink->core, "log sink");
	lua_State *L = thread->L;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &sinks_key);
	lua_rawgeti(L, 1, sink->id);
	lua_getiuservalue(L, 2, 1);
	lua_replace(L, 1);
	lua_settop(L, 1);
	lua_pushstring(L, name);
	lua_pushstring(L, level_names[level]);
	lua_pushstring(L, text);
	if (barrier_run(sink->core, thread, 3) != BARRIER_WAITS)
		barrier_end(sink->core, thread);
	sink->is_busy = false;
}

static int l_sink_gc(lua_State *L)
{
	struct lua_sink *sink = lua_touserdata(L, 1);
	log_sink_remove(sink->id);
	return 0;
}

/* A sink of the function on top of the stack, kept until it is removed. */
static int l_add_sink(lua_State *L, unsigned levels)
{
	struct lua_sink *sink = lua_newuserdatauv(L, sizeof(*sink), 1);
	*sink = (struct lua_sink){ .core = lua_core_of(L) };
	lua_pushvalue(L, -2);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, SINK_TYPE);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &sinks_key) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &sinks_key);
	}
	sink->id = log_sink_add(levels, lua_sink, sink);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, sink->id);
	return sink->id;
}

/* native.log_sink { to = "console" | "file" | "syslog" | function, levels = { debug = true, ... }, colours =, path =,
 * timestamps =, ident = } -> id | nil, error */
static int l_log_sink(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	unsigned levels = 0;
	lua_getfield(L, 1, "levels");
	for (int i = 0; level_names[i] != NULL; i++) {
		if (lua_istable(L, 2)) {
			lua_getfield(L, 2, level_names[i]);
			levels |= lua_toboolean(L, -1) ? 1u << i : 0;
			lua_pop(L, 1);
		}
	}
	lua_getfield(L, 1, "colours");
	lua_getfield(L, 1, "path");
	lua_getfield(L, 1, "timestamps");
	lua_getfield(L, 1, "ident");
	lua_getfield(L, 1, "to");
	struct error error = { "" };
	int id = -1;
	if (lua_isfunction(L, 7)) {
		id = l_add_sink(L, levels);
	} else {
		static const char *const kinds[] = { "console", "file", "syslog", NULL };
		int kind = luaL_checkoption(L, 7, "console", kinds);
		if (kind == 0)
			id = log_to_console(levels, lua_toboolean(L, 3));
		else if (kind == 1)
			id = log_to_file(levels, luaL_checkstring(L, 4), lua_isnil(L, 5) || lua_toboolean(L, 5), &error);
		else
			id = log_to_syslog(levels, luaL_optstring(L, 6, "couplet"));
	}
	if (id <= 0)
		return l_failed(L, &error);
	lua_pushinteger(L, id);
	return 1;
}

static int l_log_sink_remove(lua_State *L)
{
	int id = (int)luaL_checkinteger(L, 1);
	log_sink_remove(id);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &sinks_key) == LUA_TTABLE) {
		lua_pushnil(L);
		lua_rawseti(L, -2, id);
	}
	return 0;
}

static int l_log_reopen(lua_State *L)
{
	(void)L;
	log_reopen();
	return 0;
}

/* ---- facts and options ---- */

/* native.options { c2s_timeout =, ... } sets what is given (seconds, bytes). */
static int l_options(lua_State *L)
{
	struct server_options *options = &lua_core_of(L)->server->options;
	luaL_checktype(L, 1, LUA_TTABLE);
	const struct {
		const char *name;
		int64_t *ms;
		size_t *bytes;
		uint32_t *count;
	} known[] = {
		{ "c2s_timeout", &options->c2s_timeout_ms, NULL, NULL },
		{ "c2s_idle", &options->c2s_idle_ms, NULL, NULL },
		{ "c2s_close", &options->c2s_close_ms, NULL, NULL },
		{ "c2s_stanza_size", NULL, &options->c2s_stanza_bytes, NULL },
		{ "c2s_unauthed_stanza_size", NULL, &options->c2s_unauthed_stanza_bytes, NULL },
		{ "s2s_timeout", &options->s2s_timeout_ms, NULL, NULL },
		{ "s2s_idle", &options->s2s_idle_ms, NULL, NULL },
		{ "s2s_close", &options->s2s_close_ms, NULL, NULL },
		{ "sm_ask", &options->sm_ask_ms, NULL, NULL },
		{ "sm_answer", &options->sm_answer_ms, NULL, NULL },
		{ "s2s_sm_ask_stanzas", NULL, NULL, &options->s2s_sm.ask_stanzas },
		{ "s2s_sm_stanzas", NULL, NULL, &options->s2s_sm.max_stanzas },
		{ "s2s_sm_bytes", NULL, &options->s2s_sm.max_bytes, NULL },
		{ "c2s_sm_ask_stanzas", NULL, NULL, &options->c2s_sm.ask_stanzas },
		{ "c2s_sm_bytes", NULL, &options->c2s_sm.max_bytes, NULL },
		{ "c2s_sm_inactive_ask_stanzas", NULL, NULL, &options->c2s_sm_inactive.ask_stanzas },
		{ "c2s_sm_inactive_bytes", NULL, &options->c2s_sm_inactive.max_bytes, NULL },
		{ "c2s_sm_away_stanzas", NULL, NULL, &options->c2s_sm_away.max_stanzas },
		{ "c2s_sm_away_bytes", NULL, &options->c2s_sm_away.max_bytes, NULL },
		{ "c2s_sm_delay", &options->c2s_sm_delay_ms, NULL, NULL },
		{ "c2s_sm_answer", &options->c2s_sm_answer_ms, NULL, NULL },
		{ "s2s_stanza_size", NULL, &options->s2s_stanza_bytes, NULL },
		{ "resources_per_user", NULL, NULL, &options->resources_per_user },
		{ "wait_limit", &options->wait_limit_ms, NULL, NULL },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		lua_getfield(L, 1, known[i].name);
		lua_Number value = lua_tonumber(L, -1);
		if (lua_isnumber(L, -1) && value >= 0) {
			if (known[i].ms != NULL)
				*known[i].ms = value > 1e9 ? INT64_MAX / 4 : (int64_t)(value * 1000);
			else if (known[i].bytes != NULL)
				*known[i].bytes = (size_t)value;
			else if (known[i].count != NULL)
				*known[i].count = (uint32_t)value;
		}
		lua_pop(L, 1);
	}
	return 0;
}

void l_add_work(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "timer", l_timer },         { "watch", l_watch },         { "on_signal", l_on_signal },
		{ "defer", l_defer },         { "shutdown", l_shutdown },
		{ "turn", l_turn },           { "wait", l_wait },           { "resume", l_resume },
		{ "log", l_log },             { "log_wants", l_log_wants },
		{ "log_sink", l_log_sink },   { "log_sink_remove", l_log_sink_remove },
		{ "log_reopen", l_log_reopen }, { "options", l_options },
		{ NULL, NULL },
	};
	static const luaL_Reg timer_methods[] = {
		{ "stop", l_timer_stop },
		{ "restart", l_timer_restart },
		{ NULL, NULL },
	};
	static const luaL_Reg watch_methods[] = {
		{ "close", l_watch_close },
		{ NULL, NULL },
	};
	l_new_type(L, TIMER_TYPE, timer_methods, l_timer_gc);
	l_new_type(L, WATCH_TYPE, watch_methods, l_watch_close);
	l_new_type(L, SINK_TYPE, NULL, l_sink_gc);
	luaL_setfuncs(L, functions, 0);
}
