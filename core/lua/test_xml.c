/* T.xml: parsers to feed by hand, C's view of a stanza, and what is alive. Compiled into test builds only. */
#include <lauxlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "lua/bind.h"
#include "lua/lua_stanza.h"
#include "lua/test.h"
#include "xml/parser.h"
#include "xml/write.h"

#define PARSER_TYPE "T.xml.parser"

static void push_slice(lua_State *L, struct slice s)
{
	if (s.ptr != NULL)
		lua_pushlstring(L, s.ptr, s.len);
	else
		lua_pushnil(L);
}

/* ---- parsers ---- */

static struct parser *l_check_parser(lua_State *L)
{
	struct parser **box = luaL_checkudata(L, 1, PARSER_TYPE);
	luaL_argcheck(L, *box != NULL, 1, "the parser was freed");
	return *box;
}

static size_t field(lua_State *L, int arg, const char *name, size_t otherwise)
{
	lua_getfield(L, arg, name);
	size_t value = lua_isnil(L, -1) ? otherwise : (size_t)luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return value;
}

/* "unauthed", "c2s", "s2s", or a table of the ones that differ from c2s. */
static struct parser_limits l_limits(lua_State *L, int arg)
{
	static const char *const names[] = { "unauthed", "c2s", "s2s", NULL };
	if (!lua_istable(L, arg)) {
		int i = luaL_checkoption(L, arg, "c2s", names);
		return i == 0 ? parser_limits_unauthed : i == 1 ? parser_limits_c2s : parser_limits_s2s;
	}
	struct parser_limits limits = parser_limits_c2s;
	limits.stanza_bytes = field(L, arg, "stanza_bytes", limits.stanza_bytes);
	limits.tag_bytes = field(L, arg, "tag_bytes", limits.tag_bytes);
	limits.depth = (uint32_t)field(L, arg, "depth", limits.depth);
	limits.elements = (uint32_t)field(L, arg, "elements", limits.elements);
	limits.attributes = (uint32_t)field(L, arg, "attributes", limits.attributes);
	limits.ns_bytes = (uint32_t)field(L, arg, "ns_bytes", limits.ns_bytes);
	return limits;
}

/* parser(["stream" | "document"[, limits]]) */
static int l_parser(lua_State *L)
{
	static const char *const kinds[] = { "stream", "document", NULL };
	int kind = luaL_checkoption(L, 1, "stream", kinds);
	struct parser_limits limits = l_limits(L, 2);
	struct parser **box = lua_newuserdatauv(L, sizeof(struct parser *), 0);
	*box = NULL;
	luaL_setmetatable(L, PARSER_TYPE);
	*box = kind == 0 ? parser_new(&limits) : parser_new_document(&limits);
	return 1;
}

static int l_parser_free(lua_State *L)
{
	parser_free(luaL_checkudata(L, 1, PARSER_TYPE));
	return 0;
}

static int l_parser_push(lua_State *L)
{
	parser_push(l_check_parser(L), l_check_slice(L, 2));
	return 0;
}

/* next() -> "more" | "header", stanza | "stanza", stanza | "footer" | "failed", condition, text */
static int l_parser_next(lua_State *L)
{
	static const char *const names[] = { "more", "header", "stanza", "footer", "failed" };
	struct parser *parser = l_check_parser(L);
	struct stanza *stanza;
	enum parser_result result = parser_next(parser, &stanza);
	lua_pushstring(L, names[result]);
	if (result == PARSER_FAILED) {
		lua_pushstring(L, parser_condition(parser));
		lua_pushstring(L, parser_text(parser));
		return 3;
	}
	if (stanza == NULL)
		return 1;
	l_push_stanza(L, &stanza);
	return 2;
}

/* As next, but the stanza is only counted and freed. */
static int l_parser_skip(lua_State *L)
{
	struct parser *parser = l_check_parser(L);
	struct stanza *stanza;
	lua_Integer count = 0;
	enum parser_result result;
	while ((result = parser_next(parser, &stanza)) == PARSER_STANZA || result == PARSER_HEADER) {
		stanza_free(&stanza);
		count++;
	}
	lua_pushinteger(L, count);
	lua_pushstring(L, result == PARSER_FAILED ? parser_condition(parser) : NULL);
	return 2;
}

static int l_parser_has_rest(lua_State *L)
{
	lua_pushboolean(L, parser_has_rest(l_check_parser(L)));
	return 1;
}

static int l_parser_rest(lua_State *L)
{
	lua_pushboolean(L, parser_rest(l_check_parser(L)));
	return 1;
}

static int l_parser_reset(lua_State *L)
{
	parser_reset(l_check_parser(L));
	return 0;
}

static int l_parser_set_limits(lua_State *L)
{
	struct parser_limits limits = l_limits(L, 2);
	parser_set_limits(l_check_parser(L), &limits);
	return 0;
}

static int l_parser_set_content_ns(lua_State *L)
{
	parser_set_content_ns(l_check_parser(L), l_check_slice(L, 2));
	return 0;
}

static int l_parser_allow(lua_State *L)
{
	parser_allow(l_check_parser(L), lua_toboolean(L, 2), lua_toboolean(L, 3));
	return 0;
}

static const luaL_Reg parser_methods[] = {
	{ "push", l_parser_push },
	{ "next", l_parser_next },
	{ "skip", l_parser_skip },
	{ "has_rest", l_parser_has_rest },
	{ "rest", l_parser_rest },
	{ "reset", l_parser_reset },
	{ "set_limits", l_parser_set_limits },
	{ "set_content_ns", l_parser_set_content_ns },
	{ "allow", l_parser_allow },
	{ "free", l_parser_free },
	{ NULL, NULL },
};

/* ---- stanzas as C sees them ---- */

/* serialize(stanza[, context_ns[, max_bytes]]) -> text, or nil when max_bytes is too little. Also checks that
 * writing into a buffer and into memory agree, and that the bound holds (write.c asserts it). */
static int l_serialize(lua_State *L)
{
	struct el el;
	const struct stanza *st = l_check_stanza(L, 1, &el);
	struct slice context = lua_isnoneornil(L, 2) ? SLICE_NONE : l_check_slice(L, 2);
	struct buf buf;
	buf_init(&buf, (size_t)luaL_optinteger(L, 3, 256 << 20));
	size_t bound = write_bound(st, el);
	char *memory = mem_new(bound + 1);
	size_t len = write_into(memory, st, el, context);
	int result = write_el(&buf, st, el, context);
	bool equal = result != 0 || slice_equal(buf_slice(&buf), slice_of(memory, len));
	if (result == 0)
		lua_pushlstring(L, buf.ptr, buf.len);
	else
		lua_pushnil(L);
	bool untouched = result == 0 || buf.len == 0;
	buf_done(&buf);
	mem_free(memory);
	if (!equal || !untouched)
		return luaL_error(L, "write_el and write_into differ");
	return 1;
}

static int l_escape(lua_State *L)
{
	struct buf buf;
	buf_init(&buf, 1 << 20);
	write_escaped(&buf, l_check_slice(L, 1));
	lua_pushlstring(L, buf.ptr != NULL ? buf.ptr : "", buf.len);
	buf_done(&buf);
	return 1;
}

static int l_ns(lua_State *L)
{
	struct el el;
	const struct stanza *st = l_check_stanza(L, 1, &el);
	push_slice(L, el_ns(st, el));
	return 1;
}

static int l_in_stream_ns(lua_State *L)
{
	struct el el;
	const struct stanza *st = l_check_stanza(L, 1, &el);
	lua_pushboolean(L, el_in_stream_ns(st, el));
	return 1;
}

/* used(stanza) -> bytes of the block in use, bytes of the block */
static int l_used(lua_State *L)
{
	struct el el;
	const struct stanza *st = l_check_stanza(L, 1, &el);
	lua_pushinteger(L, (lua_Integer)stanza_used(st));
	lua_pushinteger(L, (lua_Integer)stanza_size(st));
	return 2;
}

/* Is the tree whole? Every node knows its parent, no text is empty or follows another. */
static int l_check(lua_State *L)
{
	struct el el;
	const struct stanza *st = l_check_stanza(L, 1, &el);
	struct el at = stanza_root(st), top = at;
	for (;;) {
		if (!el_is_text(st, at)) {
			bool was_text = false;
			for (struct el n = el_first_node(st, at); !el_is_none(n); n = el_next_node(st, n)) {
				bool is_text = el_is_text(st, n);
				if (!el_equal(el_parent(st, n), at) || (is_text && was_text))
					return luaL_error(L, "the tree is broken at %d", (int)n.at);
				if (is_text && el_text_of(st, n).len == 0)
					return luaL_error(L, "an empty text at %d", (int)n.at);
				was_text = is_text;
			}
			if (!el_is_none(el_first_node(st, at))) {
				at = el_first_node(st, at);
				continue;
			}
		}
		while (!el_equal(at, top) && el_is_none(el_next_node(st, at)))
			at = el_parent(st, at);
		if (el_equal(at, top))
			return 0;
		at = el_next_node(st, at);
	}
}

static int l_set_attr(lua_State *L)
{
	struct el el;
	struct stanza *st = l_check_stanza(L, 1, &el);
	el_set_attr(st, el, l_check_slice(L, 2), l_check_slice(L, 3));
	return 0;
}

/* A stanza that C owns, as light userdata. */
static int l_new(lua_State *L)
{
	lua_pushlightuserdata(L, stanza_new(l_check_slice(L, 1), SLICE_NONE));
	return 1;
}

static int l_pin(lua_State *L)
{
	l_push_stanza_pinned(L, lua_touserdata(L, 1));
	return 1;
}

static int l_unpin(lua_State *L)
{
	l_stanza_unpin(L, lua_touserdata(L, 1), lua_toboolean(L, 2));
	return 0;
}

static int l_c_set_attr(lua_State *L)
{
	struct stanza *st = lua_touserdata(L, 1);
	el_set_attr(st, stanza_root(st), l_check_slice(L, 2), l_check_slice(L, 3));
	return 0;
}

static int l_c_attr(lua_State *L)
{
	const struct stanza *st = lua_touserdata(L, 1);
	push_slice(L, el_attr(st, stanza_root(st), l_check_slice(L, 2)));
	return 1;
}

static int l_c_free(lua_State *L)
{
	struct stanza *st = lua_touserdata(L, 1);
	stanza_free(&st);
	return 0;
}

static int l_live(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)stanza_live_count());
	return 1;
}

static int l_expat_bytes(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)parser_expat_bytes());
	return 1;
}

static int l_expat_count(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)parser_expat_count());
	return 1;
}

/* ---- timing ---- */

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* time("parse" | "rest" | "write" | "clone", header, stanza, n) -> microseconds per stanza */
static int l_time(lua_State *L)
{
	static const char *const names[] = { "parse", "rest", "write", "clone", NULL };
	int what = luaL_checkoption(L, 1, NULL, names);
	struct slice text = l_check_slice(L, 3);
	lua_Integer n = luaL_checkinteger(L, 4);
	char into[16384];
	struct stanza *st, *copy;
	struct parser *parser = parser_new(&parser_limits_c2s);
	parser_push(parser, l_check_slice(L, 2));
	parser_next(parser, &st);
	stanza_free(&st);
	parser_next(parser, &st);
	parser_push(parser, text);
	bool good = parser_next(parser, &st) == PARSER_STANZA && parser_next(parser, &copy) == PARSER_MORE &&
		write_bound(st, stanza_root(st)) <= sizeof(into);
	double start = now_us();
	for (lua_Integer i = 0; good && i < n; i++) {
		switch (what) {
		case 0:
		case 1:
			parser_push(parser, text);
			good = parser_next(parser, &copy) == PARSER_STANZA;
			stanza_free(&copy);
			good = good && parser_next(parser, &copy) == PARSER_MORE && (what == 0 || parser_rest(parser));
			break;
		case 2:
			write_into(into, st, stanza_root(st), SLICE("jabber:client"));
			break;
		default:
			copy = stanza_clone(st, stanza_root(st));
			stanza_free(&copy);
		}
	}
	double each = (now_us() - start) / (double)n;
	stanza_free(&st);
	parser_free(&parser);
	if (!good)
		return luaL_error(L, "this did not parse");
	lua_pushnumber(L, each);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "parser", l_parser },
	{ "serialize", l_serialize },
	{ "escape", l_escape },
	{ "ns", l_ns },
	{ "in_stream_ns", l_in_stream_ns },
	{ "used", l_used },
	{ "check", l_check },
	{ "set_attr", l_set_attr },
	{ "new", l_new },
	{ "pin", l_pin },
	{ "unpin", l_unpin },
	{ "c_set_attr", l_c_set_attr },
	{ "c_attr", l_c_attr },
	{ "c_free", l_c_free },
	{ "live", l_live },
	{ "expat_bytes", l_expat_bytes },
	{ "expat_count", l_expat_count },
	{ "time", l_time },
	{ NULL, NULL },
};

void l_test_xml(lua_State *L)
{
	l_new_type(L, PARSER_TYPE, parser_methods, l_parser_free);
	luaL_newlib(L, functions);
	lua_setfield(L, -2, "xml");
}
