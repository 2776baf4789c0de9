/* What may stand in a stanza, and the two live views of an element: .attr and .tags.
 * Modules treat .attr as a table: they read, set, delete and walk it, and hand it on. A view is a userdata that
 * looks into the block at every access. Whatever is written is checked, so that what we send always parses. */
#include <string.h>

#include "lua/lua_stanza_private.h"

struct view {
	struct handle *h; /* kept alive by the view's user value */
};

static const char attr_metatable_key, tags_metatable_key;

/* ---- checks ---- */

/* Shows the value: its first characters, unprintable ones as ?. */
static int l_bad_value(lua_State *L, const char *what, struct slice value, const char *why)
{
	char shown[48];
	size_t len = value.len < sizeof(shown) - 1 ? value.len : sizeof(shown) - 1;
	for (size_t i = 0; i < len; i++)
		shown[i] = value.ptr[i] >= ' ' && value.ptr[i] < 0x7f ? value.ptr[i] : '?';
	shown[len] = '\0';
	return luaL_error(L, "invalid %s '%s'%s: %s", what, shown, len < value.len ? "..." : "", why);
}

void l_check_text(lua_State *L, struct slice text, const char *what)
{
	if (!stanza_text_is_valid(text))
		l_bad_value(L, what, text, "contains control characters or invalid UTF-8");
}

void l_check_name(lua_State *L, struct slice name, const char *what)
{
	if (name.len == 0)
		luaL_error(L, "invalid %s: empty string", what);
	if (!stanza_name_is_valid(name))
		l_bad_value(L, what, name, "contains characters that a name may not have");
}

void l_check_ns(lua_State *L, struct slice ns)
{
	l_check_text(L, ns, "namespace");
	if (slice_is(ns, XML_NS) || slice_is(ns, "http://www.w3.org/2000/xmlns/"))
		l_bad_value(L, "namespace", ns, "is reserved");
}

static void l_check_attr_name(lua_State *L, struct slice name)
{
	const char *split = name.len > 0 ? memchr(name.ptr, 1, name.len) : NULL;
	if (split != NULL) {
		struct slice ns = slice_of(name.ptr, (size_t)(split - name.ptr));
		if (ns.len == 0)
			l_bad_value(L, "attribute name", name, "its namespace is empty");
		l_check_ns(L, ns);
		name = slice_from(name, ns.len + 1);
		if (memchr(name.ptr, ':', name.len) != NULL)
			l_bad_value(L, "attribute name", name, "has a namespace and a prefix");
	}
	l_check_name(L, name, "attribute name");
}

static struct slice string_at(lua_State *L, int index)
{
	struct slice s;
	s.ptr = lua_tolstring(L, index, &s.len);
	return s;
}

struct slice l_check_text_arg(lua_State *L, int arg, const char *what)
{
	if (lua_type(L, arg) != LUA_TSTRING && lua_type(L, arg) != LUA_TNUMBER)
		luaL_error(L, "invalid %s: expected string, got %s", what, luaL_typename(L, arg));
	struct slice text = string_at(L, arg);
	l_check_text(L, text, what);
	return text;
}

/* ---- attributes from a table ---- */

static int compare(struct slice a, struct slice b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* In order of name, since Lua's own order changes from run to run. */
static void insert_attr(struct new_attrs *attrs, struct slice name, struct slice value)
{
	size_t at = attrs->count++;
	for (; at > 0 && compare(attrs->items[at - 1].name, name) > 0; at--)
		attrs->items[at] = attrs->items[at - 1];
	attrs->items[at].name = name;
	attrs->items[at].value = value;
}

static struct view *test_view(lua_State *L, int arg, const void *key)
{
	if (lua_type(L, arg) != LUA_TUSERDATA || !lua_getmetatable(L, arg))
		return NULL;
	lua_rawgetp(L, LUA_REGISTRYINDEX, key);
	bool equal = lua_rawequal(L, -1, -2) == 1;
	lua_pop(L, 2);
	return equal ? lua_touserdata(L, arg) : NULL;
}

static struct handle *l_handle_of_view(lua_State *L, const struct view *view)
{
	if (stanza_of(view->h) == NULL)
		luaL_error(L, "the stanza is gone: it was only lent for the time of an event");
	return view->h;
}

void l_read_attrs(lua_State *L, int arg, struct new_attrs *attrs)
{
	attrs->ns = SLICE_NONE;
	attrs->count = 0;
	if (lua_isnoneornil(L, arg))
		return;
	struct view *view = test_view(L, arg, &attr_metatable_key);
	if (view != NULL) {
		struct handle *h = l_handle_of_view(L, view);
		l_push_attr_table(L, stanza_of(h), h->el);
		lua_replace(L, arg);
	}
	if (!lua_istable(L, arg))
		luaL_error(L, "invalid attributes: expected table, got %s", luaL_typename(L, arg));
	lua_pushnil(L);
	while (lua_next(L, arg) != 0) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "invalid attribute name: expected string, got %s", luaL_typename(L, -2));
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "invalid value of attribute '%s': expected string, got %s", lua_tostring(L, -2),
				luaL_typename(L, -1));
		struct slice name = string_at(L, -2), value = string_at(L, -1);
		if (slice_is(name, "xmlns")) {
			l_check_ns(L, value);
			attrs->ns = value;
		} else {
			l_check_attr_name(L, name);
			l_check_text(L, value, "attribute value");
			if (attrs->count == ATTRS_MAX)
				luaL_error(L, "too many attributes: %d are allowed", ATTRS_MAX);
			insert_attr(attrs, name, value);
		}
		lua_pop(L, 1);
	}
}

void set_attrs(struct stanza *st, struct el el, const struct new_attrs *attrs)
{
	if (attrs->ns.ptr != NULL && attrs->ns.len == 0)
		el_set_no_ns(st, el);
	for (size_t i = 0; i < attrs->count; i++)
		el_set_attr(st, el, attrs->items[i].name, attrs->items[i].value);
}

struct el l_add_element(lua_State *L, int arg, struct handle *h, struct el parent, struct slice name,
	const struct new_attrs *attrs)
{
	size_t bytes = name.len + attrs->ns.len;
	for (size_t i = 0; i < attrs->count; i++)
		bytes += attrs->items[i].name.len + attrs->items[i].value.len;
	l_check_room(L, h, bytes);
	l_open_change(L, arg, h);
	struct el el = el_add(stanza_of(h), parent, name, attrs->ns);
	set_attrs(stanza_of(h), el, attrs);
	lua_pop(L, 1);
	return el;
}

struct slice visible_ns(const struct stanza *st, struct el el)
{
	struct slice ns = el_own_ns(st, el);
	return ns.ptr != NULL && !el_in_stream_ns(st, el) ? ns : SLICE_NONE;
}

void l_push_attr_table(lua_State *L, const struct stanza *st, struct el el)
{
	luaL_checkstack(L, 4, NULL);
	lua_newtable(L);
	struct slice name, value, ns = visible_ns(st, el);
	if (ns.ptr != NULL) {
		lua_pushlstring(L, ns.ptr, ns.len);
		lua_setfield(L, -2, "xmlns");
	}
	uint32_t at = 0;
	while (el_next_attr(st, el, &at, &name, &value)) {
		lua_pushlstring(L, name.ptr, name.len);
		lua_pushlstring(L, value.ptr, value.len);
		lua_rawset(L, -3);
	}
}

/* ---- .attr ---- */

static struct handle *l_check_attr_view(lua_State *L, int arg)
{
	struct view *view = test_view(L, arg, &attr_metatable_key);
	if (view == NULL)
		luaL_typeerror(L, arg, "attributes of a stanza");
	return l_handle_of_view(L, view);
}

static int l_attr_index(lua_State *L)
{
	struct handle *h = l_check_attr_view(L, 1);
	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	struct slice name = string_at(L, 2);
	bool is_ns = slice_is(name, "xmlns");
	struct slice value = is_ns ? visible_ns(stanza_of(h), h->el) : el_attr(stanza_of(h), h->el, name);
	if (value.ptr == NULL)
		return 0;
	lua_pushlstring(L, value.ptr, value.len);
	return 1;
}

/* nil: as my parent's; what is in the stream's namespace has none to lose. "": in none at all. */
static void set_ns(struct handle *h, struct slice ns)
{
	struct stanza *st = stanza_of(h);
	if (ns.len > 0)
		el_set_ns(st, h->el, ns);
	else if (ns.ptr != NULL)
		el_set_no_ns(st, h->el);
	else if (visible_ns(st, h->el).ptr != NULL)
		el_set_ns(st, h->el, SLICE_NONE);
}

static int l_attr_newindex(lua_State *L)
{
	struct handle *h = l_check_attr_view(L, 1);
	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "invalid attribute name: expected string, got %s", luaL_typename(L, 2));
	struct slice name = string_at(L, 2), value = SLICE_NONE;
	bool is_ns = slice_is(name, "xmlns");
	if (!lua_isnil(L, 3)) {
		value = l_check_text_arg(L, 3, "attribute value");
		if (is_ns)
			l_check_ns(L, value);
		else
			l_check_attr_name(L, name);
		l_check_room(L, h, name.len + value.len);
	}
	lua_getiuservalue(L, 1, 1);
	l_open_change(L, lua_gettop(L), h);
	if (is_ns)
		set_ns(h, value);
	else if (value.ptr != NULL)
		el_set_attr(stanza_of(h), h->el, name, value);
	else
		el_remove_attr(stanza_of(h), h->el, name);
	return 0;
}

/* Walks a copy, so the walker may change what it walks. */
static int l_attr_pairs(lua_State *L)
{
	struct handle *h = l_check_attr_view(L, 1);
	lua_getglobal(L, "next");
	l_push_attr_table(L, stanza_of(h), h->el);
	lua_pushnil(L);
	return 3;
}

static const luaL_Reg attr_metamethods[] = {
	{ "__index", l_attr_index },
	{ "__newindex", l_attr_newindex },
	{ "__pairs", l_attr_pairs },
	{ NULL, NULL },
};

void l_replace_attrs(lua_State *L, int arg, struct handle *h, int index)
{
	struct new_attrs attrs;
	l_read_attrs(L, index, &attrs);
	size_t bytes = attrs.ns.len;
	for (size_t i = 0; i < attrs.count; i++)
		bytes += attrs.items[i].name.len + attrs.items[i].value.len;
	l_check_room(L, h, bytes);
	l_open_change(L, arg, h);
	struct stanza *st = stanza_of(h);
	uint32_t at = 0;
	struct slice name, value;
	while (el_next_attr(st, h->el, &at, &name, &value)) {
		el_remove_attr(st, h->el, name);
		at = 0;
	}
	set_ns(h, attrs.ns);
	for (size_t i = 0; i < attrs.count; i++)
		el_set_attr(st, h->el, attrs.items[i].name, attrs.items[i].value);
}

/* ---- .tags ---- */

static struct handle *l_check_tags_view(lua_State *L, int arg)
{
	struct view *view = test_view(L, arg, &tags_metatable_key);
	if (view == NULL)
		luaL_typeerror(L, arg, "tags of a stanza");
	return l_handle_of_view(L, view);
}

static int l_tags_index(lua_State *L)
{
	struct handle *h = l_check_tags_view(L, 1);
	if (!lua_isinteger(L, 2))
		return 0;
	struct el el = nth_tag(h, lua_tointeger(L, 2));
	lua_getiuservalue(L, 1, 1);
	l_push_node(L, lua_gettop(L), h, el);
	return 1;
}

static int l_tags_len(lua_State *L)
{
	struct handle *h = l_check_tags_view(L, 1);
	lua_pushinteger(L, el_count(stanza_of(h), h->el));
	return 1;
}

/* tags[i] = stanza replaces, one behind the last adds, nil removes. */
static int l_tags_newindex(lua_State *L)
{
	struct handle *h = l_check_tags_view(L, 1);
	lua_Integer number = luaL_checkinteger(L, 2);
	lua_settop(L, 3);
	lua_getiuservalue(L, 1, 1);
	struct el el = nth_tag(h, number);
	if (lua_isnil(L, 3)) {
		if (!el_is_none(el)) {
			l_open_change(L, 4, h);
			el_remove(stanza_of(h), el);
		}
	} else if (!el_is_none(el)) {
		l_replace_with_stanza(L, 4, h, el, 3);
	} else if (number == (lua_Integer)el_count(stanza_of(h), h->el) + 1) {
		l_add_stanza(L, 4, h, h->el, 3);
	} else {
		return luaL_error(L, "stanza has no tag number %I", (LUAI_UACINT)number);
	}
	return 0;
}

static int l_tags_pairs(lua_State *L)
{
	struct handle *h = l_check_tags_view(L, 1);
	lua_getiuservalue(L, 1, 1);
	int arg = lua_gettop(L);
	lua_getglobal(L, "next");
	lua_newtable(L);
	lua_Integer number = 0;
	const struct stanza *st = stanza_of(h);
	for (struct el el = el_first(st, h->el); !el_is_none(el); el = el_next(st, el)) {
		l_push_node(L, arg, h, el);
		lua_rawseti(L, -2, ++number);
	}
	lua_pushnil(L);
	return 3;
}

static const luaL_Reg tags_metamethods[] = {
	{ "__index", l_tags_index },
	{ "__newindex", l_tags_newindex },
	{ "__len", l_tags_len },
	{ "__pairs", l_tags_pairs },
	{ NULL, NULL },
};

void l_replace_tags(lua_State *L, int arg, struct handle *h, int index)
{
	luaL_checkany(L, index);
	/* The new ones may be some of the old: make a list of stanzas first, then remove. */
	lua_newtable(L);
	int list = lua_gettop(L);
	lua_Integer count = luaL_len(L, index);
	for (lua_Integer i = 1; i <= count; i++) {
		lua_geti(L, index, i);
		l_check_handle(L, lua_gettop(L));
		lua_rawseti(L, list, i);
	}
	l_open_change(L, arg, h);
	struct el el;
	while (!el_is_none(el = el_first(stanza_of(h), h->el)))
		el_remove(stanza_of(h), el);
	for (lua_Integer i = 1; i <= count; i++) {
		lua_rawgeti(L, list, i);
		l_add_stanza(L, arg, h, h->el, lua_gettop(L));
		lua_pop(L, 1);
	}
}

/* ---- making views ---- */

static void l_push_view(lua_State *L, int arg, struct handle *h, int slot, const void *key, const luaL_Reg *metamethods)
{
	luaL_checkstack(L, 5, NULL);
	if (lua_getiuservalue(L, arg, slot) == LUA_TUSERDATA)
		return;
	lua_pop(L, 1);
	struct view *view = lua_newuserdatauv(L, sizeof(*view), 1);
	view->h = h;
	lua_pushvalue(L, arg);
	lua_setiuservalue(L, -2, 1);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		luaL_setfuncs(L, metamethods, 0);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, key);
	}
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, arg, slot);
}

void l_push_attr_view(lua_State *L, int arg, struct handle *h)
{
	l_push_view(L, arg, h, UV_ATTR, &attr_metatable_key, attr_metamethods);
}

void l_push_tags_view(lua_State *L, int arg, struct handle *h)
{
	l_push_view(L, arg, h, UV_TAGS, &tags_metatable_key, tags_metamethods);
}
