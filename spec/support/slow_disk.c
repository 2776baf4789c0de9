/* A disk that can be made to wait and to fail, by LD_PRELOAD, for fsync and fdatasync. SLOW_DISK names a folder:
 *
 *   FOLDER/waits     while it is there, nothing is synced
 *   FOLDER/fails     while it is there, nothing can be synced: EIO
 *   FOLDER/log       a line per call: "main" or "thread", the file's path, and what came of it ("begins" first)
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *folder(void)
{
	return getenv("SLOW_DISK");
}

static bool there_is(const char *name)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", folder(), name);
	return access(path, F_OK) == 0;
}

static void note(int fd, const char *what)
{
	char path[512], link[64], file[256], line[512];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, file, sizeof(file) - 1);
	file[len > 0 ? len : 0] = '\0';
	int n = snprintf(line, sizeof(line), "%s %s %s\n", gettid() == getpid() ? "main" : "thread", file, what);
	snprintf(path, sizeof(path), "%s/log", folder());
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0 || write(log, line, (size_t)n) != n)
		abort();
	close(log);
}

static int slowly(int fd, const char *real_name)
{
	if (folder() == NULL)
		return 0;
	note(fd, "begins");
	while (there_is("waits"))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	if (there_is("fails")) {
		note(fd, "fails");
		errno = EIO;
		return -1;
	}
	int (*real)(int) = (int (*)(int))(size_t)dlsym(RTLD_NEXT, real_name);
	int result = real(fd);
	note(fd, "is done");
	return result;
}

int fsync(int fd)
{
	return slowly(fd, "fsync");
}

int fdatasync(int fd)
{
	return slowly(fd, "fdatasync");
}
