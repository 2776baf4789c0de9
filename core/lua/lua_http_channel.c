/* How connections of the HTTP server are read: bytes to requests, which Lua answers. A channel belongs to one
 * connection of a Lua listener; Lua is entered once for each request, with what it begins with (lua_http.c), and once
 * more when a body follows, which it has to say how to take.
 *
 * Always true: a request is begun when the one before it was answered and its handler has returned; what comes until
 * then waits in the reader, and the connection is paused. A body that was not read ends the connection with the answer.
 * Time is bounded while we wait for the peer (a head, a body, the next request), never while we work: the timer is left
 * alone where a deadline only moves away, and looks again when it runs out. */
#include "lua/http_channel.h"

#include <lauxlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lua/barrier.h"
#include "net/conn.h"
#include "net/http.h"
#include "net/loop.h"

const char *const http_call_names[HTTP_CALLS] = {
	"http-request", "http-head", "http-body", "http-piece", "http-poured", "http-unstored", "http-refused",
	"http-failed",
};

struct conn *http_channel_conn(const struct http_channel *channel)
{
	return channel->conn != NULL ? lua_conn_get(channel->conn) : NULL;
}

/* ---- the end ---- */

static void let_go(struct http_channel *channel)
{
	http_reader_free(&channel->reader);
	timer_free(&channel->timer);
	buf_done(&channel->body);
}

void http_channel_after_use(struct http_channel *channel)
{
	if (channel->phase != HTTP_ENDED || channel->is_processing || channel->is_deferred || channel->n_waiting > 0)
		return;
	let_go(channel);
	if (channel->is_orphan)
		mem_free(channel);
}

void http_channel_end(struct http_channel *channel)
{
	channel->phase = HTTP_ENDED;
	channel->file = NULL;
	if (channel->timer != NULL)
		timer_stop(channel->timer);
}

void http_channel_detach(struct http_channel *channel)
{
	http_channel_end(channel);
	channel->conn = NULL;
	luaL_unref(channel->server->core->L, LUA_REGISTRYINDEX, channel->state_ref);
	channel->state_ref = LUA_NOREF;
}

void http_channel_abandon(struct http_channel *channel)
{
	http_channel_detach(channel);
	channel->is_orphan = true;
	http_channel_after_use(channel);
}

/* ---- deadlines ---- */

static void set_deadline(struct http_channel *channel, int64_t after_ms)
{
	channel->deadline_ms = loop_now_ms(channel->server->core->server->loop) + after_ms;
	if (timer_is_running(channel->timer) && channel->timer_ms <= channel->deadline_ms)
		return;
	timer_start(channel->timer, after_ms);
	channel->timer_ms = channel->deadline_ms;
}

static void refuse(struct http_channel *channel, int status, const char *reason);

static void close_idle(struct http_channel *channel)
{
	http_channel_end(channel);
	struct conn *conn = http_channel_conn(channel);
	if (conn != NULL)
		conn_close(conn, "idle");
}

static void check_speed(struct http_channel *channel)
{
	const struct http_server *server = channel->server;
	uint64_t wanted = server->body_bytes_per_s * (uint64_t)server->body_ms / 1000;
	if (channel->n_waiting == 0 && channel->body_bytes - channel->marked_bytes < wanted) {
		refuse(channel, 408, "The body came too slowly");
		return;
	}
	channel->marked_bytes = channel->body_bytes;
	set_deadline(channel, server->body_ms);
}

static void on_timer(void *ctx)
{
	struct http_channel *channel = ctx;
	int64_t left_ms = channel->deadline_ms - loop_now_ms(channel->server->core->server->loop);
	if (channel->phase == HTTP_ENDED || channel->deadline_ms == HTTP_NEVER_MS) {
		return;
	} else if (left_ms > 0) {
		timer_start(channel->timer, left_ms);
		channel->timer_ms = channel->deadline_ms;
	} else if (channel->phase == HTTP_READING) {
		check_speed(channel);
	} else if (channel->phase == HTTP_WAITING && http_is_idle(channel->reader)) {
		close_idle(channel);
	} else if (channel->phase == HTTP_WAITING) {
		refuse(channel, 408, "The head of the request took too long");
	}
	http_channel_after_use(channel);
}

struct http_channel *http_channel_new(struct http_server *server, void *conn, int state_ref)
{
	struct http_channel *channel = mem_new(sizeof(*channel));
	*channel = (struct http_channel){ .server = server, .conn = conn, .state_ref = state_ref };
	channel->reader = http_reader_new(&http_default_limits);
	channel->timer = timer_new(server->core->server->loop, on_timer, channel);
	set_deadline(channel, server->head_ms);
	return channel;
}

/* ---- calls ---- */

static void process(struct http_channel *channel);
static void call(struct http_channel *channel, struct thread *thread, int n_args);

/* Push arguments on thread->L, then call() or, in the end not, barrier_end. NULL after the end. */
static struct thread *begin_call(struct http_channel *channel, enum http_call which)
{
	const struct http_server *server = channel->server;
	if (channel->state_ref == LUA_NOREF)
		return NULL;
	struct thread *thread = barrier_begin(server->core, http_call_names[which]);
	lua_rawgeti(thread->L, LUA_REGISTRYINDEX, server->calls[which]);
	lua_rawgeti(thread->L, LUA_REGISTRYINDEX, channel->state_ref);
	return thread;
}

/* A handler has died. The request is answered all the same, by on_failed; when that dies, too, nobody looks after the
 * connection. */
static void call_failed(struct http_channel *channel)
{
	struct thread *thread = !channel->has_failed ? begin_call(channel, HTTP_ON_FAILED) : NULL;
	struct conn *conn = http_channel_conn(channel);
	channel->has_failed = true;
	if (thread != NULL)
		call(channel, thread, 0);
	else if (conn != NULL)
		conn_close(conn, "the server has failed");
}

static void on_waited(void *ctx, enum bus_result answer)
{
	struct http_channel *channel = ctx;
	channel->n_waiting--;
	if (answer == BUS_FAILED)
		call_failed(channel);
	process(channel);
}

/* Calls with n_args beyond the state. */
static void call(struct http_channel *channel, struct thread *thread, int n_args)
{
	enum barrier_result result = barrier_run(channel->server->core, thread, n_args + 1);
	if (result == BARRIER_WAITS) {
		thread->go_on = on_waited;
		thread->go_on_ctx = channel;
		channel->n_waiting++;
		return;
	}
	barrier_end(channel->server->core, thread);
	if (result == BARRIER_FAILED)
		call_failed(channel);
}

static void call_with_text(struct http_channel *channel, enum http_call which, struct slice text)
{
	struct thread *thread = begin_call(channel, which);
	if (thread == NULL)
		return;
	l_push_slice(thread->L, text);
	call(channel, thread, 1);
}

/* The peer was wrong: Lua says so and closes; nothing is read any more. */
static void refuse(struct http_channel *channel, int status, const char *reason)
{
	struct thread *thread = begin_call(channel, HTTP_ON_REFUSED);
	http_channel_end(channel);
	if (thread == NULL)
		return;
	lua_pushinteger(thread->L, status);
	lua_pushstring(thread->L, reason);
	call(channel, thread, 2);
}

/* ---- what comes ---- */

static void begin_request(struct http_channel *channel)
{
	const struct http_head *head = http_reader_head(channel->reader);
	bool has_body = head->is_chunked || head->content_length > 0;
	channel->n_requests++;
	channel->began_ns = clock_ns();
	channel->is_in_head = channel->has_failed = false;
	channel->deadline_ms = HTTP_NEVER_MS;
	channel->stays = head->keeps_alive && channel->n_requests < channel->server->requests_max;
	channel->is_1_0 = head->is_1_0;
	channel->expects_continue = head->expects_continue;
	channel->content_length = head->content_length;
	channel->phase = has_body ? HTTP_HEAD_ASKED : HTTP_ASKED;
	struct thread *thread = begin_call(channel, has_body ? HTTP_ON_HEAD : HTTP_ON_REQUEST);
	if (thread == NULL)
		return;
	if (!l_http_push_request(thread->L, channel->reader)) {
		barrier_end(channel->server->core, thread);
		refuse(channel, 400, "The path has escapes or segments that must not be");
		return;
	}
	log_debug("http", "%.*s %.*s", SLICE_ARG(head->method), SLICE_ARG(head->path));
	struct slice none;
	if (!has_body)
		http_next(channel->reader, &none); /* its end; what is on the stack is a copy */
	call(channel, thread, 4);
}

/* text.ptr NULL: Lua has it already. */
static void give_body(struct http_channel *channel, struct slice text)
{
	channel->phase = HTTP_ASKED;
	channel->deadline_ms = HTTP_NEVER_MS;
	struct thread *thread = begin_call(channel, HTTP_ON_BODY);
	if (thread == NULL)
		return;
	l_push_slice(thread->L, text);
	buf_done(&channel->body);
	channel->file = NULL;
	call(channel, thread, 1);
}

static void pour(struct http_channel *channel, struct slice bytes)
{
	if (lua_incoming_write(channel->file, bytes) != 0) {
		call_with_text(channel, HTTP_ON_UNSTORED, slice_of_str(lua_incoming_error(channel->file)));
	} else if (channel->body_bytes - channel->told_bytes >= channel->step_bytes) {
		channel->told_bytes = channel->body_bytes;
		struct thread *thread = begin_call(channel, HTTP_ON_POURED);
		if (thread == NULL)
			return;
		lua_pushinteger(thread->L, (lua_Integer)channel->body_bytes);
		call(channel, thread, 1);
	}
}

static void take_piece(struct http_channel *channel, struct slice bytes)
{
	struct slice none;
	channel->body_bytes += bytes.len;
	switch (channel->taking) {
	case HTTP_PIECES:
		call_with_text(channel, HTTP_ON_PIECE, bytes);
		return;
	case HTTP_POUR:
		pour(channel, bytes);
		return;
	case HTTP_COLLECT:
		break;
	}
	if (buf_add(&channel->body, bytes) != 0)
		refuse(channel, 413, "The body is larger than what is accepted here");
	else if ((int64_t)channel->body_bytes == channel->content_length && http_next(channel->reader, &none) == HTTP_END)
		give_body(channel, buf_slice(&channel->body)); /* one round less */
}

void http_channel_take(struct http_channel *channel, enum http_taking taking, uint64_t bytes_max)
{
	channel->taking = taking;
	channel->body_bytes = channel->marked_bytes = channel->told_bytes = 0;
	http_reader_limit_body(channel->reader, bytes_max);
	buf_init(&channel->body, bytes_max < SIZE_MAX / 2 ? (size_t)bytes_max : SIZE_MAX / 2);
	channel->phase = HTTP_READING;
	set_deadline(channel, channel->server->body_ms);
	struct conn *conn = http_channel_conn(channel);
	/* RFC 9110 10.1.1: not when it comes already, nor when it will be refused */
	if (channel->expects_continue && conn != NULL && !http_has_rest(channel->reader)
	    && (channel->content_length < 0 || (uint64_t)channel->content_length <= bytes_max))
		conn_write(conn, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void end_body(struct http_channel *channel)
{
	if (channel->taking != HTTP_COLLECT)
		give_body(channel, SLICE_NONE);
	else
		give_body(channel, channel->body.len > 0 ? buf_slice(&channel->body) : SLICE(""));
}

static bool can_read(const struct http_channel *channel)
{
	return channel->n_waiting == 0 && (channel->phase == HTTP_WAITING || channel->phase == HTTP_READING);
}

static void wait_for_more(struct http_channel *channel)
{
	struct conn *conn = http_channel_conn(channel);
	if (channel->is_paused && conn != NULL)
		conn_resume(conn);
	channel->is_paused = false;
	if (channel->phase != HTTP_WAITING)
		return;
	if (!http_is_idle(channel->reader)) {
		if (!channel->is_in_head)
			set_deadline(channel, channel->server->head_ms);
		channel->is_in_head = true;
	} else if (channel->deadline_ms == HTTP_NEVER_MS) {
		set_deadline(channel, channel->server->idle_ms);
	}
}

static void process(struct http_channel *channel)
{
	if (channel->is_processing)
		return;
	channel->is_processing = true;
	enum http_result result = HTTP_BODY;
	while (result != HTTP_MORE && can_read(channel)) {
		struct slice bytes;
		result = http_next(channel->reader, &bytes);
		if (result == HTTP_HEAD)
			begin_request(channel);
		else if (result == HTTP_BODY)
			take_piece(channel, bytes);
		else if (result == HTTP_END)
			end_body(channel);
		else if (result == HTTP_FAILED)
			refuse(channel, http_why(channel->reader)->status, http_why(channel->reader)->reason);
	}
	channel->is_processing = false;
	if (can_read(channel))
		wait_for_more(channel);
	http_channel_after_use(channel);
}

static void process_later(void *ctx)
{
	struct http_channel *channel = ctx;
	channel->is_deferred = false;
	process(channel);
}

void http_channel_process_soon(struct http_channel *channel)
{
	if (channel->is_deferred)
		return;
	channel->is_deferred = true;
	loop_defer(channel->server->core->server->loop, process_later, channel);
}

enum intake_result http_channel_take_in(void *ctx, struct slice bytes)
{
	struct http_channel *channel = *(struct http_channel **)ctx;
	if (channel->phase == HTTP_ENDED)
		return INTAKE_NOTHING;
	if (http_push(channel->reader, bytes) != 0) {
		refuse(channel, 400, "Too much was sent before it was asked for");
		http_channel_after_use(channel);
	} else if (!channel->is_processing && can_read(channel)) {
		process(channel);
	} else if (!channel->is_paused && http_channel_conn(channel) != NULL) {
		channel->is_paused = true;
		conn_pause(http_channel_conn(channel));
	}
	return INTAKE_NOTHING;
}

void http_channel_answered(struct http_channel *channel)
{
	if (channel->phase == HTTP_ENDED || channel->phase == HTTP_WAITING)
		return;
	struct conn *conn = http_channel_conn(channel);
	if (!channel->stays || channel->phase != HTTP_ASKED) {
		http_channel_end(channel);
		if (conn != NULL)
			conn_close(conn, "answered");
		return;
	}
	channel->phase = HTTP_WAITING;
	if (channel->is_processing || channel->n_waiting > 0)
		return; /* who processes goes on by itself */
	if (http_has_rest(channel->reader))
		http_channel_process_soon(channel);
	else
		wait_for_more(channel);
}
