/* The methods of a stanza that look into it. Names and meanings are Prosody's; a namespace left out means the
 * parent's. */
#include <string.h>

#include "lua/bind.h"
#include "lua/lua_stanza_private.h"
#include "xml/stanza.h"
#include "xmpp/ns.h"

static struct el child_of(const struct handle *h, struct slice name, struct slice ns)
{
	return el_child(stanza_of(h), h->el, name, ns);
}

/* The text of an element that has no child elements, "" when it is empty; nil for others. */
static int push_text(lua_State *L, const struct stanza *st, struct el el)
{
	if (el_is_none(el) || !el_is_none(el_first(st, el))) {
		lua_pushnil(L);
		return 1;
	}
	struct slice text = el_text(st, el);
	lua_pushlstring(L, text.ptr, text.len);
	return 1;
}

static int push_attr(lua_State *L, const struct stanza *st, struct el el, struct slice name)
{
	struct slice value = SLICE_NONE;
	if (!el_is_none(el))
		value = slice_is(name, "xmlns") ? visible_ns(st, el) : el_attr(st, el, name);
	if (value.ptr != NULL)
		lua_pushlstring(L, value.ptr, value.len);
	else
		lua_pushnil(L);
	return 1;
}

static int l_get_child(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	l_push_node(L, 1, h, child_of(h, l_opt_slice(L, 2), l_opt_slice(L, 3)));
	return 1;
}

static int l_get_child_text(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	return push_text(L, stanza_of(h), child_of(h, l_opt_slice(L, 2), l_opt_slice(L, 3)));
}

static int l_get_child_attr(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	struct slice name = l_check_slice(L, 4);
	return push_attr(L, stanza_of(h), child_of(h, l_opt_slice(L, 2), l_opt_slice(L, 3)), name);
}

/* (name, xmlns, attribute, value[, normalise]) */
static int l_get_child_with_attr(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	struct slice name = l_opt_slice(L, 2), ns = l_opt_slice(L, 3), attr = l_check_slice(L, 4);
	lua_settop(L, 6);
	for (struct el el = child_of(h, name, ns); !el_is_none(el); el = el_next_child(stanza_of(h), el, name, ns)) {
		push_attr(L, stanza_of(h), el, attr);
		if (!lua_isnil(L, -1) && !lua_isnil(L, 6)) {
			lua_pushvalue(L, 6);
			lua_insert(L, -2);
			lua_call(L, 1, 1);
		}
		if (lua_rawequal(L, -1, 5)) {
			l_push_node(L, 1, h, el);
			return 1;
		}
		lua_pop(L, 1);
	}
	return 0;
}

/* Pushes the first child of which that part is argument 2. */
static int l_first_child(lua_State *L, struct slice (*part_of)(const struct stanza *st, struct el el))
{
	struct handle *h = l_check_handle(L, 1);
	const struct stanza *st = stanza_of(h);
	struct slice wanted = l_check_slice(L, 2);
	struct el el = el_first(st, h->el);
	while (!el_is_none(el) && !slice_equal(part_of(st, el), wanted))
		el = el_next(st, el);
	l_push_node(L, 1, h, el);
	return 1;
}

static int l_child_with_name(lua_State *L)
{
	return l_first_child(L, el_name);
}

static int l_child_with_ns(lua_State *L)
{
	return l_first_child(L, el_ns);
}

static int l_get_text(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	return push_text(L, stanza_of(h), h->el);
}

/* The next child, remembered in the closure before the caller gets to change the current one.
 * Upvalues: stanza, name, xmlns, offset of the next child, the root it belongs to. */
static int l_next_childtag(lua_State *L)
{
	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	struct handle *h = l_check_handle(L, 1);
	struct el el = { (uint32_t)lua_tointeger(L, lua_upvalueindex(4)) };
	if (el_is_none(el) || lua_touserdata(L, lua_upvalueindex(5)) != h->owner ||
		!el_equal(el_parent(stanza_of(h), el), h->el))
		return 0; /* the end, or the children have been moved away under our feet */
	struct el next = el_next_child(stanza_of(h), el, l_opt_slice(L, lua_upvalueindex(2)),
		l_opt_slice(L, lua_upvalueindex(3)));
	lua_pushinteger(L, next.at);
	lua_replace(L, lua_upvalueindex(4));
	l_push_node(L, 1, h, el);
	return 1;
}

static int l_childtags(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	lua_settop(L, 3);
	lua_pushinteger(L, child_of(h, l_opt_slice(L, 2), l_opt_slice(L, 3)).at);
	lua_pushlightuserdata(L, h->owner);
	lua_pushcclosure(L, l_next_childtag, 5);
	return 1;
}

/* Upvalues: stanza, number of the last node. */
static int l_next_node(lua_State *L)
{
	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	struct handle *h = l_check_handle(L, 1);
	lua_Integer number = lua_tointeger(L, lua_upvalueindex(2)) + 1;
	lua_pushinteger(L, number);
	lua_replace(L, lua_upvalueindex(2));
	l_push_node(L, 1, h, nth_node(h, number));
	return 1;
}

static int l_children(lua_State *L)
{
	l_check_handle(L, 1);
	lua_settop(L, 1);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, l_next_node, 2);
	return 1;
}

/* A path is {xmlns}name/{xmlns}name, where either part may be left out, and ends in # for the text or @attribute. */
static int l_find(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	const struct stanza *st = stanza_of(h);
	struct slice path = l_check_slice(L, 2);
	struct el el = h->el;
	for (;;) {
		if (path.len > 0 && *path.ptr == '@')
			return push_attr(L, st, el, slice_from(path, 1));
		struct slice ns = SLICE_NONE;
		if (path.len > 0 && *path.ptr == '{') {
			const char *close = memchr(path.ptr, '}', path.len);
			luaL_argcheck(L, close != NULL, 2, "'}' is missing");
			ns = slice_of(path.ptr + 1, (size_t)(close - path.ptr) - 1);
			path = slice_from(path, ns.len + 2);
		}
		size_t len = 0;
		while (len < path.len && strchr("@/#", path.ptr[len]) == NULL)
			len++;
		el = el_child(st, el, slice_of(path.ptr, len), ns);
		path = slice_from(path, len);
		if (path.len == 1 && *path.ptr == '#')
			return push_text(L, st, el);
		if (el_is_none(el) || path.len == 0 || (path.len == 1 && *path.ptr == '/')) {
			l_push_node(L, 1, h, el);
			return 1;
		}
		if (*path.ptr != '@')
			path = slice_from(path, 1);
	}
}

/* type, condition, text, application-specific element (RFC 6120 8.3.2) */
static int l_get_error(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	const struct stanza *st = stanza_of(h);
	lua_settop(L, 1);
	struct el error = child_of(h, SLICE("error"), SLICE_NONE), extra = EL_NONE;
	if (el_is_none(error)) {
		lua_settop(L, 5);
		return 4;
	}
	struct slice condition = SLICE("undefined-condition");
	bool has_condition = false;
	lua_settop(L, 3); /* 2: type, 3: text */
	push_attr(L, st, error, SLICE("type"));
	lua_replace(L, 2);
	for (struct el el = el_first(st, error); !el_is_none(el); el = el_next(st, el)) {
		if (!slice_equal(el_ns(st, el), NS_STANZA_ERRORS)) {
			if (el_is_none(extra))
				extra = el;
		} else if (slice_is(el_name(st, el), "text")) {
			if (lua_isnil(L, 3)) {
				push_text(L, st, el);
				lua_replace(L, 3);
			}
		} else if (!has_condition) {
			condition = el_name(st, el);
			has_condition = true;
		}
	}
	lua_pushvalue(L, 2);
	lua_pushlstring(L, condition.ptr, condition.len);
	lua_pushvalue(L, 3);
	l_push_node(L, 1, h, extra);
	return 4;
}

const luaL_Reg l_stanza_finders[] = {
	{ "get_child", l_get_child },
	{ "get_child_text", l_get_child_text },
	{ "get_child_attr", l_get_child_attr },
	{ "get_child_with_attr", l_get_child_with_attr },
	{ "child_with_name", l_child_with_name },
	{ "child_with_ns", l_child_with_ns },
	{ "get_text", l_get_text },
	{ "children", l_children },
	{ "childtags", l_childtags },
	{ "find", l_find },
	{ "get_error", l_get_error },
	{ NULL, NULL },
};
