/* The inside of a stream, shared by stream.c (what all streams have in common), stream_c2s.c and stream_s2s.c (what
 * each kind does), and the few things session.c, router.c and s2s.c ask of them. The latter are harmless for
 * sessions without a stream. */
#ifndef XMPP_STREAM_PRIVATE_H
#define XMPP_STREAM_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/random.h"
#include "base/slice.h"
#include "net/share.h"
#include "xml/stanza.h"
#include "xmpp/sm_duty.h"

struct conn;
struct conn_handler;
struct parser;
struct server;
struct session;
struct stream;
struct timer;

/* Where the negotiation stands. The order is the order of a good one. */
enum stream_state {
	STREAM_HEADER,  /* a stream header is due: at the start, after TLS, after SASL */
	STREAM_PLAIN,   /* headers (and, by the one who answers, features) were sent without TLS */
	STREAM_TLS,     /* TLS was agreed on: only the handshake may come */
	STREAM_SECURED, /* headers were sent under TLS */
	STREAM_AUTHED,  /* c2s: features were sent after SASL, a resource must be bound. s2s: a pair of domains is proven */
	STREAM_BOUND,   /* c2s: stanzas flow */
	STREAM_CLOSING, /* we have closed our side */
	STREAM_STATES
};

/* What came in. */
enum stream_class {
	A_HEADER,
	A_FOOTER,
	A_STARTTLS,
	A_SASL,
	AN_IQ,
	A_MESSAGE,
	A_PRESENCE,
	A_NONZA,    /* a child in a namespace of its own: CSI ... */
	AN_ERROR,   /* <stream:error/> */
	A_STRANGER, /* a child in the content or stream namespace that is none of the above */
	AN_SM,      /* stream management (XEP-0198) */
	C2S_CLASSES,
	A_DIALBACK = C2S_CLASSES, /* from here on only told apart between servers */
	FEATURES,
	A_TLS_ANSWER, /* <proceed/>, <failure/> */
	STREAM_CLASSES
};

enum stream_action {
	IGNORE,
	OPEN,           /* check the header and answer it */
	END,            /* answer the closing tag */
	EVENT,          /* fire stanza/NAMESPACE:NAME; unanswered: unsupported-stanza-type */
	IQ_EVENT,       /* fire stanza/iq/NAMESPACE:NAME; unanswered: not-authorized */
	ROUTE,          /* a stanza of a bound session, or of a server with a proven pair of domains */
	ROUTE_LATE,     /* the same after our closing tag (RFC 6120 4.4), unless the peer knows that it did not count */
	COUNT,          /* stream management where it may be agreed on; what it does not answer is an EVENT */
	NOT_AUTHORIZED, /* stream error: RFC 6120 4.9.3.12 */
	UNSUPPORTED,    /* stream error: 4.9.3.24 unsupported-stanza-type */
	GIVE_UP,        /* the peer reported an error: close */
	ACTIONS
};

/* c2s, s2s in, s2s out. */
struct stream_kind {
	const char *log_name;
	struct slice content_ns;
	const char *opening;            /* of our header: the tag up to its own attributes */
	const uint8_t (*table)[STREAM_CLASSES];
	const char *const *state_names; /* NULL: this kind has no such state */
	unsigned n_classes;
	void (*open)(struct stream *stream, const struct stanza *header);
	void (*greet)(struct stream *stream); /* speak first: on connection, once TLS is on. NULL: the peer does */
	const char *unauthorized;       /* what to say to who is too early */
	bool is_outgoing;
	const char *secured_event;      /* TLS is on */
	const char *drained_event;      /* NULL: nobody wants to hear */
	void (*idle)(struct stream *stream);
	/* Starts the ending of one that carried stanzas; text and condition as in struct transport. NULL: like any other. */
	void (*close)(struct stream *stream, const char *condition, const char *text);
};
extern const struct stream_kind stream_c2s, stream_s2sin, stream_s2sout;

struct stream {
	struct server *server;
	struct session *session; /* NULL once it has ended */
	const struct stream_kind *kind;
	struct conn *conn;
	struct parser *parser;
	struct timer *deadline;  /* until bound */
	struct share share;      /* of each turn; what is left of its input then waits in the parser */
	struct list awake_link;  /* server.awake while the parser holds an expat */
	int64_t last_used_ms;
	char *peer_id;           /* the id the other side gave, on streams we opened */
	struct sm *sm;           /* between servers, once a pair of domains is proven */
	struct timer *sm_timer;  /* when to ask, and until when the answer is due */
	struct sm_duty duty;     /* with sm */
	uint64_t taken_back_at;  /* stanzas from there on in the output were taken back; with sm */
	char *last_condition, *last_text; /* while draining: what our goodbye will say */
	enum stream_state state : 8;
	bool is_authed : 1, is_bound : 1;
	bool has_sent_header : 1, has_sent_footer : 1;
	bool was_reset : 1;      /* since the parser was last asked */
	bool has_rest : 1;       /* input was left when the stream was reset */
	bool is_running : 1;     /* in run_parser, which must not be entered twice */
	bool is_put_off : 1;     /* input is left for the next turn; the connection is held */
	bool has_peer_ended : 1; /* its connection, but input is left that came before */
	bool was_used : 1;       /* s2s: a stanza was sent since the last look */
	bool is_draining : 1;    /* s2s: closes as soon as what we sent is acknowledged */
	bool is_deaf : 1;        /* s2s: what still comes in does not matter any more */
	char id[RANDOM_ID_SIZE];
};

/* ---- stream.c, for the kinds ---- */

/* Gives conn a stream and a session of it; conn's handler is set. */
struct stream *stream_new(const struct stream_kind *kind, struct session *session, struct conn *conn);
/* The negotiation must be over by then. */
void stream_set_deadline(struct stream *stream, int64_t ms);
/* For the log: "c2s" and the session's number, as Prosody names them. */
const char *stream_log_name(const struct stream *stream, char into[32]);
/* Sends our opening tag; from and to may be empty. */
void stream_send_header(struct stream *stream, struct slice from, struct slice to);
/* Fires `event` with <stream:features/> to be filled, and sends them. */
void stream_send_features(struct stream *stream, const char *event);
/* Only when nothing refers to it any more. */
void stream_free(struct stream *stream);

/* Ends the stream with an error. */
void stream_fail(struct stream *stream, const char *condition, const char *text);
/* Says why (if there is a why) and closes our side; the connection stays. more: XML to stand in the error beside the
 * condition (RFC 6120 4.9.4), NULL for none. Harmless when it was said before. */
void stream_say_goodbye(struct stream *stream, const char *condition, const char *text, const char *more);

/* ---- stream_in.c: what comes in ---- */

void stream_make_parser(struct stream *stream);
void stream_forget_parser(struct stream *stream);
/* Bytes came, which are borrowed. */
void stream_take_input(struct stream *stream, struct slice bytes);
/* Handles input that was left. */
void stream_go_on(struct stream *stream);
/* The peer ended its side of the connection; counts as soon as what it sent before is handled. */
void stream_peer_ended(struct stream *stream);
/* What an element is to streams of that kind. */
enum stream_class stream_class_of(const struct stream_kind *kind, const struct stanza *stanza);
/* Are the root and its default namespace right, is the version 1.x? If not, the stream was ended with the error. */
bool stream_header_has_ns(struct stream *stream, const struct stanza *header);
bool stream_header_has_version(struct stream *stream, const struct stanza *header);

/* ---- stream_sm.c: stream management between servers, as far as the stream is concerned ---- */

/* Stanzas are kept from now on, and counted when that is agreed on. */
void stream_sm_open(struct stream *stream);
void stream_sm_free(struct stream *stream);
/* A stanza came in, on any stream. */
void stream_sm_received(struct stream *stream);
extern const struct sm_duty_kind stream_sm_duty;
/* A stanza was queued that is kept now. */
void stream_sm_sent(struct stream *stream);
/* An element of XEP-0198 came on a stream of a proven pair. False when it is a module's to answer. */
bool stream_sm_handle(struct stream *stream, const struct stanza *stanza);
/* Asks about all that was sent and not acknowledged; how many stanzas that are. 0: there is nothing to wait for. */
uint32_t stream_sm_ask(struct stream *stream);
/* Tells how much we have handled, as the last word about it. */
void stream_sm_acknowledge(struct stream *stream);
/* Takes out of the connection's queue what was not offered to the socket yet, so that it can go another way. -1 when
 * nobody can tell what was. */
int stream_sm_take_back(struct stream *stream);

/* stream_s2s.c: what was sent is acknowledged. For streams that wait for it to close. */
void stream_drained(struct stream *stream);
/* The peer has closed its side, or its connection, in whatever state. reason: for the log. */
void stream_peer_closed(struct stream *stream, const char *reason);

/* ---- for session.c, router.c and s2s.c ---- */

/* Writes the stanza to the wire, in the stream's content namespace. 0, or -1 when it cannot take it. */
int stream_write(struct session *session, const struct stanza *stanza);
int stream_write_bytes(struct session *session, struct slice bytes);
/* A message, presence or iq of that content namespace, not one of the elements that only manage the stream. */
bool stream_is_stanza(const struct stanza *stanza, struct el root, struct slice content_ns);
/* SASL succeeded: wider limits, a new header is expected once stream_reset is called. */
void stream_authenticated(struct session *session);
/* A resource was bound, or a pair of domains is proven: stanzas may flow, the negotiation deadline is over. */
void stream_bound(struct session *session);
void stream_proven(struct session *session);
/* The session has ended; the stream says goodbye if it has not, and goes with its conn. */
void stream_session_ended(struct session *session);
/* What the running dispatch has for the session may be kept back and said in a later one: it waits for the disk all the
 * same (net/hold.h). */
void stream_hold(struct session *session);
/* A dispatch of this session waits: no further input until stream_resume. */
void stream_pause(struct session *session);

#endif
