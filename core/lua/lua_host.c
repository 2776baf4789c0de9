/* Hosts and users as Lua sees them: prosody.hosts[x].sessions, bare_sessions and full_sessions are views, looked up
 * in the core at each access, so there is one truth. A user with sessions has a table of its own for what modules
 * keep. */
#include <lauxlib.h>

#include "base/mem.h"
#include "lua/core.h"
#include "xmpp/host.h"
#include "xmpp/jid.h"
#include "xmpp/session.h"

#define VIEW_TYPE "couplet.view"

/* What a view shows. User values: 1 host name, 2 node (VIEW_RESOURCES only). */
enum view_kind { VIEW_USERS, VIEW_RESOURCES, VIEW_BARE, VIEW_FULL };

struct view {
	enum view_kind kind;
};

static void l_push_view(lua_State *L, enum view_kind kind, struct slice host, struct slice node)
{
	struct view *view = lua_newuserdatauv(L, sizeof(*view), 2);
	view->kind = kind;
	luaL_setmetatable(L, VIEW_TYPE);
	l_push_slice(L, host);
	lua_setiuservalue(L, -2, 1);
	l_push_slice(L, node);
	lua_setiuservalue(L, -2, 2);
}

/* { username =, host =, sessions = view of resources } plus what modules keep (roster ...). */
static void l_push_user(lua_State *L, struct user *user)
{
	if (user == NULL) {
		lua_pushnil(L);
		return;
	}
	if (user->lua_ref != 0) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, user->lua_ref);
		return;
	}
	lua_createtable(L, 0, 4);
	l_push_slice(L, user_node(user));
	lua_setfield(L, -2, "username");
	l_push_slice(L, host_name(user->host));
	lua_setfield(L, -2, "host");
	l_push_view(L, VIEW_RESOURCES, host_name(user->host), user_node(user));
	lua_setfield(L, -2, "sessions");
	lua_pushvalue(L, -1);
	user->lua_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static struct host *view_host(lua_State *L, int index)
{
	lua_getiuservalue(L, index, 1);
	struct host *host = server_host(lua_core_of(L)->server, l_to_slice(L, -1));
	lua_pop(L, 1);
	return host;
}

static struct user *view_user(lua_State *L, int index)
{
	struct host *host = view_host(L, index);
	lua_getiuservalue(L, index, 2);
	struct user *user = host != NULL ? host_user(host, l_to_slice(L, -1)) : NULL;
	lua_pop(L, 1);
	return user;
}

static struct user *find_user(struct server *server, const struct jid *jid)
{
	struct host *host = server_host(server, jid->host);
	return host != NULL ? host_user(host, jid->node) : NULL;
}

static int l_view_index(lua_State *L)
{
	struct view *view = lua_touserdata(L, 1);
	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	struct slice key = l_to_slice(L, 2);
	char scratch[JID_MAX];
	struct jid jid;
	struct server *server = lua_core_of(L)->server;
	struct user *user = NULL;
	struct session *session = NULL;
	switch (view->kind) {
	case VIEW_USERS: {
		struct host *host = view_host(L, 1);
		l_push_user(L, host != NULL ? host_user(host, key) : NULL);
		return 1;
	}
	case VIEW_RESOURCES:
		user = view_user(L, 1);
		session = user != NULL ? user_session(user, key) : NULL;
		break;
	case VIEW_BARE:
		if (jid_parse(key, scratch, &jid) && jid.resource.len == 0)
			user = find_user(server, &jid);
		l_push_user(L, user);
		return 1;
	case VIEW_FULL:
		if (jid_parse(key, scratch, &jid) && jid.resource.len > 0 && (user = find_user(server, &jid)) != NULL)
			session = user_session(user, jid.resource);
		break;
	}
	l_push_session(L, session);
	return 1;
}

static void l_add_resources(lua_State *L, struct user *user, bool by_full_jid) /* into the table on top */
{
	struct session *session, *after;
	list_each(session, after, &user->sessions, user_link)
	{
		l_push_slice(L, by_full_jid ? session_full_jid(session) : session_resource(session));
		l_push_session(L, session);
		lua_rawset(L, -3);
	}
}

static void l_add_host(lua_State *L, enum view_kind kind, struct host *host) /* into the table on top */
{
	uint32_t at = 0;
	struct user *user;
	while ((user = hash_next(&host->users, &at)) != NULL) {
		if (kind == VIEW_FULL) {
			l_add_resources(L, user, true);
			continue;
		}
		if (kind == VIEW_BARE)
			l_push_slice(L, session_bare_jid(list_first(&user->sessions, struct session, user_link)));
		else
			l_push_slice(L, user_node(user));
		l_push_user(L, user);
		lua_rawset(L, -3);
	}
}

/* pairs(view) walks over a snapshot, so the body may log people in and out. */
static int l_view_pairs(lua_State *L)
{
	struct view *view = lua_touserdata(L, 1);
	struct server *server = lua_core_of(L)->server;
	lua_settop(L, 1);
	lua_getglobal(L, "next");
	lua_newtable(L);
	if (view->kind == VIEW_RESOURCES) {
		struct user *user = view_user(L, 1);
		if (user != NULL)
			l_add_resources(L, user, false);
	} else if (view->kind == VIEW_USERS) {
		struct host *host = view_host(L, 1);
		if (host != NULL)
			l_add_host(L, VIEW_USERS, host);
	} else {
		uint32_t at = 0;
		struct host *host;
		while ((host = hash_next(&server->hosts, &at)) != NULL)
			l_add_host(L, view->kind, host);
	}
	lua_pushnil(L);
	return 3;
}

static int l_view_newindex(lua_State *L)
{
	return luaL_error(L, "sessions are bound and unbound through core.sessionmanager, not by assignment");
}

/* native.host_add(host): the table must have host, type and events. */
static int l_host_add(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_getfield(L, 1, "host");
	struct slice name = l_to_slice(L, -1);
	char prepared[JID_PART_MAX + 1];
	int len = name.ptr != NULL ? jid_prep_host(name, prepared) : -1;
	if (len <= 0)
		return luaL_error(L, "'%s' is not a valid host name", name.ptr != NULL ? name.ptr : "nil");
	name = slice_of(prepared, (size_t)len);
	if (server_host(core->server, name) != NULL)
		return luaL_error(L, "host %s exists already", prepared);
	lua_getfield(L, 1, "events");
	struct bus *bus = l_check_bus(L, -1);
	lua_getfield(L, 1, "type");
	bool is_component = lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "component") == 0;
	l_push_view(L, VIEW_USERS, name, SLICE_NONE);
	lua_setfield(L, 1, "sessions");
	lua_pushvalue(L, 1);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	struct host *host = host_new(core->server, name, bus);
	host->is_component = is_component;
	host->lua_ref = ref;
	return 0;
}

/* native.host_remove(name): its sessions are closed with <host-gone/>. */
static int l_host_remove(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	struct host *host = server_host(core->server, slice_of_str(luaL_checkstring(L, 1)));
	if (host == NULL)
		return 0;
	for (uint32_t i = 0; i < core->server->n_slots; i++) {
		struct session *session = server_session_at(core->server, i);
		if (session == NULL || session->host != host || session == host->self)
			continue;
		session_close(session, "host-gone", "This host is no longer served here");
		session_end(session, "host removed");
		session->host = NULL;
	}
	luaL_unref(L, LUA_REGISTRYINDEX, host->lua_ref);
	host_free(&host);
	return 0;
}

void l_add_views(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "host_add", l_host_add },
		{ "host_remove", l_host_remove },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "__index", l_view_index },
		{ "__newindex", l_view_newindex },
		{ "__pairs", l_view_pairs },
		{ NULL, NULL },
	};
	luaL_newmetatable(L, VIEW_TYPE);
	luaL_setfuncs(L, methods, 0);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
	l_push_view(L, VIEW_BARE, SLICE_NONE, SLICE_NONE);
	lua_setfield(L, -2, "bare_sessions");
	l_push_view(L, VIEW_FULL, SLICE_NONE, SLICE_NONE);
	lua_setfield(L, -2, "full_sessions");
}
