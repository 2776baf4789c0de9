/* Which addresses are everybody's, and which lead into this machine or a network of somebody's own. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Can it be reached from everywhere (RFC 6890 and the registries it names)? False for anything but IPv4 and IPv6, and
 * for what carries such an address of IPv4 within one of IPv6. */
bool address_is_public(const struct sockaddr *address);

#endif
