/* Whole files, written so that a crash leaves the old content or the new, never a mixture.
 *
 * A `struct files` gathers writes: each is checked and put on disk at once (so a full disk is told to the writer), and
 * files_commit, or files_seal and files_sync on another thread, makes all of them durable together, before anyone is
 * told that they were done. Until then readers that come through the same `struct files` already see them. Without
 * files_defer every call commits for itself.
 *
 * Always true: a file is replaced by rename, never written in place; an append that fails is cut back; the last part of
 * a path is never followed when it is a symbolic link (files_read does where it is told to); an error is never mistaken
 * for an absent file. */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/slice.h"

struct files;

/* Given by those that answer "is it there?". */
enum files_found { FILES_ERROR = -1, FILES_ABSENT = 0, FILES_FOUND = 1 };

struct files *files_new(void);
/* Commits what is pending; no thread may be at it any more (an error is lost here: commit first to hear of it). */
void files_free(struct files **files);

/* true: writes are durable at files_commit. false (the start): when their call returns. */
void files_defer(struct files *files, bool deferred);
bool files_is_deferred(const struct files *files);
/* Makes everything since the last commit durable; nothing may be being synced. -1 when something could not be: error_r
 * has the first reason, and `failed` (may be NULL) is told each path, which now has its old content again as far as the
 * disk lets us. */
int files_commit(struct files *files, void (*failed)(void *ctx, const char *path), void *ctx, struct error *error_r);
/* Is there anything to commit? */
bool files_is_pending(const struct files *files);

/* The same in three steps. Seals what has gathered; false: there is nothing, or a batch is being synced. Then
 * files_sync is to be called, on any thread, and files_synced (as files_commit), on this one. Meanwhile the files can
 * be used; what is written gathers, and is lost too when the sealed batch is. */
bool files_seal(struct files *files);
bool files_is_syncing(const struct files *files);
void files_sync(struct files *files);
int files_synced(struct files *files, void (*failed)(void *ctx, const char *path), void *ctx, struct error *error_r);

/* What the file at a path, or what a directory lists, waits for to be as durable as readers see it. */
enum files_waits { FILES_SETTLED, FILES_SYNCING, FILES_GATHERING };
enum files_waits files_waits(const struct files *files, const char *path, bool is_dir);

/* Appends the whole file to `into`, whose ceiling is the largest file accepted. */
enum files_found files_read(struct files *files, const char *path, bool follow_link, struct buf *into,
			    struct error *error_r);
enum files_found files_size(struct files *files, const char *path, int64_t *size_r, struct error *error_r);

/* Replaces the file or makes it (mode 0640 under the umask; its directory must exist). */
int files_write(struct files *files, const char *path, struct slice bytes, struct error *error_r);
/* Adds to the end, making the file where needed. offset_r (may be NULL): where the bytes begin. */
int files_append(struct files *files, const char *path, struct slice bytes, int64_t *offset_r, struct error *error_r);
/* Cuts the file to `size` bytes: for a torn end that was never acknowledged. */
int files_truncate(struct files *files, const char *path, int64_t size, struct error *error_r);
/* Gone when it returns; that it stays gone is part of the commit. */
enum files_found files_remove(struct files *files, const char *path, struct error *error_r);

/* The directory and those above it that are missing. */
int files_make_dirs(struct files *files, const char *path, mode_t mode, struct error *error_r);
/* Tells `each` the names in a directory, in no order, pending ones included, "." and ".." not. */
enum files_found files_list(struct files *files, const char *path,
			    void (*each)(void *ctx, const char *name, bool is_dir), void *ctx, struct error *error_r);

/* File names for any bytes, in Prosody's way: all but [A-Za-z0-9] (and '_' with keep_underscore) becomes %xx. What
 * would be longer than FILES_NAME_MAX is cut and given a hash: "%~" and 32 hex digits, which no encoding ever contains.
 * Gives the length; into is NUL-terminated. */
#define FILES_NAME_MAX 240
size_t files_encode_name(struct slice name, bool keep_underscore, char into[FILES_NAME_MAX + 1]);
/* The way back; into has name.len + 1 bytes. The length, or -1 when it is no encoding or one that was cut. */
ssize_t files_decode_name(struct slice name, char *into);

/* T: the nth write, rename or fsync from now on fails with EIO; 0: none does. */
void files_fail_at(unsigned nth_call);

#endif
