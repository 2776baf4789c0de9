/* Coarse deadlines for very many things: a wheel of slots, a tenth of a second each.
 *
 * An entry says "look at me at about that time"; it then looks itself whether its deadline has really come, and if not,
 * asks again. So a deadline that moves with every byte received costs nothing until it might be over. */
#ifndef NET_WHEEL_PRIVATE_H
#define NET_WHEEL_PRIVATE_H

#include <stdint.h>

#include "base/list.h"

struct loop;
struct timer;

enum { WHEEL_TICK_MS = 100, WHEEL_SLOTS = 512 };

struct wheel_entry {
	struct list link; /* in no slot: nothing is asked */
	int64_t at_ms;
};

typedef void wheel_fn(struct wheel_entry *entry);

struct wheel {
	struct loop *loop;
	struct timer *timer;
	wheel_fn *fn;
	size_t count;
	int64_t tick; /* slots up to this one were served */
	int64_t armed_tick;
	uint64_t taken[WHEEL_SLOTS / 64]; /* slots that may hold entries */
	struct list slots[WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, struct loop *loop, wheel_fn *fn);
void wheel_done(struct wheel *wheel);

void wheel_entry_init(struct wheel_entry *entry);
/* fn(entry) is called once at or (when at_ms is far away) before at_ms, never more than a tick late. An earlier wish
 * stands. */
void wheel_want(struct wheel *wheel, struct wheel_entry *entry, int64_t at_ms);
void wheel_forget(struct wheel *wheel, struct wheel_entry *entry);

#endif
