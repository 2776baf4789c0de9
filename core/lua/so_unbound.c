/* couplet.unbound: the resolver of net/dns.h for Lua, an optional shared object that is loaded when net.unbound is.
 *
 *	local unbound = require "couplet.unbound"
 *	local ctx, err = unbound.new { resolvconf = path, hosts = path, forward = { address, ... },
 *		trusted = { record, ... }, trustfile = { path, ... }, options = { { name, value }, ... } }    all optional
 *	ctx:fd()                            readable when there may be answers
 *	ctx:lookup(name, type, class)       -> id | nil, error
 *	ctx:cancel(id)
 *	ctx:process()                       -> true | nil, error (then it is of no use any more)
 *	ctx:take()                          -> id, answer | id, nil, error | nothing when all are taken
 *	ctx:counts()                        -> lookups waited for, and those with cancelled ones still being worked on
 *	ctx:close()
 *
 * An answer is the list of its records in wire format, with rcode, secure, bogus (false or the reason), canonname, ttl
 * and n. net.unbound makes the answers of Prosody's net.adns of them. */
#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "lua/bind.h"
#include "net/dns.h"

#define CONTEXT_TYPE "couplet.unbound"
#define ANSWER_TYPE "couplet.unbound.answer"

int luaopen_couplet_unbound(lua_State *L);

/* ---- handle ---- */

static struct dns *l_check_dns(lua_State *L)
{
	struct dns **dns = luaL_checkudata(L, 1, CONTEXT_TYPE);
	if (*dns == NULL)
		luaL_error(L, "resolver is closed");
	return *dns;
}

static int l_close(lua_State *L)
{
	dns_free(luaL_checkudata(L, 1, CONTEXT_TYPE));
	return 0;
}

static int l_answer_close(lua_State *L)
{
	dns_answer_free(luaL_checkudata(L, 1, ANSWER_TYPE));
	return 0;
}

/* ---- lookups ---- */

static int l_fd(lua_State *L)
{
	lua_pushinteger(L, dns_fd(l_check_dns(L)));
	return 1;
}

static int l_lookup(lua_State *L)
{
	struct dns *dns = l_check_dns(L);
	size_t len;
	const char *name = luaL_checklstring(L, 2, &len);
	lua_Integer type = luaL_checkinteger(L, 3), class = luaL_checkinteger(L, 4);
	luaL_argcheck(L, strlen(name) == len, 2, "not a domain name");
	luaL_argcheck(L, type >= 0 && type <= UINT16_MAX, 3, "not a type");
	luaL_argcheck(L, class >= 0 && class <= UINT16_MAX, 4, "not a class");
	struct error error = { "" };
	uint64_t id = dns_lookup(dns, name, (uint16_t)type, (uint16_t)class, &error);
	if (id == 0)
		return l_failed(L, &error);
	lua_pushinteger(L, (lua_Integer)id);
	return 1;
}

static int l_cancel(lua_State *L)
{
	struct dns *dns = l_check_dns(L);
	dns_cancel(dns, (uint64_t)luaL_checkinteger(L, 2));
	return 0;
}

static int l_counts(lua_State *L)
{
	const struct dns *dns = l_check_dns(L);
	lua_pushinteger(L, dns_n_lookups(dns));
	lua_pushinteger(L, dns_n_unfinished(dns));
	return 2;
}

/* ---- answers ---- */

static int l_process(lua_State *L)
{
	struct error error = { "" };
	if (dns_process(l_check_dns(L), &error) != 0)
		return l_failed(L, &error);
	lua_pushboolean(L, 1);
	return 1;
}

static void l_push_answer(lua_State *L, const struct dns_answer *answer)
{
	lua_createtable(L, (int)answer->n_records, 8);
	for (size_t i = 0; i < answer->n_records; i++) {
		struct slice record = dns_record(answer, i);
		lua_pushlstring(L, record.ptr, record.len);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_pushinteger(L, (lua_Integer)answer->n_records);
	lua_setfield(L, -2, "n");
	lua_pushinteger(L, answer->rcode);
	lua_setfield(L, -2, "rcode");
	lua_pushinteger(L, answer->ttl_s);
	lua_setfield(L, -2, "ttl");
	lua_pushboolean(L, answer->is_secure);
	lua_setfield(L, -2, "secure");
	if (answer->is_bogus)
		lua_pushstring(L, answer->why_bogus != NULL ? answer->why_bogus : "validation failed");
	else
		lua_pushboolean(L, 0);
	lua_setfield(L, -2, "bogus");
	lua_pushstring(L, answer->canonical_name); /* NULL: nil */
	lua_setfield(L, -2, "canonname");
}

static int l_take(lua_State *L)
{
	struct dns *dns = l_check_dns(L);
	lua_settop(L, 1);
	struct dns_answer **answer = lua_newuserdatauv(L, sizeof(struct dns_answer *), 0);
	*answer = NULL;
	luaL_setmetatable(L, ANSWER_TYPE);
	lua_toclose(L, -1);
	*answer = dns_take(dns);
	if (*answer == NULL)
		return 0;
	lua_pushinteger(L, (lua_Integer)(*answer)->id);
	if ((*answer)->failure != NULL) {
		lua_pushnil(L);
		lua_pushstring(L, (*answer)->failure);
		return 3;
	}
	l_push_answer(L, *answer);
	return 2;
}

/* ---- settings ---- */

typedef int setter(struct dns *dns, const char *value, struct error *error_r);

/* settings[name] is nil, a string or a list of strings; each is set. */
static int l_set_each(lua_State *L, struct dns *dns, const char *name, setter *set, struct error *error_r)
{
	int result = 0;
	if (lua_getfield(L, 1, name) == LUA_TSTRING) {
		result = set(dns, lua_tostring(L, -1), error_r);
	} else if (!lua_isnil(L, -1)) {
		luaL_argcheck(L, lua_istable(L, -1), 1, name);
		lua_Integer n = luaL_len(L, -1);
		for (lua_Integer i = 1; result == 0 && i <= n; i++) {
			luaL_argcheck(L, lua_geti(L, -1, i) == LUA_TSTRING, 1, name);
			result = set(dns, lua_tostring(L, -1), error_r);
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
	return result;
}

static int l_set_options(lua_State *L, struct dns *dns, struct error *error_r)
{
	int result = 0;
	if (lua_getfield(L, 1, "options") == LUA_TTABLE) {
		lua_Integer n = luaL_len(L, -1);
		for (lua_Integer i = 1; result == 0 && i <= n; i++) {
			luaL_argcheck(L, lua_geti(L, -1, i) == LUA_TTABLE, 1, "options");
			bool are_strings = lua_geti(L, -1, 1) == LUA_TSTRING && lua_geti(L, -2, 2) == LUA_TSTRING;
			luaL_argcheck(L, are_strings, 1, "options");
			result = dns_set(dns, lua_tostring(L, -2), lua_tostring(L, -1), error_r);
			lua_pop(L, 3);
		}
	}
	lua_pop(L, 1);
	return result;
}

static int l_new(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	struct dns **dns = lua_newuserdatauv(L, sizeof(*dns), 0);
	*dns = NULL;
	luaL_setmetatable(L, CONTEXT_TYPE);
	struct error error = { "" };
	*dns = dns_new(&error);
	if (*dns == NULL)
		return l_failed(L, &error);
	if (l_set_each(L, *dns, "resolvconf", dns_read_resolv_conf, &error) != 0 ||
	    l_set_each(L, *dns, "hosts", dns_read_hosts, &error) != 0 ||
	    l_set_each(L, *dns, "forward", dns_forward, &error) != 0 ||
	    l_set_each(L, *dns, "trusted", dns_trust, &error) != 0 ||
	    l_set_each(L, *dns, "trustfile", dns_trust_file, &error) != 0 ||
	    l_set_options(L, *dns, &error) != 0 || dns_start(*dns, &error) != 0) {
		dns_free(dns);
		return l_failed(L, &error);
	}
	return 1;
}

/* ---- tables ---- */

static const luaL_Reg methods[] = {
	{ "fd", l_fd },
	{ "lookup", l_lookup },
	{ "cancel", l_cancel },
	{ "process", l_process },
	{ "take", l_take },
	{ "counts", l_counts },
	{ "close", l_close },
	{ NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "new", l_new },
	{ NULL, NULL },
};

int luaopen_couplet_unbound(lua_State *L)
{
	l_new_type(L, ANSWER_TYPE, NULL, l_answer_close);
	l_new_type(L, CONTEXT_TYPE, methods, l_close);
	luaL_newlib(L, functions);
	lua_pushstring(L, dns_version());
	lua_setfield(L, -2, "version");
	return 1;
}
