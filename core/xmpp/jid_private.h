/* What jid.c and jid_prep.c share: the table of bytes that are in normal form already. */
#ifndef XMPP_JID_PRIVATE_H
#define XMPP_JID_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { JID_BYTE_NODE = 1, JID_BYTE_HOST = 2, JID_BYTE_RESOURCE = 4, JID_BYTE_ANY = 7 };

/* In which parts this byte may stand as it is. Never set for bytes above 0x7e. */
extern const uint8_t jid_byte_kind[256];

/* Is this, whose bytes are all JID_BYTE_HOST, a host name in normal form? Labels have 1 to 63 bytes, no hyphen at
 * either end, and no "xn--", which has to be looked into. */
bool jid_labels_are_plain(struct slice host);

/* jid_prep_node, _host and _resource without the NUL: `into` has JID_PART_MAX bytes. */
int jid_prep_part(unsigned kind, struct slice in, char *into);

#endif
