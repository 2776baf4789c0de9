/* Stream management (XEP-0198) between servers: when it asks, what it answers, and what becomes of the rest. The
 * counting is in sm.c; that it is offered and agreed on is up to modules (mod_smacks).
 *
 * Always true: what sm_duty.h says of <a/>; when something could not be stored, the streams that had sent something
 * meanwhile have ended; one question is open at a time. */
#include <stdio.h>

#include "base/log.h"
#include "net/conn.h"
#include "net/hold.h"
#include "net/loop.h"
#include "xml/stanza.h"
#include "xmpp/ns.h"
#include "xmpp/server.h"
#include "xmpp/session.h"
#include "xmpp/sm.h"
#include "xmpp/stream.h"
#include "xmpp/stream_private.h"

#define XMLNS_SM "xmlns='urn:xmpp:sm:3'"

static void say(struct stream *stream, struct slice bytes)
{
	if (stream->session != NULL && stream->session->transport != NULL)
		stream->session->transport->send_bytes(stream->session, bytes);
}

/* How much of the output can have reached the peer. */
static uint64_t written(const struct stream *stream)
{
	uint64_t sent = conn_sent(stream->conn);
	return sent < stream->taken_back_at ? sent : stream->taken_back_at;
}

void stream_sm_open(struct stream *stream)
{
	if (stream->sm != NULL)
		return;
	stream->sm = sm_new(&stream->server->options.s2s_sm, &stream->server->sm_budget);
	stream->taken_back_at = UINT64_MAX;
}

void stream_sm_free(struct stream *stream)
{
	sm_duty_done(&stream->duty);
	timer_free(&stream->sm_timer);
	sm_free(&stream->sm);
}

/* ---- asking ---- */

static void start_timer(struct stream *stream);

static void ask(struct stream *stream)
{
	if (!sm_may_ask(stream->sm))
		return;
	sm_asked(stream->sm);
	say(stream, SLICE("<r " XMLNS_SM "/>"));
	start_timer(stream);
}

/* Nobody acknowledges: what has left need not be kept any longer. */
static void forget_written(struct stream *stream)
{
	sm_forget_written(stream->sm, written(stream));
	if (sm_n_kept(stream->sm) > 0)
		start_timer(stream);
}

static void on_timer(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->session == NULL)
		return;
	if (!sm_is_asked(stream->sm) && !sm_is_awaited(stream->sm)) {
		if (sm_counts_out(stream->sm))
			ask(stream);
		else
			forget_written(stream);
		return;
	}
	/* While output waits for the socket, it is the socket's deadline that counts. */
	if (conn_queued(stream->conn) > 0) {
		start_timer(stream);
		return;
	}
	char name[32];
	log_info(stream_log_name(stream, name), "%u stanzas were not acknowledged in time", sm_n_unacked(stream->sm));
	conn_abort(stream->conn, "what we sent was not acknowledged in time");
}

/* Until the next question, or the answer to the open one (to <enable/> too). */
static void start_timer(struct stream *stream)
{
	const struct server_options *options = &stream->server->options;
	if (stream->sm_timer == NULL)
		stream->sm_timer = timer_new(stream->server->loop, on_timer, stream);
	timer_start(stream->sm_timer, sm_is_asked(stream->sm) || sm_is_awaited(stream->sm) ? options->sm_answer_ms
											   : options->sm_ask_ms);
}

void stream_sm_sent(struct stream *stream)
{
	if (sm_should_ask(stream->sm))
		ask(stream);
	else if (sm_n_kept(stream->sm) > 0 && (stream->sm_timer == NULL || !timer_is_running(stream->sm_timer)))
		start_timer(stream);
}

uint32_t stream_sm_ask(struct stream *stream)
{
	if (stream->sm == NULL)
		return 0;
	ask(stream); /* or when the agreement is there that we have asked for */
	return sm_n_unacked(stream->sm);
}

/* ---- answering ---- */

void stream_sm_acknowledge(struct stream *stream)
{
	if (stream->sm == NULL || !sm_counts_in(stream->sm) || stream->session == NULL || stream->has_sent_footer)
		return;
	/* It speaks for all that came, also for what is not durable yet. */
	output_hold_for(stream->server->loop, loop_newest_batch(stream->server->loop));
	char text[64];
	int len = snprintf(text, sizeof(text), "<a " XMLNS_SM " h='%u'/>",
			   sm_handled(stream->sm, stream->session->n_parked > 0));
	say(stream, slice_of(text, (size_t)len));
}

static void acknowledge(struct sm_duty *duty) { stream_sm_acknowledge(list_entry(duty, struct stream, duty)); }

static void on_unsure(struct sm_duty *duty, unsigned which)
{
	(void)duty;
	(void)which;
}

/* Who has sent what could not be stored must not read that it was handled. */
static void on_lost(struct sm_duty *duty, unsigned which)
{
	(void)which;
	conn_abort(list_entry(duty, struct stream, duty)->conn, "what it has sent could not be stored");
}

const struct sm_duty_kind stream_sm_duty = { acknowledge, on_unsure, on_lost };

/* ---- what comes in ---- */

void stream_sm_received(struct stream *stream)
{
	/* After our closing tag nothing counts any more: we could not acknowledge it. */
	if (stream->sm == NULL || !sm_counts_in(stream->sm) || stream->state == STREAM_CLOSING)
		return;
	sm_received(stream->sm);
	sm_duty_heard(stream->server, &stream->duty);
}

/* XEP-0198 6: the condition it asks for, with both counts. */
static void refuse_count(struct stream *stream, struct slice h)
{
	char text[128], more[128];
	uint32_t sent = sm_n_sent(stream->sm);
	snprintf(text, sizeof(text), "You acknowledged %.*s stanzas, but I only sent you %u so far.", SLICE_ARG(h), sent);
	snprintf(more, sizeof(more), "<handled-count-too-high " XMLNS_SM " h='%.*s' send-count='%u'/>", SLICE_ARG(h), sent);
	stream_say_goodbye(stream, "undefined-condition", text, more);
	stream_fail(stream, "undefined-condition", text);
}

static bool on_acknowledged(struct stream *stream, struct slice h)
{
	switch (sm_acknowledge(stream->sm, h)) {
	case SM_ACK_UNEXPECTED:
		return false;
	case SM_ACK_MALFORMED:
		stream_fail(stream, "bad-format", "An <a/> needs an 'h' that counts stanzas");
		return true;
	case SM_ACK_TOO_HIGH:
		refuse_count(stream, h);
		return true;
	case SM_ACK_OK:
		break;
	}
	if (stream->sm_timer != NULL)
		timer_stop(stream->sm_timer);
	if (sm_n_unacked(stream->sm) == 0)
		stream_drained(stream);
	else if (stream->is_draining)
		ask(stream);
	else
		stream_sm_sent(stream);
	return true;
}

bool stream_sm_handle(struct stream *stream, const struct stanza *stanza)
{
	struct el root = stanza_root(stanza);
	struct slice name = el_name(stanza, root);
	if (stream->sm == NULL)
		return false;
	if (slice_is(name, "r")) {
		if (!sm_counts_in(stream->sm))
			return false;
		sm_duty_answer(stream->server, &stream->duty);
		return true;
	}
	if (slice_is(name, "a"))
		return on_acknowledged(stream, el_attr(stanza, root, SLICE("h")));
	if (slice_is(name, "enabled")) {
		if (sm_enabled(stream->sm) != 0)
			return false;
		timer_stop(stream->sm_timer);
		if (stream->is_draining)
			ask(stream);
		else
			stream_sm_sent(stream);
		return true;
	}
	if (slice_is(name, "failed")) {
		if (sm_refused(stream->sm) != 0)
			return false;
		forget_written(stream);
		stream_drained(stream);
		return true;
	}
	return false;
}

int stream_sm_take_back(struct stream *stream)
{
	uint64_t start;
	if (stream->sm == NULL || !sm_first_unsent(stream->sm, written(stream), &start))
		return 0;
	if (conn_take_back(stream->conn, start) != 0)
		return -1;
	stream->taken_back_at = start;
	return 0;
}

/* ---- for everybody ---- */

bool stream_sm_enable(struct session *session)
{
	struct stream *stream = session->stream;
	if (stream == NULL || stream->sm == NULL || session->is_closing || !stream->kind->is_outgoing)
		return false;
	if (sm_enable(stream->sm) != 0)
		return false;
	say(stream, SLICE("<enable " XMLNS_SM "/>"));
	start_timer(stream);
	return true;
}

bool stream_sm_accept(struct session *session)
{
	struct stream *stream = session->stream;
	if (stream == NULL || stream->sm == NULL || session->is_closing || stream->kind->is_outgoing
	    || sm_accept(stream->sm) != 0)
		return false;
	say(stream, SLICE("<enabled " XMLNS_SM "/>"));
	return true;
}

struct slice stream_unacked(const struct session *session, bool *is_sent_r)
{
	const struct stream *stream = session->stream;
	if (stream == NULL || stream->sm == NULL)
		return SLICE_NONE;
	sm_forget_written(stream->sm, written(stream));
	return sm_first(stream->sm, written(stream), is_sent_r);
}

void stream_drop_unacked(struct session *session) { sm_drop_first(session->stream->sm); }

const struct sm *stream_sm(const struct session *session)
{
	return session->stream != NULL ? session->stream->sm : NULL;
}
