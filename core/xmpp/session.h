/* A session: who is on the other side of a stream, and what they may do. Clients, servers, components and the hosts
 * themselves are sessions; the stream below it (or a Lua transport) carries the bytes.
 *
 * Always true: memory is freed at the end of a turn and only there; `session_close` starts an ending, session_end
 * finishes it once. Across turns remember `id`. */
#ifndef XMPP_SESSION_H
#define XMPP_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"
#include "xmpp/server.h"

struct conn;
struct dispatch;
struct host;
struct stanza;
struct s2s;
struct session_sm;
struct stream;
struct user;

enum session_type {
	SESSION_HOST, /* a host of ours, as the sender of what modules send */
	SESSION_C2S_UNAUTHED,
	SESSION_C2S_UNBOUND, /* authenticated; "c2s" to Lua, with no resource */
	SESSION_C2S,
	SESSION_S2SIN_UNAUTHED,
	SESSION_S2SIN,
	SESSION_S2SOUT_UNAUTHED,
	SESSION_S2SOUT,
	SESSION_COMPONENT_UNAUTHED,
	SESSION_COMPONENT,
};

/* What carries a session's stanzas. A stream is one; core/lua has one that asks a Lua `send` field. */
struct transport {
	/* Borrows. 0, or -1 when it could not be queued. */
	int (*send)(struct session *session, const struct stanza *stanza);
	int (*send_bytes)(struct session *session, struct slice bytes);
	/* A stanza that was written in jabber:client; as send otherwise. Only with leave and move. */
	int (*send_text)(struct session *session, struct slice text);
	/* Starts the ending with an RFC 6120 4.9.3 condition (NULL: none) and text (NULL: none). */
	void (*close)(struct session *session, const char *condition, const char *text);
	/* Transports that are no streams: n_parked is 0 again, input may be handed on. May be NULL. */
	void (*resumed)(struct session *session);
	/* Both NULL when the transport can do neither (session_sm.h). The session goes on without it: says why (condition and
	 * text as above), or without condition ends at once. */
	void (*leave)(struct session *session, const char *condition, const char *text);
	/* From now on it carries `to`, and `from` nothing. */
	void (*move)(struct session *from, struct session *to);
};

struct session {
	struct server *server;
	struct session_id id;
	const struct transport *transport;
	struct stream *stream;   /* NULL on other transports and hosts */
	struct session_sm *sm;   /* NULL without stream management, or between servers */
	void *carried_by;        /* what such a transport keeps here */
	struct host *host;       /* the host it belongs to or talks to; NULL until its stream header */
	struct user *user;       /* while bound */
	struct s2s *s2s;         /* between servers: the other domain, what is proven (s2s.h) */
	struct list link;        /* server.sessions */
	struct list user_link;   /* user.sessions */
	char *jid;               /* "node@host/resource" as far as known; NULL before authentication */
	uint16_t node_len, host_len, resource_len;
	enum session_type type : 8;
	bool is_available : 1;   /* has sent available presence: gets what is sent to the bare JID */
	bool is_interested : 1;  /* has asked for the roster */
	bool is_closing : 1;
	bool is_ended : 1;
	bool has_filters : 1, has_byte_filters : 1;
	bool is_send_replaced : 1; /* server_ops.send comes first */
	int8_t priority;
	uint32_t n_parked;       /* firings that wait: reading is paused meanwhile */
	uint32_t n_parked_events; /* those about the session itself: it stays until they are over, even after its end */
	uint32_t bound_order;    /* grows with each bind, for ties in priority */
	double available_since_s; /* since 1970; with is_available */
	char *lang;              /* the stream's xml:lang, NULL when none */
	int lua_ref;             /* core/lua's handle; 0: none was made */
};

/* Gives a session without transport; it is known to the server by its id. */
struct session *session_new(struct server *server, enum session_type type);
/* Parts of the JID; empty while unknown. */
struct slice session_node(const struct session *session);
struct slice session_resource(const struct session *session);
struct slice session_full_jid(const struct session *session); /* empty until bound */
struct slice session_bare_jid(const struct session *session); /* empty until authenticated */
bool session_is_s2s(const struct session *session);
const char *session_type_name(const struct session *session);  /* Prosody's: "c2s_unauthed", "s2sin" ... */

/* After successful SASL: the session speaks for node@host. node is prepared (RFC 6120 6.3.7). */
void session_authenticated(struct session *session, struct slice node);

/* Resource binding (RFC 6120 7). wanted may be empty: the server makes one. A taken resource is won by the newcomer,
 * the old session is closed with <conflict/> (7.7.2.2). 0, or -1 with an error type and condition for the iq. */
int session_bind(struct session *session, struct slice wanted, const char **type_r, const char **condition_r);

/* Presence as the router sees it. */
void session_set_available(struct session *session, bool is_available, int8_t priority);

/* A stanza for the other side; borrows. 0, or -1 when the session cannot take it (closing, queue full). Between
 * servers an answer goes its own way: it is routed to its address, for a stream carries stanzas in one direction
 * only. */
int session_send(struct session *session, struct stanza *stanza);
/* To this very session, past server_ops.send: filters, then the transport. */
int session_send_on(struct session *session, const struct stanza *stanza);

/* Starts the ending; condition and text as in struct transport. Harmless when closing. */
void session_close(struct session *session, const char *condition, const char *text);
/* The transport is gone: fires resource-unbind, forgets the user, frees at the turn's end. reason is for the log. */
void session_end(struct session *session, const char *reason);

/* At the turn's end: frees the sessions that ended in it or earlier and that nothing about them waits for. */
void session_free_ended(struct server *server);

/* T */
size_t session_live_count(void);

#endif
