/* Responses of net.http.wire: heads as bytes, and onto a connection together with what follows them. A handler's
 * headers are a table; "content_type" and "content-type" both become "Content-Type". */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "lua/core.h"
#include "lua/http_private.h"
#include "lua/out.h"
#include "net/conn.h"
#include "net/http.h"

enum { DATE_BYTES = 29 };

/* What the server itself says in a head, whatever the headers say. */
struct framing {
	struct slice connection; /* ptr NULL: as the headers say */
	int64_t length;          /* Content-Length; -1: as the headers say */
};

/* ---- dates ---- */

/* RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT" */
static void write_date(char into[DATE_BYTES + 1], time_t seconds)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm;
	gmtime_r(&seconds, &tm);
	unsigned year = (unsigned)(tm.tm_year + 1900) % 10000;
	const unsigned numbers[] = { (unsigned)tm.tm_mday, year / 100, year % 100, (unsigned)tm.tm_hour,
				     (unsigned)tm.tm_min, (unsigned)tm.tm_sec };
	static const uint8_t places[] = { 5, 12, 14, 17, 20, 23 };
	memcpy(into, "xxx, 00 xxx 0000 00:00:00 GMT", DATE_BYTES + 1);
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
	char text[DATE_BYTES + 1];
	lua_Number seconds = luaL_optnumber(L, 1, clock_wall());
	luaL_argcheck(L, seconds >= 0 && seconds < 253402300800.0, 1, "out of range"); /* year 10000 */
	write_date(text, (time_t)seconds);
	lua_pushlstring(L, text, DATE_BYTES);
	return 1;
}

/* The date of now is written once a second: upvalue 1 keeps it. */
struct now {
	time_t second;
	char text[DATE_BYTES + 1];
};

static void add_date(struct out *out)
{
	struct now *now = lua_touserdata(out->L, lua_upvalueindex(1));
	time_t second = (time_t)clock_wall();
	if (second != now->second) {
		now->second = second;
		write_date(now->text, second);
	}
	l_out_text(out, "Date: ");
	l_out_add(out, now->text, DATE_BYTES);
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

/* The table of headers at `index`, but what is said by `framing`. A value that is a list makes one line each. NULL, or
 * what cannot stand there, pushed. */
static const char *l_add_table(struct out *out, int index, const struct framing *framing, bool *has_date_r)
{
	lua_State *L = out->L;
	const char *wrong = NULL;
	for (lua_pushnil(L); wrong == NULL && lua_next(L, index) != 0;) {
		struct slice name = lua_type(L, -2) == LUA_TSTRING ? l_to_slice(L, -2) : SLICE_NONE;
		if (!http_token_is_valid(name))
			return lua_pushliteral(L, "a header's name must be a token");
		*has_date_r = *has_date_r || is_name(name, SLICE("date"));
		bool is_said = (framing->connection.ptr != NULL && is_name(name, SLICE("connection")))
			       || (framing->length >= 0 && is_name(name, SLICE("content-length")));
		if (!is_said && lua_type(L, -1) == LUA_TTABLE) {
			lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
			for (lua_Integer i = 1; wrong == NULL && i <= n; i++) {
				lua_rawgeti(L, -1, i);
				wrong = l_add_value(out, name);
				if (wrong == NULL)
					lua_pop(L, 1);
			}
		} else if (!is_said) {
			wrong = l_add_value(out, name);
		}
		if (wrong == NULL)
			lua_pop(L, 1);
	}
	return wrong;
}

/* A whole head. NULL, or what cannot stand there, pushed. */
static const char *l_add_head(struct out *out, struct slice status, int headers, const struct framing *framing)
{
	bool has_date = false;
	l_out_text(out, "HTTP/1.1 ");
	l_out_add(out, status.ptr, status.len);
	l_out_text(out, "\r\n");
	const char *wrong = l_add_table(out, headers, framing, &has_date);
	if (wrong != NULL)
		return wrong;
	if (!has_date)
		add_date(out);
	if (framing->connection.ptr != NULL)
		l_add_field(out, SLICE("Connection"), framing->connection);
	if (framing->length >= 0) {
		char digits[24];
		int n = snprintf(digits, sizeof(digits), "%lld", (long long)framing->length);
		l_add_field(out, SLICE("Content-Length"), slice_of(digits, (size_t)n));
	}
	l_out_text(out, "\r\n");
	return NULL;
}

/* ---- for Lua ---- */

static struct slice l_check_status(lua_State *L, int index)
{
	struct slice status;
	status.ptr = luaL_checklstring(L, index, &status.len);
	luaL_argcheck(L, http_value_is_valid(status), index, "not a status");
	return status;
}

static struct framing l_framing(lua_State *L, int length, int connection)
{
	struct framing framing = { l_to_slice(L, connection), luaL_optinteger(L, length, -1) };
	luaL_argcheck(L, framing.connection.ptr == NULL || http_value_is_valid(framing.connection), connection,
		      "not a connection option");
	return framing;
}

/* head("200 OK", headers[, length[, connection]]) -> the bytes up to and with the empty line; nil and a sentence when
 * something cannot stand there. Headers: name -> text, number, or a list of them (one line each). A Date is added;
 * length (bytes) and connection ("close") stand in the place of those in headers. */
static int l_head(lua_State *L)
{
	lua_settop(L, 4);
	struct slice status = l_check_status(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	struct framing framing = l_framing(L, 3, 4);
	struct out out;
	l_out_init(&out, L);
	const char *wrong = l_add_head(&out, status, 2, &framing);
	if (wrong != NULL) {
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	l_out_push(&out);
	return 1;
}

/* respond(conn, "200 OK", headers, body[, length[, connection]]) -> true; nil and a sentence when something cannot
 * stand in the head, and nothing was sent. body: bytes that follow the head, "" for none. What a connection that has
 * ended is given is lost. */
static int l_respond(lua_State *L)
{
	lua_settop(L, 6);
	struct conn *conn = l_check_conn(L, 1);
	struct slice status = l_check_status(L, 2), body;
	luaL_checktype(L, 3, LUA_TTABLE);
	body.ptr = luaL_checklstring(L, 4, &body.len);
	struct framing framing = l_framing(L, 5, 6);
	struct out out;
	l_out_init(&out, L);
	const char *wrong = l_add_head(&out, status, 3, &framing);
	if (wrong != NULL) {
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	if (conn != NULL && conn_write(conn, slice_of(out.ptr, out.len)) == 0)
		conn_write(conn, body);
	lua_pushboolean(L, 1);
	return 1;
}

void l_add_http_heads(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "date", l_date },
		{ "head", l_head },
		{ "respond", l_respond },
		{ NULL, NULL },
	};
	struct now *now = lua_newuserdatauv(L, sizeof(*now), 0);
	*now = (struct now){ .second = -1 };
	luaL_setfuncs(L, functions, 1);
}
