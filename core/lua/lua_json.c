/* util.json: JSON (RFC 8259) to Lua and back, in Prosody's dialect, which the SQL storage of both servers holds.
 *
 * The dialect: a table that is not purely a list or purely string-keyed is an object that holds its list part under
 * "__array" and its other keys under "__hash", as [key, value, key, value, ...]. Integers stay integers, null is a
 * value of its own (json.null). Decoding is strict: nothing but JSON in valid UTF-8, at most 256 deep. Encoding fails
 * on broken UTF-8, infinities, NaN and tables nested deeper than that (or in themselves); functions, threads and
 * userdata become null, as modules expect. */
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "lua/libs.h"
#include "lua/out.h"

#define DEPTH_MAX 256
#define STACK_PER_LEVEL 8

/* Upvalues of all functions: json.null, and the metatable of util.array (or our own when there is no such library). */
#define NULL_INDEX lua_upvalueindex(1)
#define ARRAY_INDEX lua_upvalueindex(2)

/* ---- encoding ---- */

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
	static const char digits[] = "0123456789abcdef";
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
			char escape[] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };
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

static bool is_array(lua_State *L, int index)
{
	bool answer = false;
	if (lua_getmetatable(L, index)) {
		answer = lua_rawequal(L, -1, ARRAY_INDEX);
		lua_pop(L, 1);
	}
	return answer;
}

static bool l_encode_table(struct encoder *e, int index, int depth)
{
	lua_State *L = e->L;
	lua_Integer n_list = list_length(L, index), n_entries = 0;
	bool has_other = false, is_first = true;

	if (is_array(L, index))
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
		if (lua_rawequal(L, index, NULL_INDEX))
			break;
		if (depth == DEPTH_MAX)
			return encode_failed(e, "nested too deeply, or a table that contains itself");
		luaL_checkstack(L, STACK_PER_LEVEL, "json");
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
static int l_encode(lua_State *L)
{
	return l_encode_as(L, false, false);
}

/* encode_ordered(value) -> text with sorted keys: the same for equal values | nil, why */
static int l_encode_ordered(lua_State *L)
{
	return l_encode_as(L, true, false);
}

/* encode_array(list) -> text, "[]" for an empty table; other keys are left out | nil, why */
static int l_encode_array(lua_State *L)
{
	return l_encode_as(L, false, true);
}

/* ---- decoding ---- */

struct decoder {
	lua_State *L;
	const char *at, *start, *end; /* *end is NUL: Lua's strings have one */
	const char *error;
};

static bool l_decode_value(struct decoder *d, int depth);

static bool decode_failed(struct decoder *d, const char *error)
{
	d->error = error;
	return false;
}

static void skip_space(struct decoder *d)
{
	while (*d->at == ' ' || *d->at == '\n' || *d->at == '\r' || *d->at == '\t')
		d->at++;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Four hex digits at d->at; -1 when they are none. Stops at the NUL by itself. */
static int32_t decode_hex(struct decoder *d)
{
	int32_t unit = 0;
	for (int i = 0; i < 4; i++) {
		int digit = hex_value(*d->at);
		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
		d->at++;
	}
	return unit;
}

/* After "\u". Half of a surrogate pair is no character (RFC 8259 8.2), so it is refused. */
static bool l_decode_unicode(struct decoder *d, luaL_Buffer *text)
{
	int32_t point = decode_hex(d);
	if (point >= 0xd800 && point <= 0xdbff) {
		if (d->at[0] != '\\' || d->at[1] != 'u')
			return decode_failed(d, "half a surrogate pair");
		d->at += 2;
		int32_t low = decode_hex(d);
		if (low < 0xdc00 || low > 0xdfff)
			return decode_failed(d, "half a surrogate pair");
		point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
	} else if (point < 0) {
		return decode_failed(d, "four hex digits expected after \\u");
	} else if (point >= 0xdc00 && point <= 0xdfff) {
		return decode_failed(d, "half a surrogate pair");
	}
	if (point < 0x80) {
		luaL_addchar(text, (char)point);
		return true;
	}
	if (point < 0x800) {
		luaL_addchar(text, (char)(0xc0 | point >> 6));
	} else {
		if (point < 0x10000) {
			luaL_addchar(text, (char)(0xe0 | point >> 12));
		} else {
			luaL_addchar(text, (char)(0xf0 | point >> 18));
			luaL_addchar(text, (char)(0x80 | (point >> 12 & 63)));
		}
		luaL_addchar(text, (char)(0x80 | (point >> 6 & 63)));
	}
	luaL_addchar(text, (char)(0x80 | (point & 63)));
	return true;
}

static bool l_decode_escape(struct decoder *d, luaL_Buffer *text)
{
	char c = *d->at++;
	switch (c) {
	case '"':
	case '\\':
	case '/':
		break;
	case 'b':
		c = '\b';
		break;
	case 'f':
		c = '\f';
		break;
	case 'n':
		c = '\n';
		break;
	case 'r':
		c = '\r';
		break;
	case 't':
		c = '\t';
		break;
	case 'u':
		return l_decode_unicode(d, text);
	default:
		d->at--;
		return decode_failed(d, "unknown escape");
	}
	luaL_addchar(text, c);
	return true;
}

static bool is_plain(char c)
{
	return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

/* Pushes the string whose quote is at d->at. */
static bool l_decode_string(struct decoder *d)
{
	luaL_Buffer text;
	const char *start = ++d->at;

	while (is_plain(*d->at))
		d->at++;
	if (*d->at == '"') { /* nothing escaped: most strings */
		lua_pushlstring(d->L, start, (size_t)(d->at++ - start));
		return true;
	}
	luaL_buffinit(d->L, &text);
	for (;;) {
		luaL_addlstring(&text, start, (size_t)(d->at - start));
		if (*d->at == '"')
			break;
		if (*d->at != '\\')
			return decode_failed(d, d->at == d->end ? "unfinished string" : "control character in string");
		d->at++;
		if (!l_decode_escape(d, &text))
			return false;
		for (start = d->at; is_plain(*d->at);)
			d->at++;
	}
	d->at++;
	luaL_pushresult(&text);
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool l_decode_number(struct decoder *d)
{
	const char *start = d->at;
	bool is_negative = *d->at == '-', is_float = false, is_big = false;
	uint64_t value = 0, limit = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);

	if (is_negative)
		d->at++;
	if (!is_digit(*d->at))
		return decode_failed(d, "digit expected");
	if (*d->at == '0' && is_digit(d->at[1]))
		return decode_failed(d, "number with a leading zero");
	for (; is_digit(*d->at); d->at++) {
		unsigned digit = (unsigned)(*d->at - '0');
		if (value > (limit - digit) / 10)
			is_big = true;
		else
			value = value * 10 + digit;
	}
	if (*d->at == '.') {
		is_float = true;
		if (!is_digit(*++d->at))
			return decode_failed(d, "digit expected");
		while (is_digit(*d->at))
			d->at++;
	}
	if (*d->at == 'e' || *d->at == 'E') {
		is_float = true;
		d->at++;
		if (*d->at == '+' || *d->at == '-')
			d->at++;
		if (!is_digit(*d->at))
			return decode_failed(d, "digit expected");
		while (is_digit(*d->at))
			d->at++;
	}
	if (!is_float && !is_big && !(is_negative && value == 0)) {
		lua_pushinteger(d->L, (lua_Integer)(is_negative ? 0 - value : value));
		return true;
	}
	double number = strtod(start, NULL);
	if (!isfinite(number))
		return decode_failed(d, "number out of range");
	lua_pushnumber(d->L, number);
	return true;
}

static bool decode_word(struct decoder *d, const char *word, size_t len)
{
	if ((size_t)(d->end - d->at) < len || memcmp(d->at, word, len) != 0)
		return decode_failed(d, "value expected");
	d->at += len;
	return true;
}

static bool l_decode_array(struct decoder *d, int depth)
{
	lua_State *L = d->L;

	d->at++;
	lua_newtable(L);
	lua_pushvalue(L, ARRAY_INDEX);
	lua_setmetatable(L, -2);
	skip_space(d);
	if (*d->at == ']') {
		d->at++;
		return true;
	}
	for (lua_Integer n = 1;; n++) {
		if (!l_decode_value(d, depth))
			return false;
		lua_rawseti(L, -2, n);
		skip_space(d);
		if (*d->at == ']') {
			d->at++;
			return true;
		}
		if (*d->at != ',')
			return decode_failed(d, "\",\" or \"]\" expected");
		d->at++;
		skip_space(d);
	}
}

/* Can these values be keys and values in turn? */
static bool are_entries(lua_State *L, int index)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, index);
	return is_array(L, index) && n % 2 == 0; /* decoded JSON holds no nil and no NaN, so any value can be a key */
}

/* Puts what the dialect keeps under "__array" and "__hash" where it belongs. What does not look like ours stays. */
static void l_merge_dialect(lua_State *L, int table)
{
	lua_pushliteral(L, "__array");
	lua_rawget(L, table);
	bool has_array = lua_istable(L, -1) && is_array(L, lua_gettop(L));
	lua_pushliteral(L, "__hash");
	lua_rawget(L, table);
	bool has_hash = lua_istable(L, -1) && are_entries(L, lua_gettop(L));
	int hash = lua_gettop(L), array = hash - 1;

	if (has_array) {
		lua_pushliteral(L, "__array");
		lua_pushnil(L);
		lua_rawset(L, table);
		for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, array); i <= n; i++) {
			lua_rawgeti(L, array, i);
			lua_rawseti(L, table, i);
		}
	}
	if (has_hash) {
		lua_pushliteral(L, "__hash");
		lua_pushnil(L);
		lua_rawset(L, table);
		for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, hash); i < n; i += 2) {
			lua_rawgeti(L, hash, i);
			lua_rawgeti(L, hash, i + 1);
			lua_rawset(L, table);
		}
	}
	lua_pop(L, 2);
}

static bool l_decode_object(struct decoder *d, int depth)
{
	lua_State *L = d->L;
	bool has_dialect = false;

	d->at++;
	lua_newtable(L);
	int table = lua_gettop(L);
	skip_space(d);
	if (*d->at == '}') {
		d->at++;
		return true;
	}
	for (;;) {
		if (*d->at != '"')
			return decode_failed(d, "string expected as a name");
		if (d->at[1] == '_' && d->at[2] == '_')
			has_dialect = true;
		if (!l_decode_string(d))
			return false;
		skip_space(d);
		if (*d->at != ':')
			return decode_failed(d, "\":\" expected");
		d->at++;
		if (!l_decode_value(d, depth))
			return false;
		lua_rawset(L, table);
		skip_space(d);
		if (*d->at == '}')
			break;
		if (*d->at != ',')
			return decode_failed(d, "\",\" or \"}\" expected");
		d->at++;
		skip_space(d);
	}
	d->at++;
	if (has_dialect)
		l_merge_dialect(L, table);
	return true;
}

/* Pushes the value at d->at. depth is how deep it stands. */
static bool l_decode_value(struct decoder *d, int depth)
{
	lua_State *L = d->L;

	skip_space(d);
	switch (*d->at) {
	case '{':
	case '[':
		if (depth == DEPTH_MAX)
			return decode_failed(d, "nested too deeply");
		luaL_checkstack(L, STACK_PER_LEVEL, "json");
		return *d->at == '{' ? l_decode_object(d, depth + 1) : l_decode_array(d, depth + 1);
	case '"':
		return l_decode_string(d);
	case 't':
		lua_pushboolean(L, true);
		return decode_word(d, "true", 4);
	case 'f':
		lua_pushboolean(L, false);
		return decode_word(d, "false", 5);
	case 'n':
		lua_pushvalue(L, NULL_INDEX);
		return decode_word(d, "null", 4);
	default:
		if (*d->at == '-' || is_digit(*d->at))
			return l_decode_number(d);
		return decode_failed(d, d->at == d->end ? "unexpected end" : "value expected");
	}
}

/* decode(text) -> value | nil, why and where ("... at byte 12", counted from 1) */
static int l_decode(lua_State *L)
{
	struct slice text;
	text.ptr = luaL_checklstring(L, 1, &text.len);
	struct decoder d = { .L = L, .at = text.ptr, .start = text.ptr, .end = text.ptr + text.len };

	lua_settop(L, 1);
	bool ok;
	if (!utf8_is_valid(text)) {
		size_t len;
		while ((len = utf8_length(slice_of(d.at, (size_t)(d.end - d.at)))) > 0)
			d.at += len;
		ok = decode_failed(&d, "invalid UTF-8");
	} else {
		ok = l_decode_value(&d, 0);
		if (ok) {
			skip_space(&d);
			if (d.at != d.end)
				ok = decode_failed(&d, "something follows the value");
		}
	}
	if (ok)
		return 1;
	lua_pushnil(L);
	lua_pushfstring(L, "%s at byte %I", d.error, (lua_Integer)(d.at - d.start) + 1);
	return 2;
}

/* ---- the library ---- */

static int l_null_tostring(lua_State *L)
{
	lua_pushliteral(L, "null");
	return 1;
}

/* Pushes the metatable of util.array, so that lists from JSON have its methods; else an empty one, which still tells an
 * empty list from an empty object. */
static void l_push_array_metatable(lua_State *L)
{
	int top = lua_gettop(L);

	lua_getglobal(L, "pcall"); /* Lua's own, to ask without failing */
	lua_getglobal(L, "require");
	lua_pushliteral(L, "util.array");
	lua_call(L, 2, 2);
	if (lua_toboolean(L, top + 1)) {
		lua_getfield(L, top + 2, "new");
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			lua_pushvalue(L, top + 2);
		}
		lua_call(L, 0, 1);
		if (lua_getmetatable(L, -1)) {
			lua_replace(L, top + 1);
			lua_settop(L, top + 1);
			return;
		}
	}
	lua_settop(L, top);
	lua_newtable(L);
	lua_pushliteral(L, "array");
	lua_setfield(L, -2, "__name");
}

static const luaL_Reg functions[] = {
	{ "encode", l_encode },
	{ "encode_ordered", l_encode_ordered },
	{ "encode_array", l_encode_array },
	{ "decode", l_decode },
	{ NULL, NULL },
};

int l_open_json(lua_State *L)
{
	luaL_newlibtable(L, functions);
	lua_newtable(L); /* null: one table, known by being itself */
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, l_null_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "null");
	l_push_array_metatable(L);
	luaL_setfuncs(L, functions, 2);
	return 1;
}
