/* The life of a connection: how it comes and goes, what it waits for, what is known of it. What flows through it is in
 * conn_io.c.
 *
 * Always true:
 * - a conn is in loop->conns, or, once is_dead, in loop->dead; memory goes in conns_free only.
 * - io.events is what conn_update_io last found; libev tells epoll only what really changed. */
#include "net/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/conn_private.h"
#include "net/hold_private.h"
#include "net/loop_private.h"
#include "net/sources_private.h"
#include "net/tls.h"
#include "net/tls_private.h"

const struct conn_limits conn_default_limits = {
	.soft_bytes = 256 * 1024,
	.hard_bytes = 4 * 1024 * 1024,
	.stall_ms = 60000,
	.handshake_ms = 10000,
	.linger_ms = 4000,
};

enum {
	USER_TIMEOUT_MS = 60000,
	RATE_STEP_BYTES = 4096, /* a throttled conn wakes up for no less than this, if its burst allows */
};

static size_t live_count;

size_t conn_live_count(void)
{
	return live_count;
}

/* --- making ------------------------------------------------------------------------------------------------------- */

void address_text(const struct sockaddr *address, char ip[CONN_IP_SIZE], uint16_t *port_r)
{
	ip[0] = '\0';
	*port_r = 0;
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)address;
		inet_ntop(AF_INET, &v4->sin_addr, ip, CONN_IP_SIZE);
		*port_r = ntohs(v4->sin_port);
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)address;
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], ip, CONN_IP_SIZE);
		else
			inet_ntop(AF_INET6, &v6->sin6_addr, ip, CONN_IP_SIZE);
		*port_r = ntohs(v6->sin6_port);
	}
}

void socket_set_options(int fd)
{
	/* A unix socket refuses them, and a socket without them works too: results do not matter. */
	static const int on = 1;
	static const unsigned user_timeout_ms = USER_TIMEOUT_MS;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
}

static struct conn *make(struct loop *loop, int fd, const struct sockaddr *peer)
{
	struct conn *conn = mem_new(sizeof(*conn));
	conn->loop = loop;
	ev_io_init(&conn->io, conn_ready, fd, 0);
	address_text(peer, conn->ip, &conn->port);
	list_add_last(&loop->conns, &conn->all_link);
	list_init(&conn->flush_link);
	wheel_entry_init(&conn->deadlines);
	conn_set_limits(conn, &conn_default_limits);
	conn->last_in_ms = conn->progress_ms = loop->now_ms;
	live_count++;
	return conn;
}

struct conn *conn_accept(struct loop *loop, int fd, const struct sockaddr *peer, struct source *source)
{
	struct conn *conn = make(loop, fd, peer);
	conn->source = source;
	conn->is_stranger = source != NULL;
	conn_update_io(conn);
	return conn;
}

void conn_known(struct conn *conn)
{
	if (conn->is_stranger)
		source_known(conn->source);
	conn->is_stranger = false;
}

struct conn *conn_connect(struct loop *loop, const char *address, uint16_t port, const struct conn_handler *handler,
			  void *ctx, struct error *error_r)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *found;
	char port_text[8];
	snprintf(port_text, sizeof(port_text), "%u", port);
	if (getaddrinfo(address, port_text, &hints, &found) != 0) {
		error_set(error_r, "cannot connect to %s: this is not a numeric address", address);
		return NULL;
	}
	struct conn *conn = NULL;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		error_set(error_r, "cannot connect to %s port %u: %s", address, port, strerror(errno));
		goto out;
	}
	socket_set_options(fd);
	if (connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
		error_set(error_r, "cannot connect to %s port %u: %s", address, port, strerror(errno));
		close(fd);
		goto out;
	}
	/* Even when it is up at once, `opened` comes in a later turn, when the socket says it can be written. */
	conn = make(loop, fd, found->ai_addr);
	conn_set_handler(conn, handler, ctx);
	conn->is_connecting = true;
	conn->deadline_ms = loop->now_ms + conn->stall_ms;
	conn_want_check(conn);
	conn_update_io(conn);
out:
	freeaddrinfo(found);
	return conn;
}

void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *ctx)
{
	conn->handler = handler;
	conn->ctx = ctx;
	conn_want_check(conn);
}

static uint32_t fit(int64_t value)
{
	return value < 0 ? 0 : value > INT32_MAX ? INT32_MAX : (uint32_t)value;
}

void conn_set_limits(struct conn *conn, const struct conn_limits *limits)
{
	conn->soft_bytes = fit((int64_t)limits->soft_bytes);
	conn->hard_bytes = fit((int64_t)limits->hard_bytes);
	conn->stall_ms = fit(limits->stall_ms);
	conn->handshake_ms = fit(limits->handshake_ms);
	conn->linger_ms = fit(limits->linger_ms);
	conn_want_check(conn);
}

void conn_set_idle_ms(struct conn *conn, int64_t ms)
{
	conn->idle_ms = fit(ms);
	conn->last_in_ms = conn->loop->now_ms;
	conn_want_check(conn);
}

/* --- states ------------------------------------------------------------------------------------------------------- */

bool conn_is_handshaking(const struct conn *conn)
{
	return conn->ssl != NULL && !conn->is_secured && conn->plain_left == 0;
}

bool conn_is_before_tls(const struct conn *conn)
{
	return conn->ssl != NULL && !conn->is_secured && conn->plain_left > 0;
}

bool conn_wants_to_read(const struct conn *conn)
{
	if (conn->has_peer_ended)
		return false;
	if (conn->is_closing)
		return true; /* to see the peer's end */
	if (conn_is_before_tls(conn) || (conn_is_handshaking(conn) && conn->is_blocked))
		return false;
	return !conn->is_soft_paused && !conn->is_owner_paused && !conn->is_rate_paused && !conn->is_input_held;
}

void conn_update_io(struct conn *conn)
{
	int wanted = 0;
	if (conn->is_dead)
		return;
	if (conn->is_connecting)
		wanted = EV_WRITE;
	else
		wanted = (conn_wants_to_read(conn) ? EV_READ : 0) | (conn->is_blocked ? EV_WRITE : 0);
	if (ev_is_active(&conn->io) && (conn->io.events & (EV_READ | EV_WRITE)) == wanted)
		return;
	ev_io_stop(conn->loop->ev, &conn->io);
	ev_io_set(&conn->io, conn->io.fd, wanted);
	if (wanted != 0)
		ev_io_start(conn->loop->ev, &conn->io);
}

void conn_want_flush(struct conn *conn)
{
	if (conn->is_dead || list_is_linked(&conn->flush_link))
		return;
	list_add_last(&conn->loop->flush, &conn->flush_link);
}

void conn_start_handshake(struct conn *conn)
{
	conn->deadline_ms = conn->loop->now_ms + conn->handshake_ms;
	conn_want_check(conn);
}

/* --- ending ------------------------------------------------------------------------------------------------------- */

static void set_reason(struct conn *conn, const char *reason)
{
	if (conn->reason == NULL)
		conn->reason = mem_copy(slice_of_str(reason));
}

void conn_abort(struct conn *conn, const char *reason)
{
	if (conn->is_dead)
		return;
	set_reason(conn, reason);
	conn->is_dead = conn->is_closing = true;
	ev_io_stop(conn->loop->ev, &conn->io);
	wheel_forget(&conn->loop->wheel, &conn->deadlines);
	list_remove(&conn->flush_link);
	conn_hold_forget(conn);
	list_remove(&conn->all_link);
	list_add_last(&conn->loop->dead, &conn->all_link);
}

void conn_close(struct conn *conn, const char *reason)
{
	if (conn->is_closing)
		return;
	if (conn->is_connecting) {
		conn_abort(conn, reason);
		return;
	}
	set_reason(conn, reason);
	conn->is_closing = true;
	/* What waits for a handshake that nobody will finish must not leave without it. */
	if (conn->ssl != NULL && !conn->is_secured)
		outq_cut(&conn->out, &conn->loop->chunks, conn->plain_left);
	conn->deadline_ms = conn->loop->now_ms + conn->linger_ms;
	conn_want_check(conn);
	conn_want_flush(conn);
	conn_update_io(conn);
}

void conns_free(struct loop *loop)
{
	/* What `closed` does may end more connections: they are served in the same pass. */
	while (!list_is_empty(&loop->dead)) {
		struct conn *conn = list_first(&loop->dead, struct conn, all_link);
		list_remove(&conn->all_link);
		loop_dispatch_late(loop); /* no dispatch knows it any more */
		SSL_free(conn->ssl);
		conn->ssl = NULL;
		conn->is_secured = false;
		outq_clear(&conn->out, &loop->chunks);
		source_release(conn->source, conn->is_stranger);
		if (conn->handler != NULL && conn->handler->closed != NULL)
			conn->handler->closed(conn->ctx, conn->reason); /* which may still ask for addresses */
		close(conn->io.fd);
		tls_context_unref(&conn->context);
		mem_free(conn->reason);
		mem_free(conn->local_ip);
		mem_free(conn);
		live_count--;
	}
}

/* --- deadlines ---------------------------------------------------------------------------------------------------- */

static bool can_be_idle(const struct conn *conn)
{
	return conn->idle_ms > 0 && conn->handler != NULL && conn->handler->idle != NULL && !conn->is_closing &&
	       !conn->has_peer_ended && !conn->is_soft_paused && !conn->is_owner_paused && !conn->is_rate_paused &&
	       !conn->is_input_held;
}

/* Output waits for the socket, not for a connection or a handshake (those have a deadline of their own). */
static bool can_stall(const struct conn *conn)
{
	return conn_free_bytes(conn) > 0 && !conn->is_connecting && !conn_is_handshaking(conn) && !conn->is_closing;
}

static bool has_deadline(const struct conn *conn)
{
	/* While the disk keeps its last words back, it is not late. */
	return conn->is_connecting || conn_is_handshaking(conn) || (conn->is_closing && conn->hold == NULL);
}

/* When a throttled conn may read on: then the bucket holds enough for the read to be worth it. */
static int64_t rate_resume_ms(const struct conn *conn)
{
	double worth = conn->rate_burst < RATE_STEP_BYTES ? conn->rate_burst : RATE_STEP_BYTES;
	return (int64_t)(conn->rate_full_ms - (conn->rate_burst - worth) * 1000.0 / conn->rate_bytes_per_s) + 1;
}

void conn_want_check(struct conn *conn)
{
	if (conn->is_dead)
		return;
	int64_t at_ms = INT64_MAX;
	if (has_deadline(conn))
		at_ms = conn->deadline_ms;
	if (can_stall(conn) && conn->progress_ms + conn->stall_ms < at_ms)
		at_ms = conn->progress_ms + conn->stall_ms;
	if (can_be_idle(conn) && conn->last_in_ms + conn->idle_ms < at_ms)
		at_ms = conn->last_in_ms + conn->idle_ms;
	if (conn->is_rate_paused && rate_resume_ms(conn) < at_ms)
		at_ms = rate_resume_ms(conn);
	if (at_ms != INT64_MAX)
		wheel_want(&conn->loop->wheel, &conn->deadlines, at_ms);
}

void conn_check_deadlines(struct wheel_entry *entry)
{
	struct conn *conn = list_entry(entry, struct conn, deadlines);
	int64_t now_ms = conn->loop->now_ms;
	if (has_deadline(conn) && now_ms >= conn->deadline_ms) {
		conn_abort(conn, conn->is_connecting ? "connection timed out" : "TLS: handshake timed out");
		return; /* when lingering, the reason was given before */
	}
	if (can_stall(conn) && now_ms >= conn->progress_ms + conn->stall_ms) {
		conn_abort(conn, "peer does not read: write timed out");
		return;
	}
	if (conn->is_rate_paused && now_ms >= rate_resume_ms(conn)) {
		conn->is_rate_paused = false;
		conn->last_in_ms = now_ms;
		conn_update_io(conn);
	}
	if (can_be_idle(conn) && now_ms >= conn->last_in_ms + conn->idle_ms) {
		conn->last_in_ms = now_ms;
		conn->handler->idle(conn->ctx);
	}
	conn_want_check(conn);
}

/* --- queueing ----------------------------------------------------------------------------------------------------- */

static bool may_queue(const struct conn *conn, size_t more)
{
	return !conn->is_closing && more <= conn->hard_bytes && conn->out.bytes <= conn->hard_bytes - more;
}

static void queued(struct conn *conn, size_t added)
{
	if (conn->out.bytes == added) /* nothing waited before, so the peer is late with nothing */
		conn->progress_ms = conn->loop->now_ms;
	if (conn->out.bytes > conn->soft_bytes)
		conn->is_over_soft = true; /* reading pauses only if the turn's end cannot mend it */
	conn_hold_written(conn, conn->out.bytes - added);
	conn_want_flush(conn);
}

int conn_write(struct conn *conn, struct slice bytes)
{
	if (!may_queue(conn, bytes.len))
		return -1;
	if (bytes.len == 0)
		return 0;
	outq_add(&conn->out, &conn->loop->chunks, bytes);
	queued(conn, bytes.len);
	return 0;
}

char *conn_reserve(struct conn *conn, size_t max)
{
	if (!may_queue(conn, max))
		return NULL;
	return outq_reserve(&conn->out, &conn->loop->chunks, max, &conn->reserved);
}

void conn_commit(struct conn *conn, size_t used)
{
	outq_commit(&conn->out, &conn->loop->chunks, conn->reserved, used);
	conn->reserved = NULL;
	if (used > 0)
		queued(conn, used);
}

size_t conn_queued(const struct conn *conn)
{
	return conn->out.bytes;
}

uint64_t conn_sent(const struct conn *conn)
{
	return conn->sent;
}

int conn_take_back(struct conn *conn, uint64_t position)
{
	if (conn->is_blocked || position < conn->sent)
		return -1;
	if (position - conn->sent < conn->out.bytes)
		outq_cut(&conn->out, &conn->loop->chunks, (size_t)(position - conn->sent));
	if (conn->kept_bytes > conn->out.bytes)
		conn->kept_bytes = (uint32_t)conn->out.bytes;
	conn_hold_cut(conn, conn->sent + conn->out.bytes);
	return 0;
}

/* --- reading on and off ------------------------------------------------------------------------------------------- */

void conn_pause(struct conn *conn)
{
	conn->is_owner_paused = true;
	conn_update_io(conn);
}

void conn_resume(struct conn *conn)
{
	conn->is_owner_paused = false;
	conn->last_in_ms = conn->loop->now_ms;
	conn_update_io(conn);
	conn_want_check(conn);
}

void conn_hold_input(struct conn *conn, bool is_held)
{
	conn->is_input_held = is_held;
	conn_update_io(conn);
}

void conn_set_rate(struct conn *conn, size_t bytes_per_second, size_t burst_bytes)
{
	conn->rate_bytes_per_s = fit((int64_t)bytes_per_second);
	conn->rate_burst = burst_bytes > 0 ? fit((int64_t)burst_bytes) : conn->rate_bytes_per_s;
	conn->rate_full_ms = 0;
	conn->is_rate_paused = false;
	conn_update_io(conn);
}

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

static int start_tls(struct conn *conn, struct tls_context *context, bool is_server, const char *sni, const char *alpn)
{
	if (conn->ssl != NULL || conn->is_closing)
		return -1;
	/* With direct TLS the client's hello may wait already; after plaintext, nothing may. */
	bool is_direct = conn->bytes_in == 0 && conn->bytes_out == 0;
	if (!conn->is_connecting && !is_direct && conn_has_unread_input(conn))
		return -1;
	if (tls_open(conn, context, is_server, sni, alpn) != 0)
		return -1;
	conn->context = tls_context_ref(context);
	conn->is_tls_client = !is_server;
	conn->plain_left = (uint32_t)conn->out.bytes;
	if (conn->plain_left == 0 && !conn->is_connecting)
		conn_start_handshake(conn);
	conn_want_flush(conn);
	conn_update_io(conn);
	return 0;
}

int conn_start_tls_server(struct conn *conn, struct tls_context *context)
{
	return start_tls(conn, context, true, NULL, NULL);
}

int conn_start_tls_client(struct conn *conn, struct tls_context *context, const char *sni, const char *alpn)
{
	return start_tls(conn, context, false, sni, alpn);
}

/* --- facts -------------------------------------------------------------------------------------------------------- */

const char *conn_ip(const struct conn *conn)
{
	return conn->ip;
}

uint16_t conn_port(const struct conn *conn)
{
	return conn->port;
}

static void find_local(const struct conn *conn, char ip[CONN_IP_SIZE], uint16_t *port_r)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t size = sizeof(address);
	getsockname(conn->io.fd, (struct sockaddr *)&address, &size);
	address_text((const struct sockaddr *)&address, ip, port_r);
}

const char *conn_local_ip(struct conn *conn)
{
	if (conn->local_ip == NULL) {
		char ip[CONN_IP_SIZE];
		uint16_t port;
		find_local(conn, ip, &port);
		conn->local_ip = mem_copy(slice_of_str(ip));
	}
	return conn->local_ip;
}

uint16_t conn_local_port(const struct conn *conn)
{
	char ip[CONN_IP_SIZE];
	uint16_t port;
	find_local(conn, ip, &port);
	return port;
}

bool conn_is_secure(const struct conn *conn)
{
	return conn->is_secured;
}

bool conn_is_closing(const struct conn *conn)
{
	return conn->is_closing;
}

SSL *conn_ssl(const struct conn *conn)
{
	return conn->is_secured ? conn->ssl : NULL;
}

int conn_fd(const struct conn *conn)
{
	return conn->io.fd;
}

void loop_queues(const struct loop *loop, size_t *conns_r, size_t *bytes_r)
{
	const struct conn *conn, *after;
	*conns_r = *bytes_r = 0;
	list_each(conn, after, &loop->conns, all_link)
	{
		++*conns_r;
		*bytes_r += conn->out.bytes;
	}
}

uint64_t conn_bytes_in(const struct conn *conn)
{
	return conn->bytes_in;
}

uint64_t conn_bytes_out(const struct conn *conn)
{
	return conn->bytes_out;
}
