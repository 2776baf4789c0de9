/* Always true: a path is pending once in a batch; by_path has all that pending has. */
#include "store/batch_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/files.h"

/* More than there can be descriptors and removals of. */
enum { PENDING_MAX = 1 << 28 };

struct path {
	struct list link;
	char *text;
};

/* ---- the disk ---- */

#ifdef COUPLET_TEST
static unsigned fail_at;
void files_fail_at(unsigned nth_call)
{
	fail_at = nth_call;
}

static bool is_failing(void)
{
	if (fail_at == 0 || --fail_at > 0)
		return false;
	errno = EIO;
	return true;
}
#else
static bool is_failing(void)
{
	return false;
}
#endif

int disk_sync(int fd)
{
	return is_failing() ? -1 : fsync(fd);
}

int disk_rename(const char *from, const char *to)
{
	return is_failing() ? -1 : rename(from, to);
}

ssize_t disk_write(int fd, struct slice bytes, off_t offset)
{
	return is_failing() ? -1 : pwrite(fd, bytes.ptr, bytes.len, offset);
}

/* ---- paths ---- */

static void add_path(struct list *to, struct slice text)
{
	struct path *path, *after;
	list_each(path, after, to, link)
		if (slice_equal(slice_of_str(path->text), text))
			return;
	path = mem_new(sizeof(*path));
	path->text = mem_copy(text);
	list_add_last(to, &path->link);
}

static void free_path(struct path *path)
{
	list_remove(&path->link);
	mem_free(path->text);
	mem_free(path);
}

struct slice dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return SLICE(".");
	return slice_of(path, slash == path ? 1 : (size_t)(slash - path));
}

/* ---- what is pending ---- */

void batch_init(struct batch *batch)
{
	*batch = (struct batch){ .n_open = 0 };
	list_init(&batch->pending);
	list_init(&batch->dirs);
	list_init(&batch->lost);
	hash_init(&batch->by_path, PENDING_MAX);
}

bool batch_is_empty(const struct batch *batch)
{
	return list_is_empty(&batch->pending) && list_is_empty(&batch->dirs) && list_is_empty(&batch->lost);
}

void batch_move(struct batch *to, struct batch *from)
{
	hash_done(&to->by_path);
	batch_init(to);
	list_append(&to->pending, &from->pending);
	list_append(&to->dirs, &from->dirs);
	list_append(&to->lost, &from->lost);
	to->by_path = from->by_path;
	to->lost_error = from->lost_error;
	to->n_open = from->n_open;
	batch_init(from);
}

struct pending *batch_find(const struct batch *batch, const char *path)
{
	return batch->by_path.count > 0 ? hash_get(&batch->by_path, slice_of_str(path)) : NULL;
}

struct pending *batch_add(struct batch *batch, const char *path, int fd)
{
	struct pending *pending = mem_new(sizeof(*pending));
	pending->path = mem_copy(slice_of_str(path));
	pending->fd = fd;
	list_add_last(&batch->pending, &pending->link);
	(void)hash_set(&batch->by_path, slice_of_str(pending->path), pending);
	if (fd >= 0)
		batch->n_open++;
	return pending;
}

void batch_drop(struct batch *batch, struct pending *pending)
{
	list_remove(&pending->link);
	(void)hash_remove(&batch->by_path, slice_of_str(pending->path));
	if (pending->fd >= 0) {
		batch->n_open--;
		(void)close(pending->fd);
	}
	mem_free(pending->path);
	mem_free(pending->tmp);
	mem_free(pending);
}

void batch_add_dir(struct batch *batch, const char *path)
{
	add_path(&batch->dirs, dir_of(path));
}

/* ---- making it durable ---- */

static void lose(struct batch *batch, const char *path, const struct error *why)
{
	if (list_is_empty(&batch->lost))
		batch->lost_error = *why;
	add_path(&batch->lost, slice_of_str(path));
}

static int sync_dir(const char *path, struct error *error_r)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(error_r, "cannot open %s: %s", path, strerror(errno));
	int result = disk_sync(fd) == 0 ? 0 : error_set(error_r, "cannot make %s durable: %s", path, strerror(errno));
	(void)close(fd);
	return result;
}

static bool sync_pending(const struct pending *pending)
{
	if (pending->is_removal)
		return !pending->is_unlinking || unlink(pending->path) == 0 || errno == ENOENT || errno == ENOTDIR;
	return disk_sync(pending->fd) == 0 && (pending->tmp == NULL || disk_rename(pending->tmp, pending->path) == 0);
}

/* After a failed fsync the kernel may have dropped the pages, and a second fsync would say yes: so there is no second
 * one. What could not be made durable is undone and reported as lost. */
void batch_sync(struct batch *batch)
{
	struct error why;
	struct pending *pending, *after;
	list_each(pending, after, &batch->pending, link) {
		if (sync_pending(pending))
			continue;
		pending->failed = errno;
		(void)error_set(&why, "cannot write %s: %s", pending->path, strerror(pending->failed));
		lose(batch, pending->path, &why);
	}
	struct path *dir, *next;
	list_each(dir, next, &batch->dirs, link) {
		/* A directory that was removed since has no entries to keep. */
		if (sync_dir(dir->text, &why) != 0 && access(dir->text, F_OK) == 0)
			lose(batch, dir->text, &why);
		free_path(dir);
	}
}

/* Puts the old content back, as far as that is possible. */
static void undo(struct pending *pending)
{
	if (pending->tmp != NULL)
		(void)unlink(pending->tmp);
	else if (!pending->is_removal && ftruncate(pending->fd, pending->old_size) == 0)
		(void)disk_sync(pending->fd);
}

void batch_settle(struct batch *batch)
{
	while (!list_is_empty(&batch->pending)) {
		struct pending *pending = list_first(&batch->pending, struct pending, link);
		if (pending->failed != 0)
			undo(pending);
		batch_drop(batch, pending);
	}
	hash_done(&batch->by_path);
	hash_init(&batch->by_path, PENDING_MAX);
}

void batch_abandon(struct batch *batch, const struct batch *because)
{
	struct pending *pending, *after;
	list_each(pending, after, &batch->pending, link) {
		pending->failed = ECANCELED;
		lose(batch, pending->path, &because->lost_error);
	}
	while (!list_is_empty(&batch->dirs))
		free_path(list_first(&batch->dirs, struct path, link));
	batch_settle(batch);
}

int batch_report(struct batch *batch, void (*failed)(void *ctx, const char *path), void *ctx, struct error *error_r)
{
	if (list_is_empty(&batch->lost))
		return 0;
	struct path *path, *after;
	list_each(path, after, &batch->lost, link) {
		if (failed != NULL)
			failed(ctx, path->text);
		free_path(path);
	}
	return error_set(error_r, "%s", batch->lost_error.text);
}
