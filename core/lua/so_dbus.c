/* couplet.dbus: calls to services of this machine over the system's D-Bus (libsystemd's sd-bus, which only this file
 * knows), an optional shared object that is loaded when a module asks for it. Nothing here waits for another program.
 *
 *	local dbus = require "couplet.dbus"
 *	local bus, err = dbus.open()
 *	bus:fd()                            readable when bus:process() has something to do
 *	bus:call { destination =, path =, interface =, member =, timeout = seconds, signature =, arguments... } -> id | nil,
 *		error. Arguments are of the types s, o, i, u, q, b and aay (a list of strings)
 *	bus:match(rule)                     signals of that rule are taken from now on (D-Bus specification, "match rules")
 *	bus:process()                       -> is there more to process | nil, error (then it is of no use any more)
 *	bus:take()                          -> id, values | id, nil, error, its name | 0, values, path, interface, member (a
 *		signal) | nothing when all are taken
 *	bus:close()
 *
 * Always true: a call is answered once, with an error after its timeout. Values are strings, numbers, booleans, and
 * lists of them (ay is a string). What has come in is taken before more is read: memory has a bound. */
#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/mem.h"

#define BUS_TYPE "couplet.dbus"
#define MESSAGE_TYPE "couplet.dbus.message"

enum { CALLS_MAX = 128, MESSAGES_MAX = 64, DEPTH_MAX = 16, LIST_MAX = 10000 };

struct call {
	struct bus *bus;
	lua_Integer id; /* 0: free */
};

struct bus {
	sd_bus *sd;
	int epoll_fd, timer_fd, watched_fd; /* -1: none */
	lua_Integer last_id;
	struct call calls[CALLS_MAX];
	/* What has come in, oldest first. */
	struct {
		lua_Integer id;
		sd_bus_message *message;
	} messages[MESSAGES_MAX];
	unsigned n_messages;
};

int luaopen_couplet_dbus(lua_State *L);

/* ---- handle ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void bus_free(struct bus **handle)
{
	struct bus *bus = *handle;
	if (bus == NULL)
		return;
	*handle = NULL;
	for (unsigned i = 0; i < bus->n_messages; i++)
		sd_bus_message_unref(bus->messages[i].message);
	if (bus->sd != NULL) {
		sd_bus_close(bus->sd);
		sd_bus_unref(bus->sd);
	}
	close_fd(&bus->timer_fd);
	close_fd(&bus->epoll_fd);
	mem_free(bus);
}

static struct bus *l_check_bus(lua_State *L)
{
	struct bus **bus = luaL_checkudata(L, 1, BUS_TYPE);
	if (*bus == NULL)
		luaL_error(L, "bus is closed");
	return *bus;
}

static int l_close(lua_State *L)
{
	bus_free(luaL_checkudata(L, 1, BUS_TYPE));
	return 0;
}

static int l_failed(lua_State *L, const char *what, int code)
{
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", what, strerror(-code));
	return 2;
}

/* ---- when there is something to do ---- */

/* sd-bus wants its socket watched for what it says, and to be called at a time it says. Both become one descriptor. */
static int update_watch(struct bus *bus)
{
	int fd = sd_bus_get_fd(bus->sd), events = sd_bus_get_events(bus->sd);
	if (fd < 0)
		return fd;
	if (events < 0)
		return events;
	struct epoll_event event = { .events = (uint32_t)events, .data.fd = fd };
	int how = fd == bus->watched_fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	if (how == EPOLL_CTL_ADD && bus->watched_fd >= 0)
		epoll_ctl(bus->epoll_fd, EPOLL_CTL_DEL, bus->watched_fd, NULL);
	if (epoll_ctl(bus->epoll_fd, how, fd, &event) != 0)
		return -errno;
	bus->watched_fd = fd;

	uint64_t at_us;
	int code = sd_bus_get_timeout(bus->sd, &at_us);
	if (code < 0)
		return code;
	struct itimerspec when = { .it_value = { 0, 0 } }; /* never */
	if (at_us != UINT64_MAX) {
		when.it_value.tv_sec = (time_t)(at_us / 1000000);
		when.it_value.tv_nsec = (long)(at_us % 1000000) * 1000 + 1; /* 0 would be never */
	}
	return timerfd_settime(bus->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) != 0 ? -errno : 0;
}

static int l_fd(lua_State *L)
{
	lua_pushinteger(L, l_check_bus(L)->epoll_fd);
	return 1;
}

/* There is always room for an answer (l_process). A signal comes once for each rule that it matches. */
static void keep(struct bus *bus, lua_Integer id, sd_bus_message *message)
{
	if (bus->n_messages == MESSAGES_MAX)
		return;
	bus->messages[bus->n_messages].id = id;
	bus->messages[bus->n_messages++].message = sd_bus_message_ref(message);
}

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct call *call = userdata;
	(void)error;
	keep(call->bus, call->id, message);
	call->id = 0;
	return 1;
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)error;
	keep(userdata, 0, message);
	return 0; /* others may match, too */
}

static int on_match_installed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)message, (void)userdata, (void)error;
	return 1;
}

static int l_process(lua_State *L)
{
	struct bus *bus = l_check_bus(L);
	int code = 1;
	/* One message may match several rules. */
	while (code > 0 && bus->n_messages < MESSAGES_MAX / 2)
		code = sd_bus_process(bus->sd, NULL);
	bool has_more = code > 0;
	if (code >= 0)
		code = update_watch(bus);
	if (code < 0)
		return l_failed(L, "D-Bus", code);
	lua_pushboolean(L, has_more);
	return 1;
}

/* ---- calls ---- */

/* Appends the value at the top of the stack. */
static int append_value(lua_State *L, sd_bus_message *message, char type)
{
	union {
		int32_t i;
		uint32_t u;
		uint16_t q;
		int b;
	} value;
	switch (type) {
	case 's':
	case 'o':
		return sd_bus_message_append_basic(message, type, lua_tostring(L, -1));
	case 'i':
		value.i = (int32_t)lua_tointeger(L, -1);
		break;
	case 'u':
		value.u = (uint32_t)lua_tointeger(L, -1);
		break;
	case 'q':
		value.q = (uint16_t)lua_tointeger(L, -1);
		break;
	case 'b':
		value.b = lua_toboolean(L, -1);
		break;
	default:
		return -EINVAL;
	}
	return sd_bus_message_append_basic(message, type, &value);
}

/* A list of strings at the top of the stack. */
static int append_byte_arrays(lua_State *L, sd_bus_message *message)
{
	int code = sd_bus_message_open_container(message, 'a', "ay");
	lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
	for (lua_Integer i = 1; code >= 0 && i <= n; i++) {
		size_t len;
		lua_rawgeti(L, -1, i);
		const char *bytes = lua_tolstring(L, -1, &len);
		code = bytes != NULL ? sd_bus_message_append_array(message, 'y', bytes, len) : -EINVAL;
		lua_pop(L, 1);
	}
	return code < 0 ? code : sd_bus_message_close_container(message);
}

/* The arguments were looked at before (l_check_arguments): nothing raises. */
static int append_arguments(lua_State *L, sd_bus_message *message, const char *signature)
{
	int code = 0;
	lua_Integer i = 1;
	for (const char *at = signature; *at != '\0' && code >= 0; at++, i++) {
		lua_rawgeti(L, 2, i);
		if (*at == 'a') {
			code = append_byte_arrays(L, message);
			at += 2;
		} else {
			code = append_value(L, message, *at);
		}
		lua_pop(L, 1);
	}
	return code;
}

static void l_check_arguments(lua_State *L, const char *signature)
{
	lua_Integer i = 1;
	for (const char *at = signature; *at != '\0'; at++, i++) {
		int type = lua_rawgeti(L, 2, i);
		bool is_right = false;
		if (*at == 's' || *at == 'o') {
			is_right = type == LUA_TSTRING && strlen(lua_tostring(L, -1)) == lua_rawlen(L, -1);
		} else if (*at == 'i' || *at == 'u' || *at == 'q') {
			is_right = lua_isinteger(L, -1);
		} else if (*at == 'b') {
			is_right = type == LUA_TBOOLEAN;
		} else if (strncmp(at, "aay", 3) == 0) {
			is_right = type == LUA_TTABLE;
			at += 2;
		}
		if (!is_right)
			luaL_error(L, "argument %d does not fit the signature %s", (int)i, signature);
		lua_pop(L, 1);
	}
}

/* The string in the field, which stays in the table. */
static const char *l_field(lua_State *L, const char *name)
{
	luaL_argcheck(L, lua_getfield(L, 2, name) == LUA_TSTRING, 2, name);
	const char *text = lua_tostring(L, -1);
	lua_pop(L, 1);
	return text;
}

static struct call *free_call(struct bus *bus)
{
	for (int i = 0; i < CALLS_MAX; i++) {
		if (bus->calls[i].id == 0)
			return &bus->calls[i];
	}
	return NULL;
}

static int l_call(lua_State *L)
{
	struct bus *bus = l_check_bus(L);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	const char *destination = l_field(L, "destination"), *path = l_field(L, "path");
	const char *interface = l_field(L, "interface"), *member = l_field(L, "member");
	const char *signature = lua_getfield(L, 2, "signature") == LUA_TSTRING ? lua_tostring(L, -1) : "";
	lua_getfield(L, 2, "timeout");
	lua_Number timeout_s = luaL_optnumber(L, -1, 10);
	luaL_argcheck(L, timeout_s > 0 && timeout_s < 3600, 2, "timeout");
	l_check_arguments(L, signature);

	struct call *call = free_call(bus);
	if (call == NULL) {
		lua_pushnil(L);
		lua_pushstring(L, "too many calls wait for an answer");
		return 2;
	}
	sd_bus_message *message = NULL;
	int code = sd_bus_message_new_method_call(bus->sd, &message, destination, path, interface, member);
	if (code >= 0)
		code = append_arguments(L, message, signature);
	if (code >= 0) {
		*call = (struct call){ bus, ++bus->last_id };
		code = sd_bus_call_async(bus->sd, NULL, message, on_reply, call, (uint64_t)(timeout_s * 1e6));
		if (code < 0)
			call->id = 0;
	}
	if (code >= 0)
		code = update_watch(bus);
	sd_bus_message_unref(message);
	if (code < 0)
		return l_failed(L, member, code);
	lua_pushinteger(L, bus->last_id);
	return 1;
}

static int l_match(lua_State *L)
{
	struct bus *bus = l_check_bus(L);
	int code = sd_bus_add_match_async(bus->sd, NULL, luaL_checkstring(L, 2), on_signal, on_match_installed, bus);
	if (code >= 0)
		code = update_watch(bus);
	if (code < 0)
		return l_failed(L, "match", code);
	lua_pushboolean(L, 1);
	return 1;
}

/* ---- answers ---- */

static void l_push_value(lua_State *L, sd_bus_message *message, int depth);

/* Pushes a list of the values up to the end of the container, or of the message. */
static void l_push_values(lua_State *L, sd_bus_message *message, int depth)
{
	lua_newtable(L);
	for (lua_Integer i = 1; sd_bus_message_at_end(message, 0) == 0; i++) {
		if (i > LIST_MAX)
			luaL_error(L, "a list is too long");
		l_push_value(L, message, depth);
		lua_rawseti(L, -2, i);
	}
}

static void l_push_container(lua_State *L, sd_bus_message *message, char type, const char *contents, int depth)
{
	if (type == 'a' && strcmp(contents, "y") == 0) {
		const void *bytes;
		size_t len;
		if (sd_bus_message_read_array(message, 'y', &bytes, &len) < 0)
			luaL_error(L, "an array cannot be read");
		lua_pushlstring(L, len > 0 ? bytes : "", len);
		return;
	}
	if (depth >= DEPTH_MAX || sd_bus_message_enter_container(message, type, contents) < 0)
		luaL_error(L, "values are nested too deeply");
	luaL_checkstack(L, 4, NULL);
	l_push_values(L, message, depth + 1);
	if (sd_bus_message_exit_container(message) < 0)
		luaL_error(L, "a list cannot be read");
}

static void l_push_value(lua_State *L, sd_bus_message *message, int depth)
{
	char type;
	const char *contents;
	if (sd_bus_message_peek_type(message, &type, &contents) <= 0)
		luaL_error(L, "a value cannot be read");
	if (contents != NULL) {
		l_push_container(L, message, type, contents, depth);
		return;
	}
	union {
		const char *s;
		uint8_t y;
		int b;
		int16_t n;
		uint16_t q;
		int32_t i;
		uint32_t u;
		int64_t x;
		uint64_t t;
		double d;
	} value;
	if (type == 'h' || sd_bus_message_read_basic(message, type, &value) <= 0)
		luaL_error(L, "a value cannot be read");
	switch (type) {
	case 'y': lua_pushinteger(L, value.y); break;
	case 'b': lua_pushboolean(L, value.b); break;
	case 'n': lua_pushinteger(L, value.n); break;
	case 'q': lua_pushinteger(L, value.q); break;
	case 'i': lua_pushinteger(L, value.i); break;
	case 'u': lua_pushinteger(L, value.u); break;
	case 'x': lua_pushinteger(L, value.x); break;
	case 't': lua_pushinteger(L, (lua_Integer)value.t); break;
	case 'd': lua_pushnumber(L, value.d); break;
	default: lua_pushstring(L, value.s); break; /* s, o, g */
	}
}

static int l_message_gc(lua_State *L)
{
	sd_bus_message **message = luaL_checkudata(L, 1, MESSAGE_TYPE);
	*message = sd_bus_message_unref(*message);
	return 0;
}

static int l_take(lua_State *L)
{
	struct bus *bus = l_check_bus(L);
	lua_settop(L, 1);
	if (bus->n_messages == 0)
		return 0;
	sd_bus_message **message = lua_newuserdatauv(L, sizeof(*message), 0);
	*message = NULL;
	luaL_setmetatable(L, MESSAGE_TYPE);
	lua_toclose(L, -1);
	lua_Integer id = bus->messages[0].id;
	*message = bus->messages[0].message;
	memmove(bus->messages, bus->messages + 1, --bus->n_messages * sizeof(bus->messages[0]));

	lua_pushinteger(L, id);
	const sd_bus_error *error = sd_bus_message_get_error(*message);
	if (error != NULL) {
		lua_pushnil(L);
		lua_pushstring(L, error->message != NULL ? error->message : error->name);
		lua_pushstring(L, error->name);
		return 4;
	}
	l_push_values(L, *message, 0);
	if (id != 0)
		return 2;
	lua_pushstring(L, sd_bus_message_get_path(*message));
	lua_pushstring(L, sd_bus_message_get_interface(*message));
	lua_pushstring(L, sd_bus_message_get_member(*message));
	return 5;
}

/* ---- tables ---- */

static int l_open(lua_State *L)
{
	struct bus **handle = lua_newuserdatauv(L, sizeof(*handle), 0);
	*handle = NULL;
	luaL_setmetatable(L, BUS_TYPE);
	struct bus *bus = mem_new(sizeof(*bus));
	*handle = bus;
	bus->epoll_fd = bus->timer_fd = bus->watched_fd = -1;
	int code = sd_bus_open_system(&bus->sd);
	if (code >= 0) {
		bus->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		bus->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		struct epoll_event event = { .events = EPOLLIN, .data.fd = bus->timer_fd };
		if (bus->epoll_fd < 0 || bus->timer_fd < 0 ||
		    epoll_ctl(bus->epoll_fd, EPOLL_CTL_ADD, bus->timer_fd, &event) != 0)
			code = -errno;
	}
	if (code >= 0)
		code = update_watch(bus);
	if (code >= 0)
		return 1;
	bus_free(handle);
	return l_failed(L, "the system's D-Bus cannot be reached", code);
}

int luaopen_couplet_dbus(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "fd", l_fd },
		{ "call", l_call },
		{ "match", l_match },
		{ "process", l_process },
		{ "take", l_take },
		{ "close", l_close },
		{ NULL, NULL },
	};
	luaL_newmetatable(L, MESSAGE_TYPE);
	lua_pushcfunction(L, l_message_gc);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "__gc");
	lua_setfield(L, -2, "__close");
	luaL_newmetatable(L, BUS_TYPE);
	lua_pushcfunction(L, l_close);
	lua_setfield(L, -2, "__gc");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");

	lua_newtable(L);
	lua_pushcfunction(L, l_open);
	lua_setfield(L, -2, "open");
	return 1;
}
