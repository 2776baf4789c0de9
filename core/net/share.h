/* Each connection's share of a turn, so that none of them can keep the others waiting: whoever handles what came in on
 * a connection asks before each piece of work whether there is room for it in this turn. If not, it keeps what is left,
 * reads no more meanwhile (conn_hold_input), and is called in the next turn, in which every other connection has its
 * share too.
 *
 * A share is a number of pieces and a time, whatever ends first; the time is less when many were put off, so that a
 * turn stays short. Nobody is kept from the first piece. */
#ifndef NET_SHARE_H
#define NET_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "net/loop.h"

struct share {
	struct list put_off_link; /* loop's */
	loop_fn *go_on;
	void *ctx;
	int64_t ends_ns;
	uint32_t n_done;
};

/* The most pieces in a share. */
enum { SHARE_PIECES = 64 };

/* In place. Keeps both. */
void share_init(struct share *share, loop_fn *go_on, void *ctx);
/* It belongs to nobody any more. */
void share_done(struct share *share);

/* Something came in, or go_on was called: a new share begins. */
void share_begin(struct share *share);
/* May a further piece be done in this turn? */
bool share_allows(struct share *share, const struct loop *loop);
/* There is more to do: go_on(ctx) will be called once, in the next turn. */
void share_put_off(struct share *share, struct loop *loop);

#endif
