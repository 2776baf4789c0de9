/* TLS on one connection: OpenSSL between the bytes that conn.c has read and the socket.
 *
 * Always true: OpenSSL never reads from the socket. It is offered loop->tls_input and takes all of it before it asks
 * for more, so one read(2) serves every record it brought, and nothing is kept outside OpenSSL between turns. Writes go
 * to the socket with MSG_NOSIGNAL. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "net/conn_private.h"
#include "net/loop_private.h"
#include "net/tls.h"
#include "net/tls_private.h"

static int take_input(BIO *bio, char *into, int size)
{
	struct slice *input = &((struct conn *)BIO_get_data(bio))->loop->tls_input;
	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	if (input->len == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	size_t n = (size_t)size < input->len ? (size_t)size : input->len;
	memcpy(into, input->ptr, n);
	*input = slice_from(*input, n);
	return (int)n;
}

static int send_output(BIO *bio, const char *bytes, int len)
{
	struct conn *conn = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	ssize_t sent = send(conn->io.fd, bytes, (size_t)len, MSG_NOSIGNAL);
	if (sent < 0) {
		if (errno == EAGAIN || errno == EINTR)
			BIO_set_retry_write(bio);
		return -1;
	}
	conn->bytes_out += (uint64_t)sent;
	return (int)sent;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH; /* there is nothing to flush, and nothing else we can */
}

/* One method for the program, made at the first connection. */
static const BIO_METHOD *method(void)
{
	static BIO_METHOD *made;
	if (made == NULL) {
		made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "couplet connection");
		if (made == NULL)
			return NULL;
		BIO_meth_set_read(made, take_input);
		BIO_meth_set_write(made, send_output);
		BIO_meth_set_ctrl(made, control);
	}
	return made;
}

int tls_open(struct conn *conn, struct tls_context *context, bool is_server, const char *sni, const char *alpn)
{
	char wire[256];
	size_t wire_len = 0;
	ERR_clear_error();
	if (alpn != NULL && tls_alpn_wire(alpn, wire, &wire_len) != 0)
		return -1;
	SSL *ssl = SSL_new(tls_context_ssl(context));
	BIO *bio = method() != NULL ? BIO_new(method()) : NULL;
	if (ssl == NULL || bio == NULL)
		goto failed;
	BIO_set_data(bio, conn);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio); /* takes bio */
	bio = NULL;
	SSL_set_app_data(ssl, conn);
	if (is_server) {
		SSL_set_accept_state(ssl);
	} else {
		SSL_set_connect_state(ssl);
		if (sni != NULL && sni[0] != '\0' && SSL_set_tlsext_host_name(ssl, sni) != 1)
			goto failed;
		if (wire_len > 0 && SSL_set_alpn_protos(ssl, (const unsigned char *)wire, (unsigned)wire_len) != 0)
			goto failed;
	}
	conn->ssl = ssl;
	return 0;
failed:
	BIO_free(bio);
	SSL_free(ssl);
	return -1;
}

static enum tls_step step_of(SSL *ssl, int result)
{
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_ENDED;
	default:
		return TLS_FAILED;
	}
}

enum tls_step tls_handshake(SSL *ssl)
{
	ERR_clear_error();
	int result = SSL_do_handshake(ssl);
	return result == 1 ? TLS_DONE : step_of(ssl, result);
}

enum tls_step tls_read(SSL *ssl, char *into, size_t size, size_t *got_r)
{
	ERR_clear_error();
	int result = SSL_read_ex(ssl, into, size, got_r);
	return result == 1 ? TLS_DONE : step_of(ssl, result);
}

enum tls_step tls_write(SSL *ssl, struct slice bytes, size_t *sent_r)
{
	ERR_clear_error();
	int result = SSL_write_ex(ssl, bytes.ptr, bytes.len, sent_r);
	return result == 1 ? TLS_DONE : step_of(ssl, result);
}

void tls_say_goodbye(SSL *ssl)
{
	ERR_clear_error();
	SSL_shutdown(ssl);
	ERR_clear_error();
}

const char *tls_failure(void)
{
	int system_error = errno;
	unsigned long code = ERR_peek_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;
	if (text == NULL)
		text = code == 0 && system_error != 0 ? strerror(system_error) : "unknown failure";
	ERR_clear_error();
	return text; /* a table's entry, or strerror's buffer */
}

int tls_choose_by_sni(SSL *ssl, int *alert, void *arg)
{
	(void)alert;
	(void)arg;
	struct conn *conn = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_CTX *chosen = tls_context_find(conn->context, name);
	/* An unknown name gets the default certificate: whether that is good enough is the client's decision. */
	if (chosen != NULL)
		SSL_set_SSL_CTX(ssl, chosen); /* OpenSSL counts it */
	return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301 3.2: our preference decides; a client that offers protocols but none of ours is refused, so that no HTTP
 * request is ever read as XMPP or the other way round (ALPACA). The listener's context says which are ours. */
int tls_choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		    unsigned in_len, void *arg)
{
	(void)arg;
	struct conn *conn = SSL_get_app_data(ssl);
	struct slice ours = tls_context_alpn(conn->context);
	if (ours.len == 0)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < ours.len; i += 1 + (unsigned char)ours.ptr[i]) {
		struct slice want = slice_of(ours.ptr + i + 1, (unsigned char)ours.ptr[i]);
		for (size_t at = 0; at < in_len && at + 1 + in[at] <= in_len; at += 1u + in[at]) {
			if (!slice_equal(want, slice_of((const char *)in + at + 1, in[at])))
				continue;
			*out = in + at + 1;
			*out_len = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}
