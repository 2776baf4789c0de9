/* util.net: this machine's addresses, and addresses as text and as bytes. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <lauxlib.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "lua/libs.h"

static int l_fail_errno(lua_State *L, int error)
{
	lua_pushnil(L);
	lua_pushstring(L, strerror(error));
	lua_pushinteger(L, error);
	return 3;
}

static int l_free_addresses(lua_State *L)
{
	struct ifaddrs **addresses = lua_touserdata(L, 1);
	if (*addresses != NULL)
		freeifaddrs(*addresses);
	*addresses = NULL;
	return 0;
}

/* Would anybody outside this machine reach us there? */
static bool is_wanted(const struct ifaddrs *entry, bool ipv4, bool ipv6, bool link_local)
{
	if (entry->ifa_addr == NULL || (entry->ifa_flags & IFF_UP) == 0 || (entry->ifa_flags & IFF_LOOPBACK) != 0)
		return false;
	if (entry->ifa_addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)entry->ifa_addr;
		uint32_t address = ntohl(in->sin_addr.s_addr);
		return ipv4 && (link_local || (address & 0xffff0000) != 0xa9fe0000) && address >> 24 != 127;
	}
	if (entry->ifa_addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)entry->ifa_addr;
		return ipv6 && (link_local || !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) &&
		       !IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	}
	return false;
}

/* local_addresses([type [, link_local]]) -> list of texts; type is "both" (default), "ipv4" or "ipv6". Without loopback
 * and, unless asked for, without link-local ones. */
static int l_local_addresses(lua_State *L)
{
	static const char *const types[] = { "both", "ipv4", "ipv6", NULL };
	int type = luaL_checkoption(L, 1, "both", types);
	bool link_local = lua_toboolean(L, 2);
	lua_Integer n = 0;

	struct ifaddrs **addresses = lua_newuserdatauv(L, sizeof(*addresses), 0);
	*addresses = NULL;
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, l_free_addresses);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_newtable(L);
	if (getifaddrs(addresses) < 0)
		return l_fail_errno(L, errno);

	for (const struct ifaddrs *entry = *addresses; entry != NULL; entry = entry->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		if (!is_wanted(entry, type != 2, type != 1, link_local))
			continue;
		const struct sockaddr_in *in = (const void *)entry->ifa_addr;
		const struct sockaddr_in6 *in6 = (const void *)entry->ifa_addr;
		const void *bytes = in->sin_family == AF_INET ? (const void *)&in->sin_addr : &in6->sin6_addr;
		if (inet_ntop(in->sin_family, bytes, text, sizeof(text)) == NULL)
			continue;
		lua_pushstring(L, text);
		lua_rawseti(L, -2, ++n);
	}
	freeifaddrs(*addresses);
	*addresses = NULL;
	return 1;
}

/* pton(text) -> 4 or 16 bytes | nil, text, errno */
static int l_pton(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	unsigned char bytes[sizeof(struct in6_addr)];
	bool is_ipv6 = strchr(text, ':') != NULL;

	if (strlen(text) != len || inet_pton(is_ipv6 ? AF_INET6 : AF_INET, text, bytes) != 1)
		return l_fail_errno(L, EINVAL);
	lua_pushlstring(L, (const char *)bytes, is_ipv6 ? sizeof(struct in6_addr) : sizeof(struct in_addr));
	return 1;
}

/* ntop(bytes) -> text | nil, text, errno. An IPv4 address mapped into IPv6 stays one of IPv6. */
static int l_ntop(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 1, &len);
	char text[INET6_ADDRSTRLEN];

	if (len != sizeof(struct in_addr) && len != sizeof(struct in6_addr))
		return l_fail_errno(L, EAFNOSUPPORT);
	if (inet_ntop(len == sizeof(struct in_addr) ? AF_INET : AF_INET6, bytes, text, sizeof(text)) == NULL)
		return l_fail_errno(L, errno);
	lua_pushstring(L, text);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "local_addresses", l_local_addresses },
	{ "pton", l_pton },
	{ "ntop", l_ntop },
	{ NULL, NULL },
};

int l_open_net(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
