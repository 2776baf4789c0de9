/* The inside of a database: sqlite.c has its statements, transactions and life, sqlite_log.c the write-ahead log. */
#ifndef STORE_SQLITE_PRIVATE_H
#define STORE_SQLITE_PRIVATE_H

#include <sqlite3.h>

#include "base/hash.h"
#include "base/list.h"
#include "store/sqlite.h"

/* The write-ahead log, when commits are synced later. */
struct sqlite_log {
	int fd;               /* of the log, for fdatasync; -1 until it is needed */
	bool is_dir_synced;   /* that the log is there survives a crash */
	int n_frames;         /* in it, as of our last commit */
	int next_checkpoint;  /* how many frames are enough for another one */
	bool is_unsynced;     /* there were commits since the last seal */
	bool is_empty;        /* cut by us: its header may be written without a sync of its own */
	bool is_cut;          /* and the cut is not known to be durable */
	bool is_unsettled;    /* some of it may not be on the disk: it must not be added to */

	bool is_syncing;      /* sqlite_sync runs, or its end was not told yet */
	int sync_errno;       /* its result; 0: durable */

	bool is_checkpointing;
	sqlite3 *guard;       /* reads meanwhile, so that nobody begins the log anew */
	int n_logged, n_copied; /* the checkpoint's result */
};

struct sqlite {
	sqlite3 *db;       /* NULL: it could not be opened again after a failure */
	bool is_broken;    /* its disk failed, and it was not opened again since */
	bool has_failed;   /* its disk did, once */
	char *path;
	struct sqlite_options options;
	struct hash cache; /* SQL text -> struct query */
	struct list idle;  /* cached queries not in use, the one used last at the end */
	bool writing;      /* the turn's transaction is open */
	bool lost;         /* it was, and SQLite threw it away: told to every writer until the commit */
	struct error lost_error;
	unsigned savepoints;
	unsigned n_in_use;
	int64_t tried_ms;  /* when it was last tried to open it again */
	struct sqlite_log log;
};

/* sqlite_log.c: after the database was opened; before it is closed in good order; before it is closed after a failure
 * (nothing is copied from the log then). */
int sqlite_log_open(struct sqlite *sqlite, struct error *error_r);
void sqlite_log_close(struct sqlite *sqlite);
void sqlite_log_abandon(struct sqlite *sqlite);
/* Before anything is written: -1 while the log cannot be. */
int sqlite_log_settle(struct sqlite *sqlite, struct error *error_r);
/* A transaction was committed. */
void sqlite_log_committed(struct sqlite *sqlite);
/* Waits for the disk. */
int sqlite_log_sync_now(struct sqlite *sqlite, struct error *error_r);

#endif
