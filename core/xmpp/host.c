/* Hosts and the users online on them. */
#include "xmpp/host.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "bus/bus.h"
#include "xmpp/router.h"
#include "xmpp/server.h"
#include "xmpp/session.h"

enum { USERS_MAX = 4 * 1024 * 1024, LINKS_MAX = 256 * 1024 };

/* The events every stanza may fire are found once, here, so that firing one nobody hooked is a compare. */
static void find_events(struct host *host)
{
	static const char *const names[STANZA_NAMES] = { "message", "presence", "iq" };
	static const char *const targets[TARGETS] = { "bare", "full", "host", "self" };
	struct buf name;
	buf_init(&name, 64);
	for (int n = 0; n < STANZA_NAMES; n++) {
		for (int t = 0; t < TARGETS; t++) {
			buf_clear(&name);
			buf_addf(&name, "pre-%s/%s", names[n], targets[t]);
			host->before[n][t] = bus_event(host->bus, buf_slice(&name));
			host->on[n][t] = bus_event(host->bus, slice_from(buf_slice(&name), strlen("pre-")));
		}
	}
	buf_done(&name);
	host->route_remote = bus_event(host->bus, SLICE("route/remote"));
	host->offline = bus_event(host->bus, SLICE("message/offline/handle"));
	host->features = bus_event(host->bus, SLICE("stream-features"));
}

struct host *host_new(struct server *server, struct slice name, struct bus *bus)
{
	assert(server_host(server, name) == NULL);
	struct host *host = mem_new(sizeof(*host) + name.len + 1);
	host->server = server;
	host->bus = bus;
	host->name_len = (uint32_t)name.len;
	memcpy(host->name, name.ptr, name.len);
	hash_init(&host->users, USERS_MAX);
	hash_init(&host->links, LINKS_MAX);
	list_init(&host->ended_link);
	find_events(host);
	host->self = session_new(server, SESSION_HOST);
	host->self->host = host;
	hash_set(&server->hosts, host_name(host), host);
	return host;
}

void host_free(struct host **where)
{
	struct host *host = *where;
	if (host == NULL)
		return;
	assert(host->users.count == 0);
	hash_remove(&host->server->hosts, host_name(host));
	router_abandon(host->server, host);
	session_end(host->self, "host removed");
	hash_done(&host->links); /* the streams themselves stay with their hosts */
	/* The bus is not ours, and may go before us. */
	memset(host->before, 0, sizeof(host->before));
	memset(host->on, 0, sizeof(host->on));
	host->bus = NULL;
	host->route_remote = host->offline = host->features = NULL;
	list_add_last(&host->server->ended_hosts, &host->ended_link);
	*where = NULL;
}

void host_free_ended(struct server *server)
{
	struct host *host, *after;
	list_each(host, after, &server->ended_hosts, ended_link)
	{
		list_remove(&host->ended_link);
		hash_done(&host->users);
		mem_free(host);
	}
}

struct slice host_name(const struct host *host) { return slice_of(host->name, host->name_len); }
struct user *host_user(const struct host *host, struct slice node) { return hash_get(&host->users, node); }
struct slice user_node(const struct user *user) { return slice_of(user->node, user->node_len); }

struct session *user_session(const struct user *user, struct slice resource)
{
	struct session *session, *after;
	list_each(session, after, &user->sessions, user_link)
	{
		if (slice_equal(session_resource(session), resource))
			return session;
	}
	return NULL;
}

static bool comes_before(const struct session *a, const struct session *b)
{
	if (a->is_available != b->is_available)
		return a->is_available;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->bound_order > b->bound_order;
}

static void insert_in_order(struct user *user, struct session *session)
{
	struct list *place = user->sessions.next;
	while (place != &user->sessions && comes_before(list_entry(place, struct session, user_link), session))
		place = place->next;
	list_add_last(place, &session->user_link); /* "last" of the ring seen from place: right before it */
}

void user_add(struct host *host, struct slice node, struct session *session)
{
	struct user *user = host_user(host, node);
	if (user == NULL) {
		user = mem_new(sizeof(*user) + node.len + 1);
		user->host = host;
		user->node_len = (uint32_t)node.len;
		memcpy(user->node, node.ptr, node.len);
		list_init(&user->sessions);
		list_init(&user->ended_link);
		hash_set(&host->users, user_node(user), user);
	}
	session->user = user;
	user->n_sessions++;
	insert_in_order(user, session);
}

void user_remove(struct session *session)
{
	struct user *user = session->user;
	if (user == NULL)
		return;
	list_remove(&session->user_link);
	session->user = NULL;
	if (--user->n_sessions > 0)
		return;
	hash_remove(&user->host->users, user_node(user));
	if (user->lua_ref != 0 && user->host->server->ops.user_gone != NULL)
		user->host->server->ops.user_gone(user);
	list_add_last(&user->host->server->ended_users, &user->ended_link);
}

void user_free_ended(struct server *server)
{
	while (!list_is_empty(&server->ended_users)) {
		struct user *user = list_first(&server->ended_users, struct user, ended_link);
		list_remove(&user->ended_link);
		mem_free(user);
	}
}

void user_reorder(struct session *session)
{
	if (session->user == NULL)
		return;
	list_remove(&session->user_link);
	insert_in_order(session->user, session);
}
