/* Files of net.http.wire: below a directory, and their way to a connection without passing through Lua. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "lua/http_private.h"
#include "net/conn.h"
#include "net/loop.h"

#define FILE_TYPE "couplet.http.file"
#define STAMP_TYPE "couplet.http.stamp"

enum { PATH_MAX_BYTES = 8 * 1024, FILE_PIECE = 64 * 1024, QUEUE_ENOUGH = 256 * 1024, SETTLED_SECONDS = 2 };

struct lua_file {
	int fd;
	off_t size;
};

/* By which a file is known again, and where it was found. */
struct stamp {
	struct loop *loop; /* NULL: there is none, in specs */
	int64_t looked_ms;
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec written, changed;
	char path[];
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
	char tag[80];
	int tag_len = snprintf(tag, sizeof(tag), "%llx-%llx-%llx-%lx", (unsigned long long)facts.st_ino,
			       (unsigned long long)facts.st_size, (unsigned long long)facts.st_mtim.tv_sec,
			       (unsigned long)facts.st_mtim.tv_nsec);
	lua_pushlstring(L, tag, (size_t)tag_len);
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

/* ---- is it still the same? ---- */

static bool is_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/* file:stamp(path) -> stamp, or nil when the file has changed so recently that a further change might not show in its
 * times. path: where it was found. */
static int l_file_stamp(lua_State *L)
{
	struct lua_file *file = l_check_file(L, 1);
	struct slice path;
	path.ptr = luaL_checklstring(L, 2, &path.len);
	struct stat facts;
	time_t settled = (time_t)clock_wall() - SETTLED_SECONDS;
	if (fstat(file->fd, &facts) != 0 || facts.st_mtim.tv_sec >= settled || facts.st_ctim.tv_sec >= settled)
		return 0;
	struct lua_core *core = lua_core_of(L);
	struct stamp *stamp = lua_newuserdatauv(L, sizeof(*stamp) + path.len + 1, 0);
	*stamp = (struct stamp){ .loop = core != NULL ? core->server->loop : NULL, .looked_ms = -1,
				 .device = facts.st_dev, .inode = facts.st_ino, .size = facts.st_size,
				 .written = facts.st_mtim, .changed = facts.st_ctim };
	memcpy(stamp->path, path.ptr, path.len + 1);
	luaL_setmetatable(L, STAMP_TYPE);
	return 1;
}

/* stamp:is_current() -> is what stands there now the file that was stamped, unchanged? Looks once a millisecond. The
 * way there may lead through links by now: what it leads to is the very file that was opened without following any. */
static int l_stamp_is_current(lua_State *L)
{
	struct stamp *stamp = luaL_checkudata(L, 1, STAMP_TYPE);
	int64_t now_ms = stamp->loop != NULL ? loop_now_ms(stamp->loop) : 0;
	struct stat facts;
	bool is_current = stamp->loop != NULL && stamp->looked_ms == now_ms;
	if (!is_current && fstatat(AT_FDCWD, stamp->path, &facts, AT_SYMLINK_NOFOLLOW) == 0)
		is_current = facts.st_dev == stamp->device && facts.st_ino == stamp->inode && facts.st_size == stamp->size
			     && is_time(facts.st_mtim, stamp->written) && is_time(facts.st_ctim, stamp->changed);
	stamp->looked_ms = is_current ? now_ms : -1;
	lua_pushboolean(L, is_current);
	return 1;
}

/* ---- to a connection ---- */

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

/* is_file(value) -> is it what open gives? */
static int l_is_file(lua_State *L)
{
	lua_pushboolean(L, luaL_testudata(L, 1, FILE_TYPE) != NULL);
	return 1;
}

void l_add_http_files(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "open", l_open },
		{ "is_file", l_is_file },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "read", l_file_read },
		{ "stamp", l_file_stamp },
		{ "close", l_file_close },
		{ NULL, NULL },
	};
	static const luaL_Reg stamp_methods[] = { { "is_current", l_stamp_is_current }, { NULL, NULL } };
	l_new_type(L, FILE_TYPE, methods, l_file_close);
	l_new_type(L, STAMP_TYPE, stamp_methods, NULL);
	luaL_setfuncs(L, functions, 0);
}
