/* Files that come piece by piece. The page cache is not left to fill: every few MiB the system is told to start
 * writing, so that the end, which waits for the disk, is short. */
#include "store/incoming.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { WRITE_OUT_BYTES = 4 * 1024 * 1024, NAME_BYTES = 256 };

struct incoming {
	int directory_fd, fd;
	uint64_t size, written, written_out;
	bool is_finished;
	char name[NAME_BYTES], part[NAME_BYTES];
};

static enum incoming_result fail(struct error *error_r, const char *what, int error)
{
	(void)error_set(error_r, "%s: %s", what, strerror(error));
	if (error == EEXIST)
		return INCOMING_EXISTS;
	return error == ENOSPC || error == EDQUOT || error == EFBIG ? INCOMING_FULL : INCOMING_FAILED;
}

static enum incoming_result make_part(struct incoming *incoming, struct error *error_r)
{
	struct stat facts;
	if (fstatat(incoming->directory_fd, incoming->name, &facts, AT_SYMLINK_NOFOLLOW) == 0)
		return fail(error_r, incoming->name, EEXIST);
	incoming->fd = openat(incoming->directory_fd, incoming->part,
			      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (incoming->fd < 0)
		return fail(error_r, incoming->part, errno);
	/* Most file systems take the room at once; the others find out while it is written. */
	if (incoming->size > 0 && fallocate(incoming->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)incoming->size) != 0
	    && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
		return fail(error_r, incoming->part, errno);
	return INCOMING_OK;
}

enum incoming_result incoming_open(const char *directory, const char *name, uint64_t size,
				   struct incoming **incoming_r, struct error *error_r)
{
	*incoming_r = NULL;
	if (name[0] == '\0' || strchr(name, '/') != NULL || strlen(name) + sizeof(".part") > NAME_BYTES)
		return fail(error_r, "the name of the file", ENAMETOOLONG);
	if (size > INT64_MAX)
		return fail(error_r, name, EFBIG);
	struct incoming *incoming = mem_new(sizeof(*incoming));
	incoming->fd = -1;
	incoming->size = size;
	(void)snprintf(incoming->name, sizeof(incoming->name), "%s", name);
	(void)snprintf(incoming->part, sizeof(incoming->part), "%s.part", name);
	incoming->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum incoming_result result =
		incoming->directory_fd >= 0 ? make_part(incoming, error_r) : fail(error_r, directory, errno);
	if (result != INCOMING_OK)
		incoming_free(&incoming);
	*incoming_r = incoming;
	return result;
}

void incoming_free(struct incoming **incoming_ref)
{
	struct incoming *incoming = *incoming_ref;
	if (incoming == NULL)
		return;
	*incoming_ref = NULL;
	if (incoming->fd >= 0) {
		if (!incoming->is_finished)
			(void)unlinkat(incoming->directory_fd, incoming->part, 0);
		(void)close(incoming->fd);
	}
	if (incoming->directory_fd >= 0)
		(void)close(incoming->directory_fd);
	mem_free(incoming);
}

uint64_t incoming_written(const struct incoming *incoming) { return incoming->written; }

enum incoming_result incoming_write(struct incoming *incoming, struct slice bytes, struct error *error_r)
{
	assert(!incoming->is_finished);
	if (bytes.len > incoming->size - incoming->written) {
		(void)error_set(error_r, "more bytes than were announced");
		return INCOMING_FAILED;
	}
	while (bytes.len > 0) {
		ssize_t written = write(incoming->fd, bytes.ptr, bytes.len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail(error_r, incoming->part, errno);
		incoming->written += (uint64_t)written;
		bytes = slice_from(bytes, (size_t)written);
	}
	if (incoming->written - incoming->written_out >= WRITE_OUT_BYTES) {
		(void)sync_file_range(incoming->fd, (off_t)incoming->written_out,
				      (off_t)(incoming->written - incoming->written_out), SYNC_FILE_RANGE_WRITE);
		incoming->written_out = incoming->written;
	}
	return INCOMING_OK;
}

enum incoming_result incoming_finish(struct incoming *incoming, struct error *error_r)
{
	if (incoming->written != incoming->size) {
		(void)error_set(error_r, "fewer bytes than were announced");
		return INCOMING_FAILED;
	}
	if (fsync(incoming->fd) != 0)
		return fail(error_r, incoming->part, errno);
	if (renameat2(incoming->directory_fd, incoming->part, incoming->directory_fd, incoming->name,
		      RENAME_NOREPLACE) != 0) {
		/* Where the file system cannot promise that: nobody else has this name, our part was made exclusively. */
		if (errno != EINVAL
		    || renameat(incoming->directory_fd, incoming->part, incoming->directory_fd, incoming->name) != 0)
			return fail(error_r, incoming->name, errno);
	}
	if (fsync(incoming->directory_fd) != 0) {
		int error = errno;
		(void)unlinkat(incoming->directory_fd, incoming->name, 0);
		return fail(error_r, incoming->name, error);
	}
	incoming->is_finished = true;
	return INCOMING_OK;
}
