/* Sessions: identity, binding, endings. Bytes are the transport's affair. */
#include "xmpp/session.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "xml/stanza.h"
#include "xmpp/host.h"
#include "xmpp/jid.h"
#include "xmpp/router.h"
#include "xmpp/s2s.h"
#include "xmpp/server_private.h"
#include "xmpp/session_sm.h"
#include "xmpp/stream_private.h"

static size_t live;

struct session *session_new(struct server *server, enum session_type type)
{
	struct session *session = mem_new(sizeof(*session));
	session->server = server;
	session->type = type;
	list_init(&session->link);
	list_init(&session->user_link);
	server_add_session(server, session);
	server_count_stream(session);
	live++;
	return session;
}

struct slice session_node(const struct session *session) { return slice_of(session->jid, session->node_len); }

struct slice session_resource(const struct session *session)
{
	if (session->resource_len == 0)
		return SLICE_NONE;
	return slice_of(session->jid + session->node_len + 1 + session->host_len + 1, session->resource_len);
}

struct slice session_full_jid(const struct session *session)
{
	if (session->resource_len == 0)
		return SLICE_NONE;
	return slice_of(session->jid, (size_t)session->node_len + 1 + session->host_len + 1 + session->resource_len);
}

struct slice session_bare_jid(const struct session *session)
{
	if (session->jid == NULL)
		return session->type == SESSION_HOST ? host_name(session->host) : SLICE_NONE;
	return slice_of(session->jid, (size_t)session->node_len + 1 + session->host_len);
}

bool session_is_s2s(const struct session *session)
{
	return session->type >= SESSION_S2SIN_UNAUTHED && session->type <= SESSION_S2SOUT;
}

const char *session_type_name(const struct session *session)
{
	static const char *const names[] = {
		[SESSION_HOST] = "local",
		[SESSION_C2S_UNAUTHED] = "c2s_unauthed",
		[SESSION_C2S_UNBOUND] = "c2s_unbound",
		[SESSION_C2S] = "c2s",
		[SESSION_S2SIN_UNAUTHED] = "s2sin_unauthed",
		[SESSION_S2SIN] = "s2sin",
		[SESSION_S2SOUT_UNAUTHED] = "s2sout_unauthed",
		[SESSION_S2SOUT] = "s2sout",
		[SESSION_COMPONENT_UNAUTHED] = "component_unauthed",
		[SESSION_COMPONENT] = "component",
	};
	return names[session->type];
}

/* One string holds all parts of the JID; slices of it are handed out. */
static void set_jid(struct session *session, struct slice node, struct slice resource)
{
	struct jid jid = { node, host_name(session->host), resource };
	char text[JID_MAX + 1];
	size_t len = jid_write(&jid, text);
	char *old = session->jid;
	session->jid = mem_copy(slice_of(text, len));
	session->node_len = (uint16_t)node.len;
	session->host_len = (uint16_t)jid.host.len;
	session->resource_len = (uint16_t)resource.len;
	mem_free(old);
}

void session_authenticated(struct session *session, struct slice node)
{
	assert(session->host != NULL && session->type == SESSION_C2S_UNAUTHED);
	set_jid(session, node, SLICE_NONE);
	session->type = SESSION_C2S_UNBOUND;
	stream_authenticated(session);
}

/* The one that has hibernated for longest, NULL when none does. */
static struct session *longest_away(const struct user *user)
{
	struct session *found = NULL, *session, *after;
	list_each(session, after, &user->sessions, user_link)
	{
		if (session_sm_is_hibernating(session)
		    && (found == NULL || session_sm_hibernating_since_ms(session) < session_sm_hibernating_since_ms(found)))
			found = session;
	}
	return found;
}

int session_bind(struct session *session, struct slice wanted, const char **type_r, const char **condition_r)
{
	char resource[JID_PART_MAX + 1];
	int len;
	if (session->type != SESSION_C2S_UNBOUND) {
		*type_r = "cancel", *condition_r = "not-allowed";
		return -1;
	}
	if (wanted.len == 0) {
		random_id(resource); /* not guessable: RFC 6120 7.6 and 13.10.3 (presence leaks) */
		len = (int)strlen(resource);
	} else if ((len = jid_prep_resource(wanted, resource)) <= 0) {
		*type_r = "modify", *condition_r = "bad-request"; /* RFC 6120 7.7.2.1 */
		return -1;
	}
	struct slice bound = slice_of(resource, (size_t)len);
	struct user *user = host_user(session->host, session_node(session));
	struct session *holder = user != NULL ? user_session(user, bound) : NULL;
	if (holder == NULL && user != NULL && user->n_sessions >= session->server->options.resources_per_user)
		holder = longest_away(user); /* whoever is here comes before who is away */
	if (holder != NULL) {
		session_close(holder, "conflict", "Replaced by new connection");
		session_end(holder, "replaced by a new session");
		if (session->is_ended) { /* by whom that was told to */
			*type_r = "cancel", *condition_r = "not-allowed";
			return -1;
		}
		user = host_user(session->host, session_node(session));
	}
	if (user != NULL && user->n_sessions >= session->server->options.resources_per_user) {
		*type_r = "wait", *condition_r = "resource-constraint"; /* RFC 6120 7.6.2.1 */
		return -1;
	}
	static uint32_t order; /* only ever compared among sessions of one user */
	char node[JID_PART_MAX + 1];
	size_t node_len = session->node_len;
	memcpy(node, session->jid, node_len);
	set_jid(session, slice_of(node, node_len), bound);
	session->type = SESSION_C2S;
	session->bound_order = ++order;
	user_add(session->host, session_node(session), session);
	stream_bound(session);
	return 0;
}

void session_set_available(struct session *session, bool is_available, int8_t priority)
{
	if (is_available && !session->is_available)
		session->available_since_s = clock_wall();
	session->is_available = is_available;
	session->priority = is_available ? priority : 0;
	user_reorder(session);
}

int session_send(struct session *session, struct stanza *stanza)
{
	if (session->is_send_replaced && !session->is_ended)
		return session->server->ops.send(session, stanza);
	if (session_is_s2s(session))
		return router_send_back(session, stanza);
	return session_send_on(session, stanza);
}

int session_send_on(struct session *session, const struct stanza *stanza)
{
	if (session->is_ended || session->transport == NULL)
		return -1;
	if (!session->has_filters)
		return session->transport->send(session, stanza);
	stream_hold(session);
	/* A filter may change what it is given, so it gets a copy of its own. */
	struct stanza *copy = stanza_clone(stanza, stanza_root(stanza));
	session->server->ops.filter(session, &copy, true);
	if (copy == NULL)
		return 0;
	int sent = session->transport->send(session, copy);
	stanza_free(&copy);
	return sent;
}

void session_close(struct session *session, const char *condition, const char *text)
{
	if (session->is_closing || session->is_ended || session->transport == NULL)
		return;
	session->is_closing = true;
	session->transport->close(session, condition, text);
}

static void free_session(struct session *session)
{
	if (session->server->ops.session_gone != NULL)
		session->server->ops.session_gone(session);
	server_remove_session(session->server, session);
	session_sm_free(&session->sm);
	mem_free(session->jid);
	mem_free(session->lang);
	mem_free(session);
	live--;
}

void session_end(struct session *session, const char *reason)
{
	if (session->is_ended)
		return;
	session->is_closing = true;
	struct session_event event = { .data_kind = DATA_SESSION, .session = session, .error = reason };
	if (session->user != NULL) {
		router_fire_session(session, "pre-resource-unbind", &event);
		user_remove(session);
		session->is_ended = true;
		router_fire_session(session, "resource-unbind", &event);
	}
	session->is_ended = true;
	if (session->type != SESSION_HOST)
		router_fire_session(session, session_is_s2s(session) ? "s2s-session-ended" : "session-ended", &event);
	s2s_session_ended(session);
	stream_session_ended(session);
	list_remove(&session->link);
	list_add_last(&session->server->ended, &session->link);
}

void session_free_ended(struct server *server)
{
	struct session *session, *after;
	list_each(session, after, &server->ended, link)
	{
		if (session->n_parked_events == 0)
			free_session(session);
	}
}

size_t session_live_count(void) { return live; }
