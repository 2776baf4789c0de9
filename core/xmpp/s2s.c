/* Pairs of domains and links. Looked at for every stanza between servers, so the pair that was found last is tried
 * first. */
#include "xmpp/s2s.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "net/conn.h"
#include "xml/stanza.h"
#include "xml/write.h"
#include "xmpp/host.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"
#include "xmpp/router.h"
#include "xmpp/session.h"
#include "xmpp/stream_private.h"

enum { PAIRS_MAX = 1024, KEY_MAX = 2 * JID_PART_MAX + 1 };

/* The text is OURS " " THEIRS, which no domain can hold: it is the key, and both names. */
struct pair {
	struct session *session;
	uint8_t directions;
	bool is_held;
	uint32_t ours_len, theirs_len;
	char text[];
};

struct s2s {
	struct hash pairs;
	struct pair *last;
	char *remote;
	size_t remote_len;
	uint32_t max_bytes; /* the other side takes no more; 0: unknown */
};

static struct slice pair_ours(const struct pair *pair) { return slice_of(pair->text, pair->ours_len); }

static struct slice pair_theirs(const struct pair *pair)
{
	return slice_of(pair->text + pair->ours_len + 1, pair->theirs_len);
}

static struct slice pair_key(const struct pair *pair)
{
	return slice_of(pair->text, (size_t)pair->ours_len + 1 + pair->theirs_len);
}

static struct s2s *s2s_of(struct session *session)
{
	if (session->s2s == NULL) {
		session->s2s = mem_new(sizeof(*session->s2s));
		hash_init(&session->s2s->pairs, PAIRS_MAX);
	}
	return session->s2s;
}

struct slice s2s_remote(const struct session *session)
{
	return session->s2s != NULL ? slice_of(session->s2s->remote, session->s2s->remote_len) : SLICE_NONE;
}

void s2s_set_remote(struct session *session, struct slice domain)
{
	struct s2s *s2s = s2s_of(session);
	char *old = s2s->remote;
	s2s->remote = mem_copy(domain);
	s2s->remote_len = domain.len;
	mem_free(old);
}

void s2s_set_limit(struct session *session, uint32_t max_bytes)
{
	s2s_of(session)->max_bytes = max_bytes;
}

static struct pair *find_pair(const struct session *session, struct slice ours, struct slice theirs)
{
	struct s2s *s2s = session->s2s;
	if (s2s == NULL)
		return NULL;
	if (s2s->last != NULL && slice_equal(pair_theirs(s2s->last), theirs) && slice_equal(pair_ours(s2s->last), ours))
		return s2s->last;
	char key[KEY_MAX];
	if (ours.len == 0 || theirs.len == 0 || ours.len > JID_PART_MAX || theirs.len > JID_PART_MAX)
		return NULL;
	memcpy(key, ours.ptr, ours.len);
	key[ours.len] = ' ';
	memcpy(key + ours.len + 1, theirs.ptr, theirs.len);
	struct pair *pair = hash_get(&s2s->pairs, slice_of(key, ours.len + 1 + theirs.len));
	if (pair != NULL)
		s2s->last = pair;
	return pair;
}

static struct pair *add_pair(struct session *session, struct slice ours, struct slice theirs)
{
	struct pair *pair = mem_new(sizeof(*pair) + ours.len + 1 + theirs.len);
	pair->session = session;
	pair->ours_len = (uint32_t)ours.len;
	pair->theirs_len = (uint32_t)theirs.len;
	memcpy(pair->text, ours.ptr, ours.len);
	pair->text[ours.len] = ' ';
	memcpy(pair->text + ours.len + 1, theirs.ptr, theirs.len);
	if (hash_set(&s2s_of(session)->pairs, pair_key(pair), pair) == 0)
		return pair;
	mem_free(pair);
	return NULL;
}

int s2s_prove(struct session *session, struct slice ours, struct slice theirs, unsigned directions)
{
	struct host *host = server_host(session->server, ours);
	if (session->is_ended || session->is_closing || host == NULL || theirs.len == 0 || theirs.len > JID_PART_MAX)
		return -1;
	struct pair *pair = find_pair(session, ours, theirs);
	if (pair == NULL && (pair = add_pair(session, ours, theirs)) == NULL)
		return -1;
	pair->directions |= (uint8_t)directions;
	if ((directions & PAIR_OUT) != 0 && hash_get(&host->links, theirs) == NULL
	    && hash_set(&host->links, pair_theirs(pair), pair) != 0)
		return -1;
	if (session->type == SESSION_S2SIN_UNAUTHED)
		session->type = SESSION_S2SIN;
	else if (session->type == SESSION_S2SOUT_UNAUTHED)
		session->type = SESSION_S2SOUT;
	stream_proven(session);
	return 0;
}

bool s2s_is_proven(const struct session *session, struct slice ours, struct slice theirs, unsigned direction)
{
	const struct pair *pair = find_pair(session, ours, theirs);
	return pair != NULL && (pair->directions & direction) != 0;
}

bool s2s_next_pair(const struct session *session, uint32_t *at, struct slice *ours_r, struct slice *theirs_r,
		   unsigned *directions_r)
{
	const struct pair *pair = session->s2s != NULL ? hash_next(&session->s2s->pairs, at) : NULL;
	if (pair == NULL)
		return false;
	*ours_r = pair_ours(pair);
	*theirs_r = pair_theirs(pair);
	*directions_r = pair->directions;
	return true;
}

/* Its connection may be closing while it does not know yet. */
static bool is_leaving(const struct session *session)
{
	return session->is_closing || (session->stream != NULL && conn_is_closing(session->stream->conn));
}

struct session *s2s_link(const struct host *host, struct slice domain)
{
	const struct pair *pair = hash_get(&host->links, domain);
	return pair != NULL && !pair->is_held && !is_leaving(pair->session) ? pair->session : NULL;
}

void s2s_hold(struct session *session, struct slice ours, struct slice theirs, bool is_held)
{
	struct pair *pair = find_pair(session, ours, theirs);
	if (pair != NULL)
		pair->is_held = is_held;
}

bool s2s_is_leaving(const struct host *host, struct slice domain)
{
	const struct pair *pair = hash_get(&host->links, domain);
	return pair != NULL && is_leaving(pair->session);
}

void s2s_session_ended(struct session *session)
{
	struct s2s *s2s = session->s2s;
	if (s2s == NULL)
		return;
	session->s2s = NULL;
	uint32_t at = 0;
	struct pair *pair;
	while ((pair = hash_next(&s2s->pairs, &at)) != NULL) {
		struct host *host = server_host(session->server, pair_ours(pair));
		if (host != NULL && hash_get(&host->links, pair_theirs(pair)) == pair)
			hash_remove(&host->links, pair_theirs(pair));
		mem_free(pair);
	}
	hash_done(&s2s->pairs);
	mem_free(s2s->remote);
	mem_free(s2s);
}

/* ---- stanzas ---- */

void s2s_translate(struct stanza *stanza)
{
	struct el root = stanza_root(stanza), el = root;
	for (;;) {
		bool is_ours = el_in_stream_ns(stanza, el);
		if (is_ours)
			el_set_stream_ns(stanza, el, NS_CLIENT);
		struct el next = is_ours ? el_first(stanza, el) : EL_NONE;
		while (el_is_none(next)) {
			if (el_equal(el, root))
				return;
			next = el_next(stanza, el);
			if (el_is_none(next))
				el = el_parent(stanza, el);
		}
		el = next;
	}
}

/* What a module built as <message xmlns='jabber:client'> means the same as one without xmlns. */
static int send_by(struct session *session, struct stanza *stanza)
{
	struct el root = stanza_root(stanza);
	if (el_in_stream_ns(stanza, root) || !slice_equal(el_own_ns(stanza, root), NS_CLIENT))
		return session_send_on(session, stanza);
	struct stanza *copy = stanza_clone(stanza, root);
	el_set_stream_ns(copy, stanza_root(copy), NS_CLIENT);
	int sent = session_send_on(session, copy);
	stanza_free(&copy);
	return sent;
}

/* Mostly the cheap bound tells that it is not. */
static bool is_too_big(const struct session *session, const struct stanza *stanza)
{
	uint32_t max_bytes = session->s2s->max_bytes;
	if (max_bytes == 0)
		return false;
	size_t bound = write_bound(stanza, stanza_root(stanza));
	if (bound <= max_bytes)
		return false;
	char *text = mem_new(bound);
	size_t len = write_into(text, stanza, stanza_root(stanza), NS_SERVER);
	mem_free(text);
	return len > max_bytes;
}

enum bus_result s2s_route_remote(void *ctx, struct firing *firing)
{
	(void)ctx;
	struct dispatch *dispatch = firing->data;
	struct session *session = s2s_link(dispatch->host, dispatch->env.to.host);
	if (session == NULL)
		return BUS_PASS;
	if (is_too_big(session, dispatch->env.stanza)) {
		char text[96];
		snprintf(text, sizeof(text), "The server of that address takes stanzas of up to %u bytes",
			 session->s2s->max_bytes);
		router_reply_error(dispatch, "modify", "policy-violation", text);
	} else if (send_by(session, dispatch->env.stanza) != 0) {
		router_reply_error(dispatch, "wait", "resource-constraint",
				   "The server of that address does not read what it is sent");
	}
	return BUS_HANDLED;
}
