/* Events about sessions: fired on a bus as stanzas are, parked when a hook waits. */
#include <assert.h>

#include "base/mem.h"
#include "xml/stanza.h"
#include "xmpp/dispatch_private.h"
#include "xmpp/session.h"

/* One that waits. */
struct parked_event {
	struct session_event event;
	struct firing firing;
	struct server *server;
	struct host *host; /* NULL: on the server's bus */
	struct list link;  /* server.parked_events */
};

static void end_session_event(struct server *server, struct session_event *event)
{
	if (event->lua != NULL)
		server->ops.event_ended(server, event);
	stanza_free(&event->features);
	stanza_free(&event->stanza);
}

static void end_parked_event(struct parked_event *parked)
{
	struct session *session = parked->event.session;
	end_session_event(parked->server, &parked->event);
	list_remove(&parked->link);
	mem_free(parked);
	session->n_parked_events--;
	dispatch_unpause(session->server, session->id);
}

void dispatch_abandon_events(struct server *server, const struct host *host)
{
	struct parked_event *parked, *after;
	bool found;
	do {
		found = false;
		list_each(parked, after, &server->parked_events, link)
		{
			if (host != NULL && parked->host != host)
				continue;
			found = true;
			server->ops.parked(parked->event.waiter, NULL, NULL);
			bus_abandon(&parked->firing);
			end_parked_event(parked);
			break;
		}
	} while (found);
}

static void resume_event(void *ctx, enum bus_result result)
{
	struct parked_event *parked = ctx;
	result = bus_continue(&parked->firing, result);
	if (result == BUS_WAIT) {
		parked->server->ops.parked(parked->event.waiter, resume_event, parked);
		return;
	}
	if (parked->event.done != NULL && !parked->event.session->is_ended)
		parked->event.done(&parked->event, result);
	end_parked_event(parked);
}

static void park_event(struct session *session, const struct session_event *event, const struct firing *firing)
{
	struct parked_event *parked = mem_new(sizeof(*parked));
	*parked = (struct parked_event){ *event, *firing, session->server, session->host, { NULL, NULL } };
	parked->firing.data = &parked->event;
	parked->event.error = NULL; /* borrowed; the hook that waits has made what Lua sees of it */
	list_init(&parked->link);
	list_add_last(&session->server->parked_events, &parked->link);
	session->n_parked_events++;
	dispatch_pause(session);
	session->server->ops.parked(parked->event.waiter, resume_event, parked);
}

enum bus_result router_fire_session(struct session *session, const char *event, struct session_event *data)
{
	struct bus *bus = session->host != NULL ? session->host->bus : session->server->bus;
	struct event *found = bus != NULL ? bus_find(bus, slice_of_str(event)) : NULL;
	struct firing firing;
	enum bus_result result = bus_fire(&firing, found, data);
	assert(result != BUS_DESCEND); /* only stanzas have events below their own */
	if (result == BUS_WAIT) {
		park_event(session, data, &firing);
		data->lua = NULL; /* these belong to the copy now */
		data->features = data->stanza = NULL;
		return BUS_WAIT;
	}
	if (data->done != NULL && !session->is_ended)
		data->done(data, result);
	end_session_event(session->server, data);
	return result;
}
