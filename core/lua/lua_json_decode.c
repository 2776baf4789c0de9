/* util.json's reading. Strict: nothing but JSON in valid UTF-8, and never deeper than the stack is prepared for. */
#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "lua/bind.h"
#include "lua/json_private.h"

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
	char bytes[UTF8_ENCODED_MAX];
	luaL_addlstring(text, bytes, utf8_encode((uint32_t)point, bytes));
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
	lua_pushvalue(L, JSON_ARRAY_INDEX);
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
	return json_is_array(L, index) && n % 2 == 0; /* decoded JSON holds no nil and no NaN, so any value can be a key */
}

/* Puts what the dialect keeps under "__array" and "__hash" where it belongs. What does not look like ours stays. */
static void l_merge_dialect(lua_State *L, int table)
{
	lua_pushliteral(L, "__array");
	lua_rawget(L, table);
	bool has_array = lua_istable(L, -1) && json_is_array(L, lua_gettop(L));
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
		if (depth == JSON_DEPTH_MAX)
			return decode_failed(d, "nested too deeply");
		luaL_checkstack(L, JSON_STACK_PER_LEVEL, "json");
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
		lua_pushvalue(L, JSON_NULL_INDEX);
		return decode_word(d, "null", 4);
	default:
		if (*d->at == '-' || is_digit(*d->at))
			return l_decode_number(d);
		return decode_failed(d, d->at == d->end ? "unexpected end" : "value expected");
	}
}

/* decode(text) -> value | nil, why and where ("... at byte 12", counted from 1) */
int l_json_decode(lua_State *L)
{
	struct slice text = l_check_slice(L, 1);
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
