/* Stream management (XEP-0198) for Lua: of streams between servers (stream.h) and of sessions of clients
 * (session_sm.h). Policy is in mod_smacks. */
#include <lauxlib.h>

#include "base/texts.h"
#include "lua/core.h"
#include "xmpp/session.h"
#include "xmpp/session_sm.h"
#include "xmpp/stream.h"

/* native.sm_enable(session) -> boolean: <enable/> was sent on a stream of ours (XEP-0198 3). */
static int l_enable(lua_State *L)
{
	lua_pushboolean(L, stream_sm_enable(l_check_session(L, 1)));
	return 1;
}

/* native.sm_accept(session [, is_resumable]) -> boolean; false: it is not the time. Between servers <enabled/> was
 * sent; of a client's session it is to be sent now, and with is_resumable it hibernates when its connection breaks. */
static int l_accept(lua_State *L)
{
	struct session *session = l_check_session(L, 1);
	bool is_resumable = lua_toboolean(L, 2);
	bool is_on = session_is_s2s(session) ? stream_sm_accept(session) : session_sm_start(session, is_resumable) == 0;
	lua_pushboolean(L, is_on);
	return 1;
}

/* native.sm_is_possible(session) -> boolean: its transport can do it, should it be wanted. */
static int l_is_possible(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	lua_pushboolean(L, session != NULL && session->transport != NULL && session->transport->leave != NULL);
	return 1;
}

/* native.sm_counts(session) -> { unacked = stanzas, kept = stanzas, bytes =, out = boolean, in = boolean } | nil */
static int l_counts(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	const struct sm *sm = session == NULL ? NULL : session_is_s2s(session) ? stream_sm(session)
									       : session_sm_counts(session);
	if (sm == NULL)
		return 0;
	lua_createtable(L, 0, 5);
	lua_pushinteger(L, sm_n_unacked(sm));
	lua_setfield(L, -2, "unacked");
	lua_pushinteger(L, sm_n_kept(sm));
	lua_setfield(L, -2, "kept");
	lua_pushinteger(L, (lua_Integer)sm_kept_bytes(sm));
	lua_setfield(L, -2, "bytes");
	lua_pushboolean(L, sm_counts_out(sm));
	lua_setfield(L, -2, "out");
	lua_pushboolean(L, sm_counts_in(sm));
	lua_setfield(L, -2, "in");
	return 1;
}

/* native.sm_leftovers(session) -> queue (util.texts), n: of a session between servers that ends, the stanzas that are
 * not known to have arrived, in order; the first n of them may have, the others never left. They are the caller's from
 * now on. */
static int l_leftovers(lua_State *L)
{
	struct session *session = l_check_session(L, 1);
	struct texts *texts = l_new_texts(L);
	lua_Integer n_sent = 0;
	struct slice text;
	bool is_sent = false;
	while ((text = stream_unacked(session, &is_sent)).ptr != NULL) {
		texts_add(texts, text);
		stream_drop_unacked(session);
		if (is_sent)
			n_sent++;
	}
	lua_pushinteger(L, n_sent);
	return 2;
}

/* native.sm_kept(session) -> texts, times: what was sent to a client and is not acknowledged, oldest first, and when
 * (seconds since 1970, with a fraction). Also while the session ends. Empty without stream management. */
static int l_kept(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	const struct sm *sm = session != NULL ? session_sm_counts(session) : NULL;
	const struct sm_kept *at = NULL;
	lua_Integer n = 0;
	double sent_s;
	struct slice text;
	lua_newtable(L);
	lua_newtable(L);
	while (sm != NULL && (text = sm_next(sm, &at, &sent_s)).ptr != NULL) {
		l_push_slice(L, text);
		lua_rawseti(L, -3, ++n);
		lua_pushnumber(L, sent_s);
		lua_rawseti(L, -2, n);
	}
	return 2;
}

/* native.sm_resume(old, new, h) -> "resumed", is_settled | "malformed" | "too-high" (new has been closed with that):
 * new's connection is old's from now on, and new has ended. When it is settled (at once, or at the event sm-settled),
 * native.sm_go_on is to be called. */
static int l_resume_session(lua_State *L)
{
	struct session *old = l_check_session(L, 1), *new = l_check_session(L, 2);
	luaL_argcheck(L, session_sm_counts(old) != NULL && old->user != NULL && old != new, 1, "cannot be resumed");
	luaL_argcheck(L, new->type == SESSION_C2S_UNBOUND && new->transport != NULL && new->transport->leave != NULL, 2,
		      "cannot resume another");
	luaL_argcheck(L, slice_equal(session_bare_jid(old), session_bare_jid(new)), 2, "of another account");
	struct slice h = l_to_slice(L, 3);
	bool is_settled = false;
	switch (session_sm_resume(old, new, h, &is_settled)) {
	case SM_ACK_OK:
		lua_pushliteral(L, "resumed");
		lua_pushboolean(L, is_settled);
		return 2;
	case SM_ACK_TOO_HIGH:
		session_sm_refuse_count(new, h, sm_n_sent(session_sm_counts(old)));
		lua_pushliteral(L, "too-high");
		return 1;
	case SM_ACK_MALFORMED:
	case SM_ACK_UNEXPECTED:
		break;
	}
	lua_pushliteral(L, "malformed");
	return 1;
}

/* native.sm_go_on(session, text): sends that (<resumed/>), what was not acknowledged, and reads on. */
static int l_go_on(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	if (session != NULL)
		session_sm_go_on(session, l_to_slice(L, 2));
	return 0;
}

/* native.sm_handled(session) -> how many of its stanzas a client may take for handled; nil without stream management.
 * */
static int l_handled(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	if (session == NULL || session_sm_counts(session) == NULL)
		return 0;
	lua_pushinteger(L, session_sm_handled(session));
	return 1;
}

/* native.sm_is_hibernating(session) -> boolean */
static int l_is_hibernating(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	lua_pushboolean(L, session != NULL && session_sm_is_hibernating(session));
	return 1;
}

/* native.sm_ask(session): sends <r/>, unless one is open. */
static int l_ask(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	if (session != NULL)
		session_sm_ask(session);
	return 0;
}

/* native.sm_inactive(session, boolean): nobody looks at that client's screen; it is asked less often. */
static int l_inactive(lua_State *L)
{
	struct session *session = l_test_session(L, 1);
	if (session != NULL)
		session_sm_set_inactive(session, lua_toboolean(L, 2));
	return 0;
}

void l_add_sm(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "sm_accept", l_accept },
		{ "sm_ask", l_ask },
		{ "sm_counts", l_counts },
		{ "sm_enable", l_enable },
		{ "sm_go_on", l_go_on },
		{ "sm_handled", l_handled },
		{ "sm_inactive", l_inactive },
		{ "sm_is_hibernating", l_is_hibernating },
		{ "sm_is_possible", l_is_possible },
		{ "sm_kept", l_kept },
		{ "sm_leftovers", l_leftovers },
		{ "sm_resume", l_resume_session },
		{ NULL, NULL },
	};
	luaL_setfuncs(L, functions, 0);
}
