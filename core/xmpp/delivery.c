/* The rules of RFC 6121 section 8 for stanzas that have reached their host, as native hooks: modules put them on events
 * like any function (mod_message: message/bare -> message_bare), so the common stanza never enters Lua. */
#include <assert.h>

#include "base/log.h"
#include "base/mem.h"
#include "xml/stanza.h"
#include "xmpp/dispatch_private.h"
#include "xmpp/router.h"
#include "xmpp/s2s.h"
#include "xmpp/session.h"

enum message_type { NORMAL, CHAT, GROUPCHAT, HEADLINE, ERROR };

static enum message_type message_type(const struct envelope *env)
{
	struct slice type = el_attr(env->stanza, stanza_root(env->stanza), SLICE("type"));
	if (slice_is(type, "chat"))
		return CHAT;
	if (slice_is(type, "groupchat"))
		return GROUPCHAT;
	if (slice_is(type, "headline"))
		return HEADLINE;
	return slice_is(type, "error") ? ERROR : NORMAL; /* RFC 6121 5.2.2: unknown types are normal */
}

/* Asks for `event` to be fired before the next hook runs. */
static enum bus_result descend(struct dispatch *dispatch, struct event *event)
{
	if (event_n_hooks(event) == 0)
		return BUS_PASS;
	dispatch->events[dispatch->n_events++] = event;
	return BUS_DESCEND;
}

/* Nobody with a non-negative priority is there (RFC 6121 8.5.2.2.1): offline storage, else an error. */
static enum bus_result leave_offline(struct dispatch *dispatch, enum message_type type)
{
	if (type == HEADLINE || type == ERROR)
		return BUS_HANDLED;
	if (type == GROUPCHAT) {
		router_reply_error(dispatch, "cancel", "service-unavailable", NULL);
		return BUS_HANDLED;
	}
	if (event_n_hooks(dispatch->host->offline) > 0)
		return descend(dispatch, dispatch->host->offline);
	router_reply_error(dispatch, "cancel", "service-unavailable", NULL);
	return BUS_HANDLED;
}

/* To all who share the highest priority that takes it, so that the phone and the laptop that people leave at priority 0
 * both ring (RFC 6121 8.5.2.1.1 allows it); headlines to all. False when nobody did. A session that cannot take it may
 * end at once, and others with it, so this walks over ids. */
static bool deliver(struct user *user, const struct envelope *env, bool is_for_all)
{
	enum { FEW = 8 };
	struct server *server = user->host->server;
	struct session_id few[FEW], *ids = few;
	uint32_t n = 0;
	if (user->n_sessions > FEW)
		ids = mem_resize(NULL, user->n_sessions * sizeof(ids[0]));
	struct session *session, *after;
	list_each(session, after, &user->sessions, user_link)
	{
		if (!session->is_available || session->priority < 0)
			break;
		ids[n++] = session->id;
	}
	bool was_delivered = false;
	int8_t priority = 0;
	for (uint32_t i = 0; i < n; i++) {
		session = server_session(server, ids[i]);
		if (session == NULL || (was_delivered && !is_for_all && session->priority < priority))
			continue;
		if (session_send(session, env->stanza) == 0) {
			was_delivered = true;
			priority = session->priority;
		}
	}
	if (ids != few)
		mem_free(ids);
	return was_delivered;
}

static enum bus_result message_bare(void *ctx, struct firing *firing)
{
	(void)ctx;
	struct dispatch *dispatch = firing->data;
	enum message_type type = message_type(&dispatch->env);
	struct user *user = host_user(dispatch->host, dispatch->env.to.node);
	bool may_be_given = type != GROUPCHAT && type != ERROR && user != NULL; /* RFC 6121 8.5.2.1.1 */
	if (may_be_given && deliver(user, &dispatch->env, type == HEADLINE))
		return BUS_HANDLED;
	return leave_offline(dispatch, type);
}

static struct session *full_target(const struct dispatch *dispatch)
{
	struct user *user = host_user(dispatch->host, dispatch->env.to.node);
	return user != NULL ? user_session(user, dispatch->env.to.resource) : NULL;
}

static enum bus_result message_full(void *ctx, struct firing *firing)
{
	struct dispatch *dispatch = firing->data;
	struct session *session = full_target(dispatch);
	if (session != NULL && session_send(session, dispatch->env.stanza) == 0)
		return BUS_HANDLED;
	switch (message_type(&dispatch->env)) { /* RFC 6121 8.5.3.2.1 */
	case CHAT: /* a conversation goes on with whoever of them is there */
		return message_bare(ctx, firing);
	case NORMAL:
	case GROUPCHAT:
		router_reply_error(dispatch, "cancel", "service-unavailable", NULL);
		return BUS_HANDLED;
	case HEADLINE:
	case ERROR:
		break;
	}
	return BUS_HANDLED;
}

/* RFC 6121 8.5.3.1, 8.5.3.2.2. Subscriptions and probes are the user's affair, not one session's: left to
 * mod_presence. */
static enum bus_result presence_full(void *ctx, struct firing *firing)
{
	(void)ctx;
	struct envelope *env = &((struct dispatch *)firing->data)->env;
	struct slice type = el_attr(env->stanza, stanza_root(env->stanza), SLICE("type"));
	if (type.ptr != NULL && !slice_is(type, "unavailable") && !slice_is(type, "error"))
		return BUS_PASS;
	struct session *session = full_target(firing->data);
	if (session != NULL)
		session_send(session, ((struct dispatch *)firing->data)->env.stanza);
	return BUS_HANDLED;
}

/* RFC 6121 8.5.3.1, 8.5.3.2.3 */
static enum bus_result iq_full(void *ctx, struct firing *firing)
{
	(void)ctx;
	struct dispatch *dispatch = firing->data;
	struct session *session = full_target(dispatch);
	if (session != NULL && session_send(session, dispatch->env.stanza) == 0)
		return BUS_HANDLED;
	router_reply_error(dispatch, "cancel", "service-unavailable", NULL);
	return BUS_HANDLED;
}

/* iq/TARGET/NAMESPACE:NAME, then iq-TYPE/TARGET/NAMESPACE:NAME; for answers iq-TYPE/TARGET/ID. */
static enum bus_result descend_iq(struct dispatch *dispatch, const char *any, const char *const by_kind[4])
{
	struct envelope *env = &dispatch->env;
	struct el root = stanza_root(env->stanza), child = el_first(env->stanza, root);
	char text[EVENT_NAME_MAX];
	const char *typed = by_kind[env->kind - STANZA_IQ_GET];
	if (env->kind == STANZA_IQ_RESULT || env->kind == STANZA_IQ_ERROR) {
		struct slice id = el_attr(env->stanza, root, SLICE("id"));
		struct slice name = dispatch_event_name(text, typed, SLICE_NONE, id);
		return descend(dispatch, bus_find(dispatch->host->bus, name));
	}
	struct slice ns = el_ns(env->stanza, child), child_name = el_name(env->stanza, child);
	struct slice name = dispatch_event_name(text, any, ns, child_name);
	enum bus_result first = descend(dispatch, bus_find(dispatch->host->bus, name));
	name = dispatch_event_name(text, typed, ns, child_name);
	enum bus_result second = descend(dispatch, bus_find(dispatch->host->bus, name));
	return first == BUS_DESCEND ? first : second;
}

static enum bus_result iq_bare(void *ctx, struct firing *firing)
{
	static const char *const by_kind[] = { "iq-get/bare/", "iq-set/bare/", "iq-result/bare/", "iq-error/bare/" };
	(void)ctx;
	return descend_iq(firing->data, "iq/bare/", by_kind);
}

static enum bus_result iq_host(void *ctx, struct firing *firing)
{
	static const char *const by_kind[] = { "iq-get/host/", "iq-set/host/", "iq-result/host/", "iq-error/host/" };
	(void)ctx;
	return descend_iq(firing->data, "iq/host/", by_kind);
}

static enum bus_result iq_self(void *ctx, struct firing *firing)
{
	static const char *const by_kind[] = { "iq-get/self/", "iq-set/self/", "iq-result/self/", "iq-error/self/" };
	(void)ctx;
	return descend_iq(firing->data, "iq/self/", by_kind);
}

static const struct {
	const char *name;
	hook_fn *fn;
} native_hooks[] = {
	{ "message_bare", message_bare },   { "message_full", message_full }, { "presence_full", presence_full },
	{ "iq_full", iq_full },             { "iq_bare", iq_bare },           { "iq_host", iq_host },
	{ "iq_self", iq_self },             { "route_remote", s2s_route_remote },
};

enum { N_NATIVE_HOOKS = sizeof(native_hooks) / sizeof(native_hooks[0]) };

hook_fn *router_native_hook(struct slice name)
{
	for (size_t i = 0; i < N_NATIVE_HOOKS; i++) {
		if (slice_equal(name, slice_of_str(native_hooks[i].name)))
			return native_hooks[i].fn;
	}
	return NULL;
}

const char *router_native_hook_name(uint32_t index)
{
	return index < N_NATIVE_HOOKS ? native_hooks[index].name : NULL;
}
