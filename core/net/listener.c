/* When descriptors are out, the reserve is closed, one waiting peer accepted in its place and closed, and the reserve
 * opened again: the peer sees an end instead of silence. A few peers are turned away like this, then the listener
 * rests, so that a flood cannot make us spin. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/conn_private.h"
#include "net/loop_private.h"
#include "net/sources_private.h"

enum {
	BACKLOG = 1024,
	ACCEPTS_PER_TURN = 16,
	REST_MS = 100,          /* between tries when descriptors are out */
	TURNED_AWAY_PER_REST = 64,
	WARN_AFTER_MS = 60000,  /* of a shortage that goes on, say so again */
};

struct listener {
	struct ev_io io;
	struct loop *loop;
	accept_fn *fn;
	void *ctx;
	char *path; /* of a unix socket */
	dev_t device;
	ino_t inode; /* whose file we made, and so may remove */
	uint16_t port;
	struct listener_limits limits;
	struct sources *sources;
	struct timer *rest;
	int64_t warned_ms, told_ms;
	bool has_warned, has_told, is_accepting, is_gone; /* gone: freed by its own accept_fn, which goes on */
};

static size_t live_count;

size_t listener_live_count(void)
{
	return live_count;
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int accept_fd(struct listener *listener, struct sockaddr_storage *peer)
{
	socklen_t size = sizeof(*peer);
	peer->ss_family = AF_UNSPEC;
	return accept4(listener->io.fd, (struct sockaddr *)peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void rest(struct listener *listener, int64_t ms)
{
	ev_io_stop(listener->loop->ev, &listener->io);
	timer_start(listener->rest, ms);
}

/* Descriptors (or the kernel's memory) are out. */
static void turn_away(struct listener *listener, int cause)
{
	struct loop *loop = listener->loop;
	if (!listener->has_warned || loop->now_ms - listener->warned_ms >= WARN_AFTER_MS) {
		log_warn("net", "turning new connections away: %s (see ulimit -n, or LimitNOFILE of the systemd unit)",
			 strerror(cause));
		listener->has_warned = true;
		listener->warned_ms = loop->now_ms;
	}
	for (int i = 0; i < TURNED_AWAY_PER_REST && loop->reserve_fd >= 0; i++) {
		struct sockaddr_storage peer;
		close(loop->reserve_fd);
		int fd = accept_fd(listener, &peer);
		if (fd >= 0)
			close(fd);
		loop->reserve_fd = open_reserve();
		if (fd < 0)
			break;
	}
	rest(listener, REST_MS);
}

/* Once a minute, so that a flood does not fill the log as well. */
static bool is_time_to_tell(struct listener *listener)
{
	if (listener->has_told && listener->loop->now_ms - listener->told_ms < WARN_AFTER_MS)
		return false;
	listener->has_told = true;
	listener->told_ms = listener->loop->now_ms;
	return true;
}

static void tell_of_refusal(struct listener *listener, const struct sockaddr *peer, const char *why)
{
	if (!is_time_to_tell(listener))
		return;
	char ip[CONN_IP_SIZE];
	uint16_t port;
	address_text(peer, ip, &port);
	log_info("net", "port %u: closing new connections, such as one from %s: %s", listener->port, ip, why);
}

/* When all come at once, as after a restart, they wait in the kernel's queue: closed, they would only come again. */
static bool must_wait(struct listener *listener)
{
	int64_t wait_ms = sources_wait_ms(listener->sources, &listener->limits, listener->loop->now_ms);
	if (wait_ms == 0)
		return false;
	if (is_time_to_tell(listener))
		log_info("net", "port %u: new connections wait, since more come than max_accepts_per_second (%u)",
			 listener->port, listener->limits.accepts_per_second);
	rest(listener, wait_ms);
	return true;
}

static void accept_some(struct ev_loop *ev, struct ev_io *io, int events)
{
	(void)ev;
	(void)events;
	struct listener *listener = list_entry(io, struct listener, io);
	struct loop *loop = listener->loop;
	if (loop->reserve_fd < 0)
		loop->reserve_fd = open_reserve();
	listener->is_accepting = true;
	for (int i = 0; i < ACCEPTS_PER_TURN && !listener->is_gone && !must_wait(listener); i++) {
		struct sockaddr_storage peer;
		struct source *source;
		int fd = accept_fd(listener, &peer);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				turn_away(listener, errno);
			else if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
				continue; /* that one went away before we came */
			break;
		}
		const char *why = sources_refuse(listener->sources, &listener->limits, (const struct sockaddr *)&peer,
						 loop->now_ms, &source);
		if (why != NULL) {
			tell_of_refusal(listener, (const struct sockaddr *)&peer, why);
			loop->counts.refused++;
			close(fd);
			continue;
		}
		loop->counts.accepted++;
		struct conn *conn = conn_accept(loop, fd, (const struct sockaddr *)&peer, source);
		listener->fn(listener->ctx, conn);
		if (conn->handler == NULL)
			conn_abort(conn, "nobody took the connection");
	}
	listener->is_accepting = false;
	if (listener->is_gone)
		listener_free(&listener);
}

static void go_on(void *ctx)
{
	struct listener *listener = ctx;
	ev_io_start(listener->loop->ev, &listener->io);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static struct listener *make(struct loop *loop, int fd, accept_fn *fn, void *ctx)
{
	struct listener *listener = mem_new(sizeof(*listener));
	listener->loop = loop;
	listener->fn = fn;
	listener->ctx = ctx;
	listener->sources = sources_new();
	listener->rest = timer_new(loop, go_on, listener);
	if (loop->reserve_fd < 0)
		loop->reserve_fd = open_reserve();
	ev_io_init(&listener->io, accept_some, fd, EV_READ);
	ev_io_start(loop->ev, &listener->io);
	live_count++;
	return listener;
}

static const char *usual_cause(int code)
{
	switch (code) {
	case EADDRINUSE:
		return " (is another server running there?)";
	case EACCES:
		return " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
	case EADDRNOTAVAIL:
		return " (this machine has no such address)";
	case EAFNOSUPPORT:
		return " (this machine does not speak that IP version)";
	default:
		return "";
	}
}

struct listener *listener_new(struct loop *loop, const char *interface, uint16_t port, accept_fn *fn, void *ctx,
			      struct error *error_r)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE };
	struct addrinfo *found;
	char port_text[8];
	snprintf(port_text, sizeof(port_text), "%u", port);
	if (getaddrinfo(strcmp(interface, "*") == 0 ? "0.0.0.0" : interface, port_text, &hints, &found) != 0) {
		error_set(error_r, "cannot listen on %s port %u: the interface is neither \"*\" nor a numeric address",
			  interface, port);
		return NULL;
	}
	static const int on = 1;
	struct listener *listener = NULL;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		goto failed;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (found->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		goto failed;
	socket_set_options(fd);
	if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
		goto failed;
	listener = make(loop, fd, fn, ctx);
	struct sockaddr_storage own = { .ss_family = AF_UNSPEC };
	socklen_t size = sizeof(own);
	char ip[CONN_IP_SIZE];
	getsockname(fd, (struct sockaddr *)&own, &size);
	address_text((const struct sockaddr *)&own, ip, &listener->port);
	goto out;
failed:
	error_set(error_r, "cannot listen on %s port %u: %s%s", interface, port, strerror(errno), usual_cause(errno));
	if (fd >= 0)
		close(fd);
out:
	freeaddrinfo(found);
	return listener;
}

/* Makes room for a unix socket: removes what a dead server left, and nothing else. */
static int clear_path(const struct sockaddr_un *address, struct error *error_r)
{
	struct stat there;
	if (lstat(address->sun_path, &there) != 0)
		return 0; /* bind will tell of anything worse than an absence */
	if (!S_ISSOCK(there.st_mode))
		return error_set(error_r, "cannot listen on %s: a file is in the way that is no socket",
				 address->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error_r, "cannot listen on %s: %s", address->sun_path, strerror(errno));
	int result = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	int cause = errno;
	close(fd);
	if (result == 0 || cause != ECONNREFUSED)
		return error_set(error_r, "cannot listen on %s: another server listens there", address->sun_path);
	if (unlink(address->sun_path) != 0)
		return error_set(error_r, "cannot listen on %s: the old socket cannot be removed: %s", address->sun_path,
				 strerror(errno));
	return 0;
}

struct listener *listener_new_unix(struct loop *loop, const char *path, accept_fn *fn, void *ctx, struct error *error_r)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(address.sun_path)) {
		error_set(error_r, "cannot listen on %s: the path must have 1 to %zu bytes", path,
			  sizeof(address.sun_path) - 1);
		return NULL;
	}
	memcpy(address.sun_path, path, len);
	if (clear_path(&address, error_r) != 0)
		return NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* The socket's mode becomes the file's at bind, so there is no moment at which others could connect. */
	struct stat made;
	if (fd < 0 || fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, BACKLOG) != 0 || lstat(path, &made) != 0) {
		error_set(error_r, "cannot listen on %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	struct listener *listener = make(loop, fd, fn, ctx);
	listener->path = mem_copy(slice_of_str(path));
	listener->device = made.st_dev;
	listener->inode = made.st_ino;
	return listener;
}

void listener_set_limits(struct listener *listener, const struct listener_limits *limits)
{
	listener->limits = *limits;
}

int listener_exempt(struct listener *listener, const char *address, unsigned bits)
{
	return sources_exempt(listener->sources, address, bits);
}

void listener_clear_exempt(struct listener *listener)
{
	sources_clear_exempt(listener->sources);
}

uint16_t listener_port(const struct listener *listener)
{
	return listener->port;
}

void listener_free(struct listener **where)
{
	struct listener *listener = *where;
	*where = NULL;
	if (listener == NULL)
		return;
	if (listener->is_accepting) {
		listener->is_gone = true;
		return;
	}
	ev_io_stop(listener->loop->ev, &listener->io);
	timer_free(&listener->rest);
	close(listener->io.fd);
	struct stat there;
	if (listener->path != NULL && lstat(listener->path, &there) == 0 && there.st_dev == listener->device &&
	    there.st_ino == listener->inode)
		unlink(listener->path);
	sources_release(listener->sources);
	mem_free(listener->path);
	mem_free(listener);
	live_count--;
}
