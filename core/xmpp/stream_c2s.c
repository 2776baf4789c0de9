/* Client streams (RFC 6120 4). The table says what may happen when; the functions after it do it. */
#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "xml/stanza.h"
#include "xmpp/host.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"
#include "xmpp/router.h"
#include "xmpp/session.h"
#include "xmpp/stream.h"
#include "xmpp/stream_private.h"

/* Short, so that a table fits the page. */
enum { SKIP = IGNORE, NO = NOT_AUTHORIZED, UNSUP = UNSUPPORTED, STOP = GIVE_UP, IQEV = IQ_EVENT, SM = COUNT };

/* RFC 6120 4.3.2, 5.4, 6.4, 7.1: nothing but the negotiation in its order before a resource is bound. */
static const uint8_t table[STREAM_STATES][STREAM_CLASSES] = {
	/*                 header foot   tls    sasl   iq     msg    pres   nonza  error  other  sm */
	[STREAM_HEADER]  = { OPEN,  END,   NO,    NO,    NO,    NO,    NO,    NO,    STOP,  UNSUP, NO },
	[STREAM_PLAIN]   = { SKIP,  END,   EVENT, EVENT, IQEV,  NO,    NO,    EVENT, STOP,  UNSUP, EVENT },
	[STREAM_TLS]     = { SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP },
	[STREAM_SECURED] = { SKIP,  END,   UNSUP, EVENT, IQEV,  NO,    NO,    EVENT, STOP,  UNSUP, EVENT },
	[STREAM_AUTHED]  = { SKIP,  END,   UNSUP, EVENT, IQEV,  NO,    NO,    EVENT, STOP,  UNSUP, EVENT },
	[STREAM_BOUND]   = { SKIP,  END,   UNSUP, EVENT, ROUTE, ROUTE, ROUTE, EVENT, STOP,  UNSUP, SM },
	[STREAM_CLOSING] = { SKIP,  END,   SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP,  SKIP },
};

static const char *const state_names[STREAM_STATES] = {
	"header", "plain", "tls", "secured", "authed", "bound", "closing",
};

/* RFC 6120 4.7, 4.9.3: our answer to the peer's opening tag. */
static void open_stream(struct stream *stream, const struct stanza *header)
{
	struct session *session = stream->session;
	struct el root = stanza_root(header);
	struct slice to = el_attr(header, root, SLICE("to")), from = el_attr(header, root, SLICE("from"));
	struct slice lang = el_attr(header, root, SLICE("xml:lang"));
	char name[JID_PART_MAX + 1];
	int name_len = jid_prep_host(to, name);
	struct host *host = name_len > 0 ? server_host(stream->server, slice_of(name, (size_t)name_len)) : NULL;

	stream->has_sent_header = false;
	bool is_same_host = session->host == NULL || session->host == host;
	if (session->host == NULL)
		session->host = host;
	if (!stream_header_has_ns(stream, header))
		return;
	if (to.ptr == NULL) {
		stream_fail(stream, "improper-addressing",
			    "The stream header must say which host it is for (attribute 'to')");
		return;
	}
	if (name_len <= 0) {
		stream_fail(stream, "improper-addressing", "The 'to' address is not a valid host name");
		return;
	}
	if (host == NULL || host->is_component) {
		stream_fail(stream, "host-unknown", host == NULL ? "This server does not serve that host"
								 : "This host does not accept clients");
		return;
	}
	if (!is_same_host) { /* SECURITY B6: a login is for the host it was made on */
		stream_fail(stream, "not-authorized", "A restarted stream must be to the same host");
		return;
	}
	if (!stream_header_has_version(stream, header))
		return;
	mem_free(session->lang);
	session->lang = lang.len > 0 && lang.len < 64 ? mem_copy(lang) : NULL;
	stream_send_header(stream, host_name(host), stream->is_authed ? session_bare_jid(session) : from);
	stream->state = stream->is_authed ? STREAM_AUTHED : conn_is_secure(stream->conn) ? STREAM_SECURED : STREAM_PLAIN;
	char log[32];
	log_debug(stream_log_name(stream, log), "stream opened to %s (%s)", host->name, state_names[stream->state]);
	stream_send_features(stream, "stream-features");
}

/* Nothing came for long: a space keeps NATs open and finds dead peers (TCP_USER_TIMEOUT ends them). */
static void on_idle(struct stream *stream)
{
	if (stream->state != STREAM_BOUND)
		return;
	struct session *session = stream->session;
	struct session_event event = { .data_kind = DATA_SESSION, .session = session };
	if (router_fire_session(session, "c2s-read-timeout", &event) == BUS_PASS && stream->session != NULL)
		session->transport->send_bytes(session, SLICE(" "));
}

const struct stream_kind stream_c2s = {
	.log_name = "c2s",
	.content_ns = { "jabber:client", sizeof("jabber:client") - 1 },
	.opening = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
		   "xmlns:stream='http://etherx.jabber.org/streams' version='1.0' xml:lang='en'",
	.table = table,
	.state_names = state_names,
	.n_classes = C2S_CLASSES,
	.open = open_stream,
	.unauthorized = "Log in and bind a resource first",
	.secured_event = "session-secured",
	.drained_event = "c2s-ondrain",
	.idle = on_idle,
};

struct session *stream_accept_c2s(struct server *server, struct conn *conn)
{
	struct session *session = session_new(server, SESSION_C2S_UNAUTHED);
	struct stream *stream = stream_new(&stream_c2s, session, conn);
	stream_set_deadline(stream, server->options.c2s_timeout_ms);
	conn_set_idle_ms(conn, server->options.c2s_idle_ms);
	struct conn_limits limits = conn_default_limits;
	limits.linger_ms = server->options.c2s_close_ms;
	conn_set_limits(conn, &limits);
	char name[32];
	log_debug(stream_log_name(stream, name), "client connected from %s", conn_ip(conn));
	return session;
}
