/* The pending writes of a `struct files`, for files.c: a batch gathers, is then synced (which may be on another thread,
 * while the next one gathers), and is settled.
 *
 * A pending write is a temporary file beside PATH waiting to be renamed, the file itself with bytes appended beyond
 * `old_size`, or a removal. The first two keep their descriptor open until the end, which is also what readers read. */
#ifndef STORE_BATCH_PRIVATE_H
#define STORE_BATCH_PRIVATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/slice.h"

struct pending {
	struct list link;
	char *path;
	char *tmp;         /* NULL for an append or a removal */
	int fd;            /* -1 for a removal */
	off_t old_size;    /* of an append: what to cut back to */
	bool is_removal;
	bool is_unlinking; /* the file is to be removed when the batch is synced: the one before may be making it just now */
	int failed;        /* errno of its sync; 0: durable */
};

struct batch {
	struct list pending; /* struct pending */
	struct hash by_path; /* the same */
	struct list dirs;    /* struct path: directories whose entries changed */
	struct list lost;    /* struct path: what could not be written, waiting to be reported */
	struct error lost_error;
	unsigned n_open;     /* descriptors it holds */
};

void batch_init(struct batch *batch);
bool batch_is_empty(const struct batch *batch);
/* Moves all into `to`, which is empty. */
void batch_move(struct batch *to, struct batch *from);

struct pending *batch_find(const struct batch *batch, const char *path);
/* Takes fd. */
struct pending *batch_add(struct batch *batch, const char *path, int fd);
/* Forgets it, without undoing it. */
void batch_drop(struct batch *batch, struct pending *pending);
void batch_add_dir(struct batch *batch, const char *path); /* the one that holds `path` */

/* Makes everything durable, as far as that goes. Touches nothing that readers do. */
void batch_sync(struct batch *batch);
/* Forgets what was synced, and undoes what was not. The lost ones stay to be reported. */
void batch_settle(struct batch *batch);
/* Undoes everything; all of it is lost, for the reason that `because` has. */
void batch_abandon(struct batch *batch, const struct batch *because);
/* Tells the lost ones and forgets them. -1 with the first reason when there are any. */
int batch_report(struct batch *batch, void (*failed)(void *ctx, const char *path), void *ctx, struct error *error_r);

/* The directory part of a path: "." when it has none. Borrows. */
struct slice dir_of(const char *path);

/* The disk, which can be made to fail in test builds. */
int disk_sync(int fd);
int disk_rename(const char *from, const char *to);
ssize_t disk_write(int fd, struct slice bytes, off_t offset);

#endif
