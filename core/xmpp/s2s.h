/* Which pairs of domains (a host of ours, another domain) a stream between servers is proven for, in which
 * direction, and which stream carries what a host of ours sends to another domain.
 *
 * Always true: a link (host, domain) names a live session that is proven outwards for that pair; a session that
 * ends takes its pairs and links along. Modules decide what is a proof; the core only keeps it and looks it up, for
 * every stanza. */
#ifndef XMPP_S2S_H
#define XMPP_S2S_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "bus/bus.h"

struct host;
struct session;
struct stanza;

enum { PAIR_IN = 1, PAIR_OUT = 2 }; /* they may send to us; we may send to them */

/* The domain at the other end as the stream's header names it; empty while unknown. */
struct slice s2s_remote(const struct session *session);
void s2s_set_remote(struct session *session, struct slice domain); /* prepared; copied */

/* From now on the session is authenticated and stanzas of that pair are taken (PAIR_IN), or what `ours` sends to
 * `theirs` goes this way unless another stream does it already (PAIR_OUT). Names are prepared. -1 when there are
 * too many pairs. */
int s2s_prove(struct session *session, struct slice ours, struct slice theirs, unsigned directions);
bool s2s_is_proven(const struct session *session, struct slice ours, struct slice theirs, unsigned direction);
/* Walk over the pairs: uint32_t at = 0. False at the end. */
bool s2s_next_pair(const struct session *session, uint32_t *at, struct slice *ours_r, struct slice *theirs_r,
		   unsigned *directions_r);

/* The stream for stanzas from that host to a domain, NULL when there is none. */
struct session *s2s_link(const struct host *host, struct slice domain);
/* While held, that pair's link stays out of use (s2s_link gives NULL): what waited for it is being sent first. */
void s2s_hold(struct session *session, struct slice ours, struct slice theirs, bool is_held);
/* There was one, and it is being closed: what was sent on it may still arrive, so what follows has to wait. */
bool s2s_is_leaving(const struct host *host, struct slice domain);

/* The other side takes no stanza of more bytes (XEP-0478); 0: it has not said. */
void s2s_set_limit(struct session *session, uint32_t max_bytes);

/* A stanza is now as if it had come from a client: what stands in jabber:server stands in jabber:client (RFC 6120
 * 4.8.3). */
void s2s_translate(struct stanza *stanza);

/* For route/remote: sends by the link, if there is one. What is too big for the other side is answered with
 * policy-violation (XEP-0478 5). */
enum bus_result s2s_route_remote(void *ctx, struct firing *firing);

/* For session.c: forgets what belongs to it. Harmless for other sessions. */
void s2s_session_ended(struct session *session);

#endif
