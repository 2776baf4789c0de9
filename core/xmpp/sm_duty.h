/* What stream management owes from one turn to the next, for whoever counts (a stream between servers, a session of a
 * client): an answer to <r/>, and not to take for handled what could not be stored.
 *
 * Always true: an <a/> leaves in a later turn than the one in which what it acknowledges was handled, so that is
 * committed and on its way to whom it is for, or that turn could not be stored and `lost` was called. */
#ifndef XMPP_SM_DUTY_H
#define XMPP_SM_DUTY_H

#include <stdbool.h>

#include "base/list.h"

struct server;

struct sm_duty {
	struct list ack_link;   /* server.acks_due */
	struct list heard_link; /* server.heard */
	const struct sm_duty_kind *kind;
};

struct sm_duty_kind {
	/* Tells how much was handled. */
	void (*acknowledge)(struct sm_duty *duty);
	/* The turn in which sm_duty_heard was called could not be stored. Called at its end, before anything is written:
	 * nothing may be sent, nor anybody told. */
	void (*lost)(struct sm_duty *duty);
};

void sm_duty_init(struct sm_duty *duty, const struct sm_duty_kind *kind);
/* Owes nothing any more. */
void sm_duty_done(struct sm_duty *duty);

/* Was asked: acknowledge is called at the start of the next turn. */
void sm_duty_answer(struct server *server, struct sm_duty *duty);
/* Something came in, or is being kept, that counts. True: for the first time in this turn. */
bool sm_duty_heard(struct server *server, struct sm_duty *duty);

/* For server.c, at the turn's end after its commit; ctx is the server. */
void sm_duty_turn_ends(void *ctx);

#endif
