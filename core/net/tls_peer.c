/* What a secured connection says of itself and of its peer. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

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

/* The peer's leaf: counted, NULL when there is none. */
static X509 *peer_leaf(struct conn *conn)
{
	SSL *ssl = conn_ssl(conn);
	return ssl != NULL ? SSL_get1_peer_certificate(ssl) : NULL;
}

char *tls_peer_chain_pem(struct conn *conn)
{
	X509 *leaf = peer_leaf(conn);
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

/* The system's trust anchors, one store for all contexts. A file of them takes some 20 ms to read, so they are read
 * when the first chain is to be judged, and again for contexts made after that (a reload). */
static struct {
	X509_STORE *store;
	bool is_read;
} the_system;

void tls_trust_the_system(SSL_CTX *ssl)
{
	if (the_system.store == NULL || the_system.is_read) {
		X509_STORE_free(the_system.store); /* contexts that use it count for themselves */
		the_system.store = X509_STORE_new();
		the_system.is_read = false;
	}
	if (the_system.store != NULL)
		SSL_CTX_set1_cert_store(ssl, the_system.store);
}

static X509_STORE *trust_of(SSL *ssl)
{
	X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
	if (store == the_system.store && !the_system.is_read) {
		the_system.is_read = true;
		X509_STORE_set_default_paths(store);
	}
	return store;
}

static int verify(struct conn *conn, X509 *leaf, int purpose)
{
	SSL *ssl = conn_ssl(conn);
	int result = X509_V_ERR_OUT_OF_MEM;
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	if (store != NULL && X509_STORE_CTX_init(store, trust_of(ssl), leaf, SSL_get_peer_cert_chain(ssl)) == 1) {
		X509_STORE_CTX_set_purpose(store, purpose);
		X509_STORE_CTX_set_flags(store, X509_V_FLAG_TRUSTED_FIRST);
		X509_STORE_CTX_set_depth(store, 10);
		/* Both must agree: the return value and the reason. */
		int is_valid = X509_verify_cert(store);
		result = X509_STORE_CTX_get_error(store);
		if (is_valid != 1 && result == X509_V_OK)
			result = X509_V_ERR_UNSPECIFIED;
	}
	X509_STORE_CTX_free(store);
	ERR_clear_error();
	return result;
}

bool tls_peer_chain_is_valid(struct conn *conn, bool as_server, const char **why_r)
{
	X509 *leaf = peer_leaf(conn);
	if (leaf == NULL) {
		*why_r = "no certificate was presented";
		return false;
	}
	int result = verify(conn, leaf, as_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
	/* A peer server that connects to us often has a certificate for servers only; authorities issue no other. */
	if (!as_server && result == X509_V_ERR_INVALID_PURPOSE)
		result = verify(conn, leaf, X509_PURPOSE_SSL_SERVER);
	X509_free(leaf);
	*why_r = result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
	return result == X509_V_OK;
}

bool tls_peer_fingerprint(struct conn *conn, uint8_t into[32])
{
	X509 *leaf = peer_leaf(conn);
	if (leaf == NULL)
		return false;
	unsigned len = 0;
	bool is_done = X509_digest(leaf, EVP_sha256(), into, &len) == 1 && len == 32;
	X509_free(leaf);
	return is_done;
}
