/* Whose certificate is believed: by trust anchors (PKIX, RFC 5280), or by what the DNS says of it (DANE, RFC 6698,
 * RFC 7671).
 *
 * Always true: nothing is believed unless OpenSSL has said so twice, by its answer and by its reason. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/conn.h"
#include "net/tls.h"
#include "net/tls_private.h"

enum {
	DEPTH_MAX = 10,     /* certificates between the peer's and a trust anchor */
	SECURITY_LEVEL = 2, /* OpenSSL's name for 112 bits */
	USAGE_DANE_EE = 3,  /* RFC 7218 2.1 */
};

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

/* Lists of revoked certificates are not there for every authority. */
static int forgive_missing_list(int is_good, X509_STORE_CTX *store)
{
	if (is_good == 1 || X509_STORE_CTX_get_error(store) != X509_V_ERR_UNABLE_TO_GET_CRL)
		return is_good;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

int tls_trust_no_revoked(SSL_CTX *ssl, const char *crl_file)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	if (store == the_system.store) { /* which others use without the lists */
		store = X509_STORE_new();
		if (store == NULL || X509_STORE_set_default_paths(store) != 1) {
			X509_STORE_free(store);
			return -1;
		}
		SSL_CTX_set_cert_store(ssl, store); /* takes it */
	}
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
	if (lookup == NULL || X509_load_crl_file(lookup, crl_file, X509_FILETYPE_PEM) <= 0)
		return -1;
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	X509_STORE_set_verify_cb(store, forgive_missing_list);
	return 0;
}

/* ---- chains ---- */

/* dane: NULL for trust anchors alone. Gives OpenSSL's reason. */
static int verify_for(struct conn *conn, X509 *leaf, int purpose, SSL_DANE *dane)
{
	SSL *ssl = conn_ssl(conn);
	int result = X509_V_ERR_OUT_OF_MEM;
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	if (store != NULL && X509_STORE_CTX_init(store, trust_of(ssl), leaf, SSL_get_peer_cert_chain(ssl)) == 1) {
		X509_STORE_CTX_set_purpose(store, purpose);
		X509_STORE_CTX_set_flags(store, X509_V_FLAG_TRUSTED_FIRST);
		X509_STORE_CTX_set_depth(store, DEPTH_MAX);
		X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store), SECURITY_LEVEL);
		if (dane != NULL)
			X509_STORE_CTX_set0_dane(store, dane);
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

static int verify(struct conn *conn, X509 *leaf, bool as_server, SSL_DANE *dane)
{
	int result = verify_for(conn, leaf, as_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT, dane);
	/* A peer server that connects to us often has a certificate for servers only; authorities issue no other. */
	if (!as_server && result == X509_V_ERR_INVALID_PURPOSE)
		result = verify_for(conn, leaf, X509_PURPOSE_SSL_SERVER, dane);
	return result;
}

bool tls_peer_chain_is_valid(struct conn *conn, bool as_server, const char **why_r)
{
	X509 *leaf = tls_peer_leaf(conn);
	if (leaf == NULL) {
		*why_r = "no certificate was presented";
		return false;
	}
	int result = verify(conn, leaf, as_server, NULL);
	X509_free(leaf);
	*why_r = result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
	return result == X509_V_OK;
}

/* ---- DANE ---- */

/* OpenSSL keeps TLSA records in an SSL. Ours may be judged for several domains, each with records of its own, and after
 * the handshake: so each time one that is used for nothing else. NULL when OpenSSL is out of memory. usable_r: how many
 * of the records are of a kind that can be used. */
static SSL *holder_of(const struct tls_tlsa *records, size_t n, size_t *usable_r)
{
	SSL *holder = NULL;
	SSL_CTX *context = SSL_CTX_new(TLS_method());
	*usable_r = 0;
	if (context != NULL && SSL_CTX_dane_enable(context) == 1)
		holder = SSL_new(context);
	SSL_CTX_free(context); /* the holder counts for itself */
	/* The name would be for the handshake, which this SSL has not. */
	if (holder == NULL || SSL_dane_enable(holder, "dane.invalid") != 1) {
		SSL_free(holder);
		return NULL;
	}
	SSL_dane_set_flags(holder, DANE_FLAG_NO_DANE_EE_NAMECHECKS); /* RFC 7671 5.1 */
	for (size_t i = 0; i < n && i < TLSA_MAX; i++) {
		const struct tls_tlsa *one = &records[i];
		const unsigned char *data = (const void *)one->data.ptr;
		if (SSL_dane_tlsa_add(holder, one->usage, one->selector, one->matching, data, one->data.len) == 1)
			(*usable_r)++;
	}
	return holder;
}

/* The usage of the record that matched, -1 when none did. */
static int usage_matched(SSL *holder)
{
	uint8_t usage;
	SSL_set_verify_result(holder, X509_V_OK); /* it is; OpenSSL does not tell otherwise */
	int depth = SSL_get0_dane_tlsa(holder, &usage, NULL, NULL, NULL, NULL);
	return depth >= 0 ? usage : -1;
}

enum tls_dane tls_peer_dane(struct conn *conn, const struct tls_tlsa *records, size_t n, bool as_server,
			    const char **why_r)
{
	enum tls_dane verdict = TLS_DANE_MISMATCH;
	size_t n_usable;
	X509 *leaf = tls_peer_leaf(conn);
	SSL *holder = holder_of(records, n, &n_usable);
	*why_r = "OpenSSL is out of memory";
	if (holder == NULL)
		goto out;
	if (n_usable == 0) {
		verdict = TLS_DANE_UNUSABLE;
		goto out;
	}
	*why_r = "no certificate was presented";
	if (leaf == NULL)
		goto out;
	int result = verify(conn, leaf, as_server, SSL_get0_dane(holder));
	*why_r = X509_verify_cert_error_string(result);
	if (result != X509_V_OK)
		goto out;
	int usage = usage_matched(holder);
	if (usage == USAGE_DANE_EE)
		verdict = TLS_DANE_CERTIFICATE;
	else if (usage >= 0)
		verdict = TLS_DANE_CHAIN;
	else
		*why_r = X509_verify_cert_error_string(X509_V_ERR_DANE_NO_MATCH);
out:
	SSL_free(holder);
	X509_free(leaf);
	ERR_clear_error();
	return verdict;
}
