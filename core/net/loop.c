/* Always true: a turn is one call of loop_turn. Callbacks run only between its start and its end; outputs are written
 * and memory of connections is freed only at its end, in the order of enum turn_step. A turn whose end made more work
 * (an output, an end) is followed by one that does not wait. */
#include "net/loop.h"

#include <assert.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/conn_private.h"
#include "net/loop_private.h"

struct deferred {
	struct list link;
	loop_fn *fn;
	void *ctx;
};

struct on_signal {
	struct ev_signal watcher;
	struct list link;
	loop_fn *fn;
	void *ctx;
};

struct watch {
	struct ev_io io;
	struct loop *loop;
	watch_fn *fn;
	void *ctx;
};

/* A handshake costs about half a millisecond of arithmetic. More than these wait for the next turn, so that a storm of
 * logins leaves room for the sessions there are. */
enum { HANDSHAKES_PER_TURN = 4 };

static void run_deferred(struct loop *loop)
{
	struct list now;
	list_init(&now);
	list_append(&now, &loop->deferred); /* what they defer themselves is for the next turn */
	while (!list_is_empty(&now)) {
		struct deferred *deferred = list_first(&now, struct deferred, link);
		list_remove(&deferred->link);
		loop_dispatch_late(loop);
		deferred->fn(deferred->ctx);
		mem_free(deferred);
	}
}

/* After libev has waited and before any other callback. */
static void start_turn(struct ev_loop *ev, struct ev_check *check, int events)
{
	(void)ev;
	(void)events;
	struct loop *loop = list_entry(check, struct loop, turn_start);
	loop->turn_began_ns = clock_ns();
	if (!loop->is_held)
		loop->now_ms = loop->turn_began_ns / 1000000 + loop->advanced_ms;
	loop->handshakes_left = HANDSHAKES_PER_TURN;
	loop->holding.first_lost = 0;
	loop_dispatch_late(loop);
	run_deferred(loop);
	timers_run(loop);
	shares_go_on(loop);
}

static void wake(struct ev_loop *ev, struct ev_timer *timer, int events)
{
	/* start_turn runs the timers; this only ends the wait. */
	(void)ev;
	(void)timer;
	(void)events;
}

struct loop *loop_new(void)
{
	/* A peer that is gone is an error value of the write that finds out, never a signal. */
	signal(SIGPIPE, SIG_IGN);
	/* Not libev's default loop: that one reaps every child process, also those that Lua's io.popen waits for. */
	struct ev_loop *ev = ev_loop_new(EVFLAG_NOENV);
	assert(ev != NULL && "libev found no way to wait for events");
	struct loop *loop = mem_new(sizeof(*loop));
	loop->ev = ev;
	ev_set_userdata(ev, loop);
	loop->now_ms = clock_ms();
	loop->reserve_fd = -1;
	loop->input = mem_new(INPUT_RAW_BYTES + INPUT_PLAIN_BYTES);
	list_init(&loop->deferred);
	list_init(&loop->signals);
	list_init(&loop->conns);
	list_init(&loop->flush);
	list_init(&loop->dead);
	list_init(&loop->put_off);
	holding_init(&loop->holding);
	wheel_init(&loop->wheel, loop, conn_check_deadlines);
	ev_check_init(&loop->turn_start, start_turn);
	ev_set_priority(&loop->turn_start, EV_MAXPRI);
	ev_check_start(ev, &loop->turn_start);
	ev_timer_init(&loop->next_due, wake, 0, 0);
	return loop;
}

void loop_abort_conns(struct loop *loop)
{
	assert(!loop->is_in_turn);
	do {
		while (!list_is_empty(&loop->conns))
			conn_abort(list_first(&loop->conns, struct conn, all_link), "the server stops");
		conns_free(loop);
	} while (!list_is_empty(&loop->conns));
}

void loop_free(struct loop **where)
{
	struct loop *loop = *where;
	if (loop == NULL)
		return;
	loop_abort_conns(loop);
	wheel_done(&loop->wheel);
	while (!list_is_empty(&loop->deferred)) {
		struct deferred *deferred = list_first(&loop->deferred, struct deferred, link);
		list_remove(&deferred->link);
		mem_free(deferred);
	}
	while (!list_is_empty(&loop->signals)) {
		struct on_signal *on = list_first(&loop->signals, struct on_signal, link);
		list_remove(&on->link);
		ev_signal_stop(loop->ev, &on->watcher);
		mem_free(on);
	}
	for (int step = 0; step < TURN_STEPS; step++)
		mem_free(loop->hooks[step].items);
	holding_done(&loop->holding);
	chunk_pool_done(&loop->chunks);
	if (loop->reserve_fd >= 0)
		close(loop->reserve_fd);
	ev_loop_destroy(loop->ev);
	mem_free(loop->heap);
	mem_free(loop->input);
	mem_free(loop);
	*where = NULL;
}

static bool has_work(const struct loop *loop)
{
	if (!list_is_empty(&loop->deferred) || !list_is_empty(&loop->flush) || !list_is_empty(&loop->dead)
	    || !list_is_empty(&loop->put_off))
		return true;
	/* What the end of the last turn has written (of a session that ended) is committed soon too. */
	return loop->holding.is_new && loop->hooks[TURN_COMMIT].count > 0;
}

/* Tells libev when the first timer is due. True when one is due already. */
static bool arm_next_due(struct loop *loop)
{
	int64_t due_ms = timers_next_ms(loop);
	if (due_ms < 0) {
		ev_timer_stop(loop->ev, &loop->next_due);
		return false;
	}
	if (due_ms <= loop->now_ms)
		return true;
	if (ev_is_active(&loop->next_due) && loop->next_due_ms == due_ms)
		return false;
	/* libev counts from the start of the turn that ended, and so does now_ms. */
	ev_timer_stop(loop->ev, &loop->next_due);
	ev_timer_set(&loop->next_due, (double)(due_ms - loop->now_ms) / 1000.0, 0);
	ev_timer_start(loop->ev, &loop->next_due);
	loop->next_due_ms = due_ms;
	return false;
}

static void end_turn(struct loop *loop)
{
	loop->holding.is_new = false;
	for (int step = 0; step < TURN_STEPS; step++) {
		loop_dispatch_late(loop);
		if (step == TURN_FREE)
			conns_free(loop);
		struct turn_hooks *hooks = &loop->hooks[step];
		int64_t began_ns = step == TURN_COMMIT && hooks->count > 0 ? clock_ns() : 0;
		for (size_t i = 0; i < hooks->count; i++)
			hooks->items[i].fn(hooks->items[i].ctx);
		if (began_ns != 0)
			histogram_add(&loop->counts.commits, clock_ns() - began_ns);
		if (step == TURN_FLUSH)
			conns_flush(loop);
	}
}

void loop_turn(struct loop *loop, bool may_wait)
{
	assert(!loop->is_in_turn);
	loop->is_in_turn = true;
	bool is_due = arm_next_due(loop);
	ev_run(loop->ev, may_wait && !is_due && !has_work(loop) ? EVRUN_ONCE : EVRUN_NOWAIT);
	end_turn(loop);
	histogram_add(&loop->counts.turns, clock_ns() - loop->turn_began_ns);
	loop->is_in_turn = false;
}

void loop_run(struct loop *loop)
{
	while (!loop->is_stopping)
		loop_turn(loop, true);
	loop->is_stopping = false;
}

void loop_trim(struct loop *loop)
{
	chunk_pool_done(&loop->chunks);
}

void loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}

const struct loop_counts *loop_counts(const struct loop *loop)
{
	return &loop->counts;
}

int64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

void loop_advance(struct loop *loop, int64_t ms)
{
	loop->advanced_ms += ms;
	loop->now_ms += ms;
}

void loop_hold(struct loop *loop)
{
	loop->is_held = true;
}

void loop_on_turn_end(struct loop *loop, enum turn_step step, loop_fn *fn, void *ctx)
{
	struct turn_hooks *hooks = &loop->hooks[step];
	hooks->items = mem_resize(hooks->items, (hooks->count + 1) * sizeof(*hooks->items));
	hooks->items[hooks->count++] = (struct turn_hook){ fn, ctx };
}

void loop_defer(struct loop *loop, loop_fn *fn, void *ctx)
{
	struct deferred *deferred = mem_new(sizeof(*deferred));
	deferred->fn = fn;
	deferred->ctx = ctx;
	list_add_last(&loop->deferred, &deferred->link);
}

static void signal_came(struct ev_loop *ev, struct ev_signal *watcher, int events)
{
	(void)events;
	struct on_signal *on = list_entry(watcher, struct on_signal, watcher);
	loop_dispatch_late(ev_userdata(ev));
	on->fn(on->ctx);
}

void loop_on_signal(struct loop *loop, int signum, loop_fn *fn, void *ctx)
{
	struct on_signal *on = mem_new(sizeof(*on));
	on->fn = fn;
	on->ctx = ctx;
	list_add_last(&loop->signals, &on->link);
	ev_signal_init(&on->watcher, signal_came, signum);
	ev_signal_start(loop->ev, &on->watcher);
}

static void watch_is_ready(struct ev_loop *ev, struct ev_io *io, int events)
{
	(void)ev;
	struct watch *watch = list_entry(io, struct watch, io);
	loop_dispatch_late(watch->loop);
	watch->fn(watch->ctx, (events & EV_READ ? WATCH_READ : 0) | (events & EV_WRITE ? WATCH_WRITE : 0));
}

struct watch *watch_new(struct loop *loop, int fd, int events, watch_fn *fn, void *ctx)
{
	struct watch *watch = mem_new(sizeof(*watch));
	watch->loop = loop;
	watch->fn = fn;
	watch->ctx = ctx;
	ev_io_init(&watch->io, watch_is_ready, fd, 0);
	watch_set(watch, events);
	return watch;
}

void watch_set(struct watch *watch, int events)
{
	ev_io_stop(watch->loop->ev, &watch->io);
	int wanted = (events & WATCH_READ ? EV_READ : 0) | (events & WATCH_WRITE ? EV_WRITE : 0);
	ev_io_set(&watch->io, watch->io.fd, wanted);
	if (wanted != 0)
		ev_io_start(watch->loop->ev, &watch->io);
}

void watch_free(struct watch **watch)
{
	if (*watch == NULL)
		return;
	ev_io_stop((*watch)->loop->ev, &(*watch)->io);
	mem_free(*watch);
	*watch = NULL;
}
