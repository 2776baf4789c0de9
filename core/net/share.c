/* Always true: a share is in loop->put_off exactly while go_on is due. */
#include "net/share.h"

#include "base/clock.h"
#include "net/loop_private.h"

/* A piece costs 4 microseconds where no Lua is needed, and 20 to 50 with it. */
enum { ALL_NS = 2000000, MOST_NS = 400000, LEAST_NS = 50000 };

void share_init(struct share *share, loop_fn *go_on, void *ctx)
{
	*share = (struct share){ .go_on = go_on, .ctx = ctx };
	list_init(&share->put_off_link);
}

void share_done(struct share *share)
{
	list_remove(&share->put_off_link);
}

void share_begin(struct share *share)
{
	list_remove(&share->put_off_link);
	share->n_done = 0;
}

/* All that were put off share a turn. */
static int64_t time_ns(const struct loop *loop)
{
	int64_t ns = loop->n_put_off > 0 ? ALL_NS / (int64_t)loop->n_put_off : ALL_NS;
	return ns > MOST_NS ? MOST_NS : ns < LEAST_NS ? LEAST_NS : ns;
}

bool share_allows(struct share *share, const struct loop *loop)
{
	/* The clock is not asked for the one piece that mostly comes. */
	if (share->n_done == 1)
		share->ends_ns = clock_ns() + time_ns(loop);
	else if (share->n_done == SHARE_PIECES || (share->n_done > 1 && clock_ns() >= share->ends_ns))
		return false;
	share->n_done++;
	return true;
}

void share_put_off(struct share *share, struct loop *loop)
{
	loop->counts.put_off++;
	list_remove(&share->put_off_link);
	list_add_last(&loop->put_off, &share->put_off_link);
}

void shares_go_on(struct loop *loop)
{
	struct list now;
	list_init(&now);
	list_append(&now, &loop->put_off);
	loop->n_put_off = 0;
	for (const struct list *at = now.next; at != &now; at = at->next)
		loop->n_put_off++;
	while (!list_is_empty(&now)) {
		struct share *share = list_first(&now, struct share, put_off_link);
		list_remove(&share->put_off_link);
		share->go_on(share->ctx);
	}
}
