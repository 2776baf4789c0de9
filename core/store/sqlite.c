/* A thin wrapper over sqlite3, which only this file knows. */
#include "store/sqlite.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite_private.h"

/* SQL texts come from code, so there are few; a bound all the same. */
#define CACHED_MAX 128
/* How often it is tried to open a database again whose disk has failed. */
#define REOPEN_MS 1000

struct query {
	struct list link;
	struct sqlite *sqlite;
	sqlite3_stmt *stmt;
	struct slice sql; /* our copy */
	bool cached, in_use, started;
};

const char *sqlite_version(void)
{
	return sqlite3_libversion();
}

/* ---- statements ---- */

static void free_query(struct query *query)
{
	list_remove(&query->link);
	if (query->cached)
		(void)hash_remove(&query->sqlite->cache, query->sql);
	sqlite3_finalize(query->stmt);
	mem_free((char *)query->sql.ptr);
	mem_free(query);
}

static int revive(struct sqlite *sqlite, struct error *error_r);

struct query *query_new(struct sqlite *sqlite, struct slice sql, struct error *error_r)
{
	if (revive(sqlite, error_r) != 0)
		return NULL;
	struct query *query = hash_get(&sqlite->cache, sql);
	if (query != NULL && !query->in_use) {
		list_remove(&query->link);
		goto out;
	}
	bool known = query != NULL;
	sqlite3_stmt *stmt = NULL;
	const char *tail = NULL;
	if (sql.len > INT_MAX ||
	    sqlite3_prepare_v3(sqlite->db, sql.ptr, (int)sql.len, SQLITE_PREPARE_PERSISTENT, &stmt, &tail) != SQLITE_OK) {
		(void)error_set(error_r, "%s in \"%.*s\"", sqlite3_errmsg(sqlite->db), sql.len > 200 ? 200 : (int)sql.len,
		                sql.ptr);
		return NULL;
	}
	while (tail < sql.ptr + sql.len && strchr(" \t\n;", *tail) != NULL)
		tail++;
	if (stmt == NULL || tail < sql.ptr + sql.len) {
		(void)error_set(error_r, "not exactly one SQL statement");
		(void)sqlite3_finalize(stmt);
		return NULL;
	}
	query = mem_new(sizeof(*query));
	list_init(&query->link);
	query->sqlite = sqlite;
	query->stmt = stmt;
	query->sql = slice_of(mem_copy(sql), sql.len);
	if (!known) {
		if (sqlite->cache.count >= CACHED_MAX && !list_is_empty(&sqlite->idle))
			free_query(list_first(&sqlite->idle, struct query, link));
		query->cached = hash_set(&sqlite->cache, query->sql, query) == 0;
	}
out:
	query->in_use = true;
	query->started = false;
	sqlite->n_in_use++;
	return query;
}

void query_end(struct query **query_p)
{
	struct query *query = *query_p;
	if (query == NULL)
		return;
	*query_p = NULL;
	assert(query->in_use);
	query->in_use = false;
	query->sqlite->n_in_use--;
	if (!query->cached) {
		free_query(query);
		return;
	}
	/* The result repeats the last step's error, which its caller has already heard of. */
	(void)sqlite3_reset(query->stmt);
	(void)sqlite3_clear_bindings(query->stmt);
	list_add_last(&query->sqlite->idle, &query->link);
}

int query_n_parameters(const struct query *query)
{
	return sqlite3_bind_parameter_count(query->stmt);
}

int query_n_columns(const struct query *query)
{
	return sqlite3_column_count(query->stmt);
}

int query_bind(struct query *query, int index, const struct value *value, struct error *error_r)
{
	int rc = SQLITE_MISUSE;
	switch (value->kind) {
	case VALUE_NULL: rc = sqlite3_bind_null(query->stmt, index); break;
	case VALUE_INTEGER: rc = sqlite3_bind_int64(query->stmt, index, value->integer); break;
	case VALUE_REAL: rc = sqlite3_bind_double(query->stmt, index, value->real); break;
	case VALUE_TEXT:
		/* A NULL pointer would bind NULL. */
		rc = sqlite3_bind_text64(query->stmt, index, value->text.len > 0 ? value->text.ptr : "", value->text.len,
		                         SQLITE_STATIC, SQLITE_UTF8);
		break;
	}
	return rc == SQLITE_OK ? 0 : error_set(error_r, "parameter %d: %s", index, sqlite3_errstr(rc));
}

struct value query_column(struct query *query, int column)
{
	switch (sqlite3_column_type(query->stmt, column)) {
	case SQLITE_INTEGER:
		return (struct value){ .kind = VALUE_INTEGER, .integer = sqlite3_column_int64(query->stmt, column) };
	case SQLITE_FLOAT:
		return (struct value){ .kind = VALUE_REAL, .real = sqlite3_column_double(query->stmt, column) };
	case SQLITE_TEXT:
	case SQLITE_BLOB: {
		/* The order matters: asking for the bytes first may convert. */
		const char *ptr = sqlite3_column_blob(query->stmt, column);
		int len = sqlite3_column_bytes(query->stmt, column);
		return (struct value){ .kind = VALUE_TEXT, .text = slice_of(ptr != NULL ? ptr : "", (size_t)len) };
	}
	default: return (struct value){ .kind = VALUE_NULL };
	}
}

/* ---- the turn's transaction ---- */

/* Has SQLite given up the transaction by itself? It does on a full disk, I/O errors and lack of memory. */
static void notice_loss(struct sqlite *sqlite)
{
	if (!sqlite->writing || sqlite3_get_autocommit(sqlite->db) == 0)
		return;
	(void)error_set(&sqlite->lost_error, "all writes of this turn were undone: %s", sqlite3_errmsg(sqlite->db));
	sqlite->writing = false;
	sqlite->lost = true;
	sqlite->savepoints = 0;
}

static int step(struct query *query, struct error *error_r)
{
	int rc = sqlite3_step(query->stmt);
	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE)
		return 0;
	(void)error_set(error_r, "%s", sqlite3_errmsg(query->sqlite->db));
	(void)sqlite3_reset(query->stmt);
	notice_loss(query->sqlite);
	return -1;
}

/* Runs one of our own statements (BEGIN, COMMIT, ...). */
static int control(struct sqlite *sqlite, struct slice sql, struct error *error_r)
{
	struct query *query = query_new(sqlite, sql, error_r);
	if (query == NULL)
		return -1;
	int result = step(query, error_r);
	query_end(&query);
	return result < 0 ? -1 : 0;
}

static int begin(struct sqlite *sqlite, struct error *error_r)
{
	if (sqlite->lost)
		return error_set(error_r, "%s", sqlite->lost_error.text);
	if (sqlite->writing)
		return 0;
	if (sqlite_log_settle(sqlite, error_r) != 0)
		return -1;
	/* IMMEDIATE takes the write lock now: a busy database is told to this writer, not to all of them at the end. */
	if (control(sqlite, SLICE("BEGIN IMMEDIATE"), error_r) != 0)
		return -1;
	sqlite->writing = true;
	return 0;
}

int query_step(struct query *query, struct error *error_r)
{
	if (!query->started && !sqlite3_stmt_readonly(query->stmt) && begin(query->sqlite, error_r) != 0)
		return -1;
	query->started = true;
	return step(query, error_r);
}

int sqlite_savepoint(struct sqlite *sqlite, struct error *error_r)
{
	if (begin(sqlite, error_r) != 0 || control(sqlite, SLICE("SAVEPOINT part"), error_r) != 0)
		return -1;
	sqlite->savepoints++;
	return 0;
}

int sqlite_release(struct sqlite *sqlite, struct error *error_r)
{
	if (sqlite->lost)
		return error_set(error_r, "%s", sqlite->lost_error.text);
	if (sqlite->savepoints == 0)
		return error_set(error_r, "there is no savepoint");
	if (control(sqlite, SLICE("RELEASE part"), error_r) != 0)
		return -1;
	sqlite->savepoints--;
	return 0;
}

int sqlite_rollback(struct sqlite *sqlite, struct error *error_r)
{
	if (sqlite->lost)
		return 0;
	if (sqlite->savepoints == 0)
		return error_set(error_r, "there is no savepoint");
	if (control(sqlite, SLICE("ROLLBACK TO part"), error_r) != 0)
		return -1;
	return sqlite_release(sqlite, error_r);
}

bool sqlite_is_pending(const struct sqlite *sqlite)
{
	return sqlite->writing || sqlite->lost;
}

int sqlite_commit(struct sqlite *sqlite, struct error *error_r)
{
	if (sqlite->lost) {
		sqlite->lost = false;
		return error_set(error_r, "%s", sqlite->lost_error.text);
	}
	if (!sqlite->writing)
		return 0;
	int result = control(sqlite, SLICE("COMMIT"), error_r);
	if (result != 0 && sqlite3_get_autocommit(sqlite->db) == 0)
		(void)control(sqlite, SLICE("ROLLBACK"), NULL);
	sqlite->writing = sqlite->lost = false;
	sqlite->savepoints = 0;
	if (result == 0)
		sqlite_log_committed(sqlite);
	return result;
}

int sqlite_commit_now(struct sqlite *sqlite, struct error *error_r)
{
	if (sqlite->log.is_cut && sqlite_log_sync_now(sqlite, error_r) != 0)
		return -1;
	return sqlite_commit(sqlite, error_r) == 0 ? sqlite_log_sync_now(sqlite, error_r) : -1;
}

int64_t sqlite_changes(const struct sqlite *sqlite)
{
	return sqlite3_changes64(sqlite->db);
}

int64_t sqlite_last_row(const struct sqlite *sqlite)
{
	return sqlite3_last_insert_rowid(sqlite->db);
}

/* ---- opening and closing ---- */

static int set_up(struct sqlite *sqlite, const struct sqlite_options *options, struct error *error_r)
{
	struct slice sync = SLICE("PRAGMA synchronous = FULL");
	if (options->sync == SYNC_NORMAL)
		sync = SLICE("PRAGMA synchronous = NORMAL");
	else if (options->sync == SYNC_OFF)
		sync = SLICE("PRAGMA synchronous = OFF");
	(void)sqlite3_extended_result_codes(sqlite->db, 1);
	(void)sqlite3_busy_timeout(sqlite->db, options->busy_timeout_ms);
	/* The file is data, not code: no tricks from its schema, no writing to its internals. */
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* A misspelt "column" is an error, not a string. */
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	if (options->read_only)
		return control(sqlite, SLICE("SELECT COUNT(*) FROM sqlite_schema"), error_r);
	if (control(sqlite, SLICE("PRAGMA journal_mode = WAL"), error_r) != 0 ||
	    control(sqlite, sync, error_r) != 0 ||
	    control(sqlite, SLICE("PRAGMA cell_size_check = ON"), error_r) != 0)
		return -1;
	/* After a burst the log gives its space back. */
	return control(sqlite, SLICE("PRAGMA journal_size_limit = 67108864"), error_r);
}

/* SQLite would make the file readable for everyone the umask lets. */
static int make_file(const char *path, struct error *error_r)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
	if (fd < 0)
		return error_set(error_r, "%s", strerror(errno));
	(void)close(fd);
	return 0;
}

/* Opens the file of a database that has been made. */
static int open_db(struct sqlite *sqlite, struct error *error_r)
{
	const struct sqlite_options *options = &sqlite->options;
	int flags = SQLITE_OPEN_NOMUTEX | (options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	if (strcmp(sqlite->path, ":memory:") == 0)
		flags |= SQLITE_OPEN_CREATE;
	if (sqlite3_open_v2(sqlite->path, &sqlite->db, flags, NULL) != SQLITE_OK)
		return error_set(error_r, "%s", sqlite->db != NULL ? sqlite3_errmsg(sqlite->db) : "out of memory");
	return set_up(sqlite, options, error_r) == 0 ? sqlite_log_open(sqlite, error_r) : -1;
}

/* Without it what was prepared for it. */
static void close_db(struct sqlite *sqlite)
{
	assert(sqlite->n_in_use == 0);
	while (!list_is_empty(&sqlite->idle))
		free_query(list_first(&sqlite->idle, struct query, link));
	int rc = sqlite3_close(sqlite->db);
	assert(rc == SQLITE_OK);
	sqlite->db = NULL;
}

void sqlite_reopen(struct sqlite *sqlite)
{
	struct error error;
	sqlite->writing = sqlite->lost = false;
	sqlite->savepoints = 0;
	sqlite->is_broken = sqlite->has_failed = true;
	if (sqlite->log.is_checkpointing)
		return; /* sqlite_end_checkpoint does it */
	if (sqlite->db != NULL) {
		sqlite_log_abandon(sqlite);
		close_db(sqlite);
	}
	sqlite->tried_ms = clock_ms();
	sqlite->is_broken = false;
	if (open_db(sqlite, &error) == 0 || (sqlite->db != NULL && sqlite->log.is_unsettled))
		return; /* it can be read at least */
	sqlite->is_broken = true;
	sqlite->lost_error = error;
	sqlite_log_abandon(sqlite);
	close_db(sqlite);
}

static int revive(struct sqlite *sqlite, struct error *error_r)
{
	if (sqlite->is_broken && sqlite->db == NULL && clock_ms() - sqlite->tried_ms >= REOPEN_MS)
		sqlite_reopen(sqlite);
	if (!sqlite->is_broken)
		return 0;
	return error_set(error_r, "the database cannot be used since its disk failed: %s", sqlite->lost_error.text);
}

struct sqlite *sqlite_open(const char *path, const struct sqlite_options *options, struct error *error_r)
{
	struct sqlite *sqlite = mem_new(sizeof(*sqlite));
	list_init(&sqlite->idle);
	hash_init(&sqlite->cache, CACHED_MAX);
	sqlite->log.fd = -1;
	sqlite->path = mem_copy(slice_of_str(path));
	sqlite->options = *options;
	bool is_in_memory = strcmp(path, ":memory:") == 0;
	if (is_in_memory)
		sqlite->options.sync_later = false;
	if ((is_in_memory || options->read_only || make_file(path, error_r) == 0) && open_db(sqlite, error_r) == 0)
		return sqlite;
	(void)error_prefix(error_r, "cannot open database %s", path);
	sqlite_close(&sqlite);
	return NULL;
}

void sqlite_close(struct sqlite **sqlite_p)
{
	struct sqlite *sqlite = *sqlite_p;
	if (sqlite == NULL)
		return;
	*sqlite_p = NULL;
	sqlite_log_close(sqlite);
	close_db(sqlite);
	hash_done(&sqlite->cache);
	mem_free(sqlite->path);
	mem_free(sqlite);
}
