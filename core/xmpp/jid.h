/* JIDs (RFC 7622; profiles nodeprep, nameprep, resourceprep of RFC 6122 by libidn, as the deployed network uses).
 *
 * A jid's parts are slices: of the text it was parsed from while that was already in normal form (the fast path, plain
 * ASCII), else of memory the caller passed. */
#ifndef XMPP_JID_H
#define XMPP_JID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#define JID_PART_MAX 1023 /* bytes of one part after preparation (RFC 7622 3.1) */
#define JID_MAX (3 * JID_PART_MAX + 2)

struct jid {
	struct slice node, host, resource; /* node and resource may be empty (absent) */
};

/* Splits and prepares. Parts that need changing are written to scratch (JID_MAX bytes, borrowed for the jid's life).
 * False when it is not a JID; then nothing is promised of jid_r. */
bool jid_parse(struct slice text, char scratch[JID_MAX], struct jid *jid_r);

/* Splits only (RFC 7622 3.1): everything after the first '/' is the resource, what stands before an '@' in the rest is
 * the node. False when a part is missing that a separator announced, or when the host holds an '@'. */
bool jid_split(struct slice text, struct jid *jid_r);

/* Prepare one part into `into` (JID_PART_MAX + 1 bytes, NUL-terminated). The length, or -1 when forbidden, empty or too
 * long. Idempotent. host accepts IDNs (as U-labels), IPv4 and [IPv6] literals, and a trailing dot, which it removes.
 *
 * Code points that Unicode 3.2 had not assigned are refused in node and host, whose identity depends on their case and
 * normal form. A resource may hold them (emoji) and may mix writing directions, as RFC 7622 3.4 allows. */
int jid_prep_node(struct slice in, char *into);
int jid_prep_host(struct slice in, char *into);
int jid_prep_resource(struct slice in, char *into);

/* A password (RFC 4013); into has `size` bytes with the NUL. The length, or -1 when forbidden, empty or too long. Takes
 * unassigned code points: what matters is that setting and checking give the same bytes. The caller wipes `into`. */
int jid_saslprep(struct slice in, char *into, size_t size);

/* A bare profile, without our rules on top of it (host labels, directions), for those who ask by name. strict refuses
 * unassigned code points ("stored strings", RFC 3454 7). Else as above. */
enum jid_profile { JID_NODEPREP, JID_NAMEPREP, JID_RESOURCEPREP, JID_SASLPREP };
int jid_stringprep(enum jid_profile profile, struct slice in, bool strict, char *into, size_t size);

/* Writes node@host/resource; into has JID_MAX + 1 bytes. The length. */
size_t jid_write(const struct jid *jid, char *into);
bool jid_equal(const struct jid *a, const struct jid *b);

/* XEP-0106. Gives the length written into `into` (3 * in.len + 1 bytes for escape, in.len + 1 for unescape).
 * A space at either end is left alone by both, since \20 must not begin or end a node (4.1): preparation then refuses
 * the node, which indeed cannot be expressed. */
size_t jid_escape(struct slice in, char *into);
size_t jid_unescape(struct slice in, char *into);

/* To A-labels (xn--) and back, for DNS and certificates. -1 when not a host name; into has 256 * 4 bytes.
 * An IPv6 literal is no host name; neither is a label with '_', which a JID's host may have. */
int jid_host_to_ascii(struct slice host, char *into, size_t size);
int jid_host_to_unicode(struct slice host, char *into, size_t size);

#endif
