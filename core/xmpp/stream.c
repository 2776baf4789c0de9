/* Client streams (RFC 6120 4). The table below says what may happen when; the functions after it do it. Input is handed
 * on stanza by stanza from the parser, never from inside expat, so any of them may restart or end the stream. */
#include "xmpp/stream.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/conn.h"
#include "net/loop.h"
#include "xml/parser.h"
#include "xml/stanza.h"
#include "xml/write.h"
#include "xmpp/host.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"
#include "xmpp/router.h"
#include "xmpp/session.h"
#include "xmpp/stream_private.h"

enum { SWEEP_MS = 1000, AWAKE_MS = 2000, AWAKE_MAX = 128, TRIM_AFTER = 64, TRIM_EVERY_MS = 60 * 1000, HEADER_MAX = 8 * 1024, ERROR_MAX = 4 * 1024 };

/* Where the negotiation stands. The order is the order of a good login. */
enum state {
	HEADER,  /* a stream header is due: at the start, after TLS, after SASL */
	PLAIN,   /* features were sent without TLS */
	TLS,     /* <proceed/> was sent: only the handshake may come */
	SECURED, /* features were sent under TLS */
	AUTHED,  /* features were sent after SASL: a resource must be bound */
	BOUND,   /* stanzas flow */
	CLOSING, /* we have closed our side */
	STATES
};

/* What came in. */
enum class {
	A_HEADER,
	A_FOOTER,
	A_STARTTLS,
	A_SASL,
	A_IQ,
	A_MESSAGE,
	A_PRESENCE,
	A_NONZA,  /* a child in a namespace of its own: stream management, CSI ... */
	AN_ERROR, /* <stream:error/> */
	A_STRANGER, /* a child in the content or stream namespace that is none of the above */
	CLASSES
};

enum action {
	IGNORE,
	OPEN,           /* check the header, send ours and the features */
	END,            /* answer the closing tag */
	EVENT,          /* fire stanza/NAMESPACE:NAME; unanswered: unsupported-stanza-type */
	IQ_EVENT,       /* fire stanza/iq/NAMESPACE:NAME; unanswered: not-authorized */
	ROUTE,          /* a stanza of a bound session */
	NOT_AUTHORIZED, /* stream error: RFC 6120 4.9.3.12 */
	UNSUPPORTED,    /* stream error: 4.9.3.24 unsupported-stanza-type */
	GIVE_UP,        /* the peer reported an error: close */
	ACTIONS
};

static const char *const state_names[STATES] = { "header", "plain", "tls", "secured", "authed", "bound", "closing" };
static const char *const class_names[CLASSES] = { "header",  "footer",   "starttls", "sasl",  "iq",
						  "message", "presence", "nonza",    "error", "stranger" };
static const char *const action_names[ACTIONS] = { "ignore", "open",           "end",         "event",  "iq-event",
						   "route",  "not-authorized", "unsupported", "give-up" };

/* RFC 6120 4.3.2, 5.4, 6.4, 7.1: nothing but the negotiation in its order before a resource is bound. */
static const uint8_t table[STATES][CLASSES] = {
	/*           header  footer  starttls        sasl            iq              message         presence        nonza           error    stranger */
	[HEADER]  = { OPEN,   END,    NOT_AUTHORIZED, NOT_AUTHORIZED, NOT_AUTHORIZED, NOT_AUTHORIZED, NOT_AUTHORIZED, NOT_AUTHORIZED, GIVE_UP, UNSUPPORTED },
	[PLAIN]   = { IGNORE, END,    EVENT,          EVENT,          IQ_EVENT,       NOT_AUTHORIZED, NOT_AUTHORIZED, EVENT,          GIVE_UP, UNSUPPORTED },
	[TLS]     = { IGNORE, IGNORE, IGNORE,         IGNORE,         IGNORE,         IGNORE,         IGNORE,         IGNORE,         IGNORE,  IGNORE },
	[SECURED] = { IGNORE, END,    UNSUPPORTED,    EVENT,          IQ_EVENT,       NOT_AUTHORIZED, NOT_AUTHORIZED, EVENT,          GIVE_UP, UNSUPPORTED },
	[AUTHED]  = { IGNORE, END,    UNSUPPORTED,    EVENT,          IQ_EVENT,       NOT_AUTHORIZED, NOT_AUTHORIZED, EVENT,          GIVE_UP, UNSUPPORTED },
	[BOUND]   = { IGNORE, END,    UNSUPPORTED,    EVENT,          ROUTE,          ROUTE,          ROUTE,          EVENT,          GIVE_UP, UNSUPPORTED },
	[CLOSING] = { IGNORE, END,    IGNORE,         IGNORE,         IGNORE,         IGNORE,         IGNORE,         IGNORE,         IGNORE,  IGNORE },
};

struct stream {
	struct server *server;
	struct session *session; /* NULL once it has ended */
	struct conn *conn;
	struct parser *parser;
	struct timer *deadline;  /* until bound */
	struct list awake_link;  /* server.awake while the parser holds an expat */
	int64_t last_used_ms;
	enum state state : 8;
	bool is_authed : 1, is_bound : 1;
	bool has_sent_header : 1, has_sent_footer : 1;
	bool was_reset : 1;      /* since the parser was last asked */
	bool has_rest : 1;       /* input was left when the stream was reset */
	bool is_running : 1;     /* in run_parser, which must not be entered twice */
	char id[RANDOM_ID_SIZE];
};

const char *stream_state_name(unsigned state) { return state < STATES ? state_names[state] : NULL; }
const char *stream_class_name(unsigned class) { return class < CLASSES ? class_names[class] : NULL; }

const char *stream_action_name(unsigned state, unsigned class)
{
	return state < STATES && class < CLASSES ? action_names[table[state][class]] : NULL;
}

struct conn *stream_conn(const struct session *session)
{
	return session->stream != NULL ? session->stream->conn : NULL;
}

const char *stream_id(const struct session *session) { return session->stream != NULL ? session->stream->id : ""; }

bool stream_is_secure(const struct session *session)
{
	return stream_conn(session) != NULL && conn_is_secure(session->stream->conn);
}

/* For the log: "c2s" and the session's number, as Prosody names them. */
static const char *log_name(const struct stream *stream, char into[32])
{
	unsigned number = stream->session != NULL ? stream->session->id.index : 0;
	snprintf(into, 32, "c2s%x", number);
	return into;
}

/* ---- output ---- */

static int send_bytes(struct session *session, struct slice bytes)
{
	struct stream *stream = session->stream;
	if (stream == NULL || stream->conn == NULL || stream->has_sent_footer)
		return -1;
	if (session->has_byte_filters)
		bytes = session->server->ops.filter_bytes(session, bytes, true);
	return conn_write(stream->conn, bytes);
}

static int send_stanza(struct session *session, const struct stanza *stanza)
{
	struct stream *stream = session->stream;
	if (stream == NULL || stream->conn == NULL || stream->has_sent_footer)
		return -1;
	struct el root = stanza_root(stanza);
	size_t bound = write_bound(stanza, root);
	session->server->stanzas_out++;
	if (session->has_byte_filters) {
		char *text = mem_new(bound + 1);
		size_t len = write_into(text, stanza, root, NS_CLIENT);
		int sent = send_bytes(session, slice_of(text, len));
		mem_free(text);
		return sent;
	}
	char *space = conn_reserve(stream->conn, bound);
	if (space == NULL) {
		session_close(session, "resource-constraint", "You are not reading what is sent to you");
		return -1;
	}
	conn_commit(stream->conn, write_into(space, stanza, root, NS_CLIENT));
	return 0;
}

static void send_header(struct stream *stream, struct slice from, struct slice to)
{
	struct buf text;
	buf_init(&text, HEADER_MAX);
	random_id(stream->id);
	buf_addf(&text, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
			"xmlns:stream='http://etherx.jabber.org/streams' id='%s' version='1.0' xml:lang='en'", stream->id);
	if (from.len > 0) {
		buf_add(&text, SLICE(" from='"));
		write_escaped(&text, from);
		buf_add_byte(&text, '\'');
	}
	if (to.len > 0) {
		buf_add(&text, SLICE(" to='"));
		write_escaped(&text, to);
		buf_add_byte(&text, '\'');
	}
	buf_add_byte(&text, '>');
	conn_write(stream->conn, buf_slice(&text));
	buf_done(&text);
	stream->has_sent_header = true;
}

static void features_are_made(struct session_event *event, enum bus_result result)
{
	if (result == BUS_FAILED) /* half of them could mislead: without TLS, without the right mechanisms */
		session_close(event->session, "internal-server-error", NULL);
	else if (!event->session->is_closing)
		send_stanza(event->session, event->features);
}

static void send_features(struct stream *stream)
{
	struct session *session = stream->session;
	struct stanza *features = stanza_new(SLICE("stream:features"), SLICE_NONE);
	struct session_event event = { .data_kind = DATA_SESSION, .session = session, .features = features,
				       .done = features_are_made };
	router_fire_session(session, "stream-features", &event);
}

/* ---- endings ---- */

/* Says why (if there is a why), closes our side, and lets the conn flush and go. */
static void say_goodbye(struct stream *stream, const char *condition, const char *text)
{
	if (stream->has_sent_footer || stream->conn == NULL)
		return;
	if (!stream->has_sent_header) /* RFC 6120 4.9.1.2: an error needs a stream to stand in */
		send_header(stream, stream->session != NULL && stream->session->host != NULL
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
		buf_add(&out, SLICE("</stream:error>"));
	}
	buf_add(&out, SLICE("</stream:stream>"));
	conn_write(stream->conn, buf_slice(&out));
	buf_done(&out);
	stream->has_sent_footer = true;
	stream->state = CLOSING;
	char name[32];
	log_debug(log_name(stream, name), "closing stream: %s%s%s", condition != NULL ? condition : "no error",
		  text != NULL ? ": " : "", text != NULL ? text : "");
}

static void close_stream(struct session *session, const char *condition, const char *text)
{
	struct stream *stream = session->stream;
	if (stream == NULL)
		return;
	say_goodbye(stream, condition, text);
	conn_close(stream->conn, condition != NULL ? condition : "stream closed");
	session_end(session, text != NULL ? text : condition);
}

static const struct transport stream_transport = { send_stanza, send_bytes, close_stream };

void stream_session_ended(struct session *session)
{
	struct stream *stream = session->stream;
	if (stream == NULL)
		return;
	say_goodbye(stream, NULL, NULL);
	conn_close(stream->conn, "session ended");
	session->stream = NULL;
	session->transport = NULL;
	stream->session = NULL;
}

static void free_stream(struct stream *stream)
{
	if (list_is_linked(&stream->awake_link)) {
		list_remove(&stream->awake_link);
		stream->server->n_awake--;
	}
	parser_free(&stream->parser);
	timer_free(&stream->deadline);
	mem_free(stream);
}

static void on_closed(void *ctx, const char *reason)
{
	struct stream *stream = ctx;
	stream->has_sent_footer = true; /* nothing can be said any more */
	if (stream->session != NULL) {
		struct session *session = stream->session;
		char name[32];
		log_debug(log_name(stream, name), "disconnected: %s", reason);
		session_end(session, reason);
	}
	if (stream->is_running)
		stream->conn = NULL; /* run_parser frees it */
	else
		free_stream(stream);
}

/* ---- input ---- */

static enum class class_of(const struct stanza *stanza)
{
	struct el root = stanza_root(stanza);
	struct slice name = el_name(stanza, root), ns = el_own_ns(stanza, root);
	if (slice_equal(ns, NS_CLIENT)) {
		if (slice_is(name, "message"))
			return A_MESSAGE;
		if (slice_is(name, "iq"))
			return A_IQ;
		return slice_is(name, "presence") ? A_PRESENCE : A_STRANGER;
	}
	if (slice_equal(ns, NS_TLS) && slice_is(name, "starttls"))
		return A_STARTTLS;
	if (slice_equal(ns, NS_SASL))
		return A_SASL;
	if (slice_equal(ns, NS_STREAMS))
		return slice_is(name, "error") ? AN_ERROR : A_STRANGER;
	return ns.len == 0 ? A_STRANGER : A_NONZA;
}

static void fail(struct stream *stream, const char *condition, const char *text)
{
	if (stream->session != NULL)
		session_close(stream->session, condition, text);
}

/* RFC 6120 4.7, 4.9.3: our answer to the peer's opening tag. */
static void open_stream(struct stream *stream, const struct stanza *header)
{
	struct session *session = stream->session;
	struct el root = stanza_root(header);
	struct slice to = el_attr(header, root, SLICE("to")), from = el_attr(header, root, SLICE("from"));
	struct slice version = el_attr(header, root, SLICE("version")), lang = el_attr(header, root, SLICE("xml:lang"));
	char name[JID_PART_MAX + 1];
	int name_len = jid_prep_host(to, name);
	struct host *host = name_len > 0 ? server_host(stream->server, slice_of(name, (size_t)name_len)) : NULL;

	stream->has_sent_header = false;
	bool is_same_host = session->host == NULL || session->host == host;
	if (session->host == NULL)
		session->host = host;
	if (!el_is(header, root, SLICE("stream"), NS_STREAMS)
	    || !slice_equal(el_attr(header, root, SLICE("xmlns")), NS_CLIENT)) {
		fail(stream, "invalid-namespace", "This port speaks jabber:client in http://etherx.jabber.org/streams");
		return;
	}
	if (to.ptr == NULL) {
		fail(stream, "improper-addressing", "The stream header must say which host it is for (attribute 'to')");
		return;
	}
	if (name_len <= 0) {
		fail(stream, "improper-addressing", "The 'to' address is not a valid host name");
		return;
	}
	if (host == NULL || host->is_component) {
		fail(stream, "host-unknown", host == NULL ? "This server does not serve that host"
							  : "This host does not accept clients");
		return;
	}
	if (!is_same_host) { /* SECURITY B6: a login is for the host it was made on */
		fail(stream, "not-authorized", "A restarted stream must be to the same host");
		return;
	}
	if (version.len < 2 || version.ptr[0] != '1' || version.ptr[1] != '.') {
		fail(stream, "unsupported-version", "Only XMPP 1.0 is supported");
		return;
	}
	mem_free(session->lang);
	session->lang = lang.len > 0 && lang.len < 64 ? mem_copy(lang) : NULL;
	send_header(stream, host_name(host), stream->is_authed ? session_bare_jid(session) : from);
	stream->state = stream->is_authed ? AUTHED : conn_is_secure(stream->conn) ? SECURED : PLAIN;
	char log[32];
	log_debug(log_name(stream, log), "stream opened to %s (%s)", host->name, state_names[stream->state]);
	send_features(stream);
}

static void handle(struct stream *stream, enum class class, struct stanza **stanza)
{
	struct session *session = stream->session;
	session->server->stanzas_in++;
	if (session->has_filters && class != A_HEADER && class != A_FOOTER) {
		session->server->ops.filter(session, stanza, false);
		if (*stanza == NULL)
			return;
	}
	switch ((enum action)table[stream->state][class]) {
	case IGNORE:
	case ACTIONS:
		break;
	case OPEN:
		open_stream(stream, *stanza);
		break;
	case END:
	case GIVE_UP:
		session_close(session, NULL, NULL);
		break;
	case EVENT:
		if (!router_fire_stanza(session, stanza, false) && stream->session != NULL)
			fail(stream, "unsupported-stanza-type", "Nothing here understands that element at this stage");
		break;
	case IQ_EVENT:
		if (!router_fire_stanza(session, stanza, true) && stream->session != NULL)
			fail(stream, "not-authorized", "Log in and bind a resource first");
		break;
	case ROUTE:
		router_receive(session, stanza);
		break;
	case NOT_AUTHORIZED:
		fail(stream, "not-authorized", "Log in and bind a resource first");
		break;
	case UNSUPPORTED:
		fail(stream, "unsupported-stanza-type", "Nothing here understands that element at this stage");
		break;
	}
}

/* Hands on what the parser has, until it wants more, the stream is reset or paused, or ends. */
static void run_parser(struct stream *stream)
{
	stream->is_running = true;
	while (stream->session != NULL && stream->session->n_parked == 0) {
		struct stanza *stanza = NULL;
		enum parser_result result = parser_next(stream->parser, &stanza);
		if (result == PARSER_MORE)
			break;
		stream->was_reset = false;
		if (result == PARSER_FAILED)
			fail(stream, parser_condition(stream->parser), parser_text(stream->parser));
		else if (result == PARSER_FOOTER)
			handle(stream, A_FOOTER, &stanza);
		else
			handle(stream, result == PARSER_HEADER ? A_HEADER : class_of(stanza), &stanza);
		stanza_free(&stanza);
		if (stream->was_reset)
			break;
	}
	stream->is_running = false;
	if (stream->conn == NULL)
		free_stream(stream);
}

/* The stream's parser gives its expat back, unless it is in the middle of a stanza: then it is looked at again later. */
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
	if (stream->session == NULL || stream->state == CLOSING)
		return;
	if (stream->session->has_byte_filters)
		bytes = stream->server->ops.filter_bytes(stream->session, bytes, false);
	stay_awake(stream);
	parser_push(stream->parser, bytes);
	run_parser(stream);
}

static void on_secured(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session == NULL)
		return;
	stream->state = HEADER;
	char name[32];
	log_debug(log_name(stream, name), "TLS is on");
	struct session_event event = { .data_kind = DATA_SESSION, .session = stream->session };
	router_fire_session(stream->session, "session-secured", &event);
}

static void on_ended(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session != NULL)
		session_close(stream->session, NULL, NULL);
}

/* Nothing came for long: a space keeps NATs open and finds dead peers (TCP_USER_TIMEOUT ends them). */
static void on_idle(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session == NULL || stream->state != BOUND)
		return;
	struct session_event event = { .data_kind = DATA_SESSION, .session = stream->session };
	if (router_fire_session(stream->session, "c2s-read-timeout", &event) == BUS_PASS && stream->session != NULL)
		send_bytes(stream->session, SLICE(" "));
}

static void on_deadline(void *ctx)
{
	struct stream *stream = ctx;
	fail(stream, "connection-timeout", "Logging in took too long");
}

static void on_drained(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session == NULL)
		return;
	struct session_event event = { .data_kind = DATA_SESSION, .session = stream->session };
	router_fire_session(stream->session, "c2s-ondrain", &event);
}

static const struct conn_handler stream_handler = {
	.data = on_data,
	.secured = on_secured,
	.ended = on_ended,
	.drained = on_drained,
	.idle = on_idle,
	.closed = on_closed,
};

static void set_limits(struct stream *stream)
{
	struct parser_limits limits = stream->is_authed ? parser_limits_c2s : parser_limits_unauthed;
	limits.stanza_bytes = stream->is_authed ? stream->server->options.c2s_stanza_bytes
						: stream->server->options.c2s_unauthed_stanza_bytes;
	parser_set_limits(stream->parser, &limits);
}

struct session *stream_accept_c2s(struct server *server, struct conn *conn)
{
	struct session *session = session_new(server, SESSION_C2S_UNAUTHED);
	struct stream *stream = mem_new(sizeof(*stream));
	stream->server = server;
	stream->session = session;
	stream->conn = conn;
	stream->parser = parser_new(&parser_limits_unauthed);
	list_init(&stream->awake_link);
	session->stream = stream;
	session->transport = &stream_transport;
	set_limits(stream);
	if (server->sweep == NULL)
		server->sweep = timer_new(server->loop, sweep, server);
	stream->deadline = timer_new(server->loop, on_deadline, stream);
	timer_start(stream->deadline, server->options.c2s_timeout_ms);
	conn_set_handler(conn, &stream_handler, stream);
	conn_set_idle_ms(conn, server->options.c2s_idle_ms);
	char name[32];
	log_debug(log_name(stream, name), "client connected from %s", conn_ip(conn));
	return session;
}

void stream_authenticated(struct session *session)
{
	if (session->stream == NULL)
		return;
	session->stream->is_authed = true;
	set_limits(session->stream);
}

void stream_bound(struct session *session)
{
	if (session->stream == NULL)
		return;
	session->stream->is_bound = true;
	session->stream->state = BOUND;
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
	stream->state = HEADER;
}

int stream_start_tls(struct session *session, struct tls_context *context)
{
	struct stream *stream = session->stream;
	if (stream == NULL || conn_is_secure(stream->conn))
		return -1;
	/* SECURITY B1: what was sent along with <starttls/> would count as said under TLS. */
	if ((!stream->was_reset && parser_has_rest(stream->parser)) || (stream->was_reset && stream->has_rest)
	    || conn_start_tls_server(stream->conn, context) != 0) {
		session_close(session, "policy-violation", "Data was sent behind <starttls/>");
		return -1;
	}
	stream->state = TLS;
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
	if (stream == NULL)
		return;
	conn_resume(stream->conn);
	if (!stream->is_running)
		run_parser(stream);
}
