/* SQLite with the few things we want of it: statements prepared once, values bound (never pasted into SQL), and the
 * writes of a turn gathered into one transaction.
 *
 * Always true: the first write opens the turn's transaction and sqlite_commit ends it, so nothing is durable and nobody
 * may be told so before sqlite_commit has returned 0 (with sync_later: before sqlite_synced has). When SQLite itself
 * throws the transaction away (disk full, I/O error), every later write of the turn fails and so does its commit. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct sqlite;
struct query;

enum sync { SYNC_FULL, SYNC_NORMAL, SYNC_OFF };

struct sqlite_options {
	enum sync sync;      /* FULL survives power loss; NORMAL may lose the last turns then, never the database */
	int busy_timeout_ms;   /* how long to wait for another process that writes */
	bool read_only;        /* the file must exist */
	bool sync_later;       /* sqlite_commit does not wait for the disk; sqlite_sync does */
};

enum value_kind { VALUE_NULL, VALUE_INTEGER, VALUE_REAL, VALUE_TEXT };

struct value {
	enum value_kind kind;
	int64_t integer;
	double real;
	struct slice text;
};

/* Gives a database; makes the file (mode 0640 under the umask) when absent. NULL on failure. path may be ":memory:". */
struct sqlite *sqlite_open(const char *path, const struct sqlite_options *options, struct error *error_r);
/* What is not committed is lost. No query may be in use, and no thread may be at it any more. */
void sqlite_close(struct sqlite **sqlite);

/* A statement for this SQL, from the cache when it can be. NULL on failure. Ended by query_end. */
struct query *query_new(struct sqlite *sqlite, struct slice sql, struct error *error_r);
/* Parameters count from 1. Text is borrowed until query_end. */
int query_bind(struct query *query, int index, const struct value *value, struct error *error_r);
int query_n_parameters(const struct query *query);
/* 1: there is a row. 0: done. -1: failed, nothing of this statement happened. */
int query_step(struct query *query, struct error *error_r);
int query_n_columns(const struct query *query);
/* Columns count from 0. Text is borrowed until the next step. */
struct value query_column(struct query *query, int column);
void query_end(struct query **query);

/* Rows changed by the last write; the row id of the last insert. */
int64_t sqlite_changes(const struct sqlite *sqlite);
int64_t sqlite_last_row(const struct sqlite *sqlite);

/* Several writes that happen together or not at all, within the turn. They nest. */
int sqlite_savepoint(struct sqlite *sqlite, struct error *error_r);
int sqlite_release(struct sqlite *sqlite, struct error *error_r);
/* Undoes what came since the savepoint and forgets it. */
int sqlite_rollback(struct sqlite *sqlite, struct error *error_r);

/* Is a transaction open (or one lost, and not yet reported)? */
bool sqlite_is_pending(const struct sqlite *sqlite);
/* Ends the turn's transaction, if there is one. -1: everything written since the last commit is undone. */
int sqlite_commit(struct sqlite *sqlite, struct error *error_r);

/* ---- with sync_later; without it nothing is ever to be done here ---- */

/* Commits and waits for the disk, as sqlite_commit does without sync_later. */
int sqlite_commit_now(struct sqlite *sqlite, struct error *error_r);

/* Is there something to sync? Then sqlite_sync is to be called, on any thread, which makes all durable that was
 * committed until now; then sqlite_synced, where the database is used. Meanwhile it can be used, and committed to. */
bool sqlite_seal(struct sqlite *sqlite);
void sqlite_sync(struct sqlite *sqlite);
/* -1: it is not durable, nor what was committed since. The database was opened again: what was in it counts no longer,
 * although some of it may have survived (nobody was told that it would). */
int sqlite_synced(struct sqlite *sqlite, struct error *error_r);

/* Is the log so long that it should be copied into the database? Then sqlite_checkpoint, on any thread, and then
 * sqlite_end_checkpoint, where the database is used: true when the log was cut. Until that is sealed and synced,
 * sqlite_is_cut, and sqlite_commit must not be called. */
bool sqlite_begin_checkpoint(struct sqlite *sqlite);
void sqlite_checkpoint(struct sqlite *sqlite);
bool sqlite_end_checkpoint(struct sqlite *sqlite);
bool sqlite_is_cut(const struct sqlite *sqlite);

/* Closes the file and opens it again, after a failure: what is open is lost. When that fails too, every use says so and
 * tries again, at most once a second. */
void sqlite_reopen(struct sqlite *sqlite);

/* "3.40.1" */
const char *sqlite_version(void);

#endif
