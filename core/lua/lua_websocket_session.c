/* XMPP over WebSocket (RFC 7395): from the frames of a connection to elements, and back.
 *
 * Once its stream is open, what a client sends goes to its session, and what the session sends goes into the
 * connection, without passing through Lua. Everything else is for mod_websocket, which asks `next` for it: what opens,
 * restarts and closes the stream, pings, the end, and what is wrong.
 *
 * Always true: `event` is one thing that Lua has not asked for yet; nothing is read while there is one, nor while
 * something of the session waits. */
#include <lauxlib.h>

#include "base/mem.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "lua/lua_stanza.h"
#include "lua/websocket_private.h"
#include "net/conn.h"
#include "xml/stanza.h"
#include "xmpp/foreign.h"
#include "xmpp/ns.h"
#include "xmpp/session.h"

#define SOCKET_TYPE "couplet.websocket"
#define NS_FRAMING SLICE("urn:ietf:params:xml:ns:xmpp-framing")

enum { TEXT_FRAME = 1 };

/* Silence in the middle of a message; then its sender is not waited for any more (SECURITY E6). */
enum { PARTIAL_MS = 60 * 1000, IDLE_SECONDS_MAX = 366 * 24 * 3600 };

enum web_event { NOTHING, ELEMENT, UNFIT, BINARY, PING, PONG, CLOSE, FAILED };
static const char *const event_names[] = { "more", "element", "unfit", "binary", "ping", "pong", "close", "failed" };

struct web_socket {
	struct lua_core *core;
	void *conn;                      /* the conn's handle: user value 1 */
	const struct websocket_ops *ops; /* libwslay, in its shared object */
	struct websocket_reader *reader; /* NULL when closed */
	struct session_id session;
	bool has_session;
	bool is_open;                    /* elements are the session's */
	bool is_waiting;                 /* for the session; the conn is paused */
	bool is_reading;
	bool is_partial;                 /* a message has begun: the conn is idle sooner */
	int64_t idle_ms;
	size_t message_bytes;
	enum web_event event;
	struct stanza *element;          /* of ELEMENT */
	const char *condition;           /* of UNFIT */
	uint16_t code;                   /* of CLOSE and FAILED */
	char text[WEBSOCKET_CONTROL_MAX + 128]; /* why UNFIT or FAILED; what PING, PONG and CLOSE carry */
	size_t text_len;
};

static struct session *session_of(const struct web_socket *socket)
{
	return socket->has_session ? server_session(socket->core->server, socket->session) : NULL;
}

/* ---- in ---- */

static void keep_text(struct web_socket *socket, struct slice text)
{
	socket->text_len = text.len < sizeof(socket->text) ? text.len : sizeof(socket->text);
	memcpy(socket->text, text.ptr, socket->text_len);
}

static void take_text(struct web_socket *socket, struct session *session, struct slice text)
{
	const char *condition = NULL, *why = NULL;
	bool is_authed = session != NULL && session->type != SESSION_C2S_UNAUTHED;
	struct stanza *element = lua_parse(socket->core, text, socket->message_bytes, is_authed, &condition, &why);
	if (element == NULL) {
		socket->event = UNFIT;
		socket->condition = condition;
		keep_text(socket, slice_of_str(why));
	} else if (!socket->is_open || slice_equal(el_own_ns(element, stanza_root(element)), NS_FRAMING)) {
		socket->event = ELEMENT;
		socket->element = element;
	} else if (session == NULL || session->is_ended) {
		stanza_free(&element);
	} else {
		foreign_receive(session, &element);
	}
}

static void take_message(struct web_socket *socket, struct session *session)
{
	static const enum web_event events[] = {
		[WEBSOCKET_BINARY] = BINARY, [WEBSOCKET_PING] = PING,     [WEBSOCKET_PONG] = PONG,
		[WEBSOCKET_CLOSE] = CLOSE,   [WEBSOCKET_FAILED] = FAILED, [WEBSOCKET_MORE] = NOTHING,
	};
	struct websocket_message message;
	enum websocket_result result = socket->ops->next(socket->reader, &message);
	if (result == WEBSOCKET_TEXT) {
		take_text(socket, session, message.payload);
		return;
	}
	socket->event = events[result];
	socket->code = message.code;
	if (result != WEBSOCKET_BINARY)
		keep_text(socket, message.payload);
	socket->is_reading = result != WEBSOCKET_MORE;
}

/* Asked when all is read: what is left waits for its end. */
static void watch_silence(struct web_socket *socket)
{
	struct conn *conn = lua_conn_get(socket->conn);
	bool is_partial = socket->reader != NULL && socket->ops->is_partial(socket->reader);
	if (conn == NULL || is_partial == socket->is_partial)
		return;
	socket->is_partial = is_partial;
	bool is_sooner = is_partial && (socket->idle_ms == 0 || socket->idle_ms > PARTIAL_MS);
	conn_set_idle_ms(conn, is_sooner ? PARTIAL_MS : socket->idle_ms);
}

/* Reads until there is something for Lua, something waits, or all is read. */
static void read_messages(struct web_socket *socket)
{
	if (socket->is_reading)
		return; /* what is done with an element may come back here */
	socket->is_reading = true;
	while (socket->is_reading && socket->reader != NULL && socket->event == NOTHING) {
		struct session *session = session_of(socket);
		struct conn *conn = lua_conn_get(socket->conn);
		if (conn == NULL || conn_is_closing(conn))
			break;
		if (session != NULL && session->n_parked > 0) {
			socket->is_waiting = true;
			conn_pause(conn);
			break;
		}
		take_message(socket, session);
	}
	socket->is_reading = false;
	if (socket->event == NOTHING && !socket->is_waiting)
		watch_silence(socket);
}

static enum intake_result take_in(void *ctx, struct slice bytes)
{
	struct web_socket *socket = ctx;
	if (socket->reader == NULL)
		return INTAKE_NOTHING;
	if (socket->ops->push(socket->reader, bytes) != 0)
		return INTAKE_FULL;
	if (!socket->is_waiting)
		read_messages(socket);
	return socket->event != NOTHING ? INTAKE_SOMETHING : INTAKE_NOTHING;
}

/* ---- the session's transport ---- */

static struct conn *open_conn(const struct session *session)
{
	const struct web_socket *socket = session->carried_by;
	struct conn *conn = socket != NULL ? lua_conn_get(socket->conn) : NULL;
	return conn != NULL && !conn_is_closing(conn) ? conn : NULL;
}

/* Room for a message of so many bytes, behind the longest head. NULL: the session is closed, it does not read. */
static char *reserve(struct session *session, struct conn *conn, size_t bytes)
{
	char *space = conn_reserve(conn, WEBSOCKET_HEAD_MAX + bytes);
	if (space == NULL)
		session_close(session, "resource-constraint", "You are not reading what is sent to you");
	return space;
}

/* The message stands behind the room for the longest head; it moves up to its own. */
static void commit(const struct session *session, struct conn *conn, char *space, size_t len)
{
	const struct web_socket *socket = session->carried_by;
	uint8_t head[WEBSOCKET_HEAD_MAX];
	size_t head_len = socket->ops->head(TEXT_FRAME, len, head);
	memcpy(space, head, head_len);
	memmove(space + head_len, space + WEBSOCKET_HEAD_MAX, len);
	conn_commit(conn, head_len + len);
}

static int send_text(struct session *session, struct slice text)
{
	struct conn *conn = open_conn(session);
	char *space = conn != NULL ? reserve(session, conn, text.len) : NULL;
	if (space == NULL)
		return -1;
	memcpy(space + WEBSOCKET_HEAD_MAX, text.ptr, text.len);
	commit(session, conn, space, text.len);
	return 0;
}

static int send_stanza(struct session *session, const struct stanza *stanza)
{
	struct conn *conn = open_conn(session);
	char *space = conn != NULL ? reserve(session, conn, foreign_write_bound(stanza)) : NULL;
	if (space == NULL)
		return -1;
	commit(session, conn, space, foreign_write(space + WEBSOCKET_HEAD_MAX, stanza));
	server_count(session, stanza, SERVER_OUT);
	return 0;
}

static void resumed(struct session *session)
{
	struct web_socket *socket = session->carried_by;
	struct conn *conn = socket != NULL ? lua_conn_get(socket->conn) : NULL;
	if (conn == NULL || !socket->is_waiting)
		return;
	socket->is_waiting = false;
	conn_resume(conn);
	read_messages(socket);
	if (socket->event != NOTHING)
		lua_conn_call_incoming(socket->conn);
}

/* A stanza in the words of a TCP stream. */
static int send_written(struct session *session, struct slice text)
{
	struct conn *conn = open_conn(session);
	char *space = conn != NULL ? conn_reserve(conn, WEBSOCKET_HEAD_MAX + foreign_text_bound(text)) : NULL;
	if (space == NULL)
		return -1;
	commit(session, conn, space, foreign_write_text(space + WEBSOCKET_HEAD_MAX, text));
	return 0;
}

static void leave(struct session *session, const char *condition, const char *text)
{
	struct web_socket *socket = session->carried_by;
	if (socket != NULL)
		socket->has_session = false;
	session->carried_by = NULL;
	lua_carrier_leave(session, condition, text);
}

static void move(struct session *from, struct session *to)
{
	struct web_socket *socket = from->carried_by;
	from->carried_by = NULL;
	to->carried_by = socket;
	if (socket != NULL)
		socket->session = to->id;
	lua_carrier_move(from, to);
}

static const struct transport over_websocket = {
	.send = send_stanza, .send_bytes = send_text, .send_text = send_written, .close = lua_carrier_close,
	.resumed = resumed, .leave = leave, .move = move,
};

/* ---- for Lua ---- */

static struct web_socket *l_check_socket(lua_State *L)
{
	struct web_socket *socket = luaL_checkudata(L, 1, SOCKET_TYPE);
	luaL_argcheck(L, socket->reader != NULL, 1, "the socket is closed");
	return socket;
}

/* native.websocket(conn, reader, idle_seconds) -> socket: the conn speaks WebSocket from now on, and its input is the
 * reader's, one of couplet.websocket, which is the socket's then. Its listener's onincoming(conn) is called when
 * socket:next() has something, onfull(conn) when too much came at once, onreadtimeout(conn) after so much silence, or
 * after a minute's within a message: when socket:is_partial(). */
static int l_websocket(lua_State *L)
{
	struct lua_websocket_reader *handle = luaL_checkudata(L, 2, WEBSOCKET_READER_TYPE);
	luaL_argcheck(L, handle->reader != NULL, 2, "the reader is closed");
	lua_Number idle_seconds = luaL_checknumber(L, 3);
	luaL_argcheck(L, idle_seconds >= 0 && idle_seconds <= IDLE_SECONDS_MAX, 3, "out of range");
	struct conn *conn = l_check_conn(L, 1);
	struct web_socket *socket = lua_newuserdatauv(L, sizeof(*socket), 1);
	*socket = (struct web_socket){
		.core = lua_core_of(L), .conn = lua_touserdata(L, 1), .ops = handle->ops,
		.message_bytes = handle->message_bytes, .idle_ms = (int64_t)(idle_seconds * 1000),
	};
	luaL_setmetatable(L, SOCKET_TYPE);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	l_set_intake(L, 1, lua_gettop(L), take_in);
	socket->reader = handle->reader;
	handle->reader = NULL;
	if (conn != NULL)
		conn_set_idle_ms(conn, socket->idle_ms);
	return 1;
}

static int l_close(lua_State *L)
{
	struct web_socket *socket = luaL_checkudata(L, 1, SOCKET_TYPE);
	struct session *session = session_of(socket);
	if (session != NULL && session->carried_by == socket)
		session->carried_by = NULL;
	socket->has_session = false;
	if (socket->reader != NULL)
		socket->ops->reader_free(&socket->reader);
	stanza_free(&socket->element);
	return 0;
}

/* socket:limit(bytes): of a message. */
static int l_limit(lua_State *L)
{
	struct web_socket *socket = l_check_socket(L);
	socket->message_bytes = l_check_message_bytes(L, 2);
	socket->ops->limit(socket->reader, socket->message_bytes);
	return 0;
}

static int l_is_partial(lua_State *L)
{
	lua_pushboolean(L, l_check_socket(L)->is_partial);
	return 1;
}

/* socket:push(bytes) -> false when too much waits: what came before the conn's input did. */
static int l_push(lua_State *L)
{
	struct web_socket *socket = l_check_socket(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, socket->ops->push(socket->reader, slice_of(bytes, len)) == 0);
	return 1;
}

/* socket:carry(session, is_open): the session's stanzas leave here; when is_open, elements go to it, but those of
 * framing. */
static int l_carry(lua_State *L)
{
	struct web_socket *socket = l_check_socket(L);
	struct session *session = l_check_session(L, 2);
	luaL_argcheck(L, session->stream == NULL, 2, "a session with a stream of its own");
	session->transport = &over_websocket;
	session->carried_by = socket;
	socket->session = session->id;
	socket->has_session = true;
	socket->is_open = lua_toboolean(L, 3);
	return 0;
}

/* socket:next() -> "more" (nothing now) | "element", element | "unfit", condition, text (RFC 6120 4.9.3)
 *                | "binary" | "ping" | "pong", payload | "close", code, reason | "failed", code, why */
static int l_next(lua_State *L)
{
	struct web_socket *socket = l_check_socket(L);
	if (!socket->is_waiting)
		read_messages(socket);
	enum web_event event = socket->event;
	socket->event = NOTHING;
	lua_pushstring(L, event_names[event]);
	switch (event) {
	case ELEMENT:
		l_push_stanza(L, &socket->element);
		return 2;
	case UNFIT:
		lua_pushstring(L, socket->condition);
		break;
	case CLOSE:
	case FAILED:
		lua_pushinteger(L, socket->code);
		break;
	case PING:
	case PONG:
		break;
	case BINARY:
	case NOTHING:
		return 1;
	}
	lua_pushlstring(L, socket->text, socket->text_len);
	return event == PING || event == PONG ? 2 : 3;
}

void l_add_websockets(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "websocket", l_websocket },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "next", l_next },   { "push", l_push },   { "is_partial", l_is_partial }, { "limit", l_limit },
		{ "carry", l_carry }, { "close", l_close }, { NULL, NULL },
	};
	l_new_type(L, SOCKET_TYPE, methods, l_close);
	luaL_setfuncs(L, functions, 0);
}
