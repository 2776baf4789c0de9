/* Many who begin to ask and never end: crowd PORT COUNT SECONDS TEXT
 *
 * COUNT connections to 127.0.0.1 send TEXT each, at once, and then wait for what the server does about it. When all are
 * closed, or after so many seconds, it prints how many there were of each kind: "STATUS N" for those that were answered
 * with that status before, "closed N" without an answer, "open N". Exit code 1 when it cannot connect. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_MAX = 600, CLOSED = STATUS_MAX, OPEN, KINDS };

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int begin(int port, const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		perror("crowd");
		exit(1);
	}
	send(fd, text, strlen(text), MSG_NOSIGNAL); /* who was turned away finds out below */
	return fd;
}

/* What the server has done about this one: a status, or CLOSED. */
static int outcome(int fd)
{
	char answer[1024];
	ssize_t len = recv(fd, answer, sizeof(answer) - 1, 0);
	if (len < 13 || strncmp(answer, "HTTP/1.1 ", 9) != 0)
		return CLOSED;
	answer[len] = '\0';
	long status = strtol(answer + 9, NULL, 10);
	return status > 0 && status < STATUS_MAX ? (int)status : CLOSED;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int port = (int)strtol(argv[1], NULL, 10), count = (int)strtol(argv[2], NULL, 10), kinds[KINDS] = { 0 };
	double deadline_s = now_s() + strtod(argv[3], NULL);
	struct pollfd *all = calloc((size_t)count, sizeof(*all));
	for (int i = 0; i < count; i++)
		all[i] = (struct pollfd){ .fd = begin(port, argv[4]), .events = POLLIN };
	kinds[OPEN] = count;
	while (kinds[OPEN] > 0 && now_s() < deadline_s) {
		poll(all, (nfds_t)count, 1000);
		for (int i = 0; i < count; i++) {
			if (all[i].fd < 0 || all[i].revents == 0)
				continue;
			kinds[outcome(all[i].fd)]++;
			kinds[OPEN]--;
			close(all[i].fd);
			all[i].fd = -1; /* poll passes it by */
		}
	}
	for (int kind = 0; kind < STATUS_MAX; kind++)
		if (kinds[kind] > 0)
			printf("%d %d\n", kind, kinds[kind]);
	printf("closed %d\nopen %d\n", kinds[CLOSED], kinds[OPEN]);
	free(all);
	return 0;
}
