/* The write-ahead log of a database whose commits are synced later.
 *
 * SQLite itself would sync at three places on the thread that commits. Each is done elsewhere, in an order that leaves
 * the database whole whatever the disk keeps of what was not synced:
 *
 * - at the commit (synchronous = FULL). We commit with NORMAL and have the log's pages synced by sqlite_sync, on a
 *   thread; until then nobody is told that they were stored.
 * - in the checkpoint that copies the log into the database. A connection of its own does that on a thread.
 * - when the log is begun anew, before its first frame: else frames of the new log could stand behind a header of the
 *   old one. We cut the log to nothing instead, in a moment when all of it was copied and nobody writes, and have the
 *   cut synced before the next commit; so there is no old log. While a checkpoint runs, `guard` reads the log, which
 *   keeps SQLite from beginning it anew in between. Should it ever do so by itself, then with its own sync.
 *
 * When writers leave no such moment, the log grows, until LOG_MAX_FRAMES; then the thread that commits waits once. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite_private.h"

enum {
	CHECKPOINT_FRAMES = 1000, /* of 4 KiB: what SQLite's own checkpoints wait for */
	LOG_MAX_FRAMES = 16384,
	RETRY_MS = 1000, /* how often a disk that has failed is tried again */
};

/* Not as a statement that is kept: this pragma does its work when it is compiled. */
static int set_sync(struct sqlite *sqlite, const char *sql)
{
	return sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

/* ---- syncing ---- */

static int sync_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? mem_copy(SLICE(".")) : mem_copy(slice_of(path, (size_t)(slash - path) + 1));
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		(void)close(fd);
	mem_free(dir);
	return failed;
}

/* Touches nothing but the log's descriptor and its own result. */
void sqlite_sync(struct sqlite *sqlite)
{
	struct sqlite_log *log = &sqlite->log;
	if (log->sync_errno == 0 && fdatasync(log->fd) != 0)
		log->sync_errno = errno;
	if (log->sync_errno == 0 && !log->is_dir_synced) {
		log->sync_errno = sync_dir_of(sqlite->path);
		log->is_dir_synced = log->sync_errno == 0;
	}
}

static void open_fd(struct sqlite *sqlite)
{
	struct sqlite_log *log = &sqlite->log;
	log->sync_errno = 0;
	if (log->fd >= 0)
		return;
	log->fd = open(sqlite3_filename_wal(sqlite3_db_filename(sqlite->db, "main")), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (log->fd < 0)
		log->sync_errno = errno;
}

bool sqlite_seal(struct sqlite *sqlite)
{
	struct sqlite_log *log = &sqlite->log;
	if (sqlite->db == NULL || log->is_syncing || !(log->is_unsynced || log->is_cut))
		return false;
	log->is_unsynced = false;
	if (!log->is_cut && sqlite->options.sync != SYNC_FULL)
		return false;
	open_fd(sqlite);
	log->is_syncing = true;
	return true;
}

static int sync_result(const struct sqlite_log *log, struct error *error_r)
{
	if (log->sync_errno == 0)
		return 0;
	return error_set(error_r, "the log could not be made durable: %s", strerror(log->sync_errno));
}

int sqlite_synced(struct sqlite *sqlite, struct error *error_r)
{
	struct sqlite_log *log = &sqlite->log;
	log->is_syncing = false;
	int result = sync_result(log, error_r);
	log->is_cut = false;
	if (result != 0)
		sqlite_reopen(sqlite);
	return result;
}

int sqlite_log_sync_now(struct sqlite *sqlite, struct error *error_r)
{
	if (!sqlite_seal(sqlite))
		return 0;
	sqlite_sync(sqlite);
	return sqlite_synced(sqlite, error_r);
}

/* ---- copying into the database ---- */

/* Runs on a thread. A failure leaves the log as it is, and the next checkpoint does the work. */
void sqlite_checkpoint(struct sqlite *sqlite)
{
	struct sqlite_log *log = &sqlite->log;
	sqlite3 *own = NULL;
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE;
	log->n_logged = log->n_copied = -1;
	if (sqlite3_open_v2(sqlite->path, &log->guard, flags, NULL) != SQLITE_OK ||
	    sqlite3_exec(log->guard, "BEGIN; SELECT COUNT(*) FROM sqlite_schema", NULL, NULL, NULL) != SQLITE_OK)
		goto out;
	if (sqlite3_open_v2(sqlite->path, &own, flags, NULL) != SQLITE_OK ||
	    sqlite3_exec(own, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL) != SQLITE_OK)
		goto out;
	if (sqlite3_wal_checkpoint_v2(own, NULL, SQLITE_CHECKPOINT_PASSIVE, &log->n_logged, &log->n_copied) != SQLITE_OK)
		log->n_logged = log->n_copied = -1;
out:
	(void)sqlite3_close(own);
}

/* All of the log was copied, and synced where it went. What another process adds meanwhile is copied here. */
static void cut_log(struct sqlite *sqlite)
{
	struct sqlite_log *log = &sqlite->log;
	int n_logged = -1, n_copied = -1;
	(void)set_sync(sqlite, "PRAGMA synchronous = FULL");
	int result = sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &n_logged, &n_copied);
	if (result == SQLITE_OK && n_logged == 0) {
		log->n_frames = 0;
		log->next_checkpoint = CHECKPOINT_FRAMES;
		log->is_empty = log->is_cut = true;
		(void)set_sync(sqlite, "PRAGMA synchronous = OFF");
	} else {
		log->next_checkpoint = log->n_frames + CHECKPOINT_FRAMES;
		(void)set_sync(sqlite, "PRAGMA synchronous = NORMAL");
	}
}

bool sqlite_begin_checkpoint(struct sqlite *sqlite)
{
	struct sqlite_log *log = &sqlite->log;
	if (sqlite->db == NULL || log->is_checkpointing || log->is_cut || log->n_frames < log->next_checkpoint)
		return false;
	log->is_checkpointing = true;
	return true;
}

static void end_guard(struct sqlite_log *log)
{
	(void)sqlite3_close(log->guard); /* and with it its transaction */
	log->guard = NULL;
}

bool sqlite_end_checkpoint(struct sqlite *sqlite)
{
	struct sqlite_log *log = &sqlite->log;
	log->is_checkpointing = false;
	end_guard(log);
	log->next_checkpoint = log->n_frames + CHECKPOINT_FRAMES / 4;
	bool is_all = log->n_logged > 0 && log->n_copied == log->n_logged && log->n_frames == log->n_logged;
	if (sqlite->is_broken)
		sqlite_reopen(sqlite);
	else if (is_all && sqlite->db != NULL && !sqlite->writing && !log->is_syncing)
		cut_log(sqlite);
	return log->is_cut;
}

bool sqlite_is_cut(const struct sqlite *sqlite)
{
	return sqlite->log.is_cut;
}

/* ---- its life ---- */

static int count_frames(void *ctx, sqlite3 *db, const char *name, int n_frames)
{
	(void)db;
	(void)name;
	struct sqlite *sqlite = ctx;
	sqlite->log.n_frames = n_frames;
	return SQLITE_OK;
}

void sqlite_log_committed(struct sqlite *sqlite)
{
	struct sqlite_log *log = &sqlite->log;
	if (!sqlite->options.sync_later || sqlite->options.sync == SYNC_OFF)
		return;
	log->is_unsynced = true;
	if (log->is_empty) {
		log->is_empty = false;
		(void)set_sync(sqlite, "PRAGMA synchronous = NORMAL");
	}
	if (log->n_frames < LOG_MAX_FRAMES || log->n_frames < log->next_checkpoint || log->is_checkpointing ||
	    log->is_syncing)
		return;
	cut_log(sqlite);
	if (log->is_cut) { /* by a checkpoint that has synced all there was */
		struct error error;
		log->is_unsynced = false;
		(void)sqlite_log_sync_now(sqlite, &error);
	}
}

/* What a crash, or a failure, has left in the log comes into the database, durably, before anything is added to it.
 * may_stay: as long as nothing has failed, it may also stay where it is because somebody else reads it. */
static int settle(struct sqlite *sqlite, bool may_stay, struct error *error_r)
{
	struct sqlite_log *log = &sqlite->log;
	int n_logged = -1, n_copied = -1;
	log->is_unsettled = true;
	if (set_sync(sqlite, "PRAGMA synchronous = FULL") != 0)
		return error_set(error_r, "%s", sqlite3_errmsg(sqlite->db));
	int result = sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &n_logged, &n_copied);
	if (result != SQLITE_OK && !(result == SQLITE_BUSY && may_stay))
		return error_set(error_r, "%s", sqlite3_errmsg(sqlite->db));
	log->is_empty = log->is_cut = result == SQLITE_OK && n_logged == 0;
	if (set_sync(sqlite, log->is_empty ? "PRAGMA synchronous = OFF" : "PRAGMA synchronous = NORMAL") != 0)
		return error_set(error_r, "%s", sqlite3_errmsg(sqlite->db));
	if (sqlite_seal(sqlite)) {
		sqlite_sync(sqlite);
		log->is_syncing = log->is_cut = false;
	}
	log->is_unsettled = sync_result(log, error_r) != 0;
	return log->is_unsettled ? -1 : 0;
}

int sqlite_log_open(struct sqlite *sqlite, struct error *error_r)
{
	struct sqlite_log *log = &sqlite->log;
	*log = (struct sqlite_log){ .fd = -1, .next_checkpoint = CHECKPOINT_FRAMES };
	if (!sqlite->options.sync_later || sqlite->options.sync == SYNC_OFF)
		return 0;
	(void)sqlite3_wal_hook(sqlite->db, count_frames, sqlite); /* in the place of SQLite's own checkpoints */
	return settle(sqlite, !sqlite->has_failed, error_r);
}

int sqlite_log_settle(struct sqlite *sqlite, struct error *error_r)
{
	struct sqlite_log *log = &sqlite->log;
	if (!log->is_unsettled)
		return 0;
	if (clock_ms() - sqlite->tried_ms >= RETRY_MS) {
		sqlite->tried_ms = clock_ms();
		return settle(sqlite, false, error_r);
	}
	return error_set(error_r, "nothing is written since the disk has failed");
}

static void forget(struct sqlite_log *log)
{
	end_guard(log);
	if (log->fd >= 0)
		(void)close(log->fd);
	log->fd = -1;
}

void sqlite_log_close(struct sqlite *sqlite)
{
	/* The last one who closes copies the log and removes it, with the syncs this asks for. */
	if (sqlite->db != NULL && sqlite->options.sync_later && sqlite->options.sync != SYNC_OFF)
		(void)set_sync(sqlite, "PRAGMA synchronous = FULL");
	forget(&sqlite->log);
}

void sqlite_log_abandon(struct sqlite *sqlite)
{
	(void)sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	forget(&sqlite->log);
}
