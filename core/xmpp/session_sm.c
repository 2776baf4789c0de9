/* See session_sm.h. The counting and keeping is in sm.c; what is owed from turn to turn in sm_duty.c.
 *
 * Always true: while session.sm is set, session.transport is `counted`; `below` is NULL exactly while the session
 * hibernates; what was sent and counted is kept until it is acknowledged, and is in the carrier's output unless the
 * session hibernates or is being resumed. */
#include "xmpp/session_sm.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "bus/bus.h"
#include "net/conn.h"
#include "net/hold.h"
#include "net/loop.h"
#include "xml/stanza.h"
#include "xml/write.h"
#include "xmpp/host.h"
#include "xmpp/ns.h"
#include "xmpp/router.h"
#include "xmpp/session.h"
#include "xmpp/sm_duty.h"
#include "xmpp/stream.h"
#include "xmpp/stream_private.h"

#define XMLNS_SM "xmlns='urn:xmpp:sm:3'"

struct session_sm {
	struct session *session;
	struct sm *sm;
	const struct transport *below;
	struct timer *timer;      /* when to ask, and what to do while the answer is due; NULL until the first */
	struct sm_duty duty;
	struct list due_link;     /* server.sm_due: is_lost or is_to_read is set */
	struct counts {
		uint32_t sent, received;
	} before, unsure[2];      /* this dispatch, while duty is heard in it; the first that waits for a batch */
	int64_t asked_ms, hibernated_ms;
	bool is_resumable : 1;
	bool is_resuming : 1;     /* there is a carrier, but nothing goes there yet */
	bool is_inactive : 1;
	bool is_delay_told : 1;   /* of the question that is open */
	bool is_lost : 1;         /* what came in this turn could not be stored */
	bool is_to_read : 1;      /* the carrier may have more */
};

static const char unread[] = "it does not read what is sent to it";

static const char *log_name(const struct session *session, char into[32])
{
	snprintf(into, 32, "c2s%x", (unsigned)session->id.index);
	return into;
}

static bool can_write(const struct session_sm *self) { return self->below != NULL && !self->is_resuming; }

static void say(struct session_sm *self, struct slice bytes)
{
	if (can_write(self))
		self->below->send_bytes(self->session, bytes);
}

static enum bus_result fire(struct session *session, const char *name, const char *error)
{
	struct session_event event = { .data_kind = DATA_SESSION, .session = session, .error = error };
	return router_fire_session(session, name, &event);
}

/* ---- asking ---- */

static void start_timer(struct session_sm *self);

static void ask(struct session_sm *self)
{
	if (!can_write(self) || sm_is_asked(self->sm))
		return;
	sm_asked(self->sm);
	self->asked_ms = loop_now_ms(self->session->server->loop);
	self->is_delay_told = false;
	say(self, SLICE("<r " XMLNS_SM "/>"));
	start_timer(self);
}

void session_sm_ask(struct session *session)
{
	if (session->sm != NULL)
		ask(session->sm);
}

static bool has_unread_output(const struct session *session)
{
	return session->stream != NULL && conn_queued(session->stream->conn) > 0;
}

static void on_timer(void *ctx)
{
	struct session_sm *self = ctx;
	struct session *session = self->session;
	const struct server_options *options = &session->server->options;
	if (!can_write(self) || session->is_ended)
		return;
	if (!sm_is_asked(self->sm)) {
		if (sm_may_ask(self->sm))
			ask(self);
		return;
	}
	int64_t waited_ms = loop_now_ms(session->server->loop) - self->asked_ms;
	if (waited_ms >= options->c2s_sm_answer_ms && !has_unread_output(session)) {
		char name[32];
		log_info(log_name(session, name), "%u stanzas were not acknowledged in time", sm_n_unacked(self->sm));
		if (!session_sm_lost(session, "no answer to what was sent"))
			session_close(session, "connection-timeout", "You do not acknowledge what is sent to you");
		return;
	}
	start_timer(self);
	if (waited_ms >= options->c2s_sm_delay_ms && !self->is_delay_told) {
		self->is_delay_told = true;
		fire(session, "sm-ack-delayed", NULL);
	}
}

/* Until the next question, or the next step while one is open: late, then too late. */
static void start_timer(struct session_sm *self)
{
	struct server *server = self->session->server;
	const struct server_options *options = &server->options;
	int64_t after_ms = options->sm_ask_ms;
	if (sm_is_asked(self->sm)) {
		int64_t waited_ms = loop_now_ms(server->loop) - self->asked_ms;
		after_ms = options->c2s_sm_answer_ms - waited_ms;
		if (!self->is_delay_told && options->c2s_sm_delay_ms - waited_ms < after_ms)
			after_ms = options->c2s_sm_delay_ms - waited_ms;
	}
	if (self->timer == NULL)
		self->timer = timer_new(server->loop, on_timer, self);
	timer_start(self->timer, after_ms > 1 ? after_ms : 1000);
}

/* Something was sent, or acknowledged. */
static void ask_in_time(struct session_sm *self)
{
	if (sm_should_ask(self->sm))
		ask(self);
	else if (sm_may_ask(self->sm) && !self->is_inactive && (self->timer == NULL || !timer_is_running(self->timer)))
		start_timer(self);
}

static void set_limits(struct session_sm *self)
{
	struct server *server = self->session->server;
	if (self->below == NULL)
		sm_set_limits(self->sm, &server->options.c2s_sm_away, &server->sm_away_budget);
	else
		sm_set_limits(self->sm, self->is_inactive ? &server->options.c2s_sm_inactive : &server->options.c2s_sm,
			      &server->sm_c2s_budget);
}

void session_sm_set_inactive(struct session *session, bool is_inactive)
{
	struct session_sm *self = session->sm;
	if (self == NULL)
		return;
	self->is_inactive = is_inactive;
	set_limits(self);
	if (can_write(self))
		ask_in_time(self);
}

/* ---- out ---- */

static void note_dispatch(struct session_sm *self)
{
	if (sm_duty_heard(self->session->server, &self->duty))
		self->before = (struct counts){ sm_n_sent(self->sm), sm_n_received(self->sm) };
}

/* Makes sure that so much more may be kept. False: the session had to end, so that what it has can go elsewhere. */
static bool make_room(struct session_sm *self, size_t bytes)
{
	struct session *session = self->session;
	if (sm_has_room(self->sm, bytes))
		return true;
	if (self->below != NULL && session_sm_lost(session, "too much is not acknowledged") && sm_has_room(self->sm, bytes))
		return true;
	if (self->below != NULL)
		session_close(session, "resource-constraint", "You do not acknowledge what is sent to you");
	else
		session_end(session, "more was sent to it than may wait for it");
	return false;
}

/* A module may want to wake the client up. */
static void tell_of_queued(struct session *session, const struct stanza *stanza)
{
	struct event *event = bus_find(session->host->bus, SLICE("smacks-hibernation-stanza-queued"));
	if (event_n_hooks(event) == 0)
		return;
	struct session_event data = { .data_kind = DATA_SESSION, .session = session };
	data.stanza = stanza_clone(stanza, stanza_root(stanza));
	router_fire_session(session, "sm-queued", &data);
}

static int send_stanza(struct session *session, const struct stanza *stanza)
{
	struct session_sm *self = session->sm;
	struct el root = stanza_root(stanza);
	if (!stream_is_stanza(stanza, root, NS_CLIENT))
		return can_write(self) ? self->below->send(session, stanza) : -1;
	char *text = mem_resize(NULL, write_bound(stanza, root) + 1);
	struct slice written = slice_of(text, write_into(text, stanza, root, NS_CLIENT));
	if (!make_room(self, written.len)) {
		mem_free(text);
		return -1;
	}
	note_dispatch(self);
	sm_sent(self->sm, written, 0, 0);
	server_count(session, stanza, SERVER_OUT);
	bool is_on_its_way = can_write(self) && self->below->send_text(session, written) == 0;
	mem_free(text);
	/* From here on the session is answerable for it: should it end, the stanza is among what it leaves. */
	if (is_on_its_way)
		ask_in_time(self);
	else if (can_write(self) && !session_sm_lost(session, unread))
		session_close(session, "resource-constraint", "You are not reading what is sent to you");
	if (self->below == NULL && !session->is_ended)
		tell_of_queued(session, stanza);
	return 0;
}

static int send_bytes(struct session *session, struct slice bytes)
{
	return can_write(session->sm) ? session->sm->below->send_bytes(session, bytes) : -1;
}

static void acknowledge(struct session_sm *self)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "<a " XMLNS_SM " h='%u'/>", session_sm_handled(self->session));
	say(self, slice_of(text, (size_t)len));
}

/* The last word is how much was handled, so that the client need not send it again (section 4). */
static void close_counted(struct session *session, const char *condition, const char *text)
{
	struct session_sm *self = session->sm;
	if (self->below == NULL) {
		session_end(session, text != NULL ? text : condition);
		return;
	}
	output_hold_for(session->server->loop, loop_newest_batch(session->server->loop));
	acknowledge(self);
	self->below->close(session, condition, text);
}

static void resumed(struct session *session)
{
	if (session->sm->below != NULL && session->sm->below->resumed != NULL)
		session->sm->below->resumed(session);
}

static const struct transport counted = {
	.send = send_stanza, .send_bytes = send_bytes, .close = close_counted, .resumed = resumed,
};

/* ---- in ---- */

void session_sm_received(struct session *session)
{
	if (session->sm == NULL)
		return;
	note_dispatch(session->sm);
	sm_received(session->sm->sm);
}

void session_sm_goes_on(struct session *session)
{
	struct session_sm *self = session->sm;
	if (self == NULL || !sm_duty_heard(session->server, &self->duty))
		return;
	self->before = (struct counts){ sm_n_sent(self->sm), sm_n_received(self->sm) - 1 };
}

void session_sm_refuse_count(struct session *session, struct slice h, uint32_t n_sent)
{
	char text[128], more[128];
	snprintf(text, sizeof(text), "You acknowledged %.*s stanzas, but I only sent you %u so far.", SLICE_ARG(h), n_sent);
	snprintf(more, sizeof(more), "<handled-count-too-high " XMLNS_SM " h='%.*s' send-count='%u'/>", SLICE_ARG(h),
		 n_sent);
	if (session->stream != NULL)
		stream_say_goodbye(session->stream, "undefined-condition", text, more);
	session_close(session, "undefined-condition", text);
}

static void on_acknowledged(struct session *session, struct slice h)
{
	struct session_sm *self = session->sm;
	switch (sm_acknowledge(self->sm, h)) {
	case SM_ACK_OK:
		if (self->timer != NULL)
			timer_stop(self->timer);
		ask_in_time(self);
		break;
	case SM_ACK_TOO_HIGH:
		session_sm_refuse_count(session, h, sm_n_sent(self->sm));
		break;
	case SM_ACK_MALFORMED:
	case SM_ACK_UNEXPECTED:
		session_close(session, "bad-format", "An <a/> needs an 'h' that counts stanzas");
		break;
	}
}

bool session_sm_handle(struct session *session, const struct stanza *stanza)
{
	struct el root = stanza_root(stanza);
	if (session->sm == NULL)
		return false;
	if (slice_is(el_name(stanza, root), "r"))
		sm_duty_answer(session->server, &session->sm->duty);
	else if (slice_is(el_name(stanza, root), "a"))
		on_acknowledged(session, el_attr(stanza, root, SLICE("h")));
	else
		return false;
	return true;
}

uint32_t session_sm_handled(const struct session *session)
{
	return sm_handled(session->sm->sm, session->n_parked > 0);
}

static struct session_sm *owner(struct sm_duty *duty) { return list_entry(duty, struct session_sm, duty); }

static void acknowledge_duty(struct sm_duty *duty) { acknowledge(owner(duty)); }

/* What must not be done in the middle of something else, at the start of the next turn. */
static void do_due(void *ctx)
{
	struct server *server = ctx;
	while (!list_is_empty(&server->sm_due)) {
		struct session_sm *self = list_first(&server->sm_due, struct session_sm, due_link);
		list_remove(&self->due_link);
		struct session *session = self->session;
		bool was_lost = self->is_lost, is_to_read = self->is_to_read;
		self->is_lost = self->is_to_read = false;
		static const char reason[] = "what it has sent could not be stored";
		if (was_lost && !session_sm_lost(session, reason))
			session_close(session, "internal-server-error", reason);
		else if (is_to_read && session->n_parked == 0)
			stream_resume(session);
	}
}

static void do_soon(struct session_sm *self)
{
	struct server *server = self->session->server;
	if (list_is_linked(&self->due_link))
		return;
	if (list_is_empty(&server->sm_due))
		loop_defer(server->loop, do_due, server);
	list_add_last(&server->sm_due, &self->due_link);
}

static void on_unsure(struct sm_duty *duty, unsigned which) { owner(duty)->unsure[which] = owner(duty)->before; }

/* It is as if nothing had come or gone since: a client that comes back sends again what was lost, and is not told what
 * did not happen. */
static void on_lost(struct sm_duty *duty, unsigned which)
{
	struct session_sm *self = owner(duty);
	sm_rewind(self->sm, self->unsure[which].sent, self->unsure[which].received);
	self->is_lost = true;
	do_soon(self);
}

static const struct sm_duty_kind duty_kind = { acknowledge_duty, on_unsure, on_lost };

/* ---- begin and end ---- */

int session_sm_start(struct session *session, bool is_resumable)
{
	if (session->sm != NULL || session->type != SESSION_C2S || session->is_closing || session->transport == NULL
	    || session->transport->leave == NULL)
		return -1;
	struct session_sm *self = mem_new(sizeof(*self));
	self->session = session;
	self->sm = sm_new(&session->server->options.c2s_sm, &session->server->sm_c2s_budget);
	self->below = session->transport;
	self->is_resumable = is_resumable;
	sm_duty_init(&self->duty, &duty_kind);
	list_init(&self->due_link);
	session->sm = self;
	session->transport = &counted;
	return sm_accept(self->sm);
}

void session_sm_free(struct session_sm **where)
{
	struct session_sm *self = *where;
	if (self == NULL)
		return;
	sm_duty_done(&self->duty);
	list_remove(&self->due_link);
	timer_free(&self->timer);
	sm_free(&self->sm);
	mem_free(self);
	*where = NULL;
}

/* ---- hibernating ---- */

bool session_sm_is_hibernating(const struct session *session)
{
	return session->sm != NULL && session->sm->below == NULL;
}

int64_t session_sm_hibernating_since_ms(const struct session *session) { return session->sm->hibernated_ms; }

static void leave(struct session_sm *self, const char *condition, const char *text)
{
	const struct transport *below = self->below;
	self->below = NULL;
	self->is_resuming = false;
	sm_forget_question(self->sm);
	if (self->timer != NULL)
		timer_stop(self->timer);
	below->leave(self->session, condition, text);
	if (self->session->server->ops.session_moved != NULL)
		self->session->server->ops.session_moved(self->session);
}

bool session_sm_lost(struct session *session, const char *reason)
{
	struct session_sm *self = session->sm;
	if (self == NULL || !self->is_resumable || session->is_closing || session->is_ended)
		return false;
	if (self->below == NULL)
		return true;
	leave(self, NULL, reason);
	set_limits(self);
	self->hibernated_ms = loop_now_ms(session->server->loop);
	char name[32];
	log_debug(log_name(session, name), "hibernates (%s), %u stanzas are not acknowledged", reason,
		  sm_n_unacked(self->sm));
	fire(session, "sm-hibernated", reason);
	return !session->is_ended;
}

/* ---- coming back ---- */

static bool is_settled(const struct session *session) { return session->n_parked == 0; }

enum sm_ack session_sm_resume(struct session *to, struct session *from, struct slice h, bool *is_settled_r)
{
	struct session_sm *self = to->sm;
	enum sm_ack ack = sm_acknowledge(self->sm, h);
	if (ack != SM_ACK_OK)
		return ack;
	if (self->below != NULL)
		leave(self, "conflict", "The session goes on over another connection");
	const struct transport *carrier = from->transport;
	carrier->move(from, to);
	from->transport = NULL;
	self->below = carrier;
	self->is_resuming = true;
	to->transport = &counted;
	char *lang = to->lang;
	to->lang = from->lang;
	from->lang = lang;
	stream_bound(to);
	set_limits(self);
	if (to->server->ops.session_moved != NULL)
		to->server->ops.session_moved(to);
	char name[32];
	log_debug(log_name(to, name), "is resumed by c2s%x, %u stanzas are sent again", (unsigned)from->id.index,
		  sm_n_unacked(self->sm));
	session_end(from, "its connection goes on with an earlier session");
	*is_settled_r = is_settled(to);
	return SM_ACK_OK;
}

void session_sm_unparked(struct session *session)
{
	if (session->sm != NULL && session->sm->is_resuming && is_settled(session) && !session->is_ended)
		fire(session, "sm-settled", NULL);
}

void session_sm_go_on(struct session *session, struct slice answer)
{
	struct session_sm *self = session->sm;
	if (self == NULL || !self->is_resuming)
		return;
	self->is_resuming = false;
	/* The answer, and what is sent again, may tell of what is not durable yet. */
	output_hold_for(session->server->loop, loop_newest_batch(session->server->loop));
	self->below->send_bytes(session, answer);
	const struct sm_kept *at = NULL;
	double sent_s;
	struct slice text;
	while ((text = sm_next(self->sm, &at, &sent_s)).ptr != NULL) {
		if (self->below->send_text(session, text) != 0) {
			if (!session_sm_lost(session, unread))
				session_close(session, "resource-constraint", "You are not reading what is sent to you");
			return;
		}
	}
	if (sm_n_unacked(self->sm) > 0)
		ask(self);
	self->is_to_read = true;
	do_soon(self);
}

struct sm *session_sm_counts(const struct session *session)
{
	return session->sm != NULL ? session->sm->sm : NULL;
}
