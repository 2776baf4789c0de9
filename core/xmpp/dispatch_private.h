/* What the parts of the router share: router.c (the stages), envelope.c (what is computed once), session_event.c
 * (events about sessions) and delivery.c (the rules of RFC 6121 8). */
#ifndef XMPP_DISPATCH_PRIVATE_H
#define XMPP_DISPATCH_PRIVATE_H

#include <stdbool.h>

#include "base/slice.h"
#include "xmpp/router.h"

/* ---- envelope.c ---- */

/* False when it is no message, presence or iq, or an iq without a valid type. */
bool envelope_find_kind(const struct stanza *stanza, enum stanza_kind *kind_r);
/* The same, and false when it is not made as RFC 6120 8.1.3 and 8.2.3 and RFC 6121 4.7.1 want. */
bool envelope_is_well_made(const struct stanza *stanza, enum stanza_kind *kind_r);
/* Parses an address into memory of the dispatch, so that hooks may change the stanza. False when it is no JID. */
bool envelope_keep_jid(struct slice text, char into[JID_MAX], struct jid *jid_r);
/* Moves the parts of a JID there. */
void envelope_keep_parts(struct jid *jid, char into[JID_MAX]);
/* Fills env.to and target from the stanza's address. False when it is not a JID. */
bool envelope_address(struct dispatch *dispatch);

/* ---- router.c ---- */

/* Reading from a session stops while something of it waits. Each pause is taken back once; the session may be gone by
 * then. */
void dispatch_pause(struct session *session);
void dispatch_unpause(struct server *server, struct session_id id);

enum { EVENT_NAME_MAX = 1024 };

/* Writes PREFIX + NAMESPACE ":" + NAME ("iq-get/bare/urn:xmpp:ping:ping"); without a namespace no colon. Empty when it
 * would be longer than any hooked name. */
struct slice dispatch_event_name(char into[EVENT_NAME_MAX], const char *prefix, struct slice ns, struct slice name);

/* ---- session_event.c ---- */

/* Gives up the events about sessions that wait on the host (NULL: all). */
void dispatch_abandon_events(struct server *server, const struct host *host);

#endif
