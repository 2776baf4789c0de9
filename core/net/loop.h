/* The loop and its turn. One pass of libev is one turn: input is read and handled, and only at the turn's end is
 * anything written, freed or collected, in the fixed order of enum turn_step. No callback can find the floor gone. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"

struct loop;
struct timer;
struct watch;

/* What happens at the end of a turn, in this order. Storage commits before outputs are flushed; what is not durable by
 * then holds its output back (hold.h), so nothing is acknowledged that could be lost. net itself fills FLUSH and FREE;
 * the other steps are hooked by other rooms. Hooks of FLUSH run before connections write (so they may still queue),
 * those of FREE after ended connections were freed. */
enum turn_step { TURN_COMMIT, TURN_FLUSH, TURN_FREE, TURN_SCRATCH, TURN_COLLECT, TURN_STEPS };

typedef void loop_fn(void *ctx);

/* One loop per program (specs make more). Ignores SIGPIPE from then on. */
struct loop *loop_new(void);
/* Aborts the connections there still are ("the server stops"); their owners are told at once. Before whoever owns them
 * goes, and not within a turn. */
void loop_abort_conns(struct loop *loop);
/* Does the same. Listeners, timers, watches and workers go before. */
void loop_free(struct loop **loop);

/* Runs turns until loop_stop. The turn in progress is finished, its end included. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Runs one turn: waits for events when may_wait, else only polls. For specs and start-up. */
void loop_turn(struct loop *loop, bool may_wait);

/* What the loop and its connections have done since it was made. */
struct loop_counts {
	struct histogram turns;     /* from the end of the wait to the end of the turn */
	struct histogram commits;   /* of that, TURN_COMMIT, when somebody hooked it */
	struct histogram syncs;     /* from the first write of a batch until the output that waits for it may leave */
	uint64_t accepted, refused; /* connections that came; those that a listener's limits turned away */
	uint64_t handshakes;        /* of TLS, finished */
	uint64_t put_off;           /* times that input had to wait for the next turn (share.h) */
	uint64_t bytes_in, bytes_out;
};
const struct loop_counts *loop_counts(const struct loop *loop);
/* What there is now: connections, and bytes that wait in their queues. Walks over all connections. */
void loop_queues(const struct loop *loop, size_t *conns_r, size_t *bytes_r);

/* Gives back the buffers that wait for their next use. For quiet moments. */
void loop_trim(struct loop *loop);

/* Monotonic milliseconds, read once a turn. */
int64_t loop_now_ms(const struct loop *loop);

/* Keeps fn: called at every turn's end, at that step, in order of registration. */
void loop_on_turn_end(struct loop *loop, enum turn_step step, loop_fn *fn, void *ctx);

/* fn runs once, at the start of the next turn (which is then not waited for), before timers and input. Keeps until
 * then. */
void loop_defer(struct loop *loop, loop_fn *fn, void *ctx);

/* Timers. fn may free or restart its own timer. A timer does not repeat by itself, and never runs in the turn that
 * starts it. */
struct timer *timer_new(struct loop *loop, loop_fn *fn, void *ctx);
void timer_start(struct timer *timer, int64_t after_ms); /* restarts when running */
void timer_stop(struct timer *timer);
bool timer_is_running(const struct timer *timer);
void timer_free(struct timer **timer);

/* Signals, delivered within a turn. Keeps fn for the loop's life. */
void loop_on_signal(struct loop *loop, int signum, loop_fn *fn, void *ctx);

/* A file descriptor that somebody else owns (Lua's watchfd, DNS). events: WATCH_READ | WATCH_WRITE. */
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
typedef void watch_fn(void *ctx, int events);
struct watch *watch_new(struct loop *loop, int fd, int events, watch_fn *fn, void *ctx);
void watch_set(struct watch *watch, int events); /* 0 pauses */
void watch_free(struct watch **watch);

/* T: turn the clock by hand. Moves loop_now_ms and every running timer forward. Once held, nothing else moves it, so
 * that a machine that is slow does not. */
void loop_advance(struct loop *loop, int64_t ms);
void loop_hold(struct loop *loop);

#endif
