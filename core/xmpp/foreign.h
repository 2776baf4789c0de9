/* Elements that come over a transport that is no stream of ours (WebSocket, BOSH). What may come when is the table of
 * client streams, so such a session can do nothing that one over TCP cannot. */
#ifndef XMPP_FOREIGN_H
#define XMPP_FOREIGN_H

#include <stddef.h>

#include "base/slice.h"

struct session;
struct stanza;

/* Text of a stanza that stands alone, with its namespace (RFC 7395 3.3.3, XEP-0206 10): into memory of at least
 * foreign_write_bound bytes; gives the bytes used. */
size_t foreign_write_bound(const struct stanza *stanza);
size_t foreign_write(char *into, const struct stanza *stanza);
/* The same for a stanza that was already written, as a client stream would have it. */
size_t foreign_text_bound(struct slice text);
size_t foreign_write_text(char *into, struct slice text);

/* An element that a client sent, as the root of a stanza of its own. Takes it. Not while something of the session waits
 * (session.n_parked): its transport keeps what comes meanwhile, and hears of the end (struct transport.resumed). */
void foreign_receive(struct session *session, struct stanza **stanza);

#endif
