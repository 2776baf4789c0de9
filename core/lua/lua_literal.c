/* util.literal: Prosody's data files (formats: "return {...};" and sequences of "item({...});") without running them.
 *
 * The text is a Lua literal and nothing else: strings, numbers, booleans, nil and tables of these. Everything Lua's
 * grammar allows there is read (escapes, long brackets, comments, both separators, "(1/0)"), and whatever is more than
 * data (names, calls, operators, compiled code) is an error with its line. Nothing is ever evaluated. Depth is limited,
 * so is everything else by the length of the input. */
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "lua/libs.h"
#include "lua/literal_private.h"

struct reader {
	lua_State *L;
	const char *at, *start, *end; /* *end is NUL: Lua's strings have one */
	bool at_end;                  /* it failed because the text ended: the item was not written to its end */
	char error[96];
};

static bool l_read_value(struct reader *r, int depth);

static bool read_failed(struct reader *r, const char *error)
{
	snprintf(r->error, sizeof(r->error), "%s", error);
	r->at_end = r->at == r->end;
	return false;
}

static bool is_name_start(char c)
{
	return c == '_' || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* "WHAT expected": names what stands there instead. */
static bool read_unexpected(struct reader *r, const char *what)
{
	int len = 0;
	while (len < 20 && is_name_start(r->at[len]))
		len++;
	if (r->at == r->end)
		snprintf(r->error, sizeof(r->error), "%s expected, but the text ends", what);
	else if (len > 0)
		snprintf(r->error, sizeof(r->error), "%s expected, not the name %.*s", what, len, r->at);
	else if (*r->at == LUA_SIGNATURE[0])
		snprintf(r->error, sizeof(r->error), "%s expected, not compiled Lua", what);
	else if (*r->at > ' ' && *r->at <= '~')
		snprintf(r->error, sizeof(r->error), "%s expected, not \"%c\"", what, *r->at);
	else
		snprintf(r->error, sizeof(r->error), "%s expected, not byte %d", what, (unsigned char)*r->at);
	r->at_end = r->at == r->end;
	return false;
}

/* The level of the long bracket that opens at `at` ("[[" 0, "[=[" 1 ...), -1 when none does. */
static int long_level(const char *at)
{
	int level = 0;
	for (at++; *at == '='; at++)
		level++;
	return *at == '[' ? level : -1;
}

/* From the "[" of a long bracket to after its end; the content between. False when it never ends. */
static bool read_long(struct reader *r, int level, struct slice *content_r)
{
	const char *start = r->at + level + 2;

	for (const char *at = start; (at = memchr(at, ']', (size_t)(r->end - at))) != NULL; at++) {
		int equals = 0;
		while (at[1 + equals] == '=')
			equals++;
		if (equals == level && at[1 + equals] == ']') {
			*content_r = slice_of(start, (size_t)(at - start));
			r->at = at + level + 2;
			return true;
		}
	}
	r->at = r->end;
	return read_failed(r, "unfinished long bracket");
}

/* White space and comments. False for a long comment that never ends. */
static bool skip_space(struct reader *r)
{
	for (;;) {
		while (*r->at == ' ' || (*r->at >= '\t' && *r->at <= '\r'))
			r->at++;
		if (r->at[0] != '-' || r->at[1] != '-')
			return true;
		r->at += 2;
		int level = *r->at == '[' ? long_level(r->at) : -1;
		struct slice comment;
		if (level >= 0) {
			if (!read_long(r, level, &comment))
				return false;
			continue;
		}
		const char *line_end = memchr(r->at, '\n', (size_t)(r->end - r->at));
		r->at = line_end != NULL ? line_end : r->end;
	}
}

/* Lua 3.1: a newline right after the opening is left out, and any of \n, \r, \r\n, \n\r counts as one "\n". */
static void l_push_long(lua_State *L, struct slice content)
{
	luaL_Buffer text;
	luaL_buffinit(L, &text);
	for (size_t i = 0; i < content.len; i++) {
		char c = content.ptr[i];
		if (c != '\n' && c != '\r') {
			luaL_addchar(&text, c);
			continue;
		}
		bool is_first = i == 0;
		if (i + 1 < content.len && (content.ptr[i + 1] == '\n' || content.ptr[i + 1] == '\r') &&
		    content.ptr[i + 1] != c)
			i++;
		if (!is_first)
			luaL_addchar(&text, '\n');
	}
	luaL_pushresult(&text);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* After "\u": hex digits in braces, up to 2^31 as in Lua. */
static bool l_read_unicode(struct reader *r, luaL_Buffer *text)
{
	char bytes[UTF8_ENCODED_MAX];
	uint32_t point = 0;

	if (*r->at != '{')
		return read_failed(r, "\"{\" expected after \\u");
	r->at++;
	if (hex_value(*r->at) < 0)
		return read_failed(r, "hex digit expected");
	for (; hex_value(*r->at) >= 0; r->at++) {
		if (point > (0x7fffffffu >> 4))
			return read_failed(r, "code point too large");
		point = point << 4 | (uint32_t)hex_value(*r->at);
	}
	if (*r->at != '}')
		return read_failed(r, "\"}\" expected");
	r->at++;
	luaL_addlstring(text, bytes, utf8_encode(point, bytes));
	return true;
}

/* After a backslash. */
static bool l_read_escape(struct reader *r, luaL_Buffer *text)
{
	static const char letters[] = "a\ab\bf\fn\nr\rt\tv\v\\\\\"\"''";
	char c = *r->at++;

	if (is_digit(c)) {
		int value = c - '0';
		for (int i = 0; i < 2 && is_digit(*r->at); i++)
			value = value * 10 + (*r->at++ - '0');
		if (value > 255)
			return read_failed(r, "decimal escape too large");
		luaL_addchar(text, (char)value);
		return true;
	}
	switch (c) {
	case 'x': {
		int high = hex_value(*r->at), low = high >= 0 ? hex_value(r->at[1]) : -1;
		if (low < 0)
			return read_failed(r, "two hex digits expected after \\x");
		r->at += 2;
		luaL_addchar(text, (char)(high << 4 | low));
		return true;
	}
	case 'u':
		return l_read_unicode(r, text);
	case 'z':
		while (*r->at == ' ' || (*r->at >= '\t' && *r->at <= '\r'))
			r->at++;
		return true;
	case '\n':
	case '\r':
		if ((*r->at == '\n' || *r->at == '\r') && *r->at != c)
			r->at++;
		luaL_addchar(text, '\n');
		return true;
	default:
		for (size_t i = 0; i + 1 < sizeof(letters); i += 2)
			if (letters[i] == c) {
				luaL_addchar(text, letters[i + 1]);
				return true;
			}
		r->at--;
		return read_failed(r, "unknown escape");
	}
}

static bool l_read_string(struct reader *r)
{
	char quote = *r->at;
	const char *start = ++r->at;
	luaL_Buffer text;

	while (*r->at != quote && *r->at != '\\' && *r->at != '\n' && *r->at != '\r' && r->at < r->end)
		r->at++;
	if (*r->at == quote && r->at < r->end) { /* nothing escaped */
		lua_pushlstring(r->L, start, (size_t)(r->at++ - start));
		return true;
	}
	luaL_buffinit(r->L, &text);
	for (;;) {
		luaL_addlstring(&text, start, (size_t)(r->at - start));
		if (r->at == r->end || *r->at == '\n' || *r->at == '\r')
			return read_failed(r, "unfinished string");
		if (*r->at == quote)
			break;
		r->at++;
		if (r->at == r->end || !l_read_escape(r, &text))
			return r->at == r->end ? read_failed(r, "unfinished string") : false;
		start = r->at;
		while (*r->at != quote && *r->at != '\\' && *r->at != '\n' && *r->at != '\r' && r->at < r->end)
			r->at++;
	}
	r->at++;
	luaL_pushresult(&text);
	return true;
}

/* Digits as Lua reads them: integers when they fit (hex wraps), else floats. Pushes the number. */
static bool l_read_number(struct reader *r, bool is_negative)
{
	char digits[LUAL_BUFFERSIZE < 256 ? LUAL_BUFFERSIZE : 256];
	size_t len = 0;
	const char *start = r->at;
	bool is_hex = *r->at == '0' && (r->at[1] | 32) == 'x';

	if (is_negative)
		digits[len++] = '-'; /* with the digits, so that the smallest integer is one */
	for (; len < sizeof(digits) - 1; digits[len++] = *r->at++) {
		char c = *r->at;
		bool is_sign = (c == '-' || c == '+') && r->at > start && (r->at[-1] | 32) == (is_hex ? 'p' : 'e');
		if (!is_digit(c) && c != '.' && c != '_' && !((c | 32) >= 'a' && (c | 32) <= 'z') && !is_sign)
			break;
	}
	digits[len] = '\0';
	if (len == sizeof(digits) - 1 || lua_stringtonumber(r->L, digits) != len + 1) {
		r->at = r->at == r->end ? r->end : start;
		return read_failed(r, "malformed number");
	}
	return true;
}

/* [-] number [/ number], or the same in parentheses: what serialisers write for numbers, (1/0) and (0/0) included.
 * Pushes the result; there is no other arithmetic. */
static bool l_read_quotient(struct reader *r, int depth)
{
	lua_State *L = r->L;
	bool is_negative = false;

	if (*r->at == '-') {
		is_negative = true;
		r->at++;
		if (!skip_space(r))
			return false;
	}
	if (*r->at == '(') {
		if (depth == LITERAL_DEPTH_MAX)
			return read_failed(r, "nested too deeply");
		luaL_checkstack(L, LITERAL_STACK_PER_LEVEL, "literal");
		r->at++;
		if (!skip_space(r) || !l_read_quotient(r, depth + 1) || !skip_space(r))
			return false;
		if (*r->at != ')')
			return read_unexpected(r, "\")\"");
		r->at++;
		if (is_negative)
			lua_arith(L, LUA_OPUNM);
	} else if (is_digit(*r->at) || *r->at == '.') {
		if (!l_read_number(r, is_negative))
			return false;
	} else {
		return read_unexpected(r, "number");
	}
	if (!skip_space(r))
		return false;
	if (*r->at == '/' && r->at[1] != '/') {
		r->at++;
		if (!skip_space(r))
			return false;
		if (!is_digit(*r->at) && *r->at != '.')
			return read_unexpected(r, "number");
		if (!l_read_number(r, false))
			return false;
		lua_arith(L, LUA_OPDIV);
	}
	return true;
}

/* The name at r->at; empty when none starts there. Does not move. */
static struct slice peek_name(const struct reader *r)
{
	size_t len = 0;
	if (is_name_start(*r->at))
		while (is_name_start(r->at[len]) || is_digit(r->at[len]))
			len++;
	return slice_of(r->at, len);
}

static bool is_reserved(struct slice name)
{
	static const char *const words[] = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function",
		"goto", "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while" };
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (slice_equal(name, slice_of_str(words[i])))
			return true;
	return false;
}

/* One field of the table below the top of the stack. *n_r counts the fields without a key. */
static bool l_read_field(struct reader *r, lua_Integer *n_r, int depth)
{
	lua_State *L = r->L;

	if (*r->at == '[' && long_level(r->at) < 0) {
		r->at++;
		if (!l_read_value(r, depth) || !skip_space(r))
			return false;
		if (lua_isnil(L, -1) || (lua_type(L, -1) == LUA_TNUMBER && isnan(lua_tonumber(L, -1))))
			return read_failed(r, "nil or NaN as a key");
		if (*r->at != ']')
			return read_unexpected(r, "\"]\"");
		r->at++;
	} else {
		struct slice name = peek_name(r);
		if (name.len == 0 || is_reserved(name)) {
			if (!l_read_value(r, depth))
				return false;
			lua_rawseti(L, -2, ++*n_r);
			return true;
		}
		const char *start = r->at;
		lua_pushlstring(L, name.ptr, name.len);
		r->at += name.len;
		if (!skip_space(r))
			return false;
		if (*r->at != '=' && r->at < r->end) { /* not a key: a variable or a call */
			r->at = start;
			return read_unexpected(r, "value");
		}
	}
	if (!skip_space(r))
		return false;
	if (*r->at != '=')
		return read_unexpected(r, "\"=\"");
	r->at++;
	if (!l_read_value(r, depth))
		return false;
	lua_rawset(L, -3);
	return true;
}

static bool l_read_table(struct reader *r, int depth)
{
	lua_State *L = r->L;
	lua_Integer n = 0;

	if (depth == LITERAL_DEPTH_MAX)
		return read_failed(r, "nested too deeply");
	luaL_checkstack(L, LITERAL_STACK_PER_LEVEL, "literal");
	lua_newtable(L);
	r->at++;
	for (;;) {
		if (!skip_space(r))
			return false;
		if (*r->at == '}')
			break;
		if (!l_read_field(r, &n, depth + 1) || !skip_space(r))
			return false;
		if (*r->at == ',' || *r->at == ';')
			r->at++;
		else if (*r->at != '}')
			return read_unexpected(r, "\";\" or \"}\"");
	}
	r->at++;
	return true;
}

/* Pushes the value at r->at. */
static bool l_read_value(struct reader *r, int depth)
{
	lua_State *L = r->L;
	struct slice content;
	int level;

	if (!skip_space(r))
		return false;
	switch (*r->at) {
	case '{':
		return l_read_table(r, depth);
	case '"':
	case '\'':
		return l_read_string(r);
	case '[':
		if ((level = long_level(r->at)) < 0)
			return read_unexpected(r, "value");
		if (!read_long(r, level, &content))
			return false;
		l_push_long(L, content);
		return true;
	case '-':
	case '(':
	case '.':
		return l_read_quotient(r, depth);
	default:
		break;
	}
	if (is_digit(*r->at))
		return l_read_quotient(r, depth);
	struct slice word = peek_name(r);
	if (slice_is(word, "true"))
		lua_pushboolean(L, true);
	else if (slice_is(word, "false"))
		lua_pushboolean(L, false);
	else if (slice_is(word, "nil"))
		lua_pushnil(L);
	else
		return read_unexpected(r, "value");
	r->at += word.len;
	return true;
}

static lua_Integer line_of(const struct reader *r)
{
	lua_Integer line = 1;
	for (const char *at = r->start; at < r->at; at++)
		if (*at == '\n')
			line++;
	return line;
}

/* nil, "line 3: ...", 3 */
static int l_push_read_error(lua_State *L, const struct reader *r)
{
	lua_Integer line = line_of(r);
	lua_pushnil(L);
	lua_pushfstring(L, "line %I: %s", line, r->error);
	lua_pushinteger(L, line);
	return 3;
}

static void l_check_reader(lua_State *L, struct reader *r)
{
	size_t len;
	memset(r, 0, sizeof(*r));
	r->L = L;
	r->at = r->start = luaL_checklstring(L, 1, &len);
	r->end = r->start + len;
	lua_settop(L, 1);
}

/* decode(text) -> value | nil, "line N: why", N. The text is one value, with or without "return" and ";". */
static int l_decode(lua_State *L)
{
	struct reader r;

	l_check_reader(L, &r);
	bool ok = skip_space(&r);
	if (ok && slice_is(peek_name(&r), "return"))
		r.at += strlen("return");
	ok = ok && l_read_value(&r, 0) && skip_space(&r);
	if (ok && *r.at == ';') {
		r.at++;
		ok = skip_space(&r);
	}
	if (ok && r.at != r.end)
		ok = read_unexpected(&r, "end of the text");
	return ok ? 1 : l_push_read_error(L, &r);
}

/* Pushes the value of one "item(value);" */
static bool l_read_item(struct reader *r)
{
	if (!slice_is(peek_name(r), "item")) {
		/* "it" at the very end is an item that was not written to its end, too. */
		struct slice name = peek_name(r);
		if (name.len > 0 && name.ptr + name.len == r->end && slice_starts_with(SLICE("item"), name))
			r->at = r->end;
		return read_unexpected(r, "item");
	}
	r->at += strlen("item");
	if (!skip_space(r))
		return false;
	if (*r->at == '(') {
		r->at++;
		if (!l_read_value(r, 0) || !skip_space(r))
			return false;
		if (*r->at != ')')
			return read_unexpected(r, "\")\"");
		r->at++;
	} else if (*r->at == '{') {
		if (!l_read_table(r, 0))
			return false;
	} else {
		return read_unexpected(r, "\"(\"");
	}
	const char *end = r->at;
	if (!skip_space(r))
		return false;
	if (*r->at == ';')
		end = r->at + 1;
	r->at = end;
	return true;
}

/* Nothing but NULs: a file that was made longer, but whose last bytes never reached the disk. */
static bool is_all_nul(const char *at, const char *end)
{
	while (at < end && *at == '\0')
		at++;
	return at == end;
}

/* decode_list(text) -> list of values, length of the good data | nil, "line N: why", N
 *
 * The length is #text, unless the last item is torn (its writer was stopped in the middle): then that item is not in
 * the list, and the length says where it starts. Damage anywhere else is an error. */
static int l_decode_list(lua_State *L)
{
	struct reader r;
	lua_Integer n = 0;

	l_check_reader(L, &r);
	lua_newtable(L);
	size_t good = 0;
	for (;;) {
		bool ok = skip_space(&r);
		if (ok && r.at == r.end) {
			good = (size_t)(r.end - r.start);
			break;
		}
		ok = ok && l_read_item(&r);
		if (!ok) {
			if (r.at_end || is_all_nul(r.at, r.end))
				break;
			return l_push_read_error(L, &r);
		}
		lua_rawseti(L, 2, ++n);
		good = (size_t)(r.at - r.start);
		if (good < (size_t)(r.end - r.start) && *r.at == '\n')
			good++; /* the line's end belongs to its item */
	}
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)good);
	return 2;
}

static const luaL_Reg readers[] = {
	{ "decode", l_decode },
	{ "decode_list", l_decode_list },
	{ NULL, NULL },
};

int l_open_literal(lua_State *L)
{
	luaL_newlib(L, readers);
	l_add_literal_writers(L);
	return 1;
}
