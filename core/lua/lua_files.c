/* util.files: atomic files for Lua (see store/files.h).
 *
 * The library is a set of closures over one userdata, the `struct files` of this Lua state. An absent file is nil, an
 * error is nil and a text: the two are never the same. */
#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "lua/disk_job.h"
#include "lua/libs.h"
#include "net/hold.h"
#include "store/files.h"

/* No store has files as large as this; reading one would stop the server for a second. */
#define READ_MAX ((lua_Integer)256 << 20)

#define FILES_TYPE "couplet.files"
#define BUF_TYPE "couplet.files.buf"

/* ---- handle ---- */

static struct files *files_of(lua_State *L)
{
	return *(struct files **)lua_touserdata(L, lua_upvalueindex(1));
}

static int l_files_gc(lua_State *L)
{
	files_free(luaL_checkudata(L, 1, FILES_TYPE));
	return 0;
}

/* A buffer that the collector frees should an error pass by. */
static struct buf *l_new_buf(lua_State *L, size_t max)
{
	struct buf *buf = lua_newuserdatauv(L, sizeof(*buf), 0);
	buf_init(buf, max);
	luaL_setmetatable(L, BUF_TYPE);
	return buf;
}

static int l_buf_gc(lua_State *L)
{
	buf_done(luaL_checkudata(L, 1, BUF_TYPE));
	return 0;
}

/* ---- check ---- */

static const char *l_check_path(lua_State *L, int arg)
{
	size_t len;
	const char *path = luaL_checklstring(L, arg, &len);
	luaL_argcheck(L, len > 0 && strlen(path) == len, arg, "not a path");
	return path;
}

/* ---- output waits for what is not durable (net/hold.h) ---- */

/* Somebody has written. */
static void hold_writer(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	if (core != NULL && files_is_deferred(files_of(L)))
		output_hold(core->server->loop);
}

/* Somebody has read that file, or directory. */
static void hold_reader(lua_State *L, const char *path, bool is_dir)
{
	struct lua_core *core = lua_core_of(L);
	if (core == NULL)
		return;
	struct loop *loop = core->server->loop;
	uint64_t newest = loop_newest_batch(loop);
	if (newest == 0)
		return;
	enum files_waits waits = files_waits(files_of(L), path, is_dir);
	if (waits == FILES_GATHERING)
		output_hold_for(loop, newest);
	else if (waits == FILES_SYNCING)
		output_hold_for(loop, loop_is_gathering(loop) ? newest - 1 : newest);
}

/* ---- readers ---- */

/* read(path [, max_bytes [, "nofollow"]]) -> bytes | nil (absent) | nil, error
 * Symbolic links are followed (configuration and modules may be links) unless it says otherwise. */
static int l_read(lua_State *L)
{
	const char *path = l_check_path(L, 1);
	lua_Integer max = luaL_optinteger(L, 2, READ_MAX);
	luaL_argcheck(L, max >= 0, 2, "negative size");
	static const char *const follow[] = { "nofollow", "follow", NULL };
	bool follow_link = luaL_checkoption(L, 3, "follow", follow) == 1;
	struct buf *buf = l_new_buf(L, (size_t)max);
	struct error error;
	hold_reader(L, path, false);
	enum files_found found = files_read(files_of(L), path, follow_link, buf, &error);
	if (found == FILES_ERROR)
		return l_failed(L, &error);
	if (found == FILES_ABSENT)
		lua_pushnil(L);
	else
		lua_pushlstring(L, buf->len > 0 ? buf->ptr : "", buf->len);
	buf_done(buf);
	return 1;
}

/* size(path) -> bytes | nil (absent) | nil, error */
static int l_size(lua_State *L)
{
	struct error error;
	int64_t size;
	hold_reader(L, l_check_path(L, 1), false);
	enum files_found found = files_size(files_of(L), l_check_path(L, 1), &size, &error);
	if (found == FILES_ERROR)
		return l_failed(L, &error);
	if (found == FILES_ABSENT)
		lua_pushnil(L);
	else
		lua_pushinteger(L, size);
	return 1;
}

static void add_name(void *ctx, const char *name, bool is_dir)
{
	struct buf *names = ctx;
	/* The ceiling is never reached: names are bounded by what fits in memory. */
	(void)buf_add_byte(names, is_dir ? 'd' : 'f');
	(void)buf_add(names, slice_of(name, strlen(name) + 1));
}

/* list(dir) -> { names of files }, { names of directories } | nil (absent) | nil, error. Sorted by nothing. */
static int l_list(lua_State *L)
{
	const char *path = l_check_path(L, 1);
	struct buf *names = l_new_buf(L, SIZE_MAX / 2);
	struct error error;
	hold_reader(L, path, true);
	enum files_found found = files_list(files_of(L), path, add_name, names, &error);
	if (found == FILES_ERROR)
		return l_failed(L, &error);
	if (found == FILES_ABSENT) {
		lua_pushnil(L);
		return 1;
	}
	lua_newtable(L);
	lua_newtable(L);
	lua_Integer n_files = 0, n_dirs = 0;
	for (size_t at = 0; at < names->len; at += strlen(names->ptr + at) + 1) {
		lua_pushstring(L, names->ptr + at + 1);
		if (names->ptr[at] == 'd')
			lua_rawseti(L, -2, ++n_dirs);
		else
			lua_rawseti(L, -3, ++n_files);
	}
	buf_done(names);
	return 2;
}

/* ---- writers: true | nil, error ---- */

static int l_write(lua_State *L)
{
	struct error error;
	hold_writer(L);
	return l_done(L, files_write(files_of(L), l_check_path(L, 1), l_check_slice(L, 2), &error), &error);
}

/* append(path, bytes) -> true, offset of the first byte | nil, error */
static int l_append(lua_State *L)
{
	struct error error;
	int64_t offset;
	hold_writer(L);
	if (files_append(files_of(L), l_check_path(L, 1), l_check_slice(L, 2), &offset, &error) != 0)
		return l_failed(L, &error);
	lua_pushboolean(L, 1);
	lua_pushinteger(L, offset);
	return 2;
}

static int l_truncate(lua_State *L)
{
	const char *path = l_check_path(L, 1);
	lua_Integer size = luaL_checkinteger(L, 2);
	luaL_argcheck(L, size >= 0, 2, "negative size");
	struct error error;
	hold_writer(L);
	return l_done(L, files_truncate(files_of(L), path, size, &error), &error);
}

/* remove(path) -> true when there was something, false when not | nil, error */
static int l_remove(lua_State *L)
{
	struct error error;
	hold_writer(L);
	enum files_found found = files_remove(files_of(L), l_check_path(L, 1), &error);
	if (found == FILES_ERROR)
		return l_failed(L, &error);
	lua_pushboolean(L, found == FILES_FOUND);
	return 1;
}

/* mkdir(path): mode 0750 under the umask, parents too. */
static int l_mkdir(lua_State *L)
{
	struct error error;
	hold_writer(L);
	return l_done(L, files_make_dirs(files_of(L), l_check_path(L, 1), 0750, &error), &error);
}

static int l_defer(lua_State *L)
{
	files_defer(files_of(L), lua_toboolean(L, 1));
	return 0;
}

static void add_failed(void *ctx, const char *path)
{
	(void)buf_add(ctx, slice_of(path, strlen(path) + 1));
}

typedef int finish_fn(struct files *files, void (*failed)(void *ctx, const char *path), void *ctx,
		      struct error *error_r);

static int l_finish(lua_State *L, finish_fn *finish)
{
	struct buf *failed = l_new_buf(L, SIZE_MAX / 2);
	struct error error;
	if (finish(files_of(L), add_failed, failed, &error) == 0) {
		lua_pushboolean(L, 1);
		return 1;
	}
	(void)l_failed(L, &error);
	lua_newtable(L);
	lua_Integer n = 0;
	for (size_t at = 0; at < failed->len; at += strlen(failed->ptr + at) + 1) {
		lua_pushstring(L, failed->ptr + at);
		lua_rawseti(L, -2, ++n);
	}
	buf_done(failed);
	return 3;
}

/* commit() -> true | nil, error, { paths whose writes were lost } */
static int l_commit(lua_State *L)
{
	if (files_is_syncing(files_of(L)))
		return luaL_error(L, "a batch is being synced");
	if (files_is_pending(files_of(L)))
		return l_finish(L, files_commit);
	lua_pushboolean(L, 1);
	return 1;
}

static void run_sync(void *ctx)
{
	files_sync(ctx);
}

/* seal() -> job for native.sync, after which synced() is due | nil: nothing is to be made durable */
static int l_seal(lua_State *L)
{
	struct files *files = files_of(L);
	if (files_seal(files))
		l_push_disk_job(L, lua_upvalueindex(1), run_sync, files);
	else
		lua_pushnil(L);
	return 1;
}

/* synced(): as commit() */
static int l_synced(lua_State *L)
{
	if (!files_is_syncing(files_of(L)))
		return luaL_error(L, "no batch is being synced");
	return l_finish(L, files_synced);
}

/* ---- names ---- */

/* encode(name [, keep_underscore]) -> file name */
static int l_encode(lua_State *L)
{
	char into[FILES_NAME_MAX + 1];
	size_t len = files_encode_name(l_check_slice(L, 1), lua_toboolean(L, 2), into);
	lua_pushlstring(L, into, len);
	return 1;
}

/* decode(file name) -> name | nil when it is not one of ours, or one that was cut */
static int l_decode(lua_State *L)
{
	struct slice name = l_check_slice(L, 1);
	luaL_Buffer buffer;
	ssize_t len = files_decode_name(name, luaL_buffinitsize(L, &buffer, name.len + 1));
	luaL_pushresultsize(&buffer, len < 0 ? 0 : (size_t)len);
	if (len < 0)
		lua_pushnil(L);
	return 1;
}

/* ---- tables ---- */

static const luaL_Reg functions[] = {
	{ "read", l_read },
	{ "size", l_size },
	{ "list", l_list },
	{ "write", l_write },
	{ "append", l_append },
	{ "truncate", l_truncate },
	{ "remove", l_remove },
	{ "mkdir", l_mkdir },
	{ "defer", l_defer },
	{ "commit", l_commit },
	{ "seal", l_seal },
	{ "synced", l_synced },
	{ "encode", l_encode },
	{ "decode", l_decode },
	{ NULL, NULL },
};

int l_open_files(lua_State *L)
{
	l_new_type(L, FILES_TYPE, NULL, l_files_gc);
	l_new_type(L, BUF_TYPE, NULL, l_buf_gc);
	luaL_newlibtable(L, functions);
	struct files **files = lua_newuserdatauv(L, sizeof(*files), 0);
	*files = NULL;
	luaL_setmetatable(L, FILES_TYPE);
	*files = files_new();
	luaL_setfuncs(L, functions, 1);
	return 1;
}
