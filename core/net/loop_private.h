/* The inside of the loop, for net's own files. */
#ifndef NET_LOOP_PRIVATE_H
#define NET_LOOP_PRIVATE_H

#include <ev.h>
#include <stddef.h>

#include "base/list.h"
#include "net/hold_private.h"
#include "net/loop.h"
#include "net/outq.h"
#include "net/wheel_private.h"

struct turn_hook {
	loop_fn *fn;
	void *ctx;
};

struct turn_hooks {
	struct turn_hook *items;
	size_t count;
};

/* The one read buffer of all connections: what the socket gave, and behind it what TLS made of it. A record that was
 * begun in an earlier turn can add up to 16 KiB to the plaintext of one read. */
enum { INPUT_RAW_BYTES = 16 * 1024, INPUT_PLAIN_BYTES = 48 * 1024 };

struct loop {
	struct ev_loop *ev;
	struct ev_check turn_start;
	struct ev_timer next_due; /* wakes us for the first timer of the heap */
	int64_t next_due_ms;
	int64_t now_ms, advanced_ms;
	bool is_stopping, is_in_turn, is_held;
	int64_t turn_began_ns;
	struct loop_counts counts;

	struct timer **heap; /* running timers, the earliest first */
	size_t n_timers, heap_size;

	struct list deferred, signals;
	struct turn_hooks hooks[TURN_STEPS];

	/* Connections: all that live, those with output of this turn, those that end with it. */
	struct list conns, flush, dead;
	struct list put_off; /* shares (share.h) that go on in the next turn */
	unsigned n_put_off;  /* that had been, at the start of this turn */
	struct chunk_pool chunks;
	struct wheel wheel;
	struct holding holding;
	struct slice tls_input;   /* what the connection being served may still decrypt */
	unsigned handshakes_left; /* in this turn */
	int reserve_fd;           /* given up for a moment to turn peers away when descriptors are out; -1: none */
	char *input;              /* INPUT_RAW_BYTES + INPUT_PLAIN_BYTES */
};

/* timer.c: runs what is due; when the first timer is due, -1: none runs. */
void timers_run(struct loop *loop);
int64_t timers_next_ms(const struct loop *loop);

/* share.c: those that were put off in the last turn. */
void shares_go_on(struct loop *loop);

/* conn.c: the two steps of a turn's end that net fills itself. */
void conns_flush(struct loop *loop);
void conns_free(struct loop *loop);

#endif
