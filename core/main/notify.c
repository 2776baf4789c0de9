/* sd_notify(3) is one datagram to a unix socket, so no library is needed for it. */
#include "main/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop.h"

static struct timer *watchdog; /* systemd asks one process once */
static int64_t watchdog_ms;

static void tell(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	if (len == 0 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@') /* an abstract socket */
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
	close(fd);
}

static void on_watchdog(void *ctx)
{
	(void)ctx;
	tell("WATCHDOG=1");
	timer_start(watchdog, watchdog_ms);
}

void notify_ready(struct loop *loop)
{
	tell("READY=1");
	const char *usec = getenv("WATCHDOG_USEC");
	watchdog_ms = usec != NULL ? (int64_t)(strtoll(usec, NULL, 10) / 1000 / 3) : 0;
	if (watchdog_ms <= 0 || getenv("NOTIFY_SOCKET") == NULL)
		return;
	watchdog = timer_new(loop, on_watchdog, NULL);
	timer_start(watchdog, watchdog_ms);
}

void notify_stopping(void)
{
	tell("STOPPING=1");
	timer_free(&watchdog);
}
