/* What the parts of the load program share: load.c (logins, scenarios) and load_web.c (WebSocket and BOSH). */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

enum { IN_SIZE = 16 * 1024, OUT_SIZE = 16 * 1024 };

enum step { CONNECTING, UPGRADING, TLS_HEADER, TLS_PROCEED, TLS_HANDSHAKE, HEADER, CHALLENGE, SUCCESS, BIND_HEADER,
	    BOUND, PRESENT, ENABLING, ONLINE, FAILED, CLOSED };
enum way { TCP, WEBSOCKET, BOSH };

/* One of the two HTTP connections of a BOSH client. */
struct http_wire {
	struct client *client;
	int fd;
	bool is_pending; /* a request is out */
	char *in;
	size_t in_len;
};

struct client {
	int fd, number;
	SSL *ssl;
	enum step step;
	char *in, *out;
	size_t in_len, out_len;
	char nonce[32];
	char first_bare[96];
	unsigned long sent, received;
	bool wants_write;
	/* BOSH: stanzas wait in out until they leave in a request */
	struct http_wire wires[2];
	char sid[64];
	unsigned long rid;
	bool wants_restart;
};

struct options {
	const char *host, *user, *password;
	int port, server_pid;
	/* Another server, to which clients with an odd number belong; host NULL: there is none. */
	const char *other_host;
	int other_port, other_pid;
	bool tls;
	bool sm;     /* with stream management: everything is acknowledged, both ways */
	enum way way;
	char body[101];
};
extern struct options opt;
extern int epoll_fd;

void drop(struct client *c, enum step step);
/* Reads what came in and answers it. */
void step_on(struct client *c);

/* RFC 6455 4.1 */
void websocket_upgrade(struct client *c);
/* Writes the head of a frame of text with that payload: masked, as a client's must be, with a key of zeros. Gives its
 * length. */
enum { WEBSOCKET_HEAD = 8 };
size_t websocket_head(char *at, size_t payload);

void bosh_connect(struct client *c);
void bosh_close(struct client *c);
/* Sends what waits, if a request may be sent; keeps one at the server. */
void bosh_flush(struct client *c);
void bosh_event(struct http_wire *wire);

#endif
