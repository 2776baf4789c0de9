/* util.literal's writing: text that any Lua, and Prosody, reads as the same value. */
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/slice.h"
#include "lua/literal_private.h"
#include "lua/out.h"

struct writer {
	lua_State *L;
	struct out out;
	const char *error;
};

static bool l_write_value(struct writer *w, int depth);

static void l_write_string(struct writer *w, int index)
{
	struct slice text;
	size_t start = 0;

	text.ptr = lua_tolstring(w->L, index, &text.len);
	l_out_byte(&w->out, '"');
	for (size_t i = 0; i < text.len; i++) {
		static const char letters[] = "\aa\bb\ff\nn\rr\tt\vv\\\\\"\"''";
		unsigned char c = (unsigned char)text.ptr[i];
		if (c >= ' ' && c < 127 && c != '"' && c != '\'' && c != '\\')
			continue;
		l_out_add(&w->out, text.ptr + start, i - start);
		start = i + 1;
		l_out_byte(&w->out, '\\');
		const char *known = memchr(letters, c, sizeof(letters) - 1);
		if (known != NULL) {
			l_out_byte(&w->out, known[1]);
		} else {
			char decimal[] = { (char)('0' + c / 100), (char)('0' + c / 10 % 10), (char)('0' + c % 10) };
			l_out_add(&w->out, decimal, sizeof(decimal));
		}
	}
	l_out_add(&w->out, text.ptr + start, text.len - start);
	l_out_byte(&w->out, '"');
}

static void l_write_number(struct writer *w, int index)
{
	char text[40];
	int len;

	if (lua_isinteger(w->L, index)) {
		lua_Integer number = lua_tointeger(w->L, index);
		if (number == LUA_MININTEGER) {
			l_out_text(&w->out, "0x8000000000000000"); /* its decimal digits would be read as a float */
			return;
		}
		len = snprintf(text, sizeof(text), LUA_INTEGER_FMT, number);
	} else {
		double number = lua_tonumber(w->L, index);
		if (isnan(number))
			len = snprintf(text, sizeof(text), "(0/0)");
		else if (isinf(number))
			len = snprintf(text, sizeof(text), number > 0 ? "(1/0)" : "(-1/0)");
		else
			len = snprintf(text, sizeof(text), "%.18g", number);
	}
	l_out_add(&w->out, text, (size_t)len);
}

static void l_write_indent(struct writer *w, int depth)
{
	for (int i = 0; i < depth; i++)
		l_out_byte(&w->out, '\t');
}

/* The table on top of the stack. */
static bool l_write_table(struct writer *w, int depth)
{
	lua_State *L = w->L;
	int table = lua_gettop(L);
	lua_Integer n = 0;
	bool is_empty = true;

	if (depth == LITERAL_DEPTH_MAX) {
		w->error = "nested too deeply, or a table that contains itself";
		return false;
	}
	luaL_checkstack(L, LITERAL_STACK_PER_LEVEL, "literal");
	l_out_byte(&w->out, '{');
	while (lua_rawgeti(L, table, n + 1) != LUA_TNIL) {
		l_out_byte(&w->out, '\n');
		is_empty = false;
		l_write_indent(w, depth + 1);
		if (!l_write_value(w, depth + 1))
			return false;
		l_out_byte(&w->out, ';');
		lua_pop(L, 1);
		n++;
	}
	while (lua_next(L, table) != 0) { /* begins with the nil that ended the list */
		if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= n) {
			lua_pop(L, 1);
			continue;
		}
		l_out_byte(&w->out, '\n');
		is_empty = false;
		l_write_indent(w, depth + 1);
		l_out_byte(&w->out, '[');
		lua_pushvalue(L, -2);
		if (!l_write_value(w, depth + 1))
			return false;
		lua_pop(L, 1);
		l_out_text(&w->out, "] = ");
		if (!l_write_value(w, depth + 1))
			return false;
		l_out_byte(&w->out, ';');
		lua_pop(L, 1);
	}
	if (!is_empty) {
		l_out_byte(&w->out, '\n');
		l_write_indent(w, depth);
	}
	l_out_byte(&w->out, '}');
	return true;
}

/* The value on top of the stack, which stays there. */
static bool l_write_value(struct writer *w, int depth)
{
	lua_State *L = w->L;

	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		l_out_text(&w->out, "nil");
		return true;
	case LUA_TBOOLEAN:
		if (lua_toboolean(L, -1))
			l_out_text(&w->out, "true");
		else
			l_out_text(&w->out, "false");
		return true;
	case LUA_TNUMBER:
		l_write_number(w, -1);
		return true;
	case LUA_TSTRING:
		l_write_string(w, -1);
		return true;
	case LUA_TTABLE:
		return l_write_table(w, depth);
	default:
		w->error = "functions, threads and userdata are no data";
		return false;
	}
}

static int l_encode_between(lua_State *L, struct slice before, struct slice after)
{
	struct writer w = { .L = L };

	luaL_checkany(L, 1);
	lua_settop(L, 1);
	l_out_init(&w.out, L);
	l_out_add(&w.out, before.ptr, before.len);
	lua_pushvalue(L, 1);
	if (!l_write_value(&w, 0)) {
		lua_pushnil(L);
		lua_pushstring(L, w.error);
		return 2;
	}
	l_out_add(&w.out, after.ptr, after.len);
	l_out_push(&w.out);
	return 1;
}

/* encode(value) -> "return VALUE;\n", the whole of a .dat file, indented with tabs | nil, why */
static int l_encode(lua_State *L)
{
	return l_encode_between(L, SLICE("return "), SLICE(";\n"));
}

/* encode_value(value) -> VALUE alone | nil, why */
static int l_encode_value(lua_State *L)
{
	return l_encode_between(L, SLICE(""), SLICE(""));
}

/* encode_item(value) -> "item(VALUE);\n", one entry of a .list file | nil, why */
static int l_encode_item(lua_State *L)
{
	return l_encode_between(L, SLICE("item("), SLICE(");\n"));
}

static const luaL_Reg writers[] = {
	{ "encode", l_encode },
	{ "encode_value", l_encode_value },
	{ "encode_item", l_encode_item },
	{ NULL, NULL },
};

void l_add_literal_writers(lua_State *L)
{
	luaL_setfuncs(L, writers, 0);
}
