/* Work that would block the loop (PBKDF2, fsync) on a few threads. Jobs of one queue key run in order. */
#ifndef NET_WORKER_H
#define NET_WORKER_H

#include <stddef.h>

struct loop;
struct workers;

struct workers *workers_new(struct loop *loop, unsigned threads);
/* Waits for running jobs; jobs not yet started are dropped (done is called with the loop gone: never). */
void workers_free(struct workers **workers);

/* `run` is called on a thread and may touch only job; `done` later on the loop, within a turn, and owns job again.
 * -1 when more than max_waiting (1,024) jobs wait: the caller answers "try again later". Takes job on success. */
int workers_submit(struct workers *workers, void (*run)(void *job), void (*done)(void *job), void *job);

#endif
