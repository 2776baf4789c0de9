/* util.jid: JIDs in Lua, with Prosody's functions. Nil in, nil out; what is no JID gives nil too. */
#include <lauxlib.h>
#include <stdbool.h>

#include "lua/libs.h"
#include "xmpp/jid.h"

/* The argument as a slice; false for nil. Anything else but a string raises. */
static bool l_check_text(lua_State *L, int arg, struct slice *text_r)
{
	if (lua_isnoneornil(L, arg))
		return false;
	text_r->ptr = luaL_checklstring(L, arg, &text_r->len);
	return true;
}

/* Pushes nil for an absent part. */
static void l_push_part(lua_State *L, struct slice part)
{
	if (part.len == 0)
		lua_pushnil(L);
	else
		lua_pushlstring(L, part.ptr, part.len);
}

static bool l_check_split(lua_State *L, int arg, struct jid *jid_r)
{
	struct slice text;
	return l_check_text(L, arg, &text) && jid_split(text, jid_r);
}

/* node, host, resource */
static int l_push_parts(lua_State *L, const struct jid *jid)
{
	l_push_part(L, jid->node);
	l_push_part(L, jid->host);
	l_push_part(L, jid->resource);
	return 3;
}

/* split(jid) -> node, host, resource as they are written. */
static int l_split(lua_State *L)
{
	struct jid jid;
	if (!l_check_split(L, 1, &jid)) {
		lua_pushnil(L);
		return 1;
	}
	return l_push_parts(L, &jid);
}

/* bare(jid) -> node@host, not prepared. */
static int l_bare(lua_State *L)
{
	struct jid jid;
	if (!l_check_split(L, 1, &jid))
		lua_pushnil(L);
	else if (jid.resource.len == 0)
		lua_settop(L, 1);
	else
		lua_pushlstring(L, lua_tostring(L, 1), (size_t)(jid.host.ptr + jid.host.len - lua_tostring(L, 1)));
	return 1;
}

static int l_node(lua_State *L)
{
	struct jid jid = { SLICE_NONE, SLICE_NONE, SLICE_NONE };
	l_push_part(L, l_check_split(L, 1, &jid) ? jid.node : SLICE_NONE);
	return 1;
}

static int l_host(lua_State *L)
{
	struct jid jid = { SLICE_NONE, SLICE_NONE, SLICE_NONE };
	l_push_part(L, l_check_split(L, 1, &jid) ? jid.host : SLICE_NONE);
	return 1;
}

static int l_resource(lua_State *L)
{
	struct jid jid = { SLICE_NONE, SLICE_NONE, SLICE_NONE };
	l_push_part(L, l_check_split(L, 1, &jid) ? jid.resource : SLICE_NONE);
	return 1;
}

/* Parses argument 1; argument 2 (strict) refuses unassigned code points in the resource as well. */
static bool l_check_jid(lua_State *L, char scratch[JID_MAX], struct jid *jid_r)
{
	char resource[JID_PART_MAX + 1];
	struct slice text;

	if (!l_check_text(L, 1, &text) || !jid_parse(text, scratch, jid_r))
		return false;
	return !lua_toboolean(L, 2) || jid_r->resource.len == 0 ||
	       jid_stringprep(JID_RESOURCEPREP, jid_r->resource, true, resource, sizeof(resource)) > 0;
}

/* prepped_split(jid, strict) -> node, host, resource in normal form. */
static int l_prepped_split(lua_State *L)
{
	char scratch[JID_MAX];
	struct jid jid;
	if (!l_check_jid(L, scratch, &jid)) {
		lua_pushnil(L);
		return 1;
	}
	return l_push_parts(L, &jid);
}

/* prep(jid, strict) -> the JID in normal form. */
static int l_prep(lua_State *L)
{
	char scratch[JID_MAX], text[JID_MAX + 1];
	struct jid jid;
	if (!l_check_jid(L, scratch, &jid))
		lua_pushnil(L);
	else
		lua_pushlstring(L, text, jid_write(&jid, text));
	return 1;
}

/* join(node, host, resource): node and resource may be nil. No preparation, no checks. */
static int l_join(lua_State *L)
{
	struct slice node = SLICE_NONE, host = SLICE_NONE, resource = SLICE_NONE;
	luaL_Buffer text;

	bool has_node = l_check_text(L, 1, &node), has_host = l_check_text(L, 2, &host);
	bool has_resource = l_check_text(L, 3, &resource);
	if (!has_host) {
		lua_pushnil(L);
		return 1;
	}
	luaL_buffinit(L, &text);
	if (has_node) {
		luaL_addlstring(&text, node.ptr, node.len);
		luaL_addchar(&text, '@');
	}
	luaL_addlstring(&text, host.ptr, host.len);
	if (has_resource) {
		luaL_addchar(&text, '/');
		luaL_addlstring(&text, resource.ptr, resource.len);
	}
	luaL_pushresult(&text);
	return 1;
}

/* compare(jid, pattern): does the pattern cover the JID? Parts the pattern has must be equal: "host" covers everybody
 * there, "host/x" each x there. Both in normal form. What is no JID covers nothing and is covered by nothing. */
static int l_compare(lua_State *L)
{
	struct jid jid, pattern;
	bool is_covered = l_check_split(L, 1, &jid) && l_check_split(L, 2, &pattern) &&
			  slice_equal(jid.host, pattern.host) &&
			  (pattern.node.len == 0 || slice_equal(jid.node, pattern.node)) &&
			  (pattern.resource.len == 0 || slice_equal(jid.resource, pattern.resource));
	lua_pushboolean(L, is_covered);
	return 1;
}

static int l_convert(lua_State *L, size_t (*convert)(struct slice in, char *into), size_t growth)
{
	struct slice text;
	luaL_Buffer into;

	if (!l_check_text(L, 1, &text)) {
		lua_pushnil(L);
		return 1;
	}
	char *bytes = luaL_buffinitsize(L, &into, growth * text.len + 1);
	luaL_pushresultsize(&into, convert(text, bytes));
	return 1;
}

/* escape(text), unescape(node): XEP-0106. */
static int l_escape(lua_State *L)
{
	return l_convert(L, jid_escape, 3);
}

static int l_unescape(lua_State *L)
{
	return l_convert(L, jid_unescape, 1);
}

static const luaL_Reg functions[] = {
	{ "split", l_split },
	{ "prepped_split", l_prepped_split },
	{ "bare", l_bare },
	{ "node", l_node },
	{ "host", l_host },
	{ "resource", l_resource },
	{ "prep", l_prep },
	{ "join", l_join },
	{ "compare", l_compare },
	{ "escape", l_escape },
	{ "unescape", l_unescape },
	{ NULL, NULL },
};

int l_open_jid(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
