/* net.http.wire, what net.http.server is made of: connections that hand out requests (lua_http_server.c), the requests
 * themselves (here), answers as bytes (lua_http_head.c), files (lua_http_file.c). What is served is for Lua to say.
 *
 * A request is a table of Lua with little in it: what most handlers never ask for (headers, the query ...) is read from
 * the bytes of the head, which it keeps, at the first use. */
#include <lauxlib.h>
#include <string.h>

#include "lua/core.h"
#include "lua/http_private.h"
#include "lua/libs.h"
#include "net/http.h"

enum { PATH_MAX_BYTES = 8 * 1024, NAME_BYTES = 64, HOST_BYTES = 256 };

/* ---- what is there at once ---- */

/* The name of the host that is meant: in lower case, without the port. One longer than names can be is nobody's. */
static void l_push_host_name(lua_State *L, struct slice host)
{
	char name[HOST_BYTES];
	size_t len = host.len;
	while (len > 0 && host.ptr[len - 1] >= '0' && host.ptr[len - 1] <= '9')
		len--;
	len = len > 0 && host.ptr[len - 1] == ':' ? len - 1 : host.len;
	if (host.ptr == NULL || len > sizeof(name)) {
		lua_pushnil(L);
		return;
	}
	for (size_t i = 0; i < len; i++)
		name[i] = host.ptr[i] >= 'A' && host.ptr[i] <= 'Z' ? (char)(host.ptr[i] - 'A' + 'a') : host.ptr[i];
	lua_pushlstring(L, name, len);
}

static bool l_push_decoded(lua_State *L, struct slice path)
{
	char decoded[PATH_MAX_BYTES];
	int len = path.len <= sizeof(decoded) ? http_decode_path(path, decoded) : -1;
	if (len >= 0)
		lua_pushlstring(L, decoded, (size_t)len);
	return len >= 0;
}

bool l_http_push_request(lua_State *L, const struct http_reader *reader)
{
	const struct http_head *head = http_reader_head(reader);
	l_push_slice(L, head->method);
	if (http_path_is_plain(head->path)) {
		l_push_slice(L, head->path);
	} else if (!l_push_decoded(L, head->path)) {
		lua_pop(L, 1);
		return false;
	}
	l_push_host_name(L, head->host);
	l_push_slice(L, http_reader_text(reader));
	return true;
}

/* ---- what is asked for ---- */

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

static void l_push_target(lua_State *L, const struct http_head *head) { l_push_slice(L, head->target); }
static void l_push_query(lua_State *L, const struct http_head *head) { l_push_slice(L, head->query); }
static void l_push_host(lua_State *L, const struct http_head *head) { l_push_slice(L, head->host); }

static void l_push_version(lua_State *L, const struct http_head *head)
{
	l_push_slice(L, head->is_1_0 ? SLICE("1.0") : SLICE("1.1"));
}

static void l_push_length(lua_State *L, const struct http_head *head)
{
	if (head->content_length >= 0)
		lua_pushinteger(L, head->content_length);
	else
		lua_pushnil(L);
}

/* { path =, query = }; the request is at index 1. */
static void l_push_url(lua_State *L, const struct http_head *head)
{
	lua_createtable(L, 0, 2);
	lua_pushliteral(L, "path");
	lua_rawget(L, 1);
	lua_setfield(L, -2, "path");
	l_push_slice(L, head->query);
	lua_setfield(L, -2, "query");
}

static const struct part {
	const char *name;
	void (*push)(lua_State *L, const struct http_head *head);
} parts[] = {
	{ "headers", l_push_headers },    { "target", l_push_target }, { "url", l_push_url },
	{ "query", l_push_query },        { "host", l_push_host },     { "httpversion", l_push_version },
	{ "content_length", l_push_length },
};

/* request[name]: read from request.head, which cannot be wrong, since it was read before. */
static int l_request_index(lua_State *L)
{
	lua_settop(L, 2);
	const struct part *part = NULL;
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && part == NULL; i++)
		part = strcmp(parts[i].name, name) == 0 ? &parts[i] : NULL;
	if (part == NULL)
		return 0;
	lua_pushliteral(L, "head");
	struct http_head head;
	struct http_refusal why;
	if (lua_rawget(L, 1) != LUA_TSTRING || http_head_read(l_to_slice(L, 3), HTTP_FIELDS_MAX, &head, &why) != 0)
		return 0;
	part->push(L, &head);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, -2);
	lua_rawset(L, 1); /* for the next time; this one may be nil */
	return 1;
}

int l_open_http(lua_State *L)
{
	lua_newtable(L);
	lua_newtable(L); /* the metatable of requests */
	lua_pushcfunction(L, l_request_index);
	lua_setfield(L, -2, "__index");
	lua_setfield(L, -2, "request_mt");
	l_add_http_channels(L);
	l_add_http_heads(L);
	l_add_http_files(L);
	return 1;
}
