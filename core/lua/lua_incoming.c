/* util.incoming: files that come piece by piece (see store/incoming.h) for Lua.
 *
 *	incoming.open(directory, name, bytes)  -> file | nil, "exists" | "full" | "failed", text
 *	file:write(bytes)                      -> true | nil, text
 *	file:written()                         -> bytes so far
 *	file:finish()                          -> true | nil, "exists" | "full" | "failed", text; waits for the disk
 *	file:close()                           drops it unless it was finished
 *
 * A file that is forgotten is dropped when it is collected; close it rather. */
#include <lauxlib.h>

#include "lua/bind.h"
#include "lua/core.h"
#include "lua/job.h"
#include "lua/libs.h"
#include "store/incoming.h"

#define INCOMING_TYPE "couplet.incoming"

struct lua_incoming {
	struct lua_job job;
	struct incoming *incoming; /* NULL after its end */
	bool is_finishing;
	enum incoming_result result;
	struct error error;
};

static int l_why(lua_State *L, enum incoming_result result, const struct error *error)
{
	lua_pushnil(L);
	lua_pushstring(L, result == INCOMING_EXISTS ? "exists" : result == INCOMING_FULL ? "full" : "failed");
	lua_pushstring(L, error->text);
	return 3;
}

static int l_open(lua_State *L)
{
	const char *directory = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
	lua_Integer size = luaL_checkinteger(L, 3);
	luaL_argcheck(L, size >= 0, 3, "not a size");
	struct lua_incoming *handle = lua_newuserdatauv(L, sizeof(*handle), 1);
	*handle = (struct lua_incoming){ .job.self_ref = LUA_NOREF };
	luaL_setmetatable(L, INCOMING_TYPE);
	struct error error = { "" };
	enum incoming_result result = incoming_open(directory, name, (uint64_t)size, &handle->incoming, &error);
	return result == INCOMING_OK ? 1 : l_why(L, result, &error);
}

static int l_write(lua_State *L)
{
	struct lua_incoming *handle = l_check_incoming(L, 1);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	if (lua_incoming_write(handle, slice_of(bytes, len)) != 0)
		return l_failed(L, &handle->error);
	lua_pushboolean(L, 1);
	return 1;
}

void *l_check_incoming(lua_State *L, int index)
{
	struct lua_incoming *handle = luaL_checkudata(L, index, INCOMING_TYPE);
	luaL_argcheck(L, handle->incoming != NULL && !handle->is_finishing, index, "the file is closed");
	return handle;
}

int lua_incoming_write(void *file, struct slice bytes)
{
	struct lua_incoming *handle = file;
	if (handle->incoming == NULL || handle->is_finishing)
		return error_set(&handle->error, "the file was closed");
	return incoming_write(handle->incoming, bytes, &handle->error) == INCOMING_OK ? 0 : -1;
}

const char *lua_incoming_error(const void *file)
{
	return ((const struct lua_incoming *)file)->error.text;
}

static int l_written(lua_State *L)
{
	struct lua_incoming *handle = luaL_checkudata(L, 1, INCOMING_TYPE);
	lua_pushinteger(L, handle->incoming != NULL ? (lua_Integer)incoming_written(handle->incoming) : 0);
	return 1;
}

static void finish(struct lua_job *job)
{
	struct lua_incoming *handle = (struct lua_incoming *)job;
	handle->result = incoming_finish(handle->incoming, &handle->error);
}

static int l_finished(lua_State *L)
{
	struct lua_incoming *handle = lua_touserdata(L, 1);
	handle->is_finishing = false;
	incoming_free(&handle->incoming);
	if (handle->result != INCOMING_OK)
		return l_why(L, handle->result, &handle->error);
	lua_pushboolean(L, 1);
	return 1;
}

static int l_finish(lua_State *L)
{
	struct lua_incoming *handle = l_check_incoming(L, 1);
	handle->is_finishing = true;
	int n_results = l_run_job(L, &handle->job, finish, l_finished);
	handle->is_finishing = false; /* only when it could not be submitted: a coroutine that waits is not here */
	return n_results;
}

static int l_close(lua_State *L)
{
	struct lua_incoming *handle = luaL_checkudata(L, 1, INCOMING_TYPE);
	if (!handle->is_finishing)
		incoming_free(&handle->incoming);
	return 0;
}

/* Nobody can reach it: no thread works on it either, or no longer (the program ends). */
static int l_collect(lua_State *L)
{
	struct lua_incoming *handle = luaL_checkudata(L, 1, INCOMING_TYPE);
	incoming_free(&handle->incoming);
	return 0;
}

int l_open_incoming(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "write", l_write }, { "written", l_written }, { "finish", l_finish }, { "close", l_close }, { NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "open", l_open },
		{ NULL, NULL },
	};
	l_new_type(L, INCOMING_TYPE, methods, l_collect);
	luaL_newlib(L, functions);
	return 1;
}
