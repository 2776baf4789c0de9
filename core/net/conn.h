/* A connection: bytes in, bytes out, whatever carries them. Below it are layers (TCP or unix socket, then TLS when
 * started); above it is one owner who is told of data and of the end.
 *
 * Always true: output is only queued during a turn and written at its end; `closed` is called exactly once, is the last
 * call the owner gets, and comes at the end of a turn; after it the conn is gone. Input is read into one buffer that
 * all connections share, so a slice handed to `data` is dead when `data` returns. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct conn;
struct error;
struct loop;
struct tls_context;

struct conn_handler {
	/* An outgoing connection is up. Not called for accepted ones. May be NULL. */
	void (*opened)(void *ctx);
	/* Plaintext arrived; borrowed. */
	void (*data)(void *ctx, struct slice bytes);
	/* The TLS handshake ended well. May be NULL. */
	void (*secured)(void *ctx);
	/* The peer finished sending (FIN or close_notify), output still possible. NULL: the conn closes itself. */
	void (*ended)(void *ctx);
	/* The output queue fell below its soft limit again after having passed it. May be NULL. */
	void (*drained)(void *ctx);
	/* Nothing arrived for conn_set_idle_ms, though we were listening; again after each such time. NULL: ignored. */
	void (*idle)(void *ctx);
	/* Gone. reason is for the log ("closed by peer", "write queue full", ...). */
	void (*closed)(void *ctx, const char *reason);
};

struct conn_limits {
	size_t soft_bytes;   /* queued output above this: reading from this peer pauses (SECURITY: 256 KiB) */
	size_t hard_bytes;   /* above this: hard_full is set, conn_write refuses (4 MiB) */
	int64_t stall_ms;    /* queued output that makes no progress for this long closes the conn (60 s); connecting
			      * must not take longer either */
	int64_t handshake_ms; /* TLS handshake must end within (10 s) */
	int64_t linger_ms;    /* conn_close waits this long for the output to leave and the peer to end (4 s) */
};
extern const struct conn_limits conn_default_limits;

/* Starts connecting to a numeric address (no names here). NULL and error_r when it fails at once; later failures come
 * as `closed`. handler and ctx are kept. */
struct conn *conn_connect(struct loop *loop, const char *address, uint16_t port, const struct conn_handler *handler,
			  void *ctx, struct error *error_r);

/* An owner for a conn (accepted ones start without; see listener.h). Keeps both until closed. */
void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *ctx);
void conn_set_limits(struct conn *conn, const struct conn_limits *limits);
void conn_set_idle_ms(struct conn *conn, int64_t ms); /* 0: no idle call */

/* Its owner knows who is there: it is no stranger to its listener any more (listener.h). Harmless for others. */
void conn_known(struct conn *conn);

/* Queues bytes (copied); they leave at the turn's end. 0, or -1 when the hard limit is passed or the conn is closing:
 * then nothing was queued. Small writes of one turn leave in one system call and one TLS record where they fit. */
int conn_write(struct conn *conn, struct slice bytes);
/* Space for up to max bytes at the end of the queue, to serialise into without a copy; commit what was used.
 * NULL as conn_write's -1. No other call on the conn between the two. */
char *conn_reserve(struct conn *conn, size_t max);
void conn_commit(struct conn *conn, size_t used);
size_t conn_queued(const struct conn *conn);
/* Bytes of what was queued that have left the queue for the socket (under TLS: as whole records), also told inside
 * `closed`. So what is queued next stands at conn_sent + conn_queued in all that was ever queued. */
uint64_t conn_sent(const struct conn *conn);
/* Takes back what was queued from that position on (conn_sent or later). -1, and nothing is changed, when a part of the
 * queue was offered to a socket that could not take it yet: then nobody knows how much of it is on its way. */
int conn_take_back(struct conn *conn, uint64_t position);

/* Stop and go on reading (nests with the soft limit: reading goes on when nobody wants it paused). Input comes in one
 * call of data per turn, so nothing follows a pause; only `secured` may still be followed by what came in the same
 * segment. A pause during the handshake pauses the handshake, not its deadline. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);

/* While held nothing is read either: the owner has yet to handle what it got (share.h). Apart from the former. */
void conn_hold_input(struct conn *conn, bool is_held);

/* Flush what is queued, then end (close_notify, FIN), then wait for the peer's end, so that our last words are not lost
 * to a reset. After at most linger_ms it ends anyway. data is not called any more. The first reason given counts; it is
 * copied. Harmless when already closing. */
void conn_close(struct conn *conn, const char *reason);
/* End without flushing. */
void conn_abort(struct conn *conn, const char *reason);

/* Starts TLS on this conn. Server side: context is the default one, SNI may choose another (tls.h). Client side: sni
 * names the peer. Output queued so far leaves in plain before the handshake, later output waits for the handshake's
 * end. -1 when TLS is already on, the conn is closing, or input already waits behind the command in the kernel
 * (STARTTLS injection, CVE-2011-0411); such input that comes until our answer leaves ends the conn. What lies behind
 * the command in the slice that `data` got is the owner's to refuse. alpn: protocols of ours, comma separated, NULL for
 * none. */
int conn_start_tls_server(struct conn *conn, struct tls_context *context);
int conn_start_tls_client(struct conn *conn, struct tls_context *context, const char *sni, const char *alpn);

/* Facts, also told inside `closed` (but those of TLS). Strings live as long as the conn. ip: numeric text,
 * v4-mapped addresses as plain v4, "" for unix sockets. Byte counts are those of the socket. */
const char *conn_ip(const struct conn *conn);
uint16_t conn_port(const struct conn *conn);
const char *conn_local_ip(struct conn *conn);
uint16_t conn_local_port(const struct conn *conn);
bool conn_is_secure(const struct conn *conn); /* the handshake is over */
bool conn_is_closing(const struct conn *conn);
struct ssl_st *conn_ssl(const struct conn *conn); /* NULL until secured; for tls.h's questions */
int conn_fd(const struct conn *conn);
uint64_t conn_bytes_in(const struct conn *conn);
uint64_t conn_bytes_out(const struct conn *conn);

/* Read at most this many bytes per second, with a burst (0: one second's worth); a rate of 0: no limit. */
void conn_set_rate(struct conn *conn, size_t bytes_per_second, size_t burst_bytes);

/* T: connections alive now. */
size_t conn_live_count(void);

#endif
