/* Preparing an envelope: is it a stanza, is it made as RFC 6120 wants, and where does it go? */
#include <string.h>

#include "xml/stanza.h"
#include "xmpp/dispatch_private.h"
#include "xmpp/session.h"

bool envelope_find_kind(const struct stanza *stanza, enum stanza_kind *kind_r)
{
	struct el root = stanza_root(stanza);
	struct slice name = el_name(stanza, root), type = el_attr(stanza, root, SLICE("type"));
	if (slice_is(name, "message"))
		*kind_r = STANZA_MESSAGE;
	else if (slice_is(name, "presence"))
		*kind_r = STANZA_PRESENCE;
	else if (!slice_is(name, "iq"))
		return false;
	else if (slice_is(type, "get"))
		*kind_r = STANZA_IQ_GET;
	else if (slice_is(type, "set"))
		*kind_r = STANZA_IQ_SET;
	else if (slice_is(type, "result"))
		*kind_r = STANZA_IQ_RESULT;
	else if (slice_is(type, "error"))
		*kind_r = STANZA_IQ_ERROR;
	else
		return false;
	return true;
}

/* RFC 6120 8.1.3, 8.2.3: an id; exactly one child in a request, at most one in a result. */
static bool is_iq_well_made(const struct stanza *stanza, enum stanza_kind kind)
{
	struct el root = stanza_root(stanza);
	if (el_attr(stanza, root, SLICE("id")).len == 0)
		return false;
	uint32_t children = el_count(stanza, root);
	if (kind == STANZA_IQ_GET || kind == STANZA_IQ_SET)
		return children == 1;
	return kind == STANZA_IQ_ERROR || children <= 1;
}

/* RFC 6121 4.7.1: the values presence may have; messages of unknown type are normal ones (5.2.2). */
static bool is_known_presence_type(struct slice type)
{
	static const char *const known[] = { "unavailable", "subscribe",    "subscribed", "unsubscribe",
					     "unsubscribed", "probe", "error" };
	if (type.ptr == NULL)
		return true;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (slice_equal(type, slice_of_str(known[i])))
			return true;
	}
	return false;
}

bool envelope_is_well_made(const struct stanza *stanza, enum stanza_kind *kind_r)
{
	if (!envelope_find_kind(stanza, kind_r))
		return false;
	if (*kind_r == STANZA_MESSAGE)
		return true;
	if (*kind_r == STANZA_PRESENCE)
		return is_known_presence_type(el_attr(stanza, stanza_root(stanza), SLICE("type")));
	return is_iq_well_made(stanza, *kind_r);
}

void envelope_keep_parts(struct jid *jid, char into[JID_MAX])
{
	char *at = into;
	struct slice *parts[] = { &jid->node, &jid->host, &jid->resource };
	for (int i = 0; i < 3; i++) {
		if (parts[i]->len > 0)
			memcpy(at, parts[i]->ptr, parts[i]->len);
		parts[i]->ptr = at;
		at += parts[i]->len;
	}
}

bool envelope_keep_jid(struct slice text, char into[JID_MAX], struct jid *jid_r)
{
	char scratch[JID_MAX];
	if (!jid_parse(text, scratch, jid_r))
		return false;
	envelope_keep_parts(jid_r, into);
	return true;
}

static bool is_own_bare(const struct session *origin, const struct jid *jid)
{
	return jid->resource.len == 0 && jid->node.len > 0 && origin->host != NULL
	       && slice_equal(jid->node, session_node(origin)) && slice_equal(jid->host, host_name(origin->host));
}

bool envelope_address(struct dispatch *dispatch)
{
	struct envelope *env = &dispatch->env;
	struct el root = stanza_root(env->stanza);
	struct slice text = el_attr(env->stanza, root, SLICE("to"));
	env->is_to_self = false;
	if (text.ptr == NULL) {
		env->to = (struct jid){ session_node(env->origin), SLICE_NONE, SLICE_NONE };
		if (env->origin->host != NULL)
			env->to.host = host_name(env->origin->host);
		env->is_to_self = true;
		env->target = TARGET_BARE;
		return true;
	}
	if (!envelope_keep_jid(text, dispatch->to_text, &env->to))
		return false;
	char normal[JID_MAX + 1];
	size_t len = jid_write(&env->to, normal);
	if (!slice_equal(text, slice_of(normal, len)))
		el_set_attr(env->stanza, root, SLICE("to"), slice_of(normal, len));
	if (env->to.node.len == 0) {
		env->target = TARGET_HOST;
	} else if (env->to.resource.len > 0) {
		env->target = TARGET_FULL;
	} else {
		env->target = TARGET_BARE;
		if (is_own_bare(env->origin, &env->to)) {
			env->is_to_self = true;
			el_remove_attr(env->stanza, root, SLICE("to"));
		}
	}
	return true;
}
