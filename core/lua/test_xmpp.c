/* T.stream_table(kind): the state table of a kind of stream, cell by cell, to be held against the RFC. T.sm: the
 * counters and the queue of stream management. */
#include <lauxlib.h>

#include "lua/bind.h"
#include "lua/test.h"
#include "xmpp/sm.h"
#include "xmpp/stream.h"

/* stream_table("c2s" | "s2sin" | "s2sout") -> { state = { class = action } } */
static int l_stream_table(lua_State *L)
{
	const char *wanted = luaL_checkstring(L, 1);
	unsigned kind = 0;
	while (stream_kind_name(kind) != NULL && strcmp(stream_kind_name(kind), wanted) != 0)
		kind++;
	luaL_argcheck(L, stream_kind_name(kind) != NULL, 1, "no such kind of stream");
	lua_newtable(L);
	for (unsigned s = 0; s < stream_state_count(); s++) {
		if (stream_state_name(kind, s) == NULL)
			continue;
		lua_newtable(L);
		for (unsigned c = 0; stream_class_name(kind, c) != NULL; c++) {
			lua_pushstring(L, stream_action_name(kind, s, c));
			lua_setfield(L, -2, stream_class_name(kind, c));
		}
		lua_setfield(L, -2, stream_state_name(kind, s));
	}
	return 1;
}

/* ---- stream management ---- */

struct test_sm {
	struct sm *sm;
	struct sm_limits limits;
	struct sm_budget budget;
	uint64_t position; /* where the next stanza will stand in the output */
};

static struct test_sm *self(lua_State *L)
{
	struct test_sm *test = luaL_checkudata(L, 1, "T.sm");
	luaL_argcheck(L, test->sm != NULL, 1, "was closed");
	return test;
}

static lua_Integer option(lua_State *L, const char *name, lua_Integer otherwise)
{
	if (!lua_istable(L, 1))
		return otherwise;
	lua_getfield(L, 1, name);
	lua_Integer value = luaL_optinteger(L, -1, otherwise);
	lua_pop(L, 1);
	return value;
}

/* sm.new { max_stanzas =, max_bytes =, ask_stanzas =, ask_bytes =, all_bytes = } */
static int l_sm_new(lua_State *L)
{
	struct test_sm *test = lua_newuserdatauv(L, sizeof(*test), 0);
	*test = (struct test_sm){ .sm = NULL };
	test->limits.max_stanzas = (uint32_t)option(L, "max_stanzas", 1000);
	test->limits.max_bytes = (size_t)option(L, "max_bytes", 1 << 20);
	test->limits.ask_stanzas = (uint32_t)option(L, "ask_stanzas", 2);
	test->limits.ask_bytes = (size_t)option(L, "ask_bytes", 1000);
	test->budget.max_bytes = (size_t)option(L, "all_bytes", 1 << 20);
	luaL_setmetatable(L, "T.sm");
	test->sm = sm_new(&test->limits, &test->budget);
	return 1;
}

static int l_sm_close(lua_State *L)
{
	struct test_sm *test = luaL_checkudata(L, 1, "T.sm");
	sm_free(&test->sm);
	lua_pushinteger(L, (lua_Integer)test->budget.bytes);
	return 1;
}

static int answer(lua_State *L, bool yes)
{
	lua_pushboolean(L, yes);
	return 1;
}

static int l_sm_enable(lua_State *L) { return answer(L, sm_enable(self(L)->sm) == 0); }
static int l_sm_enabled(lua_State *L) { return answer(L, sm_enabled(self(L)->sm) == 0); }
static int l_sm_refused(lua_State *L) { return answer(L, sm_refused(self(L)->sm) == 0); }
static int l_sm_accept(lua_State *L) { return answer(L, sm_accept(self(L)->sm) == 0); }
static int l_sm_counts_out(lua_State *L) { return answer(L, sm_counts_out(self(L)->sm)); }
static int l_sm_counts_in(lua_State *L) { return answer(L, sm_counts_in(self(L)->sm)); }
static int l_sm_should_ask(lua_State *L) { return answer(L, sm_should_ask(self(L)->sm)); }
static int l_sm_may_ask(lua_State *L) { return answer(L, sm_may_ask(self(L)->sm)); }

static int l_sm_count_from(lua_State *L)
{
	sm_count_from(self(L)->sm, (uint32_t)luaL_checkinteger(L, 2), (uint32_t)luaL_checkinteger(L, 3));
	return 0;
}

static int l_sm_asked(lua_State *L)
{
	sm_asked(self(L)->sm);
	return 0;
}

/* sm:sent(text) -> boolean: was there room? It stands in the output as it is. */
static int l_sm_sent(lua_State *L)
{
	struct test_sm *test = self(L);
	struct slice text = l_check_slice(L, 2);
	bool has_room = sm_has_room(test->sm, text.len);
	if (has_room) {
		sm_sent(test->sm, text, test->position, test->position + text.len);
		test->position += text.len;
	}
	return answer(L, has_room);
}

static int l_sm_forget_written(lua_State *L)
{
	sm_forget_written(self(L)->sm, (uint64_t)luaL_checkinteger(L, 2));
	return 0;
}

/* sm:acknowledge(h | nil) -> "ok" | "unexpected" | "malformed" | "too-high" */
static int l_sm_acknowledge(lua_State *L)
{
	static const char *const names[] = { [SM_ACK_OK] = "ok", [SM_ACK_UNEXPECTED] = "unexpected",
					     [SM_ACK_MALFORMED] = "malformed", [SM_ACK_TOO_HIGH] = "too-high" };
	struct slice h = SLICE_NONE;
	if (!lua_isnoneornil(L, 2))
		h.ptr = luaL_checklstring(L, 2, &h.len);
	lua_pushstring(L, names[sm_acknowledge(self(L)->sm, h)]);
	return 1;
}

static int l_sm_received(lua_State *L)
{
	sm_received(self(L)->sm);
	return 0;
}

static int l_sm_handled(lua_State *L)
{
	lua_pushinteger(L, sm_handled(self(L)->sm, lua_toboolean(L, 2)));
	return 1;
}

/* sm:counts() -> sent, unacked, kept, bytes of all */
static int l_sm_counts(lua_State *L)
{
	struct test_sm *test = self(L);
	lua_pushinteger(L, sm_n_sent(test->sm));
	lua_pushinteger(L, sm_n_unacked(test->sm));
	lua_pushinteger(L, sm_n_kept(test->sm));
	lua_pushinteger(L, (lua_Integer)test->budget.bytes);
	return 4;
}

/* sm:takes(written) -> text, is_sent | nil: the oldest, which is dropped */
static int l_sm_takes(lua_State *L)
{
	struct test_sm *test = self(L);
	bool is_sent = false;
	struct slice text = sm_first(test->sm, (uint64_t)luaL_checkinteger(L, 2), &is_sent);
	if (text.ptr == NULL)
		return 0;
	lua_pushlstring(L, text.ptr, text.len);
	lua_pushboolean(L, is_sent);
	sm_drop_first(test->sm);
	return 2;
}

/* sm:rewind(sent, received) */
static int l_sm_rewind(lua_State *L)
{
	sm_rewind(self(L)->sm, (uint32_t)luaL_checkinteger(L, 2), (uint32_t)luaL_checkinteger(L, 3));
	return 0;
}

/* sm:texts() -> list of what is kept */
static int l_sm_texts(lua_State *L)
{
	const struct sm_kept *at = NULL;
	double sent_s;
	struct slice text;
	lua_newtable(L);
	while ((text = sm_next(self(L)->sm, &at, &sent_s)).ptr != NULL) {
		lua_pushlstring(L, text.ptr, text.len);
		lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	}
	return 1;
}

static int l_sm_first_unsent(lua_State *L)
{
	uint64_t start;
	if (!sm_first_unsent(self(L)->sm, (uint64_t)luaL_checkinteger(L, 2), &start))
		return 0;
	lua_pushinteger(L, (lua_Integer)start);
	return 1;
}

static void l_add_sm(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "enable", l_sm_enable },
		{ "enabled", l_sm_enabled },
		{ "refused", l_sm_refused },
		{ "accept", l_sm_accept },
		{ "count_from", l_sm_count_from },
		{ "counts_out", l_sm_counts_out },
		{ "counts_in", l_sm_counts_in },
		{ "sent", l_sm_sent },
		{ "forget_written", l_sm_forget_written },
		{ "acknowledge", l_sm_acknowledge },
		{ "should_ask", l_sm_should_ask },
		{ "may_ask", l_sm_may_ask },
		{ "asked", l_sm_asked },
		{ "received", l_sm_received },
		{ "handled", l_sm_handled },
		{ "counts", l_sm_counts },
		{ "takes", l_sm_takes },
		{ "first_unsent", l_sm_first_unsent },
		{ "rewind", l_sm_rewind },
		{ "texts", l_sm_texts },
		{ "close", l_sm_close },
		{ "__gc", l_sm_close },
		{ NULL, NULL },
	};
	luaL_newmetatable(L, "T.sm");
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushcfunction(L, l_sm_new);
	lua_setfield(L, -2, "new");
	lua_setfield(L, -2, "sm");
}

void l_test_xmpp(lua_State *L)
{
	l_add_sm(L);
	lua_pushcfunction(L, l_stream_table);
	lua_setfield(L, -2, "stream_table");
}
