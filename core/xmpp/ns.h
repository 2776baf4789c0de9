/* The namespaces the core itself must recognise. */
#ifndef XMPP_NS_H
#define XMPP_NS_H

#include "base/slice.h"

#define NS_CLIENT SLICE("jabber:client")
#define NS_SERVER SLICE("jabber:server")
#define NS_STREAMS SLICE("http://etherx.jabber.org/streams")
#define NS_STREAM_ERRORS SLICE("urn:ietf:params:xml:ns:xmpp-streams")
#define NS_STANZA_ERRORS SLICE("urn:ietf:params:xml:ns:xmpp-stanzas")
#define NS_TLS SLICE("urn:ietf:params:xml:ns:xmpp-tls")
#define NS_SASL SLICE("urn:ietf:params:xml:ns:xmpp-sasl")
#define NS_BIND SLICE("urn:ietf:params:xml:ns:xmpp-bind")
#define NS_SM SLICE("urn:xmpp:sm:3")
#define NS_DIALBACK SLICE("jabber:server:dialback")

#endif
