/* Answers of net.http.wire: heads as bytes. A handler's headers are a table; "content_type" and "content-type" both
 * become "Content-Type". */
#include <lauxlib.h>
#include <string.h>

#include "base/clock.h"
#include "lua/core.h"
#include "lua/http_private.h"
#include "lua/out.h"
#include "net/http.h"

/* ---- dates ---- */

/* RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT" */
static void write_date(char into[HTTP_DATE_BYTES + 1], time_t seconds)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm;
	gmtime_r(&seconds, &tm);
	unsigned year = (unsigned)(tm.tm_year + 1900) % 10000;
	const unsigned numbers[] = { (unsigned)tm.tm_mday, year / 100, year % 100, (unsigned)tm.tm_hour,
				     (unsigned)tm.tm_min, (unsigned)tm.tm_sec };
	static const uint8_t places[] = { 5, 12, 14, 17, 20, 23 };
	memcpy(into, "xxx, 00 xxx 0000 00:00:00 GMT", HTTP_DATE_BYTES + 1);
	memcpy(into, days + 3 * tm.tm_wday, 3);
	memcpy(into + 8, months + 3 * tm.tm_mon, 3);
	for (size_t i = 0; i < sizeof(places); i++) {
		into[places[i]] = (char)('0' + numbers[i] / 10);
		into[places[i] + 1] = (char)('0' + numbers[i] % 10);
	}
}

/* date([seconds since 1970]) -> text as HTTP writes it */
static int l_date(lua_State *L)
{
	char text[HTTP_DATE_BYTES + 1];
	lua_Number seconds = luaL_optnumber(L, 1, clock_wall());
	luaL_argcheck(L, seconds >= 0 && seconds < 253402300800.0, 1, "out of range"); /* year 10000 */
	write_date(text, (time_t)seconds);
	lua_pushlstring(L, text, HTTP_DATE_BYTES);
	return 1;
}

static void l_add_date(struct out *out, struct http_date *now)
{
	time_t second = (time_t)clock_wall();
	if (second != now->second) {
		now->second = second;
		write_date(now->text, second);
	}
	l_out_text(out, "Date: ");
	l_out_add(out, now->text, HTTP_DATE_BYTES);
	l_out_text(out, "\r\n");
}

/* ---- fields ---- */

static void l_add_name(struct out *out, struct slice name)
{
	bool is_start = true;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i] == '_' ? '-' : name.ptr[i];
		l_out_byte(out, is_start && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c);
		is_start = c == '-';
	}
}

static void l_add_field(struct out *out, struct slice name, struct slice value)
{
	l_add_name(out, name);
	l_out_text(out, ": ");
	l_out_add(out, value.ptr, value.len);
	l_out_text(out, "\r\n");
}

/* The value on top of the stack, text or a number. NULL, or what is wrong with it, pushed. */
static const char *l_add_value(struct out *out, struct slice name)
{
	lua_State *L = out->L;
	lua_pushvalue(L, -1); /* a copy becomes text: the walk over the table is not disturbed */
	int type = lua_type(L, -1);
	struct slice value = type == LUA_TSTRING || type == LUA_TNUMBER ? l_to_slice(L, -1) : SLICE_NONE;
	if (value.ptr == NULL || !http_value_is_valid(value))
		return lua_pushfstring(L, "the header %s cannot have that value", name.ptr);
	l_add_field(out, name, value);
	lua_pop(L, 1);
	return NULL;
}

/* other is in lower case, with hyphens */
static bool is_name(struct slice name, struct slice other)
{
	for (size_t i = 0; i < name.len && name.len == other.len; i++) {
		char c = name.ptr[i] == '_' ? '-' : name.ptr[i];
		c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		if (c != other.ptr[i])
			return false;
	}
	return name.len == other.len;
}

/* A value that is a list makes one line each. NULL, or what cannot stand there, pushed. */
static const char *l_add_values(struct out *out, struct slice name)
{
	lua_State *L = out->L;
	if (lua_type(L, -1) != LUA_TTABLE)
		return l_add_value(out, name);
	lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, i);
		const char *wrong = l_add_value(out, name);
		if (wrong != NULL)
			return wrong;
		lua_pop(L, 1);
	}
	return NULL;
}

/* The table of headers at `index`, but what is said by `framing`. */
static const char *l_add_table(struct out *out, int index, const struct http_framing *framing, bool *has_date_r)
{
	lua_State *L = out->L;
	for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
		struct slice name = lua_type(L, -2) == LUA_TSTRING ? l_to_slice(L, -2) : SLICE_NONE;
		if (!http_token_is_valid(name))
			return lua_pushliteral(L, "a header's name must be a token");
		*has_date_r = *has_date_r || is_name(name, SLICE("date"));
		if ((framing->connection.ptr != NULL && is_name(name, SLICE("connection")))
		    || (framing->length >= 0 && is_name(name, SLICE("content-length"))))
			continue;
		const char *wrong = l_add_values(out, name);
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

static void l_add_length(struct out *out, int64_t length)
{
	char digits[24], *at = digits + sizeof(digits);
	for (uint64_t left = (uint64_t)length; left > 0 || at == digits + sizeof(digits); left /= 10)
		*--at = (char)('0' + left % 10);
	l_add_field(out, SLICE("Content-Length"), slice_of(at, (size_t)(digits + sizeof(digits) - at)));
}

const char *l_http_add_head(struct out *out, struct slice status, int headers, const struct http_framing *framing,
			    struct http_date *date)
{
	bool has_date = false;
	l_out_text(out, "HTTP/1.1 ");
	l_out_add(out, status.ptr, status.len);
	l_out_text(out, "\r\n");
	const char *wrong = l_add_table(out, headers, framing, &has_date);
	if (wrong != NULL)
		return wrong;
	if (!has_date)
		l_add_date(out, date);
	if (framing->connection.ptr != NULL)
		l_add_field(out, SLICE("Connection"), framing->connection);
	if (framing->length >= 0)
		l_add_length(out, framing->length);
	l_out_text(out, "\r\n");
	return NULL;
}

struct slice l_http_check_status(lua_State *L, int index)
{
	struct slice status;
	status.ptr = luaL_checklstring(L, index, &status.len);
	luaL_argcheck(L, http_value_is_valid(status), index, "not a status");
	return status;
}

/* ---- for Lua ---- */

/* head("200 OK", headers[, length[, connection]]) -> the bytes up to and with the empty line; nil and a sentence when
 * something cannot stand there. Headers: name -> text, number, or a list of them (one line each). A Date is added;
 * length (bytes) and connection ("close") stand in the place of those in headers. */
static int l_head(lua_State *L)
{
	lua_settop(L, 4);
	struct slice status = l_http_check_status(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	struct http_framing framing = { l_to_slice(L, 4), luaL_optinteger(L, 3, -1) };
	luaL_argcheck(L, framing.connection.ptr == NULL || http_value_is_valid(framing.connection), 4,
		      "not a connection option");
	struct out out;
	l_out_init(&out, L);
	const char *wrong = l_http_add_head(&out, status, 2, &framing, lua_touserdata(L, lua_upvalueindex(1)));
	if (wrong != NULL) {
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	l_out_push(&out);
	return 1;
}

void l_add_http_heads(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "date", l_date },
		{ "head", l_head },
		{ NULL, NULL },
	};
	struct http_date *now = lua_newuserdatauv(L, sizeof(*now), 0);
	*now = (struct http_date){ .second = -1 };
	luaL_setfuncs(L, functions, 1);
}
