/* util.stanza: the functions that make stanzas. */
#include <string.h>

#include "lua/bind.h"
#include "lua/libs.h"
#include "lua/lua_stanza_private.h"
#include "xml/write.h"

/* Pushes a new root as the table of attributes at attr_arg says. */
static struct handle *l_push_new(lua_State *L, struct slice name, int attr_arg)
{
	struct new_attrs attrs;
	l_read_attrs(L, attr_arg, &attrs);
	struct handle *h = l_new_root(L, name, attrs.ns);
	size_t bytes = 0;
	for (size_t i = 0; i < attrs.count; i++)
		bytes += attrs.items[i].name.len + attrs.items[i].value.len;
	l_check_room(L, h, bytes);
	set_attrs(stanza_of(h), h->el, &attrs);
	return h;
}

/* stanza(name, attr) */
static int l_stanza(lua_State *L)
{
	lua_settop(L, 2);
	if (lua_type(L, 1) != LUA_TSTRING)
		return luaL_error(L, "invalid tag name: expected string, got %s", luaL_typename(L, 1));
	struct slice name;
	name.ptr = lua_tolstring(L, 1, &name.len);
	l_check_name(L, name, "tag name");
	l_push_new(L, name, 2);
	return 1;
}

/* message(attr, body) */
static int l_message(lua_State *L)
{
	lua_settop(L, 2);
	struct slice body = SLICE_NONE;
	if (!lua_isnil(L, 2))
		body = l_check_text_arg(L, 2, "text value");
	struct handle *h = l_push_new(L, SLICE("message"), 1);
	if (body.ptr != NULL) {
		struct new_attrs attrs = { .count = 0 };
		struct el el = l_add_element(L, 3, h, h->el, SLICE("body"), &attrs);
		if (body.len > 0)
			l_add_text(L, 3, h, el, body);
	}
	return 1;
}

/* RFC 6120 8.2.3: an iq has an id and a type. */
static int l_iq(lua_State *L)
{
	lua_settop(L, 1);
	struct handle *h = l_push_new(L, SLICE("iq"), 1);
	bool has_id = el_attr(stanza_of(h), h->el, SLICE("id")).ptr != NULL;
	bool has_type = el_attr(stanza_of(h), h->el, SLICE("type")).ptr != NULL;
	if (!has_id && !has_type)
		return luaL_error(L, "iq stanzas require id and type attributes");
	if (!has_id)
		return luaL_error(L, "iq stanzas require an id attribute");
	if (!has_type)
		return luaL_error(L, "iq stanzas require a type attribute");
	return 1;
}

static int l_presence(lua_State *L)
{
	lua_settop(L, 1);
	l_push_new(L, SLICE("presence"), 1);
	return 1;
}

static void copy_attr(struct handle *to, const char *to_name, const struct handle *from, const char *from_name)
{
	struct slice value = el_attr(stanza_of(from), from->el, slice_of_str(from_name));
	if (value.ptr != NULL)
		el_set_attr(stanza_of(to), to->el, slice_of_str(to_name), value);
}

/* Pushes an empty answer: same name and id, to and from swapped. type NULL: the request's own. */
static struct handle *l_push_reply(lua_State *L, const struct handle *from, const char *type)
{
	struct handle *h = l_new_root(L, el_name(stanza_of(from), from->el), SLICE_NONE);
	copy_attr(h, "id", from, "id");
	if (type != NULL)
		el_set_attr(stanza_of(h), h->el, SLICE("type"), slice_of_str(type));
	else
		copy_attr(h, "type", from, "type");
	copy_attr(h, "to", from, "from");
	copy_attr(h, "from", from, "to");
	return h;
}

static int l_reply(lua_State *L)
{
	const struct handle *from = l_check_handle(L, 1);
	bool is_iq = slice_is(el_name(stanza_of(from), from->el), "iq");
	l_push_reply(L, from, is_iq ? "result" : NULL);
	return 1;
}

/* error_reply(stanza, type | error, condition, text, by). An error is never answered with another (RFC 6120
 * 8.3.1). The cursor is left in <error/>, for conditions of one's own. */
static int l_error_reply(lua_State *L)
{
	const struct handle *from = l_check_handle(L, 1);
	if (slice_is(el_attr(stanza_of(from), from->el, SLICE("type")), "error"))
		return luaL_argerror(L, 1, "a stanza of type error must not be replied to");
	lua_settop(L, 5);
	struct handle *h = l_push_reply(L, from, "error");
	lua_insert(L, 2); /* the arguments of the error are behind it, 3 to 6 */
	l_add_error(L, 2, h, 3);
	lua_settop(L, 2);
	return 1;
}

/* clone(stanza[, only_top]) */
static int l_clone(lua_State *L)
{
	const struct handle *h = l_check_handle(L, 1);
	bool only_top = lua_toboolean(L, 2);
	struct stanza *copy = only_top ? stanza_clone_top(stanza_of(h), h->el) : stanza_clone(stanza_of(h), h->el);
	l_push_stanza(L, &copy);
	return 1;
}

static int l_is_stanza(lua_State *L)
{
	lua_settop(L, 1);
	lua_pushboolean(L, lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(1)));
	return 1;
}

static int l_preserialize(lua_State *L)
{
	const struct handle *h = l_check_handle(L, 1);
	l_push_preserialized(L, stanza_of(h), h->el);
	return 1;
}

/* A stanza is cloned, nil stays nil. */
static int l_deserialize(lua_State *L)
{
	lua_settop(L, 1);
	if (lua_isnil(L, 1))
		return 1;
	if (l_test_handle(L, 1) != NULL)
		return l_clone(L);
	luaL_checktype(L, 1, LUA_TTABLE);
	l_push_deserialized(L, 1);
	return 1;
}

static int l_xml_escape(lua_State *L)
{
	struct slice text = l_check_slice(L, 1);
	luaL_Buffer out;
	char *into = luaL_buffinitsize(L, &out, write_text_bound(text));
	luaL_pushresultsize(&out, write_text_into(into, text));
	return 1;
}

/* Colours XML text for a terminal, as :pretty_print() does. */
static int l_pretty_print(lua_State *L)
{
	l_check_handle(L, 1);
	lua_getfield(L, 1, "pretty_print");
	lua_pushvalue(L, 1);
	lua_call(L, 1, 1);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "stanza", l_stanza },
	{ "message", l_message },
	{ "iq", l_iq },
	{ "presence", l_presence },
	{ "reply", l_reply },
	{ "error_reply", l_error_reply },
	{ "clone", l_clone },
	{ "preserialize", l_preserialize },
	{ "deserialize", l_deserialize },
	{ "xml_escape", l_xml_escape },
	{ "pretty_print", l_pretty_print },
	{ NULL, NULL },
};

int l_open_stanza(lua_State *L)
{
	luaL_newlib(L, functions);
	l_push_stanza_metatable(L);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "stanza_mt");
	lua_pushcclosure(L, l_is_stanza, 1);
	lua_setfield(L, -2, "is_stanza");
	return 1;
}
