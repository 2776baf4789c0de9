/* What leaves a stream: stanzas, bytes, our header, features. Always from the tree, straight into the connection's
 * queue; stanzas between servers are kept until they have arrived (stream_sm.c). */
#include "base/buf.h"
#include "base/mem.h"
#include "net/conn.h"
#include "xml/stanza.h"
#include "xml/write.h"
#include "xmpp/router.h"
#include "xmpp/session.h"
#include "xmpp/sm.h"
#include "xmpp/stream.h"
#include "xmpp/stream_private.h"

enum { HEADER_MAX = 8 * 1024 };

int stream_write_bytes(struct session *session, struct slice bytes)
{
	struct stream *stream = session->stream;
	if (stream == NULL || stream->conn == NULL || stream->has_sent_footer)
		return -1;
	if (session->has_byte_filters)
		bytes = session->server->ops.filter_bytes(session, bytes, true);
	return conn_write(stream->conn, bytes);
}

bool stream_is_stanza(const struct stanza *stanza, struct el root, struct slice content_ns)
{
	struct slice name = el_name(stanza, root), ns = el_own_ns(stanza, root);
	return (slice_is(name, "message") || slice_is(name, "presence") || slice_is(name, "iq"))
	       && (ns.len == 0 || el_in_stream_ns(stanza, root) || slice_equal(ns, content_ns));
}

/* Where the next byte will stand in all that this connection is given to send. */
static uint64_t position(const struct stream *stream) { return conn_sent(stream->conn) + conn_queued(stream->conn); }

int stream_write(struct session *session, const struct stanza *stanza)
{
	struct stream *stream = session->stream;
	if (stream == NULL || stream->conn == NULL || stream->has_sent_footer)
		return -1;
	struct el root = stanza_root(stanza);
	size_t bound = write_bound(stanza, root);
	struct sm *sm = stream->sm != NULL && stream_is_stanza(stanza, root, stream->kind->content_ns) ? stream->sm : NULL;
	if (sm != NULL) {
		/* What has left is kept for a while all the same: the peer may be about to ask that we count. */
		if (!sm_has_room(sm, bound))
			sm_forget_written(sm, conn_sent(stream->conn));
		if (!sm_has_room(sm, bound))
			return -1;
	}
	server_count(session, stanza, SERVER_OUT);
	stream->was_used = true;
	uint64_t start = position(stream);
	if (session->has_byte_filters) {
		char *text = mem_new(bound + 1);
		size_t len = write_into(text, stanza, root, stream->kind->content_ns);
		int sent = stream_write_bytes(session, slice_of(text, len));
		if (sent == 0 && sm != NULL)
			sm_sent(sm, slice_of(text, len), start, position(stream));
		mem_free(text);
		if (sent == 0 && sm != NULL)
			stream_sm_sent(stream);
		return sent;
	}
	char *space = conn_reserve(stream->conn, bound);
	if (space == NULL) {
		/* One slow server is no reason to lose what it has yet to read; its senders are told (s2s.c). */
		if (stream->kind != &stream_c2s)
			return -1;
		session_close(session, "resource-constraint", "You are not reading what is sent to you");
		return -1;
	}
	size_t len = write_into(space, stanza, root, stream->kind->content_ns);
	if (sm != NULL)
		sm_sent(sm, slice_of(space, len), start, start + len);
	conn_commit(stream->conn, len);
	if (sm != NULL)
		stream_sm_sent(stream);
	return 0;
}

void stream_send_header(struct stream *stream, struct slice from, struct slice to)
{
	struct buf text;
	buf_init(&text, HEADER_MAX);
	buf_add(&text, slice_of_str(stream->kind->opening));
	if (!stream->kind->is_outgoing) { /* RFC 6120 4.7.3: the one who answers gives the stream its id */
		random_id(stream->id);
		buf_addf(&text, " id='%s'", stream->id);
	}
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
		stream_write(event->session, event->features);
}

void stream_send_features(struct stream *stream, const char *name)
{
	struct session *session = stream->session;
	struct stanza *features = stanza_new(SLICE("stream:features"), SLICE_NONE);
	struct session_event event = { .data_kind = DATA_SESSION, .session = session, .features = features,
				       .done = features_are_made };
	router_fire_session(session, name, &event);
}
