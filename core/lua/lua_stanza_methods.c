/* The methods of a stanza: building, searching, changing, and text for people. Names and meanings are Prosody's.
 * Looking for children, a namespace left out means the parent's, and an element built without one is in its
 * parent's. */
#include <string.h>

#include "lua/lua_stanza_private.h"
#include "xml/stanza.h"
#include "xml/write.h"

#define STANZA_ERRORS "urn:ietf:params:xml:ns:xmpp-stanzas" /* RFC 6120 8.3.3 */

/* A string or nothing. */
static struct slice l_opt_slice(lua_State *L, int arg)
{
	struct slice s = SLICE_NONE;
	if (!lua_isnoneornil(L, arg))
		s.ptr = luaL_checklstring(L, arg, &s.len);
	return s;
}

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

void l_add_any(lua_State *L, int arg, struct handle *h, struct el parent, int from)
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

/* ---- searching ---- */

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
	struct slice name;
	name.ptr = luaL_checklstring(L, 4, &name.len);
	return push_attr(L, stanza_of(h), child_of(h, l_opt_slice(L, 2), l_opt_slice(L, 3)), name);
}

/* (name, xmlns, attribute, value[, normalise]) */
static int l_get_child_with_attr(lua_State *L)
{
	struct handle *h = l_check_handle(L, 1);
	struct slice name = l_opt_slice(L, 2), ns = l_opt_slice(L, 3), attr;
	attr.ptr = luaL_checklstring(L, 4, &attr.len);
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
	struct slice wanted;
	wanted.ptr = luaL_checklstring(L, 2, &wanted.len);
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
	struct slice path;
	path.ptr = luaL_checklstring(L, 2, &path.len);
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
		if (!slice_is(el_ns(st, el), STANZA_ERRORS)) {
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
	struct el el = child_of(h, name, ns);
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
	l_add_condition(L, arg, h, error, condition, SLICE(STANZA_ERRORS), has_uri ? uri : SLICE_NONE);
	if (text.len > 0)
		l_add_condition(L, arg, h, error, SLICE("text"), SLICE(STANZA_ERRORS), text);

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

/* ---- for people ---- */

/* An element without children is written as <name .../>: the tag is that without the slash. */
static void l_push_top_tag(lua_State *L, const struct handle *h)
{
	struct stanza *top = stanza_clone_top(stanza_of(h), h->el);
	if (el_in_stream_ns(stanza_of(h), h->el))
		el_set_stream_ns(top, stanza_root(top), el_ns(stanza_of(h), h->el));
	l_push_stanza(L, &top);
	l_push_serialized(L, lua_touserdata(L, -1));
	size_t len;
	const char *text = lua_tolstring(L, -1, &len);
	lua_pushlstring(L, text, len - 2);
	lua_pushliteral(L, ">");
	lua_concat(L, 2);
}

static int l_top_tag(lua_State *L)
{
	l_push_top_tag(L, l_check_handle(L, 1));
	return 1;
}

/* Colours our own XML for a terminal: marks dim, names bright, values of their own colour. */
static int push_coloured(lua_State *L)
{
	static const char mark[] = "\033[2m", name[] = "\033[1;36m", value[] = "\033[33m", plain[] = "\033[0m";
	size_t len;
	const char *text = lua_tolstring(L, -1, &len);
	luaL_Buffer out;
	luaL_buffinit(L, &out);
	bool in_tag = false, in_value = false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_value) {
			luaL_addchar(&out, c);
			if (c == '\'') {
				luaL_addstring(&out, plain);
				in_value = false;
			}
		} else if (c == '<') {
			in_tag = true;
			luaL_addstring(&out, mark);
			luaL_addchar(&out, c);
			if (text[i + 1] == '/')
				luaL_addchar(&out, text[++i]);
			luaL_addstring(&out, plain);
			luaL_addstring(&out, name);
		} else if (in_tag && (c == '>' || (c == '/' && text[i + 1] == '>'))) {
			luaL_addstring(&out, plain);
			luaL_addstring(&out, mark);
			luaL_addchar(&out, c);
			if (c == '/')
				luaL_addchar(&out, text[++i]);
			luaL_addstring(&out, plain);
			in_tag = false;
		} else if (in_tag && c == '\'') {
			luaL_addstring(&out, value);
			luaL_addchar(&out, c);
			in_value = true;
		} else {
			if (in_tag && c == ' ')
				luaL_addstring(&out, plain);
			luaL_addchar(&out, c);
		}
	}
	luaL_pushresult(&out);
	return 1;
}

static int l_pretty_print(lua_State *L)
{
	l_push_serialized(L, l_check_handle(L, 1));
	return push_coloured(L);
}

static int l_pretty_top_tag(lua_State *L)
{
	l_push_top_tag(L, l_check_handle(L, 1));
	return push_coloured(L);
}

/* Pushes a line break and so many times the string at arg. */
static struct slice push_line(lua_State *L, int arg, lua_Integer level)
{
	luaL_Buffer line;
	luaL_buffinit(L, &line);
	luaL_addchar(&line, '\n');
	for (; level > 0; level--) {
		lua_pushvalue(L, arg);
		luaL_addvalue(&line);
	}
	luaL_pushresult(&line);
	struct slice s;
	s.ptr = lua_tolstring(L, -1, &s.len);
	return s;
}

/* The element itself, as a child of parent in the stanza at arg. */
static struct el copy_tag(lua_State *L, int arg, struct handle *h, struct el parent, const struct stanza *from_st,
	struct el from)
{
	struct new_attrs attrs = { .ns = visible_ns(from_st, from) };
	uint32_t at = 0;
	while (attrs.count < ATTRS_MAX &&
		el_next_attr(from_st, from, &at, &attrs.items[attrs.count].name, &attrs.items[attrs.count].value))
		attrs.count++;
	return l_add_element(L, arg, h, parent, el_name(from_st, from), &attrs);
}

/* Gives a copy for reading: a line for each node of an element that has child elements, indented by its depth. */
static int l_indent(lua_State *L)
{
	const struct handle *source = l_check_handle(L, 1);
	lua_Integer level = luaL_optinteger(L, 2, 1);
	lua_settop(L, 3);
	if (lua_isnil(L, 3)) {
		lua_pushliteral(L, "\t");
		lua_replace(L, 3);
	}
	luaL_checkstring(L, 3);
	const struct stanza *from_st = stanza_of(source);
	struct stanza *top = stanza_clone_top(from_st, source->el);
	l_push_stanza(L, &top);
	struct handle *h = lua_touserdata(L, 4);
	struct el from = source->el, to = h->el;
	for (;;) {
		struct el child = el_is_text(from_st, from) ? EL_NONE : el_first_node(from_st, from);
		if (!el_is_none(child)) {
			if (!el_is_none(el_first(from_st, from)))
				l_add_text(L, 4, h, to, push_line(L, 3, level));
			level++;
			from = child;
		} else {
			/* Up from a last node: the end tag has a line of its own too. */
			while (!el_equal(from, source->el) && el_is_none(el_next_node(from_st, from))) {
				from = el_parent(from_st, from);
				level--;
				if (!el_is_none(el_first(from_st, from)))
					l_add_text(L, 4, h, to, push_line(L, 3, level - 1));
				to = el_parent(stanza_of(h), to);
			}
			lua_settop(L, 4);
			if (el_equal(from, source->el))
				return 1;
			from = el_next_node(from_st, from);
			l_add_text(L, 4, h, to, push_line(L, 3, level - 1));
		}
		lua_settop(L, 4);
		if (el_is_text(from_st, from))
			l_add_text(L, 4, h, to, el_text_of(from_st, from));
		else if (el_is_none(el_first_node(from_st, from)))
			copy_tag(L, 4, h, to, from_st, from);
		else
			to = copy_tag(L, 4, h, to, from_st, from);
	}
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
	{ "maptags", l_maptags },
	{ "remove_children", l_remove_children },
	{ "add_error", l_method_add_error },
	{ "top_tag", l_top_tag },
	{ "pretty_print", l_pretty_print },
	{ "pretty_top_tag", l_pretty_top_tag },
	{ "indent", l_indent },
	{ NULL, NULL },
};
