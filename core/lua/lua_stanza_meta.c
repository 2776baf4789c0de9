/* What a stanza does when it is read, written, joined or counted as if it were Prosody's table: its metamethods. */
#include <string.h>

#include "lua/bind.h"
#include "lua/lua_stanza_private.h"
#include "xml/write.h"

enum {
	SERIALIZED_ON_STACK = 2048 /* bytes; what is longer is written into a buffer of Lua's */
};

void l_push_serialized(lua_State *L, const struct handle *h)
{
	const struct stanza *st = stanza_of(h);
	/* As it would stand on its stream: what is in the stream's namespace goes without xmlns. */
	struct slice context = el_in_stream_ns(st, h->el) ? el_ns(st, h->el) : SLICE_NONE;
	size_t bound = write_bound(st, h->el);
	if (bound <= SERIALIZED_ON_STACK) {
		char text[SERIALIZED_ON_STACK];
		size_t len = write_into(text, st, h->el, context);
		lua_pushlstring(L, text, len);
		return;
	}
	luaL_Buffer buffer;
	char *text = luaL_buffinitsize(L, &buffer, bound);
	luaL_pushresultsize(&buffer, write_into(text, st, h->el, context));
}

static int l_tostring(lua_State *L)
{
	l_push_serialized(L, l_check_handle(L, 1));
	return 1;
}

static int l_concat(lua_State *L)
{
	luaL_tolstring(L, 1, NULL);
	luaL_tolstring(L, 2, NULL);
	lua_concat(L, 2);
	return 1;
}

/* A table with our metatable is left alone as long as it is only read and written. */
static bool is_plain_table(lua_State *L)
{
	if (lua_type(L, 1) != LUA_TTABLE)
		return false;
	bool plain = lua_rawgetp(L, 1, &stanza_converted_key) == LUA_TNIL;
	lua_pop(L, 1);
	return plain;
}

static int l_len(lua_State *L)
{
	if (is_plain_table(L)) {
		lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
		return 1;
	}
	struct handle *h = l_check_handle(L, 1);
	const struct stanza *st = stanza_of(h);
	lua_Integer count = 0;
	for (struct el node = el_first_node(st, h->el); !el_is_none(node); node = el_next_node(st, node))
		count++;
	lua_pushinteger(L, count);
	return 1;
}

/* A field that a module has set, else a method. */
static int l_index_field(lua_State *L)
{
	if (lua_getiuservalue(L, 1, UV_FIELDS) == LUA_TTABLE) {
		lua_pushvalue(L, 2);
		if (lua_rawget(L, -2) != LUA_TNIL)
			return 1;
	}
	lua_rawgetp(L, LUA_REGISTRYINDEX, &stanza_metatable_key);
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
	return 1;
}

static int l_index(lua_State *L)
{
	lua_settop(L, 2);
	if (is_plain_table(L)) {
		lua_rawgetp(L, LUA_REGISTRYINDEX, &stanza_metatable_key);
		lua_pushvalue(L, 2);
		lua_rawget(L, -2);
		return 1;
	}
	struct handle *h = l_check_handle(L, 1);
	if (lua_type(L, 2) == LUA_TNUMBER) {
		l_push_node(L, 1, h, nth_node(h, lua_tointeger(L, 2)));
		return 1;
	}
	if (lua_type(L, 2) == LUA_TSTRING) {
		size_t len;
		const char *key = lua_tolstring(L, 2, &len);
		if (len == 4 && memcmp(key, "attr", 4) == 0) {
			l_push_attr_view(L, 1, h);
			return 1;
		}
		if (len == 4 && memcmp(key, "name", 4) == 0) {
			struct slice name = el_name(stanza_of(h), h->el);
			lua_pushlstring(L, name.ptr, name.len);
			return 1;
		}
		if (len == 4 && memcmp(key, "tags", 4) == 0) {
			l_push_tags_view(L, 1, h);
			return 1;
		}
	}
	return l_index_field(L);
}

/* stanza[number] = nil, a string or a stanza; one behind the last adds. */
static void l_set_node(lua_State *L, struct handle *h, lua_Integer number)
{
	struct stanza *st = stanza_of(h);
	struct el node = nth_node(h, number);
	bool adds = el_is_none(node) && (number == 1 || !el_is_none(nth_node(h, number - 1)));
	if (lua_isnil(L, 3)) {
		if (!el_is_none(node)) {
			l_open_change(L, 1, h);
			el_remove(st, node);
		}
	} else if (el_is_none(node) && !adds) {
		luaL_error(L, "stanza has no child number %I", (LUAI_UACINT)number);
	} else if (lua_type(L, 3) == LUA_TSTRING || lua_type(L, 3) == LUA_TNUMBER) {
		struct slice text = l_check_text_arg(L, 3, "text");
		l_check_room(L, h, text.len);
		l_open_change(L, 1, h);
		if (adds)
			el_add_text(st, h->el, text);
		else
			el_replace_with_text(st, node, text);
	} else if (adds) {
		l_add_stanza(L, 1, h, h->el, 3);
	} else {
		l_replace_with_stanza(L, 1, h, node, 3);
	}
}

static void l_set_name(lua_State *L, struct handle *h)
{
	struct slice name = l_check_slice(L, 3);
	l_check_name(L, name, "tag name");
	l_check_room(L, h, name.len);
	l_open_change(L, 1, h);
	el_set_name(stanza_of(h), h->el, name);
}

static int l_newindex(lua_State *L)
{
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	if (is_plain_table(L)) {
		lua_rawset(L, 1);
		return 0;
	}
	struct handle *h = l_check_handle(L, 1);
	if (lua_type(L, 2) == LUA_TNUMBER && lua_isinteger(L, 2)) {
		l_set_node(L, h, lua_tointeger(L, 2));
		return 0;
	}
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	if (strcmp(key, "name") == 0) {
		l_set_name(L, h);
	} else if (strcmp(key, "attr") == 0) {
		l_replace_attrs(L, 1, h, 3);
	} else if (strcmp(key, "tags") == 0) {
		l_replace_tags(L, 1, h, 3);
	} else {
		if (lua_getiuservalue(L, 1, UV_FIELDS) != LUA_TTABLE) {
			lua_pop(L, 1);
			lua_newtable(L);
			lua_pushvalue(L, -1);
			lua_setiuservalue(L, 1, UV_FIELDS);
		}
		lua_insert(L, 2);
		lua_rawset(L, 2);
	}
	return 0;
}

/* util.serialization asks for it. */
static int l_freeze(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	l_push_preserialized(L, stanza_of(h), h->el);
	return 1;
}

const luaL_Reg l_stanza_metamethods[] = {
	{ "__index", l_index },
	{ "__newindex", l_newindex },
	{ "__len", l_len },
	{ "__tostring", l_tostring },
	{ "__concat", l_concat },
	{ "__freeze", l_freeze },
	{ NULL, NULL },
};
