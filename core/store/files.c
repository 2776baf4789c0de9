/* Atomic files: what each call does to the disk at once, and to the batches that make it durable (batch_private.h).
 *
 * A batch that is being synced may be on another thread, which renames, removes and syncs what it has. Until it is
 * over, its entries are only read here; what comes after it for the same path is done in the next batch and undoes
 * nothing of this one. */
#include "store/files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/batch_private.h"

/* Open descriptors are the scarce thing: this many, and no more than a quarter of what the system allows us. */
enum { OPEN_MAX_WANTED = 1024 };

struct files {
	struct batch gathering, syncing;
	bool is_syncing;
	bool deferred;
	unsigned open_max; /* descriptors of a batch */
};

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

struct files *files_new(void)
{
	struct files *files = mem_new(sizeof(*files));
	batch_init(&files->gathering);
	batch_init(&files->syncing);
	struct rlimit limit;
	files->open_max = OPEN_MAX_WANTED;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 4 < files->open_max)
		files->open_max = (unsigned)(limit.rlim_cur / 4);
	return files;
}

void files_free(struct files **files_p)
{
	struct files *files = *files_p;
	if (files == NULL)
		return;
	if (files->is_syncing)
		(void)files_synced(files, NULL, NULL, NULL);
	(void)files_commit(files, NULL, NULL, NULL);
	mem_free(files);
	*files_p = NULL;
}

void files_defer(struct files *files, bool deferred)
{
	files->deferred = deferred;
}

bool files_is_deferred(const struct files *files)
{
	return files->deferred;
}

/* ---- batches ---- */

bool files_is_pending(const struct files *files)
{
	return !batch_is_empty(&files->gathering);
}

bool files_seal(struct files *files)
{
	if (files->is_syncing || batch_is_empty(&files->gathering))
		return false;
	batch_move(&files->syncing, &files->gathering);
	files->is_syncing = true;
	return true;
}

bool files_is_syncing(const struct files *files)
{
	return files->is_syncing;
}

void files_sync(struct files *files)
{
	batch_sync(&files->syncing);
}

int files_synced(struct files *files, void (*failed)(void *ctx, const char *path), void *ctx, struct error *error_r)
{
	assert(files->is_syncing);
	files->is_syncing = false;
	if (!list_is_empty(&files->syncing.lost)) {
		/* It may stand on what is lost: an append to a file that is not there. Undone first, since it came
		 * last. */
		batch_abandon(&files->gathering, &files->syncing);
		(void)batch_report(&files->gathering, failed, ctx, error_r);
	}
	batch_settle(&files->syncing);
	return batch_report(&files->syncing, failed, ctx, error_r);
}

int files_commit(struct files *files, void (*failed)(void *ctx, const char *path), void *ctx, struct error *error_r)
{
	assert(!files->is_syncing);
	if (!files_seal(files))
		return 0;
	files_sync(files);
	return files_synced(files, failed, ctx, error_r);
}

/* The end of every call that changed something. */
static int finish(struct files *files, struct error *error_r)
{
	if (!files->deferred && files->is_syncing)
		return error_set(error_r, "a batch is being synced");
	if (!files->deferred)
		return files_commit(files, NULL, NULL, error_r);
	if (files->gathering.n_open >= files->open_max && !files->is_syncing) {
		batch_sync(&files->gathering); /* a part of it; what is lost of it waits to be told with the rest */
		batch_settle(&files->gathering);
	}
	return 0;
}

/* Before another descriptor is kept. */
static int check_room(const struct files *files, const char *path, struct error *error_r)
{
	if (files->gathering.n_open < files->open_max || !files->is_syncing)
		return 0;
	return error_set(error_r, "cannot write %s: too many files wait for the disk", path);
}

/* What the last writer of that path has left to be made durable; NULL: nothing. */
static const struct pending *find_pending(const struct files *files, const char *path)
{
	const struct pending *pending = batch_find(&files->gathering, path);
	return pending != NULL || !files->is_syncing ? pending : batch_find(&files->syncing, path);
}

static bool is_in_dir(const struct batch *batch, const char *dir)
{
	const struct pending *pending, *after;
	list_each(pending, after, &batch->pending, link)
		if (slice_equal(dir_of(pending->path), slice_of_str(dir)))
			return true;
	return false;
}

static bool has_path(const struct batch *batch, const char *path, bool is_dir)
{
	return is_dir ? is_in_dir(batch, path) : batch_find(batch, path) != NULL;
}

enum files_waits files_waits(const struct files *files, const char *path, bool is_dir)
{
	if (has_path(&files->gathering, path, is_dir))
		return FILES_GATHERING;
	return files->is_syncing && has_path(&files->syncing, path, is_dir) ? FILES_SYNCING : FILES_SETTLED;
}

/* ---- reading ---- */

/* A descriptor to read from, -1 with errno. *own_r: the caller closes it. */
static int open_to_read(struct files *files, const char *path, bool follow_link, bool *own_r)
{
	const struct pending *pending = find_pending(files, path);
	*own_r = pending == NULL;
	if (pending != NULL && pending->is_removal) {
		errno = ENOENT;
		return -1;
	}
	/* O_NONBLOCK: a FIFO in the place of a file must not stop the server. */
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow_link ? 0 : O_NOFOLLOW);
	return pending != NULL ? pending->fd : open(path, flags);
}

static enum files_found read_all(int fd, const char *path, struct buf *into, struct error *error_r)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return error_set(error_r, "cannot read %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error_r, "cannot read %s: not a regular file", path);
	size_t size = (size_t)st.st_size;
	if (st.st_size < 0 || buf_reserve(into, size) != 0)
		return error_set(error_r, "cannot read %s: larger than %zu bytes", path, into->max);
	size_t at = 0;
	while (at < size) {
		ssize_t n = pread(fd, into->ptr + into->len + at, size - at, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(error_r, "cannot read %s: %s", path, strerror(errno));
		if (n == 0)
			return error_set(error_r, "cannot read %s: it shrank while it was read", path);
		at += (size_t)n;
	}
	into->len += size;
	return FILES_FOUND;
}

enum files_found files_read(struct files *files, const char *path, bool follow_link, struct buf *into,
			    struct error *error_r)
{
	bool own;
	int fd = open_to_read(files, path, follow_link, &own);
	if (fd < 0)
		return errno == ENOENT ? FILES_ABSENT : error_set(error_r, "cannot read %s: %s", path, strerror(errno));
	enum files_found found = read_all(fd, path, into, error_r);
	if (own)
		(void)close(fd);
	return found;
}

enum files_found files_size(struct files *files, const char *path, int64_t *size_r, struct error *error_r)
{
	const struct pending *pending = find_pending(files, path);
	struct stat st;
	if (pending != NULL && pending->is_removal)
		return FILES_ABSENT;
	if ((pending != NULL ? fstat(pending->fd, &st) : lstat(path, &st)) != 0)
		return errno == ENOENT ? FILES_ABSENT : error_set(error_r, "cannot read %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error_r, "cannot read %s: not a regular file", path);
	*size_r = st.st_size;
	return FILES_FOUND;
}

/* ---- writing ---- */

/* All bytes at `offset`, or -1 with errno. */
static int write_all(int fd, struct slice bytes, off_t offset)
{
	while (bytes.len > 0) {
		ssize_t n = disk_write(fd, bytes, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes = slice_from(bytes, (size_t)n);
		offset += n;
	}
	return 0;
}

/* A temporary file of that name; one that a crash left behind gives way. */
static int open_tmp(const char *tmp)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(tmp, flags, 0640);
	if (fd < 0 && errno == EEXIST && unlink(tmp) == 0)
		fd = open(tmp, flags, 0640);
	return fd;
}

static char *with_suffix(const char *path, const char *suffix)
{
	size_t len = strlen(path), suffix_len = strlen(suffix);
	char *tmp = mem_new(len + suffix_len + 1);
	memcpy(tmp, path, len);
	memcpy(tmp + len, suffix, suffix_len);
	return tmp;
}

/* Where the new content stands until it is renamed: not where the batch before has its own. */
static char *tmp_of(const struct files *files, const char *path)
{
	const struct pending *pending = batch_find(&files->gathering, path);
	const struct pending *before = files->is_syncing ? batch_find(&files->syncing, path) : NULL;
	if (pending != NULL && pending->tmp != NULL)
		return mem_copy(slice_of_str(pending->tmp));
	bool is_taken = before != NULL && before->tmp != NULL && before->tmp[strlen(before->tmp) - 1] == '~';
	return with_suffix(path, is_taken ? "~+" : "~");
}

int files_write(struct files *files, const char *path, struct slice bytes, struct error *error_r)
{
	struct batch *batch = &files->gathering;
	struct pending *pending = batch_find(batch, path);
	char *tmp = tmp_of(files, path), *second = NULL;
	int result = -1;
	int fd = -1;

	/* The second write of a turn must not lose the first when it fails, so it goes beside it. */
	if (pending != NULL && pending->tmp != NULL)
		second = with_suffix(tmp, "~");
	const char *target = second != NULL ? second : tmp;

	if (pending == NULL && check_room(files, path, error_r) != 0)
		goto out;
	fd = open_tmp(target);
	if (fd < 0) {
		(void)error_set(error_r, "cannot write %s: %s", path, strerror(errno));
		goto out;
	}
	if (write_all(fd, bytes, 0) != 0 || (second != NULL && disk_rename(second, tmp) != 0)) {
		(void)error_set(error_r, "cannot write %s: %s", path, strerror(errno));
		(void)unlink(target);
		goto out;
	}
	/* An append of this turn is part of what is now replaced; its bytes need no cutting back any more, unless the
	 * replacement fails later: then they stay, and both writers are told of the failure. */
	if (pending != NULL)
		batch_drop(batch, pending);
	pending = batch_add(batch, path, fd);
	pending->tmp = tmp;
	tmp = NULL;
	fd = -1;
	batch_add_dir(batch, path);
	result = finish(files, error_r);
out:
	if (fd >= 0)
		(void)close(fd);
	mem_free(tmp);
	mem_free(second);
	return result;
}

/* The file to write on, so that it can be made durable and undone with the batch: -1 with errno. With `may_make`, an
 * absent one is made (*made_r). */
static int open_to_change(const struct files *files, const char *path, bool may_make, bool *made_r)
{
	/* What the batch before is about to rename is the file by now, or soon. */
	const struct pending *before = files->is_syncing ? batch_find(&files->syncing, path) : NULL;
	*made_r = false;
	if (before != NULL)
		return fcntl(before->fd, F_DUPFD_CLOEXEC, 0);
	int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd = open(path, flags);
	if (fd < 0 && errno == ENOENT && may_make) {
		fd = open(path, flags | O_CREAT | O_EXCL, 0640);
		*made_r = fd >= 0;
	}
	return fd;
}

int files_append(struct files *files, const char *path, struct slice bytes, int64_t *offset_r, struct error *error_r)
{
	const struct pending *last = find_pending(files, path);
	if (last != NULL && last->is_removal) {
		if (offset_r != NULL)
			*offset_r = 0;
		return files_write(files, path, bytes, error_r);
	}
	struct pending *pending = batch_find(&files->gathering, path);
	struct stat st;
	int fd = pending != NULL ? pending->fd : -1;
	bool made = false;

	if (fd < 0) {
		if (check_room(files, path, error_r) != 0)
			return -1;
		fd = open_to_change(files, path, true, &made);
		if (fd < 0)
			return error_set(error_r, "cannot append to %s: %s", path, strerror(errno));
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)error_set(error_r, "cannot append to %s: not a regular file", path);
		goto fail;
	}
	if (write_all(fd, bytes, st.st_size) != 0) {
		(void)error_set(error_r, "cannot append to %s: %s", path, strerror(errno));
		if (ftruncate(fd, st.st_size) != 0)
			(void)error_prefix(error_r, "the end of %s may be torn", path);
		goto fail;
	}
	if (pending == NULL) {
		pending = batch_add(&files->gathering, path, fd);
		pending->old_size = st.st_size;
		if (made)
			batch_add_dir(&files->gathering, path);
	}
	if (offset_r != NULL)
		*offset_r = st.st_size;
	return finish(files, error_r);
fail:
	if (made)
		(void)unlink(path);
	if (pending == NULL)
		(void)close(fd);
	return -1;
}

int files_truncate(struct files *files, const char *path, int64_t size, struct error *error_r)
{
	const struct pending *last = find_pending(files, path);
	struct pending *pending = batch_find(&files->gathering, path);
	bool made;
	if (last != NULL && last->is_removal)
		return error_set(error_r, "cannot cut %s: %s", path, strerror(ENOENT));
	if (pending == NULL && check_room(files, path, error_r) != 0)
		return -1;
	int fd = pending != NULL ? pending->fd : open_to_change(files, path, false, &made);
	if (fd < 0 || ftruncate(fd, size) != 0) {
		(void)error_set(error_r, "cannot cut %s: %s", path, strerror(errno));
		if (fd >= 0 && pending == NULL)
			(void)close(fd);
		return -1;
	}
	if (pending == NULL) {
		pending = batch_add(&files->gathering, path, fd);
		pending->old_size = size;
	} else if (pending->old_size > size) {
		pending->old_size = size;
	}
	return finish(files, error_r);
}

enum files_found files_remove(struct files *files, const char *path, struct error *error_r)
{
	struct batch *batch = &files->gathering;
	const struct pending *before = files->is_syncing ? batch_find(&files->syncing, path) : NULL;
	struct pending *pending = batch_find(batch, path);
	bool found = before != NULL && !before->is_removal;
	if (pending != NULL) {
		found = !pending->is_removal;
		if (!found)
			return FILES_ABSENT;
		if (pending->tmp != NULL)
			(void)unlink(pending->tmp);
		batch_drop(batch, pending);
	}
	if (before == NULL) {
		if (unlink(path) == 0)
			found = true;
		else if (errno != ENOENT && errno != ENOTDIR)
			return error_set(error_r, "cannot remove %s: %s", path, strerror(errno));
	}
	if (!found)
		return FILES_ABSENT;
	pending = batch_add(batch, path, -1);
	pending->is_removal = true;
	pending->is_unlinking = before != NULL;
	batch_add_dir(batch, path);
	return finish(files, error_r) == 0 ? FILES_FOUND : FILES_ERROR;
}

/* ---- directories ---- */

int files_make_dirs(struct files *files, const char *path, mode_t mode, struct error *error_r)
{
	struct stat st;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	char *part = mem_copy(slice_of_str(path));
	int result = 0;
	for (char *at = part + 1; result == 0; at++) {
		char was = *at;
		if (was != '/' && was != '\0')
			continue;
		*at = '\0';
		if (mkdir(part, mode) == 0)
			batch_add_dir(&files->gathering, part);
		else if (errno != EEXIST)
			result = error_set(error_r, "cannot make directory %s: %s", part, strerror(errno));
		if (was == '\0')
			break;
		*at = was;
	}
	mem_free(part);
	if (result == 0 && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
		result = error_set(error_r, "cannot make directory %s: a file is in its place", path);
	return result == 0 ? finish(files, error_r) : -1;
}

static bool is_dir(int dir_fd, const struct dirent *entry)
{
	struct stat st;
	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

struct listing {
	const struct files *files;
	const char *dir;
	void (*each)(void *ctx, const char *name, bool is_dir);
	void *ctx;
};

/* A name of the directory: not those whose last write or removal is pending, which are told by themselves. */
static void list_entry_of(const struct listing *listing, const char *name, bool is_directory)
{
	const struct files *files = listing->files;
	if (files->gathering.by_path.count + files->syncing.by_path.count > 0) {
		char *path = with_suffix(listing->dir, "/");
		char *whole = with_suffix(path, name);
		bool is_pending = find_pending(files, whole) != NULL;
		mem_free(whole);
		mem_free(path);
		if (is_pending)
			return;
	}
	listing->each(listing->ctx, name, is_directory);
}

static void list_pending(const struct listing *listing, const struct batch *batch)
{
	const struct pending *pending, *after;
	list_each(pending, after, &batch->pending, link)
		if (!pending->is_removal && slice_equal(dir_of(pending->path), slice_of_str(listing->dir)) &&
		    find_pending(listing->files, pending->path) == pending)
			listing->each(listing->ctx, name_of(pending->path), false);
}

enum files_found files_list(struct files *files, const char *path,
			    void (*each)(void *ctx, const char *name, bool is_dir), void *ctx, struct error *error_r)
{
	const struct listing listing = { files, path, each, ctx };
	DIR *dir = opendir(path);
	if (dir == NULL && (errno == ENOENT || errno == ENOTDIR))
		return FILES_ABSENT;
	if (dir == NULL)
		return error_set(error_r, "cannot list %s: %s", path, strerror(errno));
	const struct dirent *entry;
	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			list_entry_of(&listing, entry->d_name, is_dir(dirfd(dir), entry));
	enum files_found found = FILES_FOUND;
	if (errno != 0)
		found = error_set(error_r, "cannot list %s: %s", path, strerror(errno));
	(void)closedir(dir);
	if (found == FILES_FOUND) {
		list_pending(&listing, &files->gathering);
		if (files->is_syncing)
			list_pending(&listing, &files->syncing);
	}
	return found;
}
