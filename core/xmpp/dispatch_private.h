/* What router.c and delivery.c share. */
#ifndef XMPP_DISPATCH_PRIVATE_H
#define XMPP_DISPATCH_PRIVATE_H

#include "base/slice.h"

enum { EVENT_NAME_MAX = 1024 };

/* Writes PREFIX + NAMESPACE ":" + NAME ("iq-get/bare/urn:xmpp:ping:ping"); without a namespace no colon. Empty when it
 * would be longer than any hooked name. */
struct slice dispatch_event_name(char into[EVENT_NAME_MAX], const char *prefix, struct slice ns, struct slice name);

#endif
