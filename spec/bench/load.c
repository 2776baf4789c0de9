/* Load for an XMPP server: many clients on one epoll loop. It understands just enough of the protocol to log in
 * (SCRAM-SHA-1), go online and pass messages; the server under test does the real work, and its CPU time is read from
 * /proc. Usage: see usage() below. Prints one line "name value" per figure. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEY = 20, BODY_BYTES = 100, ASK_EACH = 4 };

struct options opt = { .host = "localhost", .user = "user", .password = "secret", .port = 5222 };
int epoll_fd;
static SSL_CTX *ssl_ctx;
static struct client *clients;
static int n_clients, n_online, n_failed;
static unsigned long total_received, goal_received;
static bool chatting;
static unsigned long flood_each; /* messages that each but client 0 writes to it; 0: nobody floods */

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU seconds of a process by its own clock: finer than the ticks of /proc/PID/stat. */
static double cpu_s(int pid)
{
	clockid_t clock;
	struct timespec t;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long memory_kib(int pid, const char *field)
{
	char path[64], line[256];
	long value = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtol(line + strlen(field) + 1, NULL, 10);
	}
	if (file != NULL)
		fclose(file);
	return value;
}

static void figure(const char *name, double value)
{
	printf("%s %.3f\n", name, value);
	fflush(stdout);
}

/* ---- bytes ---- */

static void flush_out(struct client *c)
{
	if (opt.way == BOSH) {
		bosh_flush(c);
		return;
	}
	while (c->out_len > 0) {
		ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, c->out, (int)c->out_len)
					   : send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		memmove(c->out, c->out + n, c->out_len - (size_t)n);
		c->out_len -= (size_t)n;
	}
	bool wants = c->out_len > 0;
	if (wants != c->wants_write) {
		c->wants_write = wants;
		struct epoll_event event = { .events = EPOLLIN | (wants ? (unsigned)EPOLLOUT : 0), .data.ptr = c };
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
	}
}

static void say(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct client *c, const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text) || (size_t)n + WEBSOCKET_HEAD >= OUT_SIZE - c->out_len)
		return;
	if (opt.way == WEBSOCKET)
		c->out_len += websocket_head(c->out + c->out_len, (size_t)n);
	memcpy(c->out + c->out_len, text, (size_t)n);
	c->out_len += (size_t)n;
}

void drop(struct client *c, enum step step)
{
	if (c->step == FAILED || c->step == CLOSED)
		return;
	if (c->step == ONLINE)
		n_online--;
	if (step == FAILED)
		n_failed++;
	c->step = step;
	if (c->ssl != NULL) {
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	if (opt.way == BOSH)
		bosh_close(c);
	else
		close(c->fd);
	free(c->in);
	free(c->out);
	c->in = c->out = NULL;
}

/* ---- SCRAM-SHA-1 (RFC 5802) ---- */

static char *base64(const void *bytes, int len, char *into)
{
	EVP_EncodeBlock((unsigned char *)into, bytes, len);
	return into;
}

static int unbase64(const char *text, size_t len, unsigned char *into)
{
	int n = EVP_DecodeBlock(into, (const unsigned char *)text, (int)len);
	while (n > 0 && len > 0 && text[--len] == '=')
		n--;
	return n;
}

/* All accounts of a benchmark share one salt, so the slow step is done once. */
static void salted_password(const unsigned char *salt, int salt_len, int rounds, unsigned char key[KEY])
{
	static unsigned char last_salt[128], last_key[KEY];
	static int last_len = -1, last_rounds;
	if (salt_len != last_len || rounds != last_rounds || memcmp(salt, last_salt, (size_t)salt_len) != 0) {
		PKCS5_PBKDF2_HMAC(opt.password, (int)strlen(opt.password), salt, salt_len, rounds, EVP_sha1(), KEY,
				  last_key);
		memcpy(last_salt, salt, (size_t)salt_len);
		last_len = salt_len;
		last_rounds = rounds;
	}
	memcpy(key, last_key, KEY);
}

static void hmac(const unsigned char *key, const char *text, unsigned char *into)
{
	HMAC(EVP_sha1(), key, KEY, (const unsigned char *)text, strlen(text), into, NULL);
}

static void start_auth(struct client *c)
{
	unsigned char raw[15];
	char text[160], encoded[256];
	RAND_bytes(raw, sizeof(raw));
	base64(raw, sizeof(raw), c->nonce);
	for (char *p = c->nonce; *p != '\0'; p++)
		*p = *p == '/' || *p == '+' || *p == '=' ? 'x' : *p;
	snprintf(c->first_bare, sizeof(c->first_bare), "n=%s%d,r=%s", opt.user, c->number, c->nonce);
	int n = snprintf(text, sizeof(text), "n,,%s", c->first_bare);
	say(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>%s</auth>",
	    base64(text, n, encoded));
	c->step = CHALLENGE;
}

static void answer_challenge(struct client *c, const char *text, size_t len)
{
	unsigned char decoded[512], salt[128], key[KEY], client_key[KEY], stored[KEY], signature[KEY];
	int n = unbase64(text, len, decoded);
	if (n <= 0 || n >= (int)sizeof(decoded)) {
		drop(c, FAILED);
		return;
	}
	decoded[n] = '\0';
	const char *challenge = (const char *)decoded, *s = strstr(challenge, ",s="), *i = strstr(challenge, ",i=");
	if (s == NULL || i == NULL) {
		drop(c, FAILED);
		return;
	}
	int salt_len = unbase64(s + 3, (size_t)(i - s - 3), salt);
	char without_proof[256], message[1024], proof[64], final[512], encoded[1024];
	snprintf(without_proof, sizeof(without_proof), "c=biws,r=%.*s", (int)(s - challenge - 2), challenge + 2);
	snprintf(message, sizeof(message), "%s,%s,%s", c->first_bare, challenge, without_proof);
	salted_password(salt, salt_len, atoi(i + 3), key);
	hmac(key, "Client Key", client_key);
	EVP_Digest(client_key, KEY, stored, NULL, EVP_sha1(), NULL);
	hmac(stored, message, signature);
	for (int k = 0; k < KEY; k++)
		client_key[k] ^= signature[k];
	n = snprintf(final, sizeof(final), "%s,p=%s", without_proof, base64(client_key, KEY, proof));
	say(c, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>", base64(final, n, encoded));
	c->step = SUCCESS;
}

/* ---- the protocol, as far as it goes ---- */

static bool is_other(int number) { return opt.other_host != NULL && number % 2 == 1; }
static const char *host_of(int number) { return is_other(number) ? opt.other_host : opt.host; }

/* CPU of all servers under test. */
static double servers_cpu_s(void)
{
	return cpu_s(opt.server_pid) + (opt.other_host != NULL ? cpu_s(opt.other_pid) : 0);
}

static void open_stream(struct client *c, enum step step)
{
	c->step = step;
	if (opt.way == BOSH) {
		c->wants_restart = true;
		return;
	} else if (opt.way == WEBSOCKET) {
		say(c, "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='%s' version='1.0'/>", opt.host);
		return;
	}
	say(c, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='%s' version='1.0' "
	       "xmlns:stream='http://etherx.jabber.org/streams'>", host_of(c->number));
}

/* RFC 7395 3.3.3: elements that come alone name their namespace. */
static const char *own_ns(void) { return opt.way == TCP ? "" : " xmlns='jabber:client'"; }

static void send_message(struct client *c)
{
	int peer = flood_each > 0 ? 0 : c->number ^ 1;
	say(c, "<message%s type='chat' id='m%lu' to='%s%d@%s'><body>%s</body><active "
	       "xmlns='http://jabber.org/protocol/chatstates'/></message>", own_ns(), c->sent++, opt.user, peer, host_of(peer),
	    opt.body);
	if (opt.sm && c->sent % ASK_EACH == 0)
		say(c, "<r xmlns='urn:xmpp:sm:3'/>");
}

/* The end of `token` in what came in, NULL when it is not there yet. */
static char *after(struct client *c, const char *token)
{
	char *found = memmem(c->in, c->in_len, token, strlen(token));
	return found != NULL ? found + strlen(token) : NULL;
}

static void used_up_to(struct client *c, const char *end)
{
	size_t used = (size_t)(end - c->in);
	memmove(c->in, end, c->in_len - used);
	c->in_len -= used;
}

/* Answers what is asked before that place in what came in. */
static void acknowledge(struct client *c, const char *before)
{
	const char *asked = after(c, "<r xmlns=");
	if (asked != NULL && asked < before)
		say(c, "<a xmlns='urn:xmpp:sm:3' h='%lu'/>", c->received);
}

static void count_messages(struct client *c)
{
	char *end;
	while ((end = after(c, "</message>")) != NULL) {
		if (opt.sm)
			acknowledge(c, end);
		used_up_to(c, end);
		c->received++;
		total_received++;
		if (chatting && total_received + (unsigned long)n_clients < goal_received)
			send_message(c);
	}
	if (opt.sm && after(c, "<r xmlns=") != NULL && (end = after(c, "/>")) != NULL && after(c, "<message") == NULL) {
		acknowledge(c, end);
		c->in_len = 0;
	}
	if (c->in_len > IN_SIZE / 2 && after(c, "<message") == NULL)
		c->in_len = 0; /* presence of others */
}

void step_on(struct client *c)
{
	char *end, *text;
	for (;;) {
		switch (c->step) {
		case UPGRADING:
			if ((end = after(c, "\r\n\r\n")) == NULL)
				return;
			used_up_to(c, end);
			open_stream(c, HEADER);
			break;
		case TLS_HEADER:
			if ((end = after(c, "</stream:features>")) == NULL)
				return;
			used_up_to(c, end);
			say(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
			c->step = TLS_PROCEED;
			break;
		case TLS_PROCEED:
			if (after(c, "<proceed") == NULL)
				return;
			c->in_len = 0;
			c->ssl = SSL_new(ssl_ctx);
			SSL_set_fd(c->ssl, c->fd);
			SSL_set_connect_state(c->ssl);
			SSL_set_tlsext_host_name(c->ssl, host_of(c->number));
			c->step = TLS_HANDSHAKE;
			return;
		case HEADER:
			if ((end = after(c, "</stream:features>")) == NULL)
				return;
			used_up_to(c, end);
			start_auth(c);
			break;
		case CHALLENGE:
			if ((end = after(c, "</challenge>")) == NULL) {
				if (after(c, "<failure") != NULL)
					drop(c, FAILED);
				return;
			}
			text = memmem(c->in, c->in_len, "<challenge", 10);
			text = memchr(text, '>', c->in_len) + 1;
			answer_challenge(c, text, (size_t)(end - strlen("</challenge>") - text));
			if (c->step == FAILED)
				return;
			used_up_to(c, end);
			break;
		case SUCCESS:
			if ((end = after(c, "</success>")) == NULL) {
				if (after(c, "</failure>") != NULL)
					drop(c, FAILED);
				return;
			}
			used_up_to(c, end);
			open_stream(c, BIND_HEADER);
			break;
		case BIND_HEADER:
			if ((end = after(c, "</stream:features>")) == NULL)
				return;
			used_up_to(c, end);
			say(c, "<iq%s type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r"
			       "</resource></bind></iq>", own_ns());
			c->step = BOUND;
			break;
		case BOUND:
			if ((end = after(c, "</iq>")) == NULL)
				return;
			used_up_to(c, end);
			say(c, "<presence%s/>", own_ns());
			c->step = opt.sm ? PRESENT : ONLINE;
			n_online += c->step == ONLINE;
			break;
		case PRESENT: /* its own presence must not count */
			if (after(c, "<presence") == NULL)
				return;
			c->in_len = 0;
			say(c, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
			c->step = ENABLING;
			break;
		case ENABLING:
			if ((end = after(c, "<enabled")) == NULL || (end = memchr(end, '>', c->in_len - (size_t)(end - c->in))) == NULL)
				return;
			used_up_to(c, end + 1);
			c->step = ONLINE;
			n_online++;
			break;
		case ONLINE:
			count_messages(c);
			return;
		default:
			return;
		}
	}
}

static void go_on_with_handshake(struct client *c)
{
	ERR_clear_error();
	int done = SSL_do_handshake(c->ssl);
	if (done == 1) {
		open_stream(c, HEADER);
		flush_out(c);
	} else if (SSL_get_error(c->ssl, done) != SSL_ERROR_WANT_READ) {
		drop(c, FAILED);
	}
}

static void on_event(struct client *c, unsigned events)
{
	if (c->step == CONNECTING) {
		int error = 0;
		socklen_t len = sizeof(error);
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error != 0) {
			drop(c, FAILED);
			return;
		}
		c->wants_write = true;
		if (opt.way == WEBSOCKET)
			websocket_upgrade(c);
		else
			open_stream(c, opt.tls ? TLS_HEADER : HEADER);
		flush_out(c);
		return;
	}
	if (c->step == TLS_HANDSHAKE) {
		go_on_with_handshake(c);
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		for (;;) {
			if (c->in_len >= IN_SIZE - 1)
				c->in_len = 0;
			ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, c->in + c->in_len, (int)(IN_SIZE - 1 - c->in_len))
						   : recv(c->fd, c->in + c->in_len, IN_SIZE - 1 - c->in_len, 0);
			if (n <= 0) {
				bool again = c->ssl != NULL ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ
							    : n < 0 && errno == EAGAIN;
				if (!again)
					drop(c, c->step == ONLINE ? CLOSED : FAILED);
				break;
			}
			c->in_len += (size_t)n;
			c->in[c->in_len] = '\0';
			step_on(c);
			if (c->step == FAILED || c->step == TLS_HANDSHAKE)
				break;
		}
	}
	if (c->step == TLS_HANDSHAKE) {
		go_on_with_handshake(c);
		return;
	}
	if (c->step < FAILED)
		flush_out(c);
}

static void connect_client(struct client *c, int number)
{
	*c = (struct client){ .number = number, .step = CONNECTING, .in = malloc(IN_SIZE), .out = malloc(OUT_SIZE) };
	if (opt.way == BOSH) {
		bosh_connect(c);
		return;
	}
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int on = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	int port = is_other(number) ? opt.other_port : opt.port;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS) {
		drop(c, FAILED);
		return;
	}
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

/* Writes as much as the socket takes. */
static void flood_on(struct client *c)
{
	while (c->out_len == 0 && c->sent < flood_each && c->step == ONLINE) {
		while (c->sent < flood_each && OUT_SIZE - c->out_len > 1024)
			send_message(c);
		flush_out(c);
	}
}

static void turn(int timeout_ms)
{
	struct epoll_event events[256];
	int n = epoll_wait(epoll_fd, events, 256, timeout_ms);
	for (int i = 0; i < n; i++) {
		if (opt.way == BOSH) {
			struct http_wire *wire = events[i].data.ptr;
			if (wire->client->step < FAILED && wire->fd >= 0)
				bosh_event(wire);
			continue;
		}
		struct client *c = events[i].data.ptr;
		if (c->step != FAILED && c->step != CLOSED)
			on_event(c, events[i].events);
		if (flood_each > 0 && c != &clients[0])
			flood_on(c);
	}
}

/* Logs in clients first .. first + count - 1, at most `at_once` on the way together. */
static void log_in(int first, int count, int at_once)
{
	double deadline_s = now_s() + 300;
	int started = 0, online_before = n_online, failed_before = n_failed;
	while (n_online - online_before + n_failed - failed_before < count && now_s() < deadline_s) {
		int under_way = started - (n_online - online_before) - (n_failed - failed_before);
		while (started < count && under_way < at_once) {
			connect_client(&clients[first + started], first + started);
			started++;
			under_way++;
		}
		turn(1000);
	}
	if (n_online - online_before < count) {
		fprintf(stderr, "load: only %d of %d clients came online\n", n_online - online_before, count);
		exit(1);
	}
}

static void settle(double seconds)
{
	double end_s = now_s() + seconds;
	while (now_s() < end_s)
		turn(10);
}

static void chat(int pairs, int window, unsigned long messages)
{
	log_in(0, pairs * 2, 20);
	settle(1);
	total_received = 0;
	goal_received = messages;
	chatting = true;
	double start_s = now_s(), start_cpu_s = servers_cpu_s();
	for (int i = 0; i < pairs * 2; i += 2) {
		for (int k = 0; k < window; k++)
			send_message(&clients[i]);
		flush_out(&clients[i]);
	}
	double deadline_s = start_s + 300;
	unsigned long enough = messages - (unsigned long)n_clients;
	while (total_received < enough && now_s() < deadline_s)
		turn(1000);
	double took_s = now_s() - start_s, used_s = servers_cpu_s() - start_cpu_s;
	figure("messages", (double)total_received);
	figure("cpu_us_per_message", used_s * 1e6 / (double)total_received);
	figure("messages_per_s", (double)total_received / took_s);
}

/* The reader has a process of its own: else it would read no faster than the senders let it. */
static void flood(int senders, unsigned long messages)
{
	unsigned long each = messages / (unsigned long)senders, all = each * (unsigned long)senders;
	log_in(1, senders, 20);
	int ready[2];
	if (pipe(ready) != 0)
		exit(1);
	pid_t reader = fork();
	if (reader != 0) {
		char byte;
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1)
			exit(1);
		flood_each = each;
		for (int i = 1; i <= senders; i++)
			flood_on(&clients[i]);
		while (waitpid(reader, NULL, WNOHANG) == 0)
			turn(100);
		return;
	}
	epoll_fd = epoll_create1(0);
	log_in(0, 1, 1);
	settle(1);
	total_received = 0;
	if (write(ready[1], "x", 1) != 1)
		exit(1);
	double start_s = now_s(), start_cpu_s = servers_cpu_s();
	while (total_received < all && clients[0].step == ONLINE && now_s() < start_s + 300)
		turn(1000);
	double took_s = now_s() - start_s, used_s = servers_cpu_s() - start_cpu_s;
	figure("messages", (double)total_received);
	figure("cpu_us_per_message", used_s * 1e6 / (double)total_received);
	figure("messages_per_s", (double)total_received / took_s);
	exit(0);
}

static void idle(int count)
{
	long before_kib = memory_kib(opt.server_pid, "VmRSS:"), anon_before_kib = memory_kib(opt.server_pid, "RssAnon:");
	log_in(0, count, 20);
	settle(6); /* servers give memory back only after a while */
	figure("sessions", n_online);
	figure("kib_per_session", (double)(memory_kib(opt.server_pid, "VmRSS:") - before_kib) / count);
	figure("anon_kib_per_session", (double)(memory_kib(opt.server_pid, "RssAnon:") - anon_before_kib) / count);
	double start_cpu_s = cpu_s(opt.server_pid), start_s = now_s();
	settle(3);
	figure("idle_cpu_percent", (cpu_s(opt.server_pid) - start_cpu_s) / (now_s() - start_s) * 100);
}

static void logins(int count)
{
	double start_s = now_s(), start_cpu_s = cpu_s(opt.server_pid);
	log_in(0, count, 10);
	double took_s = now_s() - start_s, used_s = cpu_s(opt.server_pid) - start_cpu_s;
	figure("logins", count);
	figure("cpu_ms_per_login", used_s * 1e3 / count);
	figure("logins_per_s", count / took_s);
}

static void usage(void)
{
	fprintf(stderr, "load PORT PID [between HOST OTHER_HOST OTHER_PORT OTHER_PID] [tls] [sm] [websocket | bosh]\n"
			"     chat PAIRS WINDOW MESSAGES | flood SENDERS MESSAGES | idle COUNT | login COUNT | hold COUNT\n"
			"  PID is the server's; its accounts are user0, user1 ... with the password \"secret\".\n"
			"  between: every other client belongs to another server, so that each pair talks between the two.\n"
			"  sm: with stream management (XEP-0198); each side asks and answers.\n"
			"  flood: all senders write to user0, as fast as their connections take it.\n"
			"  hold logs COUNT clients in, prints \"ready\", and keeps them until standard input ends.\n");
	exit(2);
}

int main(int argc, char **argv)
{
	if (argc < 5)
		usage();
	opt.port = atoi(argv[1]);
	opt.server_pid = atoi(argv[2]);
	argv += 3, argc -= 3;
	if (strcmp(argv[0], "between") == 0 && argc > 6) {
		opt.host = argv[1];
		opt.other_host = argv[2];
		opt.other_port = atoi(argv[3]);
		opt.other_pid = atoi(argv[4]);
		argv += 5, argc -= 5;
	}
	if (strcmp(argv[0], "tls") == 0) {
		opt.tls = true;
		argv++, argc--;
	}
	if (strcmp(argv[0], "sm") == 0) {
		opt.sm = true;
		argv++, argc--;
	}
	if (strcmp(argv[0], "websocket") == 0 || strcmp(argv[0], "bosh") == 0) {
		opt.way = argv[0][0] == 'b' ? BOSH : WEBSOCKET;
		argv++, argc--;
	}
	memset(opt.body, 'x', BODY_BYTES);
	struct rlimit files = { 65536, 65536 };
	setrlimit(RLIMIT_NOFILE, &files);
	epoll_fd = epoll_create1(0);
	ssl_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ssl_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (strcmp(argv[0], "chat") == 0 && argc == 4) {
		n_clients = atoi(argv[1]) * 2;
		clients = calloc((size_t)n_clients, sizeof(*clients));
		chat(atoi(argv[1]), atoi(argv[2]), strtoul(argv[3], NULL, 10));
	} else if (strcmp(argv[0], "flood") == 0 && argc == 3) {
		n_clients = atoi(argv[1]) + 1;
		clients = calloc((size_t)n_clients, sizeof(*clients));
		flood(atoi(argv[1]), strtoul(argv[2], NULL, 10));
	} else if (argc == 2) {
		n_clients = atoi(argv[1]);
		clients = calloc((size_t)n_clients, sizeof(*clients));
		if (strcmp(argv[0], "idle") == 0) {
			idle(n_clients);
		} else if (strcmp(argv[0], "login") == 0) {
			logins(n_clients);
		} else if (strcmp(argv[0], "hold") == 0) {
			/* Numbers above those that chat, so both can run beside each other. */
			clients = realloc(clients, (size_t)(n_clients + 1000) * sizeof(*clients));
			log_in(1000, n_clients, 20);
			printf("ready\n");
			fflush(stdout);
			char byte;
			fcntl(0, F_SETFL, O_NONBLOCK);
			while (read(0, &byte, 1) < 0 && errno == EAGAIN)
				turn(100);
		} else {
			usage();
		}
	} else {
		usage();
	}
	return 0;
}
