/* What flows through a connection: input from the socket through TLS to the owner, the owner's output through TLS to
 * the socket.
 *
 * Always true:
 * - one read(2) per conn and turn, of at most 16 KiB; all it brought is handed on before the next conn is served, so no
 *   input is ever kept here. How much of it is handled in that turn is the owner's to limit (share.h).
 * - while TLS is asked for but not secured, nothing the owner queued since then is written. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "net/conn_private.h"
#include "net/hold_private.h"
#include "net/loop_private.h"
#include "net/tls_private.h"

enum {
	RECORD_BYTES = 16384, /* the most a TLS record holds: RFC 8446 5.1 */
	PIECES = 32,          /* per system call, of up to 4 KiB */
	WRITE_BYTES_PER_TURN = 256 * 1024,
};

/* The layer below failed and has told the peer (an alert): nothing more can be sent, but the alert must arrive. */
static void fail_tls(struct conn *conn, const char *what)
{
	char reason[256];
	snprintf(reason, sizeof(reason), "TLS: %s", what);
	conn->is_tls_broken = true;
	conn_close(conn, reason);
	outq_clear(&conn->out, &conn->loop->chunks);
	conn_want_flush(conn);
}

/* --- input -------------------------------------------------------------------------------------------------------- */

static void peer_ended(struct conn *conn, const char *how)
{
	conn->has_peer_ended = true;
	conn_update_io(conn);
	if (conn->handler != NULL && conn->handler->ended != NULL)
		conn->handler->ended(conn->ctx);
	else
		conn_close(conn, how);
}

/* True when the handshake is over and the conn still open. */
static bool go_on_with_handshake(struct conn *conn)
{
	switch (tls_handshake(conn->ssl)) {
	case TLS_DONE:
		conn->is_secured = true;
		conn->loop->counts.handshakes++;
		conn->is_blocked = false;
		conn->progress_ms = conn->loop->now_ms;
		conn_want_flush(conn);
		conn_want_check(conn);
		if (conn->handler != NULL && conn->handler->secured != NULL)
			conn->handler->secured(conn->ctx);
		return !conn->is_closing;
	case TLS_WANT_WRITE:
		conn->is_blocked = true;
		conn_update_io(conn);
		break;
	case TLS_WANT_READ:
		conn->is_blocked = false;
		conn_update_io(conn);
		break;
	case TLS_ENDED:
		fail_tls(conn, "peer ended within the handshake");
		break;
	case TLS_FAILED:
		fail_tls(conn, tls_failure());
		break;
	}
	return false;
}

/* All plaintext that the input gives, handed on in one piece, so that `data` comes once per turn. */
static void decrypt(struct conn *conn)
{
	char *plain = conn->loop->input + INPUT_RAW_BYTES;
	size_t filled = 0, got;
	enum tls_step step;
	do {
		step = tls_read(conn->ssl, plain + filled, INPUT_PLAIN_BYTES - filled, &got);
		if (step == TLS_DONE)
			filled += got;
	} while (step == TLS_DONE && filled < INPUT_PLAIN_BYTES);
	const char *failure = step == TLS_FAILED ? tls_failure() : NULL;
	if (step == TLS_WANT_WRITE)
		failure = "peer sends but does not read";
	else if (step == TLS_DONE) /* cannot be: see loop_private.h on the buffer's size */
		failure = "too much input";
	if (filled > 0 && conn->handler != NULL)
		conn->handler->data(conn->ctx, slice_of(plain, filled));
	if (failure != NULL && !conn->is_dead)
		fail_tls(conn, failure);
	else if (step == TLS_ENDED && !conn->is_closing)
		peer_ended(conn, "closed by peer");
}

static void handle_tls_input(struct conn *conn, struct slice raw)
{
	conn->loop->tls_input = raw;
	if (conn->is_secured || go_on_with_handshake(conn))
		decrypt(conn);
	else if (!conn->is_closing && conn->loop->tls_input.len > 0)
		fail_tls(conn, "peer sends but does not read");
	conn->loop->tls_input = SLICE_NONE;
}

/* How many bytes the token bucket holds now. */
static double rate_allows(const struct conn *conn)
{
	double missing_ms = conn->rate_full_ms - (double)conn->loop->now_ms;
	if (missing_ms <= 0)
		return conn->rate_burst;
	return conn->rate_burst - missing_ms * conn->rate_bytes_per_s / 1000.0;
}

/* How much may be read now; 0: not now. */
static size_t read_budget(struct conn *conn)
{
	size_t most = INPUT_RAW_BYTES;
	if (conn_is_handshaking(conn) && !conn->is_closing) {
		if (conn->loop->handshakes_left == 0)
			return 0; /* the socket stays readable, so the next turn comes here again */
		conn->loop->handshakes_left--;
	}
	if (conn->rate_bytes_per_s == 0 || conn->is_closing)
		return most;
	double allowed = rate_allows(conn);
	if (allowed >= 1)
		return allowed < (double)most ? (size_t)allowed : most;
	conn->is_rate_paused = true;
	conn_update_io(conn);
	conn_want_check(conn);
	return 0;
}

static void charge_rate(struct conn *conn, size_t bytes)
{
	double now_ms = (double)conn->loop->now_ms;
	if (conn->rate_bytes_per_s == 0)
		return;
	if (conn->rate_full_ms < now_ms)
		conn->rate_full_ms = now_ms;
	conn->rate_full_ms += (double)bytes * 1000.0 / conn->rate_bytes_per_s;
}

static void read_once(struct conn *conn)
{
	size_t most = read_budget(conn);
	if (most == 0)
		return;
	ssize_t got = recv(conn->io.fd, conn->loop->input, most, 0);
	if (got < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_abort(conn, strerror(errno));
		return;
	}
	if (got == 0) {
		if (conn->is_closing) {
			conn->has_peer_ended = true;
			conn_want_flush(conn);
			conn_update_io(conn);
		} else if (conn_is_handshaking(conn)) {
			conn_abort(conn, "closed by peer within the TLS handshake");
		} else {
			peer_ended(conn, conn->is_secured ? "closed by peer (without TLS's close_notify)" : "closed by peer");
		}
		return;
	}
	conn->bytes_in += (uint64_t)got;
	conn->loop->counts.bytes_in += (uint64_t)got;
	conn->last_in_ms = conn->loop->now_ms;
	charge_rate(conn, (size_t)got);
	struct slice raw = slice_of(conn->loop->input, (size_t)got);
	if (conn->is_closing)
		return; /* lingering: only the end matters */
	if (conn->ssl != NULL)
		handle_tls_input(conn, raw);
	else if (conn->handler != NULL)
		conn->handler->data(conn->ctx, raw);
}

static void finish_connecting(struct conn *conn)
{
	int failure = 0;
	socklen_t size = sizeof(failure);
	if (getsockopt(conn->io.fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
		failure = errno;
	if (failure != 0) {
		conn_abort(conn, strerror(failure));
		return;
	}
	conn->is_connecting = false;
	conn->last_in_ms = conn->progress_ms = conn->loop->now_ms;
	conn_want_flush(conn);
	conn_update_io(conn);
	if (conn->ssl != NULL)
		conn_start_handshake(conn);
	conn_want_check(conn);
	if (conn->handler != NULL && conn->handler->opened != NULL)
		conn->handler->opened(conn->ctx);
}

static void serve(struct conn *conn, int events)
{
	if (conn->is_connecting) {
		finish_connecting(conn);
		return;
	}
	if ((events & EV_WRITE) != 0 && conn->is_blocked) {
		conn->is_blocked = false;
		conn_want_flush(conn);
		conn_update_io(conn);
	}
	if ((events & EV_READ) != 0 && conn_wants_to_read(conn))
		read_once(conn);
}

void conn_ready(struct ev_loop *ev, struct ev_io *io, int events)
{
	(void)ev;
	struct conn *conn = list_entry(io, struct conn, io);
	loop_dispatch(conn->loop, conn);
	serve(conn, events);
	loop_dispatch_late(conn->loop);
}

/* --- output ------------------------------------------------------------------------------------------------------- */

static void made_progress(struct conn *conn, size_t sent)
{
	conn->progress_ms = conn->loop->now_ms;
	conn->sent += sent;
	outq_consume(&conn->out, &conn->loop->chunks, sent);
}

bool conn_has_unread_input(const struct conn *conn)
{
	int waiting = 0;
	return ioctl(conn->io.fd, FIONREAD, &waiting) == 0 && waiting > 0;
}

/* Sends up to max bytes as they are. False when the turn's work here is done. */
static bool send_plain(struct conn *conn, size_t max)
{
	struct iovec pieces[PIECES];
	struct msghdr message = { .msg_iov = pieces };
	size_t free_bytes = conn_free_bytes(conn);
	message.msg_iovlen = outq_pieces(&conn->out, max < free_bytes ? max : free_bytes, pieces, PIECES);
	size_t offered = 0;
	for (size_t i = 0; i < message.msg_iovlen; i++)
		offered += pieces[i].iov_len;
	ssize_t sent = sendmsg(conn->io.fd, &message, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		conn_abort(conn, strerror(errno));
		return false;
	}
	if (sent > 0) {
		conn->bytes_out += (uint64_t)sent;
		conn->loop->counts.bytes_out += (uint64_t)sent;
		made_progress(conn, (size_t)sent);
		if (conn->plain_left > 0)
			conn->plain_left -= (uint32_t)sent;
	}
	conn->is_blocked = sent < (ssize_t)offered;
	return !conn->is_blocked;
}

static bool send_secured(struct conn *conn)
{
	/* The shared input buffer is free at the turn's end: a place to join small chunks into one record. */
	size_t free_bytes = conn_free_bytes(conn);
	struct slice record = outq_front(&conn->out, conn->loop->input, free_bytes < RECORD_BYTES ? free_bytes : RECORD_BYTES);
	size_t sent;
	switch (tls_write(conn->ssl, record, &sent)) {
	case TLS_DONE:
		made_progress(conn, sent);
		return true;
	case TLS_FAILED:
		conn_abort(conn, tls_failure());
		return false;
	case TLS_WANT_READ: /* only a renegotiation would want that, and we have none */
	case TLS_WANT_WRITE:
	case TLS_ENDED:
		break;
	}
	conn->is_blocked = true;
	return false;
}

/* Everything was sent: say that this is the end, then wait for the peer to agree. */
static void finish_output(struct conn *conn)
{
	if (!conn->has_said_goodbye) {
		conn->has_said_goodbye = true;
		if (conn->is_secured && !conn->is_tls_broken)
			tls_say_goodbye(conn->ssl);
		shutdown(conn->io.fd, SHUT_WR);
	}
	if (conn->has_peer_ended)
		conn_abort(conn, conn->reason);
}

static void update_soft_limit(struct conn *conn)
{
	if (!conn->is_over_soft)
		return;
	conn->is_over_soft = conn->is_soft_paused = conn->out.bytes > conn->soft_bytes;
	if (conn->is_over_soft)
		return;
	conn->last_in_ms = conn->loop->now_ms;
	if (conn->is_closing || conn->handler == NULL || conn->handler->drained == NULL)
		return;
	conn->handler->drained(conn->ctx);
}

static void flush(struct conn *conn)
{
	if (conn->is_connecting)
		return;
	if (conn->is_blocked) { /* nothing leaves until the socket has room again, but more may wait than before */
		update_soft_limit(conn);
		conn_update_io(conn);
		return;
	}
	if (conn_is_before_tls(conn)) {
		/* Until our answer has left, nobody can know that TLS begins: SECURITY "STARTTLS injection". */
		if (conn_has_unread_input(conn)) {
			conn_abort(conn, "data sent before TLS was started");
			return;
		}
		while (conn->plain_left > 0 && conn_free_bytes(conn) > 0 && send_plain(conn, conn->plain_left))
			;
		if (conn->is_dead)
			return;
		if (conn->plain_left == 0 && !conn->is_closing)
			conn_start_handshake(conn);
	}
	if (conn_is_handshaking(conn)) {
		/* Accepting waits for the peer's first word; whoever connected has the first word. The same way leads on
		 * from a handshake that found the socket full. */
		if (!conn->is_closing && !conn->is_blocked)
			go_on_with_handshake(conn);
	} else {
		size_t before = conn->out.bytes;
		bool goes_on = true;
		while (goes_on && conn_free_bytes(conn) > 0 && before - conn->out.bytes < WRITE_BYTES_PER_TURN)
			goes_on = conn->is_secured ? send_secured(conn) : send_plain(conn, WRITE_BYTES_PER_TURN);
		if (conn->is_dead)
			return;
		if (conn_free_bytes(conn) > 0 && !conn->is_blocked)
			conn_want_flush(conn); /* others first; the next turn does not wait */
	}
	update_soft_limit(conn);
	if (conn->is_dead)
		return;
	if (conn->is_closing && conn->out.bytes == 0)
		finish_output(conn);
	conn_update_io(conn);
	if (conn->is_blocked)
		conn_want_check(conn);
}

void conns_flush(struct loop *loop)
{
	struct list now;
	list_init(&now);
	list_append(&now, &loop->flush);
	while (!list_is_empty(&now)) {
		struct conn *conn = list_first(&now, struct conn, flush_link);
		list_remove(&conn->flush_link);
		loop_dispatch(loop, conn);
		flush(conn);
	}
	loop_dispatch_late(loop);
}
