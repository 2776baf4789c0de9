/* What a secured connection says of itself and of its peer. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/tls_private.h"

enum { BINDING_MAX = 64 };

const char *tls_protocol(struct conn *conn)
{
	const SSL *ssl = conn_ssl(conn);
	return ssl != NULL ? SSL_get_version(ssl) : "";
}

const char *tls_cipher(struct conn *conn)
{
	const SSL *ssl = conn_ssl(conn);
	return ssl != NULL ? SSL_get_cipher_name(ssl) : "";
}

const char *tls_sni(struct conn *conn)
{
	const SSL *ssl = conn_ssl(conn);
	const char *name = ssl != NULL ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : NULL;
	return name != NULL ? name : "";
}

const char *tls_alpn(struct conn *conn)
{
	static char name[256]; /* OpenSSL's is not NUL-terminated */
	const SSL *ssl = conn_ssl(conn);
	const unsigned char *chosen = NULL;
	unsigned len = 0;
	if (ssl != NULL)
		SSL_get0_alpn_selected(ssl, &chosen, &len);
	if (len > sizeof(name) - 1)
		len = 0;
	if (len > 0)
		memcpy(name, chosen, len);
	name[len] = '\0';
	return name;
}

/* Without the extended master secret (RFC 7627) TLS 1.2 does not bind to its handshake: a third party in the middle can
 * bring both ends to the same values. */
static bool can_bind(const SSL *ssl)
{
	return ssl != NULL && (SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support((SSL *)ssl) == 1);
}

size_t tls_binding_exporter(struct conn *conn, uint8_t into[64])
{
	/* RFC 9266 2: label "EXPORTER-Channel-Binding", a context of zero length, 32 bytes. */
	static const char label[] = "EXPORTER-Channel-Binding";
	static const unsigned char context[1];
	SSL *ssl = conn_ssl(conn);
	if (!can_bind(ssl) ||
	    SSL_export_keying_material(ssl, into, 32, label, sizeof(label) - 1, context, 0, 1) != 1) {
		ERR_clear_error();
		return 0;
	}
	return 32;
}

size_t tls_binding_server_end_point(struct conn *conn, uint8_t into[64])
{
	SSL *ssl = conn_ssl(conn);
	if (ssl == NULL)
		return 0;
	X509 *certificate = SSL_is_server(ssl) ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
	if (certificate == NULL)
		return 0;
	/* RFC 5929 4.1: the hash of the certificate's signature, SHA-256 for MD5 and SHA-1. A signature without one hash
	 * of its own (Ed25519) leaves the binding undefined. */
	int hash_nid;
	if (X509_get_signature_info(certificate, &hash_nid, NULL, NULL, NULL) != 1 || hash_nid == NID_undef) {
		ERR_clear_error();
		return 0;
	}
	if (hash_nid == NID_md5 || hash_nid == NID_sha1)
		hash_nid = NID_sha256;
	const EVP_MD *hash = EVP_get_digestbynid(hash_nid);
	unsigned len = 0;
	if (hash == NULL || EVP_MD_get_size(hash) > BINDING_MAX || X509_digest(certificate, hash, into, &len) != 1)
		len = 0;
	ERR_clear_error();
	return len;
}

size_t tls_binding_unique(struct conn *conn, uint8_t into[64])
{
	SSL *ssl = conn_ssl(conn);
	if (!can_bind(ssl))
		return 0;
	/* RFC 5929 3.1: the first Finished message, which is the client's unless a session was resumed. Over TLS 1.3, where
	 * the server's is the first, clients mean the client's all the same (tls.h). */
	bool is_ours = (SSL_is_server(ssl) == 1) == (SSL_session_reused(ssl) == 1);
	size_t len = is_ours ? SSL_get_finished(ssl, into, BINDING_MAX) : SSL_get_peer_finished(ssl, into, BINDING_MAX);
	return len <= BINDING_MAX ? len : 0;
}

X509 *tls_peer_leaf(struct conn *conn)
{
	SSL *ssl = conn_ssl(conn);
	return ssl != NULL ? SSL_get1_peer_certificate(ssl) : NULL;
}

char *tls_peer_chain_pem(struct conn *conn)
{
	X509 *leaf = tls_peer_leaf(conn);
	if (leaf == NULL)
		return NULL;
	char *text = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	if (bio == NULL || PEM_write_bio_X509(bio, leaf) != 1)
		goto out;
	/* OpenSSL's chain has the leaf in it on the client's side only. */
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(conn_ssl(conn));
	for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
		X509 *certificate = sk_X509_value(chain, i);
		if (X509_cmp(certificate, leaf) != 0 && PEM_write_bio_X509(bio, certificate) != 1)
			goto out;
	}
	char *pem;
	long len = BIO_get_mem_data(bio, &pem);
	text = mem_copy(slice_of(pem, (size_t)len));
out:
	BIO_free(bio);
	X509_free(leaf);
	ERR_clear_error();
	return text;
}

bool tls_peer_fingerprint(struct conn *conn, uint8_t into[32])
{
	X509 *leaf = tls_peer_leaf(conn);
	if (leaf == NULL)
		return false;
	unsigned len = 0;
	bool is_done = X509_digest(leaf, EVP_sha256(), into, &len) == 1 && len == 32;
	X509_free(leaf);
	return is_done;
}
