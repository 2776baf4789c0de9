/* Timers in a binary heap, the earliest at its root. They belong to us and not to libev so that the clock can be turned
 * by hand, and because a start or stop then touches nothing but the heap.
 *
 * Always true: heap[i]->place == i + 1; a timer whose place is 0 is not running. */
#include "net/loop.h"

#include "base/mem.h"
#include "net/loop_private.h"

struct timer {
	struct loop *loop;
	loop_fn *fn;
	void *ctx;
	int64_t due_ms;
	size_t place;
};

struct timer *timer_new(struct loop *loop, loop_fn *fn, void *ctx)
{
	struct timer *timer = mem_new(sizeof(*timer));
	*timer = (struct timer){ .loop = loop, .fn = fn, .ctx = ctx };
	return timer;
}

static void put(struct loop *loop, size_t at, struct timer *timer)
{
	loop->heap[at] = timer;
	timer->place = at + 1;
}

static void move_up(struct loop *loop, size_t at, struct timer *timer)
{
	while (at > 0 && loop->heap[(at - 1) / 2]->due_ms > timer->due_ms) {
		put(loop, at, loop->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(loop, at, timer);
}

static void move_down(struct loop *loop, size_t at, struct timer *timer)
{
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= loop->n_timers)
			break;
		if (child + 1 < loop->n_timers && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
			child++;
		if (loop->heap[child]->due_ms >= timer->due_ms)
			break;
		put(loop, at, loop->heap[child]);
		at = child;
	}
	put(loop, at, timer);
}

void timer_start(struct timer *timer, int64_t after_ms)
{
	struct loop *loop = timer->loop;
	timer_stop(timer);
	/* Never due in the turn that starts it, so a timer that restarts itself cannot hold up the turn. */
	timer->due_ms = loop->now_ms + (after_ms > 0 ? after_ms : 1);
	if (loop->n_timers == loop->heap_size) {
		loop->heap_size = loop->heap_size > 0 ? loop->heap_size * 2 : 64;
		loop->heap = mem_resize(loop->heap, loop->heap_size * sizeof(struct timer *));
	}
	move_up(loop, loop->n_timers++, timer);
}

void timer_stop(struct timer *timer)
{
	if (timer->place == 0)
		return;
	struct loop *loop = timer->loop;
	size_t at = timer->place - 1;
	struct timer *last = loop->heap[--loop->n_timers];
	timer->place = 0;
	if (last == timer)
		return;
	if (at > 0 && loop->heap[(at - 1) / 2]->due_ms > last->due_ms)
		move_up(loop, at, last);
	else
		move_down(loop, at, last);
}

bool timer_is_running(const struct timer *timer)
{
	return timer->place != 0;
}

void timer_free(struct timer **timer)
{
	if (*timer == NULL)
		return;
	timer_stop(*timer);
	mem_free(*timer);
	*timer = NULL;
}

void timers_run(struct loop *loop)
{
	while (loop->n_timers > 0 && loop->heap[0]->due_ms <= loop->now_ms) {
		struct timer *timer = loop->heap[0];
		timer_stop(timer);
		loop_dispatch_late(loop);
		timer->fn(timer->ctx); /* which may free it */
	}
}

int64_t timers_next_ms(const struct loop *loop)
{
	return loop->n_timers > 0 ? loop->heap[0]->due_ms : -1;
}
