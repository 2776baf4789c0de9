/* The Lua state: made here, with the libraries modules count on, and a searcher that finds prosody.util.x and util.x in
 * modules/util/x.lua as one table. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/core.h"
#include "lua/libs.h"
#include "net/loop.h"
#include "net/worker.h"
#include "xml/parser.h"

static const char core_key; /* registry: struct lua_core */

struct lua_core *lua_core_of(lua_State *L)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key);
	struct lua_core *core = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return core;
}

static int l_open_native(lua_State *L)
{
	lua_newtable(L);
	l_add_events(L);
	l_add_sessions(L);
	l_add_views(L);
	l_add_conns(L);
	l_add_foreign(L);
	l_add_websockets(L);
	l_add_tls(L);
	l_add_router(L);
	l_add_s2s(L);
	l_add_sm(L);
	l_add_work(L);
	l_add_batches(L);
	l_add_counts(L);
	l_add_jobs(L);
	lua_pushliteral(L, COUPLET_VERSION);
	lua_setfield(L, -2, "version");
	return 1;
}

enum { QUIET_STEP_KIB = 2048 };

/* A piece of a collection cycle, while nobody waits for us. */
static bool collect_a_little(struct server *server)
{
	struct lua_core *core = server->lua;
	if (core->parser != NULL)
		parser_rest(core->parser);
	return lua_gc(core->L, LUA_GCSTEP, QUIET_STEP_KIB) != 0;
}

struct paths {
	const char *moduledir, *libdir;
};

/* A searcher in Lua says best what it does: both spellings give the same table. */
static const char searcher_lua[] =
	"local moduledir, libdir = ...\n"
	"package.path = moduledir..'/compat/?.lua;'..package.path\n"
	"package.cpath = libdir:match('^(.*)/[^/]*$')..'/?.so;'..package.cpath\n"
	"local function find(name)\n"
	"	local plain = name:match('^prosody%.(.+)$')\n"
	"	if plain then return function () return require(plain) end, plain end\n"
	"	local room = name:match('^(%l+)%.')\n"
	"	if room ~= 'util' and room ~= 'core' and room ~= 'net' and room ~= 'ctl' then return nil end\n"
	"	local path = moduledir..'/'..name:gsub('%.', '/')..'.lua'\n"
	"	local chunk, err = loadfile(path, 't')\n"
	"	if chunk then return chunk, path end\n"
	"	return '\\n\\t'..(err or path)\n"
	"end\n"
	"table.insert(package.searchers, 2, find)\n";

static int l_prepare(lua_State *L)
{
	struct paths *paths = lua_touserdata(L, 1);
	luaL_openlibs(L);
	l_open_coroutines(L);
	l_register_libs(L);
	luaL_requiref(L, "couplet.native", l_open_native, 0);
	lua_pop(L, 1);
	if (luaL_loadbufferx(L, searcher_lua, sizeof(searcher_lua) - 1, "=searcher", "t") != LUA_OK)
		return lua_error(L);
	lua_pushstring(L, paths->moduledir);
	lua_pushstring(L, paths->libdir);
	lua_call(L, 2, 0);
	return 0;
}

/* An error outside of any barrier call is ours; Lua ends the program after this. */
static int panic(lua_State *L)
{
	const char *text = lua_tostring(L, -1);
	log_error("lua", "an error nobody catches: %s", text != NULL ? text : "not a string");
	return 0;
}

struct lua_core *lua_core_new(struct server *server, const char *moduledir, const char *libdir, char **error_r)
{
	struct lua_core *core = mem_new(sizeof(*core));
	lua_State *L = lua_newstate(barrier_allocate, core); /* never NULL: the allocator aborts when memory is out */
	lua_atpanic(L, panic);
	core->L = L;
	core->server = server;
	list_init(&core->free_threads);
	list_init(&core->waiting);
	lua_pushlightuserdata(L, core);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &core_key);
	server->lua = core;
	lua_events_install(core);
	lua_sessions_install(core);
	server->ops.quiet = collect_a_little;
	struct paths paths = { moduledir, libdir };
	if (barrier_protect(L, l_prepare, &paths) != 0) {
		*error_r = mem_copy(slice_of_str(lua_tostring(L, -1)));
		lua_core_free(&core);
		return NULL;
	}
	return core;
}

void lua_core_free(struct lua_core **core)
{
	if (*core == NULL)
		return;
	if ((*core)->disk != NULL)
		workers_finish((*core)->disk); /* nothing that was written is dropped */
	workers_free(&(*core)->workers);
	workers_free(&(*core)->disk);
	barrier_forget_waiting(*core);
	timer_free(&(*core)->wait_timer);
	lua_close((*core)->L);
	parser_free(&(*core)->parser);
	times_done(&(*core)->times);
	struct thread *thread, *after;
	list_each(thread, after, &(*core)->free_threads, link)
		mem_free(thread);
	mem_free(*core);
	*core = NULL;
}

struct main_call {
	const char *module, *fn;
	int argc;
	char **argv;
	int result;
};

static int l_main(lua_State *L)
{
	struct main_call *call = lua_touserdata(L, 1);
	lua_getglobal(L, "require");
	lua_pushstring(L, call->module);
	lua_call(L, 1, 1);
	lua_getfield(L, -1, call->fn);
	lua_createtable(L, call->argc, 0);
	for (int i = 0; i < call->argc; i++) {
		lua_pushstring(L, call->argv[i]);
		lua_rawseti(L, -2, i);
	}
	lua_call(L, 1, 1);
	call->result = lua_isinteger(L, -1) ? (int)lua_tointeger(L, -1) : 0;
	return 0;
}

int lua_core_main(struct lua_core *core, const char *module, const char *fn, int argc, char **argv)
{
	struct main_call call = { module, fn, argc, argv, -1 };
	if (barrier_protect(core->L, l_main, &call) == 0)
		return call.result;
	fprintf(stderr, "%s\n", lua_tostring(core->L, -1));
	lua_pop(core->L, 1);
	return -1;
}
