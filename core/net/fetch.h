/* HTTP requests of our own (libcurl, which only fetch.c knows).
 *
 * A fetcher is started requests, which are numbered; what becomes of them is taken as events when fetch_fd becomes
 * readable: the head of the answer, its body, its end, or why there is none. It knows neither Lua nor the loop: to the
 * loop it is one descriptor, in which curl's sockets and timer are gathered (epoll, timerfd).
 *
 * Always true: nothing here waits for the network (names are looked up by threads of curl's). Each request ends with
 * one FETCH_END or FETCH_FAILED, unless it is cancelled. What an answer may take is bounded: head, body and time. With
 * is_public_only no socket to an address of this machine or of a private network is ever opened, whatever a name or a
 * redirect leads to (SECURITY E3). Threads do not survive fork: start requests in the process that uses them. */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct error;
struct fetcher;

/* Requests that may be under way at once. Further ones than the connections wait for one of those. */
enum { FETCH_REQUESTS_MAX = 1000, FETCH_CONNECTIONS_MAX = 64, FETCH_CONNECTIONS_PER_HOST_MAX = 8 };
/* Of a streamed body, what is kept until it is taken; then the server has to wait. */
enum { FETCH_STREAM_BYTES = 256 * 1024 };

struct fetch_request {
	const char *url;           /* http or https */
	const char *method;        /* a token: "GET" */
	struct slice body;         /* ptr NULL: none */
	const char *const *fields; /* "Name: value", no line ends in them */
	size_t n_fields;
	size_t head_bytes;         /* at most so much head, */
	uint64_t body_bytes;       /*   and so much body, else FETCH_FAILED */
	int64_t connect_ms;        /* until the connection stands, with TLS */
	int64_t total_ms;          /* until the end; 0: as long as it takes, */
	int64_t silence_ms;        /*   but no longer than this without a byte; 0: no limit */
	unsigned redirects;        /* of GET and HEAD, so many are followed; further ones fail. 0: they are the answer */
	bool is_streamed;          /* the body comes in pieces, else in one */
	bool is_unverified;        /* whose certificate it is does not matter */
	const char *ca_file;       /* in the place of the system's; NULL */
	const char *certificate, *key; /* files to show to the server; NULL */
};

/* NULL on failure. */
struct fetcher *fetch_new(bool is_public_only, struct error *error_r);
/* Requests under way are dropped, connections closed. Does not wait. */
void fetch_free(struct fetcher **fetcher);
/* Readable when fetch_process has something to do. */
int fetch_fd(const struct fetcher *fetcher);

/* Gives a number > 0, never used twice; 0 and a sentence when the request cannot be. Everything is copied. */
uint64_t fetch_start(struct fetcher *fetcher, const struct fetch_request *request, struct error *error_r);
/* No more events of it. Harmless when it has ended. */
void fetch_cancel(struct fetcher *fetcher, uint64_t id);
/* While held there are no events of it, and the server has to wait. */
void fetch_hold(struct fetcher *fetcher, uint64_t id, bool is_held);

enum fetch_kind { FETCH_HEAD, FETCH_BODY, FETCH_END, FETCH_FAILED };

struct fetch_event {
	uint64_t id;
	enum fetch_kind kind;
	int status;          /* FETCH_HEAD: of the last answer, after redirects */
	const char *version; /* FETCH_HEAD: "1.1", "2" */
	struct slice bytes;  /* FETCH_HEAD: lines "Name: value\r\n"; FETCH_BODY: a piece. Borrowed until the next call. */
	const char *error;   /* FETCH_FAILED: a word, as net.http in Lua lists them, */
	const char *text;    /*   and a sentence. Borrowed likewise. */
};

/* Lets curl do what there is to do. */
void fetch_process(struct fetcher *fetcher);
/* The next event, false when there is none. After FETCH_END and FETCH_FAILED the number is forgotten. */
bool fetch_take(struct fetcher *fetcher, struct fetch_event *event_r);

/* Requests under way. */
uint32_t fetch_n_requests(const struct fetcher *fetcher);

/* "7.88.1" */
const char *fetch_version(void);

#endif
