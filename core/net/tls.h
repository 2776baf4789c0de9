/* TLS with OpenSSL: contexts from files, the choice by SNI, and what a stream wants to know of a finished handshake.
 *
 * Always true: TLS 1.2 or newer, AEAD with forward secrecy only, no compression, no renegotiation, no tickets, no early
 * data, SSL_MODE_RELEASE_BUFFERS. A context is counted: connections keep the one they started with, so replacing it in
 * the SNI table (reload) never drops a session. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct conn;
struct error;
struct tls_context;

struct tls_config {
	const char *certificate; /* PEM chain file; NULL for a client without one */
	const char *key;         /* PEM key file without a password, NULL: in the certificate's file */
	const char *ca_file;     /* trust anchors, NULL with ca_path: the system's */
	const char *ca_path;
	const char *crl_file;    /* PEM lists of revoked certificates, NULL: none. Authorities without a list there are
				  * believed that they have revoked nothing; one whose list is out of date is not */
	const char *ciphers;     /* TLS 1.2 list, NULL: ours; with another list its author answers for it */
	const char *curves;      /* NULL: X25519:P-256:P-384 */
	const char *min_protocol;/* "tlsv1_2" (default), "tlsv1_3" */
	bool ask_client_certificate; /* server: request one; never fails the handshake by itself */
	const char *alpn;        /* protocols we select when the client offers any, comma separated, the first that it
				  * offers: "xmpp-client"; when it offers none of them, the handshake fails with
				  * no_application_protocol (RFC 7301 3.2). NULL: ALPN is ignored */
};

/* NULL and error_r (naming the file and the mend) when a file is missing, unreadable or key and certificate differ. */
struct tls_context *tls_context_new(const struct tls_config *config, bool is_server, struct error *error_r);
/* Counts. tls_context_unref leaves NULL behind. */
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context **context);

/* Which context serves a name asked by SNI: a table inside the server's context. name: A-label host name or "*.x",
 * which stands for one label; a whole name goes first. A name in no entry gets `server` itself. ALPN and whether a
 * client's certificate is asked for stay `server`'s. Replaces an earlier entry. Counts `context` for itself. */
void tls_context_set_sni(struct tls_context *server, const char *name, struct tls_context *context);
void tls_context_clear_sni(struct tls_context *server);

/* What a secured connection says; "" before that. Strings live until the next call. */
const char *tls_protocol(struct conn *conn);            /* "TLSv1.3" */
const char *tls_cipher(struct conn *conn);
const char *tls_sni(struct conn *conn);                 /* "" when none */
const char *tls_alpn(struct conn *conn);                /* "" when none */

/* Channel bindings, written to `into` (at most 64 bytes); the length, or 0 when not available. */
size_t tls_binding_exporter(struct conn *conn, uint8_t into[64]);       /* RFC 9266, TLS 1.3 (and 1.2 with EMS) */
size_t tls_binding_server_end_point(struct conn *conn, uint8_t into[64]); /* RFC 5929 4 */
/* RFC 5929 3, for TLS 1.2. COMPAT: over TLS 1.3 no RFC defines it, but Python's ssl gives clients the client's Finished
 * message under this name (slixmpp, aioxmpp), and so do we; it is not announced there (XEP-0440). */
size_t tls_binding_unique(struct conn *conn, uint8_t into[64]);

/* The peer's certificate chain, first the leaf, as PEM; gives a string to mem_free, NULL when there is none. */
char *tls_peer_chain_pem(struct conn *conn);
/* Does the peer's chain lead to a trust anchor, for a server's or a client's purpose (for a client, a server's
 * certificate will do), with keys and signatures of at least 112 bits of security (RSA from 2048 bits, no MD5, no
 * SHA-1)? The handshake itself never asks. Names are not looked at. why: OpenSSL's words when not. */
bool tls_peer_chain_is_valid(struct conn *conn, bool as_server, const char **why_r);

/* A TLSA record (RFC 6698 2.1), its data borrowed. */
struct tls_tlsa {
	uint8_t usage, selector, matching;
	struct slice data;
};
enum { TLSA_MAX = 100 }; /* of one name; more are not looked at */
enum tls_dane {
	TLS_DANE_CERTIFICATE, /* usage 3: it is this certificate or key; names and dates do not matter (RFC 7671 5.1) */
	TLS_DANE_CHAIN,       /* usage 0, 1 or 2: the chain is good; its names are still to be looked at */
	TLS_DANE_UNUSABLE,    /* no record is of a kind we know: as if there were none (RFC 7671 4.1) */
	TLS_DANE_MISMATCH,    /* why: OpenSSL's words */
};
/* Is the peer's chain what these records say? */
enum tls_dane tls_peer_dane(struct conn *conn, const struct tls_tlsa *records, size_t n, bool as_server,
			    const char **why_r);
/* SHA-256 of the peer's leaf certificate; false when there is none. */
bool tls_peer_fingerprint(struct conn *conn, uint8_t into[32]);

#endif
