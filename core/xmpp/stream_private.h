/* What session.c and router.c ask of stream.c beyond stream.h. All are harmless for sessions without a stream. */
#ifndef XMPP_STREAM_PRIVATE_H
#define XMPP_STREAM_PRIVATE_H

struct session;

/* SASL succeeded: wider limits, a new header is expected once stream_reset is called. */
void stream_authenticated(struct session *session);
/* A resource was bound: stanzas may flow, the negotiation deadline is over. */
void stream_bound(struct session *session);
/* The session has ended; the stream says goodbye if it has not, and goes with its conn. */
void stream_session_ended(struct session *session);
/* A dispatch of this session waits: no further input until stream_resume. */
void stream_pause(struct session *session);

#endif
