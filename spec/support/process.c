/* Programs under test, as Lua objects: start one, read what it says without blocking, wait for its end with a deadline.
 *
 *   local process = require "process"
 *   local p = process.spawn({ "build/couplet", "-F" }, { cwd = dir, env = { NAME = "value" } })
 *   p:getfd()        the read end of its output and errors: give p to socket.select
 *   p:read()         a string, nil when there is nothing yet, false at the end
 *   p:write(text)    to its standard input; p:close_input()
 *   p:kill(signal)   p:pid()
 *   p:wait(seconds)  "exit", code | "signal", number | nil when it still runs
 *   process.unshare_network()   this interpreter, and what it starts, get a network of their own: true | nil, why not
 *   process.reserves(name)      true when no other interpreter in this network has the name; it is ours until we end
 *
 * Always true: a program never outlives the object or the interpreter (it is killed), and is always reaped. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TYPE "couplet.test.process"
#define ARGUMENTS_MAX 64
#define ENVIRONMENT_MAX 32

struct process {
	pid_t pid;
	int pidfd, output, input; /* -1 when closed */
	bool is_reaped;
	int status;
};

static struct process *check(lua_State *L) { return luaL_checkudata(L, 1, TYPE); }

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void reap(struct process *p, int options)
{
	if (!p->is_reaped && waitpid(p->pid, &p->status, options) == p->pid)
		p->is_reaped = true;
}

/* In the child: nothing here may allocate or raise. */
static void child(char *const argv[], const char *cwd, char *const names[], char *const values[], int in, int out,
		  long max_fds)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	syscall(SYS_close_range, 3U, ~0U, 0U);
	if (max_fds > 0) {
		const struct rlimit limit = { (rlim_t)max_fds, (rlim_t)max_fds };
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (cwd != NULL && chdir(cwd) != 0)
		_exit(126);
	for (size_t i = 0; names[i] != NULL; i++)
		setenv(names[i], values[i], 1);
	execvp(argv[0], argv);
	_exit(127);
}

static int l_spawn(lua_State *L)
{
	char *argv[ARGUMENTS_MAX + 1] = { NULL };
	char *names[ENVIRONMENT_MAX + 1] = { NULL }, *values[ENVIRONMENT_MAX + 1] = { NULL };
	size_t n_env = 0;
	const char *cwd = NULL;
	long max_fds = 0;
	int in[2], out[2];

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	const lua_Integer n = luaL_len(L, 1);
	luaL_argcheck(L, n >= 1 && n <= ARGUMENTS_MAX, 1, "program and arguments expected");
	luaL_checkstack(L, (int)n + 2 * ENVIRONMENT_MAX + 10, NULL);
	for (lua_Integer i = 1; i <= n; i++) { /* the strings stay on the stack, so they stay alive */
		lua_geti(L, 1, i);
		luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "strings expected");
		argv[i - 1] = (char *)(uintptr_t)lua_tostring(L, -1);
	}
	if (lua_istable(L, 2)) {
		lua_getfield(L, 2, "cwd");
		cwd = luaL_optstring(L, -1, NULL);
		lua_getfield(L, 2, "max_fds");
		max_fds = (long)luaL_optinteger(L, -1, 0);
		if (lua_getfield(L, 2, "env") == LUA_TTABLE) {
			const int env = lua_gettop(L);
			lua_pushnil(L);
			while (lua_next(L, env) != 0) {
				luaL_argcheck(L, n_env < ENVIRONMENT_MAX, 2, "too large an environment");
				names[n_env] = (char *)(uintptr_t)luaL_checkstring(L, -2);
				values[n_env++] = (char *)(uintptr_t)luaL_checkstring(L, -1);
				lua_insert(L, -2); /* keep the value below the key */
			}
		}
	}
	struct process *p = lua_newuserdatauv(L, sizeof *p, 0);
	*p = (struct process){ .pid = -1, .pidfd = -1, .output = -1, .input = -1, .is_reaped = true };
	luaL_setmetatable(L, TYPE);

	if (pipe2(in, O_CLOEXEC) != 0)
		return luaL_error(L, "pipe: %s", strerror(errno));
	p->input = in[1];
	if (pipe2(out, O_CLOEXEC) != 0) {
		close(in[0]);
		return luaL_error(L, "pipe: %s", strerror(errno));
	}
	p->output = out[0];
	fcntl(p->output, F_SETFL, O_NONBLOCK);
	p->pid = fork();
	if (p->pid == 0)
		child(argv, cwd, names, values, in[0], out[1], max_fds);
	close(in[0]);
	close(out[1]);
	if (p->pid < 0)
		return luaL_error(L, "fork: %s", strerror(errno));
	p->is_reaped = false;
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0U);
	return 1;
}

static int l_read(lua_State *L)
{
	struct process *p = check(L);
	char bytes[16384];

	if (p->output < 0) {
		lua_pushboolean(L, 0);
		return 1;
	}
	const ssize_t n = read(p->output, bytes, sizeof bytes);
	if (n > 0)
		lua_pushlstring(L, bytes, (size_t)n);
	else if (n < 0 && (errno == EAGAIN || errno == EINTR))
		lua_pushnil(L);
	else {
		close_fd(&p->output);
		lua_pushboolean(L, 0);
	}
	return 1;
}

static int l_write(lua_State *L)
{
	struct process *p = check(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);

	while (len > 0) {
		const ssize_t n = p->input >= 0 ? write(p->input, bytes, len) : -1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			lua_pushnil(L);
			lua_pushstring(L, strerror(errno));
			return 2;
		}
		bytes += n;
		len -= (size_t)n;
	}
	lua_pushboolean(L, 1);
	return 1;
}

static int l_close_input(lua_State *L)
{
	close_fd(&check(L)->input);
	return 0;
}

static int l_getfd(lua_State *L)
{
	lua_pushinteger(L, check(L)->output);
	return 1;
}

static int l_dirty(lua_State *L)
{
	lua_pushboolean(L, 0);
	return 1;
}

static int l_pid(lua_State *L)
{
	lua_pushinteger(L, check(L)->pid);
	return 1;
}

static int l_kill(lua_State *L)
{
	struct process *p = check(L);
	const int signum = (int)luaL_optinteger(L, 2, SIGTERM);

	reap(p, WNOHANG);
	lua_pushboolean(L, !p->is_reaped && kill(p->pid, signum) == 0);
	return 1;
}

static int l_wait(lua_State *L)
{
	struct process *p = check(L);
	const double seconds = luaL_optnumber(L, 2, 0);

	if (!p->is_reaped && p->pidfd >= 0) {
		struct pollfd end = { .fd = p->pidfd, .events = POLLIN };
		poll(&end, 1, (int)(seconds * 1000));
	}
	reap(p, WNOHANG);
	if (!p->is_reaped)
		return 0;
	lua_pushstring(L, WIFEXITED(p->status) ? "exit" : "signal");
	lua_pushinteger(L, WIFEXITED(p->status) ? WEXITSTATUS(p->status) : WTERMSIG(p->status));
	return 2;
}

static int l_gc(lua_State *L)
{
	struct process *p = check(L);

	if (!p->is_reaped) {
		kill(p->pid, SIGKILL);
		reap(p, 0);
	}
	close_fd(&p->pidfd);
	close_fd(&p->output);
	close_fd(&p->input);
	return 0;
}

static int l_ignore_sigpipe(lua_State *L)
{
	(void)L;
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int l_monotonic(lua_State *L)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
	return 1;
}

static int l_unshare_network(lua_State *L)
{
	if (unshare(CLONE_NEWNET) == 0) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, strerror(errno));
	return 2;
}

/* The abstract address of a socket that stays open: the kernel gives it to one, and back when that one ends. */
static int l_reserves(lua_State *L)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len;
	const char *name = luaL_checklstring(L, 1, &len);

	luaL_argcheck(L, len < sizeof address.sun_path, 1, "too long a name");
	memcpy(address.sun_path + 1, name, len);
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return luaL_error(L, "socket: %s", strerror(errno));
	const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
	if (bind(fd, (struct sockaddr *)&address, size) != 0) {
		const int why = errno;
		close(fd);
		if (why != EADDRINUSE)
			return luaL_error(L, "bind: %s", strerror(why));
		lua_pushboolean(L, 0);
		return 1;
	}
	lua_pushboolean(L, 1);
	return 1;
}

int luaopen_process(lua_State *L);
int luaopen_process(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "read", l_read }, { "write", l_write }, { "close_input", l_close_input }, { "getfd", l_getfd },
		{ "dirty", l_dirty }, { "pid", l_pid }, { "kill", l_kill }, { "wait", l_wait }, { NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "spawn", l_spawn },
		{ "monotonic", l_monotonic },
		{ "unshare_network", l_unshare_network },
		{ "reserves", l_reserves },
		{ NULL, NULL },
	};

	luaL_newmetatable(L, TYPE);
	lua_pushcfunction(L, l_gc);
	lua_setfield(L, -2, "__gc");
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
	l_ignore_sigpipe(L);
	luaL_newlib(L, functions);
	return 1;
}
