/* Streams between servers (RFC 6120 4, jabber:server): those that came in and those we opened. Whether and how a
 * domain is proven is up to modules, which hear of every step (stanza/NAMESPACE:NAME, s2s-stream-opened,
 * s2s-stream-features, s2sout-connected, s2s-session-secured, s2s-session-ended); what is proven is kept in s2s.c.
 *
 * Always true: no stanza is taken from a stream before a pair of domains is proven on it (the tables), nor from a
 * pair that is not (router.c). */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/tls.h"
#include "xml/stanza.h"
#include "xmpp/host.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"
#include "xmpp/router.h"
#include "xmpp/s2s.h"
#include "xmpp/session.h"
#include "xmpp/stream.h"
#include "xmpp/stream_private.h"

enum { PEER_ID_MAX = 1024 };

/* Short, so that a table fits the page. */
enum {
	SKIP = IGNORE, NO = NOT_AUTHORIZED, BAD = UNSUPPORTED, STOP = GIVE_UP, TELL = EVENT, TAKE = ROUTE, LATE = ROUTE_LATE,
	SM = COUNT,
};

/* Who opened the stream wants TLS, then to be believed (SASL EXTERNAL or dialback: RFC 6120 13.7, XEP-0220).
 * Dialback may also ask us about our own keys, and bring further pairs of domains later. */
static const uint8_t table_in[STREAM_STATES][STREAM_CLASSES] = {
	/*                 head  foot  tls   sasl  iq    msg   pres  ext   err   else  sm    db    feat  tls-ok */
	[STREAM_HEADER]  = { OPEN, END,  NO,   NO,   NO,   NO,   NO,   NO,   STOP, BAD,  NO,   NO,   BAD,  BAD },
	[STREAM_PLAIN]   = { SKIP, END,  TELL, TELL, NO,   NO,   NO,   TELL, STOP, BAD,  TELL, TELL, BAD,  BAD },
	[STREAM_TLS]     = { SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP },
	[STREAM_SECURED] = { SKIP, END,  BAD,  TELL, NO,   NO,   NO,   TELL, STOP, BAD,  TELL, TELL, BAD,  BAD },
	[STREAM_AUTHED]  = { SKIP, END,  BAD,  BAD,  TAKE, TAKE, TAKE, TELL, STOP, BAD,  SM,   TELL, BAD,  BAD },
	[STREAM_CLOSING] = { SKIP, END,  SKIP, SKIP, LATE, LATE, LATE, SKIP, SKIP, SKIP, SM,   SKIP, SKIP, SKIP },
};

/* The other side of it: features tell us how to go on, answers what has come of it. Stanzas come on a stream of
 * ours only if both sides want it (XEP-0288). */
static const uint8_t table_out[STREAM_STATES][STREAM_CLASSES] = {
	/*                 head  foot  tls   sasl  iq    msg   pres  ext   err   else  sm    db    feat  tls-ok */
	[STREAM_HEADER]  = { OPEN, END,  BAD,  NO,   NO,   NO,   NO,   NO,   STOP, BAD,  NO,   NO,   NO,   BAD },
	[STREAM_PLAIN]   = { SKIP, END,  BAD,  TELL, NO,   NO,   NO,   TELL, STOP, BAD,  TELL, TELL, TELL, TELL },
	[STREAM_TLS]     = { SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP },
	[STREAM_SECURED] = { SKIP, END,  BAD,  TELL, NO,   NO,   NO,   TELL, STOP, BAD,  TELL, TELL, TELL, BAD },
	[STREAM_AUTHED]  = { SKIP, END,  BAD,  BAD,  TAKE, TAKE, TAKE, TELL, STOP, BAD,  SM,   TELL, TELL, BAD },
	[STREAM_CLOSING] = { SKIP, END,  SKIP, SKIP, LATE, LATE, LATE, SKIP, SKIP, SKIP, SM,   SKIP, SKIP, SKIP },
};

static const char *const state_names[STREAM_STATES] = {
	"header", "plain", "tls", "secured", "proven", NULL, "closing",
};

#define OPENING "<?xml version='1.0'?><stream:stream xmlns='jabber:server' " \
	"xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' version='1.0' xml:lang='en'"

static enum stream_state opened_state(const struct stream *stream)
{
	return stream->is_bound ? STREAM_AUTHED : conn_is_secure(stream->conn) ? STREAM_SECURED : STREAM_PLAIN;
}

/* Modules have seen who wants to talk to whom. */
static void go_on(struct session_event *event, enum bus_result result)
{
	struct session *session = event->session;
	if (session->is_closing || session->stream == NULL)
		return;
	if (result == BUS_HANDLED)
		stream_send_features(session->stream, "s2s-stream-features");
	else
		stream_fail(session->stream, "host-unknown", "This host does not talk to other servers");
}

/* RFC 6120 4.7, 4.9.3; SECURITY C9: nobody else is one of our hosts. */
static void open_in(struct stream *stream, const struct stanza *header)
{
	struct session *session = stream->session;
	struct el root = stanza_root(header);
	struct slice to = el_attr(header, root, SLICE("to")), from = el_attr(header, root, SLICE("from"));
	char name[JID_PART_MAX + 1], other[JID_PART_MAX + 1];
	int name_len = jid_prep_host(to, name), other_len = from.ptr != NULL ? jid_prep_host(from, other) : 0;
	struct host *host = name_len > 0 ? server_host(stream->server, slice_of(name, (size_t)name_len)) : NULL;
	struct slice remote = slice_of(other, other_len > 0 ? (size_t)other_len : 0);

	stream->has_sent_header = false;
	bool is_same = session->host == NULL || session->host == host;
	if (session->host == NULL)
		session->host = host;
	if (!stream_header_has_ns(stream, header) || !stream_header_has_version(stream, header))
		return;
	if (name_len <= 0 || other_len < 0) {
		stream_fail(stream, "improper-addressing", "The stream header must name a host of ours ('to') and, if it says "
			    "who you are ('from'), a valid domain");
		return;
	}
	if (host == NULL) {
		stream_fail(stream, "host-unknown", "This server does not serve that host");
		return;
	}
	if (server_host(stream->server, remote) != NULL) {
		stream_fail(stream, "invalid-from", "You are not a host of this server");
		return;
	}
	/* Of a restarted stream neither end changes. Before TLS a server may stay silent about who it is. */
	if (!is_same || (s2s_remote(session).len > 0 && remote.len > 0 && !slice_equal(s2s_remote(session), remote))) {
		stream_fail(stream, "not-authorized", "A restarted stream must be between the same domains");
		return;
	}
	if (remote.len > 0)
		s2s_set_remote(session, remote);
	stream_send_header(stream, host_name(host), s2s_remote(session));
	stream->state = opened_state(stream);
	char log[32];
	log_debug(stream_log_name(stream, log), "stream opened from %.*s to %s (%s)",
		  SLICE_ARG(remote.len > 0 ? remote : SLICE("?")), host->name, state_names[stream->state]);
	struct session_event event = { .data_kind = DATA_SESSION, .session = session, .done = go_on };
	router_fire_session(session, "s2s-stream-opened", &event);
}

/* The answer to our header. Features follow (RFC 6120 4.3.2). */
static void open_out(struct stream *stream, const struct stanza *header)
{
	struct session *session = stream->session;
	struct el root = stanza_root(header);
	struct slice id = el_attr(header, root, SLICE("id")), from = el_attr(header, root, SLICE("from"));
	char other[JID_PART_MAX + 1];
	if (!stream_header_has_ns(stream, header) || !stream_header_has_version(stream, header))
		return;
	int other_len = from.ptr != NULL ? jid_prep_host(from, other) : 0;
	if (from.ptr != NULL && (other_len <= 0 || !slice_equal(slice_of(other, (size_t)other_len), s2s_remote(session)))) {
		stream_fail(stream, "invalid-from", "This stream is for another domain");
		return;
	}
	if (id.len == 0 || id.len > PEER_ID_MAX) { /* 4.7.3 */
		stream_fail(stream, "policy-violation", "The stream header must have an id of reasonable length");
		return;
	}
	mem_free(stream->peer_id);
	stream->peer_id = mem_copy(id);
	stream->state = opened_state(stream);
	char log[32];
	log_debug(stream_log_name(stream, log), "stream opened to %.*s (%s)", SLICE_ARG(s2s_remote(session)),
		  state_names[stream->state]);
}

/* We speak first: as soon as the connection is up, when TLS is on, after SASL. */
static void greet(struct stream *stream)
{
	stream_send_header(stream, host_name(stream->session->host), s2s_remote(stream->session));
}

/* Input was silent for long. A stream that carries our stanzas is in use all the same. */
static void on_idle(struct stream *stream)
{
	struct session *session = stream->session;
	if (stream->state != STREAM_AUTHED)
		return;
	bool was_used = stream->was_used;
	stream->was_used = false;
	if (was_used)
		return;
	struct session_event event = { .data_kind = DATA_SESSION, .session = session };
	if (router_fire_session(session, "s2s-read-timeout", &event) == BUS_PASS && stream->session != NULL)
		session_close(session, NULL, "idle for long");
}

/* ---- endings of streams that carried stanzas ----
 *
 * Nothing that was said is to be lost, and nobody to be left in doubt: who closes in good order first waits until
 * what it sent is acknowledged (is_draining; without stream management there is nothing to wait for), then tells how
 * much it has handled itself, then closes its side and waits for the peer to do the same (RFC 6120 4.4). s2s_close_ms
 * bounds each of the two waits. The session ends with the connection, so that by then it is known what has left. */

static void say_last_words(struct stream *stream)
{
	stream->is_draining = false;
	stream_sm_acknowledge(stream); /* XEP-0198 4: before a graceful end */
	stream_say_goodbye(stream, stream->last_condition, stream->last_text, NULL);
}

/* Not because of something the peer did. */
static bool is_orderly(const char *condition)
{
	return condition == NULL || strcmp(condition, "system-shutdown") == 0 || strcmp(condition, "reset") == 0;
}

static const char *reason_of(const char *condition, const char *text)
{
	return text != NULL ? text : condition != NULL ? condition : "stream closed";
}

static void close_proven(struct stream *stream, const char *condition, const char *text)
{
	stream->last_condition = condition != NULL ? mem_copy(slice_of_str(condition)) : NULL;
	stream->last_text = text != NULL ? mem_copy(slice_of_str(text)) : NULL;
	if (!is_orderly(condition)) {
		stream->is_deaf = true;
		say_last_words(stream);
		conn_close(stream->conn, reason_of(condition, text));
		return;
	}
	stream_set_deadline(stream, stream->server->options.s2s_close_ms);
	stream->is_draining = stream_sm_ask(stream) > 0;
	if (!stream->is_draining)
		say_last_words(stream);
}

void stream_drained(struct stream *stream)
{
	if (!stream->is_draining)
		return;
	say_last_words(stream);
	stream_set_deadline(stream, stream->server->options.s2s_close_ms);
}

void stream_peer_closed(struct stream *stream, const char *reason)
{
	if (stream->session->is_closing && is_orderly(stream->last_condition))
		reason = reason_of(stream->last_condition, stream->last_text);
	stream->session->is_closing = true;
	stream->is_deaf = true;
	/* It acknowledges nothing any more. */
	if (!stream->has_sent_footer && stream_sm_take_back(stream) != 0) {
		conn_abort(stream->conn, reason);
		return;
	}
	say_last_words(stream);
	conn_close(stream->conn, reason);
}

const struct stream_kind stream_s2sin = {
	.log_name = "s2sin",
	.content_ns = { "jabber:server", sizeof("jabber:server") - 1 },
	.opening = OPENING,
	.table = table_in,
	.state_names = state_names,
	.n_classes = STREAM_CLASSES,
	.open = open_in,
	.unauthorized = "Prove first for which domain you speak",
	.secured_event = "s2s-session-secured",
	.idle = on_idle,
	.close = close_proven,
};

const struct stream_kind stream_s2sout = {
	.log_name = "s2sout",
	.content_ns = { "jabber:server", sizeof("jabber:server") - 1 },
	.opening = OPENING,
	.table = table_out,
	.state_names = state_names,
	.n_classes = STREAM_CLASSES,
	.open = open_out,
	.greet = greet,
	.unauthorized = "Nothing was agreed on yet",
	.is_outgoing = true,
	.secured_event = "s2s-session-secured",
	.idle = on_idle,
	.close = close_proven,
};

struct session *stream_accept_s2s(struct server *server, struct conn *conn)
{
	struct session *session = session_new(server, SESSION_S2SIN_UNAUTHED);
	struct stream *stream = stream_new(&stream_s2sin, session, conn);
	stream_set_deadline(stream, server->options.s2s_timeout_ms);
	conn_set_idle_ms(conn, server->options.s2s_idle_ms);
	char name[32];
	log_debug(stream_log_name(stream, name), "server connected from %s", conn_ip(conn));
	return session;
}

/* Until the stream has it, nobody is told of what becomes of the connection. */
static const struct conn_handler nobody = { .closed = NULL };

struct session *stream_connect_s2s(struct server *server, struct host *from, const struct s2s_target *target,
				   struct error *error_r)
{
	struct conn *conn = conn_connect(server->loop, target->address, target->port, &nobody, NULL, error_r);
	if (conn == NULL)
		return NULL;
	if (target->tls != NULL && conn_start_tls_client(conn, target->tls, target->sni, "xmpp-server") != 0) {
		error_set(error_r, "TLS could not be started");
		conn_abort(conn, "TLS could not be started");
		return NULL;
	}
	struct session *session = session_new(server, SESSION_S2SOUT_UNAUTHED);
	session->host = from;
	s2s_set_remote(session, target->domain);
	struct stream *stream = stream_new(&stream_s2sout, session, conn);
	if (target->tls != NULL)
		stream->state = STREAM_TLS;
	stream_set_deadline(stream, server->options.s2s_timeout_ms);
	conn_set_idle_ms(conn, server->options.s2s_idle_ms);
	char name[32];
	log_debug(stream_log_name(stream, name), "connecting to %s port %u for %.*s", target->address, target->port,
		  SLICE_ARG(target->domain));
	return session;
}
