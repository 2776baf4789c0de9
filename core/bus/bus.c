/* Events and hooks. An event's hooks sit in a counted array; a firing holds a count of the array it began with, and a
 * change made while somebody holds it makes a new array (copy on write). A removed hook stays allocated, marked dead,
 * until the last array that names it is gone, and so does the event of such an array. */
#include "bus/bus.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"

enum { EVENTS_MAX = 65536, HOOKS_MAX = 4096 };

struct hook {
	struct event *event;
	hook_fn *fn; /* NULL once removed */
	void *ctx;
	void (*release)(void *ctx);
	double priority;
	uint32_t holders; /* arrays that name it */
};

struct event_hooks {
	struct event *event;
	uint32_t holders; /* the event and every firing */
	uint32_t count;
	struct hook *at[];
};

struct event {
	struct bus *bus;           /* NULL once that is gone */
	struct event_hooks *hooks; /* NULL while there are none */
	uint32_t arrays;           /* arrays that name it, old ones included */
	bool is_kept;              /* bus_event gave it away: it lives as long as the bus */
	size_t name_len;
	char name[];
};

struct bus {
	struct hash events;
};

struct bus *bus_new(void)
{
	struct bus *bus = mem_new(sizeof(*bus));
	hash_init(&bus->events, EVENTS_MAX);
	return bus;
}

static void release_hook(struct hook *hook)
{
	if (--hook->holders > 0)
		return;
	if (hook->release != NULL)
		hook->release(hook->ctx);
	mem_free(hook);
}

/* Frees the event if nobody can reach it any more. */
static void tidy_event(struct event *event)
{
	if (event->arrays > 0 || (event->bus != NULL && event->is_kept))
		return;
	if (event->bus != NULL)
		hash_remove(&event->bus->events, event_name(event));
	mem_free(event);
}

static void release_hooks(struct event_hooks *hooks)
{
	if (hooks == NULL || --hooks->holders > 0)
		return;
	struct event *event = hooks->event;
	for (uint32_t i = 0; i < hooks->count; i++)
		release_hook(hooks->at[i]);
	mem_free(hooks);
	event->arrays--;
	tidy_event(event);
}

void bus_free(struct bus **bus)
{
	if (*bus == NULL)
		return;
	uint32_t at = 0;
	struct event *event;
	while ((event = hash_next(&(*bus)->events, &at)) != NULL) {
		hash_remove(&(*bus)->events, event_name(event));
		event->bus = NULL;
		struct event_hooks *hooks = event->hooks;
		event->hooks = NULL;
		for (uint32_t i = 0; hooks != NULL && i < hooks->count; i++)
			hooks->at[i]->fn = NULL;
		if (hooks != NULL)
			release_hooks(hooks);
		else
			tidy_event(event);
	}
	hash_done(&(*bus)->events);
	mem_free(*bus);
	*bus = NULL;
}

struct event *bus_find(const struct bus *bus, struct slice name) { return hash_get(&bus->events, name); }

/* The event of that name, made when new; NULL when there are too many. */
static struct event *find_or_make(struct bus *bus, struct slice name)
{
	struct event *event = bus_find(bus, name);
	if (event != NULL)
		return event;
	event = mem_new(sizeof(*event) + name.len + 1);
	event->bus = bus;
	memcpy(event->name, name.ptr, name.len);
	event->name_len = name.len;
	if (hash_set(&bus->events, event_name(event), event) == 0)
		return event;
	mem_free(event);
	return NULL;
}

struct event *bus_event(struct bus *bus, struct slice name)
{
	struct event *event = find_or_make(bus, name);
	assert(event != NULL); /* only the core keeps events, and not that many */
	event->is_kept = true;
	return event;
}

struct event *bus_next_event(const struct bus *bus, uint32_t *at) { return hash_next(&bus->events, at); }
struct slice event_name(const struct event *event) { return slice_of(event->name, event->name_len); }

uint32_t event_n_hooks(const struct event *event)
{
	return event != NULL && event->hooks != NULL ? event->hooks->count : 0;
}

/* The event's hooks as an array of its own with `added` (may be NULL) put in its place and `removed` left out. */
static void change_hooks(struct event *event, struct hook *added, const struct hook *removed)
{
	struct event_hooks *old = event->hooks;
	uint32_t old_count = old != NULL ? old->count : 0;
	struct event_hooks *new = mem_new(sizeof(*new) + (old_count + 1) * sizeof(new->at[0]));
	for (uint32_t i = 0; i < old_count; i++) {
		struct hook *hook = old->at[i];
		if (hook == removed)
			continue;
		if (added != NULL && added->priority > hook->priority) {
			new->at[new->count++] = added;
			added = NULL;
		}
		new->at[new->count++] = hook;
	}
	if (added != NULL)
		new->at[new->count++] = added;
	for (uint32_t i = 0; i < new->count; i++)
		new->at[i]->holders++;
	new->holders = 1;
	new->event = event;
	event->hooks = new;
	event->arrays++;
	if (new->count == 0) {
		event->hooks = NULL;
		event->arrays--;
		mem_free(new);
	}
	release_hooks(old); /* last: without hooks, the event may go */
}

struct hook *event_hook(struct event *event, double priority, hook_fn *fn, void *ctx, void (*release)(void *ctx))
{
	if (event_n_hooks(event) >= HOOKS_MAX)
		return NULL;
	struct hook *hook = mem_new(sizeof(*hook));
	*hook = (struct hook){ .event = event, .fn = fn, .ctx = ctx, .release = release, .priority = priority };
	change_hooks(event, hook, NULL);
	return hook;
}

struct hook *bus_hook(struct bus *bus, struct slice name, double priority, hook_fn *fn, void *ctx,
		      void (*release)(void *ctx))
{
	struct event *event = find_or_make(bus, name);
	return event != NULL ? event_hook(event, priority, fn, ctx, release) : NULL;
}

void hook_remove(struct hook **hook)
{
	if (*hook == NULL)
		return;
	struct hook *gone = *hook;
	*hook = NULL;
	gone->fn = NULL;
	change_hooks(gone->event, NULL, gone);
}

void *hook_ctx(const struct hook *hook) { return hook->ctx; }
hook_fn *hook_function(const struct hook *hook) { return hook->fn; }

struct hook *event_next_hook(const struct event *event, uint32_t *at)
{
	if (*at >= event_n_hooks(event))
		return NULL;
	return event->hooks->at[(*at)++];
}

/* Runs from firing->next on; gives up the snapshot unless a hook waits. */
static enum bus_result run(struct firing *firing)
{
	enum bus_result result = BUS_PASS;
	while (result == BUS_PASS && firing->next < firing->hooks->count) {
		struct hook *hook = firing->hooks->at[firing->next++];
		if (hook->fn != NULL)
			result = hook->fn(hook->ctx, firing);
	}
	if (result != BUS_WAIT && result != BUS_DESCEND) {
		release_hooks(firing->hooks);
		firing->hooks = NULL;
	}
	return result;
}

bool bus_prepare(struct firing *firing, struct event *event, void *data)
{
	if (event == NULL || event->hooks == NULL)
		return false;
	*firing = (struct firing){ .hooks = event->hooks, .event = event, .data = data };
	firing->hooks->holders++;
	return true;
}

enum bus_result bus_fire(struct firing *firing, struct event *event, void *data)
{
	return bus_prepare(firing, event, data) ? run(firing) : BUS_PASS;
}

enum bus_result bus_continue(struct firing *firing, enum bus_result result)
{
	assert(firing->hooks != NULL && result != BUS_WAIT && result != BUS_DESCEND);
	if (result == BUS_PASS)
		return run(firing);
	bus_abandon(firing);
	return result;
}

void bus_abandon(struct firing *firing)
{
	release_hooks(firing->hooks);
	firing->hooks = NULL;
}
