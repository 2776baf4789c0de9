/* util.console: how coupletctl, a program that may block, talks to the server's admin socket and waits for its end.
 * Nothing here belongs into the server. */
#include <errno.h>
#include <lauxlib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lua/bind.h"
#include "lua/libs.h"

#define SOCKET_NAME "couplet.console.socket"

enum { READ_BYTES = 4096 };

static int l_fail_errno(lua_State *L, int error)
{
	lua_pushnil(L);
	lua_pushstring(L, strerror(error));
	lua_pushinteger(L, error);
	return 3;
}

/* ---- the socket: userdata with the descriptor, -1 once closed ---- */

static int l_check_open(lua_State *L)
{
	int fd = *(int *)luaL_checkudata(L, 1, SOCKET_NAME);
	if (fd < 0)
		luaL_error(L, "the connection is closed");
	return fd;
}

/* connection:write(bytes) -> true, or nil and why. Waits until everything is written. */
static int l_socket_write(lua_State *L)
{
	int fd = l_check_open(L);
	size_t len, done = 0;
	const char *bytes = luaL_checklstring(L, 2, &len);
	while (done < len) {
		ssize_t n = send(fd, bytes + done, len - done, MSG_NOSIGNAL);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return l_fail_errno(L, errno);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* connection:read([timeout_seconds]) -> bytes; nil at the end; nil, "timeout" when nothing came. */
static int l_socket_read(lua_State *L)
{
	int fd = l_check_open(L);
	lua_Number timeout_seconds = luaL_optnumber(L, 2, -1);
	char bytes[READ_BYTES];
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int ready;
	do {
		ready = poll(&wait, 1, timeout_seconds < 0 ? -1 : (int)(timeout_seconds * 1000));
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return l_fail_errno(L, errno);
	if (ready == 0) {
		lua_pushnil(L);
		lua_pushliteral(L, "timeout");
		return 2;
	}
	ssize_t n;
	do {
		n = recv(fd, bytes, sizeof(bytes), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return l_fail_errno(L, errno);
	if (n == 0) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushlstring(L, bytes, (size_t)n);
	return 1;
}

static int l_socket_close(lua_State *L)
{
	int *fd = luaL_checkudata(L, 1, SOCKET_NAME);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return 0;
}

/* connect(path) -> connection to a unix socket, or nil, why, errno. */
static int l_connect(lua_State *L)
{
	size_t len;
	const char *path = luaL_checklstring(L, 1, &len);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (len >= sizeof(address.sun_path))
		return l_fail_errno(L, ENAMETOOLONG);
	memcpy(address.sun_path, path, len + 1);

	int *fd = lua_newuserdatauv(L, sizeof(*fd), 0);
	*fd = -1;
	luaL_setmetatable(L, SOCKET_NAME);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return l_fail_errno(L, errno);
	if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;
		close(*fd);
		*fd = -1;
		return l_fail_errno(L, error);
	}
	return 1;
}

/* sleep(seconds) */
static int l_sleep(lua_State *L)
{
	lua_Number seconds = luaL_checknumber(L, 1);
	luaL_argcheck(L, seconds >= 0 && seconds < 3600, 1, "not a time to sleep");
	struct timespec rest = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9) };
	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
	return 0;
}

static const luaL_Reg socket_methods[] = {
	{ "write", l_socket_write },
	{ "read", l_socket_read },
	{ "close", l_socket_close },
	{ NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "connect", l_connect },
	{ "sleep", l_sleep },
	{ NULL, NULL },
};

int l_open_console(lua_State *L)
{
	l_new_type(L, SOCKET_NAME, socket_methods, l_socket_close);
	luaL_newlib(L, functions);
	return 1;
}
