/* The program's state: hosts by name, sessions by id. A session's slot is reused only with a new generation, so an id
 * kept across turns finds its session or nobody. */
#include "xmpp/server.h"

#include "base/mem.h"
#include "net/hold.h"
#include "net/loop.h"
#include "xml/stanza.h"
#include "xmpp/host.h"
#include "xmpp/router.h"
#include "xmpp/server_private.h"
#include "xmpp/session.h"
#include "xmpp/sm_duty.h"

enum { HOSTS_MAX = 4096, SLOTS_MAX = 4 * 1024 * 1024, NO_SLOT = UINT32_MAX };

struct session_slot {
	struct session *session; /* NULL while free */
	uint32_t generation;
	uint32_t next_free;
};

static void free_ended(void *ctx)
{
	session_free_ended(ctx);
	user_free_ended(ctx);
	host_free_ended(ctx);
}

void server_init(struct server *server, struct loop *loop)
{
	*server = (struct server){
		.loop = loop,
		.free_slot = NO_SLOT,
		.options = {
			.c2s_timeout_ms = 30 * 1000,
			.c2s_idle_ms = 5 * 60 * 1000,
			.c2s_close_ms = 5 * 1000,
			.c2s_stanza_bytes = 256 * 1024,
			.c2s_unauthed_stanza_bytes = 8 * 1024,
			.s2s_timeout_ms = 30 * 1000,
			.s2s_idle_ms = 60 * 60 * 1000,
			.s2s_close_ms = 5 * 1000,
			.s2s_stanza_bytes = 512 * 1024,
			.sm_ask_ms = 250,
			.sm_answer_ms = 30 * 1000,
			.s2s_sm = {
				.max_stanzas = 16 * 1024, .max_bytes = 5 << 20, .ask_stanzas = 32, .ask_bytes = 64 << 10,
			},
			.c2s_sm = {
				.max_stanzas = UINT32_MAX, .max_bytes = 8 << 20, .ask_stanzas = 32, .ask_bytes = 64 << 10,
			},
			.c2s_sm_inactive = {
				.max_stanzas = UINT32_MAX, .max_bytes = 8 << 20, .ask_stanzas = 256, .ask_bytes = 256 << 10,
			},
			.c2s_sm_away = { .max_stanzas = 1000, .max_bytes = 2 << 20 },
			.c2s_sm_delay_ms = 30 * 1000,
			.c2s_sm_answer_ms = 60 * 1000,
			.resources_per_user = 10,
			.wait_limit_ms = 5 * 60 * 1000,
		},
	};
	server->sm_budget.max_bytes = 64 << 20;
	server->sm_c2s_budget.max_bytes = SIZE_MAX / 2;
	server->sm_away_budget.max_bytes = 64 << 20;
	list_init(&server->sm_due);
	list_init(&server->acks_due);
	list_init(&server->heard);
	list_init(&server->unsure);
	hash_init(&server->hosts, HOSTS_MAX);
	list_init(&server->sessions);
	list_init(&server->ended);
	list_init(&server->ended_users);
	list_init(&server->ended_hosts);
	list_init(&server->parked);
	list_init(&server->parked_events);
	list_init(&server->awake);
	loop_on_dispatch_end(loop, sm_duty_dispatch_ends, server);
	loop_on_turn_end(loop, TURN_FLUSH, sm_duty_turn_ends, server);
	loop_on_turn_end(loop, TURN_FREE, free_ended, server);
}

void server_done(struct server *server)
{
	struct session *session, *after;
	list_each(session, after, &server->sessions, link)
	{
		if (session->type != SESSION_HOST)
			session_end(session, "server stopped");
	}
	router_abandon(server, NULL);
	uint32_t at = 0;
	struct host *host;
	while ((host = hash_next(&server->hosts, &at)) != NULL) {
		host_free(&host);
		at = 0;
	}
	free_ended(server);
	hash_done(&server->hosts);
	timer_free(&server->sweep);
	mem_free(server->slots);
	server->slots = NULL;
}

static int link_of(const struct session *session)
{
	if (session_is_s2s(session))
		return SERVER_S2S;
	if (session->type == SESSION_COMPONENT || session->type == SESSION_COMPONENT_UNAUTHED)
		return SERVER_COMPONENT;
	return SERVER_C2S;
}

void server_count_stream(struct session *session)
{
	bool is_out = session->type == SESSION_S2SOUT_UNAUTHED;
	if (session->type != SESSION_HOST)
		session->server->streams[is_out ? SERVER_OUT : SERVER_IN][link_of(session)]++;
}

void server_count(struct session *session, const struct stanza *stanza, int way)
{
	struct slice name = el_name(stanza, stanza_root(stanza));
	int kind = SERVER_OTHER;
	if (slice_is(name, "message"))
		kind = SERVER_MESSAGE;
	else if (slice_is(name, "presence"))
		kind = SERVER_PRESENCE;
	else if (slice_is(name, "iq"))
		kind = SERVER_IQ;
	session->server->stanzas[way][link_of(session)][kind]++;
}

struct host *server_host(const struct server *server, struct slice name) { return hash_get(&server->hosts, name); }

struct session *server_session(const struct server *server, struct session_id id)
{
	if (id.generation == 0 || id.index >= server->n_slots || server->slots[id.index].generation != id.generation)
		return NULL;
	return server->slots[id.index].session;
}

struct session *server_session_at(const struct server *server, uint32_t index)
{
	return index < server->n_slots ? server->slots[index].session : NULL;
}

void server_add_session(struct server *server, struct session *session)
{
	if (server->free_slot == NO_SLOT) {
		uint32_t old = server->n_slots, more = old == 0 ? 64 : old;
		if (more > SLOTS_MAX - old)
			more = SLOTS_MAX - old;
		server->slots = mem_resize(server->slots, (old + more) * sizeof(server->slots[0]));
		server->n_slots = old + more;
		for (uint32_t i = server->n_slots; i-- > old;) {
			server->slots[i] = (struct session_slot){ NULL, 0, server->free_slot };
			server->free_slot = i;
		}
	}
	uint32_t index = server->free_slot;
	struct session_slot *slot = &server->slots[index];
	server->free_slot = slot->next_free;
	slot->session = session;
	if (++slot->generation == 0)
		slot->generation = 1;
	session->id = (struct session_id){ index, slot->generation };
	list_add_last(&server->sessions, &session->link);
	server->n_sessions++;
}

void server_remove_session(struct server *server, struct session *session)
{
	struct session_slot *slot = &server->slots[session->id.index];
	slot->session = NULL;
	slot->next_free = server->free_slot;
	server->free_slot = session->id.index;
	list_remove(&session->link);
	server->n_sessions--;
}
