/* Always true: of the batch that gathers and the one that is being synced, one number is odd; all others below are
 * over. A conn has a `hold` while something of it waits, or would wait if it were said. Nothing behind a position in a
 * hold has been offered to the socket. */
#include "net/hold.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/conn_private.h"
#include "net/hold_private.h"
#include "net/loop_private.h"

void holding_init(struct holding *holding)
{
	list_init(&holding->held_conns);
	holding->gathering = 1;
}

void holding_done(struct holding *holding)
{
	mem_free(holding->written);
}

/* --- marks -------------------------------------------------------------------------------------------------------- */

uint64_t loop_newest_batch(const struct loop *loop)
{
	const struct holding *holding = &loop->holding;
	return holding->is_gathering ? holding->gathering : holding->syncing;
}

bool loop_is_over(const struct loop *loop, uint64_t batch)
{
	return batch < loop->holding.gathering && (batch == 0 || batch != loop->holding.syncing);
}

uint64_t loop_held_by(const struct loop *loop)
{
	return loop->holding.held;
}

static void mark(struct conn *conn, uint64_t batch, uint64_t position)
{
	if (conn->is_dead)
		return;
	if (conn->hold == NULL) {
		struct hold *hold = mem_new(sizeof(*hold));
		*hold = (struct hold){ .conn = conn, .at = { UINT64_MAX, UINT64_MAX } };
		list_add_last(&conn->loop->holding.held_conns, &hold->link);
		conn->hold = hold;
	}
	uint64_t *at = &conn->hold->at[batch % 2];
	if (position < *at)
		*at = position;
}

void conn_hold_output(struct conn *conn, uint64_t batch)
{
	if (!loop_is_over(conn->loop, batch))
		mark(conn, batch, conn->sent + conn->out.bytes);
}

void conn_hold_written(struct conn *conn, size_t before)
{
	struct holding *holding = &conn->loop->holding;
	if (conn->dispatch != holding->dispatch) {
		conn->dispatch = holding->dispatch;
		conn->kept_bytes = (uint32_t)before;
		if (holding->n_written == holding->written_size) {
			holding->written_size = holding->written_size > 0 ? holding->written_size * 2 : 64;
			holding->written = mem_resize(holding->written, holding->written_size * sizeof(*holding->written));
		}
		holding->written[holding->n_written++] = conn;
	}
	if (holding->held != 0)
		mark(conn, holding->held, conn->sent + conn->kept_bytes);
}

size_t conn_free_bytes(const struct conn *conn)
{
	if (conn->hold == NULL)
		return conn->out.bytes;
	uint64_t first = conn->hold->at[0] < conn->hold->at[1] ? conn->hold->at[0] : conn->hold->at[1];
	uint64_t free_bytes = first > conn->sent ? first - conn->sent : 0;
	return free_bytes < conn->out.bytes ? (size_t)free_bytes : conn->out.bytes;
}

void conn_hold_cut(struct conn *conn, uint64_t position)
{
	for (int i = 0; conn->hold != NULL && i < 2; i++)
		if (conn->hold->at[i] != UINT64_MAX && conn->hold->at[i] > position)
			conn->hold->at[i] = position;
}

void conn_hold_forget(struct conn *conn)
{
	if (conn->hold == NULL)
		return;
	list_remove(&conn->hold->link);
	mem_free(conn->hold);
	conn->hold = NULL;
}

/* --- dispatches --------------------------------------------------------------------------------------------------- */

static void begin(struct loop *loop, struct conn *origin, uint64_t held)
{
	struct holding *holding = &loop->holding;
	if (holding->at_end != NULL)
		holding->at_end(holding->at_end_ctx);
	holding->dispatch++;
	holding->n_written = 0;
	holding->origin = origin;
	holding->held = held;
}

void loop_on_dispatch_end(struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
	loop->holding.at_end = fn;
	loop->holding.at_end_ctx = ctx;
}

void loop_dispatch(struct loop *loop, struct conn *origin)
{
	begin(loop, origin, 0);
}

void loop_dispatch_late(struct loop *loop)
{
	begin(loop, NULL, loop_newest_batch(loop));
}

void output_hold_for(struct loop *loop, uint64_t batch)
{
	struct holding *holding = &loop->holding;
	if (batch <= holding->held || loop_is_over(loop, batch))
		return;
	holding->held = batch;
	if (holding->origin != NULL)
		conn_hold_output(holding->origin, batch);
	for (size_t i = 0; i < holding->n_written; i++)
		mark(holding->written[i], batch, holding->written[i]->sent + holding->written[i]->kept_bytes);
}

uint64_t output_hold(struct loop *loop)
{
	struct holding *holding = &loop->holding;
	uint64_t batch = holding->gathering;
	holding->is_new = true;
	if (!holding->is_gathering) {
		holding->is_gathering = true;
		holding->began_ns[batch % 2] = clock_ns();
	}
	output_hold_for(loop, batch);
	return batch;
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

bool loop_is_gathering(const struct loop *loop)
{
	return loop->holding.is_gathering;
}

bool loop_is_syncing(const struct loop *loop)
{
	return loop->holding.syncing != 0;
}

void loop_seal(struct loop *loop)
{
	assert(loop->holding.syncing == 0);
	loop->holding.syncing = loop->holding.gathering++;
	loop->holding.is_gathering = false;
}

/* The peer could not take what we kept back: its deadlines count from now. */
static void let_go(struct conn *conn)
{
	conn_hold_forget(conn);
	conn->progress_ms = conn->loop->now_ms;
	if (conn->is_closing && !conn->has_said_goodbye)
		conn->deadline_ms = conn->loop->now_ms + conn->linger_ms;
	conn_want_check(conn);
}

void loop_release(struct loop *loop)
{
	struct holding *holding = &loop->holding;
	uint64_t batch = holding->syncing;
	if (batch == 0)
		return;
	holding->syncing = 0;
	histogram_add(&loop->counts.syncs, clock_ns() - holding->began_ns[batch % 2]);
	if (holding->held == batch)
		holding->held = 0;
	struct hold *hold, *after;
	list_each(hold, after, &holding->held_conns, link)
	{
		struct conn *conn = hold->conn;
		hold->at[batch % 2] = UINT64_MAX;
		conn_want_flush(conn);
		if (hold->at[0] == hold->at[1])
			let_go(conn);
	}
}

/* Forgets what the connection was given since `position`, and ends it. */
static void cut(struct conn *conn, uint64_t position, const char *reason)
{
	size_t kept = position > conn->sent ? (size_t)(position - conn->sent) : 0;
	if (kept < conn->out.bytes)
		outq_cut(&conn->out, &conn->loop->chunks, kept);
	if (conn->plain_left > kept)
		conn->plain_left = (uint32_t)kept;
	conn_close(conn, reason);
	conn_want_flush(conn); /* it may have been closing already, and only have waited for this */
}

void loop_take_back_output(struct loop *loop, bool with_synced, const char *reason)
{
	struct holding *holding = &loop->holding;
	uint64_t lost = holding->gathering;
	struct hold *hold, *after;
	list_each(hold, after, &holding->held_conns, link)
	{
		uint64_t *at = &hold->at[lost % 2], *synced = &hold->at[(lost + 1) % 2];
		if (with_synced && *synced < *at)
			*at = *synced;
		if (*at == UINT64_MAX)
			continue;
		struct conn *conn = hold->conn;
		uint64_t position = *at;
		*at = UINT64_MAX;
		if (with_synced || *synced == UINT64_MAX)
			let_go(conn);
		cut(conn, position, reason);
	}
	uint64_t first = with_synced && holding->syncing != 0 ? holding->syncing : lost;
	if (holding->first_lost == 0 || first < holding->first_lost)
		holding->first_lost = first;
	if (with_synced)
		holding->syncing = 0;
	holding->gathering += 2;
	holding->is_gathering = false;
	holding->n_written = 0;
	holding->held = loop_newest_batch(loop);
}

uint64_t loop_first_lost(const struct loop *loop)
{
	return loop->holding.first_lost;
}
