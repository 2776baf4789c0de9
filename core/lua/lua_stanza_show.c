/* The methods of a stanza that make text of it for people: the tag alone, colours for a terminal, indented lines. */
#include "lua/lua_stanza_private.h"
#include "xml/stanza.h"

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

const luaL_Reg l_stanza_shows[] = {
	{ "top_tag", l_top_tag },
	{ "pretty_print", l_pretty_print },
	{ "pretty_top_tag", l_pretty_top_tag },
	{ "indent", l_indent },
	{ NULL, NULL },
};
