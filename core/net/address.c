/* The special-purpose addresses of IANA's registries (RFC 6890). */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

static bool is_within(const uint8_t *address, const char *network, unsigned bits)
{
	uint8_t bytes[16];
	int family = strchr(network, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(family, network, bytes) != 1)
		return true;
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(address, bytes, whole) != 0)
		return false;
	return rest == 0 || (address[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

static bool is_public_4(const uint8_t *address)
{
	static const struct {
		const char *network;
		unsigned bits;
	} special[] = {
		{ "0.0.0.0", 8 },      { "10.0.0.0", 8 },     { "100.64.0.0", 10 },   { "127.0.0.0", 8 },
		{ "169.254.0.0", 16 }, { "172.16.0.0", 12 },  { "192.0.0.0", 24 },    { "192.0.2.0", 24 },
		{ "192.88.99.0", 24 }, { "192.168.0.0", 16 }, { "198.18.0.0", 15 },   { "198.51.100.0", 24 },
		{ "203.0.113.0", 24 }, { "224.0.0.0", 3 },
	};
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		if (is_within(address, special[i].network, special[i].bits))
			return false;
	}
	return true;
}

/* Only 2000::/3 is given out; of it, the transition mechanisms carry an address of IPv4 or lead anywhere. */
static bool is_public_6(const uint8_t *address)
{
	if (is_within(address, "::ffff:0:0", 96) || is_within(address, "64:ff9b::", 96))
		return is_public_4(address + 12);
	return is_within(address, "2000::", 3) && !is_within(address, "2002::", 16) && !is_within(address, "2001::", 23)
	       && !is_within(address, "2001:db8::", 32) && !is_within(address, "3fff::", 20);
}

bool address_is_public(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_public_4((const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr);
	if (address->sa_family == AF_INET6)
		return is_public_6((const uint8_t *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
	return false;
}
