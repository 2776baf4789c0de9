/* What the core has counted, for whoever wants to see it. Counting is an addition where it happens; here it is read. */
#include <lauxlib.h>

#include "base/mem.h"
#include "lua/core.h"
#include "net/loop.h"
#include "xml/stanza.h"
#include "xmpp/session.h"

struct count {
	const char *name;
	uint64_t value;
};

static void l_set_counts(lua_State *L, const struct count *counts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		lua_pushinteger(L, (lua_Integer)counts[i].value);
		lua_setfield(L, -2, counts[i].name);
	}
}

static uint64_t all_stanzas(const struct server *server, int way)
{
	uint64_t sum = 0;
	for (int link = 0; link < SERVER_LINKS; link++)
		for (int kind = 0; kind < SERVER_KINDS; kind++)
			sum += server->stanzas[way][link][kind];
	return sum;
}

/* native.counts() -> { sessions =, stanzas_in =, stanzas_out =, live_stanzas =, memory = } */
static int l_counts(lua_State *L)
{
	struct server *server = lua_core_of(L)->server;
	const struct count counts[] = {
		{ "sessions", session_live_count() },
		{ "stanzas_in", all_stanzas(server, SERVER_IN) },
		{ "stanzas_out", all_stanzas(server, SERVER_OUT) },
		{ "live_stanzas", stanza_live_count() },
		{ "memory", mem_in_use() },
	};
	lua_newtable(L);
	l_set_counts(L, counts, sizeof(counts) / sizeof(counts[0]));
	return 1;
}

void l_push_histogram(lua_State *L, const struct histogram *histogram)
{
	lua_createtable(L, HISTOGRAM_BOUNDS + 1, 1);
	uint64_t below = 0;
	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		below += histogram->counts[i];
		lua_pushinteger(L, (lua_Integer)below);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushnumber(L, (double)histogram->sum_ns / 1e9);
	lua_setfield(L, -2, "sum");
}

static const char *const ways[] = { [SERVER_IN] = "in", [SERVER_OUT] = "out" };
static const char *const links[] = { [SERVER_C2S] = "c2s", [SERVER_S2S] = "s2s", [SERVER_COMPONENT] = "component" };

/* { in = { c2s = n, ... }, out = ... } */
static void l_push_streams(lua_State *L, const struct server *server)
{
	lua_newtable(L);
	for (int way = 0; way < SERVER_WAYS; way++) {
		lua_newtable(L);
		for (int link = 0; link < SERVER_LINKS; link++) {
			lua_pushinteger(L, (lua_Integer)server->streams[way][link]);
			lua_setfield(L, -2, links[link]);
		}
		lua_setfield(L, -2, ways[way]);
	}
}

/* { in = { c2s = { message = n, ... }, ... }, out = ... } */
static void l_push_stanzas(lua_State *L, const struct server *server)
{
	static const char *const kinds[] = {
		[SERVER_MESSAGE] = "message", [SERVER_PRESENCE] = "presence", [SERVER_IQ] = "iq", [SERVER_OTHER] = "other"
	};
	lua_newtable(L);
	for (int way = 0; way < SERVER_WAYS; way++) {
		lua_newtable(L);
		for (int link = 0; link < SERVER_LINKS; link++) {
			lua_newtable(L);
			for (int kind = 0; kind < SERVER_KINDS; kind++) {
				lua_pushinteger(L, (lua_Integer)server->stanzas[way][link][kind]);
				lua_setfield(L, -2, kinds[kind]);
			}
			lua_setfield(L, -2, links[link]);
		}
		lua_setfield(L, -2, ways[way]);
	}
}

static void l_push_sessions(lua_State *L, const struct server *server)
{
	lua_newtable(L);
	const struct session *session, *after;
	list_each(session, after, &server->sessions, link)
	{
		const char *type = session_type_name(session);
		lua_getfield(L, -1, type);
		lua_Integer n = lua_tointeger(L, -1) + 1;
		lua_pop(L, 1);
		lua_pushinteger(L, n);
		lua_setfield(L, -2, type);
	}
}

static void l_push_calls(lua_State *L, const struct times *times)
{
	lua_newtable(L);
	uint32_t at = 0;
	const struct call_times *call;
	while ((call = times_next(times, &at)) != NULL) {
		l_push_histogram(L, &call->histogram);
		lua_setfield(L, -2, call->name);
	}
}

static size_t count_list(const struct list *list)
{
	size_t n = 0;
	for (const struct list *at = list->next; at != list; at = at->next)
		n++;
	return n;
}

/* native.figures() -> { streams =, stanzas =, sessions = { type -> n }, turns = histogram, commits = histogram, syncs =
 * histogram, calls = { name -> histogram }, accepted =, refused =, handshakes =, put_off =, bytes_in =, bytes_out =,
 * connections =, queued_bytes =, parked =, awake_parsers =, heap_bytes =, lua_bytes =, live_stanzas = }. Walks over all
 * sessions and connections. */
static int l_figures(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	const struct server *server = core->server;
	const struct loop_counts *loop = loop_counts(server->loop);
	size_t conns, queued;
	loop_queues(server->loop, &conns, &queued);
	const struct count counts[] = {
		{ "accepted", loop->accepted }, { "refused", loop->refused }, { "handshakes", loop->handshakes },
		{ "put_off", loop->put_off },
		{ "bytes_in", loop->bytes_in }, { "bytes_out", loop->bytes_out }, { "connections", conns },
		{ "queued_bytes", queued }, { "parked", count_list(&server->parked) }, { "awake_parsers", server->n_awake },
		{ "heap_bytes", mem_in_use() }, { "lua_bytes", core->memory }, { "live_stanzas", stanza_live_count() },
	};
	lua_newtable(L);
	l_set_counts(L, counts, sizeof(counts) / sizeof(counts[0]));
	l_push_streams(L, server);
	lua_setfield(L, -2, "streams");
	l_push_stanzas(L, server);
	lua_setfield(L, -2, "stanzas");
	l_push_sessions(L, server);
	lua_setfield(L, -2, "sessions");
	l_push_histogram(L, &loop->turns);
	lua_setfield(L, -2, "turns");
	l_push_histogram(L, &loop->commits);
	lua_setfield(L, -2, "commits");
	l_push_histogram(L, &loop->syncs);
	lua_setfield(L, -2, "syncs");
	l_push_calls(L, &core->times);
	lua_setfield(L, -2, "calls");
	return 1;
}

/* native.histogram_bounds() -> the upper bounds of the buckets but the last, in seconds. */
static int l_histogram_bounds(lua_State *L)
{
	lua_createtable(L, HISTOGRAM_BOUNDS, 0);
	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		lua_pushnumber(L, (double)histogram_bound_ns(i) / 1e9);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

/* native.time_calls(on): from now on it is counted how long calls into Lua take, by name. */
static int l_time_calls(lua_State *L)
{
	times_switch(&lua_core_of(L)->times, lua_toboolean(L, 1));
	return 0;
}

void l_add_counts(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "counts", l_counts },
		{ "figures", l_figures },
		{ "histogram_bounds", l_histogram_bounds },
		{ "time_calls", l_time_calls },
		{ NULL, NULL },
	};
	luaL_setfuncs(L, functions, 0);
}
