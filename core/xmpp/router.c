/* The way of a stanza through the bus. A dispatch goes through the stages below; each fires one event (and whatever
 * events its hooks ask for on the way) and the next one begins when nobody answered. */
#include "xmpp/router.h"

#include <assert.h>

#include "base/log.h"
#include "base/mem.h"
#include "xml/stanza.h"
#include "xmpp/dispatch_private.h"
#include "xmpp/ns.h"
#include "xmpp/s2s.h"
#include "xmpp/session.h"
#include "xmpp/session_sm.h"
#include "xmpp/stream.h"
#include "xmpp/stream_private.h"

enum stage {
	STAGE_BEFORE,    /* pre-NAME/TARGET on the sender's host */
	STAGE_ON,        /* NAME/TARGET on the receiving host, or route/remote */
	STAGE_SELF,      /* NAME/self for what a client sent to itself or to nobody */
	STAGE_UNANSWERED,
	STAGE_ONLY,      /* one event given by the caller, then nothing */
};

static enum stanza_name name_of(enum stanza_kind kind)
{
	return kind == STANZA_MESSAGE ? NAME_MESSAGE : kind == STANZA_PRESENCE ? NAME_PRESENCE : NAME_IQ;
}

static void start(struct dispatch *dispatch, struct session *origin, struct stanza **stanza, enum stanza_kind kind)
{
	dispatch->data_kind = DATA_DISPATCH;
	list_init(&dispatch->parked_link);
	dispatch->is_parked = false;
	dispatch->from_text = NULL;
	dispatch->depth = dispatch->n_events = 0;
	dispatch->env.origin = origin;
	dispatch->env.stanza = *stanza;
	dispatch->env.kind = kind;
	dispatch->host = origin->host;
	dispatch->waiter = dispatch->lua = NULL;
	dispatch->origin_id = origin->id;
	*stanza = NULL;
}

/* ---- answers ---- */

static void send_back(struct session *origin, struct stanza **reply)
{
	if (origin->type == SESSION_HOST) {
		router_route(origin, reply);
		return;
	}
	session_send(origin, *reply);
	stanza_free(reply);
}

int router_send_back(struct session *origin, const struct stanza *stanza)
{
	if (origin->host == NULL)
		return -1;
	struct stanza *copy = stanza_clone(stanza, stanza_root(stanza));
	router_route(origin->host->self, &copy);
	return 0;
}

void router_bounce(struct session *origin, const struct stanza *stanza, const char *type, const char *condition,
		   const char *text)
{
	struct el root = stanza_root(stanza);
	struct slice old_type = el_attr(stanza, root, SLICE("type"));
	if (slice_is(old_type, "error") || slice_is(old_type, "result")) /* RFC 6120 8.3.1: never to an error */
		return;
	struct slice to = el_attr(stanza, root, SLICE("to")), from = el_attr(stanza, root, SLICE("from"));
	struct slice id = el_attr(stanza, root, SLICE("id"));
	struct stanza *reply = stanza_new(el_name(stanza, root), SLICE_NONE);
	struct el top = stanza_root(reply);
	el_set_attr(reply, top, SLICE("type"), SLICE("error"));
	if (id.ptr != NULL)
		el_set_attr(reply, top, SLICE("id"), id);
	if (to.ptr != NULL)
		el_set_attr(reply, top, SLICE("from"), to);
	if (from.ptr != NULL)
		el_set_attr(reply, top, SLICE("to"), from);
	struct el error = el_add(reply, top, SLICE("error"), SLICE_NONE);
	el_set_attr(reply, error, SLICE("type"), slice_of_str(type));
	el_add(reply, error, slice_of_str(condition), NS_STANZA_ERRORS);
	if (text != NULL)
		el_add_text(reply, el_add(reply, error, SLICE("text"), NS_STANZA_ERRORS), slice_of_str(text));
	send_back(origin, &reply);
}

void router_reply_error(struct dispatch *dispatch, const char *type, const char *condition, const char *text)
{
	router_bounce(dispatch->env.origin, dispatch->env.stanza, type, condition, text);
}

/* What the RFCs say of a stanza that no hook answered. */
static void leave_unanswered(struct dispatch *dispatch)
{
	struct envelope *env = &dispatch->env;
	if (server_host(dispatch->host->server, env->to.host) == NULL) {
		if (env->kind != STANZA_PRESENCE)
			router_reply_error(dispatch, "cancel", "remote-server-not-found",
					   "This server has no connection to that host");
		return;
	}
	if (env->kind != STANZA_PRESENCE) /* RFC 6120 10.5.3.1, 10.5.3.2, 10.5.4 */
		router_reply_error(dispatch, "cancel", "service-unavailable", NULL);
}

/* ---- running ---- */

void dispatch_pause(struct session *session)
{
	if (session->n_parked++ == 0)
		stream_pause(session);
}

void dispatch_unpause(struct server *server, struct session_id id)
{
	struct session *session = server_session(server, id);
	if (session == NULL || --session->n_parked > 0)
		return;
	session_sm_unparked(session);
	session_sm_goes_on(session);
	stream_resume(session);
}

static void end_dispatch(struct dispatch *dispatch)
{
	while (dispatch->depth > 0)
		bus_abandon(&dispatch->firings[--dispatch->depth]);
	struct server *server = dispatch->host->server;
	if (dispatch->lua != NULL)
		server->ops.event_ended(server, dispatch);
	stanza_free(&dispatch->env.stanza);
	if (!dispatch->is_parked)
		return;
	struct session_id origin_id = dispatch->origin_id;
	list_remove(&dispatch->parked_link);
	mem_free(dispatch->from_text);
	mem_free(dispatch);
	dispatch_unpause(server, origin_id);
}

static void resume(void *ctx, enum bus_result result);

/* Moves the dispatch to the heap, where it waits; its session reads on when it has ended. What it knows of others is
 * copied: sessions may go meanwhile. */
static void park(struct dispatch *dispatch)
{
	struct dispatch *heap = dispatch;
	if (dispatch->host->bus == NULL) { /* the hook ended its own host before it waited */
		dispatch->host->server->ops.parked(dispatch->waiter, NULL, NULL);
		end_dispatch(dispatch);
		return;
	}
	if (!dispatch->is_parked) {
		heap = mem_new(sizeof(*heap));
		*heap = *dispatch;
		heap->is_parked = true;
		envelope_keep_parts(&heap->env.to, heap->to_text);
		heap->from_text = mem_new(JID_MAX);
		envelope_keep_parts(&heap->env.from, heap->from_text);
		for (unsigned i = 0; i < heap->depth; i++)
			heap->firings[i].data = heap;
		list_init(&heap->parked_link);
		list_add_last(&heap->host->server->parked, &heap->parked_link);
		dispatch_pause(heap->env.origin);
	}
	heap->host->server->ops.parked(heap->waiter, resume, heap);
}

/* Runs what is on the stack of firings until it is empty, somebody answers, or somebody waits. */
static enum bus_result run_firings(struct dispatch *dispatch, enum bus_result result)
{
	for (;;) {
		if (result == BUS_DESCEND) {
			/* Last asked for goes in first, so that the first one runs first. */
			while (dispatch->n_events > 0) {
				assert(dispatch->depth < DISPATCH_DEPTH);
				struct firing *firing = &dispatch->firings[dispatch->depth];
				if (bus_prepare(firing, dispatch->events[--dispatch->n_events], dispatch))
					dispatch->depth++;
			}
			result = BUS_PASS;
		}
		if (result != BUS_PASS || dispatch->depth == 0)
			return result;
		result = bus_continue(&dispatch->firings[dispatch->depth - 1], BUS_PASS);
		if (result != BUS_WAIT && result != BUS_DESCEND) /* that firing has ended */
			dispatch->depth--;
	}
}

static enum bus_result fire(struct dispatch *dispatch, struct event *event)
{
	if (event_n_hooks(event) == 0)
		return BUS_PASS;
	bus_prepare(&dispatch->firings[dispatch->depth++], event, dispatch);
	return run_firings(dispatch, BUS_PASS);
}

/* Goes through the stages from where it stands. Ends, or parks, the dispatch. True unless nobody answered. */
static bool run(struct dispatch *dispatch, enum bus_result result)
{
	struct envelope *env = &dispatch->env;
	enum stanza_name name = name_of(env->kind);
	while (result == BUS_PASS && dispatch->stage < STAGE_ONLY) {
		enum stage stage = dispatch->stage++;
		if (stage == STAGE_BEFORE) {
			result = fire(dispatch, dispatch->host->before[name][env->target]);
		} else if (stage == STAGE_ON) {
			struct host *to = server_host(dispatch->host->server, env->to.host);
			if (to != NULL)
				dispatch->host = to;
			result = fire(dispatch, to != NULL ? to->on[name][env->target]
							   : dispatch->host->route_remote);
		} else if (stage == STAGE_SELF) {
			if (env->is_to_self)
				result = fire(dispatch, dispatch->host->on[name][TARGET_SELF]);
		} else {
			leave_unanswered(dispatch);
			break;
		}
	}
	if (result == BUS_WAIT) {
		park(dispatch);
		return true;
	}
	if (result == BUS_FAILED) /* fail closed, and say so to who asked */
		router_reply_error(dispatch, "cancel", "internal-server-error", NULL);
	end_dispatch(dispatch);
	return result != BUS_PASS;
}

/* The waiting hook of a parked dispatch ended with `result`. */
static void resume(void *ctx, enum bus_result result)
{
	struct dispatch *dispatch = ctx;
	assert(dispatch->is_parked);
	struct session *origin = server_session(dispatch->host->server, dispatch->origin_id);
	dispatch->env.origin = origin != NULL ? origin : dispatch->host->self;
	dispatch->waiter = NULL;
	/* The hook that waited has ended: its firing is the topmost one. */
	result = bus_continue(&dispatch->firings[dispatch->depth - 1], result);
	if (result != BUS_WAIT && result != BUS_DESCEND)
		dispatch->depth--;
	if (result == BUS_PASS || result == BUS_DESCEND)
		result = run_firings(dispatch, result);
	run(dispatch, result);
}

void router_abandon(struct server *server, const struct host *host)
{
	/* Sessions go on reading as soon as they may, so the list is looked through anew each time. */
	struct dispatch *dispatch, *after;
	bool found;
	do {
		found = false;
		list_each(dispatch, after, &server->parked, parked_link)
		{
			if (host != NULL && dispatch->host != host)
				continue;
			found = true;
			server->ops.parked(dispatch->waiter, NULL, NULL);
			end_dispatch(dispatch);
			break;
		}
	} while (found);
	dispatch_abandon_events(server, host);
}

/* ---- the ways in ---- */

/* Between servers both addresses must be there (RFC 6120 8.1.1.2, 8.1.2.2), and the pair of their domains proven on
 * this very stream (SECURITY C4). No pre- events: those are for what our own users send. */
static void receive_from_server(struct session *origin, struct stanza **stanza)
{
	struct el root = stanza_root(*stanza);
	struct slice from = el_attr(*stanza, root, SLICE("from")), to = el_attr(*stanza, root, SLICE("to"));
	struct dispatch dispatch;
	char from_text[JID_MAX], normal[JID_MAX + 1];
	enum stanza_kind kind;
	if (from.ptr == NULL || to.ptr == NULL) {
		session_close(origin, "improper-addressing", "Between servers a stanza needs both 'from' and 'to'");
		return;
	}
	if (!envelope_keep_jid(from, from_text, &dispatch.env.from)
	    || !envelope_keep_jid(to, dispatch.to_text, &dispatch.env.to)) {
		/* One user's odd address is no reason to end the stream of all. */
		log_debug("router", "dropped a stanza with an invalid address from another server");
		return;
	}
	struct host *host = server_host(origin->server, dispatch.env.to.host);
	if (host == NULL) {
		session_close(origin, "host-unknown", "This server does not serve that host");
		return;
	}
	if (!s2s_is_proven(origin, dispatch.env.to.host, dispatch.env.from.host, PAIR_IN)) {
		session_close(origin, "invalid-from", "That pair of domains is not proven on this stream");
		return;
	}
	s2s_translate(*stanza);
	size_t len = jid_write(&dispatch.env.from, normal);
	if (!slice_equal(el_attr(*stanza, root, SLICE("from")), slice_of(normal, len)))
		el_set_attr(*stanza, root, SLICE("from"), slice_of(normal, len));
	if (!envelope_is_well_made(*stanza, &kind)) {
		router_bounce(host->self, *stanza, "modify", "bad-request", NULL);
		return;
	}
	start(&dispatch, origin, stanza, kind);
	dispatch.host = host;
	dispatch.stage = STAGE_ON;
	if (!envelope_address(&dispatch)) { /* parsed once already, so this cannot be */
		end_dispatch(&dispatch);
		return;
	}
	run(&dispatch, BUS_PASS);
}

void router_receive(struct session *origin, struct stanza **stanza)
{
	if (session_is_s2s(origin)) {
		receive_from_server(origin, stanza);
		return;
	}
	struct el root = stanza_root(*stanza);
	struct slice from = el_attr(*stanza, root, SLICE("from"));
	struct dispatch dispatch;
	enum stanza_kind kind;
	if (from.ptr != NULL && !slice_equal(from, session_full_jid(origin))
	    && !slice_equal(from, session_bare_jid(origin))) {
		struct jid jid;
		if (!envelope_keep_jid(from, dispatch.to_text, &jid) || !slice_equal(jid.node, session_node(origin))
		    || !slice_equal(jid.host, host_name(origin->host))
		    || (jid.resource.len > 0 && !slice_equal(jid.resource, session_resource(origin)))) {
			/* RFC 6120 8.1.2.1 and 4.9.3.9 */
			session_close(origin, "invalid-from", "You may only send as yourself");
			return;
		}
	}
	el_set_attr(*stanza, root, SLICE("from"), session_full_jid(origin));
	if (origin->lang != NULL && el_attr(*stanza, root, SLICE("xml:lang")).ptr == NULL)
		el_set_attr(*stanza, root, SLICE("xml:lang"), slice_of_str(origin->lang)); /* RFC 6120 8.1.5 */
	if (!envelope_is_well_made(*stanza, &kind)) {
		router_bounce(origin, *stanza, "modify", "bad-request", NULL);
		return;
	}
	start(&dispatch, origin, stanza, kind);
	dispatch.env.from = (struct jid){ session_node(origin), host_name(origin->host), session_resource(origin) };
	dispatch.stage = STAGE_BEFORE;
	if (!envelope_address(&dispatch)) { /* RFC 6120 8.3.3.8 */
		router_reply_error(&dispatch, "modify", "jid-malformed", NULL);
		end_dispatch(&dispatch);
		return;
	}
	run(&dispatch, BUS_PASS);
}

void router_post(struct session *origin, struct stanza **stanza, bool with_pre)
{
	struct dispatch dispatch;
	enum stanza_kind kind;
	if (!envelope_find_kind(*stanza, &kind)) {
		log_warn("router", "dropped something that is neither message, presence nor iq");
		stanza_free(stanza);
		return;
	}
	start(&dispatch, origin, stanza, kind);
	if (dispatch.host == NULL || !envelope_address(&dispatch)) {
		log_warn("router", "dropped a stanza without a valid address");
		if (dispatch.host == NULL)
			stanza_free(&dispatch.env.stanza);
		else
			end_dispatch(&dispatch);
		return;
	}
	char from_text[JID_MAX];
	struct slice from = el_attr(dispatch.env.stanza, stanza_root(dispatch.env.stanza), SLICE("from"));
	if (from.ptr == NULL || !envelope_keep_jid(from, from_text, &dispatch.env.from))
		dispatch.env.from = (struct jid){ session_node(origin), host_name(origin->host), SLICE_NONE };
	else if (!with_pre && server_host(origin->server, dispatch.env.from.host) != NULL)
		dispatch.host = server_host(origin->server, dispatch.env.from.host); /* whose links it goes by */
	dispatch.stage = with_pre ? STAGE_BEFORE : STAGE_ON;
	run(&dispatch, BUS_PASS);
}

void router_route(struct session *origin, struct stanza **stanza) { router_post(origin, stanza, false); }

bool router_fire_stanza(struct session *origin, struct stanza **stanza, bool is_iq)
{
	if (origin->host == NULL)
		return false;
	struct el root = stanza_root(*stanza), named = is_iq ? el_first(*stanza, root) : root;
	if (el_is_none(named))
		return false;
	char text[EVENT_NAME_MAX];
	struct slice name = dispatch_event_name(text, is_iq ? "stanza/iq/" : "stanza/", el_ns(*stanza, named),
						el_name(*stanza, named));
	struct event *event = bus_find(origin->host->bus, name);
	if (event_n_hooks(event) == 0)
		return false;
	struct dispatch dispatch;
	start(&dispatch, origin, stanza, STANZA_IQ_SET);
	dispatch.env.from = (struct jid){ session_node(origin), host_name(origin->host), SLICE_NONE };
	dispatch.env.to = (struct jid){ SLICE_NONE, host_name(origin->host), SLICE_NONE };
	dispatch.env.target = TARGET_HOST;
	dispatch.env.is_to_self = false;
	dispatch.stage = STAGE_ONLY;
	return run(&dispatch, fire(&dispatch, event));
}

enum bus_result router_call_hook(struct session *origin, struct stanza **stanza, hook_fn *fn)
{
	struct dispatch dispatch;
	enum stanza_kind kind;
	if (origin->host == NULL || !envelope_find_kind(*stanza, &kind)) {
		stanza_free(stanza);
		return BUS_PASS;
	}
	start(&dispatch, origin, stanza, kind);
	dispatch.env.from = (struct jid){ session_node(origin), host_name(origin->host), session_resource(origin) };
	dispatch.stage = STAGE_ONLY;
	enum bus_result result = BUS_PASS;
	if (envelope_address(&dispatch)) {
		struct host *to = server_host(origin->server, dispatch.env.to.host);
		if (to != NULL)
			dispatch.host = to;
		struct firing firing = { .data = &dispatch };
		result = run_firings(&dispatch, fn(NULL, &firing));
	}
	if (result == BUS_WAIT) {
		park(&dispatch);
		return BUS_HANDLED;
	}
	end_dispatch(&dispatch);
	return result;
}

struct slice dispatch_event_name(char into[EVENT_NAME_MAX], const char *prefix, struct slice ns, struct slice name)
{
	size_t prefix_len = strlen(prefix);
	if (prefix_len + ns.len + 1 + name.len > EVENT_NAME_MAX)
		return SLICE_NONE; /* longer than any name that could have been hooked */
	char *at = into;
	memcpy(at, prefix, prefix_len);
	at += prefix_len;
	if (ns.len > 0) {
		memcpy(at, ns.ptr, ns.len);
		at += ns.len;
		*at++ = ':';
	}
	memcpy(at, name.ptr, name.len);
	at += name.len;
	return slice_of(into, (size_t)(at - into));
}
