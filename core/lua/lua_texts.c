/* util.texts: queues of texts (base/texts.h) that Lua's collector does not look into, however many there are. A string
 * that waits in a table is visited in every cycle, all of a table in one step; a thousand times a hundred of them
 * held up everybody for 10 ms at a time. */
#include "base/texts.h"

#include <lauxlib.h>

#include "base/mem.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "lua/libs.h"
#include "lua/lua_stanza.h"
#include "xml/stanza.h"
#include "xml/write.h"
#include "xmpp/ns.h"

static const char type_name[] = "util.texts";

enum { ON_STACK_BYTES = 4096 };

static struct texts *l_check_texts(lua_State *L, int index) { return luaL_checkudata(L, index, type_name); }

struct texts *l_new_texts(lua_State *L)
{
	struct texts *texts = lua_newuserdatauv(L, sizeof(*texts), 0);
	texts_init(texts);
	luaL_requiref(L, "util.texts", l_open_texts, 0); /* makes the type, once */
	lua_pop(L, 1);
	luaL_setmetatable(L, type_name);
	return texts;
}

/* new() -> queue */
static int l_new(lua_State *L)
{
	l_new_texts(L);
	return 1;
}

static int l_end(lua_State *L)
{
	texts_done(l_check_texts(L, 1));
	return 0;
}

/* Its length, -1 when that is more than max_bytes. Raises nothing. */
static lua_Integer add(struct texts *texts, struct slice text, lua_Integer max_bytes)
{
	if ((lua_Integer)text.len > max_bytes)
		return -1;
	texts_add(texts, text);
	return (lua_Integer)text.len;
}

/* As it would stand on a client's stream, where what is in jabber:client goes without xmlns. */
static lua_Integer add_stanza(struct texts *texts, const struct stanza *stanza, struct el el, lua_Integer max_bytes)
{
	char near[ON_STACK_BYTES];
	size_t bound = write_bound(stanza, el);
	char *text = bound <= sizeof(near) ? near : mem_new(bound);
	lua_Integer len = add(texts, slice_of(text, write_into(text, stanza, el, NS_CLIENT)), max_bytes);
	if (text != near)
		mem_free(text);
	return len;
}

/* queue:add(text or stanza, max_bytes) -> its length in bytes; nil: it has more than max_bytes, and was not added. */
static int l_add(lua_State *L)
{
	struct texts *texts = l_check_texts(L, 1);
	lua_Integer max_bytes = luaL_checkinteger(L, 3), len;
	if (lua_type(L, 2) == LUA_TSTRING) {
		len = add(texts, l_to_slice(L, 2), max_bytes);
	} else {
		struct el el;
		const struct stanza *stanza = l_check_stanza(L, 2, &el);
		len = add_stanza(texts, stanza, el, max_bytes);
	}
	if (len < 0)
		return 0;
	lua_pushinteger(L, len);
	return 1;
}

/* queue:first() -> the oldest text, or nil */
static int l_first(lua_State *L)
{
	l_push_slice(L, texts_first(l_check_texts(L, 1)));
	return 1;
}

/* queue:drop(): the oldest goes. */
static int l_drop(lua_State *L)
{
	texts_drop_first(l_check_texts(L, 1));
	return 0;
}

/* queue:move(from[, n]): the n oldest texts of another queue (all there are) become the newest here. */
static int l_move(lua_State *L)
{
	struct texts *to = l_check_texts(L, 1), *from = l_check_texts(L, 2);
	lua_Integer n = luaL_optinteger(L, 3, LUA_MAXINTEGER);
	luaL_argcheck(L, to != from, 2, "another queue is expected");
	luaL_argcheck(L, n >= 0, 3, "a number of texts is expected");
	texts_move(to, from, (size_t)n);
	return 0;
}

/* queue:count() -> how many texts, how many bytes */
static int l_count(lua_State *L)
{
	const struct texts *texts = l_check_texts(L, 1);
	lua_pushinteger(L, (lua_Integer)texts->n);
	lua_pushinteger(L, (lua_Integer)texts->bytes);
	return 2;
}

static const luaL_Reg methods[] = {
	{ "add", l_add }, { "count", l_count }, { "drop", l_drop }, { "first", l_first }, { "move", l_move }, { NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "new", l_new },
	{ NULL, NULL },
};

int l_open_texts(lua_State *L)
{
	l_new_type(L, type_name, methods, l_end);
	luaL_newlib(L, functions);
	return 1;
}
