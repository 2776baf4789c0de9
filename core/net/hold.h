/* Output that waits for the disk: nobody reads that something was done before it is stored, and nobody else waits.
 *
 * What is written to stores gathers in a batch; batches are numbered, and become durable one after the other: at most
 * one is being synced while the next one gathers. A *dispatch* is the handling of one piece of input (a stanza, a
 * request). The one that writes to a store is *held*: the connection it came on, and those it has written to or writes
 * to yet, send nothing they were given since it began before its batch is durable. So is one that reads what is not
 * durable yet. Other dispatches of the same turn, and of those that follow, are not, unless they come from that
 * connection or write to it: a connection keeps its order.
 *
 * What is no fresh input (timers, deferred calls) may say what an earlier dispatch decided, so it is held for as long
 * as any batch is not durable. A coroutine that goes on is held as it was, and as who resumes it is. */
#ifndef NET_HOLD_H
#define NET_HOLD_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct loop;

/* A new dispatch begins, of input that came on `origin` (NULL: on no connection). For whoever takes input apart into
 * stanzas. */
void loop_dispatch(struct loop *loop, struct conn *origin);
/* It is over: what follows is no fresh input. */
void loop_dispatch_late(struct loop *loop);

/* Keeps fn: called when a dispatch is over, with loop_held_by still telling of that one. There is one such function. */
void loop_on_dispatch_end(struct loop *loop, void (*fn)(void *ctx), void *ctx);

/* The running dispatch has written to a store. Gives the number of the batch. */
uint64_t output_hold(struct loop *loop);
/* The running dispatch knows or passes on what is durable with that batch, or with all there are (loop_newest_batch).
 * */
void output_hold_for(struct loop *loop, uint64_t batch);
/* The youngest batch that has anything in it and is not durable; 0: all is. */
uint64_t loop_newest_batch(const struct loop *loop);
/* It is durable, or was lost. */
bool loop_is_over(const struct loop *loop, uint64_t batch);
/* What the running dispatch waits for; 0: nothing. */
uint64_t loop_held_by(const struct loop *loop);
/* What this connection is given from now on waits for the batch. */
void conn_hold_output(struct conn *conn, uint64_t batch);

/* For who makes batches durable (core.storagemanager), in this order: */

/* Has anything been written since the last batch was sealed? */
bool loop_is_gathering(const struct loop *loop);
/* What gathers becomes the batch that is being synced; there is none now. The next one begins. */
void loop_seal(struct loop *loop);
bool loop_is_syncing(const struct loop *loop);
/* It is durable: what waited for it leaves at this turn's end. */
void loop_release(struct loop *loop);

/* What gathers could not be stored (with_synced: neither could the batch before it). The output that waits for it must
 * never leave: its connections lose it, and close once what came before has left. */
void loop_take_back_output(struct loop *loop, bool with_synced, const char *reason);
/* The first batch whose output was taken back in this turn; 0: none was. */
uint64_t loop_first_lost(const struct loop *loop);

#endif
