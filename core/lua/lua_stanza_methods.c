/* The methods of a stanza that build and change it. Names and meanings are Prosody's. An element built without a
 * namespace is in its parent's. */
#include "lua/bind.h"
#include "lua/lua_stanza_private.h"
#include "xml/stanza.h"
#include "xmpp/ns.h"

static int return_self(lua_State *L)
{
	lua_settop(L, 1);
	return 1;
}

/* ---- building ---- */

/* The element the cursor is at; a cursor whose element was removed goes back to the top. */
static struct el cursor_of(struct handle *h)
{
	const struct stanza *st = stanza_of(h);
	for (struct el el = h->cursor; !el_is_none(el); el = el_parent(st, el))
		if (el_equal(el, h->el))
			return h->cursor;
	h->cursor = h->el;
	return h->el;
}

static struct slice l_check_name_arg(lua_State *L, int arg, const char *what)
{
	struct slice name = SLICE_NONE;
	if (lua_type(L, arg) != LUA_TSTRING)
		luaL_error(L, "invalid %s: expected string, got %s", what, luaL_typename(L, arg));
	name.ptr = lua_tolstring(L, arg, &name.len);
	l_check_name(L, name, what);
	return name;
}

static int l_tag(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	struct new_attrs attrs;
	struct slice name = l_check_name_arg(L, 2, "tag name");
	l_read_attrs(L, 3, &attrs);
	h->cursor = l_add_element(L, 1, h, cursor_of(h), name, &attrs);
	return return_self(L);
}

void l_add_text(lua_State *L, int arg, struct handle *h, struct el parent, struct slice text)
{
	l_check_room(L, h, text.len);
	l_open_change(L, arg, h);
	el_add_text(stanza_of(h), parent, text);
	lua_pop(L, 1);
}

static struct slice l_opt_text_arg(lua_State *L, int arg)
{
	if (lua_isnoneornil(L, arg))
		return SLICE_NONE;
	if (lua_type(L, arg) != LUA_TSTRING)
		luaL_error(L, "invalid text value: expected string, got %s", luaL_typename(L, arg));
	return l_check_text_arg(L, arg, "text value");
}

static int l_text(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	struct slice text = l_opt_text_arg(L, 2);
	if (text.len > 0)
		l_add_text(L, 1, h, cursor_of(h), text);
	return return_self(L);
}

/* <name attrs>text</name>, the cursor stays. */
static int l_add_text_tag(lua_State *L, struct slice name, int text_arg, int attr_arg)
{
	struct handle *h = l_check_handle(L, 1);
	struct new_attrs attrs;
	struct slice text = l_opt_text_arg(L, text_arg);
	l_read_attrs(L, attr_arg, &attrs);
	struct el el = l_add_element(L, 1, h, cursor_of(h), name, &attrs);
	if (text.len > 0)
		l_add_text(L, 1, h, el, text);
	return return_self(L);
}

static int l_text_tag(lua_State *L)
{
	lua_settop(L, 4);
	return l_add_text_tag(L, l_check_name_arg(L, 2, "tag name"), 3, 4);
}

static int l_body(lua_State *L)
{
	lua_settop(L, 3);
	return l_add_text_tag(L, SLICE("body"), 2, 3);
}

static int l_query(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	struct new_attrs attrs = { .ns = l_opt_slice(L, 2) };
	l_check_ns(L, attrs.ns);
	h->cursor = l_add_element(L, 1, h, cursor_of(h), SLICE("query"), &attrs);
	return return_self(L);
}

static int l_up(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	struct el cursor = cursor_of(h);
	if (!el_equal(cursor, h->el))
		h->cursor = el_parent(stanza_of(h), cursor);
	return return_self(L);
}

static int l_reset(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	h->cursor = h->el;
	return return_self(L);
}

static int l_at_top(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	lua_pushboolean(L, el_equal(cursor_of(h), h->el));
	return 1;
}

/* A stanza, or a string as text, below parent. */
static void l_add_any(lua_State *L, int arg, struct handle *h, struct el parent, int from)
{
	if (lua_type(L, from) == LUA_TSTRING) {
		l_add_text(L, arg, h, parent, l_check_text_arg(L, from, "text value"));
		return;
	}
	luaL_argexpected(L, l_test_handle(L, from) != NULL, from, "stanza or string");
	l_add_stanza(L, arg, h, parent, from);
}

static int l_add_child(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	lua_settop(L, 2);
	l_add_any(L, 1, h, cursor_of(h), 2);
	return return_self(L);
}

static int l_add_direct_child(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	lua_settop(L, 2);
	l_add_any(L, 1, h, h->el, 2);
	return return_self(L);
}

/* ---- changing ---- */

/* fn(child) gives the child to keep, another stanza to replace it, or nil to remove it. */
static int l_maptags(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	const struct root *root = h->owner;
	uint32_t count = el_count(stanza_of(h), h->el), i = 0;
	struct el *children = lua_newuserdatauv(L, (count + 1) * sizeof(*children), 0);
	for (struct el el = el_first(stanza_of(h), h->el); !el_is_none(el); el = el_next(stanza_of(h), el))
		children[i++] = el;
	for (i = 0; i < count; i++) {
		if (h->owner != root)
			return luaL_error(L, "the stanza was added to another one while its tags were mapped");
		if (!el_equal(el_parent(stanza_of(h), children[i]), h->el))
			continue; /* fn has removed it */
		lua_settop(L, 3);
		l_push_node(L, 1, h, children[i]);
		lua_pushvalue(L, 2);
		lua_pushvalue(L, 4);
		lua_call(L, 1, 1);
		if (lua_rawequal(L, 4, 5) || h->owner != root || !el_equal(el_parent(stanza_of(h), children[i]), h->el))
			continue;
		if (lua_isnil(L, 5)) {
			l_open_change(L, 1, h);
			el_remove(stanza_of(h), children[i]);
		} else {
			l_replace_with_stanza(L, 1, h, children[i], 5);
		}
	}
	return return_self(L);
}

static int l_remove_children(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	struct slice name = l_opt_slice(L, 2), ns = l_opt_slice(L, 3);
	struct el el = el_child(stanza_of(h), h->el, name, ns);
	l_open_change(L, 1, h);
	while (!el_is_none(el)) {
		struct el next = el_next_child(stanza_of(h), el, name, ns);
		el_remove(stanza_of(h), el);
		el = next;
	}
	return return_self(L);
}

static void l_add_condition(lua_State *L, int arg, struct handle *h, struct el error, struct slice name,
	struct slice ns, struct slice text)
{
	struct new_attrs attrs = { .ns = ns };
	struct el el = l_add_element(L, arg, h, error, name, &attrs);
	if (text.len > 0)
		l_add_text(L, arg, h, el, text);
}

/* A field of the table at index, left on the stack; SLICE_NONE when it is no string. */
static struct slice push_field(lua_State *L, int index, const char *name)
{
	struct slice s = SLICE_NONE;
	if (lua_istable(L, index) && lua_getfield(L, index, name) == LUA_TSTRING)
		s.ptr = lua_tolstring(L, -1, &s.len);
	else if (!lua_istable(L, index))
		lua_pushnil(L);
	return s;
}

void l_add_error(lua_State *L, int arg, struct handle *h, int type_arg)
{
	/* type, condition, text, by; an error object (util.error) brings them along, and extra. */
	lua_settop(L, type_arg + 3);
	int condition_arg = type_arg + 1, text_arg = type_arg + 2, by_arg = type_arg + 3;
	int extra = type_arg + 4;
	luaL_checkstack(L, 16, NULL);
	lua_pushnil(L);
	if (lua_istable(L, type_arg)) {
		int object = lua_gettop(L) + 1;
		lua_pushvalue(L, type_arg);
		push_field(L, object, "extra");
		lua_replace(L, extra);
		lua_getfield(L, object, "context");
		if (push_field(L, object + 1, "by").ptr != NULL)
			lua_replace(L, by_arg);
		push_field(L, object, "condition");
		lua_replace(L, condition_arg);
		push_field(L, object, "text");
		lua_replace(L, text_arg);
		push_field(L, object, "type");
		lua_replace(L, type_arg);
		lua_settop(L, extra);
	}

	struct slice type = l_check_text_arg(L, type_arg, "error type");
	struct slice condition = l_check_name_arg(L, condition_arg, "error condition");
	struct slice text = l_opt_text_arg(L, text_arg), by = SLICE_NONE;
	if (!lua_isnil(L, by_arg))
		by = l_check_text_arg(L, by_arg, "by");
	struct new_attrs attrs = { .count = 0 };
	/* Whose error it is, when that is not the sender (RFC 6120 8.3.1). */
	if (by.len > 0 && !slice_equal(by, el_attr(stanza_of(h), h->el, SLICE("from")))) {
		attrs.items[attrs.count].name = SLICE("by");
		attrs.items[attrs.count++].value = by;
	}
	attrs.items[attrs.count].name = SLICE("type");
	attrs.items[attrs.count++].value = type;
	struct el error = l_add_element(L, arg, h, cursor_of(h), SLICE("error"), &attrs);
	h->cursor = error;

	/* RFC 6120 8.3.3.5, 8.3.3.14: the new address is the condition's text. */
	struct slice uri = push_field(L, extra, "uri");
	bool has_uri = uri.ptr != NULL && (slice_is(condition, "gone") || slice_is(condition, "redirect"));
	if (has_uri)
		l_check_text(L, uri, "uri");
	l_add_condition(L, arg, h, error, condition, NS_STANZA_ERRORS, has_uri ? uri : SLICE_NONE);
	if (text.len > 0)
		l_add_condition(L, arg, h, error, SLICE("text"), NS_STANZA_ERRORS, text);

	push_field(L, extra, "tag");
	if (l_test_handle(L, lua_gettop(L)) != NULL) {
		l_add_stanza(L, arg, h, error, lua_gettop(L));
		return;
	}
	struct slice ns = push_field(L, extra, "namespace"), name = push_field(L, extra, "condition");
	if (ns.ptr != NULL && name.ptr != NULL) {
		l_check_ns(L, ns);
		l_check_name(L, name, "error condition");
		l_add_condition(L, arg, h, error, name, ns, SLICE_NONE);
	}
}

static int l_method_add_error(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	l_add_error(L, 1, h, 2);
	h->cursor = el_parent(stanza_of(h), h->cursor);
	return return_self(L);
}

const luaL_Reg l_stanza_methods[] = {
	{ "tag", l_tag },
	{ "text", l_text },
	{ "text_tag", l_text_tag },
	{ "body", l_body },
	{ "query", l_query },
	{ "up", l_up },
	{ "reset", l_reset },
	{ "at_top", l_at_top },
	{ "add_child", l_add_child },
	{ "add_direct_child", l_add_direct_child },
	{ "maptags", l_maptags },
	{ "remove_children", l_remove_children },
	{ "add_error", l_method_add_error },
	{ NULL, NULL },
};
