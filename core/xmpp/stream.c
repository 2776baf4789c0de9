/* What all XML streams have in common (RFC 6120 4): how they begin, restart, get TLS, are told of errors, end. What
 * comes in is in stream_in.c, what goes out in stream_out.c; what may happen when, and what a header must say, is the
 * kind's (stream_c2s.c, stream_s2s.c). */
#include "xmpp/stream.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/hold.h"
#include "net/loop.h"
#include "xml/parser.h"
#include "xml/stanza.h"
#include "xml/write.h"
#include "xmpp/host.h"
#include "xmpp/ns.h"
#include "xmpp/router.h"
#include "xmpp/session.h"
#include "xmpp/session_sm.h"
#include "xmpp/sm.h"
#include "xmpp/stream_private.h"

enum { ERROR_MAX = 4 * 1024 };

static const char *const class_names[STREAM_CLASSES] = { "header",  "footer",   "starttls", "sasl",     "iq",
							 "message", "presence", "nonza",    "error",    "stranger",
							 "sm",      "dialback", "features", "tls" };
static const char *const action_names[ACTIONS] = { "ignore", "open",           "end",         "event",  "iq-event",
						   "route",  "route-late",     "count",       "not-authorized",
						   "unsupported", "give-up" };
static const struct stream_kind *const kinds[] = { &stream_c2s, &stream_s2sin, &stream_s2sout };

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const char *stream_kind_name(unsigned kind) { return kind < KINDS ? kinds[kind]->log_name : NULL; }
unsigned stream_state_count(void) { return STREAM_STATES; }

const char *stream_state_name(unsigned kind, unsigned state)
{
	return kind < KINDS && state < STREAM_STATES ? kinds[kind]->state_names[state] : NULL;
}

const char *stream_class_name(unsigned kind, unsigned class)
{
	return kind < KINDS && class < kinds[kind]->n_classes ? class_names[class] : NULL;
}

const char *stream_action_name(unsigned kind, unsigned state, unsigned class)
{
	if (stream_state_name(kind, state) == NULL || stream_class_name(kind, class) == NULL)
		return NULL;
	return action_names[kinds[kind]->table[state][class]];
}

struct conn *stream_conn(const struct session *session)
{
	return session->stream != NULL ? session->stream->conn : NULL;
}

const char *stream_id(const struct session *session)
{
	const struct stream *stream = session->stream;
	if (stream == NULL)
		return "";
	if (stream->kind->is_outgoing)
		return stream->peer_id != NULL ? stream->peer_id : "";
	return stream->id;
}

bool stream_is_secure(const struct session *session)
{
	return stream_conn(session) != NULL && conn_is_secure(session->stream->conn);
}

const char *stream_log_name(const struct stream *stream, char into[32])
{
	unsigned number = stream->session != NULL ? stream->session->id.index : 0;
	snprintf(into, 32, "%s%x", stream->kind->log_name, number);
	return into;
}

/* ---- endings ---- */

void stream_say_goodbye(struct stream *stream, const char *condition, const char *text, const char *more)
{
	if (stream->has_sent_footer || stream->conn == NULL)
		return;
	if (!stream->has_sent_header) /* RFC 6120 4.9.1.2: an error needs a stream to stand in */
		stream_send_header(stream, stream->session != NULL && stream->session->host != NULL
					    ? host_name(stream->session->host) : SLICE_NONE, SLICE_NONE);
	struct buf out;
	buf_init(&out, ERROR_MAX);
	if (condition != NULL) {
		buf_addf(&out, "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", condition);
		if (text != NULL) {
			buf_add(&out, SLICE("<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>"));
			write_escaped(&out, slice_of_str(text));
			buf_add(&out, SLICE("</text>"));
		}
		if (more != NULL)
			buf_add(&out, slice_of_str(more));
		buf_add(&out, SLICE("</stream:error>"));
	}
	buf_add(&out, SLICE("</stream:stream>"));
	conn_write(stream->conn, buf_slice(&out));
	buf_done(&out);
	stream->has_sent_footer = true;
	stream->state = STREAM_CLOSING;
	char name[32];
	log_debug(stream_log_name(stream, name), "closing stream: %s%s%s", condition != NULL ? condition : "no error",
		  text != NULL ? ": " : "", text != NULL ? text : "");
}

static void close_stream(struct session *session, const char *condition, const char *text)
{
	struct stream *stream = session->stream;
	if (stream == NULL)
		return;
	if (stream->kind->close != NULL && stream->is_authed) {
		stream->kind->close(stream, condition, text);
		return;
	}
	stream_say_goodbye(stream, condition, text, NULL);
	conn_close(stream->conn, condition != NULL ? condition : "stream closed");
	session_end(session, text != NULL ? text : condition);
}

/* The session goes on without this stream. */
static void leave_stream(struct session *session, const char *condition, const char *text)
{
	struct stream *stream = session->stream;
	session->stream = NULL;
	stream->session = NULL;
	if (condition == NULL) {
		conn_abort(stream->conn, text);
		return;
	}
	stream_say_goodbye(stream, condition, text, NULL);
	conn_close(stream->conn, text);
}

/* Another session goes on with this stream. */
static void move_stream(struct session *from, struct session *to)
{
	struct stream *stream = from->stream;
	from->stream = NULL;
	stream->session = to;
	to->stream = stream;
	if (to->n_parked > 0)
		conn_pause(stream->conn);
}

static const struct transport stream_transport = {
	.send = stream_write, .send_bytes = stream_write_bytes, .send_text = stream_write_bytes, .close = close_stream,
	.leave = leave_stream, .move = move_stream,
};

void stream_session_ended(struct session *session)
{
	struct stream *stream = session->stream;
	if (stream == NULL)
		return;
	if (stream->sm != NULL && sm_n_kept(stream->sm) > 0) {
		/* It was decided what becomes of them: what has not left yet must not leave any more. */
		stream->has_sent_footer = true;
		conn_abort(stream->conn, "session ended");
	}
	stream_say_goodbye(stream, NULL, NULL, NULL);
	conn_close(stream->conn, "session ended");
	session->stream = NULL;
	session->transport = NULL;
	stream->session = NULL;
}

void stream_free(struct stream *stream)
{
	stream_forget_parser(stream);
	share_done(&stream->share);
	stream_sm_free(stream);
	timer_free(&stream->deadline);
	mem_free(stream->peer_id);
	mem_free(stream->last_condition);
	mem_free(stream->last_text);
	mem_free(stream);
}

static void on_closed(void *ctx, const char *reason)
{
	struct stream *stream = ctx;
	stream->has_sent_footer = true; /* nothing can be said any more */
	if (stream->session != NULL) {
		struct session *session = stream->session;
		char name[32];
		log_debug(stream_log_name(stream, name), "disconnected: %s", reason);
		if (!session_sm_lost(session, reason))
			session_end(session, reason);
	}
	if (stream->is_running)
		stream->conn = NULL; /* run_parser frees it */
	else
		stream_free(stream);
}

/* ---- input ---- */

void stream_fail(struct stream *stream, const char *condition, const char *text)
{
	struct session *session = stream->session;
	if (session == NULL)
		return;
	if (!session->is_closing) {
		session_close(session, condition, text);
		return;
	}
	/* It was going to end in good order; now it ends at once. */
	stream->is_deaf = true;
	stream_say_goodbye(stream, condition, text, NULL);
	conn_close(stream->conn, text);
}

static void on_data(void *ctx, struct slice bytes)
{
	stream_take_input(ctx, bytes);
}

static void on_go_on(void *ctx)
{
	stream_go_on(ctx);
}

/* Whoever wanted to see the connection first has seen it. */
static void after_look(struct session_event *event, enum bus_result result)
{
	struct session *session = event->session;
	(void)result;
	if (!session->is_closing && session->stream != NULL && session->stream->kind->greet != NULL)
		session->stream->kind->greet(session->stream);
}

static void on_secured(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session == NULL)
		return;
	stream->state = STREAM_HEADER;
	char name[32];
	log_debug(stream_log_name(stream, name), "TLS is on");
	struct session_event event = { .data_kind = DATA_SESSION, .session = stream->session, .done = after_look };
	router_fire_session(stream->session, stream->kind->secured_event, &event);
}

static void on_ended(void *ctx)
{
	struct stream *stream = ctx;
	stream_peer_ended(stream);
}

static void on_idle(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session != NULL)
		stream->kind->idle(stream);
}

static void on_deadline(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->is_draining)
		stream_drained(stream); /* it will not be any more */
	else if (stream->state == STREAM_CLOSING)
		conn_abort(stream->conn, "the other side did not close the stream");
	else
		stream_fail(stream, "connection-timeout", "Logging in took too long");
}

/* An outgoing connection is up. With TLS from the first byte, on_secured is next. */
static void on_opened(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session == NULL)
		return;
	struct session_event event = { .data_kind = DATA_SESSION, .session = stream->session };
	if (stream->state == STREAM_HEADER)
		event.done = after_look;
	router_fire_session(stream->session, "s2sout-connected", &event);
}

static void on_drained(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session == NULL || stream->kind->drained_event == NULL)
		return;
	struct session_event event = { .data_kind = DATA_SESSION, .session = stream->session };
	router_fire_session(stream->session, stream->kind->drained_event, &event);
}

static const struct conn_handler stream_handler = {
	.opened = on_opened,
	.data = on_data,
	.secured = on_secured,
	.ended = on_ended,
	.drained = on_drained,
	.idle = on_idle,
	.closed = on_closed,
};

static void set_limits(struct stream *stream)
{
	const struct server_options *options = &stream->server->options;
	struct parser_limits limits = parser_limits_unauthed;
	limits.stanza_bytes = options->c2s_unauthed_stanza_bytes;
	if (stream->is_authed && stream->kind == &stream_c2s) {
		limits = parser_limits_c2s;
		limits.stanza_bytes = options->c2s_stanza_bytes;
	} else if (stream->is_authed) {
		limits = parser_limits_s2s;
		limits.stanza_bytes = options->s2s_stanza_bytes;
	}
	parser_set_limits(stream->parser, &limits);
}

struct stream *stream_new(const struct stream_kind *kind, struct session *session, struct conn *conn)
{
	struct server *server = session->server;
	struct stream *stream = mem_new(sizeof(*stream));
	stream->server = server;
	stream->session = session;
	stream->kind = kind;
	stream->conn = conn;
	share_init(&stream->share, on_go_on, stream);
	stream_make_parser(stream);
	sm_duty_init(&stream->duty, &stream_sm_duty);
	session->stream = stream;
	session->transport = &stream_transport;
	set_limits(stream);
	conn_set_handler(conn, &stream_handler, stream);
	return stream;
}

void stream_set_deadline(struct stream *stream, int64_t ms)
{
	if (stream->deadline == NULL)
		stream->deadline = timer_new(stream->server->loop, on_deadline, stream);
	timer_start(stream->deadline, ms);
}

void stream_authenticated(struct session *session)
{
	if (session->stream == NULL)
		return;
	session->stream->is_authed = true;
	conn_known(session->stream->conn);
	set_limits(session->stream);
}

void stream_bound(struct session *session)
{
	if (session->stream == NULL)
		return;
	session->stream->is_bound = true;
	session->stream->state = STREAM_BOUND;
	timer_free(&session->stream->deadline);
}

void stream_reset(struct session *session)
{
	struct stream *stream = session->stream;
	if (stream == NULL)
		return;
	stream->has_rest = parser_has_rest(stream->parser);
	parser_reset(stream->parser);
	stream->was_reset = true;
	stream->state = STREAM_HEADER;
}

void stream_proven(struct session *session)
{
	struct stream *stream = session->stream;
	if (stream == NULL)
		return;
	stream_authenticated(session);
	stream->is_bound = true;
	if (stream->state == STREAM_PLAIN || stream->state == STREAM_SECURED)
		stream->state = STREAM_AUTHED;
	timer_free(&stream->deadline);
	if (stream->kind != &stream_c2s)
		stream_sm_open(stream);
}

int stream_open(struct session *session)
{
	struct stream *stream = session->stream;
	if (stream == NULL || !stream->kind->is_outgoing || stream->state != STREAM_HEADER)
		return -1;
	stream->kind->greet(stream);
	return 0;
}

int stream_start_tls(struct session *session, struct tls_context *context, const char *sni)
{
	struct stream *stream = session->stream;
	if (stream == NULL || conn_is_secure(stream->conn))
		return -1;
	/* SECURITY B1: what was sent along with <starttls/> or <proceed/> would count as said under TLS. */
	bool has_rest = stream->was_reset ? stream->has_rest : parser_has_rest(stream->parser);
	int started = -1;
	if (!has_rest)
		started = stream->kind->is_outgoing ? conn_start_tls_client(stream->conn, context, sni, NULL)
						    : conn_start_tls_server(stream->conn, context);
	if (started != 0) {
		session_close(session, "policy-violation", stream->kind->is_outgoing
				? "Data was sent behind <proceed/>" : "Data was sent behind <starttls/>");
		return -1;
	}
	stream->state = STREAM_TLS;
	return 0;
}

void stream_hold(struct session *session)
{
	if (session->stream != NULL)
		conn_hold_output(session->stream->conn, loop_held_by(session->server->loop));
}

void stream_pause(struct session *session)
{
	if (session->stream != NULL)
		conn_pause(session->stream->conn);
}

void stream_resume(struct session *session)
{
	struct stream *stream = session->stream;
	if (stream == NULL) {
		if (session->transport != NULL && session->transport->resumed != NULL)
			session->transport->resumed(session);
		return;
	}
	/* What has waited may have written to a store: the sender hears nothing more before that is durable. */
	stream_hold(session);
	conn_resume(stream->conn);
	stream_go_on(stream);
}
