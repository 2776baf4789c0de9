/* How long calls into Lua take, by what they run: the name of an event, "timer", "onincoming" ... Off until somebody
 * wants to know; then each call costs one look-up more.
 *
 * Always true: there are at most CALL_NAMES_MAX names. Events used once (answers to one iq) count under what they have
 * in common, and what comes when all names are taken counts as "other". */
#ifndef LUA_TIMES_H
#define LUA_TIMES_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/histogram.h"

enum { CALL_NAMES_MAX = 1024 };

struct call_times {
	struct histogram histogram;
	const char *name; /* NUL-terminated, right behind */
};

/* Zeroed: off. */
struct times {
	struct hash calls; /* name -> struct call_times */
	bool is_on;
};

/* On makes them begin; off keeps what was counted. */
void times_switch(struct times *times, bool on);
/* Where calls of that name are counted; NULL while off. Lives as long as `times`. */
struct histogram *times_of(struct times *times, const char *name);
/* Walk: uint32_t at = 0; NULL at the end. */
const struct call_times *times_next(const struct times *times, uint32_t *at);
void times_done(struct times *times);

#endif
