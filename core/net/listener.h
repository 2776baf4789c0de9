/* A listening socket. EMFILE and ENFILE pause accepting until a descriptor is free again, without spinning, and without
 * harm to the connections there are (a reserve descriptor accepts and closes, so the peer sees an end). */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stddef.h>
#include <stdint.h>

struct conn;
struct error;
struct listener;
struct loop;

/* A connection was accepted: set a handler on it before returning, or close it. */
typedef void accept_fn(void *ctx, struct conn *conn);

/* interface: "*" (IPv4), "::" (IPv6 only), or a numeric address; port 0: any free one. Keeps fn and ctx. NULL and
 * error_r when the port cannot be had; the text names interface, port and the usual cause. */
struct listener *listener_new(struct loop *loop, const char *interface, uint16_t port, accept_fn *fn, void *ctx,
			      struct error *error_r);
/* A unix socket, created 0600; a stale file of a dead server is replaced, a live one refused. */
struct listener *listener_new_unix(struct loop *loop, const char *path, accept_fn *fn, void *ctx,
				   struct error *error_r);

/* 0: no limit. Over a limit a connection is closed at once, but over accepts_per_second it waits in the kernel's queue;
 * the log is told now and then. An IP is a whole IPv4
 * address, or the /64 of an IPv6 address. Peers on unix sockets count for all peers only.
 * A stranger is a connection whose owner has not said that it knows who is there (conn_known). */
struct listener_limits {
	unsigned accepts_per_second, accepts_per_second_per_ip; /* with bursts of one second's worth */
	unsigned connections_per_ip;
	unsigned strangers, strangers_per_ip;
};
void listener_set_limits(struct listener *listener, const struct listener_limits *limits);
/* For peers in the network of `bits` bits at a numeric address only the limit of all strangers counts. -1 when that is
 * no network, or there are 64 already. */
int listener_exempt(struct listener *listener, const char *address, unsigned bits);
void listener_clear_exempt(struct listener *listener);

uint16_t listener_port(const struct listener *listener);
/* Stops listening; accepted connections live on. NULL is fine, leaves NULL behind. */
void listener_free(struct listener **listener);

/* T: listeners alive now. */
size_t listener_live_count(void);

#endif
