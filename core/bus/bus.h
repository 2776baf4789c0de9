/* Who wants to hear of it. A bus (one per host, one for the server) has events by name; an event has hooks in order
 * of priority, equal priority in order of registration. A hook is a function and a pointer: the bus does not know who
 * stands behind it.
 *
 * Always true: hooks may be added and removed while their event is running; a firing sees the hooks that were there
 * when it began, less those removed since. Firing an event without hooks is one compare. Only names we or a module
 * mention become events, so peers cannot make the table grow. */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct bus;
struct event;
struct hook;

enum bus_result {
	BUS_PASS,    /* nobody answered: go on */
	BUS_HANDLED, /* answered: stop here */
	BUS_FAILED,  /* a hook died: stop here, fail closed */
	BUS_WAIT,    /* a hook waits: the firing is parked and goes on with bus_continue */
	BUS_DESCEND  /* a hook wants other events fired before the next hook runs; goes on with bus_continue */
};

/* One firing of one event. Lives where its caller put it; a parked firing must stay where it is until it has ended. */
struct firing {
	struct event_hooks *hooks; /* counted snapshot */
	uint32_t next;             /* index of the hook to run next */
	struct event *event;
	void *data;                /* what the hooks are told of; its type belongs to the event's family */
};

typedef enum bus_result hook_fn(void *ctx, struct firing *firing);

struct bus *bus_new(void);
void bus_free(struct bus **bus);

/* The event of that name, made when new. Lives as long as the bus. */
struct event *bus_event(struct bus *bus, struct slice name);
/* NULL when nobody ever mentioned it. Never adds. */
struct event *bus_find(const struct bus *bus, struct slice name);
/* Walk over all events: uint32_t at = 0. */
struct event *bus_next_event(const struct bus *bus, uint32_t *at);

struct slice event_name(const struct event *event);
uint32_t event_n_hooks(const struct event *event); /* NULL is fine: 0 */

/* Adds a hook. release (may be NULL) is called with ctx when the hook has gone for good. Higher priority runs first.
 * NULL when the event has 4,096 hooks already. */
struct hook *event_hook(struct event *event, double priority, hook_fn *fn, void *ctx, void (*release)(void *ctx));
/* The same for the event of that name, made when new. Unless bus_event named it too, it goes with its last hook, so
 * that whoever waits for an answer under a name used once leaves nothing behind. NULL also when there are 65,536
 * events. */
struct hook *bus_hook(struct bus *bus, struct slice name, double priority, hook_fn *fn, void *ctx,
		      void (*release)(void *ctx));
void hook_remove(struct hook **hook);
void *hook_ctx(const struct hook *hook);
/* Walk over an event's hooks in order: uint32_t at = 0. NULL at the end. */
struct hook *event_next_hook(const struct event *event, uint32_t *at);
hook_fn *hook_function(const struct hook *hook);

/* Takes the snapshot without running anything yet; bus_continue(firing, BUS_PASS) starts. False, and nothing taken,
 * when nobody hooked the event. */
bool bus_prepare(struct firing *firing, struct event *event, void *data);
/* Runs the hooks in order until one does not pass. */
enum bus_result bus_fire(struct firing *firing, struct event *event, void *data);
/* After BUS_WAIT or BUS_DESCEND: that hook has ended with `result`; goes on with the next one where it passed. */
enum bus_result bus_continue(struct firing *firing, enum bus_result result);
/* Ends a firing that waits or descended without running its other hooks. */
void bus_abandon(struct firing *firing);

#endif
