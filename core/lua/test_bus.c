/* T.bus: a bus whose hooks are scripts of results, so that a spec can see the order and what a firing does when hooks
 * change on the way. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "bus/bus.h"
#include "lua/bind.h"
#include "lua/test.h"

/* One hook of a test: writes its name to the trace and gives its result; may remove another hook first. */
struct test_hook {
	struct test_bus *owner;
	struct hook *hook;
	char name[16];
	enum bus_result result;
	int removes; /* index of the hook it removes when it runs, -1: none */
	int adds;    /* does it add a hook named "new" when it runs? */
};

struct test_bus {
	struct bus *bus;
	struct firing firing;
	struct test_hook *hooks[32];
	int n_hooks, n_released;
	char trace[256];
};

static struct test_bus *self(lua_State *L) { return luaL_checkudata(L, 1, "T.bus"); }

static void release(void *ctx)
{
	struct test_hook *hook = ctx;
	hook->owner->n_released++;
}

static enum bus_result run(void *ctx, struct firing *firing)
{
	struct test_hook *hook = ctx;
	struct test_bus *bus = hook->owner;
	size_t used = strlen(bus->trace);
	snprintf(bus->trace + used, sizeof(bus->trace) - used, "%s ", hook->name);
	if (hook->removes >= 0)
		hook_remove(&bus->hooks[hook->removes]->hook);
	if (hook->adds != 0) {
		struct test_hook *new = mem_new(sizeof(*new));
		*new = (struct test_hook){ .owner = bus, .name = "new", .removes = -1 };
		new->hook = event_hook(firing->event, -100, run, new, release);
		bus->hooks[bus->n_hooks++] = new;
	}
	return hook->result;
}

static int l_new(lua_State *L)
{
	struct test_bus *bus = lua_newuserdatauv(L, sizeof(*bus), 0);
	*bus = (struct test_bus){ .bus = bus_new() };
	luaL_setmetatable(L, "T.bus");
	return 1;
}

/* bus:hook(event, name, priority, result, removes, adds) -> index */
static int l_hook(lua_State *L)
{
	static const char *const results[] = { "pass", "handled", "failed", "wait", "descend", NULL };
	struct test_bus *bus = self(L);
	struct test_hook *hook = mem_new(sizeof(*hook));
	hook->owner = bus;
	snprintf(hook->name, sizeof(hook->name), "%s", luaL_checkstring(L, 3));
	hook->result = (enum bus_result)luaL_checkoption(L, 5, "pass", results);
	hook->removes = (int)luaL_optinteger(L, 6, -1);
	hook->adds = lua_toboolean(L, 7);
	hook->hook = bus_hook(bus->bus, slice_of_str(luaL_checkstring(L, 2)), luaL_checknumber(L, 4), run, hook, release);
	bus->hooks[bus->n_hooks] = hook;
	lua_pushinteger(L, bus->n_hooks++);
	return 1;
}

static int l_remove(lua_State *L)
{
	struct test_bus *bus = self(L);
	hook_remove(&bus->hooks[luaL_checkinteger(L, 2)]->hook);
	return 0;
}

static int push_result(lua_State *L, struct test_bus *bus, enum bus_result result)
{
	static const char *const names[] = { "pass", "handled", "failed", "wait", "descend" };
	lua_pushstring(L, names[result]);
	lua_pushstring(L, bus->trace);
	bus->trace[0] = '\0';
	return 2;
}

/* bus:fire(event) -> result, trace */
static int l_fire(lua_State *L)
{
	struct test_bus *bus = self(L);
	struct event *event = bus_find(bus->bus, slice_of_str(luaL_checkstring(L, 2)));
	return push_result(L, bus, bus_fire(&bus->firing, event, bus));
}

/* bus:go_on(result) -> result, trace: after "wait" */
static int l_go_on(lua_State *L)
{
	static const char *const results[] = { "pass", "handled", "failed", NULL };
	struct test_bus *bus = self(L);
	enum bus_result with = (enum bus_result)luaL_checkoption(L, 2, "pass", results);
	return push_result(L, bus, bus_continue(&bus->firing, with));
}

static int l_released(lua_State *L)
{
	lua_pushinteger(L, self(L)->n_released);
	return 1;
}

static int l_count(lua_State *L)
{
	struct test_bus *bus = self(L);
	lua_pushinteger(L, event_n_hooks(bus_find(bus->bus, slice_of_str(luaL_checkstring(L, 2)))));
	return 1;
}

/* bus:keep(event): names it as the core does, for the life of the bus. */
static int l_keep(lua_State *L)
{
	bus_event(self(L)->bus, slice_of_str(luaL_checkstring(L, 2)));
	return 0;
}

/* bus:knows(event): is there such an event? */
static int l_knows(lua_State *L)
{
	lua_pushboolean(L, bus_find(self(L)->bus, slice_of_str(luaL_checkstring(L, 2))) != NULL);
	return 1;
}

/* bus:fill(event, n): hooks it n times with nothing; how many of them were taken. */
static enum bus_result pass(void *ctx, struct firing *firing)
{
	(void)ctx;
	(void)firing;
	return BUS_PASS;
}

static int l_fill(lua_State *L)
{
	struct test_bus *bus = self(L);
	lua_Integer taken = 0, n = luaL_checkinteger(L, 3);
	for (lua_Integer i = 0; i < n; i++)
		taken += bus_hook(bus->bus, slice_of_str(luaL_checkstring(L, 2)), 0, pass, NULL, NULL) != NULL;
	lua_pushinteger(L, taken);
	return 1;
}

static int l_free(lua_State *L)
{
	struct test_bus *bus = self(L);
	bus_free(&bus->bus);
	for (int i = 0; i < bus->n_hooks; i++)
		mem_free(bus->hooks[i]);
	bus->n_hooks = 0;
	return 0;
}

void l_test_bus(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "hook", l_hook },   { "remove", l_remove },     { "fire", l_fire }, { "go_on", l_go_on },
		{ "count", l_count }, { "released", l_released }, { "free", l_free },   { "keep", l_keep },
		{ "knows", l_knows }, { "fill", l_fill },         { NULL, NULL },
	};
	l_new_type(L, "T.bus", methods, l_free);
	lua_pushcfunction(L, l_new);
	lua_setfield(L, -2, "new_bus");
}
