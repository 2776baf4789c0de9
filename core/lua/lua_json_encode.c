/* util.json's writing. Fails on broken UTF-8, infinities, NaN and tables nested too deeply (or in themselves);
 * functions, threads and userdata become null, as modules expect. */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "lua/json_private.h"
#include "lua/out.h"

struct encoder {
	lua_State *L;
	struct out out;
	bool is_ordered;
	const char *error; /* why not, once it has failed */
};

static bool l_encode_value(struct encoder *e, int depth);

static bool encode_failed(struct encoder *e, const char *error)
{
	e->error = error;
	return false;
}

static bool l_encode_string(struct encoder *e, int index)
{
	struct slice text;
	size_t start = 0;

	text.ptr = lua_tolstring(e->L, index, &text.len);
	if (!utf8_is_valid(text))
		return encode_failed(e, "a string is not valid UTF-8");
	l_out_byte(&e->out, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		l_out_add(&e->out, text.ptr + start, i - start);
		start = i + 1;
		const char *letters = "\"\"\\\\\bb\ff\nn\rr\tt", *known = memchr(letters, c, 14);
		if (known == NULL) {
			char escape[] = { '\\', 'u', '0', '0', 0, 0 };
			hex_write(&c, 1, escape + 4);
			l_out_add(&e->out, escape, sizeof(escape));
		} else {
			l_out_byte(&e->out, '\\');
			l_out_byte(&e->out, known[1]);
		}
	}
	l_out_add(&e->out, text.ptr + start, text.len - start);
	l_out_byte(&e->out, '"');
	return true;
}

static bool l_encode_number(struct encoder *e, int index)
{
	char text[40];
	int len;

	if (lua_isinteger(e->L, index)) {
		len = snprintf(text, sizeof(text), LUA_INTEGER_FMT, lua_tointeger(e->L, index));
	} else {
		double number = lua_tonumber(e->L, index);
		if (!isfinite(number))
			return encode_failed(e, "JSON has no infinity and no NaN");
		/* The shortest that reads back the same. */
		for (int digits = 15; digits <= 17; digits++) {
			len = snprintf(text, sizeof(text), "%.*g", digits, number);
			if (strtod(text, NULL) == number)
				break;
		}
		if (strpbrk(text, ".e") == NULL)
			len += snprintf(text + len, sizeof(text) - (size_t)len, ".0"); /* stays a float */
	}
	l_out_add(&e->out, text, (size_t)len);
	return true;
}

/* The length of the list part: 1..n without holes. */
static lua_Integer list_length(lua_State *L, int index)
{
	lua_Integer n = 0;
	int type;
	do {
		type = lua_rawgeti(L, index, n + 1);
		lua_pop(L, 1);
		n++;
	} while (type != LUA_TNIL);
	return n - 1;
}

static bool l_encode_list(struct encoder *e, int index, lua_Integer n, int depth)
{
	l_out_byte(&e->out, '[');
	for (lua_Integer i = 1; i <= n; i++) {
		if (i > 1)
			l_out_byte(&e->out, ',');
		lua_rawgeti(e->L, index, i);
		if (!l_encode_value(e, depth))
			return false;
		lua_pop(e->L, 1);
	}
	l_out_byte(&e->out, ']');
	return true;
}

enum key_kind { KEY_LIST, KEY_STRING, KEY_OTHER };

static enum key_kind kind_of_key(lua_State *L, int index, lua_Integer n_list)
{
	size_t len;
	if (lua_type(L, index) == LUA_TSTRING) {
		const char *text = lua_tolstring(L, index, &len);
		struct slice key = slice_of(text, len);
		return slice_is(key, "__hash") || slice_is(key, "__array") ? KEY_OTHER : KEY_STRING;
	}
	if (lua_isinteger(L, index) && lua_tointeger(L, index) >= 1 && lua_tointeger(L, index) <= n_list)
		return KEY_LIST;
	return KEY_OTHER;
}

/* By type, numbers by value, strings by bytes; a and b are keys on the stack. */
static bool is_key_less(lua_State *L, int a, int b)
{
	int type_a = lua_type(L, a), type_b = lua_type(L, b);
	if (type_a != type_b)
		return type_a < type_b;
	if (type_a == LUA_TNUMBER || type_a == LUA_TSTRING)
		return lua_compare(L, a, b, LUA_OPLT);
	if (type_a == LUA_TBOOLEAN)
		return lua_toboolean(L, a) < lua_toboolean(L, b);
	return false;
}

/* Lets keys[at], in the heap of n that lies in the list on top of the stack, sink to its place. */
static void l_sink_key(lua_State *L, lua_Integer at, lua_Integer n)
{
	for (lua_Integer child; (child = 2 * at) <= n; at = child) {
		lua_rawgeti(L, -1, child);
		if (child < n) {
			lua_rawgeti(L, -2, child + 1);
			if (is_key_less(L, -2, -1)) {
				lua_remove(L, -2);
				child++;
			} else {
				lua_pop(L, 1);
			}
		}
		lua_rawgeti(L, -2, at);
		if (!is_key_less(L, -1, -2)) {
			lua_pop(L, 2);
			return;
		}
		lua_rawseti(L, -3, child); /* the parent goes down, */
		lua_rawseti(L, -2, at);    /* the child up */
	}
}

/* Leaves a sorted list of the table's keys on the stack; gives their number. */
static lua_Integer l_push_sorted_keys(lua_State *L, int index)
{
	lua_Integer n = 0;
	lua_newtable(L);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pop(L, 1);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, ++n);
	}
	for (lua_Integer i = n / 2; i >= 1; i--)
		l_sink_key(L, i, n);
	for (lua_Integer i = n; i > 1; i--) {
		lua_rawgeti(L, -1, 1);
		lua_rawgeti(L, -2, i);
		lua_rawseti(L, -3, 1);
		lua_rawseti(L, -2, i);
		l_sink_key(L, 1, i - 1);
	}
	return n;
}

/* One pass over the entries of one kind. Writes "key":value, or key,value for what goes into "__hash". */
static bool l_encode_entries(struct encoder *e, int index, enum key_kind kind, lua_Integer n_list, bool *is_first,
	int depth)
{
	lua_State *L = e->L;
	lua_Integer n_keys = e->is_ordered ? l_push_sorted_keys(L, index) : 0, at = 0;
	int keys = lua_gettop(L);

	if (!e->is_ordered)
		lua_pushnil(L);
	for (;;) {
		if (e->is_ordered) {
			if (at++ == n_keys)
				break;
			lua_rawgeti(L, keys, at);
			lua_pushvalue(L, -1);
			lua_rawget(L, index);
		} else if (lua_next(L, index) == 0) {
			break;
		}
		if (kind_of_key(L, -2, n_list) == kind) {
			if (!*is_first)
				l_out_byte(&e->out, ',');
			*is_first = false;
			if (kind == KEY_STRING) {
				if (!l_encode_string(e, -2))
					return false;
				l_out_byte(&e->out, ':');
			} else {
				lua_pushvalue(L, -2);
				if (!l_encode_value(e, depth))
					return false;
				lua_pop(L, 1);
				l_out_byte(&e->out, ',');
			}
			if (!l_encode_value(e, depth))
				return false;
		}
		lua_pop(L, e->is_ordered ? 2 : 1);
	}
	if (e->is_ordered)
		lua_pop(L, 1);
	return true;
}

static bool l_encode_table(struct encoder *e, int index, int depth)
{
	lua_State *L = e->L;
	lua_Integer n_list = list_length(L, index), n_entries = 0;
	bool has_other = false, is_first = true;

	if (json_is_array(L, index))
		return l_encode_list(e, index, n_list, depth);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pop(L, 1);
		n_entries++;
		has_other = has_other || kind_of_key(L, -1, n_list) == KEY_OTHER;
	}
	if (n_list > 0 && n_entries == n_list)
		return l_encode_list(e, index, n_list, depth);

	l_out_byte(&e->out, '{');
	if (has_other) {
		l_out_text(&e->out, "\"__hash\":[");
		if (!l_encode_entries(e, index, KEY_OTHER, n_list, &is_first, depth))
			return false;
		l_out_byte(&e->out, ']');
	}
	is_first = !has_other;
	if (!l_encode_entries(e, index, KEY_STRING, n_list, &is_first, depth))
		return false;
	if (n_list > 0) {
		if (!is_first)
			l_out_byte(&e->out, ',');
		l_out_text(&e->out, "\"__array\":");
		if (!l_encode_list(e, index, n_list, depth))
			return false;
	}
	l_out_byte(&e->out, '}');
	return true;
}

/* The value on top of the stack, which stays there. depth is how deep it stands. */
static bool l_encode_value(struct encoder *e, int depth)
{
	lua_State *L = e->L;
	int index = lua_gettop(L);

	switch (lua_type(L, index)) {
	case LUA_TBOOLEAN:
		if (lua_toboolean(L, index))
			l_out_text(&e->out, "true");
		else
			l_out_text(&e->out, "false");
		return true;
	case LUA_TNUMBER:
		return l_encode_number(e, index);
	case LUA_TSTRING:
		return l_encode_string(e, index);
	case LUA_TTABLE:
		if (lua_rawequal(L, index, JSON_NULL_INDEX))
			break;
		if (depth == JSON_DEPTH_MAX)
			return encode_failed(e, "nested too deeply, or a table that contains itself");
		luaL_checkstack(L, JSON_STACK_PER_LEVEL, "json");
		return l_encode_table(e, index, depth + 1);
	default:
		break;
	}
	l_out_text(&e->out, "null");
	return true;
}

static int l_encode_as(lua_State *L, bool is_ordered, bool as_array)
{
	struct encoder e = { .L = L, .is_ordered = is_ordered };

	if (lua_gettop(L) == 0)
		lua_pushnil(L); /* null, as for nil */
	lua_settop(L, 1);
	if (as_array)
		luaL_checktype(L, 1, LUA_TTABLE);
	l_out_init(&e.out, L);
	lua_pushvalue(L, 1);
	bool ok = as_array ? l_encode_list(&e, 1, list_length(L, 1), 1) : l_encode_value(&e, 0);
	if (!ok) {
		lua_pushnil(L);
		lua_pushstring(L, e.error);
		return 2;
	}
	l_out_push(&e.out);
	return 1;
}

/* encode(value) -> text | nil, why */
int l_json_encode(lua_State *L)
{
	return l_encode_as(L, false, false);
}

/* encode_ordered(value) -> text with sorted keys: the same for equal values | nil, why */
int l_json_encode_ordered(lua_State *L)
{
	return l_encode_as(L, true, false);
}

/* encode_array(list) -> text, "[]" for an empty table; other keys are left out | nil, why */
int l_json_encode_array(lua_State *L)
{
	return l_encode_as(L, false, true);
}
