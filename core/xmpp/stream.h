/* An XML stream over a connection (RFC 6120 4): header, features, restarts, errors, limits and time-outs.
 *
 * What may happen when is one table, [state][element class] -> action, per kind of
 * stream, in stream_c2s.c and stream_s2s.c; its every cell has a spec. */
#ifndef XMPP_STREAM_H
#define XMPP_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct conn;
struct error;
struct host;
struct server;
struct session;
struct sm;
struct stanza;
struct tls_context;

/* A client, or another server, connected: gives it a session and a stream, which live and die with the conn. */
struct session *stream_accept_c2s(struct server *server, struct conn *conn);
struct session *stream_accept_s2s(struct server *server, struct conn *conn);

/* Where to connect for a stream from a host of ours to another domain. */
struct s2s_target {
	struct slice domain;     /* prepared */
	const char *address;     /* numeric */
	uint16_t port;
	struct tls_context *tls; /* NULL: not with TLS from the first byte */
	const char *sni;         /* for it; NULL for none */
};
/* Starts connecting and gives a session, whose end tells of failure; NULL and error_r when it fails at once. */
struct session *stream_connect_s2s(struct server *server, struct host *from, const struct s2s_target *target,
				   struct error *error_r);

struct conn *stream_conn(const struct session *session); /* NULL when it has none */
const char *stream_id(const struct session *session);    /* of the current stream; "" before the header */
bool stream_is_secure(const struct session *session);

/* The next thing the peer sends is a new stream header (after TLS and SASL: RFC 6120 4.3.3). What was read but not
 * yet handled is dropped. */
void stream_reset(struct session *session);
/* Sends our header anew on a stream that we opened, after stream_reset. -1 on any other. */
int stream_open(struct session *session);
/* After <proceed/>, sent or received: as server, or as client on a stream that we opened; sni then names the peer
 * (NULL: no name). -1 and the stream's end when data came along with the word. */
int stream_start_tls(struct session *session, struct tls_context *context, const char *sni);

/* Stream management (XEP-0198), on streams between servers that a pair of domains is proven on. enable: on a stream
 * that we opened, asks for it; from the answer on it runs by itself. accept: answers such a question. False when it
 * is not the time, and then accept has said nothing. */
bool stream_sm_enable(struct session *session);
bool stream_sm_accept(struct session *session);
/* Counters and what is kept (sm.h); NULL when the stream has none. */
const struct sm *stream_sm(const struct session *session);
/* When such a session ends (s2s-session-ended): the oldest of its stanzas that nobody knows to have arrived, as text
 * in the stream's namespace; borrowed until it is dropped. ptr NULL: no more. *is_sent_r: it may have arrived; false:
 * it never left, and so did all after it. Without stream management, what left counts as arrived: nobody could know
 * more. */
struct slice stream_unacked(const struct session *session, bool *is_sent_r);
void stream_drop_unacked(struct session *session);

/* Reading goes on after the last parked dispatch of the session ended. */
void stream_resume(struct session *session);

/* A connection that is no stream has ended: in the next quiet moment what it leaves is collected and given back. */
void stream_other_ended(struct server *server);

/* T: the tables. Kinds of streams and classes of elements end with NULL; a NULL state is one the kind does not
 * have. */
const char *stream_kind_name(unsigned kind);
unsigned stream_state_count(void);
const char *stream_state_name(unsigned kind, unsigned state);
const char *stream_class_name(unsigned kind, unsigned class);
const char *stream_action_name(unsigned kind, unsigned state, unsigned class);

#endif
