/* Hosts we serve and the users that are online on them.
 *
 * A user exists here while it has at least one bound session. Its sessions are kept by priority, highest first, the
 * most recent first among equals, so delivery to a bare JID reads the front of the list. */
#ifndef XMPP_HOST_H
#define XMPP_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/slice.h"

struct bus;
struct event;
struct server;
struct session;

/* Which address a stanza goes to, seen from the host. The names are those of the events: message/bare, iq/self ... */
enum target { TARGET_BARE, TARGET_FULL, TARGET_HOST, TARGET_SELF, TARGETS };
enum stanza_name { NAME_MESSAGE, NAME_PRESENCE, NAME_IQ, STANZA_NAMES };

struct host {
	struct server *server;
	struct bus *bus;
	struct hash users; /* node -> struct user */
	struct hash links; /* other domain -> what s2s.c keeps of the stream to it */
	struct event *before[STANZA_NAMES][TARGETS]; /* pre-message/bare ... */
	struct event *on[STANZA_NAMES][TARGETS];     /* message/bare ... */
	struct event *route_remote, *offline, *features;
	struct session *self; /* the host as an origin: what modules send has this as its sender */
	struct list ended_link; /* server.ended_hosts */
	bool is_component;
	int lua_ref;          /* core/lua's: the host's table */
	uint32_t name_len;
	char name[];
};

struct user {
	struct host *host;
	struct list sessions; /* struct session.user_link */
	struct list ended_link; /* server.ended_users */
	uint32_t n_sessions;
	int lua_ref; /* core/lua's: fields that modules keep with the user (roster ...) */
	uint32_t node_len;
	char node[];
};

/* name must be prepared and new. bus is kept (its owner is core/lua, or the host's when NULL is passed). */
struct host *host_new(struct server *server, struct slice name, struct bus *bus);
/* Sessions of the host must be gone. What waits on it is given up. It is not found any more; its memory goes at the
 * end of the turn, for it may be one of its own hooks that ends it. Leaves NULL behind. */
void host_free(struct host **host);
/* At the turn's end: frees the hosts that ended in it. */
void host_free_ended(struct server *server);
struct slice host_name(const struct host *host);

/* NULL when nobody is online under that name. */
struct user *host_user(const struct host *host, struct slice node);
struct slice user_node(const struct user *user);
/* The session bound to that resource, NULL when none. */
struct session *user_session(const struct user *user, struct slice resource);

/* Adds the session under node (making the user), or takes it out (the user goes with its last session; its memory at
 * the turn's end, for somebody may be walking over its sessions). */
void user_add(struct host *host, struct slice node, struct session *session);
void user_remove(struct session *session);
void user_free_ended(struct server *server);
/* Puts the session at its place after its priority changed. */
void user_reorder(struct session *session);

#endif
