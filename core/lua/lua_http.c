/* net.http.wire: bytes to requests and heads of responses to bytes; files below a directory, and their way to a
 * connection without passing through Lua. What is served, and how, is net.http.server's. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "lua/libs.h"
#include "net/conn.h"
#include "net/http.h"

#define READER_TYPE "couplet.http.reader"
#define FILE_TYPE "couplet.http.file"

enum { PATH_MAX_BYTES = 8 * 1024, FILE_PIECE = 64 * 1024, QUEUE_ENOUGH = 256 * 1024 };

/* ---- the reader ---- */

struct lua_reader {
	struct http_reader *reader;
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
	struct lua_reader *handle = lua_newuserdatauv(L, sizeof(*handle), 0);
	handle->reader = NULL;
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

/* "Content-Type" is headers.content_type, as in Prosody. */
static void l_push_field_name(lua_State *L, struct slice name)
{
	luaL_Buffer text;
	char *into = luaL_buffinitsize(L, &text, name.len);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		into[i] = c == '-' ? '_' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	luaL_pushresultsize(&text, name.len);
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

/* Pushes the request, or gives false when its path must not be. */
static bool l_push_request(lua_State *L, const struct http_head *head)
{
	char path[PATH_MAX_BYTES];
	int len = head->path.len <= sizeof(path) ? http_decode_path(head->path, path) : -1;
	if (len < 0)
		return false;
	lua_createtable(L, 0, 16);
	l_set_slice(L, "method", head->method);
	l_set_slice(L, "target", head->target);
	lua_pushlstring(L, path, (size_t)len);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "path");
	lua_createtable(L, 0, 2);
	lua_insert(L, -2);
	lua_setfield(L, -2, "path");
	l_set_slice(L, "query", head->query);
	lua_setfield(L, -2, "url");
	lua_pushstring(L, head->is_1_0 ? "1.0" : "1.1");
	lua_setfield(L, -2, "httpversion");
	l_set_slice(L, "host", head->host);
	lua_pushboolean(L, head->keeps_alive);
	lua_setfield(L, -2, "keeps_alive");
	lua_pushboolean(L, head->expects_continue);
	lua_setfield(L, -2, "expects_continue");
	lua_pushboolean(L, head->is_chunked);
	lua_setfield(L, -2, "is_chunked");
	if (head->content_length >= 0) {
		lua_pushinteger(L, head->content_length);
		lua_setfield(L, -2, "content_length");
	}
	l_push_headers(L, head);
	lua_setfield(L, -2, "headers");
	return true;
}

/* reader:next() -> "more" | "head", request | "body", bytes | "end" | "failed", status, reason */
static int l_next(lua_State *L)
{
	struct http_reader *reader = l_check_reader(L);
	struct slice body;
	switch (http_next(reader, &body)) {
	case HTTP_MORE:
		lua_pushliteral(L, "more");
		return 1;
	case HTTP_HEAD:
		lua_pushliteral(L, "head");
		if (l_push_request(L, http_reader_head(reader)))
			return 2;
		lua_pushliteral(L, "failed");
		lua_pushinteger(L, 400);
		lua_pushliteral(L, "The path has escapes or segments that must not be");
		return 3;
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
	lua_pushliteral(L, "failed");
	lua_pushinteger(L, http_status(reader));
	lua_pushstring(L, http_reason(reader));
	return 3;
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

/* ---- heads of responses ---- */

/* "content_type" and "content-type" both become "Content-Type". */
static void add_field_name(luaL_Buffer *text, struct slice name)
{
	char *into = luaL_prepbuffsize(text, name.len);
	bool is_start = true;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i] == '_' ? '-' : name.ptr[i];
		into[i] = is_start && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
		is_start = c == '-';
	}
	luaL_addsize(text, name.len);
}

static void l_add_field(lua_State *L, luaL_Buffer *text, struct slice name, int value_index)
{
	size_t len;
	const char *value = lua_tolstring(L, value_index, &len);
	if (value == NULL || !http_value_is_valid(slice_of(value, len)))
		luaL_error(L, "the header %s cannot have that value", name.ptr);
	add_field_name(text, name);
	luaL_addstring(text, ": ");
	luaL_addlstring(text, value, len);
	luaL_addstring(text, "\r\n");
}

/* response_head("200 OK", headers) -> the bytes up to and with the empty line. A value is text, a number, or a list of
 * them (one line each). Raises when a name or value would end its line. */
static int l_response_head(lua_State *L)
{
	size_t status_len;
	const char *status = luaL_checklstring(L, 1, &status_len);
	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_argcheck(L, http_value_is_valid(slice_of(status, status_len)), 1, "not a status");
	lua_settop(L, 2);
	/* The buffer keeps a value of its own on the stack, so what is walked over is collected into strings first. */
	lua_newtable(L);
	lua_Integer n = 0;
	for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			return luaL_error(L, "a header's name must be a string");
		struct slice name = l_to_slice(L, -2);
		if (!http_token_is_valid(name))
			return luaL_error(L, "a header cannot have that name");
		bool is_list = lua_istable(L, -1);
		lua_Integer count = is_list ? (lua_Integer)lua_rawlen(L, -1) : 1;
		for (lua_Integer i = 1; i <= count; i++) {
			if (is_list)
				lua_rawgeti(L, -1, i);
			else
				lua_pushvalue(L, -1);
			lua_tostring(L, -1); /* a copy: the walk is not disturbed */
			int value = lua_gettop(L);
			luaL_Buffer line;
			luaL_buffinit(L, &line);
			l_add_field(L, &line, name, value);
			luaL_pushresult(&line);
			lua_rawseti(L, 3, ++n);
			lua_pop(L, 1);
		}
	}
	luaL_Buffer text;
	luaL_buffinit(L, &text);
	luaL_addstring(&text, "HTTP/1.1 ");
	luaL_addlstring(&text, status, status_len);
	luaL_addstring(&text, "\r\n");
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, 3, i);
		luaL_addvalue(&text);
	}
	luaL_addstring(&text, "\r\n");
	luaL_pushresult(&text);
	return 1;
}

/* ---- files ---- */

struct lua_file {
	int fd;
	off_t size;
};

static struct lua_file *l_check_file(lua_State *L, int index)
{
	struct lua_file *file = luaL_checkudata(L, index, FILE_TYPE);
	luaL_argcheck(L, file->fd >= 0, index, "the file is closed");
	return file;
}

static int l_file_close(lua_State *L)
{
	struct lua_file *file = luaL_checkudata(L, 1, FILE_TYPE);
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	return 0;
}

/* Opens path below the directory fd, one segment after the other, none of which may be a link: so nothing outside can
 * be reached, whatever the path says (SECURITY E1). Takes fd. -1 and errno. */
static int open_below(int fd, char *path)
{
	while (fd >= 0 && *path != '\0') {
		char *slash = strchr(path, '/');
		if (slash != NULL)
			*slash = '\0';
		int next = -1;
		if (*path == '\0' || strcmp(path, ".") == 0 || strcmp(path, "..") == 0)
			errno = ENOENT;
		else
			next = openat(fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
					| (slash != NULL ? O_DIRECTORY : 0));
		int saved = errno;
		close(fd);
		errno = saved;
		fd = next;
		path = slash != NULL ? slash + 1 : path + strlen(path);
	}
	return fd;
}

/* open(directory, path) -> file, { size =, mtime =, kind = "file" | "directory", tag = text that changes when the
 * file does }; or nil, "not-found" | "refused" | a text of the system. path is relative; it ends in a slash for a
 * directory. */
static int l_open(lua_State *L)
{
	const char *directory = luaL_checkstring(L, 1);
	size_t len;
	const char *relative = luaL_checklstring(L, 2, &len);
	char path[PATH_MAX_BYTES];
	luaL_argcheck(L, len < sizeof(path), 2, "too long");
	struct lua_file *file = lua_newuserdatauv(L, sizeof(*file), 0);
	*file = (struct lua_file){ -1, 0 };
	luaL_setmetatable(L, FILE_TYPE);
	memcpy(path, relative, len + 1);
	struct stat facts;
	int fd = -1;
	errno = ENOENT;
	if (memchr(path, '\0', len) == NULL)
		fd = open_below(open(directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY), path);
	if (fd < 0 || fstat(fd, &facts) != 0 || (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode))) {
		int why = fd < 0 ? errno : EACCES;
		if (fd >= 0)
			close(fd);
		lua_pushnil(L);
		if (why == ENOENT || why == ENOTDIR || why == ENAMETOOLONG)
			lua_pushliteral(L, "not-found");
		else if (why == EACCES || why == EPERM || why == ELOOP || why == ENXIO)
			lua_pushliteral(L, "refused");
		else
			lua_pushstring(L, strerror(why));
		return 2;
	}
	*file = (struct lua_file){ fd, facts.st_size };
	lua_createtable(L, 0, 4);
	lua_pushfstring(L, "%I-%I-%I-%I", (LUAI_UACINT)facts.st_ino, (LUAI_UACINT)facts.st_size,
			(LUAI_UACINT)facts.st_mtim.tv_sec, (LUAI_UACINT)facts.st_mtim.tv_nsec);
	lua_setfield(L, -2, "tag");
	lua_pushinteger(L, facts.st_size);
	lua_setfield(L, -2, "size");
	lua_pushinteger(L, facts.st_mtim.tv_sec);
	lua_setfield(L, -2, "mtime");
	lua_pushstring(L, S_ISDIR(facts.st_mode) ? "directory" : "file");
	lua_setfield(L, -2, "kind");
	return 2;
}

/* file:read(offset, count) -> bytes (fewer at the end), or nil and an error */
static int l_file_read(lua_State *L)
{
	struct lua_file *file = l_check_file(L, 1);
	lua_Integer offset = luaL_checkinteger(L, 2), count = luaL_checkinteger(L, 3);
	luaL_argcheck(L, offset >= 0, 2, "out of range");
	luaL_argcheck(L, count >= 0 && count <= 16 << 20, 3, "out of range");
	luaL_Buffer text;
	char *into = luaL_buffinitsize(L, &text, (size_t)count);
	ssize_t got = pread(file->fd, into, (size_t)count, (off_t)offset);
	if (got < 0) {
		lua_pushnil(L);
		lua_pushstring(L, strerror(errno));
		return 2;
	}
	luaL_pushresultsize(&text, (size_t)got);
	return 1;
}

/* conn:send_file(file, offset, count) -> bytes queued, as many as its queue should hold now; nil and an error when the
 * file ended too early (it was cut meanwhile) or the connection takes no more. */
int l_conn_send_file(lua_State *L)
{
	struct conn *conn = l_check_conn(L, 1);
	struct lua_file *file = l_check_file(L, 2);
	lua_Integer offset = luaL_checkinteger(L, 3), count = luaL_checkinteger(L, 4), sent = 0;
	luaL_argcheck(L, offset >= 0 && count >= 0, 3, "out of range");
	const char *error = conn == NULL ? "closed" : NULL;
	while (error == NULL && sent < count && conn_queued(conn) <= QUEUE_ENOUGH) {
		size_t piece = count - sent < FILE_PIECE ? (size_t)(count - sent) : FILE_PIECE;
		char *into = conn_reserve(conn, piece);
		if (into == NULL) {
			error = "closed";
			break;
		}
		ssize_t got = pread(file->fd, into, piece, (off_t)(offset + sent));
		conn_commit(conn, got > 0 ? (size_t)got : 0);
		if (got <= 0)
			error = got < 0 ? strerror(errno) : "the file has become shorter";
		else
			sent += got;
	}
	if (error == NULL) {
		lua_pushinteger(L, sent);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, error);
	return 2;
}

/* ---- tables ---- */

int l_open_http(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "reader", l_reader },
		{ "response_head", l_response_head },
		{ "open", l_open },
		{ NULL, NULL },
	};
	static const luaL_Reg reader_methods[] = {
		{ "push", l_push },         { "next", l_next },         { "limit_body", l_limit_body },
		{ "is_idle", l_is_idle },   { "has_rest", l_has_rest }, { "rest", l_rest },
		{ "close", l_reader_close }, { NULL, NULL },
	};
	static const luaL_Reg file_methods[] = {
		{ "read", l_file_read },
		{ "close", l_file_close },
		{ NULL, NULL },
	};
	l_new_type(L, READER_TYPE, reader_methods, l_reader_close);
	luaL_newmetatable(L, FILE_TYPE);
	lua_newtable(L);
	luaL_setfuncs(L, file_methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, l_file_close);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, l_file_close);
	lua_setfield(L, -2, "__close");
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	return 1;
}
