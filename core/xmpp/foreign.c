/* What a client stream would do with an element, for sessions without one. */
#include "xmpp/foreign.h"

#include "xml/stanza.h"
#include "xml/write.h"
#include "xmpp/ns.h"
#include "xmpp/router.h"
#include "xmpp/session.h"
#include "xmpp/session_sm.h"
#include "xmpp/stream_private.h"

static const char xmlns[] = " xmlns='jabber:client'";

size_t foreign_write_bound(const struct stanza *stanza)
{
	return write_bound(stanza, stanza_root(stanza)) + sizeof(xmlns);
}

/* So many bytes are written; the name of the root behind the first one is so long. */
static size_t add_xmlns(char *into, size_t len, size_t name_len)
{
	char *behind_name = into + 1 + name_len;
	memmove(behind_name + sizeof(xmlns) - 1, behind_name, len - 1 - name_len);
	memcpy(behind_name, xmlns, sizeof(xmlns) - 1);
	return len + sizeof(xmlns) - 1;
}

size_t foreign_write(char *into, const struct stanza *stanza)
{
	struct el root = stanza_root(stanza);
	struct slice name = el_name(stanza, root), ns = el_own_ns(stanza, root);
	size_t len = write_into(into, stanza, root, NS_CLIENT);
	if (ns.len == 0 || el_in_stream_ns(stanza, root) || slice_equal(ns, NS_CLIENT))
		len = add_xmlns(into, len, name.len);
	return len;
}

size_t foreign_text_bound(struct slice text) { return text.len + sizeof(xmlns); }

size_t foreign_write_text(char *into, struct slice text)
{
	size_t name_len = 0;
	while (1 + name_len < text.len && strchr(" />", text.ptr[1 + name_len]) == NULL)
		name_len++;
	memcpy(into, text.ptr, text.len);
	return add_xmlns(into, text.len, name_len);
}

static enum stream_state state_of(const struct session *session)
{
	if (session->is_closing || session->is_ended)
		return STREAM_CLOSING;
	switch (session->type) {
	case SESSION_C2S_UNAUTHED:
		return STREAM_SECURED; /* its transport never offers TLS: it has it, or SASL offers nothing */
	case SESSION_C2S_UNBOUND:
		return STREAM_AUTHED;
	case SESSION_C2S:
		return STREAM_BOUND;
	default:
		return STREAM_CLOSING;
	}
}

static struct el after(const struct stanza *stanza, struct el el)
{
	struct el next = el_first(stanza, el);
	while (el_is_none(next) && !el_is_none(el)) {
		next = el_next(stanza, el);
		el = el_parent(stanza, el);
	}
	return next;
}

/* Elements in jabber:client are of the content namespace (stanza.h), also those that stood inside of a wrapper. */
static void mark(struct stanza *stanza)
{
	struct el el = stanza_root(stanza);
	while (!el_is_none(el)) {
		bool is_content = slice_equal(el_own_ns(stanza, el), NS_CLIENT);
		if (is_content)
			el_set_stream_ns(stanza, el, NS_CLIENT);
		if (is_content) {
			el = after(stanza, el);
			continue;
		}
		/* What stands below another namespace stays as it is. */
		struct el next = el_next(stanza, el);
		for (struct el up = el_parent(stanza, el); el_is_none(next) && !el_is_none(up); up = el_parent(stanza, up))
			next = el_next(stanza, up);
		el = next;
	}
}

static void fail(struct session *session, const char *condition, const char *text)
{
	session_close(session, condition, text);
}

void foreign_receive(struct session *session, struct stanza **stanza)
{
	server_count(session, *stanza, SERVER_IN);
	if (stream_is_stanza(*stanza, stanza_root(*stanza), NS_CLIENT))
		session_sm_received(session);
	if (session->has_filters) {
		session->server->ops.filter(session, stanza, false);
		if (*stanza == NULL)
			return;
	}
	mark(*stanza);
	static const char unsupported[] = "Nothing here understands that element at this stage";
	enum stream_class class = stream_class_of(&stream_c2s, *stanza);
	switch ((enum stream_action)stream_c2s.table[state_of(session)][class]) {
	case COUNT:
		if (session_sm_handle(session, *stanza))
			break;
		/* fall through */
	case EVENT:
		if (!router_fire_stanza(session, stanza, false))
			fail(session, "unsupported-stanza-type", unsupported);
		break;
	case IQ_EVENT:
		if (!router_fire_stanza(session, stanza, true))
			fail(session, "not-authorized", stream_c2s.unauthorized);
		break;
	case ROUTE:
		router_receive(session, stanza);
		break;
	case NOT_AUTHORIZED:
		fail(session, "not-authorized", stream_c2s.unauthorized);
		break;
	case UNSUPPORTED:
		fail(session, "unsupported-stanza-type", unsupported);
		break;
	case GIVE_UP:
		fail(session, NULL, "the client reported an error");
		break;
	case IGNORE:
	case OPEN:
	case END:
	case ROUTE_LATE:
	case ACTIONS:
		break;
	}
	stanza_free(stanza);
}
