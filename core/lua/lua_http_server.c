/* The connections of net.http.wire, as Lua handles them: a server, which has its handlers, and a channel for each
 * connection (lua_http_channel.c), which has the answers. */
#include <lauxlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lua/bind.h"
#include "lua/http_channel.h"
#include "net/conn.h"
#include "net/http.h"

#define SERVER_TYPE "couplet.http.server"
#define CHANNEL_TYPE "couplet.http.channel"

/* ---- for Lua: a server ---- */

static struct http_server *l_check_server(lua_State *L) { return luaL_checkudata(L, 1, SERVER_TYPE); }

static unsigned add_site(struct http_server *server)
{
	server->sites = mem_resize(server->sites, (server->n_sites + 1) * sizeof(*server->sites));
	server->sites[server->n_sites] = (struct http_site){ { 0 }, { { 0 }, 0 } };
	return server->n_sites++;
}

static int l_server_gc(lua_State *L)
{
	struct http_server *server = l_check_server(L);
	mem_free(server->sites);
	server->sites = NULL;
	server->n_sites = 0;
	return 0;
}

/* server:site() -> number of a new place, for channel:answer: what it answers is counted apart. Lives as long as the
 * server does. */
static int l_site(lua_State *L)
{
	lua_pushinteger(L, add_site(l_check_server(L)));
	return 1;
}

/* server:figures(site) -> { answers of 1xx, ... of 5xx }, { durations up to the first of native.histogram_bounds(), ...
 * of all; sum = seconds }: from the heads of requests to the beginning of their answers. 0: where nobody answers. */
static int l_figures(lua_State *L)
{
	const struct http_server *server = l_check_server(L);
	lua_Integer number = luaL_checkinteger(L, 2);
	luaL_argcheck(L, number >= 0 && number < server->n_sites, 2, "no such site");
	const struct http_site *site = &server->sites[number];
	lua_createtable(L, 5, 0);
	for (int i = 1; i <= 5; i++) {
		lua_pushinteger(L, (lua_Integer)site->answers[i]);
		lua_rawseti(L, -2, i);
	}
	l_push_histogram(L, &site->seconds);
	return 2;
}

static void count(struct http_channel *channel, lua_Integer number, struct slice status)
{
	struct http_server *server = channel->server;
	struct http_site *site = &server->sites[number > 0 && number < server->n_sites ? number : 0];
	unsigned hundred = status.len > 0 ? (unsigned)(status.ptr[0] - '0') : 0;
	site->answers[hundred <= 5 ? hundred : 0]++;
	if (channel->began_ns != 0)
		histogram_add(&site->seconds, clock_ns() - channel->began_ns);
	channel->began_ns = 0;
}

/* server(handlers) -> server. handlers, each called with the state that was given for the connection:
 *	request(state, method, path, host name, head)   a request without a body: answer it, now or later
 *	head(state, method, path, host name, head)      a body follows: channel:take it, or answer
 *	body(state, text)         the whole body, nil when it was taken otherwise: answer it
 *	piece(state, bytes)       a piece of a body that is taken so
 *	poured(state, bytes)      so much is in the file by now
 *	unstored(state, why)      it could not be written to the file
 *	refused(state, status, reason)  the peer was wrong: say so and close; nothing is read any more
 *	failed(state)             the handler that was called has died */
static int l_server(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	struct http_server *server = lua_newuserdatauv(L, sizeof(*server), 0);
	*server = (struct http_server){ .core = lua_core_of(L), .date.second = -1 };
	luaL_setmetatable(L, SERVER_TYPE);
	add_site(server);
	for (int i = 0; i < HTTP_CALLS; i++) {
		lua_getfield(L, 1, http_call_names[i] + sizeof("http-") - 1);
		luaL_checktype(L, -1, LUA_TFUNCTION);
		server->calls[i] = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	return 1;
}

static lua_Number l_option(lua_State *L, const char *name)
{
	lua_getfield(L, 2, name);
	lua_Number value = luaL_checknumber(L, -1);
	luaL_argcheck(L, value >= 0 && value <= 1e9, 2, name);
	lua_pop(L, 1);
	return value;
}

/* server:set { head_seconds =, idle_seconds =, body_seconds =, body_bytes_per_second =, requests_max = }: from now on
 * a head may take so long, a connection rest between two requests, the speed of bodies is looked at so often and must
 * be so much, and one connection may carry so many requests. */
static int l_set(lua_State *L)
{
	struct http_server *server = l_check_server(L);
	luaL_checktype(L, 2, LUA_TTABLE);
	server->head_ms = (int64_t)(l_option(L, "head_seconds") * 1000);
	server->idle_ms = (int64_t)(l_option(L, "idle_seconds") * 1000);
	server->body_ms = (int64_t)(l_option(L, "body_seconds") * 1000);
	server->body_bytes_per_s = (uint64_t)l_option(L, "body_bytes_per_second");
	server->requests_max = (unsigned)l_option(L, "requests_max");
	return 0;
}

/* server:serve(conn, state) -> channel: from now on what comes on conn is read here. */
static int l_serve(lua_State *L)
{
	struct http_server *server = l_check_server(L);
	luaL_checkany(L, 3);
	struct http_channel **handle = lua_newuserdatauv(L, sizeof(*handle), 3);
	*handle = NULL;
	luaL_setmetatable(L, CHANNEL_TYPE);
	l_set_intake(L, 2, lua_gettop(L), http_channel_take_in);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 2);
	lua_pushvalue(L, 3);
	int state_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	*handle = http_channel_new(server, lua_touserdata(L, 2), state_ref);
	return 1;
}

/* ---- for Lua: a channel; all is harmless after its end ---- */

static struct http_channel *l_check_channel(lua_State *L)
{
	return *(struct http_channel **)luaL_checkudata(L, 1, CHANNEL_TYPE);
}

static int l_channel_gc(lua_State *L)
{
	struct http_channel **handle = luaL_checkudata(L, 1, CHANNEL_TYPE);
	struct http_channel *channel = *handle;
	*handle = NULL;
	if (channel == NULL)
		return 0;
	http_channel_abandon(channel);
	return 0;
}

/* channel:take(bytes): the body that follows is collected, if it is no longer.
 * channel:take(bytes, "pieces"): it comes as it comes.
 * channel:take(bytes, file, step): it goes into the file (util.incoming) without becoming text; poured is called after
 * each so many bytes. */
static int l_take(lua_State *L)
{
	struct http_channel *channel = l_check_channel(L);
	lua_Number bytes = luaL_checknumber(L, 2);
	bool is_poured = lua_type(L, 3) == LUA_TUSERDATA;
	void *file = is_poured ? l_check_incoming(L, 3) : NULL;
	lua_Integer step = is_poured ? luaL_checkinteger(L, 4) : 1;
	luaL_argcheck(L, step > 0, 4, "not a number of bytes");
	if (channel == NULL || channel->phase != HTTP_HEAD_ASKED)
		return 0;
	if (is_poured) {
		lua_settop(L, 3);
		lua_setiuservalue(L, 1, 3);
	}
	channel->file = file;
	channel->step_bytes = (uint64_t)step;
	http_channel_take(channel, is_poured ? HTTP_POUR : lua_isnoneornil(L, 3) ? HTTP_COLLECT : HTTP_PIECES,
			  bytes >= 9e18 ? UINT64_MAX : bytes > 0 ? (uint64_t)bytes : 0);
	return 0;
}

/* Settles whether the connection stays after this answer; gives what its head says of that, ptr NULL for nothing. */
static struct slice connection_option(struct http_channel *channel, bool closes)
{
	if (closes || channel->phase != HTTP_ASKED) /* what comes is the rest of a body that nobody wants */
		channel->stays = false;
	return !channel->stays ? SLICE("close") : channel->is_1_0 ? SLICE("keep-alive") : SLICE_NONE;
}

/* channel:connection(closes) -> "close", "keep-alive" or nil: what the head of the answer has to say, for who writes it
 * himself. */
static int l_connection(lua_State *L)
{
	struct http_channel *channel = l_check_channel(L);
	l_push_slice(L, channel != NULL ? connection_option(channel, lua_toboolean(L, 2)) : SLICE("close"));
	return 1;
}

/* channel:answer("200 OK", headers, body, length, closes, site, is_whole) -> true; nil and a sentence when something
 * cannot stand in the head, and nothing was sent. body: bytes that follow the head, "" for none. length:
 * Content-Length, nil: as the headers say. closes: true, the connection ends with this answer; or a text, what its head
 * says of that. site: where it is counted. is_whole: nothing follows, the answer is complete. */
static int l_answer(lua_State *L)
{
	lua_settop(L, 8);
	struct http_channel *channel = l_check_channel(L);
	struct slice status = l_http_check_status(L, 2), body;
	luaL_checktype(L, 3, LUA_TTABLE);
	body.ptr = luaL_checklstring(L, 4, &body.len);
	struct http_framing framing = { SLICE_NONE, luaL_optinteger(L, 5, -1) };
	struct conn *conn = channel != NULL ? http_channel_conn(channel) : NULL;
	struct out out;
	if (conn != NULL) {
		framing.connection = lua_type(L, 6) == LUA_TSTRING ? l_to_slice(L, 6)
								   : connection_option(channel, lua_toboolean(L, 6));
		l_out_init(&out, L);
		const char *wrong = l_http_add_head(&out, status, 3, &framing, &channel->server->date);
		if (wrong != NULL) {
			lua_pushnil(L);
			lua_insert(L, -2);
			return 2;
		}
		count(channel, lua_tointeger(L, 7), status);
		if (conn_write(conn, slice_of(out.ptr, out.len)) == 0)
			conn_write(conn, body);
		if (lua_toboolean(L, 8))
			http_channel_answered(channel);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* channel:done(): the answer is complete. */
static int l_answered(lua_State *L)
{
	struct http_channel *channel = l_check_channel(L);
	if (channel != NULL)
		http_channel_answered(channel);
	return 0;
}

/* channel:push(bytes): what came before the channel was there. */
static int l_push(lua_State *L)
{
	struct http_channel *channel = l_check_channel(L);
	struct slice bytes;
	bytes.ptr = luaL_checklstring(L, 2, &bytes.len);
	if (channel != NULL && channel->phase != HTTP_ENDED && http_push(channel->reader, bytes) == 0)
		http_channel_process_soon(channel);
	return 0;
}

/* channel:stop(): nothing is read any more; what is answered from now on is the last. */
static int l_stop(lua_State *L)
{
	struct http_channel *channel = l_check_channel(L);
	if (channel != NULL)
		http_channel_end(channel);
	return 0;
}

/* channel:release() -> bytes that were read and not used: the connection is somebody else's from now on, or over. */
static int l_release(lua_State *L)
{
	struct http_channel *channel = l_check_channel(L);
	struct slice rest = channel != NULL && channel->reader != NULL ? http_rest(channel->reader) : SLICE_NONE;
	lua_pushlstring(L, rest.len > 0 ? rest.ptr : "", rest.len);
	if (channel != NULL) {
		http_channel_detach(channel);
		http_channel_after_use(channel);
	}
	return 1;
}

void l_add_http_channels(lua_State *L)
{
	static const luaL_Reg functions[] = { { "server", l_server }, { NULL, NULL } };
	static const luaL_Reg server_methods[] = {
		{ "set", l_set }, { "serve", l_serve }, { "site", l_site }, { "figures", l_figures }, { NULL, NULL },
	};
	static const luaL_Reg channel_methods[] = {
		{ "take", l_take }, { "answer", l_answer }, { "connection", l_connection }, { "done", l_answered },
		{ "push", l_push }, { "stop", l_stop },     { "release", l_release },       { NULL, NULL },
	};
	l_new_type(L, SERVER_TYPE, server_methods, l_server_gc);
	l_new_type(L, CHANNEL_TYPE, channel_methods, l_channel_gc);
	luaL_setfuncs(L, functions, 0);
}
