/* The inside of a connection, for net's own files. */
#ifndef NET_CONN_PRIVATE_H
#define NET_CONN_PRIVATE_H

#include <ev.h>
#include <openssl/types.h>
#include <sys/socket.h>

#include "base/list.h"
#include "net/conn.h"
#include "net/outq.h"
#include "net/wheel_private.h"

struct hold;   /* what of its output waits for the disk */
struct source; /* where a peer comes from, as sources.c counts it */

enum { CONN_IP_SIZE = 46 };

/* Small on purpose: there is one for every idle client. Anything needed by few lives behind a pointer. */
struct conn {
	struct ev_io io;
	struct loop *loop;
	const struct conn_handler *handler;
	void *ctx;
	SSL *ssl;                    /* set from conn_start_tls_x on; until is_secured, the owner's output waits */
	struct tls_context *context; /* counted */
	struct source *source;       /* counted; NULL when nobody counts */
	char *reason, *local_ip;     /* NULL until needed */
	struct outq out;
	struct hold *hold;      /* NULL: all of it may leave */
	struct list all_link;   /* in loop->conns, at the end in loop->dead */
	struct list flush_link; /* in loop->flush, when this turn's end has something to do here */
	struct wheel_entry deadlines;
	int64_t last_in_ms;    /* the idle deadline counts from here */
	int64_t progress_ms;   /* the stall deadline counts from here */
	int64_t deadline_ms;   /* of connecting, the handshake or lingering: there is only one at a time */
	double rate_full_ms;   /* when the token bucket is full again */
	uint64_t bytes_in, bytes_out;
	uint64_t sent; /* of the owner's bytes; all that left the queue */
	uint32_t soft_bytes, hard_bytes, stall_ms, handshake_ms, linger_ms, idle_ms;
	uint32_t rate_bytes_per_s, rate_burst; /* 0: no limit */
	uint64_t dispatch;   /* the last one that wrote here */
	uint32_t kept_bytes; /* what was queued before that one did */
	uint32_t plain_left; /* output queued before TLS was started, which leaves in plain */
	bool is_connecting : 1, is_secured : 1, is_tls_client : 1, is_tls_broken : 1;
	bool is_closing : 1, has_said_goodbye : 1, is_dead : 1;
	bool has_peer_ended : 1;
	bool is_stranger : 1; /* counted as one */
	bool is_blocked : 1; /* the socket took no more; EV_WRITE will tell */
	bool is_over_soft : 1, is_soft_paused : 1, is_owner_paused : 1, is_rate_paused : 1, is_input_held : 1;
	uint16_t port;
	char ip[CONN_IP_SIZE];
	struct chunk *reserved; /* between conn_reserve and conn_commit */
};

/* Takes fd, which is non-blocking. source is taken too. */
struct conn *conn_accept(struct loop *loop, int fd, const struct sockaddr *peer, struct source *source);

/* What state it is in, where that takes more than one bit. Before TLS: TLS is promised, but the words that say so have
 * not left yet; whoever sends then, sends in plain. */
bool conn_is_handshaking(const struct conn *conn);
bool conn_is_before_tls(const struct conn *conn);
bool conn_wants_to_read(const struct conn *conn);
bool conn_has_unread_input(const struct conn *conn);

/* After a change of state: what libev is to watch; that this turn's end has something to do here; that a deadline came
 * nearer. */
void conn_update_io(struct conn *conn);
void conn_want_flush(struct conn *conn);
void conn_want_check(struct conn *conn);
void conn_start_handshake(struct conn *conn); /* its deadline counts from now */

/* conn_io.c: the socket is ready. */
void conn_ready(struct ev_loop *ev, struct ev_io *io, int events);

/* The wheel's question. */
void conn_check_deadlines(struct wheel_entry *entry);

/* Numeric text and port of an address; v4-mapped as v4, "" and 0 for a unix socket. */
void address_text(const struct sockaddr *address, char ip[CONN_IP_SIZE], uint16_t *port_r);
/* What a TCP socket of ours always has set. Accepted sockets inherit it from the listening one. */
void socket_set_options(int fd);

#endif
