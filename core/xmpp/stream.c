/* What all XML streams have in common (RFC 6120 4): bytes to stanzas and back, restarts, TLS, errors, endings. What
 * may happen when, and what a header must say, is the kind's (stream_c2s.c, stream_s2s.c). Input is handed on
 * stanza by stanza from the parser, never from inside expat, so any of them may restart or end the stream. */
#include "xmpp/stream.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
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

enum { SWEEP_MS = 1000, AWAKE_MS = 2000, AWAKE_MAX = 128, TRIM_AFTER = 64, TRIM_EVERY_MS = 60 * 1000 };
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

static void free_stream(struct stream *stream)
{
	struct server *server = stream->server;
	if (list_is_linked(&stream->awake_link)) {
		list_remove(&stream->awake_link);
		server->n_awake--;
	}
	/* What it leaves is collected in the next quiet moment. */
	server->n_rested++;
	if (server->sweep != NULL && !timer_is_running(server->sweep))
		timer_start(server->sweep, SWEEP_MS);
	stream_sm_free(stream);
	parser_free(&stream->parser);
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
		free_stream(stream);
}

/* ---- input ---- */

enum stream_class stream_class_of(const struct stream_kind *kind, const struct stanza *stanza)
{
	struct el root = stanza_root(stanza);
	struct slice name = el_name(stanza, root), ns = el_own_ns(stanza, root);
	bool is_s2s = kind->n_classes > C2S_CLASSES;
	if (slice_equal(ns, kind->content_ns)) {
		if (slice_is(name, "message"))
			return A_MESSAGE;
		if (slice_is(name, "iq"))
			return AN_IQ;
		return slice_is(name, "presence") ? A_PRESENCE : A_STRANGER;
	}
	if (slice_equal(ns, NS_TLS)) {
		if (slice_is(name, "starttls"))
			return A_STARTTLS;
		return is_s2s ? A_TLS_ANSWER : A_NONZA;
	}
	if (slice_equal(ns, NS_SASL))
		return A_SASL;
	if (slice_equal(ns, NS_STREAMS)) {
		if (slice_is(name, "error"))
			return AN_ERROR;
		return is_s2s && slice_is(name, "features") ? FEATURES : A_STRANGER;
	}
	if (slice_equal(ns, NS_SM))
		return AN_SM;
	if (is_s2s && slice_equal(ns, NS_DIALBACK))
		return A_DIALBACK;
	return ns.len == 0 ? A_STRANGER : A_NONZA;
}

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

/* Closes because the peer has told us of an error (RFC 6120 4.9.1.1); its words are the reason. */
static void give_up(struct stream *stream, const struct stanza *error)
{
	struct session *session = stream->session;
	struct el root = stanza_root(error), text = el_child(error, root, SLICE("text"), NS_STREAM_ERRORS);
	struct slice words = el_is_none(text) ? SLICE_NONE : el_text(error, text), condition = SLICE_NONE;
	for (struct el el = el_first(error, root); !el_is_none(el) && condition.len == 0; el = el_next(error, el)) {
		if (!el_equal(el, text) && slice_equal(el_ns(error, el), NS_STREAM_ERRORS))
			condition = el_name(error, el);
	}
	if (words.len > 256)
		words.len = 256;
	char reason[512];
	snprintf(reason, sizeof(reason), "the other side ended the stream: %.*s%s%.*s",
		 (int)(condition.len < 64 ? condition.len : 64), condition.len > 0 ? condition.ptr : "",
		 words.len > 0 ? ": " : "", (int)words.len, words.len > 0 ? words.ptr : "");
	if (stream->kind->close != NULL && stream->is_authed) {
		stream_peer_closed(stream, reason);
		return;
	}
	stream_say_goodbye(stream, NULL, NULL, NULL);
	conn_close(stream->conn, reason);
	session_end(session, reason);
}

/* The peer's closing tag, or the end of its connection. */
static void end(struct stream *stream, const char *reason)
{
	if (stream->kind->close != NULL && stream->is_authed)
		stream_peer_closed(stream, reason);
	else
		session_close(stream->session, NULL, NULL);
}

bool stream_header_has_ns(struct stream *stream, const struct stanza *header)
{
	struct el root = stanza_root(header);
	if (el_is(header, root, SLICE("stream"), NS_STREAMS)
	    && slice_equal(el_attr(header, root, SLICE("xmlns")), stream->kind->content_ns))
		return true;
	char text[96];
	snprintf(text, sizeof(text), "This port speaks %.*s in %.*s", SLICE_ARG(stream->kind->content_ns),
		 SLICE_ARG(NS_STREAMS));
	stream_fail(stream, "invalid-namespace", text);
	return false;
}

bool stream_header_has_version(struct stream *stream, const struct stanza *header)
{
	struct slice version = el_attr(header, stanza_root(header), SLICE("version"));
	if (version.len >= 2 && version.ptr[0] == '1' && version.ptr[1] == '.')
		return true;
	stream_fail(stream, "unsupported-version", "Only XMPP 1.0 is supported");
	return false;
}

static void handle(struct stream *stream, enum stream_class class, struct stanza **stanza)
{
	struct session *session = stream->session;
	if (*stanza != NULL) /* the end of the stream is none */
		server_count(session, *stanza, SERVER_IN);
	if (class == A_MESSAGE || class == A_PRESENCE || class == AN_IQ) {
		stream_sm_received(stream);
		session_sm_received(session);
	}
	if (session->has_filters && class != A_HEADER && class != A_FOOTER) {
		session->server->ops.filter(session, stanza, false);
		if (*stanza == NULL)
			return;
	}
	switch ((enum stream_action)stream->kind->table[stream->state][class]) {
	case IGNORE:
	case ACTIONS:
		break;
	case OPEN:
		stream->kind->open(stream, *stanza);
		break;
	case END:
		end(stream, "the other side closed the stream");
		break;
	case GIVE_UP:
		give_up(stream, *stanza);
		break;
	case COUNT:
		if (stream_sm_handle(stream, *stanza) || session_sm_handle(session, *stanza))
			break;
		/* fall through */
	case EVENT:
		if (!router_fire_stanza(session, stanza, false) && stream->session != NULL)
			stream_fail(stream, "unsupported-stanza-type", "Nothing here understands that element at this stage");
		break;
	case IQ_EVENT:
		if (!router_fire_stanza(session, stanza, true) && stream->session != NULL)
			stream_fail(stream, "not-authorized", stream->kind->unauthorized);
		break;
	case ROUTE_LATE:
		/* The sender has read in our last <a/> that this was not handled: it is answered or sent again there. */
		if (stream->sm != NULL && sm_counts_in(stream->sm))
			break;
		/* fall through */
	case ROUTE:
		router_receive(session, stanza);
		break;
	case NOT_AUTHORIZED:
		stream_fail(stream, "not-authorized", stream->kind->unauthorized);
		break;
	case UNSUPPORTED:
		stream_fail(stream, "unsupported-stanza-type", "Nothing here understands that element at this stage");
		break;
	}
}

/* Hands on what the parser has, until it wants more, the stream is reset or paused, or ends. */
static void run_parser(struct stream *stream)
{
	stream->is_running = true;
	while (stream->session != NULL && !stream->is_deaf && stream->session->n_parked == 0) {
		struct stanza *stanza = NULL;
		enum parser_result result = parser_next(stream->parser, &stanza);
		if (result == PARSER_MORE)
			break;
		stream->was_reset = false;
		if (result == PARSER_FAILED)
			stream_fail(stream, parser_condition(stream->parser), parser_text(stream->parser));
		else if (result == PARSER_FOOTER)
			handle(stream, A_FOOTER, &stanza);
		else
			handle(stream, result == PARSER_HEADER ? A_HEADER : stream_class_of(stream->kind, stanza), &stanza);
		stanza_free(&stanza);
		if (stream->was_reset)
			break;
	}
	stream->is_running = false;
	if (stream->conn == NULL)
		free_stream(stream);
}

/* The stream's parser gives its expat back, unless it is in the middle of a stanza: then it is looked at again
 * later. */
static void rest(struct stream *stream)
{
	struct server *server = stream->server;
	list_remove(&stream->awake_link);
	if (parser_rest(stream->parser)) {
		server->n_awake--;
		server->n_rested++;
		return;
	}
	stream->last_used_ms = loop_now_ms(server->loop);
	list_add_last(&server->awake, &stream->awake_link);
}

/* A parser in use costs ten times what its session does, so no more than AWAKE_MAX of them stay between stanzas. */
static void stay_awake(struct stream *stream)
{
	struct server *server = stream->server;
	stream->last_used_ms = loop_now_ms(server->loop);
	if (list_is_linked(&stream->awake_link))
		list_remove(&stream->awake_link);
	else if (++server->n_awake > AWAKE_MAX)
		rest(list_first(&server->awake, struct stream, awake_link));
	list_add_last(&server->awake, &stream->awake_link);
	if (!timer_is_running(server->sweep))
		timer_start(server->sweep, SWEEP_MS);
}

/* Quiet streams give their parser's expat back: an idle session holds none. */
static void sweep(void *ctx)
{
	struct server *server = ctx;
	int64_t now_ms = loop_now_ms(server->loop);
	struct stream *stream, *after;
	list_each(stream, after, &server->awake, awake_link)
	{
		if (now_ms - stream->last_used_ms < AWAKE_MS)
			break;
		rest(stream);
	}
	bool is_quiet = list_is_empty(&server->awake);
	bool is_tidy = is_quiet && (server->ops.quiet == NULL || server->ops.quiet(server));
	if (is_tidy && (server->n_rested > TRIM_AFTER || now_ms - server->trimmed_ms > TRIM_EVERY_MS)) {
		loop_trim(server->loop);
		mem_trim();
		server->n_rested = 0;
		server->trimmed_ms = now_ms;
	}
	if (!is_tidy)
		timer_start(server->sweep, SWEEP_MS);
}

static void on_data(void *ctx, struct slice bytes)
{
	struct stream *stream = ctx;
	if (stream->session == NULL || stream->is_deaf)
		return;
	if (stream->session->has_byte_filters)
		bytes = stream->server->ops.filter_bytes(stream->session, bytes, false);
	stay_awake(stream);
	parser_push(stream->parser, bytes);
	run_parser(stream);
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
	static const char reason[] = "the other side closed the connection";
	if (stream->session != NULL && !session_sm_lost(stream->session, reason))
		end(stream, reason);
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
	stream->parser = parser_new(&parser_limits_unauthed);
	list_init(&stream->awake_link);
	sm_duty_init(&stream->duty, &stream_sm_duty);
	session->stream = stream;
	session->transport = &stream_transport;
	set_limits(stream);
	if (server->sweep == NULL)
		server->sweep = timer_new(server->loop, sweep, server);
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
	conn_resume(stream->conn);
	if (!stream->is_running)
		run_parser(stream);
}
