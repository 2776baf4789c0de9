/* The connections of net.http.wire: what lua_http_channel.c (how they are read) and lua_http_server.c (how Lua handles
 * them) share. */
#ifndef LUA_HTTP_CHANNEL_H
#define LUA_HTTP_CHANNEL_H

#include "base/buf.h"
#include "base/histogram.h"
#include "lua/core.h"
#include "lua/http_private.h"

struct http_reader;
struct timer;

enum { HTTP_NEVER_MS = -1 };

/* What Lua is called for. */
enum http_call {
	HTTP_ON_REQUEST, HTTP_ON_HEAD, HTTP_ON_BODY, HTTP_ON_PIECE, HTTP_ON_POURED, HTTP_ON_UNSTORED, HTTP_ON_REFUSED,
	HTTP_ON_FAILED, HTTP_CALLS
};
/* How such calls are named in figures, and, without "http-", the handlers in Lua's table. */
extern const char *const http_call_names[HTTP_CALLS];


/* What was answered in one place. */
struct http_site {
	uint64_t answers[6];      /* by the hundred of their status; [0]: none that HTTP knows */
	struct histogram seconds; /* from a head to the beginning of its answer */
};

struct http_server {
	struct lua_core *core;
	struct http_site *sites; /* [0]: where nobody answers */
	unsigned n_sites;
	int calls[HTTP_CALLS]; /* references of the handlers */
	int64_t head_ms, idle_ms, body_ms;
	uint64_t body_bytes_per_s;
	unsigned requests_max;
	struct http_date date;
};

enum http_phase {
	HTTP_WAITING,    /* for a head, the first or the next */
	HTTP_HEAD_ASKED, /* Lua has a head and has to say how to take its body */
	HTTP_READING,    /* that body */
	HTTP_ASKED,      /* Lua has the whole request */
	HTTP_ENDED
};

enum http_taking { HTTP_COLLECT, HTTP_PIECES, HTTP_POUR };

struct http_channel {
	struct http_server *server; /* user value 2 */
	void *conn;                 /* the conn's handle: user value 1; NULL after the end */
	int state_ref;             /* what Lua's handlers get first; LUA_NOREF after the end */
	struct http_reader *reader;
	struct timer *timer;
	int64_t deadline_ms;       /* of what we wait for; HTTP_NEVER_MS */
	int64_t timer_ms;          /* when the timer runs out */
	struct buf body;           /* of HTTP_COLLECT, as far as it is here */
	void *file;                /* of HTTP_POUR: user value 3 */
	uint64_t body_bytes;       /* so far */
	uint64_t marked_bytes;     /*   when its speed was looked at last */
	uint64_t told_bytes, step_bytes; /* of HTTP_POUR: Lua has heard of; after how many it does again */
	int64_t content_length;
	int64_t began_ns;          /* of the request; 0: it was answered */
	unsigned n_requests, n_waiting; /* n_waiting: calls that wait */
	enum http_phase phase;
	enum http_taking taking;
	bool stays, is_1_0, expects_continue; /* of the request */
	bool is_in_head;           /* a part of one is here, and its deadline counts */
	bool is_processing, is_deferred, is_paused;
	bool has_failed;           /* the request's handler has died */
	bool is_orphan;            /* its handle is gone */
};

/* conn: the handle of a Lua listener's connection, kept alive by the caller as long as the channel is not detached.
 * state_ref: a reference in Lua's registry, taken. */
struct http_channel *http_channel_new(struct http_server *server, void *conn, int state_ref);
/* Of the connection; ctx is the userdata with the channel's pointer. What is not for now waits, and the connection with
 * it. */
enum intake_result http_channel_take_in(void *ctx, struct slice bytes);
/* In HTTP_HEAD_ASKED: the body that follows is read, if it is no longer. For HTTP_POUR file and step_bytes are set. */
void http_channel_take(struct http_channel *channel, enum http_taking taking, uint64_t bytes_max);
/* The answer is complete: the next request, or the end. */
void http_channel_answered(struct http_channel *channel);
/* Reads what is here, in the next turn. */
void http_channel_process_soon(struct http_channel *channel);
/* NULL when it has ended. */
struct conn *http_channel_conn(const struct http_channel *channel);
/* Nothing is read any more. */
void http_channel_end(struct http_channel *channel);
/* Ends it; the connection is no longer ours. */
void http_channel_detach(struct http_channel *channel);
/* Detaches it; it is freed as soon as it can be. */
void http_channel_abandon(struct http_channel *channel);
/* After each use: what an ended channel holds goes when nothing of it is on the C stack. */
void http_channel_after_use(struct http_channel *channel);

#endif
