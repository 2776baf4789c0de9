/* Web transports of the load program, as a browser would use them.
 *
 * WebSocket needs little: the server's frames are not masked, so what load.c looks for is found between their heads.
 * BOSH (XEP-0124): two keep-alive connections, one request always at the server, a second one when there is something
 * to send meanwhile. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void websocket_upgrade(struct client *c)
{
	c->out_len += (size_t)snprintf(c->out + c->out_len, OUT_SIZE - c->out_len,
				       "GET /xmpp-websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
				       "Connection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
				       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n", opt.host);
	c->step = UPGRADING;
}

size_t websocket_head(char *at, size_t payload)
{
	bool is_short = payload < 126;
	*at++ = (char)0x81;
	*at++ = (char)(0x80 | (is_short ? payload : 126));
	if (!is_short) {
		*at++ = (char)(payload >> 8);
		*at++ = (char)payload;
	}
	memset(at, 0, 4);
	return is_short ? 6 : 8;
}

/* ---- BOSH ---- */

static void wire_open(struct http_wire *wire)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	int on = 1;
	wire->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	if (connect(wire->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(wire->fd);
		wire->fd = -1;
		return;
	}
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = wire };
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wire->fd, &event);
}

static void wire_close(struct http_wire *wire)
{
	if (wire->fd >= 0)
		close(wire->fd);
	wire->fd = -1;
	wire->in_len = 0;
	wire->is_pending = false;
}

void bosh_connect(struct client *c)
{
	for (int i = 0; i < 2; i++)
		c->wires[i] = (struct http_wire){ .client = c, .fd = -1, .in = malloc(IN_SIZE) };
	c->rid = 1000000 + (unsigned long)c->number * 1000;
	c->step = HEADER;
	bosh_flush(c);
}

void bosh_close(struct client *c)
{
	for (int i = 0; i < 2; i++) {
		wire_close(&c->wires[i]);
		free(c->wires[i].in);
		c->wires[i].in = NULL;
	}
}

static void post(struct client *c, struct http_wire *wire)
{
	char body[OUT_SIZE + 512], head[256];
	int n;
	if (c->sid[0] == '\0')
		n = snprintf(body, sizeof(body), "<body xmlns='http://jabber.org/protocol/httpbind' rid='%lu' to='%s' "
			     "wait='60' hold='1' ver='1.6' xml:lang='en' xmpp:version='1.0' "
			     "xmlns:xmpp='urn:xmpp:xbosh'/>", ++c->rid, opt.host);
	else if (c->wants_restart)
		n = snprintf(body, sizeof(body), "<body xmlns='http://jabber.org/protocol/httpbind' rid='%lu' sid='%s' "
			     "xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'/>", ++c->rid, c->sid);
	else
		n = snprintf(body, sizeof(body), "<body xmlns='http://jabber.org/protocol/httpbind' rid='%lu' sid='%s'>"
			     "%.*s</body>", ++c->rid, c->sid, (int)c->out_len, c->out);
	if (!c->wants_restart)
		c->out_len = 0;
	c->wants_restart = false;
	int head_len = snprintf(head, sizeof(head), "POST /http-bind HTTP/1.1\r\nHost: %s\r\nContent-Type: text/xml\r\n"
				"Content-Length: %d\r\n\r\n", opt.host, n);
	if (wire->fd < 0)
		wire_open(wire);
	struct iovec pieces[2] = { { head, (size_t)head_len }, { body, (size_t)n } };
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
	if (wire->fd < 0 || sendmsg(wire->fd, &message, MSG_NOSIGNAL) != head_len + n)
		drop(c, FAILED);
	wire->is_pending = true;
}

void bosh_flush(struct client *c)
{
	bool has_output = c->out_len > 0 || c->wants_restart;
	int pending = c->wires[0].is_pending + c->wires[1].is_pending;
	if (pending == 2 || (pending == 1 && (!has_output || c->sid[0] == '\0')))
		return;
	post(c, c->wires[0].is_pending ? &c->wires[1] : &c->wires[0]);
}

/* A whole response: what it carries goes where the bytes of a stream would. */
static void take_response(struct http_wire *wire, char *head_end, size_t length)
{
	struct client *c = wire->client;
	char *body = head_end + 4, *sid = memmem(body, length, " sid='", 6);
	if (c->sid[0] == '\0' && sid != NULL)
		sscanf(sid + 6, "%63[^']", c->sid);
	if (c->in_len + length >= IN_SIZE - 1)
		c->in_len = 0;
	memcpy(c->in + c->in_len, body, length);
	c->in_len += length;
	c->in[c->in_len] = '\0';
	bool is_last = memmem(wire->in, (size_t)(head_end - wire->in), "onnection: close", 16) != NULL;
	size_t used = (size_t)(body - wire->in) + length;
	memmove(wire->in, wire->in + used, wire->in_len - used);
	wire->in_len -= used;
	wire->is_pending = false;
	if (is_last)
		wire_close(wire);
	if (memmem(c->in, c->in_len, "type='terminate'", 16) != NULL)
		drop(c, FAILED);
}

void bosh_event(struct http_wire *wire)
{
	struct client *c = wire->client;
	ssize_t n = recv(wire->fd, wire->in + wire->in_len, IN_SIZE - 1 - wire->in_len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) { /* between two requests the server may close */
		if (wire->is_pending)
			drop(c, FAILED);
		else
			wire_close(wire);
		return;
	}
	wire->in_len += (size_t)n;
	wire->in[wire->in_len] = '\0';
	char *head_end = memmem(wire->in, wire->in_len, "\r\n\r\n", 4), *length = strcasestr(wire->in, "content-length:");
	if (head_end == NULL || length == NULL)
		return;
	size_t bytes = strtoul(length + 15, NULL, 10);
	if (wire->in_len < (size_t)(head_end + 4 - wire->in) + bytes)
		return;
	take_response(wire, head_end, bytes);
	if (c->step < FAILED)
		step_on(c);
	if (c->step < FAILED)
		bosh_flush(c);
}
