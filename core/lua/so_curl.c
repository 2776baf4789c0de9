/* couplet.curl: HTTP requests (see net/fetch.h) for Lua, an optional shared object that is loaded when net.http makes
 * its first request.
 *
 *	local curl = require "couplet.curl"
 *	local fetcher, err = curl.new(is_public_only)
 *	fetcher:fd()             readable when fetcher:process() has something to do
 *	fetcher:start(request)   -> id | nil, error
 *	fetcher:cancel(id), fetcher:hold(id, is_held)
 *	fetcher:process()
 *	fetcher:take()           -> id, "head", status, version, headers | id, "body", bytes | id, "end" |
 *	                            id, "failed", word, text | nothing when all are taken
 *	fetcher:count()          requests under way
 *	fetcher:close()
 *	curl.is_public(address)  -> may is_public_only connect to it? nil when it is no numeric address
 *
 * request: url, method, body, fields (list of "Name: value"), head_bytes, body_bytes (-1: no limit), connect_seconds,
 * total_seconds, silence_seconds, redirects, streamed, unverified, ca_file, certificate, key. headers: "Content-Type"
 * is content_type, fields of one name are one value with commas. */
#include <lauxlib.h>
#include <netdb.h>
#include <string.h>

#include "base/error.h"
#include "lua/bind.h"
#include "net/address.h"
#include "net/fetch.h"

#define FETCHER_TYPE "couplet.curl"

enum { FIELDS_MAX = 256 };

int luaopen_couplet_curl(lua_State *L);

/* ---- handle ---- */

static struct fetcher *l_check_fetcher(lua_State *L)
{
	struct fetcher **fetcher = luaL_checkudata(L, 1, FETCHER_TYPE);
	if (*fetcher == NULL)
		luaL_error(L, "the fetcher is closed");
	return *fetcher;
}

static int l_close(lua_State *L)
{
	fetch_free(luaL_checkudata(L, 1, FETCHER_TYPE));
	return 0;
}

static int l_new(lua_State *L)
{
	bool is_public_only = lua_toboolean(L, 1);
	struct fetcher **fetcher = lua_newuserdatauv(L, sizeof(*fetcher), 0);
	*fetcher = NULL;
	luaL_setmetatable(L, FETCHER_TYPE);
	struct error error = { "" };
	*fetcher = fetch_new(is_public_only, &error);
	return *fetcher != NULL ? 1 : l_failed(L, &error);
}

static int l_fd(lua_State *L)
{
	lua_pushinteger(L, fetch_fd(l_check_fetcher(L)));
	return 1;
}

static int l_count(lua_State *L)
{
	lua_pushinteger(L, fetch_n_requests(l_check_fetcher(L)));
	return 1;
}

/* ---- requests: argument 2 ---- */

/* A text of the request, NULL when it is nil; the table holds it. */
static const char *l_text(lua_State *L, const char *name)
{
	size_t len = 0;
	int type = lua_getfield(L, 2, name);
	luaL_argcheck(L, type == LUA_TNIL || type == LUA_TSTRING, 2, name);
	const char *text = lua_tolstring(L, -1, &len);
	luaL_argcheck(L, text == NULL || strlen(text) == len, 2, name);
	lua_pop(L, 1);
	return text;
}

static lua_Integer l_number(lua_State *L, const char *name)
{
	int is_number;
	lua_getfield(L, 2, name);
	lua_Number number = lua_tonumberx(L, -1, &is_number);
	luaL_argcheck(L, is_number && number >= -1 && number <= 1e15, 2, name);
	lua_pop(L, 1);
	return (lua_Integer)number;
}

static int64_t l_ms(lua_State *L, const char *name)
{
	int is_number;
	lua_getfield(L, 2, name);
	lua_Number seconds = lua_tonumberx(L, -1, &is_number);
	luaL_argcheck(L, is_number && seconds >= 0 && seconds <= 1e6, 2, name);
	lua_pop(L, 1);
	return (int64_t)(seconds * 1000);
}

static bool l_flag(lua_State *L, const char *name)
{
	lua_getfield(L, 2, name);
	bool is_set = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return is_set;
}

static size_t l_fields(lua_State *L, const char **fields)
{
	luaL_argcheck(L, lua_getfield(L, 2, "fields") == LUA_TTABLE, 2, "fields");
	lua_Unsigned n = lua_rawlen(L, -1);
	luaL_argcheck(L, n <= FIELDS_MAX, 2, "too many headers");
	for (lua_Unsigned i = 0; i < n; i++) {
		size_t len = 0;
		bool is_string = lua_rawgeti(L, -1, (lua_Integer)i + 1) == LUA_TSTRING;
		fields[i] = is_string ? lua_tolstring(L, -1, &len) : "";
		luaL_argcheck(L, is_string && strlen(fields[i]) == len, 2, "fields");
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return n;
}

static int l_start(lua_State *L)
{
	struct fetcher *fetcher = l_check_fetcher(L);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	const char *fields[FIELDS_MAX];
	lua_Integer body_bytes = l_number(L, "body_bytes");
	struct fetch_request request = {
		.url = l_text(L, "url"), .method = l_text(L, "method"), .fields = fields, .n_fields = l_fields(L, fields),
		.head_bytes = (size_t)l_number(L, "head_bytes"),
		.body_bytes = body_bytes < 0 ? UINT64_MAX : (uint64_t)body_bytes,
		.connect_ms = l_ms(L, "connect_seconds"), .total_ms = l_ms(L, "total_seconds"),
		.silence_ms = l_ms(L, "silence_seconds"), .redirects = (unsigned)l_number(L, "redirects"),
		.is_streamed = l_flag(L, "streamed"), .is_unverified = l_flag(L, "unverified"),
		.ca_file = l_text(L, "ca_file"), .certificate = l_text(L, "certificate"), .key = l_text(L, "key"),
	};
	luaL_argcheck(L, request.url != NULL && request.method != NULL, 2, "url and method");
	if (lua_getfield(L, 2, "body") == LUA_TSTRING)
		request.body.ptr = lua_tolstring(L, -1, &request.body.len);
	struct error error = { "" };
	uint64_t id = fetch_start(fetcher, &request, &error);
	if (id == 0)
		return l_failed(L, &error);
	lua_pushinteger(L, (lua_Integer)id);
	return 1;
}

static int l_cancel(lua_State *L)
{
	struct fetcher *fetcher = l_check_fetcher(L);
	fetch_cancel(fetcher, (uint64_t)luaL_checkinteger(L, 2));
	return 0;
}

static int l_hold(lua_State *L)
{
	struct fetcher *fetcher = l_check_fetcher(L);
	fetch_hold(fetcher, (uint64_t)luaL_checkinteger(L, 2), lua_toboolean(L, 3));
	return 0;
}

/* ---- events ---- */

static int l_process(lua_State *L)
{
	fetch_process(l_check_fetcher(L));
	return 0;
}

static void l_push_name(lua_State *L, const char *name, size_t len)
{
	luaL_Buffer text;
	char *into = luaL_buffinitsize(L, &text, len);
	for (size_t i = 0; i < len; i++)
		into[i] = name[i] == '-' ? '_' : name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
	luaL_pushresultsize(&text, len);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* A line "Name: value" into the table on top; one without a colon is passed over. */
static void l_add_header(lua_State *L, const char *line, const char *end)
{
	const char *colon = memchr(line, ':', (size_t)(end - line));
	if (colon == NULL || colon == line)
		return;
	const char *value = colon + 1;
	while (value < end && is_space(*value))
		value++;
	while (end > value && is_space(end[-1]))
		end--;
	l_push_name(L, line, (size_t)(colon - line));
	lua_pushvalue(L, -1);
	if (lua_rawget(L, -3) == LUA_TSTRING) {
		lua_pushliteral(L, ", ");
		lua_pushlstring(L, value, (size_t)(end - value));
		lua_concat(L, 3);
	} else {
		lua_pop(L, 1);
		lua_pushlstring(L, value, (size_t)(end - value));
	}
	lua_rawset(L, -3);
}

static void l_push_headers(lua_State *L, struct slice lines)
{
	lua_newtable(L);
	const char *at = lines.ptr, *end = lines.ptr + lines.len;
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		if (line_end == NULL)
			line_end = end;
		l_add_header(L, at, line_end);
		at = line_end + 1;
	}
}

static int l_take(lua_State *L)
{
	struct fetcher *fetcher = l_check_fetcher(L);
	struct fetch_event event;
	if (!fetch_take(fetcher, &event))
		return 0;
	lua_pushinteger(L, (lua_Integer)event.id);
	switch (event.kind) {
	case FETCH_HEAD:
		lua_pushliteral(L, "head");
		lua_pushinteger(L, event.status);
		lua_pushstring(L, event.version);
		l_push_headers(L, event.bytes);
		return 5;
	case FETCH_BODY:
		lua_pushliteral(L, "body");
		lua_pushlstring(L, event.bytes.ptr, event.bytes.len);
		return 3;
	case FETCH_END:
		lua_pushliteral(L, "end");
		return 2;
	case FETCH_FAILED:
		break;
	}
	lua_pushliteral(L, "failed");
	lua_pushstring(L, event.error);
	lua_pushstring(L, event.text);
	return 4;
}

/* ---- addresses ---- */

static int l_is_public(lua_State *L)
{
	const char *text = luaL_checkstring(L, 1);
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *found = NULL;
	if (getaddrinfo(text, NULL, &hints, &found) != 0)
		return 0;
	bool is_public = address_is_public(found->ai_addr);
	freeaddrinfo(found);
	lua_pushboolean(L, is_public);
	return 1;
}

/* ---- tables ---- */

static const luaL_Reg methods[] = {
	{ "fd", l_fd },       { "start", l_start }, { "cancel", l_cancel }, { "hold", l_hold }, { "process", l_process },
	{ "take", l_take },   { "count", l_count }, { "close", l_close },   { NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "new", l_new },
	{ "is_public", l_is_public },
	{ NULL, NULL },
};

int luaopen_couplet_curl(lua_State *L)
{
	l_new_type(L, FETCHER_TYPE, methods, l_close);
	luaL_newlib(L, functions);
	lua_pushstring(L, fetch_version());
	lua_setfield(L, -2, "version");
	return 1;
}
