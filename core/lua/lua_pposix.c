/* util.pposix: what a server asks of the system it runs on. Functions give true, or false and why, as Prosody's do. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fallocate, domainname */
#endif

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <lauxlib.h>
#include <linux/capability.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <unistd.h>

#include "base/mem.h"
#include "lua/libs.h"

static int l_true(lua_State *L)
{
	lua_pushboolean(L, true);
	return 1;
}

static int l_false(lua_State *L, const char *why)
{
	lua_pushboolean(L, false);
	lua_pushstring(L, why);
	return 2;
}

static int l_result(lua_State *L, int result)
{
	return result == 0 ? l_true(L) : l_false(L, strerror(errno));
}

/* ---- the process ---- */

static int l_getpid(lua_State *L)
{
	lua_pushinteger(L, getpid());
	return 1;
}

static int l_getuid(lua_State *L)
{
	lua_pushinteger(L, getuid());
	return 1;
}

static int l_getgid(lua_State *L)
{
	lua_pushinteger(L, getgid());
	return 1;
}

static int l_abort(lua_State *L)
{
	(void)L;
	abort();
}

/* kill(pid, signal) -> true | false, why. Signal 0 only asks whether the process is there. Groups cannot be meant. */
static int l_kill(lua_State *L)
{
	lua_Integer pid = luaL_checkinteger(L, 1), number = luaL_checkinteger(L, 2);
	luaL_argcheck(L, pid > 0 && pid <= INT32_MAX, 1, "a process id expected");
	luaL_argcheck(L, number >= 0 && number < NSIG, 2, "a signal number expected");
	return l_result(L, kill((pid_t)pid, (int)number));
}

/* fork() -> 0 in the child, the child's pid in the parent | false, why */
static int l_fork(lua_State *L)
{
	pid_t pid = fork();
	if (pid < 0)
		return l_false(L, strerror(errno));
	lua_pushinteger(L, pid);
	return 1;
}

/* Standard input, output and error become /dev/null. */
static int detach_streams(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -1;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return -1;
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

/* daemonize() -> true in the daemon | false, why. The caller ends here with status 0; what goes on has no terminal and
 * cannot get one (two forks, a session between them), and /dev/null for its standard streams. Call it before there is a
 * loop or a thread. */
static int l_daemonize(lua_State *L)
{
	fflush(NULL); /* or the buffers would be written by both */
	pid_t pid = fork();
	if (pid < 0)
		return l_false(L, strerror(errno));
	if (pid > 0)
		_exit(EXIT_SUCCESS);
	if (setsid() < 0)
		return l_false(L, strerror(errno));
	pid = fork();
	if (pid < 0)
		return l_false(L, strerror(errno));
	if (pid > 0)
		_exit(EXIT_SUCCESS);
	return l_result(L, detach_streams());
}

/* ---- users and groups, by number or name ---- */

#define NAMES_BYTES 65536 /* for a line of passwd or group */

/* False with `why` when there is no such user. */
static bool find_user(const char *name, uid_t *uid_r, gid_t *gid_r, const char **why_r)
{
	struct passwd entry, *found = NULL;
	char *names = mem_new(NAMES_BYTES);
	int failed = getpwnam_r(name, &entry, names, NAMES_BYTES, &found);

	*why_r = failed != 0 ? strerror(failed) : "no-such-user";
	if (found != NULL) {
		*uid_r = found->pw_uid;
		*gid_r = found->pw_gid;
	}
	mem_free(names);
	return found != NULL;
}

static bool find_group(const char *name, gid_t *gid_r, const char **why_r)
{
	struct group entry, *found = NULL;
	char *names = mem_new(NAMES_BYTES);
	int failed = getgrnam_r(name, &entry, names, NAMES_BYTES, &found);

	*why_r = failed != 0 ? strerror(failed) : "no-such-group";
	if (found != NULL)
		*gid_r = found->gr_gid;
	mem_free(names);
	return found != NULL;
}

static lua_Integer l_check_id(lua_State *L, int arg)
{
	lua_Integer id = luaL_checkinteger(L, arg);
	luaL_argcheck(L, id >= 0 && id < UINT32_MAX, arg, "an id expected");
	return id;
}

/* Of all privileges the process keeps that of opening ports below 1024. */
static int keep_low_ports_only(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };
	sets[0].effective = sets[0].permitted = 1U << CAP_NET_BIND_SERVICE;
	return (int)syscall(SYS_capset, &header, sets);
}

/* setuid(user [, keeps_low_ports]) -> true | false, why. Gives up root for good, and makes sure of it.
 * keeps_low_ports: but for opening ports below 1024. */
static int l_setuid(lua_State *L)
{
	uid_t uid;
	gid_t gid;
	const char *why;
	bool keeps_low_ports = lua_toboolean(L, 2);

	if (lua_type(L, 1) == LUA_TNUMBER)
		uid = (uid_t)l_check_id(L, 1);
	else if (!find_user(luaL_checkstring(L, 1), &uid, &gid, &why))
		return l_false(L, why);
	if (keeps_low_ports && prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) < 0)
		return l_false(L, strerror(errno));
	if (setuid(uid) < 0 || (keeps_low_ports && keep_low_ports_only() < 0))
		return l_false(L, strerror(errno));
	if (getuid() != uid || geteuid() != uid || (uid != 0 && setuid(0) == 0))
		return l_false(L, "the privileges of root could not be given up");
	return l_true(L);
}

/* setgid(group) -> true | false, why */
static int l_setgid(lua_State *L)
{
	gid_t gid;
	const char *why;

	if (lua_type(L, 1) == LUA_TNUMBER)
		gid = (gid_t)l_check_id(L, 1);
	else if (!find_group(luaL_checkstring(L, 1), &gid, &why))
		return l_false(L, why);
	return l_result(L, setgid(gid));
}

/* initgroups(user [, group]) -> true | nil, why: the user's supplementary groups, with group (default: the user's) */
static int l_initgroups(lua_State *L)
{
	uid_t uid;
	gid_t gid, group;
	const char *why;

	if (!lua_isstring(L, 1)) {
		lua_pushnil(L);
		lua_pushliteral(L, "invalid-username");
		return 2;
	}
	const char *user = lua_tostring(L, 1);
	bool ok = find_user(user, &uid, &gid, &why);
	if (ok && lua_type(L, 2) == LUA_TNUMBER)
		gid = (gid_t)l_check_id(L, 2);
	else if (ok && !lua_isnoneornil(L, 2) && (ok = find_group(luaL_checkstring(L, 2), &group, &why)))
		gid = group;
	if (ok && initgroups(user, gid) < 0) {
		why = strerror(errno);
		ok = false;
	}
	if (ok)
		return l_true(L);
	lua_pushnil(L);
	lua_pushstring(L, why);
	return 2;
}

/* ---- limits and numbers ---- */

/* umask(octal text) -> the former one, as three octal digits */
static int l_umask(lua_State *L)
{
	char text[16];
	char *end;
	const char *wanted = luaL_checkstring(L, 1);
	unsigned long mask = strtoul(wanted, &end, 8);

	luaL_argcheck(L, *wanted >= '0' && *wanted <= '7' && *end == '\0' && mask <= 0777, 1, "octal digits expected");
	snprintf(text, sizeof(text), "%03o", (unsigned)umask((mode_t)mask));
	lua_pushstring(L, text);
	return 1;
}

static const struct {
	const char *name;
	int resource;
} resources[] = {
	{ "CORE", RLIMIT_CORE }, { "CPU", RLIMIT_CPU }, { "DATA", RLIMIT_DATA }, { "FSIZE", RLIMIT_FSIZE },
	{ "NOFILE", RLIMIT_NOFILE }, { "STACK", RLIMIT_STACK }, { "MEMLOCK", RLIMIT_MEMLOCK },
	{ "NPROC", RLIMIT_NPROC }, { "AS", RLIMIT_AS }, { "RSS", RLIMIT_RSS }, { "NICE", RLIMIT_NICE },
};

static int resource_of(const char *name)
{
	for (size_t i = 0; i < sizeof(resources) / sizeof(*resources); i++)
		if (strcmp(resources[i].name, name) == 0)
			return resources[i].resource;
	return -1;
}

static void l_push_limit(lua_State *L, rlim_t limit)
{
	if (limit == RLIM_INFINITY)
		lua_pushliteral(L, "unlimited");
	else
		lua_pushinteger(L, (lua_Integer)limit);
}

/* nil keeps the limit, "unlimited" lifts it. */
static rlim_t l_check_limit(lua_State *L, int arg, rlim_t now)
{
	if (lua_isnoneornil(L, arg))
		return now;
	if (lua_type(L, arg) == LUA_TSTRING && strcmp(lua_tostring(L, arg), "unlimited") == 0)
		return RLIM_INFINITY;
	lua_Integer limit = luaL_checkinteger(L, arg);
	luaL_argcheck(L, limit >= 0, arg, "a limit is not negative");
	return (rlim_t)limit;
}

/* The resource that argument 1 names and its limits; or false with two values to return on the stack. */
static bool l_check_rlimit(lua_State *L, int *resource_r, struct rlimit *limit_r)
{
	*resource_r = resource_of(luaL_checkstring(L, 1));
	if (*resource_r >= 0 && getrlimit(*resource_r, limit_r) == 0)
		return true;
	l_false(L, *resource_r < 0 ? "invalid-resource" : strerror(errno));
	return false;
}

/* getrlimit(name) -> true, soft, hard | false, why */
static int l_getrlimit(lua_State *L)
{
	struct rlimit limit;
	int resource;

	if (!l_check_rlimit(L, &resource, &limit))
		return 2;
	lua_pushboolean(L, true);
	l_push_limit(L, limit.rlim_cur);
	l_push_limit(L, limit.rlim_max);
	return 3;
}

/* setrlimit(name, soft [, hard]) -> true | false, why */
static int l_setrlimit(lua_State *L)
{
	struct rlimit limit;
	int resource;

	if (!l_check_rlimit(L, &resource, &limit))
		return 2;
	limit.rlim_cur = l_check_limit(L, 2, limit.rlim_cur);
	limit.rlim_max = l_check_limit(L, 3, limit.rlim_max);
	return l_result(L, setrlimit(resource, &limit));
}

static void l_set_bytes(lua_State *L, const char *name, size_t bytes)
{
	lua_pushinteger(L, (lua_Integer)bytes);
	lua_setfield(L, -2, name);
}

/* meminfo() -> { allocated, allocated_mmap, used, unused, returnable }, bytes as the C library counts them */
static int l_meminfo(lua_State *L)
{
	struct mallinfo2 info = mallinfo2();
	lua_createtable(L, 0, 5);
	l_set_bytes(L, "allocated", info.arena);
	l_set_bytes(L, "allocated_mmap", info.hblkhd);
	l_set_bytes(L, "used", info.uordblks);
	l_set_bytes(L, "unused", info.fordblks);
	l_set_bytes(L, "returnable", info.keepcost);
	return 1;
}

/* uname() -> { sysname, nodename, release, version, machine, domainname } */
static int l_uname(lua_State *L)
{
	struct utsname name;
	if (uname(&name) < 0)
		return l_false(L, strerror(errno));
	lua_createtable(L, 0, 6);
	lua_pushstring(L, name.sysname);
	lua_setfield(L, -2, "sysname");
	lua_pushstring(L, name.nodename);
	lua_setfield(L, -2, "nodename");
	lua_pushstring(L, name.release);
	lua_setfield(L, -2, "release");
	lua_pushstring(L, name.version);
	lua_setfield(L, -2, "version");
	lua_pushstring(L, name.machine);
	lua_setfield(L, -2, "machine");
	lua_pushstring(L, name.domainname);
	lua_setfield(L, -2, "domainname");
	return 1;
}

/* setenv(name [, value]) -> true | false, why; nil removes it */
static int l_setenv(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	if (lua_isnoneornil(L, 2))
		return l_result(L, unsetenv(name));
	return l_result(L, setenv(name, luaL_checkstring(L, 2), 1));
}

/* ---- files ---- */

static FILE *l_check_file(lua_State *L, int arg)
{
	luaL_Stream *stream = luaL_checkudata(L, arg, LUA_FILEHANDLE);
	luaL_argcheck(L, stream->closef != NULL, arg, "the file is closed");
	return stream->f;
}

/* mkdir(path) -> true | false, why */
static int l_mkdir(lua_State *L)
{
	return l_result(L, mkdir(luaL_checkstring(L, 1), 0777 /* less the umask */));
}

/* isatty(file) -> boolean */
static int l_isatty(lua_State *L)
{
	lua_pushboolean(L, isatty(fileno(l_check_file(L, 1))));
	return 1;
}

/* Nobody but us holds this lock; it ends with the process. lock(file) -> true | false, why */
static int l_lock(lua_State *L)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return l_result(L, fcntl(fileno(l_check_file(L, 1)), F_SETLK, &lock));
}

/* atomic_append(file, data) -> true | false, why, errno. All of it is in the file afterwards, or nothing. */
static int l_atomic_append(lua_State *L)
{
	size_t len, written = 0;
	FILE *file = l_check_file(L, 1);
	const char *data = luaL_checklstring(L, 2, &len);
	int fd = fileno(file), failed = 0;

	if (fflush(file) != 0 || fseeko(file, 0, SEEK_END) != 0)
		failed = errno;
	off_t start = failed == 0 ? lseek(fd, 0, SEEK_END) : -1;
	if (failed == 0 && start < 0)
		failed = errno;
	while (failed == 0 && written < len) {
		ssize_t n = write(fd, data + written, len - written);
		if (n >= 0)
			written += (size_t)n;
		else if (errno != EINTR)
			failed = errno;
	}
	if (failed == 0)
		return l_true(L);
	if (written > 0 && ftruncate(fd, start) < 0)
		failed = errno;
	lua_pushboolean(L, false);
	lua_pushstring(L, strerror(failed));
	lua_pushinteger(L, failed);
	return 3;
}

/* remove_blocks(file, offset, length) -> true | false, why. Cuts whole blocks out of the middle where the file system
 * can; elsewhere nothing happens. */
static int l_remove_blocks(lua_State *L)
{
	FILE *file = l_check_file(L, 1);
	lua_Integer offset = luaL_checkinteger(L, 2), length = luaL_checkinteger(L, 3);

	luaL_argcheck(L, offset >= 0, 2, "an offset is not negative");
	luaL_argcheck(L, length > 0, 3, "a length is positive");
	if (fflush(file) != 0)
		return l_false(L, strerror(errno));
	return l_result(L, fallocate(fileno(file), FALLOC_FL_COLLAPSE_RANGE, offset, length));
}

/* nonblocking(fd [, on]) -> true | false, why */
static int l_nonblocking(lua_State *L)
{
	lua_Integer fd = luaL_checkinteger(L, 1);
	luaL_argcheck(L, fd >= 0 && fd <= INT32_MAX, 1, "a file descriptor expected");
	int flags = fcntl((int)fd, F_GETFL);
	if (flags < 0)
		return l_false(L, strerror(errno));
	bool is_on = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
	return l_result(L, fcntl((int)fd, F_SETFL, is_on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

/* ---- syslog ---- */

static const struct {
	const char *name;
	int level;
} levels[] = {
	{ "debug", LOG_DEBUG }, { "info", LOG_INFO }, { "notice", LOG_NOTICE }, { "warn", LOG_WARNING },
	{ "error", LOG_ERR },
};

static int l_check_level(lua_State *L, int arg)
{
	const char *name = luaL_checkstring(L, arg);
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
		if (strcmp(levels[i].name, name) == 0)
			return levels[i].level;
	return luaL_argerror(L, arg, "\"debug\", \"info\", \"notice\", \"warn\" or \"error\" expected");
}

static int facility_of(const char *name)
{
	static const struct {
		const char *name;
		int facility;
	} facilities[] = {
		{ "daemon", LOG_DAEMON }, { "auth", LOG_AUTH }, { "authpriv", LOG_AUTHPRIV }, { "user", LOG_USER },
		{ "mail", LOG_MAIL }, { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 }, { "local2", LOG_LOCAL2 },
		{ "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 }, { "local5", LOG_LOCAL5 }, { "local6", LOG_LOCAL6 },
		{ "local7", LOG_LOCAL7 },
	};
	for (size_t i = 0; i < sizeof(facilities) / sizeof(*facilities); i++)
		if (strcmp(facilities[i].name, name) == 0)
			return facilities[i].facility;
	return LOG_DAEMON;
}

static const char ident_key; /* the registry keeps the text, for syslog keeps the pointer */

/* syslog_open(ident [, facility]) */
static int l_syslog_open(lua_State *L)
{
	const char *ident = luaL_checkstring(L, 1);
	int facility = facility_of(luaL_optstring(L, 2, "daemon"));
	closelog();
	lua_pushvalue(L, 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &ident_key);
	openlog(ident, LOG_PID, facility);
	return 0;
}

/* syslog_log(level, text) or, as Prosody's, syslog_log(level, source, text) */
static int l_syslog_log(lua_State *L)
{
	int level = l_check_level(L, 1);
	const char *text = luaL_checkstring(L, 2);
	if (lua_isnoneornil(L, 3))
		syslog(level, "%s", text);
	else
		syslog(level, "%s: %s", text, luaL_checkstring(L, 3));
	return 0;
}

/* syslog_setminlevel(level): what is less important is dropped */
static int l_syslog_setminlevel(lua_State *L)
{
	setlogmask(LOG_UPTO(l_check_level(L, 1)));
	return 0;
}

static int l_syslog_close(lua_State *L)
{
	closelog();
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &ident_key);
	return 0;
}

static const luaL_Reg functions[] = {
	{ "getpid", l_getpid },
	{ "getuid", l_getuid },
	{ "getgid", l_getgid },
	{ "abort", l_abort },
	{ "kill", l_kill },
	{ "fork", l_fork },
	{ "daemonize", l_daemonize },
	{ "setuid", l_setuid },
	{ "setgid", l_setgid },
	{ "initgroups", l_initgroups },
	{ "umask", l_umask },
	{ "getrlimit", l_getrlimit },
	{ "setrlimit", l_setrlimit },
	{ "meminfo", l_meminfo },
	{ "uname", l_uname },
	{ "setenv", l_setenv },
	{ "mkdir", l_mkdir },
	{ "isatty", l_isatty },
	{ "lock", l_lock },
	{ "atomic_append", l_atomic_append },
	{ "remove_blocks", l_remove_blocks },
	{ "nonblocking", l_nonblocking },
	{ "syslog_open", l_syslog_open },
	{ "syslog_log", l_syslog_log },
	{ "syslog_setminlevel", l_syslog_setminlevel },
	{ "syslog_close", l_syslog_close },
	{ NULL, NULL },
};

int l_open_pposix(lua_State *L)
{
	luaL_newlib(L, functions);
	lua_pushinteger(L, ENOENT);
	lua_setfield(L, -2, "ENOENT");
	return 1;
}
