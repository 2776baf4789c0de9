/* Contexts: what the configuration says, turned into an SSL_CTX once, and the table of names a server context serves.
 *
 * Always true: a table entry counts the SSL_CTX of its context and not the context, so tables cannot form a ring. */
#include "net/tls.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "net/tls_private.h"

enum { MAX_NAME = 255, MAX_NAMES = 1 << 30 };

struct tls_context {
	unsigned count;
	SSL_CTX *ssl;
	char *alpn; /* wire form */
	size_t alpn_len;
	struct hash names; /* struct sni_entry; "*.x" is stored as ".x" */
};

struct sni_entry {
	SSL_CTX *ssl;
	size_t len;
	char name[];
};

/* 128 bits first: what RFC 8446 9.1 asks everybody to have, the fastest, and 200 bytes less for an idle session. */
static const char default_ciphers[] = "ECDHE+AESGCM+AES128:ECDHE+CHACHA20:ECDHE+AESGCM"; /* TLS 1.2 */
static const char ciphersuites[] = /* TLS 1.3 */
	"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
static const char default_curves[] = "X25519:P-256:P-384";

static const char *ssl_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;
	return text != NULL ? text : "OpenSSL gives no reason";
}

/* OpenSSL's words for a file that cannot be opened help nobody, so ask the system first. */
static int check_readable(const char *what, const char *path, struct error *error_r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_set(error_r, "TLS: cannot read the %s %s: %s%s", what, path, strerror(errno),
				 errno == EACCES ? " (may the server's user read it?)" : "");
	close(fd);
	return 0;
}

/* Nobody is there to type a password: without this OpenSSL would ask on the terminal. */
static int no_password(char *into, int size, int for_writing, void *ctx)
{
	(void)into;
	(void)size;
	(void)for_writing;
	(void)ctx;
	return -1;
}

static int load_certificate(SSL_CTX *ssl, const struct tls_config *config, struct error *error_r)
{
	if (config->certificate == NULL)
		return 0;
	const char *key = config->key != NULL ? config->key : config->certificate;
	if (check_readable("certificate", config->certificate, error_r) != 0 || check_readable("key", key, error_r) != 0)
		return -1;
	if (SSL_CTX_use_certificate_chain_file(ssl, config->certificate) != 1)
		return error_set(error_r, "TLS: %s holds no usable PEM certificate chain: %s", config->certificate,
				 ssl_reason());
	SSL_CTX_set_default_passwd_cb(ssl, no_password);
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1) {
		unsigned long code = ERR_peek_last_error();
		if (ERR_GET_LIB(code) == ERR_LIB_X509 && ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH)
			return error_set(error_r, "TLS: the key %s does not belong to the certificate %s", key,
					 config->certificate);
		return error_set(error_r, "TLS: %s holds no usable PEM key (one without a password): %s", key,
				 ssl_reason());
	}
	if (SSL_CTX_check_private_key(ssl) != 1)
		return error_set(error_r, "TLS: the key %s does not belong to the certificate %s", key,
				 config->certificate);
	return 0;
}

static int load_revoked(SSL_CTX *ssl, const struct tls_config *config, struct error *error_r)
{
	if (config->crl_file == NULL)
		return 0;
	if (check_readable("list of revoked certificates", config->crl_file, error_r) != 0)
		return -1;
	if (tls_trust_no_revoked(ssl, config->crl_file) != 0)
		return error_set(error_r, "TLS: %s holds no usable list of revoked certificates (CRL) in PEM form: %s",
				 config->crl_file, ssl_reason());
	return 0;
}

static int load_trust(SSL_CTX *ssl, const struct tls_config *config, struct error *error_r)
{
	if (config->ca_file == NULL && config->ca_path == NULL) {
		tls_trust_the_system(ssl);
		return load_revoked(ssl, config, error_r);
	}
	if (config->ca_file != NULL) {
		if (check_readable("file of trust anchors", config->ca_file, error_r) != 0)
			return -1;
		if (SSL_CTX_load_verify_file(ssl, config->ca_file) != 1)
			return error_set(error_r, "TLS: %s holds no usable trust anchors: %s", config->ca_file,
					 ssl_reason());
	}
	if (config->ca_path != NULL && SSL_CTX_load_verify_dir(ssl, config->ca_path) != 1)
		return error_set(error_r, "TLS: %s is no usable directory of trust anchors: %s", config->ca_path,
				 ssl_reason());
	return load_revoked(ssl, config, error_r);
}

/* A peer's certificate never decides the handshake: whoever asks later (tls_peer_chain_is_valid) decides, and pays for
 * the chain only then. Until asked, the result is a failure. */
static int judge_later(X509_STORE_CTX *store, void *ctx)
{
	(void)ctx;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 1;
}

static int set_protocols(SSL_CTX *ssl, const struct tls_config *config, struct error *error_r)
{
	int lowest = TLS1_2_VERSION;
	const char *name = config->min_protocol;
	if (name != NULL && strcmp(name, "tlsv1_3") == 0)
		lowest = TLS1_3_VERSION;
	else if (name != NULL && strcmp(name, "tlsv1_2") != 0)
		return error_set(error_r, "TLS: the lowest protocol can be \"tlsv1_2\" or \"tlsv1_3\", not \"%s\"", name);
	const char *ciphers = config->ciphers != NULL ? config->ciphers : default_ciphers;
	const char *curves = config->curves != NULL ? config->curves : default_curves;
	if (SSL_CTX_set_min_proto_version(ssl, lowest) != 1)
		return error_set(error_r, "TLS: OpenSSL was built without the protocol asked for: %s", ssl_reason());
	if (SSL_CTX_set_ciphersuites(ssl, ciphersuites) != 1 || SSL_CTX_set_cipher_list(ssl, ciphers) != 1)
		return error_set(error_r, "TLS: no usable cipher in \"%s\": %s", ciphers, ssl_reason());
	if (SSL_CTX_set1_curves_list(ssl, curves) != 1)
		return error_set(error_r, "TLS: unknown curve in \"%s\": %s", curves, ssl_reason());
	return 0;
}

static void set_policy(SSL_CTX *ssl, const struct tls_config *config, bool is_server)
{
	static const unsigned char session_context[] = "couplet";
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
					 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* No resumption of any kind: a session would outlive the check of who is at its other end. */
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ssl, 0);
	SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context) - 1);
	/* RELEASE_BUFFERS: 33 KiB less for an idle connection. The other two: what waits may be joined by more, and may
	 * move, between two tries to write it. */
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ssl, 0);
	SSL_CTX_set_max_cert_list(ssl, 64 * 1024);
	if (!is_server || config->ask_client_certificate) {
		SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_cert_verify_callback(ssl, judge_later, NULL);
	}
	if (is_server) {
		SSL_CTX_set_tlsext_servername_callback(ssl, tls_choose_by_sni);
		SSL_CTX_set_alpn_select_cb(ssl, tls_choose_alpn, NULL);
	}
}

int tls_alpn_wire(const char *protocols, char into[256], size_t *len_r)
{
	*len_r = 0;
	for (const char *at = protocols;;) {
		size_t len = strcspn(at, ",");
		if (len == 0 || *len_r + 1 + len > 255)
			return -1;
		into[(*len_r)++] = (char)len;
		memcpy(into + *len_r, at, len);
		*len_r += len;
		if (at[len] == '\0')
			return 0;
		at += len + 1;
	}
}

static int set_alpn(struct tls_context *context, const char *protocols, struct error *error_r)
{
	char wire[256];
	if (protocols == NULL)
		return 0;
	if (tls_alpn_wire(protocols, wire, &context->alpn_len) != 0)
		return error_set(error_r, "TLS: \"%s\" is no list of ALPN protocols", protocols);
	context->alpn = mem_copy(slice_of(wire, context->alpn_len));
	return 0;
}

struct tls_context *tls_context_new(const struct tls_config *config, bool is_server, struct error *error_r)
{
	struct tls_context *context = mem_new(sizeof(*context));
	context->count = 1;
	hash_init(&context->names, MAX_NAMES);
	ERR_clear_error();
	context->ssl = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
	if (context->ssl == NULL) {
		error_set(error_r, "TLS: OpenSSL gives no context: %s", ssl_reason());
		goto failed;
	}
	if (is_server && config->certificate == NULL) {
		error_set(error_r, "TLS: a server needs a certificate, and none is configured");
		goto failed;
	}
	bool asks = !is_server || config->ask_client_certificate;
	if (set_protocols(context->ssl, config, error_r) != 0 || load_certificate(context->ssl, config, error_r) != 0 ||
	    (asks && load_trust(context->ssl, config, error_r) != 0) || set_alpn(context, config->alpn, error_r) != 0)
		goto failed;
	set_policy(context->ssl, config, is_server);
	ERR_clear_error();
	return context;
failed:
	ERR_clear_error();
	tls_context_unref(&context);
	return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	context->count++;
	return context;
}

void tls_context_unref(struct tls_context **where)
{
	struct tls_context *context = *where;
	*where = NULL;
	if (context == NULL || --context->count > 0)
		return;
	tls_context_clear_sni(context);
	hash_done(&context->names);
	SSL_CTX_free(context->ssl);
	mem_free(context->alpn);
	mem_free(context);
}

SSL_CTX *tls_context_ssl(struct tls_context *context)
{
	return context->ssl;
}

struct slice tls_context_alpn(const struct tls_context *context)
{
	return slice_of(context->alpn, context->alpn_len);
}

/* Names are compared as A-labels without regard to case and a final dot. An empty slice when it is too long. */
static struct slice normal_name(const char *name, char into[MAX_NAME + 1])
{
	size_t len = strlen(name);
	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len > MAX_NAME)
		return SLICE_NONE;
	for (size_t i = 0; i < len; i++)
		into[i] = (char)tolower((unsigned char)name[i]);
	into[len] = '\0';
	return slice_of(into, len);
}

void tls_context_set_sni(struct tls_context *server, const char *name, struct tls_context *context)
{
	char normal[MAX_NAME + 1];
	if (name[0] == '*' && name[1] == '.')
		name++;
	struct slice key = normal_name(name, normal);
	if (key.len == 0)
		return;
	SSL_CTX_up_ref(context->ssl);
	struct sni_entry *entry = hash_get(&server->names, key);
	if (entry != NULL) {
		SSL_CTX_free(entry->ssl);
		entry->ssl = context->ssl;
		return;
	}
	entry = mem_new(sizeof(*entry) + key.len);
	entry->ssl = context->ssl;
	entry->len = key.len;
	memcpy(entry->name, key.ptr, key.len);
	int is_full = hash_set(&server->names, slice_of(entry->name, entry->len), entry);
	assert(is_full == 0 && "more names than memory could hold");
}

void tls_context_clear_sni(struct tls_context *server)
{
	uint32_t at = 0;
	struct sni_entry *entry;
	while ((entry = hash_next(&server->names, &at)) != NULL) {
		hash_remove(&server->names, slice_of(entry->name, entry->len));
		SSL_CTX_free(entry->ssl);
		mem_free(entry);
	}
}

SSL_CTX *tls_context_find(struct tls_context *server, const char *sni)
{
	char normal[MAX_NAME + 1];
	struct slice key = normal_name(sni, normal);
	if (key.len == 0 || key.ptr[0] == '.')
		return NULL;
	const struct sni_entry *entry = hash_get(&server->names, key);
	if (entry == NULL) {
		/* A wildcard stands for exactly one label, the leftmost: RFC 9525 6.3. */
		const char *dot = memchr(key.ptr, '.', key.len);
		if (dot != NULL)
			entry = hash_get(&server->names, slice_from(key, (size_t)(dot - key.ptr)));
	}
	return entry != NULL ? entry->ssl : NULL;
}
