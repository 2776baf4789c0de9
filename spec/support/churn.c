/* Connects and leaves, again and again, at every step of a login: churn PORT USER PASSWORD COUNT
 *
 * Sixteen connections at a time stay open; each ends in one of three ways: FIN, reset, or a closed stream. They come
 * from 64 addresses (127.0.1.1 to 127.0.1.64). Exit code 1 and a sentence when the server does not play along. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { OPEN_AT_ONCE = 16, ADDRESSES = 64, KEY = 20, PATIENCE_S = 60 };

/* How far a connection gets before it ends. */
enum step {
	CONNECTED, HALF_A_HEADER, FEATURES, STARTTLS, HALF_A_HELLO, HELLO, SECURED, SECURED_HALF_A_STANZA,
	SECURED_FEATURES, CHALLENGED, REFUSED, AUTHENTICATED, AUTHENTICATED_FEATURES, BOUND, AVAILABLE, STEPS
};
static const char *const step_names[STEPS] = {
	"connected", "half a header", "features", "starttls", "half a client hello", "a client hello", "secured",
	"half a stanza", "secured features", "challenged", "refused", "authenticated", "authenticated features",
	"bound", "available",
};

struct connection {
	int fd; /* 0: none */
	SSL *ssl;
	enum step step;
	char in[16384];
	size_t in_len;
};

static const char *user, *password;
static SSL_CTX *tls;
static unsigned char client_key[KEY], stored_key[KEY]; /* of the account's salt, once it is known */
static char known_salt[128];

static _Noreturn void give_up(const struct connection *c, const char *what)
{
	fprintf(stderr, "%s (on the way to: %s): %.*s\n", what, step_names[c->step], (int)c->in_len, c->in);
	exit(1);
}

static void say(struct connection *c, const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	long sent = c->ssl != NULL ? SSL_write(c->ssl, text, len) : (long)send(c->fd, text, (size_t)len, MSG_NOSIGNAL);
	if (sent != len)
		give_up(c, "could not send");
}

/* Reads until the text is there; gives what begins with it. */
static char *await(struct connection *c, const char *text)
{
	c->in_len = 0;
	for (;;) {
		c->in[c->in_len] = '\0';
		char *found = strstr(c->in, text);
		if (found != NULL)
			return found;
		size_t room = sizeof(c->in) - 1 - c->in_len;
		long got = c->ssl != NULL ? SSL_read(c->ssl, c->in + c->in_len, (int)room)
					  : (long)recv(c->fd, c->in + c->in_len, room, 0);
		if (got <= 0)
			give_up(c, text);
		c->in_len += (size_t)got;
	}
}

static void header(struct connection *c)
{
	say(c, "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
	       "xmlns:stream='http://etherx.jabber.org/streams'>");
	await(c, "</stream:features>");
}

/* ---- TLS ---- */

static void half_handshake(struct connection *c)
{
	char hello[4096];
	SSL *ssl = SSL_new(tls);
	BIO *out = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	SSL_connect(ssl); /* wants an answer that never comes */
	int len = BIO_read(out, hello, sizeof(hello));
	SSL_free(ssl);
	if (len <= 0)
		give_up(c, "no client hello");
	size_t part = c->step == HALF_A_HELLO ? (size_t)len / 2 : (size_t)len;
	if (send(c->fd, hello, part, MSG_NOSIGNAL) != (ssize_t)part)
		give_up(c, "could not send");
}

static void handshake(struct connection *c)
{
	c->ssl = SSL_new(tls);
	SSL_set_fd(c->ssl, c->fd);
	if (SSL_connect(c->ssl) != 1)
		give_up(c, "no handshake");
}

/* ---- SCRAM-SHA-1 (RFC 5802) ---- */

static void hmac(const unsigned char *key, const void *text, size_t len, unsigned char into[KEY])
{
	HMAC(EVP_sha1(), key, KEY, text, len, into, NULL);
}

static void learn_keys(const char *salt64, int iterations)
{
	unsigned char salt[128], salted[KEY];
	int len = EVP_DecodeBlock(salt, (const unsigned char *)salt64, (int)strlen(salt64));
	for (size_t end = strlen(salt64); end > 0 && salt64[end - 1] == '='; end--)
		len--;
	PKCS5_PBKDF2_HMAC(password, -1, salt, len, iterations, EVP_sha1(), KEY, salted);
	hmac(salted, "Client Key", 10, client_key);
	EVP_Digest(client_key, KEY, stored_key, NULL, EVP_sha1(), NULL);
	snprintf(known_salt, sizeof(known_salt), "%s", salt64);
}

static void authenticate(struct connection *c, int number)
{
	char first[128], text[256], challenge[512], auth_message[1024];
	unsigned char base64[1024], proof[KEY];
	snprintf(first, sizeof(first), "n=%s,r=n%dx", user, number);
	int len = snprintf(text, sizeof(text), "n,,%s", first);
	EVP_EncodeBlock(base64, (unsigned char *)text, len);
	say(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>%s</auth>", base64);
	char *end = await(c, "</challenge>"), *begin = strchr(c->in, '>');
	if (c->step == CHALLENGED)
		return;
	begin++;
	len = EVP_DecodeBlock((unsigned char *)challenge, (unsigned char *)begin, (int)(end - begin));
	while (len > 0 && challenge[len - 1] == '\0')
		len--;
	challenge[len] = '\0';
	char nonce[128], salt[128];
	int iterations = 0;
	if (sscanf(challenge, "r=%127[^,],s=%127[^,],i=%d", nonce, salt, &iterations) != 3)
		give_up(c, challenge);
	if (strcmp(salt, known_salt) != 0)
		learn_keys(salt, iterations);
	char final[256];
	snprintf(final, sizeof(final), "c=biws,r=%s", nonce);
	len = snprintf(auth_message, sizeof(auth_message), "%s,%s,%s", first, challenge, final);
	hmac(stored_key, auth_message, (size_t)len, proof);
	for (int i = 0; i < KEY; i++)
		proof[i] ^= client_key[i];
	if (c->step == REFUSED)
		proof[0] ^= 1;
	EVP_EncodeBlock(base64, proof, KEY);
	len = snprintf(text, sizeof(text), "%s,p=%s", final, base64);
	EVP_EncodeBlock(base64, (unsigned char *)text, len);
	say(c, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>", base64);
	await(c, c->step == REFUSED ? "</failure>" : "</success>");
}

/* ---- the way ---- */

static void open_connection(struct connection *c, int port, int number)
{
	struct sockaddr_in from = { .sin_family = AF_INET }, to = from;
	to.sin_port = htons((uint16_t)port);
	from.sin_addr.s_addr = htonl(0x7f000101u + (uint32_t)(number / STEPS % ADDRESSES));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	const int on = 1;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->in_len = 0;
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		give_up(c, strerror(errno));
}

static void go(struct connection *c, int number)
{
	if (c->step == CONNECTED)
		return;
	if (c->step == HALF_A_HEADER) {
		say(c, "<?xml version='1.0'?><stream:stream to='loc");
		return;
	}
	header(c);
	if (c->step == FEATURES)
		return;
	say(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
	await(c, "<proceed");
	if (c->step == STARTTLS)
		return;
	if (c->step == HALF_A_HELLO || c->step == HELLO) {
		half_handshake(c);
		return;
	}
	handshake(c);
	if (c->step == SECURED)
		return;
	header(c);
	if (c->step == SECURED_HALF_A_STANZA)
		say(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRA");
	if (c->step <= SECURED_FEATURES)
		return;
	authenticate(c, number);
	if (c->step <= AUTHENTICATED)
		return;
	header(c);
	if (c->step == AUTHENTICATED_FEATURES)
		return;
	say(c, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r%d</resource></bind>"
	       "</iq>", number % (2 * STEPS));
	await(c, "</iq>");
	if (c->step == BOUND)
		return;
	say(c, "<presence/><message to='%s@localhost' type='chat'><body>me</body></message>"
	       "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", user);
	await(c, "id='r'");
}

static void end_connection(struct connection *c, int number)
{
	if (c->fd == 0)
		return;
	const struct linger reset = { .l_onoff = 1 };
	int how = number / OPEN_AT_ONCE % 3;
	if (how == 0 && c->step >= FEATURES && c->step != STARTTLS && c->step != HALF_A_HELLO && c->step != HELLO &&
	    c->step != SECURED) {
		/* The server may have closed by itself meanwhile (its c2s_timeout): then there is nobody to tell. */
		if (c->ssl != NULL)
			(void)SSL_write(c->ssl, "</stream:stream>", 16);
		else
			(void)send(c->fd, "</stream:stream>", 16, MSG_NOSIGNAL);
	} else if (how == 1) {
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	SSL_free(c->ssl);
	close(c->fd);
	c->ssl = NULL;
	c->fd = 0;
}

int main(int argc, char **argv)
{
	static struct connection connections[OPEN_AT_ONCE];
	if (argc != 5) {
		fprintf(stderr, "churn PORT USER PASSWORD COUNT\n");
		return 2;
	}
	int port = (int)strtol(argv[1], NULL, 10), count = (int)strtol(argv[4], NULL, 10);
	user = argv[2], password = argv[3];
	tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	for (int i = 0; i < count; i++) {
		struct connection *c = &connections[i % OPEN_AT_ONCE];
		end_connection(c, i);
		c->step = (enum step)(i % STEPS);
		open_connection(c, port, i);
		go(c, i);
	}
	for (int i = 0; i < OPEN_AT_ONCE; i++)
		end_connection(&connections[i], i);
	SSL_CTX_free(tls);
	return 0;
}
