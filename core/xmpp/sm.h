/* Stream management (XEP-0198): what of a stream's stanzas the other side has handled, and what we have handled of
 * its own. This file counts and keeps; what it says on the wire, and when, is in stream_sm.c (and would be in another
 * transport's file). It knows no stream, no time-out and no Lua.
 *
 * Always true: counters run modulo 2^32, each direction for itself; what was sent and counted is kept, as the bytes
 * that were written, until it is acknowledged; what is sent while nobody counts (the peer cannot, or is not asked
 * yet) is kept until it has left for the socket, or, where somebody begins to count meanwhile, until the first
 * acknowledgement. So when the stream breaks, everything still kept either never left, and may be sent again elsewhere,
 * or may or may not have arrived. What is kept is bounded in stanzas and bytes, and in bytes for all streams
 * together. */
#ifndef XMPP_SM_H
#define XMPP_SM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct sm;

struct sm_limits {
	uint32_t max_stanzas;   /* kept at once */
	size_t max_bytes;
	uint32_t ask_stanzas;   /* sent since the last <r/>: time for another */
	size_t ask_bytes;
};

/* What all streams together keep; its owner sets max_bytes. */
struct sm_budget {
	size_t bytes, max_bytes;
};

/* Borrows both, for its life or until others take their place; limits may change meanwhile. */
struct sm *sm_new(const struct sm_limits *limits, struct sm_budget *budget);
void sm_free(struct sm **sm);
/* What is kept counts in that budget from now on; it may be over both. */
void sm_set_limits(struct sm *sm, const struct sm_limits *limits, struct sm_budget *budget);

/* ---- the agreement (XEP-0198 3). Each gives 0, or -1 when it is not its time; then nothing has changed. ---- */

int sm_enable(struct sm *sm);   /* we send <enable/>: what we send from now on counts */
int sm_enabled(struct sm *sm);  /* <enabled/> came: what they send from now on counts */
int sm_refused(struct sm *sm);  /* <failed/> came: nobody counts */
int sm_accept(struct sm *sm);   /* <enable/> came, we answer <enabled/>: both count */
/* Counters go on from there; for streams that are resumed, and for specs. */
void sm_count_from(struct sm *sm, uint32_t sent, uint32_t handled);

bool sm_counts_out(const struct sm *sm); /* agreed on, so that <r/> may be sent */
bool sm_counts_in(const struct sm *sm);
bool sm_is_awaited(const struct sm *sm); /* we have sent <enable/>, and there is no answer yet */

/* ---- what we send ---- */

/* Whether so many bytes more may be kept. */
bool sm_has_room(const struct sm *sm, size_t bytes);
/* A stanza is being sent: copies it. start and end: where it lies in the connection's output, in bytes since it
 * began; both 0 where that does not matter. */
void sm_sent(struct sm *sm, struct slice text, uint64_t start, uint64_t end);
/* Forgets what need not be kept any more because it has left for the socket: all stanzas before `written`, while nobody
 * counts. */
void sm_forget_written(struct sm *sm, uint64_t written);

enum sm_ack { SM_ACK_OK, SM_ACK_UNEXPECTED, SM_ACK_MALFORMED, SM_ACK_TOO_HIGH };
/* <a h=/> came. h: the attribute, ptr NULL when there is none. */
enum sm_ack sm_acknowledge(struct sm *sm, struct slice h);

/* Asking: so much was sent since the last question that it is time for another, and none is open. */
bool sm_should_ask(const struct sm *sm);
bool sm_may_ask(const struct sm *sm); /* there is something to ask about, and no question is open */
bool sm_is_asked(const struct sm *sm);
void sm_asked(struct sm *sm);
void sm_forget_question(struct sm *sm); /* the connection it was asked on is gone */

uint32_t sm_n_sent(const struct sm *sm);   /* modulo 2^32 */
uint32_t sm_n_unacked(const struct sm *sm); /* of what is kept, where somebody counts */
uint32_t sm_n_kept(const struct sm *sm);   /* with the uncounted ones */
size_t sm_kept_bytes(const struct sm *sm);

/* ---- what they send ---- */

void sm_received(struct sm *sm);  /* a stanza came in */
/* The h to acknowledge with. is_one_open: the last that came is still being handled. Never goes back. */
uint32_t sm_handled(struct sm *sm, bool is_one_open);
uint32_t sm_n_received(const struct sm *sm); /* modulo 2^32 */

/* Takes back what was sent and received since these counts: it turned out that it could not be stored, and none of it
 * has left. */
void sm_rewind(struct sm *sm, uint32_t sent, uint32_t received);

/* ---- what is left when the stream has ended ---- */

/* The oldest kept stanza (borrowed until it is dropped); ptr NULL when there is none. *is_sent_r: of it, something
 * has left for the socket (before `written`), so it may or may not have arrived. Once false, it is false for all
 * after it. */
struct slice sm_first(const struct sm *sm, uint64_t written, bool *is_sent_r);
void sm_drop_first(struct sm *sm);
/* Walk over what is kept, oldest first: start with *at NULL. ptr NULL at the end. *sent_s_r: when it was sent, in
 * seconds since 1970. Nothing may be dropped meanwhile. */
struct sm_kept;
struct slice sm_next(const struct sm *sm, const struct sm_kept **at, double *sent_s_r);
/* Where in the output the first stanza begins of which nothing has left. False when there is none. */
bool sm_first_unsent(const struct sm *sm, uint64_t written, uint64_t *start_r);

#endif
