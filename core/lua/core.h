/* What the files of core/lua share: the state of the Lua side, kept in the registry and in server.lua.
 *
 * Naming: a function starting with l_ may raise a Lua error and holds no C resource while it can. */
#ifndef LUA_CORE_H
#define LUA_CORE_H

#include <lua.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/slice.h"
#include "bus/bus.h"
#include "lua/times.h"
#include "xmpp/router.h"
#include "xmpp/server.h"

struct conn;
struct histogram;
struct texts;
struct workers;

struct lua_core {
	lua_State *L;
	struct server *server;
	struct workers *workers;  /* NULL until the first job */
	struct workers *disk;     /* of lua_batches.c; NULL until the first one */
	struct list free_threads; /* pooled coroutines */
	uint32_t n_free_threads;
	struct list waiting;      /* threads that wait, longest first */
	struct timer *wait_timer; /* runs while there are any; NULL until the first */
	struct parser *parser;    /* of lua_parse; NULL until needed */
	bool is_parser_used_up;   /* a new one is needed */
	int exit_code;
	const char *running;      /* what the innermost barrier call runs, for the log; NULL outside */
	lua_State *innermost;     /* the coroutine it began on */
	lua_State *current;       /* the coroutine that runs now: that one, or one the code made itself */
	uint64_t call_serial;     /* counts outermost calls, for the watchdog */
	const char *stop_reason;  /* the outermost call has taken too much and is being ended; NULL */
	size_t memory, memory_max; /* bytes Lua holds, and may hold while a call runs */
	struct times times;       /* how long calls took, by name */
	bool is_overdrawn;        /* memory_max was passed, or would have been */
};

/* The core of a state; every state we make has one. */
struct lua_core *lua_core_of(lua_State *L);

/* Makes the state, opens the standard and native libraries, fills server->ops. libdir: where modules/ stands.
 * NULL with a message in *error_r (mem_free it) when Lua cannot be started. */
struct lua_core *lua_core_new(struct server *server, const char *moduledir, const char *libdir, char **error_r);
void lua_core_free(struct lua_core **core);

/* Calls require(module)[fn](args...) under the barrier; for main. Gives its integer result, -1 when it failed. */
int lua_core_main(struct lua_core *core, const char *module, const char *fn, int argc, char **argv);

/* ---- handles ---- */
void l_push_session(lua_State *L, struct session *session);
struct session *l_test_session(lua_State *L, int index);  /* NULL: not a session, or a dead one */
struct session *l_check_session(lua_State *L, int index); /* raises */
/* One that a module has set, or nil. Raises nothing. */
void l_push_own_field(lua_State *L, struct session *session, const char *name);
void l_push_conn_of(lua_State *L, struct session *session);
struct bus *l_check_bus(lua_State *L, int index); /* an events object */
struct tls_context *l_check_tls_context(lua_State *L, int index);
struct conn *l_check_conn(lua_State *L, int index); /* NULL: it has ended; raises when it is none */
int l_conn_send_file(lua_State *L);                 /* lua_http_file.c: a method of conns */
/* What comes on a conn of a Lua listener goes to intake, with the memory of the userdata at owner_index (kept), until
 * conn:setlistener. The listener's onincoming is called without data when intake says so, onfull when it is full. */
enum intake_result { INTAKE_NOTHING, INTAKE_SOMETHING, INTAKE_FULL };
typedef enum intake_result intake_fn(void *ctx, struct slice bytes);
void l_set_intake(lua_State *L, int conn_index, int owner_index, intake_fn *intake);
/* For the owner of an intake, which keeps the conn's handle: the conn, NULL when it has ended; a call of onincoming. */
struct conn *lua_conn_get(void *handle);
void lua_conn_call_incoming(void *handle);
/* lua_foreign.c: one whole element, through the parser and limits of streams, before or after login. NULL and an
 * RFC 6120 4.9.3 condition with a sentence (valid until the next call) when it is none. */
struct stanza *lua_parse(struct lua_core *core, struct slice text, size_t bytes, bool is_authed,
			 const char **condition_r, const char **text_r);
/* The `close` of transports whose sessions have a carrier (native.carried_session). */
void lua_carrier_close(struct session *session, const char *condition, const char *text);
/* Their `leave` and `move`, as far as the carrier goes. */
void lua_carrier_leave(struct session *session, const char *condition, const char *text);
void lua_carrier_move(struct session *from, struct session *to);

/* lua_texts.c: pushes a new queue of util.texts, to be filled. */
struct texts *l_new_texts(lua_State *L);

/* A file of util.incoming, for who fills it from C; the handle lives as long as its userdata does. */
void *l_check_incoming(lua_State *L, int index); /* raises when it is none, or closed */
int lua_incoming_write(void *file, struct slice bytes); /* -1 when it is closed by now, or cannot be */
const char *lua_incoming_error(const void *file);       /*   and why: borrowed */

/* Pushes { number of durations up to the first bound, ... of all; sum = seconds }. */
void l_push_histogram(lua_State *L, const struct histogram *histogram);

/* ---- registration into the native table, which is on top of the stack ---- */
void l_add_events(lua_State *L);
void l_add_sessions(lua_State *L);
void l_add_views(lua_State *L);
void l_add_conns(lua_State *L);
void l_add_foreign(lua_State *L);
void l_add_websockets(lua_State *L);
void l_add_tls(lua_State *L);
void l_add_router(lua_State *L);
void l_add_s2s(lua_State *L);
void l_add_sm(lua_State *L);
void l_add_work(lua_State *L);
void l_add_batches(lua_State *L);
void l_add_counts(lua_State *L);
void l_add_jobs(lua_State *L);

/* ops of the server */
void lua_events_install(struct lua_core *core);
void lua_sessions_install(struct lua_core *core);

static inline void l_push_slice(lua_State *L, struct slice s)
{
	if (s.ptr == NULL)
		lua_pushnil(L);
	else
		lua_pushlstring(L, s.ptr, s.len);
}

static inline struct slice l_to_slice(lua_State *L, int index)
{
	struct slice s = SLICE_NONE;
	s.ptr = lua_tolstring(L, index, &s.len);
	return s;
}

#endif
