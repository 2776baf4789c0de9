/* See sm_duty.h. Three lists of the server: who was asked, who has counted something in this dispatch, and who has in
 * one that waits for a batch. */
#include "xmpp/sm_duty.h"

#include "net/hold.h"
#include "net/loop.h"
#include "xmpp/server.h"

void sm_duty_init(struct sm_duty *duty, const struct sm_duty_kind *kind)
{
	list_init(&duty->ack_link);
	list_init(&duty->heard_link);
	list_init(&duty->unsure_link);
	duty->kind = kind;
	duty->batches[0] = duty->batches[1] = 0;
}

void sm_duty_done(struct sm_duty *duty)
{
	list_remove(&duty->ack_link);
	list_remove(&duty->heard_link);
	list_remove(&duty->unsure_link);
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

void sm_duty_dispatch_ends(void *ctx)
{
	struct server *server = ctx;
	uint64_t batch = loop_held_by(server->loop);
	while (!list_is_empty(&server->heard)) {
		struct sm_duty *duty = list_first(&server->heard, struct sm_duty, heard_link);
		list_remove(&duty->heard_link);
		if (batch == 0 || duty->batches[batch % 2] == batch)
			continue;
		duty->batches[batch % 2] = batch;
		duty->kind->unsure(duty, batch % 2);
		if (!list_is_linked(&duty->unsure_link))
			list_add_last(&server->unsure, &duty->unsure_link);
	}
}

void sm_duty_turn_ends(void *ctx)
{
	struct server *server = ctx;
	uint64_t first = loop_first_lost(server->loop);
	struct list unsure;
	list_init(&unsure);
	list_append(&unsure, &server->unsure);
	while (!list_is_empty(&unsure)) {
		struct sm_duty *duty = list_first(&unsure, struct sm_duty, unsure_link);
		list_remove(&duty->unsure_link);
		uint64_t lost = 0;
		bool is_unsure = false;
		for (unsigned which = 0; which < 2; which++) {
			uint64_t batch = duty->batches[which];
			if (first != 0 && batch >= first && (lost == 0 || batch < lost))
				lost = batch;
			if (!loop_is_over(server->loop, batch))
				is_unsure = true;
			else
				duty->batches[which] = 0;
		}
		if (is_unsure)
			list_add_last(&server->unsure, &duty->unsure_link);
		if (lost != 0)
			duty->kind->lost(duty, lost % 2);
	}
}
