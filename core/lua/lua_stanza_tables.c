/* Stanzas to plain tables and back: what stores keep, and what modules make by hand.
 *
 *     { name = "message", attr = { to = "..." }, { name = "body", attr = {}, "text" } }
 *
 * The Lua stack serves as the stack of the walk, so depth is bounded by what Lua allows, not by C's stack. */
#include <string.h>

#include "lua/lua_stanza_private.h"

enum { TABLE_DEPTH_MAX = 512 }; /* a table that contains itself ends here */

static void l_push_empty_table(lua_State *L, const struct stanza *st, struct el el)
{
	luaL_checkstack(L, 6, "stanza too deep");
	lua_newtable(L);
	struct slice name = el_name(st, el);
	lua_pushlstring(L, name.ptr, name.len);
	lua_setfield(L, -2, "name");
	l_push_attr_table(L, st, el);
	lua_setfield(L, -2, "attr");
}

void l_push_preserialized(lua_State *L, const struct stanza *st, struct el top)
{
	l_push_empty_table(L, st, top);
	struct el at = el_first_node(st, top);
	while (!el_is_none(at)) {
		if (el_is_text(st, at)) {
			struct slice text = el_text_of(st, at);
			lua_pushlstring(L, text.ptr, text.len);
			lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
		} else {
			l_push_empty_table(L, st, at);
			if (!el_is_none(el_first_node(st, at))) {
				at = el_first_node(st, at);
				continue;
			}
			lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
		}
		while (el_is_none(el_next_node(st, at))) {
			at = el_parent(st, at);
			if (el_equal(at, top))
				return;
			lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
		}
		at = el_next_node(st, at);
	}
}

/* Leaves a table at index whose keys "xmlns|attr", as some stores write them, are "xmlns\1attr". */
static void l_repair_attrs(lua_State *L, int index)
{
	bool needed = false;
	lua_pushnil(L);
	while (lua_istable(L, index) && lua_next(L, index) != 0) {
		if (lua_type(L, -2) == LUA_TSTRING && strchr(lua_tostring(L, -2), '|') != NULL)
			needed = true;
		lua_pop(L, 1);
	}
	if (!needed) {
		if (!lua_istable(L, index))
			lua_pop(L, 1);
		return;
	}
	lua_newtable(L);
	int repaired = lua_gettop(L);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		size_t len;
		lua_pushvalue(L, -2);
		const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
		const char *split = key != NULL ? strchr(key, '|') : NULL;
		if (split != NULL && memchr(key, 1, len) == NULL) {
			lua_pop(L, 1);
			lua_pushlstring(L, key, (size_t)(split - key));
			lua_pushliteral(L, "\1");
			lua_pushlstring(L, split + 1, len - (size_t)(split - key) - 1);
			lua_concat(L, 3);
		}
		lua_pushvalue(L, -2);
		lua_rawset(L, repaired);
		lua_pop(L, 1);
	}
	lua_replace(L, index);
}

/* Reads name and attributes of the table at index; leaves the attributes, which attrs_r borrows from, on the
 * stack. */
static struct slice l_read_element(lua_State *L, int index, struct new_attrs *attrs_r)
{
	luaL_checkstack(L, 12, "stanza too deep");
	struct slice name;
	lua_pushliteral(L, "name");
	lua_rawget(L, index);
	if (lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "invalid tag name: expected string, got %s", luaL_typename(L, -1));
	name.ptr = lua_tolstring(L, -1, &name.len);
	l_check_name(L, name, "tag name");
	lua_pushliteral(L, "attr");
	lua_rawget(L, index);
	l_repair_attrs(L, lua_gettop(L));
	l_read_attrs(L, lua_gettop(L), attrs_r);
	return name;
}

/* Per level the stack holds the table and the number of its next child; the root handle is below them all. */
void l_push_deserialized(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	struct new_attrs attrs;
	int base = lua_gettop(L);
	struct slice name = l_read_element(L, index, &attrs);
	struct handle *h = l_new_root(L, name, attrs.ns);
	lua_insert(L, base + 1); /* name and attributes stay above, as long as they are borrowed */
	size_t bytes = 0;
	for (size_t i = 0; i < attrs.count; i++)
		bytes += attrs.items[i].name.len + attrs.items[i].value.len;
	l_check_room(L, h, bytes);
	l_open_change(L, base + 1, h);
	set_attrs(stanza_of(h), h->el, &attrs);
	lua_settop(L, base + 1);

	struct el at = h->el;
	int depth = 1;
	lua_pushvalue(L, index);
	lua_pushinteger(L, 1);
	while (depth > 0) {
		int table = lua_gettop(L) - 1;
		lua_Integer number = lua_tointeger(L, table + 1);
		lua_pushinteger(L, number + 1);
		lua_replace(L, table + 1);
		int type = lua_rawgeti(L, table, number);
		if (type == LUA_TNIL) {
			lua_settop(L, table - 1);
			at = el_parent(stanza_of(h), at);
			depth--;
		} else if (type == LUA_TSTRING || type == LUA_TNUMBER) {
			l_add_text(L, base + 1, h, at, l_check_text_arg(L, table + 2, "text value"));
			lua_settop(L, table + 1);
		} else if (type == LUA_TUSERDATA) {
			l_check_handle(L, table + 2);
			l_add_stanza(L, base + 1, h, at, table + 2);
			lua_settop(L, table + 1);
		} else if (type == LUA_TTABLE) {
			if (++depth > TABLE_DEPTH_MAX)
				luaL_error(L, "stanza too deep");
			name = l_read_element(L, table + 2, &attrs);
			at = l_add_element(L, base + 1, h, at, name, &attrs);
			lua_settop(L, table + 2);
			lua_pushinteger(L, 1);
		} else {
			luaL_error(L, "invalid child of a stanza: %s", luaL_typename(L, -1));
		}
	}
	lua_settop(L, base + 1);
}
