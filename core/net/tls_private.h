/* TLS as a layer of a connection, for net's own files. Input comes from loop->tls_input, never from the socket, so that
 * one read(2) serves all records it brought; output goes to the socket. */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include <openssl/types.h>
#include <stdbool.h>

#include "base/slice.h"

struct conn;
struct error;
struct tls_context;

enum tls_step {
	TLS_DONE,       /* the handshake is over; some bytes were read or written */
	TLS_WANT_READ,  /* all input was used up */
	TLS_WANT_WRITE, /* the socket is full */
	TLS_ENDED,      /* close_notify */
	TLS_FAILED,     /* tls_failure says why; the alert was sent */
};

/* A new SSL on the conn. -1 when OpenSSL refuses the parameters. */
int tls_open(struct conn *conn, struct tls_context *context, bool is_server, const char *sni, const char *alpn);
enum tls_step tls_handshake(SSL *ssl);
enum tls_step tls_read(SSL *ssl, char *into, size_t size, size_t *got_r);
enum tls_step tls_write(SSL *ssl, struct slice bytes, size_t *sent_r);
/* close_notify, once, if the socket takes it. */
void tls_say_goodbye(SSL *ssl);
/* Why the last step failed, in OpenSSL's words. Lives until the next call. */
const char *tls_failure(void);

/* tls.c: what a handshake asks of the context it began with. */
SSL_CTX *tls_context_ssl(struct tls_context *context);
SSL_CTX *tls_context_find(struct tls_context *server, const char *sni); /* NULL: no entry */
/* The configured protocols in wire form (RFC 7301 3.1), none: empty. */
struct slice tls_context_alpn(const struct tls_context *context);
/* "a,b" to wire form, at most 255 bytes; -1 when that does not fit or a name is empty. */
int tls_alpn_wire(const char *protocols, char into[256], size_t *len_r);
/* tls_peer.c: the peer's leaf certificate, counted; NULL when there is none. */
X509 *tls_peer_leaf(struct conn *conn);
/* tls_verify.c: makes the system's trust anchors those of a context, unread until a chain is judged. */
void tls_trust_the_system(SSL_CTX *ssl);
/* tls_verify.c: certificates that these lists of revoked ones name are not believed. The context's trust anchors are
 * set before. -1 when there is none in the file. */
int tls_trust_no_revoked(SSL_CTX *ssl, const char *crl_file);
/* tls_layer.c: the choices made during the client hello, installed on every server context. */
int tls_choose_by_sni(SSL *ssl, int *alert, void *arg);
int tls_choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		    unsigned in_len, void *arg);

#endif
