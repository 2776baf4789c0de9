/* util.sqlite3: SQLite for Lua (see store/sqlite.h), an optional shared object that is loaded when first required.
 *
 *	local sqlite3 = require "prosody.util.sqlite3";
 *	local db, err = sqlite3.open(path, { synchronous = "full" | "normal" | "off", busy_timeout_ms =, read_only =,
 *		sync_later = });
 *	db:exec(sql, ...)  -> rows changed | nil, error          db:query(sql, ...) -> { { column, ... }, ... } | nil, error
 *	db:row(sql, ...)   -> columns of the first row, nothing when there is none | nil, error
 *	db:savepoint(), db:release(), db:rollback(), db:commit(), db:close() -> true | nil, error
 *
 * With sync_later, commit() does not wait for the disk. Then, with jobs for native.sync and native.background:
 *	db:seal() -> job, which makes durable what was committed | nil; after it db:synced() -> true | nil, error
 *	db:begin_checkpoint() -> job | nil; after it db:end_checkpoint() -> true when the log was cut. Until db:seal()'s job
 *	has synced that, db:is_cut() is true, and db:commit() must wait.     db:commit_now() commits and waits for the disk.
 *
 * Values are always bound: nil, integers, floats and strings. The first write opens a transaction, which db:commit()
 * ends. Columns that are NULL are nil. */
#include <lauxlib.h>
#include <string.h>

#include "lua/bind.h"
#include "lua/disk_job.h"
#include "store/sqlite.h"

#define DB_TYPE "couplet.sqlite3"
#define QUERY_TYPE "couplet.sqlite3.query"

int luaopen_couplet_sqlite3(lua_State *L);

/* ---- handle ---- */

static struct sqlite *l_check_db(lua_State *L)
{
	struct sqlite **db = luaL_checkudata(L, 1, DB_TYPE);
	if (*db == NULL)
		luaL_error(L, "database is closed");
	return *db;
}

static int l_db_gc(lua_State *L)
{
	sqlite_close(luaL_checkudata(L, 1, DB_TYPE));
	return 0;
}

/* Ends the query even when an error passes by: it stands in a to-be-closed slot. */
static int l_query_close(lua_State *L)
{
	query_end(luaL_checkudata(L, 1, QUERY_TYPE));
	return 0;
}

/* ---- check ---- */

/* Raises while nothing is held. Arguments from `first` on become parameters 1, 2, ... */
static void l_check_values(lua_State *L, int first)
{
	for (int arg = first; arg <= lua_gettop(L); arg++) {
		int type = lua_type(L, arg);
		luaL_argexpected(L, type == LUA_TNIL || type == LUA_TNUMBER || type == LUA_TSTRING, arg,
		                 "nil, number or string");
	}
}

/* Raises nothing: no argument needs converting. */
static struct value value_at(lua_State *L, int arg)
{
	struct value value = { .kind = VALUE_NULL };
	switch (lua_type(L, arg)) {
	case LUA_TSTRING:
		value.kind = VALUE_TEXT;
		value.text.ptr = lua_tolstring(L, arg, &value.text.len);
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, arg)) {
			value.kind = VALUE_INTEGER;
			value.integer = lua_tointeger(L, arg);
		} else {
			value.kind = VALUE_REAL;
			value.real = lua_tonumber(L, arg);
		}
		break;
	default: break;
	}
	return value;
}

/* A query with its values bound: the SQL is argument 2, the values are 3 to last. NULL on failure. */
static struct query *prepare(lua_State *L, struct sqlite *db, int last, struct error *error_r)
{
	struct slice sql;
	sql.ptr = lua_tolstring(L, 2, &sql.len);
	struct query *query = query_new(db, sql, error_r);
	if (query == NULL)
		return NULL;
	int result = 0;
	if (query_n_parameters(query) != last - 2)
		result = error_set(error_r, "%d values for %d parameters in \"%.*s\"", last - 2, query_n_parameters(query),
		                   sql.len > 200 ? 200 : (int)sql.len, sql.ptr);
	for (int arg = 3; result == 0 && arg <= last; arg++) {
		struct value value = value_at(L, arg);
		result = query_bind(query, arg - 2, &value, error_r);
	}
	if (result != 0)
		query_end(&query);
	return query;
}

static void l_push_column(lua_State *L, struct query *query, int column)
{
	struct value value = query_column(query, column);
	switch (value.kind) {
	case VALUE_INTEGER: lua_pushinteger(L, value.integer); break;
	case VALUE_REAL: lua_pushnumber(L, value.real); break;
	case VALUE_TEXT: lua_pushlstring(L, value.text.ptr, value.text.len); break;
	case VALUE_NULL: lua_pushnil(L); break;
	}
}

/* ---- readers ---- */

/* Starts the query of the arguments in a slot that ends it on every way out. Gives NULL with nil, error pushed. */
static struct query *l_start(lua_State *L)
{
	struct sqlite *db = l_check_db(L);
	(void)luaL_checkstring(L, 2);
	l_check_values(L, 3);
	int last = lua_gettop(L);
	luaL_checkstack(L, 8, "too many values");
	struct query **slot = lua_newuserdatauv(L, sizeof(*slot), 0);
	*slot = NULL;
	luaL_setmetatable(L, QUERY_TYPE);
	lua_toclose(L, -1);
	struct error error;
	*slot = prepare(L, db, last, &error);
	if (*slot == NULL)
		(void)l_failed(L, &error);
	return *slot;
}

static int l_query(lua_State *L)
{
	struct query *query = l_start(L);
	if (query == NULL)
		return 2;
	int n_columns = query_n_columns(query);
	lua_newtable(L);
	struct error error;
	int more;
	lua_Integer n = 0;
	while ((more = query_step(query, &error)) == 1) {
		lua_createtable(L, n_columns, 0);
		for (int column = 0; column < n_columns; column++) {
			l_push_column(L, query, column);
			lua_rawseti(L, -2, column + 1);
		}
		lua_rawseti(L, -2, ++n);
	}
	return more < 0 ? l_failed(L, &error) : 1;
}

static int l_row(lua_State *L)
{
	struct query *query = l_start(L);
	if (query == NULL)
		return 2;
	struct error error;
	int more = query_step(query, &error);
	if (more <= 0)
		return more < 0 ? l_failed(L, &error) : 0;
	int n_columns = query_n_columns(query);
	luaL_checkstack(L, n_columns, "too many columns");
	for (int column = 0; column < n_columns; column++)
		l_push_column(L, query, column);
	return n_columns;
}

/* ---- writers ---- */

static int l_exec(lua_State *L)
{
	struct sqlite *db = l_check_db(L);
	(void)luaL_checkstring(L, 2);
	l_check_values(L, 3);
	struct error error;
	struct query *query = prepare(L, db, lua_gettop(L), &error);
	int more = query != NULL ? 1 : -1;
	while (more == 1)
		more = query_step(query, &error);
	query_end(&query);
	if (more < 0)
		return l_failed(L, &error);
	lua_pushinteger(L, sqlite_changes(db));
	return 1;
}

static int l_last_row(lua_State *L)
{
	lua_pushinteger(L, sqlite_last_row(l_check_db(L)));
	return 1;
}

static int l_savepoint(lua_State *L)
{
	struct error error;
	return l_done(L, sqlite_savepoint(l_check_db(L), &error), &error);
}

static int l_release(lua_State *L)
{
	struct error error;
	return l_done(L, sqlite_release(l_check_db(L), &error), &error);
}

static int l_rollback(lua_State *L)
{
	struct error error;
	return l_done(L, sqlite_rollback(l_check_db(L), &error), &error);
}

static int l_is_pending(lua_State *L)
{
	lua_pushboolean(L, sqlite_is_pending(l_check_db(L)));
	return 1;
}

static int l_commit(lua_State *L)
{
	struct error error;
	return l_done(L, sqlite_commit(l_check_db(L), &error), &error);
}

static int l_commit_now(lua_State *L)
{
	struct error error;
	return l_done(L, sqlite_commit_now(l_check_db(L), &error), &error);
}

/* Commits first; the database is closed in any case. */
static int l_close(lua_State *L)
{
	struct error error;
	struct sqlite **db = luaL_checkudata(L, 1, DB_TYPE);
	int result = *db != NULL ? sqlite_commit_now(*db, &error) : 0;
	sqlite_close(db);
	return l_done(L, result, &error);
}

/* ---- what a thread does ---- */

static void run_sync(void *ctx)
{
	sqlite_sync(ctx);
}

static void run_checkpoint(void *ctx)
{
	sqlite_checkpoint(ctx);
}

static int l_seal(lua_State *L)
{
	struct sqlite *db = l_check_db(L);
	if (sqlite_seal(db))
		l_push_disk_job(L, 1, run_sync, db);
	else
		lua_pushnil(L);
	return 1;
}

static int l_synced(lua_State *L)
{
	struct error error;
	return l_done(L, sqlite_synced(l_check_db(L), &error), &error);
}

static int l_begin_checkpoint(lua_State *L)
{
	struct sqlite *db = l_check_db(L);
	if (sqlite_begin_checkpoint(db))
		l_push_disk_job(L, 1, run_checkpoint, db);
	else
		lua_pushnil(L);
	return 1;
}

static int l_end_checkpoint(lua_State *L)
{
	lua_pushboolean(L, sqlite_end_checkpoint(l_check_db(L)));
	return 1;
}

static int l_is_cut(lua_State *L)
{
	lua_pushboolean(L, sqlite_is_cut(l_check_db(L)));
	return 1;
}

/* ---- opening ---- */

static int l_open(lua_State *L)
{
	static const char *const sync_names[] = { "full", "normal", "off", NULL };
	size_t len;
	const char *path = luaL_checklstring(L, 1, &len);
	luaL_argcheck(L, len > 0 && strlen(path) == len, 1, "not a path");
	struct sqlite_options options = { .sync = SYNC_FULL, .busy_timeout_ms = 3000 };
	if (!lua_isnoneornil(L, 2)) {
		luaL_checktype(L, 2, LUA_TTABLE);
		lua_getfield(L, 2, "synchronous");
		options.sync = (enum sync)luaL_checkoption(L, -1, "full", sync_names);
		lua_getfield(L, 2, "busy_timeout_ms");
		options.busy_timeout_ms = (int)luaL_optinteger(L, -1, options.busy_timeout_ms);
		lua_getfield(L, 2, "read_only");
		options.read_only = lua_toboolean(L, -1);
		lua_getfield(L, 2, "sync_later");
		options.sync_later = lua_toboolean(L, -1);
	}
	struct sqlite **db = lua_newuserdatauv(L, sizeof(*db), 0);
	*db = NULL;
	luaL_setmetatable(L, DB_TYPE);
	struct error error;
	*db = sqlite_open(path, &options, &error);
	return *db != NULL ? 1 : l_failed(L, &error);
}

/* ---- tables ---- */

static const luaL_Reg methods[] = {
	{ "query", l_query },
	{ "row", l_row },
	{ "exec", l_exec },
	{ "last_row", l_last_row },
	{ "savepoint", l_savepoint },
	{ "release", l_release },
	{ "rollback", l_rollback },
	{ "is_pending", l_is_pending },
	{ "commit", l_commit },
	{ "commit_now", l_commit_now },
	{ "seal", l_seal },
	{ "synced", l_synced },
	{ "begin_checkpoint", l_begin_checkpoint },
	{ "end_checkpoint", l_end_checkpoint },
	{ "is_cut", l_is_cut },
	{ "close", l_close },
	{ NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "open", l_open },
	{ NULL, NULL },
};

int luaopen_couplet_sqlite3(lua_State *L)
{
	l_new_type(L, QUERY_TYPE, NULL, l_query_close);
	l_new_type(L, DB_TYPE, methods, l_db_gc);
	luaL_newlib(L, functions);
	lua_pushstring(L, sqlite_version());
	lua_setfield(L, -2, "version");
	return 1;
}
