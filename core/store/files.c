/* Atomic files. A pending write is either a temporary file "PATH~" waiting to be renamed, or the file itself with bytes
 * appended beyond `old_size`. Both keep their descriptor open until the commit, which is also what readers read. */
#include "store/files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/list.h"
#include "base/mem.h"

/* Open descriptors are the scarce thing; beyond this many a turn is committed in parts. */
#define PENDING_MAX 128

struct pending {
	struct list link;
	char *path;
	char *tmp; /* NULL for an append */
	int fd;
	off_t old_size; /* of an append: what to cut back to */
};

/* A directory whose entries changed, or a path whose write was lost, waiting to be reported. */
struct path {
	struct list link;
	char *text;
};

struct files {
	struct list pending; /* struct pending */
	struct list dirs;    /* struct path */
	struct list lost;    /* struct path */
	struct error lost_error;
	unsigned n_pending;
	bool deferred;
};

/* ---- the disk, which can be made to fail in test builds ---- */

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

static int disk_sync(int fd)
{
	return is_failing() ? -1 : fsync(fd);
}

static int disk_rename(const char *from, const char *to)
{
	return is_failing() ? -1 : rename(from, to);
}

static ssize_t disk_write(int fd, struct slice bytes, off_t offset)
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

/* The directory part of a path: "." when it has none. */
static struct slice dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return SLICE(".");
	return slice_of(path, slash == path ? 1 : (size_t)(slash - path));
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

struct files *files_new(void)
{
	struct files *files = mem_new(sizeof(*files));
	list_init(&files->pending);
	list_init(&files->dirs);
	list_init(&files->lost);
	return files;
}

void files_free(struct files **files_p)
{
	struct files *files = *files_p;
	if (files == NULL)
		return;
	(void)files_commit(files, NULL, NULL, NULL);
	mem_free(files);
	*files_p = NULL;
}

void files_defer(struct files *files, bool deferred)
{
	files->deferred = deferred;
}

bool files_is_pending(const struct files *files)
{
	return !list_is_empty(&files->pending) || !list_is_empty(&files->dirs) || !list_is_empty(&files->lost);
}

/* ---- pending writes ---- */

static struct pending *find_pending(struct files *files, const char *path)
{
	struct pending *pending, *after;
	list_each(pending, after, &files->pending, link)
		if (strcmp(pending->path, path) == 0)
			return pending;
	return NULL;
}

static struct pending *add_pending(struct files *files, const char *path, int fd)
{
	struct pending *pending = mem_new(sizeof(*pending));
	pending->path = mem_copy(slice_of_str(path));
	pending->fd = fd;
	list_add_last(&files->pending, &pending->link);
	files->n_pending++;
	return pending;
}

static void free_pending(struct files *files, struct pending *pending)
{
	list_remove(&pending->link);
	files->n_pending--;
	if (pending->fd >= 0)
		(void)close(pending->fd);
	mem_free(pending->path);
	mem_free(pending->tmp);
	mem_free(pending);
}

/* Puts the old content back, as far as that is possible. */
static void undo_pending(struct pending *pending)
{
	if (pending->tmp != NULL)
		(void)unlink(pending->tmp);
	else if (ftruncate(pending->fd, pending->old_size) == 0)
		(void)disk_sync(pending->fd);
}

static void lose(struct files *files, const char *path, const struct error *why)
{
	if (list_is_empty(&files->lost))
		files->lost_error = *why;
	add_path(&files->lost, slice_of_str(path));
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

/* After a failed fsync the kernel may have dropped the pages, and a second fsync would say yes: so there is no second
 * one. What could not be made durable is undone and reported as lost. */
static void settle(struct files *files)
{
	struct error why;
	struct pending *pending, *after;
	list_each(pending, after, &files->pending, link) {
		int failed = disk_sync(pending->fd) != 0 ? errno : 0;
		if (failed == 0 && pending->tmp != NULL && disk_rename(pending->tmp, pending->path) != 0)
			failed = errno;
		if (failed != 0) {
			undo_pending(pending);
			(void)error_set(&why, "cannot write %s: %s", pending->path, strerror(failed));
			lose(files, pending->path, &why);
		}
		free_pending(files, pending);
	}
	struct path *dir, *next;
	list_each(dir, next, &files->dirs, link) {
		/* A directory that was removed since has no entries to keep. */
		if (sync_dir(dir->text, &why) != 0 && access(dir->text, F_OK) == 0)
			lose(files, dir->text, &why);
		free_path(dir);
	}
}

int files_commit(struct files *files, void (*failed)(void *ctx, const char *path), void *ctx, struct error *error_r)
{
	settle(files);
	if (list_is_empty(&files->lost))
		return 0;
	struct path *path, *after;
	list_each(path, after, &files->lost, link) {
		if (failed != NULL)
			failed(ctx, path->text);
		free_path(path);
	}
	return error_set(error_r, "%s", files->lost_error.text);
}

/* The end of every call that changed something. */
static int finish(struct files *files, struct error *error_r)
{
	if (!files->deferred)
		return files_commit(files, NULL, NULL, error_r);
	if (files->n_pending >= PENDING_MAX)
		settle(files);
	return 0;
}

/* ---- reading ---- */

/* A descriptor to read from, -1 with errno. *own_r: the caller closes it. */
static int open_to_read(struct files *files, const char *path, bool follow_link, bool *own_r)
{
	const struct pending *pending = find_pending(files, path);
	*own_r = pending == NULL;
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

static char *with_tilde(const char *path)
{
	size_t len = strlen(path);
	char *tmp = mem_new(len + 2);
	memcpy(tmp, path, len);
	tmp[len] = '~';
	return tmp;
}

int files_write(struct files *files, const char *path, struct slice bytes, struct error *error_r)
{
	struct pending *pending = find_pending(files, path);
	char *tmp = with_tilde(path), *second = NULL;
	int result = -1;
	int fd = -1;

	/* The second write of a turn must not lose the first when it fails, so it goes beside it. */
	if (pending != NULL && pending->tmp != NULL)
		second = with_tilde(tmp);
	const char *target = second != NULL ? second : tmp;

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
		free_pending(files, pending);
	pending = add_pending(files, path, fd);
	pending->tmp = tmp;
	tmp = NULL;
	fd = -1;
	add_path(&files->dirs, dir_of(path));
	result = finish(files, error_r);
out:
	if (fd >= 0)
		(void)close(fd);
	mem_free(tmp);
	mem_free(second);
	return result;
}

int files_append(struct files *files, const char *path, struct slice bytes, int64_t *offset_r, struct error *error_r)
{
	struct pending *pending = find_pending(files, path);
	struct stat st;
	int fd = pending != NULL ? pending->fd : -1;
	bool made = false;

	if (fd < 0) {
		int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
		fd = open(path, flags);
		if (fd < 0 && errno == ENOENT) {
			fd = open(path, flags | O_CREAT | O_EXCL, 0640);
			made = fd >= 0;
		}
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
		pending = add_pending(files, path, fd);
		pending->old_size = st.st_size;
		if (made)
			add_path(&files->dirs, dir_of(path));
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
	struct pending *pending = find_pending(files, path);
	int fd = pending != NULL ? pending->fd : open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	int result = 0;
	if (fd < 0)
		return error_set(error_r, "cannot cut %s: %s", path, strerror(errno));
	if (ftruncate(fd, size) != 0 || disk_sync(fd) != 0)
		result = error_set(error_r, "cannot cut %s: %s", path, strerror(errno));
	else if (pending != NULL && pending->old_size > size)
		pending->old_size = size;
	if (pending == NULL)
		(void)close(fd);
	return result;
}

enum files_found files_remove(struct files *files, const char *path, struct error *error_r)
{
	struct pending *pending = find_pending(files, path);
	bool found = false;
	if (pending != NULL) {
		found = true;
		if (pending->tmp != NULL)
			(void)unlink(pending->tmp);
		free_pending(files, pending);
	}
	if (unlink(path) == 0)
		found = true;
	else if (errno != ENOENT && errno != ENOTDIR)
		return error_set(error_r, "cannot remove %s: %s", path, strerror(errno));
	if (!found)
		return FILES_ABSENT;
	add_path(&files->dirs, dir_of(path));
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
			add_path(&files->dirs, dir_of(part));
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

enum files_found files_list(struct files *files, const char *path,
			    void (*each)(void *ctx, const char *name, bool is_dir), void *ctx, struct error *error_r)
{
	DIR *dir = opendir(path);
	if (dir == NULL && (errno == ENOENT || errno == ENOTDIR))
		return FILES_ABSENT;
	if (dir == NULL)
		return error_set(error_r, "cannot list %s: %s", path, strerror(errno));
	const struct dirent *entry;
	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			each(ctx, entry->d_name, is_dir(dirfd(dir), entry));
	enum files_found found = FILES_FOUND;
	if (errno != 0)
		found = error_set(error_r, "cannot list %s: %s", path, strerror(errno));
	(void)closedir(dir);

	/* Replacements that have no old file yet are not in the directory under their own name. */
	struct pending *pending, *after;
	if (found == FILES_FOUND)
		list_each(pending, after, &files->pending, link)
			if (pending->tmp != NULL && slice_equal(dir_of(pending->path), slice_of_str(path)) &&
			    access(pending->path, F_OK) != 0)
				each(ctx, name_of(pending->path), false);
	return found;
}

/* ---- names ---- */

static bool is_plain(char c, bool keep_underscore)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c == '_' && keep_underscore);
}

/* Encodes as much as fits into max bytes, never half an escape. *rest_r: what did not fit. */
static size_t encode(struct slice name, bool keep_underscore, char *into, size_t max, struct slice *rest_r)
{
	size_t len = 0, at = 0;
	for (; at < name.len; at++) {
		char c = name.ptr[at];
		bool plain = is_plain(c, keep_underscore);
		if (len + (plain ? 1 : 3) > max)
			break;
		if (plain) {
			into[len++] = c;
		} else {
			into[len++] = '%';
			hex_write(&c, 1, into + len);
			len += 2;
		}
	}
	into[len] = '\0';
	*rest_r = slice_from(name, at);
	return len;
}

#define HASH_BYTES 16
#define HASH_LEN (2 + 2 * HASH_BYTES)

size_t files_encode_name(struct slice name, bool keep_underscore, char into[FILES_NAME_MAX + 1])
{
	struct slice rest;
	size_t len = encode(name, keep_underscore, into, FILES_NAME_MAX, &rest);
	if (rest.len == 0)
		return len;
	/* A peer may choose the name, so the hash must be one that nobody can find two names for. */
	unsigned char hash[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)name.ptr, name.len, hash);
	len = encode(name, keep_underscore, into, FILES_NAME_MAX - HASH_LEN, &rest);
	into[len++] = '%';
	into[len++] = '~';
	hex_write(hash, HASH_BYTES, into + len);
	len += 2 * HASH_BYTES;
	into[len] = '\0';
	return len;
}

ssize_t files_decode_name(struct slice name, char *into)
{
	ssize_t len = 0;
	for (size_t at = 0; at < name.len; at++) {
		char c = name.ptr[at];
		if (c == '%') {
			if (name.len - at < 3 || hex_value(name.ptr[at + 1]) < 0 || hex_value(name.ptr[at + 2]) < 0)
				return -1;
			c = (char)(hex_value(name.ptr[at + 1]) << 4 | hex_value(name.ptr[at + 2]));
			at += 2;
		}
		into[len++] = c;
	}
	into[len] = '\0';
	return len;
}
