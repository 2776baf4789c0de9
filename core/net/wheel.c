/* Always true: an entry is in the slot of a tick in (tick, tick + WHEEL_SLOTS); the timer is set to the first slot that
 * may hold entries, and stands still when there are none. */
#include "net/wheel_private.h"

#include "net/loop.h"

static void serve(void *ctx);

void wheel_init(struct wheel *wheel, struct loop *loop, wheel_fn *fn)
{
	*wheel = (struct wheel){ .loop = loop, .fn = fn, .timer = timer_new(loop, serve, wheel) };
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&wheel->slots[i]);
}

void wheel_done(struct wheel *wheel)
{
	timer_free(&wheel->timer);
}

void wheel_entry_init(struct wheel_entry *entry)
{
	list_init(&entry->link);
	entry->at_ms = 0;
}

static void arm(struct wheel *wheel, int64_t tick)
{
	wheel->armed_tick = tick;
	timer_start(wheel->timer, tick * WHEEL_TICK_MS - loop_now_ms(wheel->loop));
}

static void arm_next(struct wheel *wheel)
{
	for (int64_t tick = wheel->tick + 1; tick < wheel->tick + WHEEL_SLOTS; tick++) {
		size_t slot = (size_t)tick % WHEEL_SLOTS;
		uint64_t bit = UINT64_C(1) << slot % 64;
		if ((wheel->taken[slot / 64] & bit) == 0)
			continue;
		if (!list_is_empty(&wheel->slots[slot])) {
			arm(wheel, tick);
			return;
		}
		wheel->taken[slot / 64] &= ~bit;
	}
	timer_stop(wheel->timer);
}

static void serve(void *ctx)
{
	struct wheel *wheel = ctx;
	struct list due;
	list_init(&due);
	int64_t now_tick = loop_now_ms(wheel->loop) / WHEEL_TICK_MS;
	for (int i = 1; i < WHEEL_SLOTS && wheel->tick + i <= now_tick; i++)
		list_append(&due, &wheel->slots[(size_t)(wheel->tick + i) % WHEEL_SLOTS]);
	if (now_tick > wheel->tick)
		wheel->tick = now_tick;
	while (!list_is_empty(&due)) {
		struct wheel_entry *entry = list_first(&due, struct wheel_entry, link);
		wheel_forget(wheel, entry);
		wheel->fn(entry);
	}
	arm_next(wheel);
}

void wheel_want(struct wheel *wheel, struct wheel_entry *entry, int64_t at_ms)
{
	if (list_is_linked(&entry->link)) {
		if (entry->at_ms <= at_ms)
			return;
		wheel_forget(wheel, entry);
	}
	if (wheel->count == 0) /* it stood still */
		wheel->tick = loop_now_ms(wheel->loop) / WHEEL_TICK_MS;
	int64_t tick = (at_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
	if (tick <= wheel->tick)
		tick = wheel->tick + 1;
	else if (tick >= wheel->tick + WHEEL_SLOTS)
		tick = wheel->tick + WHEEL_SLOTS - 1;
	size_t slot = (size_t)tick % WHEEL_SLOTS;
	list_add_last(&wheel->slots[slot], &entry->link);
	wheel->taken[slot / 64] |= UINT64_C(1) << slot % 64;
	wheel->count++;
	entry->at_ms = at_ms;
	if (!timer_is_running(wheel->timer) || tick < wheel->armed_tick)
		arm(wheel, tick);
}

void wheel_forget(struct wheel *wheel, struct wheel_entry *entry)
{
	if (!list_is_linked(&entry->link))
		return;
	list_remove(&entry->link);
	wheel->count--;
}
