/* See sm_duty.h. Two lists of the server: who was asked, and who has counted something in this turn. */
#include "xmpp/sm_duty.h"

#include "net/loop.h"
#include "xmpp/server.h"

void sm_duty_init(struct sm_duty *duty, const struct sm_duty_kind *kind)
{
	list_init(&duty->ack_link);
	list_init(&duty->heard_link);
	duty->kind = kind;
}

void sm_duty_done(struct sm_duty *duty)
{
	list_remove(&duty->ack_link);
	list_remove(&duty->heard_link);
}

static void acknowledge_all(void *ctx)
{
	struct server *server = ctx;
	while (!list_is_empty(&server->acks_due)) {
		struct sm_duty *duty = list_first(&server->acks_due, struct sm_duty, ack_link);
		list_remove(&duty->ack_link);
		duty->kind->acknowledge(duty);
	}
}

void sm_duty_answer(struct server *server, struct sm_duty *duty)
{
	if (list_is_linked(&duty->ack_link))
		return;
	if (list_is_empty(&server->acks_due))
		loop_defer(server->loop, acknowledge_all, server);
	list_add_last(&server->acks_due, &duty->ack_link);
}

bool sm_duty_heard(struct server *server, struct sm_duty *duty)
{
	if (list_is_linked(&duty->heard_link))
		return false;
	list_add_last(&server->heard, &duty->heard_link);
	return true;
}

void sm_duty_turn_ends(void *ctx)
{
	struct server *server = ctx;
	bool is_lost = loop_taken_back(server->loop) != server->n_taken_back;
	server->n_taken_back = loop_taken_back(server->loop);
	while (!list_is_empty(&server->heard)) {
		struct sm_duty *duty = list_first(&server->heard, struct sm_duty, heard_link);
		list_remove(&duty->heard_link);
		if (is_lost)
			duty->kind->lost(duty);
	}
}
