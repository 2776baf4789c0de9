/* Events objects: a bus of C with Prosody's util.events methods (add_handler, remove_handler, fire_event, ...), and
 * the hook that carries an event of the core into Lua. One {origin, stanza} table serves all handlers of a firing and
 * is made only when the first Lua handler runs. */
#include <assert.h>
#include <lauxlib.h>
#include <math.h>

#include "base/log.h"
#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/core.h"
#include "lua/lua_stanza.h"
#include "xml/stanza.h"
#include "xmpp/host.h"
#include "xmpp/session.h"

/* Userdata behind an events table: { bus }. User values: 1 handlers by event (cache of arrays for fire_event), 2
 * wrappers by event (arrays of functions). */
#define BUS_TYPE "couplet.bus"
enum { UV_HANDLERS = 1, UV_WRAPPERS = 2 };

struct lua_bus {
	struct bus *bus;
};

struct lua_hook {
	struct lua_core *core;
	int fn_ref;
};

/* ---- C events to Lua handlers ---- */

/* route/remote also says from which host of ours to which other domain; the table may have been made for an earlier
 * event of the same dispatch. */
static void l_add_route(lua_State *L, const struct dispatch *dispatch)
{
	if (dispatch->depth == 0 || dispatch->firings[dispatch->depth - 1].event != dispatch->host->route_remote)
		return;
	l_push_slice(L, host_name(dispatch->host));
	lua_setfield(L, -2, "from_host");
	l_push_slice(L, dispatch->env.to.host);
	lua_setfield(L, -2, "to_host");
}

static void l_push_dispatch(lua_State *L, struct dispatch *dispatch)
{
	if (dispatch->lua != NULL) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, (int)(intptr_t)dispatch->lua);
		l_add_route(L, dispatch);
		return;
	}
	lua_createtable(L, 0, 4);
	l_push_session(L, dispatch->env.origin);
	lua_setfield(L, -2, "origin");
	l_push_stanza_pinned(L, dispatch->env.stanza);
	lua_setfield(L, -2, "stanza");
	if (dispatch->env.is_to_self) {
		lua_pushboolean(L, true);
		lua_setfield(L, -2, "to_self");
	}
	l_add_route(L, dispatch);
	lua_pushvalue(L, -1);
	dispatch->lua = (void *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
}

static void l_push_session_event(lua_State *L, struct session_event *event)
{
	if (event->lua != NULL) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, (int)(intptr_t)event->lua);
		return;
	}
	lua_createtable(L, 0, 4);
	l_push_session(L, event->session);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "session");
	lua_setfield(L, -2, "origin");
	if (event->features != NULL) {
		l_push_stanza_pinned(L, event->features);
		lua_setfield(L, -2, "features");
	}
	if (event->stanza != NULL) {
		l_push_stanza(L, &event->stanza);
		lua_setfield(L, -2, "stanza");
	}
	if (event->error != NULL) {
		lua_pushstring(L, event->error);
		lua_setfield(L, -2, "error");
	}
	lua_pushvalue(L, -1);
	event->lua = (void *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
}

/* The event is over: its table goes, and a stanza that Lua has seen is Lua's from now on. */
static void event_ended(struct server *server, void *data)
{
	struct lua_core *core = server->lua;
	struct dispatch *dispatch = data;
	struct session_event *event = data;
	bool is_dispatch = *(enum data_kind *)data == DATA_DISPATCH;
	void **table = is_dispatch ? &dispatch->lua : &event->lua;
	struct stanza **stanza = is_dispatch ? &dispatch->env.stanza : &event->features;
	luaL_unref(core->L, LUA_REGISTRYINDEX, (int)(intptr_t)*table);
	*table = NULL;
	if (*stanza != NULL) {
		l_stanza_unpin(core->L, *stanza, true);
		*stanza = NULL;
	}
}

static const char *hook_name(const struct firing *firing)
{
	return firing->event != NULL ? event_name(firing->event).ptr : "event";
}

/* Pushes the event's table: what all its handlers are given. */
static void push_event(lua_State *L, const struct firing *firing)
{
	if (*(enum data_kind *)firing->data == DATA_DISPATCH)
		l_push_dispatch(L, firing->data);
	else
		l_push_session_event(L, firing->data);
}

/* Runs the function on the thread, with n_args arguments, as a hook of the firing. */
static enum bus_result run_as_hook(struct lua_core *core, struct thread *thread, int n_args, struct firing *firing)
{
	enum barrier_result ran = barrier_run(core, thread, n_args);
	if (ran == BARRIER_WAITS) {
		if (*(enum data_kind *)firing->data == DATA_DISPATCH)
			((struct dispatch *)firing->data)->waiter = thread;
		else
			((struct session_event *)firing->data)->waiter = thread;
		return BUS_WAIT;
	}
	enum bus_result result = BUS_FAILED;
	if (ran == BARRIER_OK)
		result = lua_gettop(thread->L) == 0 || lua_isnil(thread->L, 1) ? BUS_PASS : BUS_HANDLED;
	barrier_end(core, thread);
	return result;
}

static enum bus_result run_hook(void *ctx, struct firing *firing)
{
	struct lua_hook *hook = ctx;
	struct thread *thread = barrier_begin(hook->core, hook_name(firing));
	lua_rawgeti(thread->L, LUA_REGISTRYINDEX, hook->fn_ref);
	push_event(thread->L, firing);
	return run_as_hook(hook->core, thread, 1, firing);
}

static void release_hook(void *ctx)
{
	struct lua_hook *hook = ctx;
	luaL_unref(hook->core->L, LUA_REGISTRYINDEX, hook->fn_ref);
	mem_free(hook);
}

static void parked(void *waiter, go_on_fn *go_on, void *ctx)
{
	struct thread *thread = waiter;
	thread->go_on = go_on;
	thread->go_on_ctx = ctx;
}

void lua_events_install(struct lua_core *core)
{
	core->server->ops.parked = parked;
	core->server->ops.event_ended = event_ended;
}

/* ---- native hooks as Lua functions ---- */

static int l_call_native(lua_State *L);

/* The C hook behind a function value, NULL when it is an ordinary function. */
static hook_fn *native_hook_of(lua_State *L, int index)
{
	if (lua_tocfunction(L, index) != l_call_native)
		return NULL;
	lua_getupvalue(L, index, 1);
	hook_fn *fn = router_native_hook(l_to_slice(L, -1));
	lua_pop(L, 1);
	return fn;
}

/* hook(event): for the rare Lua code that fires such an event by hand. */
static int l_call_native(lua_State *L)
{
	hook_fn *fn = router_native_hook(l_to_slice(L, lua_upvalueindex(1)));
	lua_getfield(L, 1, "origin");
	struct session *origin = l_check_session(L, -1);
	lua_getfield(L, 1, "stanza");
	struct el root;
	struct stanza *stanza = l_check_stanza(L, -1, &root);
	struct stanza *copy = stanza_clone(stanza, root);
	if (router_call_hook(origin, &copy, fn) == BUS_PASS)
		return 0;
	lua_pushboolean(L, true);
	return 1;
}

/* ---- the methods ---- */

struct bus *l_check_bus(lua_State *L, int index)
{
	luaL_checktype(L, index, LUA_TTABLE);
	lua_getfield(L, index, "_bus");
	struct lua_bus *bus = luaL_checkudata(L, -1, BUS_TYPE);
	lua_pop(L, 1);
	return bus->bus;
}

static struct lua_bus *upvalue_bus(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

static void forget_cached(lua_State *L, int name_index)
{
	lua_getiuservalue(L, lua_upvalueindex(1), UV_HANDLERS);
	lua_pushvalue(L, name_index);
	lua_pushnil(L);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

static void l_add(lua_State *L, int name_index, int fn_index, double priority)
{
	struct lua_core *core = lua_core_of(L);
	struct bus *bus = upvalue_bus(L)->bus;
	struct slice name = l_to_slice(L, name_index);
	hook_fn *native = native_hook_of(L, fn_index);
	forget_cached(L, name_index);
	struct hook *added;
	if (native != NULL) {
		added = bus_hook(bus, name, priority, native, NULL, NULL);
	} else {
		lua_pushvalue(L, fn_index);
		int ref = luaL_ref(L, LUA_REGISTRYINDEX);
		struct lua_hook *hook = mem_new(sizeof(*hook));
		*hook = (struct lua_hook){ core, ref };
		added = bus_hook(bus, name, priority, run_hook, hook, release_hook);
		if (added == NULL)
			release_hook(hook);
	}
	if (added == NULL)
		luaL_error(L, "'%s' cannot be hooked: too many hooks, or too many events", name.ptr);
}

static int l_add_handler(lua_State *L)
{
	luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	l_add(L, 1, 2, luaL_optnumber(L, 3, 0));
	return 0;
}

static bool is_hook_of(lua_State *L, const struct hook *hook, int fn_index, hook_fn *native)
{
	if (native != NULL)
		return hook_function(hook) == native;
	if (hook_function(hook) != run_hook)
		return false;
	struct lua_hook *lua_hook = hook_ctx(hook);
	lua_rawgeti(L, LUA_REGISTRYINDEX, lua_hook->fn_ref);
	bool is_same = lua_rawequal(L, -1, fn_index);
	lua_pop(L, 1);
	return is_same;
}

static void l_remove(lua_State *L, int name_index, int fn_index)
{
	struct event *event = bus_find(upvalue_bus(L)->bus, l_to_slice(L, name_index));
	hook_fn *native = native_hook_of(L, fn_index);
	uint32_t at = 0;
	struct hook *hook;
	while (event != NULL && (hook = event_next_hook(event, &at)) != NULL) {
		if (is_hook_of(L, hook, fn_index, native)) {
			hook_remove(&hook);
			forget_cached(L, name_index);
			return;
		}
	}
}

static int l_remove_handler(lua_State *L)
{
	luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	l_remove(L, 1, 2);
	return 0;
}

/* add_handlers { event = fn, ... } and its opposite. */
static int l_add_handlers(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1))
		l_add(L, lua_gettop(L) - 1, lua_gettop(L), 0);
	return 0;
}

static int l_remove_handlers(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1))
		l_remove(L, lua_gettop(L) - 1, lua_gettop(L));
	return 0;
}

static enum bus_result run_wrapped(void *ctx, struct firing *firing);

/* Pushes the Lua function of a hook. */
static void l_push_hook(lua_State *L, const struct hook *hook)
{
	if (hook_function(hook) == run_hook) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, ((struct lua_hook *)hook_ctx(hook))->fn_ref);
		return;
	}
	const char *name;
	for (uint32_t i = 0; (name = router_native_hook_name(i)) != NULL; i++) {
		if (router_native_hook(slice_of_str(name)) == hook_function(hook)) {
			lua_pushstring(L, name);
			lua_pushcclosure(L, l_call_native, 1);
			return;
		}
	}
	lua_pushnil(L);
}

/* handlers(name): array of functions in order, or nil. Kept until the event's hooks change. */
static int l_handlers(lua_State *L)
{
	lua_settop(L, 1);
	lua_getiuservalue(L, lua_upvalueindex(1), UV_HANDLERS);
	lua_pushvalue(L, 1);
	if (lua_rawget(L, 2) == LUA_TTABLE)
		return 1;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	struct event *event = bus_find(upvalue_bus(L)->bus, slice_of(text, len));
	if (event_n_hooks(event) == 0)
		return 0;
	lua_createtable(L, (int)event_n_hooks(event), 0);
	uint32_t at = 0;
	lua_Integer n = 0;
	struct hook *hook;
	while ((hook = event_next_hook(event, &at)) != NULL) {
		if (hook_function(hook) == run_wrapped)
			continue;
		l_push_hook(L, hook);
		lua_rawseti(L, -2, ++n);
	}
	lua_pushvalue(L, 1);
	lua_pushvalue(L, -2);
	lua_rawset(L, 2);
	return 1;
}

/* names(): array of the events that have hooks. */
static int l_names(lua_State *L)
{
	lua_newtable(L);
	uint32_t at = 0;
	lua_Integer n = 0;
	struct event *event;
	while ((event = bus_next_event(upvalue_bus(L)->bus, &at)) != NULL) {
		if (event_n_hooks(event) == 0)
			continue;
		l_push_slice(L, event_name(event));
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* ---- wrappers: Lua code around a whole firing ---- */

struct wrapped {
	struct lua_core *core;
	int fire_ref; /* events.fire_event */
};

/* Stands before all other hooks of a wrapped event and does the firing in Lua, wrappers included. */
static enum bus_result run_wrapped(void *ctx, struct firing *firing)
{
	struct wrapped *wrapped = ctx;
	struct thread *thread = barrier_begin(wrapped->core, hook_name(firing));
	lua_rawgeti(thread->L, LUA_REGISTRYINDEX, wrapped->fire_ref);
	l_push_slice(thread->L, event_name(firing->event));
	push_event(thread->L, firing);
	firing->next = UINT32_MAX; /* the others have been run by fire_event */
	return run_as_hook(wrapped->core, thread, 2, firing);
}

static void release_wrapped(void *ctx)
{
	struct wrapped *wrapped = ctx;
	luaL_unref(wrapped->core->L, LUA_REGISTRYINDEX, wrapped->fire_ref);
	mem_free(wrapped);
}

/* set_wrapped(name, fire_event | nil): puts the C side of a wrapped event in place or takes it away. */
static int l_set_wrapped(lua_State *L)
{
	struct slice name = l_to_slice(L, 1);
	luaL_argcheck(L, name.ptr != NULL, 1, "event name expected");
	struct event *event = bus_find(upvalue_bus(L)->bus, name);
	uint32_t at = 0;
	struct hook *hook;
	while (event != NULL && (hook = event_next_hook(event, &at)) != NULL) {
		if (hook_function(hook) == run_wrapped) {
			hook_remove(&hook);
			break;
		}
	}
	forget_cached(L, 1);
	if (lua_isnoneornil(L, 2))
		return 0;
	lua_pushvalue(L, 2);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	struct wrapped *wrapped = mem_new(sizeof(*wrapped));
	*wrapped = (struct wrapped){ lua_core_of(L), ref };
	if (bus_hook(upvalue_bus(L)->bus, name, HUGE_VAL, run_wrapped, wrapped, release_wrapped) == NULL) {
		release_wrapped(wrapped);
		return luaL_error(L, "'%s' cannot be wrapped: too many hooks, or too many events", name.ptr);
	}
	return 0;
}

static int l_bus_gc(lua_State *L)
{
	struct lua_bus *bus = luaL_checkudata(L, 1, BUS_TYPE);
	bus_free(&bus->bus);
	return 0;
}

/* The part of an events object that is better said in Lua: firing, so that handlers may wait, wrappers, and the debug
 * hook, which is called in the place of each handler. While there is one, all events that have hooks fire in Lua. */
static const char events_lua[] =
	"local events, handlers, set_wrapped = ...\n"
	"local wrappers, debug_hook = {}, nil\n"
	"local function run(name, data)\n"
	"	local list = handlers(name)\n"
	"	if not list then return end\n"
	"	for i = 1, #list do\n"
	"		local result\n"
	"		if debug_hook then result = debug_hook(list[i], name, data) else result = list[i](data) end\n"
	"		if result ~= nil then return result end\n"
	"	end\n"
	"end\n"
	"local function fire_wrapped(list, i, name, data)\n"
	"	if i == 0 then return run(name, data) end\n"
	"	return list[i](function (n, d) return fire_wrapped(list, i - 1, n, d) end, name, data)\n"
	"end\n"
	"function events.fire_event(name, data)\n"
	"	local list = wrappers[name]\n"
	"	if list then return fire_wrapped(list, #list, name, data) end\n"
	"	return run(name, data)\n"
	"end\n"
	"function events.add_wrapper(name, wrapper)\n"
	"	local list = wrappers[name]\n"
	"	if not list then list = {}; wrappers[name] = list; set_wrapped(name, events.fire_event) end\n"
	"	list[#list + 1] = wrapper\n"
	"end\n"
	"function events.remove_wrapper(name, wrapper)\n"
	"	local list = wrappers[name]\n"
	"	for i = #(list or {}), 1, -1 do\n"
	"		if list[i] == wrapper then table.remove(list, i) end\n"
	"	end\n"
	"	if list and #list == 0 then wrappers[name] = nil; set_wrapped(name, debug_hook and events.fire_event) end\n"
	"end\n"
	"events.wrappers = { add_handler = events.add_wrapper, remove_handler = events.remove_wrapper }\n"
	"function events.get_mappings()\n"
	"	local all = {}\n"
	"	for _, name in ipairs(events.get_names()) do all[name] = handlers(name) end\n"
	"	return all\n"
	"end\n"
	"function events.set_debug_hook(hook)\n"
	"	local before = debug_hook\n"
	"	debug_hook = hook\n"
	"	for _, name in ipairs(events.get_names()) do\n"
	"		if not wrappers[name] then set_wrapped(name, hook and events.fire_event) end\n"
	"	end\n"
	"	return before\n"
	"end\n";

/* native.events() */
static int l_new_events(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "add_handler", l_add_handler },       { "remove_handler", l_remove_handler },
		{ "add_handlers", l_add_handlers },     { "remove_handlers", l_remove_handlers },
		{ "get_handlers", l_handlers },         { "get_names", l_names },
		{ "set_wrapped", l_set_wrapped },       { NULL, NULL },
	};
	struct lua_bus *bus = lua_newuserdatauv(L, sizeof(*bus), 2);
	bus->bus = NULL;
	luaL_setmetatable(L, BUS_TYPE);
	lua_newtable(L);
	lua_setiuservalue(L, -2, UV_HANDLERS);
	bus->bus = bus_new();
	int bus_index = lua_gettop(L);
	lua_newtable(L);
	lua_pushvalue(L, bus_index);
	lua_setfield(L, -2, "_bus");
	lua_pushvalue(L, bus_index);
	luaL_setfuncs(L, methods, 1);
	if (luaL_loadbufferx(L, events_lua, sizeof(events_lua) - 1, "=events", "t") != LUA_OK)
		return lua_error(L);
	lua_pushvalue(L, -2);
	lua_getfield(L, -1, "get_handlers");
	lua_getfield(L, -2, "set_wrapped");
	lua_call(L, 3, 0);
	return 1;
}

void l_add_events(lua_State *L)
{
	luaL_newmetatable(L, BUS_TYPE);
	lua_pushcfunction(L, l_bus_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	lua_pushcfunction(L, l_new_events);
	lua_setfield(L, -2, "events");
	lua_newtable(L);
	const char *name;
	for (uint32_t i = 0; (name = router_native_hook_name(i)) != NULL; i++) {
		lua_pushstring(L, name);
		lua_pushcclosure(L, l_call_native, 1);
		lua_setfield(L, -2, name);
	}
	lua_setfield(L, -2, "hooks");
}
