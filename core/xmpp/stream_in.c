/* What comes in on a stream: bytes to elements, and each to where the table of its kind sends it. Elements are handed
 * on one by one from the parser, never from inside expat, so any of them may restart or end the stream.
 *
 * Always true: a stream whose input is not handled to the end (it is put off, or something of it waits) reads no
 * more; what the peer said before it ended is handled before its end is. */
#include <stdio.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/hold.h"
#include "net/loop.h"
#include "xml/parser.h"
#include "xml/stanza.h"
#include "xmpp/ns.h"
#include "xmpp/router.h"
#include "xmpp/session.h"
#include "xmpp/session_sm.h"
#include "xmpp/sm.h"
#include "xmpp/stream.h"
#include "xmpp/stream_private.h"

enum { SWEEP_MS = 1000, AWAKE_MS = 2000, AWAKE_MAX = 128, TRIM_AFTER = 64, TRIM_EVERY_MS = 60 * 1000 };

/* ---- one element ---- */

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

static void end(struct stream *stream, const char *reason)
{
	if (stream->kind->close != NULL && stream->is_authed)
		stream_peer_closed(stream, reason);
	else
		session_close(stream->session, NULL, NULL);
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

/* ---- parsers that rest ---- */

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

static void sweep(void *ctx);

/* Something has been done that leaves garbage. */
static void sweep_later(struct server *server)
{
	server->n_collected = 0;
	if (server->sweep == NULL)
		server->sweep = timer_new(server->loop, sweep, server);
	if (!timer_is_running(server->sweep))
		timer_start(server->sweep, SWEEP_MS);
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
	sweep_later(server);
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
	bool is_quiet = list_is_empty(&server->awake) && now_ms - server->conn_ended_ms >= SWEEP_MS;
	if (is_quiet && (server->ops.quiet == NULL || server->ops.quiet(server)))
		server->n_collected++;
	/* The first cycle may have begun before the end of what it is to collect. */
	bool is_tidy = server->n_collected >= 2;
	if (is_tidy && (server->n_rested > TRIM_AFTER || now_ms - server->trimmed_ms > TRIM_EVERY_MS)) {
		loop_trim(server->loop);
		mem_trim();
		server->n_rested = 0;
		server->trimmed_ms = now_ms;
	}
	if (!is_tidy)
		timer_start(server->sweep, SWEEP_MS);
}

void stream_make_parser(struct stream *stream)
{
	stream->parser = parser_new(&parser_limits_unauthed);
	list_init(&stream->awake_link);
}

void stream_forget_parser(struct stream *stream)
{
	struct server *server = stream->server;
	if (list_is_linked(&stream->awake_link)) {
		list_remove(&stream->awake_link);
		server->n_awake--;
	}
	parser_free(&stream->parser);
	/* What it leaves is collected in the next quiet moment. */
	server->n_rested++;
	sweep_later(server);
}

void stream_other_ended(struct server *server)
{
	server->n_rested++;
	server->conn_ended_ms = loop_now_ms(server->loop);
	sweep_later(server);
}

/* ---- all that came ---- */

/* The peer has ended its side of the connection; what it said before is handled first. */
static void end_unless_put_off(struct stream *stream)
{
	struct session *session = stream->session;
	if (session == NULL)
		return;
	if ((stream->is_put_off || session->n_parked > 0) && parser_has_rest(stream->parser))
		return;
	static const char reason[] = "the other side closed the connection";
	stream->has_peer_ended = false;
	if (!session_sm_lost(session, reason))
		end(stream, reason);
}

/* Hands on what the parser has, until it wants more, the stream is reset or paused, ends, or has had its share of the
 * turn. */
static void run_parser(struct stream *stream)
{
	struct loop *loop = stream->server->loop;
	bool is_put_off = false;
	stream->is_running = true;
	share_begin(&stream->share);
	while (stream->session != NULL && !stream->is_deaf && stream->session->n_parked == 0) {
		if (!share_allows(&stream->share, loop)) {
			is_put_off = parser_has_rest(stream->parser);
			break;
		}
		struct stanza *stanza = NULL;
		enum parser_result result = parser_next(stream->parser, &stanza);
		if (result == PARSER_MORE)
			break;
		stream->was_reset = false;
		loop_dispatch(loop, stream->conn);
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
	loop_dispatch_late(loop);
	if (stream->conn == NULL) {
		stream_free(stream);
		return;
	}
	if (is_put_off)
		share_put_off(&stream->share, loop);
	if (is_put_off != stream->is_put_off)
		conn_hold_input(stream->conn, is_put_off);
	stream->is_put_off = is_put_off;
	if (stream->has_peer_ended)
		end_unless_put_off(stream);
}

void stream_go_on(struct stream *stream)
{
	if (!stream->is_running)
		run_parser(stream);
}

void stream_peer_ended(struct stream *stream)
{
	stream->has_peer_ended = true;
	if (!stream->is_running)
		end_unless_put_off(stream);
}

void stream_take_input(struct stream *stream, struct slice bytes)
{
	if (stream->session == NULL || stream->is_deaf)
		return;
	if (stream->session->has_byte_filters)
		bytes = stream->server->ops.filter_bytes(stream->session, bytes, false);
	stay_awake(stream);
	parser_push(stream->parser, bytes);
	run_parser(stream);
}
