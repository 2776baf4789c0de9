/* An XML stream over a connection (RFC 6120 4): header, features, restarts, errors, limits and time-outs.
 *
 * What may happen when is one table, [state][element class] -> action, in stream.c; its every cell has a spec. */
#ifndef XMPP_STREAM_H
#define XMPP_STREAM_H

#include <stdbool.h>

#include "base/slice.h"

struct conn;
struct server;
struct session;
struct stanza;
struct tls_context;

/* A client connected: gives it a session and a stream, which live and die with the conn. */
struct session *stream_accept_c2s(struct server *server, struct conn *conn);

struct conn *stream_conn(const struct session *session); /* NULL when it has none */
const char *stream_id(const struct session *session);    /* of the current stream; "" before the header */
bool stream_is_secure(const struct session *session);

/* The next thing the peer sends is a new stream header (after TLS and SASL: RFC 6120 4.3.3). What was read but not yet
 * handled is dropped. */
void stream_reset(struct session *session);
/* Sends <features/> anew? No: sends our header (and features) now; for sessions that open first (s2s). */
int stream_start_tls(struct session *session, struct tls_context *context);

/* Reading goes on after the last parked dispatch of the session ended. */
void stream_resume(struct session *session);

/* T: the table's cell, "STATE" x "class" -> action name; NULL past the end. */
const char *stream_state_name(unsigned state);
const char *stream_class_name(unsigned class);
const char *stream_action_name(unsigned state, unsigned class);

#endif
