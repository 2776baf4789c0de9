/* Where a stanza goes (RFC 6120 10, RFC 6121 8), and the dispatch that carries it there through the bus.
 *
 * A dispatch fires pre-NAME/TARGET for what clients send, then NAME/TARGET on the receiving host, then, when nobody
 * answered, what the RFC says of unanswered stanzas. It lives on the C stack; when a hook waits it is copied to the
 * heap (parked), reading from its session pauses, and it goes on with the next hook in a later turn. */
#ifndef XMPP_ROUTER_H
#define XMPP_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "bus/bus.h"
#include "xmpp/host.h"
#include "xmpp/jid.h"
#include "xmpp/server.h"

struct session;
struct stanza;

enum stanza_kind {
	STANZA_MESSAGE,
	STANZA_PRESENCE,
	STANZA_IQ_GET,
	STANZA_IQ_SET,
	STANZA_IQ_RESULT,
	STANZA_IQ_ERROR,
};

/* What was computed once, for C and Lua alike. */
struct envelope {
	struct session *origin; /* who sent it; the server's own hosts have one too */
	struct stanza *stanza;
	struct jid from, to;    /* prepared; slices */
	enum stanza_kind kind;
	enum target target;
	bool is_to_self;        /* no `to`, or the sender's own bare JID */
};

/* First field of whatever `struct firing.data` points to: tells hooks what they were given. */
enum data_kind { DATA_DISPATCH, DATA_SESSION };

enum { DISPATCH_DEPTH = 4 };

struct dispatch {
	enum data_kind data_kind; /* DATA_DISPATCH */
	struct list parked_link;  /* server.parked */
	bool is_parked, owns_stanza;
	uint8_t depth, stage;
	struct envelope env;
	struct host *host;        /* whose events are being fired */
	struct firing firings[DISPATCH_DEPTH]; /* a hook may ask for further events before the next hook runs */
	struct event *events[2];
	uint8_t n_events;         /* asked for by the hook that returned BUS_DESCEND, in order */
	void *waiter;             /* set by the hook that returned BUS_WAIT */
	void *lua;                /* core/lua's, for the event's life: the {origin, stanza} table */
	struct session_id origin_id;
	char to_text[JID_MAX];    /* memory behind env.to */
	char *from_text;          /* memory behind env.from once parked; else NULL */
};

/* An event about a session: resource-unbind, stream-features, session-secured ... */
struct session_event {
	enum data_kind data_kind; /* DATA_SESSION */
	struct session *session;
	struct stanza *features;  /* stream-features: being built; else NULL. Freed with the event */
	struct stanza *stanza;    /* sm-queued: the one that waits now; else NULL. Freed with the event */
	const char *error;        /* why it ends; else NULL */
	/* Called once all hooks have run, unless the session has gone meanwhile. May be NULL. */
	void (*done)(struct session_event *event, enum bus_result result);
	void *waiter;             /* as in struct dispatch */
	void *lua;                /* as in struct dispatch */
};

/* A stanza came in from `origin`: validate, stamp, fire. Takes *stanza and leaves NULL. */
void router_receive(struct session *origin, struct stanza **stanza);

/* Fires stanza/NAMESPACE:NAME (or stanza/iq/NAMESPACE:NAME of its child, is_iq) for what is no routed stanza. True when
 * it was answered; takes *stanza then. */
bool router_fire_stanza(struct session *origin, struct stanza **stanza, bool is_iq);

/* A stanza made by us or a module, sent on behalf of origin (a host's session mostly). Takes it. with_pre: fire the
 * pre- events too. */
void router_post(struct session *origin, struct stanza **stanza, bool with_pre);
/* Delivers to a remote or local address without pre- events; what C uses after its decisions. Takes it. */
void router_route(struct session *origin, struct stanza **stanza);

/* Gives up what waits on the host (NULL: all that waits): later hooks do not run, nobody is answered. */
void router_abandon(struct server *server, const struct host *host);

/* Answers `env.stanza` with an error (RFC 6120 8.3) unless it is an error or a result itself. text may be NULL. */
void router_reply_error(struct dispatch *dispatch, const char *type, const char *condition, const char *text);
/* The same for a stanza outside of a dispatch; borrows. */
void router_bounce(struct session *origin, const struct stanza *stanza, const char *type, const char *condition,
		   const char *text);

/* Fires an event about a session on its host, or on the server's bus when it has none. Ends it. When a hook waits, the
 * result is BUS_WAIT: the session is not read from, and later hooks and `done` follow when that hook has ended. */
enum bus_result router_fire_session(struct session *session, const char *event, struct session_event *data);

/* Routes a copy of an answer to a session between servers. 0, or -1 when the session has no host yet. */
int router_send_back(struct session *origin, const struct stanza *stanza);

/* Calls one native hook with a stanza that Lua holds. Takes it. */
enum bus_result router_call_hook(struct session *origin, struct stanza **stanza, hook_fn *fn);

/* Native hooks, by the name modules use: "message_bare", "iq_host" ... NULL when unknown. RFC 6121 section 8. */
hook_fn *router_native_hook(struct slice name);
/* Walk over their names, NULL at the end. */
const char *router_native_hook_name(uint32_t index);

#endif
