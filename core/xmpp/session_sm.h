/* Stream management of clients (XEP-0198): a session that counts what it sends and handles, and that may live on
 * without a connection. It then *hibernates*: whoever sends to it sees no difference, its stanzas wait, until another
 * connection of the same account takes it over or somebody ends it. Whether it is offered, for how long, to whom a
 * session belongs and what becomes of what was not acknowledged is up to modules (mod_smacks).
 *
 * It stands between the session and what carries it: session.transport is ours from the start on, and asks the carrier
 * there is at the time. So it is the same for TCP and for WebSocket; a carrier must be able to `leave` and `move`.
 *
 * Events on the session's host (struct session_event): sm-hibernated, with the reason as error; sm-ack-delayed;
 * sm-queued, with the stanza, where smacks-hibernation-stanza-queued is hooked; sm-settled, after session_sm_resume.
 * */
#ifndef XMPP_SESSION_SM_H
#define XMPP_SESSION_SM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "xmpp/sm.h"

struct session;
struct session_sm;
struct stanza;
struct transport;

/* <enable/> is being answered: counts from now on. -1 when it is not the time: no bound client, not for the first time,
 * or a carrier that can do no such thing. is_resumable: the session hibernates when its connection breaks. */
int session_sm_start(struct session *session, bool is_resumable);
/* Frees what it keeps. */
void session_sm_free(struct session_sm **self);

/* An <r/> or <a/> came. False when it is a module's to answer. */
bool session_sm_handle(struct session *session, const struct stanza *stanza);
/* A stanza came in, and is about to be handled. Harmless without stream management. */
void session_sm_received(struct session *session);
/* The stanza that came last had to wait, and is being handled in this dispatch, too. */
void session_sm_goes_on(struct session *session);
/* Asks what has arrived, even when all is known to have: an answer shows that the client is there. */
void session_sm_ask(struct session *session);
/* Nobody looks at the client's screen: it is asked less often. */
void session_sm_set_inactive(struct session *session, bool is_inactive);

/* Its connection has broken, or is to be given up. True: the session hibernates now (or did); false: it must end. */
bool session_sm_lost(struct session *session, const char *reason);
bool session_sm_is_hibernating(const struct session *session);
int64_t session_sm_hibernating_since_ms(const struct session *session); /* of the loop's clock */

/* `from`, which has bound nothing yet, becomes the connection of `to`, and ends; both are of the same account. Where
 * `to` still had one, that is closed with <conflict/> (section 5). h is taken as an <a/>; when that is wrong, nothing
 * has changed. Until session_sm_go_on nothing is sent. *is_settled_r: all that came before has been handled; else the
 * event sm-settled says when. */
enum sm_ack session_sm_resume(struct session *to, struct session *from, struct slice h, bool *is_settled_r);
/* Sends the answer, then what was not acknowledged, and reads on. */
void session_sm_go_on(struct session *session, struct slice answer);
/* The last hook that waited on behalf of the session has ended. */
void session_sm_unparked(struct session *session);

/* How much of what came was handled (modulo 2^32). */
uint32_t session_sm_handled(const struct session *session);
/* NULL without stream management. */
struct sm *session_sm_counts(const struct session *session);
/* "handled-count-too-high" (section 6): the session it came on ends. h: what was said. */
void session_sm_refuse_count(struct session *session, struct slice h, uint32_t n_sent);

#endif
