/* Work that would block the loop (PBKDF2, fsync) on a few threads. Jobs start in the order they were submitted; with
 * one thread, they also end in it. */
#ifndef NET_WORKER_H
#define NET_WORKER_H

#include <stddef.h>

struct loop;
struct workers;

struct workers *workers_new(struct loop *loop, unsigned threads);
/* Waits for running jobs. Jobs whose done was not called by then are dropped, memory and all that they own: to lose
 * nothing, run turns until workers_unfinished is 0. */
void workers_free(struct workers **workers);

/* `run` is called on a thread and may touch only job; `done` later on the loop, within a turn, and owns job again.
 * -1 when more than max_waiting (1,024) jobs wait: the caller answers "try again later". Takes job on success. */
int workers_submit(struct workers *workers, void (*run)(void *job), void (*done)(void *job), void *job);

/* Waits until all are done, and calls the done of each, now. */
void workers_finish(struct workers *workers);

/* Jobs taken whose done was not called yet. */
size_t workers_unfinished(const struct workers *workers);

#endif
