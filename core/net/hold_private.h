/* The inside of holding output, for net's own files. */
#ifndef NET_HOLD_PRIVATE_H
#define NET_HOLD_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "net/hold.h"

/* Of one connection whose output waits. Positions count all bytes that were ever queued there (conn->sent). */
struct hold {
	struct list link; /* in holding.held */
	struct conn *conn;
	/* By the batch's number modulo 2 (of two at a time, one is odd): what lies behind waits; UINT64_MAX: nothing does. */
	uint64_t at[2];
};

/* Of a loop. */
struct holding {
	uint64_t gathering, syncing; /* numbers; syncing is 0 while no batch is being synced */
	uint64_t first_lost;   /* in this turn; 0: none */
	bool is_gathering;     /* it has something */
	bool is_new;           /* something was written since the last COMMIT step */
	int64_t began_ns[2];   /* by the batch's number modulo 2: when it was first written to */
	uint64_t dispatch;     /* counts */
	uint64_t held;         /* the batch that the running dispatch waits for; 0: none */
	struct conn *origin;   /* of the running dispatch; NULL when nobody's */
	struct conn **written; /* by the running dispatch */
	size_t n_written, written_size;
	struct list held_conns; /* struct hold */
	void (*at_end)(void *ctx); /* of each dispatch; NULL: nobody wants to know */
	void *at_end_ctx;
};

void holding_init(struct holding *holding);
void holding_done(struct holding *holding);

/* Bytes were queued on the connection; before: what was queued there until then. */
void conn_hold_written(struct conn *conn, size_t before);
/* How much of its queue may leave. */
size_t conn_free_bytes(const struct conn *conn);
/* What was queued from `position` on is gone. */
void conn_hold_cut(struct conn *conn, uint64_t position);
/* The connection ends: nothing of it waits any more. */
void conn_hold_forget(struct conn *conn);

#endif
