/* What stream management owes from one turn to the next, for whoever counts (a stream between servers, a session of a
 * client): an answer to <r/>, and not to take for handled what could not be stored.
 *
 * Always true: an <a/> is said in a later turn than the one in which what it acknowledges was handled, so that is on
 * its way to whom it is for; and it leaves once all that was written until then is durable (net/hold.h), or what could
 * not be stored was told by `lost`. */
#ifndef XMPP_SM_DUTY_H
#define XMPP_SM_DUTY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct server;

struct sm_duty {
	struct list ack_link;   /* server.acks_due */
	struct list heard_link; /* server.heard */
	struct list unsure_link; /* server.unsure */
	uint64_t batches[2];    /* what it has counted waits for these, by their number modulo 2; 0: for none */
	const struct sm_duty_kind *kind;
};

struct sm_duty_kind {
	/* Tells how much was handled. */
	void (*acknowledge)(struct sm_duty *duty);
	/* The dispatch in which sm_duty_heard was called, and all after it, wait for a batch (`which` of two). */
	void (*unsure)(struct sm_duty *duty, unsigned which);
	/* That batch could not be stored. Called at a turn's end, before anything is written: nothing may be sent, nor
	 * anybody told. */
	void (*lost)(struct sm_duty *duty, unsigned which);
};

void sm_duty_init(struct sm_duty *duty, const struct sm_duty_kind *kind);
/* Owes nothing any more. */
void sm_duty_done(struct sm_duty *duty);

/* Was asked: acknowledge is called at the start of the next turn. */
void sm_duty_answer(struct server *server, struct sm_duty *duty);
/* Something came in, or is being kept, that counts. True: for the first time in this dispatch. */
bool sm_duty_heard(struct server *server, struct sm_duty *duty);

/* For server.c: at each dispatch's end; at the turn's end after its commit. ctx is the server. */
void sm_duty_dispatch_ends(void *ctx);
void sm_duty_turn_ends(void *ctx);

#endif
