/* Everything that lives as long as the program: the one mutable struct that main owns, handed to whoever needs it.
 *
 * `ops` is how this room asks Lua for what only Lua knows, without knowing Lua: core/lua fills it at start-up. */
#ifndef XMPP_SERVER_H
#define XMPP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/slice.h"
#include "bus/bus.h"
#include "xmpp/sm.h"

struct dispatch;
struct host;
struct loop;
struct session;
struct stanza;
struct user;

/* Sessions are remembered across turns by this, never by pointer. Zero names nobody. */
struct session_id {
	uint32_t index, generation;
};

struct server;

/* A hook that waited has ended. */
typedef void go_on_fn(void *ctx, enum bus_result result);

struct server_ops {
	/* A firing was put aside because a hook waits (`waiter` is what it left): when the hook has ended, go_on(ctx,
	 * its result) is to be called. With go_on NULL nobody is interested any more. */
	void (*parked)(void *waiter, go_on_fn *go_on, void *ctx);
	/* An event (struct dispatch or struct session_event, told by its first field) whose `lua` is set has ended: what
	 * was made for Lua may go. Leaves NULL where it took the stanza over. */
	void (*event_ended)(struct server *server, void *data);
	/* The session is gone for good: its handle is dead from now on. */
	void (*session_gone)(struct session *session);
	/* The user's last session has gone: fields kept with the user may go. */
	void (*user_gone)(struct user *user);
	/* Nobody has sent anything for a while: a moment to tidy up a little. True when there is nothing more to tidy. */
	bool (*quiet)(struct server *server);
	/* A module has put a function in the place of session.send: it is asked to send, and may call
	 * session_send_on. Borrows. */
	int (*send)(struct session *session, const struct stanza *stanza);
	/* Filters of util.filters on "stanzas/in" and "stanzas/out": may replace *stanza (given back) or drop it (NULL).
	 * Only called for sessions with has_filters. */
	void (*filter)(struct session *session, struct stanza **stanza, bool is_out);
	/* The same for "bytes/in" and "bytes/out" of sessions with has_byte_filters. Result lives until the next call. */
	struct slice (*filter_bytes)(struct session *session, struct slice bytes, bool is_out);
	/* The session has another connection from now on, or none for a while. */
	void (*session_moved)(struct session *session);
};

struct server_options {
	int64_t c2s_timeout_ms;   /* to authenticate and bind (SECURITY table 2: 30 s) */
	int64_t c2s_idle_ms;      /* silence before `c2s-read-timeout` is fired (5 min) */
	int64_t c2s_close_ms;     /* for the peer to answer </stream:stream> */
	size_t c2s_stanza_bytes;  /* after authentication */
	size_t c2s_unauthed_stanza_bytes;
	int64_t s2s_timeout_ms;   /* for another server to prove itself (30 s) */
	int64_t s2s_idle_ms;      /* a stream between servers that is not used is closed (1 h) */
	int64_t s2s_close_ms;     /* for what is under way when a stream between servers is closed */
	size_t s2s_stanza_bytes;
	int64_t sm_ask_ms;        /* stanzas are unasked about for no longer than that */
	int64_t sm_answer_ms;     /* who does not answer in that time is gone */
	struct sm_limits s2s_sm;  /* of one stream between servers */
	struct sm_limits c2s_sm;  /* of one session of a client that is connected */
	struct sm_limits c2s_sm_inactive; /* the same while nobody looks at its screen */
	struct sm_limits c2s_sm_away; /* while it is not connected */
	int64_t c2s_sm_delay_ms;  /* when a client's answer is late: sm-ack-delayed */
	int64_t c2s_sm_answer_ms; /* a client that does not answer in that time is gone */
	uint32_t resources_per_user;
	int64_t wait_limit_ms; /* how long a hook may keep a stanza waiting */
};

/* What is counted apart: the direction, who is on the other side, and what it is (other: headers, features, SASL,
 * acknowledgements). */
enum { SERVER_IN, SERVER_OUT, SERVER_WAYS };
enum { SERVER_C2S, SERVER_S2S, SERVER_COMPONENT, SERVER_LINKS };
enum { SERVER_MESSAGE, SERVER_PRESENCE, SERVER_IQ, SERVER_OTHER, SERVER_KINDS };

struct server {
	struct loop *loop;
	struct bus *bus;         /* server-wide events: prosody.events */
	struct hash hosts;       /* name -> struct host */
	struct list sessions;    /* every session, by struct session.link */
	struct list ended;       /* those that go at the turn's end */
	struct list ended_users, ended_hosts; /* after them */
	struct list parked;      /* dispatches that wait, by struct dispatch.parked_link */
	struct list parked_events; /* events about sessions that wait; router.c's */
	struct session_slot *slots;
	uint32_t n_slots, free_slot, n_sessions;
	struct list awake;       /* streams whose parser holds an expat, longest unused first */
	uint32_t n_awake, n_rested; /* of these; how many have rested or ended since memory was last trimmed */
	unsigned n_collected;    /* cycles of Lua's collector that have ended since something last did */
	int64_t trimmed_ms, conn_ended_ms; /* when; when a connection of Lua's last ended */
	struct sm_budget sm_budget; /* of streams between servers */
	struct sm_budget sm_c2s_budget, sm_away_budget; /* of clients: connected (not bounded here), and not */
	struct list sm_due;      /* by struct session_sm.due_link */
	struct list heard;       /* who has counted stanzas in this dispatch, by struct sm_duty.heard_link */
	struct list unsure;      /* and in those that are not durable yet, by struct sm_duty.unsure_link */
	struct list acks_due;    /* who was asked in this turn, by struct sm_duty.ack_link */
	struct timer *sweep;     /* gives back the parsers of quiet streams, and in quiet moments memory */
	struct server_ops ops;
	struct server_options options;
	void *lua;               /* core/lua's own */
	uint64_t streams[SERVER_WAYS][SERVER_LINKS]; /* that began, whoever opened them */
	uint64_t stanzas[SERVER_WAYS][SERVER_LINKS][SERVER_KINDS]; /* that passed; see server_count */
};

/* In place; loop is borrowed for the server's life. */
void server_init(struct server *server, struct loop *loop);
/* Closes what is left, frees what it holds. */
void server_done(struct server *server);

/* A session has begun. */
void server_count_stream(struct session *session);
/* For transports: an element comes in or goes out (`way`) on the session's line. */
void server_count(struct session *session, const struct stanza *stanza, int way);

/* NULL when we do not serve that name. name is a prepared host part. */
struct host *server_host(const struct server *server, struct slice name);
/* NULL once the session is gone. */
struct session *server_session(const struct server *server, struct session_id id);
/* The session in a slot, NULL when it is free; for walks that outlive changes (index < n_slots). */
struct session *server_session_at(const struct server *server, uint32_t index);

#endif
