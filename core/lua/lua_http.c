/* net.http.wire: bytes to requests; with lua_http_head.c responses to bytes, with lua_http_file.c files. What is
 * served, and how, is net.http.server's.
 *
 * A reader may be attached to a connection: then what comes goes into it without becoming a string of Lua. A body may
 * be poured into a file likewise, so that a large upload makes no work for the collector, which would let garbage grow
 * as large as all that Lua holds. */
#include <lauxlib.h>
#include <string.h>

#include "lua/bind.h"
#include "lua/core.h"
#include "lua/http_private.h"
#include "lua/libs.h"
#include "net/http.h"

#define READER_TYPE "couplet.http.reader"
#define REQUEST_TYPE "couplet.http.request"

enum { PATH_MAX_BYTES = 8 * 1024, NAME_BYTES = 64 };

/* ---- the reader ---- */

struct lua_reader {
	struct http_reader *reader;
	void *file;               /* user value 1: where the body is poured, NULL when it is not */
	uint64_t poured, told;    /* bytes, and how many of them Lua has heard of */
	uint64_t step;            /*   which it does after each so many */
	enum pouring { POURING, POUR_ENDED, POUR_REFUSED, POUR_FAILED } pouring;
};

static struct http_reader *l_check_reader(lua_State *L)
{
	struct lua_reader *handle = luaL_checkudata(L, 1, READER_TYPE);
	luaL_argcheck(L, handle->reader != NULL, 1, "the reader is closed");
	return handle->reader;
}

static uint64_t l_body_limit(lua_State *L, int index)
{
	lua_Number bytes = luaL_checknumber(L, index);
	return bytes >= 9e18 ? UINT64_MAX : bytes > 0 ? (uint64_t)bytes : 0;
}

/* reader([{ head_bytes =, fields =, body_bytes = }]) -> reader */
static int l_reader(lua_State *L)
{
	struct http_limits limits = http_default_limits;
	lua_settop(L, 1);
	if (!lua_isnil(L, 1)) {
		luaL_checktype(L, 1, LUA_TTABLE);
		lua_getfield(L, 1, "head_bytes");
		lua_getfield(L, 1, "fields");
		lua_getfield(L, 1, "body_bytes");
		lua_Integer head_bytes = luaL_optinteger(L, 2, (lua_Integer)limits.head_bytes);
		lua_Integer fields = luaL_optinteger(L, 3, limits.fields);
		luaL_argcheck(L, head_bytes >= 256 && head_bytes <= 65536, 1, "head_bytes must be 256 to 65536");
		luaL_argcheck(L, fields >= 1 && fields <= HTTP_FIELDS_MAX, 1, "fields must be 1 to 64");
		limits.head_bytes = (size_t)head_bytes;
		limits.fields = (unsigned)fields;
		if (!lua_isnil(L, 4))
			limits.body_bytes = l_body_limit(L, 4);
	}
	struct lua_reader *handle = lua_newuserdatauv(L, sizeof(*handle), 1);
	*handle = (struct lua_reader){ NULL };
	luaL_setmetatable(L, READER_TYPE);
	handle->reader = http_reader_new(&limits);
	return 1;
}

static int l_reader_close(lua_State *L)
{
	struct lua_reader *handle = luaL_checkudata(L, 1, READER_TYPE);
	http_reader_free(&handle->reader);
	return 0;
}

/* reader:push(bytes) -> false when too much waits */
static int l_push(lua_State *L)
{
	struct http_reader *reader = l_check_reader(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, http_push(reader, slice_of(bytes, len)) == 0);
	return 1;
}

static int l_limit_body(lua_State *L)
{
	http_reader_limit_body(l_check_reader(L), l_body_limit(L, 2));
	return 0;
}

/* ---- a body into a file ---- */

/* All that is here. True when Lua has to hear of it: a step further, the end, what went wrong. */
static bool pour(struct lua_reader *handle)
{
	struct slice body;
	enum http_result result;
	while (handle->pouring == POURING && (result = http_next(handle->reader, &body)) != HTTP_MORE) {
		if (result != HTTP_BODY)
			handle->pouring = result == HTTP_END ? POUR_ENDED : POUR_REFUSED;
		else if (lua_incoming_write(handle->file, body) != 0)
			handle->pouring = POUR_FAILED;
		else
			handle->poured += body.len;
	}
	return handle->pouring != POURING || handle->poured - handle->told >= handle->step;
}

/* reader:pour(file, step_bytes): the body whose head was read goes into the file (util.incoming). next() gives no
 * "body" but "poured", bytes so far, after each step; or "unstored", text. Its end is "end", as ever. */
static int l_pour(lua_State *L)
{
	l_check_reader(L);
	struct lua_reader *handle = lua_touserdata(L, 1);
	lua_Integer step = luaL_checkinteger(L, 3);
	luaL_argcheck(L, step > 0, 3, "not a number of bytes");
	handle->file = l_check_incoming(L, 2);
	handle->poured = handle->told = 0;
	handle->step = (uint64_t)step;
	handle->pouring = POURING;
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, 1, 1);
	return 0;
}

static int l_failed_request(lua_State *L, int status, const char *reason)
{
	lua_pushliteral(L, "failed");
	lua_pushinteger(L, status);
	lua_pushstring(L, reason);
	return 3;
}

static int l_next_poured(lua_State *L, struct lua_reader *handle)
{
	(void)pour(handle);
	if (handle->pouring == POURING && handle->poured - handle->told >= handle->step) {
		handle->told = handle->poured;
		lua_pushliteral(L, "poured");
		lua_pushinteger(L, (lua_Integer)handle->poured);
		return 2;
	} else if (handle->pouring == POURING) {
		lua_pushliteral(L, "more");
		lua_pushboolean(L, false);
		return 2;
	}
	void *file = handle->file;
	handle->file = NULL;
	if (handle->pouring == POUR_REFUSED)
		return l_failed_request(L, http_status(handle->reader), http_reason(handle->reader));
	if (handle->pouring == POUR_FAILED) {
		lua_pushliteral(L, "unstored");
		lua_pushstring(L, lua_incoming_error(file));
		return 2;
	}
	lua_pushliteral(L, "end");
	return 1;
}

/* ---- a connection ---- */

static enum intake_result take_in(void *ctx, struct slice bytes)
{
	struct lua_reader *handle = ctx;
	if (handle->reader != NULL && http_push(handle->reader, bytes) != 0)
		return INTAKE_FULL;
	return handle->reader != NULL && handle->file != NULL && !pour(handle) ? INTAKE_NOTHING : INTAKE_SOMETHING;
}

/* reader:attach(conn): from now on what comes goes here, and the listener's onincoming(conn) is called, or onfull(conn)
 * when too much waits. Until conn:setlistener. */
static int l_attach(lua_State *L)
{
	l_check_reader(L);
	l_set_intake(L, 2, 1, take_in);
	return 0;
}

/* ---- a request ---- */

/* "Content-Type" is headers.content_type, as in Prosody. */
static void l_push_field_name(lua_State *L, struct slice name)
{
	char small[NAME_BYTES];
	char *into = name.len <= sizeof(small) ? small : lua_newuserdatauv(L, name.len, 0);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		into[i] = c == '-' ? '_' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	lua_pushlstring(L, into, name.len);
	if (into != small)
		lua_remove(L, -2);
}

/* Fields of one name are one value with commas (RFC 9110 5.3). A name with an underscore is left out: to modules it
 * would be the same as one with a hyphen, which a proxy may have set or removed for a reason. */
static void l_push_headers(lua_State *L, const struct http_head *head)
{
	lua_createtable(L, 0, (int)head->n_fields);
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		if (memchr(field->name.ptr, '_', field->name.len) != NULL)
			continue;
		l_push_field_name(L, field->name);
		lua_pushvalue(L, -1);
		if (lua_rawget(L, -3) == LUA_TSTRING) {
			const char *name = lua_tostring(L, -2);
			lua_pushstring(L, strcmp(name, "cookie") == 0 ? "; " : ", "); /* RFC 6265 4.2.1 */
			l_push_slice(L, field->value);
			lua_concat(L, 3);
		} else {
			lua_pop(L, 1);
			l_push_slice(L, field->value);
		}
		lua_rawset(L, -3);
	}
}

static void l_set_slice(lua_State *L, const char *key, struct slice value)
{
	l_push_slice(L, value);
	lua_setfield(L, -2, key);
}

/* The name of the host that is meant: in lower case, without the port. */
static void l_set_host_name(lua_State *L, struct slice host)
{
	char name[256];
	size_t len = host.len;
	while (len > 0 && host.ptr[len - 1] >= '0' && host.ptr[len - 1] <= '9')
		len--;
	len = len > 0 && host.ptr[len - 1] == ':' ? len - 1 : host.len;
	if (host.ptr == NULL || len > sizeof(name)) /* longer than a host's name can be: nobody's */
		return;
	for (size_t i = 0; i < len; i++)
		name[i] = host.ptr[i] >= 'A' && host.ptr[i] <= 'Z' ? (char)(host.ptr[i] - 'A' + 'a') : host.ptr[i];
	l_set_slice(L, "host_name", slice_of(name, len));
}

static void l_set_true(lua_State *L, const char *key, bool is_true)
{
	if (!is_true)
		return;
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, key);
}

/* Pushes the request, or gives false when its path must not be. */
static bool l_push_request(lua_State *L, const struct http_head *head)
{
	char path[PATH_MAX_BYTES];
	int len = head->path.len <= sizeof(path) ? http_decode_path(head->path, path) : -1;
	if (len < 0)
		return false;
	lua_createtable(L, 0, 16); /* with what the server adds */
	luaL_setmetatable(L, REQUEST_TYPE);
	l_set_slice(L, "method", head->method);
	l_set_slice(L, "target", head->target);
	l_set_slice(L, "path", slice_of(path, (size_t)len));
	l_set_slice(L, "query", head->query);
	l_set_slice(L, "httpversion", head->is_1_0 ? SLICE("1.0") : SLICE("1.1"));
	l_set_slice(L, "host", head->host);
	l_set_host_name(L, head->host);
	lua_pushboolean(L, head->keeps_alive);
	lua_setfield(L, -2, "keeps_alive");
	l_set_true(L, "expects_continue", head->expects_continue);
	l_set_true(L, "is_chunked", head->is_chunked);
	if (head->content_length >= 0) {
		lua_pushinteger(L, head->content_length);
		lua_setfield(L, -2, "content_length");
	}
	l_push_headers(L, head);
	lua_setfield(L, -2, "headers");
	return true;
}

/* request.url = { path =, query = }, made for those who ask for it. */
static int l_request_index(lua_State *L)
{
	lua_settop(L, 2);
	if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "url") != 0)
		return 0;
	lua_createtable(L, 0, 2);
	static const char *const parts[] = { "path", "query" };
	for (size_t i = 0; i < 2; i++) {
		lua_pushstring(L, parts[i]);
		lua_rawget(L, 1);
		lua_setfield(L, -2, parts[i]);
	}
	lua_pushvalue(L, 2);
	lua_pushvalue(L, -2);
	lua_rawset(L, 1);
	return 1;
}

/* ---- what comes ---- */

static int l_give_head(lua_State *L, struct http_reader *reader)
{
	const struct http_head *head = http_reader_head(reader);
	bool has_body = head->is_chunked || head->content_length > 0;
	if (has_body)
		lua_pushliteral(L, "head");
	else
		lua_pushliteral(L, "request");
	if (!l_push_request(L, head))
		return l_failed_request(L, 400, "The path has escapes or segments that must not be");
	if (!has_body) {
		struct slice none;
		http_next(reader, &none); /* its end */
	}
	return 2;
}

/* reader:next() -> "more", is_idle (nothing of a next request is here) | "request", request (without a body)
 *                | "head", request (a body follows) | "body", bytes | "end" | "failed", status, reason */
static int l_next(lua_State *L)
{
	struct http_reader *reader = l_check_reader(L);
	struct lua_reader *handle = lua_touserdata(L, 1);
	if (handle->file != NULL)
		return l_next_poured(L, handle);
	struct slice body;
	switch (http_next(reader, &body)) {
	case HTTP_MORE:
		lua_pushliteral(L, "more");
		lua_pushboolean(L, http_is_idle(reader));
		return 2;
	case HTTP_HEAD:
		return l_give_head(L, reader);
	case HTTP_BODY:
		lua_pushliteral(L, "body");
		lua_pushlstring(L, body.ptr, body.len);
		return 2;
	case HTTP_END:
		lua_pushliteral(L, "end");
		return 1;
	case HTTP_FAILED:
		break;
	}
	return l_failed_request(L, http_status(reader), http_reason(reader));
}

static int l_is_idle(lua_State *L)
{
	lua_pushboolean(L, http_is_idle(l_check_reader(L)));
	return 1;
}

static int l_has_rest(lua_State *L)
{
	lua_pushboolean(L, http_has_rest(l_check_reader(L)));
	return 1;
}

/* reader:rest() -> bytes that were pushed and not used */
static int l_rest(lua_State *L)
{
	struct slice rest = http_rest(l_check_reader(L));
	lua_pushlstring(L, rest.len > 0 ? rest.ptr : "", rest.len);
	return 1;
}

/* ---- tables ---- */

int l_open_http(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "reader", l_reader },
		{ NULL, NULL },
	};
	static const luaL_Reg reader_methods[] = {
		{ "push", l_push },         { "next", l_next },         { "limit_body", l_limit_body },
		{ "is_idle", l_is_idle },   { "has_rest", l_has_rest }, { "rest", l_rest },
		{ "close", l_reader_close }, { "attach", l_attach },    { "pour", l_pour },
		{ NULL, NULL },
	};
	l_new_type(L, READER_TYPE, reader_methods, l_reader_close);
	luaL_newmetatable(L, REQUEST_TYPE);
	lua_pushcfunction(L, l_request_index);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	l_add_http_heads(L);
	l_add_http_files(L);
	return 1;
}
