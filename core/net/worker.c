/* Always true: `lock` guards the two lists, the counts and is_ending; a job is in one list or on one thread. */
#include "net/worker.h"

#include <assert.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/loop_private.h"

enum { MAX_WAITING = 1024, STACK_BYTES = 256 * 1024 };

struct task {
	struct list link;
	void (*run)(void *job);
	void (*done)(void *job);
	void *job;
};

struct workers {
	struct loop *loop;
	struct ev_async finished_some;
	pthread_mutex_t lock;
	pthread_cond_t has_work, has_finished;
	struct list waiting, finished;
	unsigned n_waiting, n_unfinished; /* unfinished: done was not called yet */
	bool is_ending;
	unsigned n_threads;
	pthread_t threads[];
};

static void *work(void *ctx)
{
	struct workers *workers = ctx;
	pthread_mutex_lock(&workers->lock);
	for (;;) {
		while (list_is_empty(&workers->waiting) && !workers->is_ending)
			pthread_cond_wait(&workers->has_work, &workers->lock);
		if (workers->is_ending)
			break;
		struct task *task = list_first(&workers->waiting, struct task, link);
		list_remove(&task->link);
		workers->n_waiting--;
		pthread_mutex_unlock(&workers->lock);
		task->run(task->job);
		pthread_mutex_lock(&workers->lock);
		list_add_last(&workers->finished, &task->link);
		ev_async_send(workers->loop->ev, &workers->finished_some);
		pthread_cond_signal(&workers->has_finished); /* only the loop's thread ever waits for it */
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

static void call_done(struct workers *workers)
{
	struct list finished;
	list_init(&finished);
	pthread_mutex_lock(&workers->lock);
	list_append(&finished, &workers->finished);
	pthread_mutex_unlock(&workers->lock);
	while (!list_is_empty(&finished)) {
		struct task *task = list_first(&finished, struct task, link);
		list_remove(&task->link);
		workers->n_unfinished--;
		loop_dispatch_late(workers->loop);
		task->done(task->job);
		mem_free(task);
	}
}

static void some_finished(struct ev_loop *ev, struct ev_async *async, int events)
{
	(void)ev;
	(void)events;
	call_done(list_entry(async, struct workers, finished_some));
}

struct workers *workers_new(struct loop *loop, unsigned threads)
{
	struct workers *workers = mem_new(sizeof(*workers) + threads * sizeof(pthread_t));
	workers->loop = loop;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->has_work, NULL);
	pthread_cond_init(&workers->has_finished, NULL);
	list_init(&workers->waiting);
	list_init(&workers->finished);
	ev_async_init(&workers->finished_some, some_finished);
	ev_async_start(loop->ev, &workers->finished_some);

	/* Signals are for the loop's thread. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (; workers->n_threads < threads; workers->n_threads++) {
		int failed = pthread_create(&workers->threads[workers->n_threads], &attributes, work, workers);
		if (failed)
			break;
	}
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert(workers->n_threads > 0 && "the system gives us no thread");
	return workers;
}

void workers_free(struct workers **where)
{
	struct workers *workers = *where;
	if (workers == NULL)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->is_ending = true;
	pthread_cond_broadcast(&workers->has_work);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->n_threads; i++)
		pthread_join(workers->threads[i], NULL);
	ev_async_stop(workers->loop->ev, &workers->finished_some);
	list_append(&workers->finished, &workers->waiting);
	while (!list_is_empty(&workers->finished)) {
		struct task *task = list_first(&workers->finished, struct task, link);
		list_remove(&task->link);
		mem_free(task);
	}
	pthread_cond_destroy(&workers->has_work);
	pthread_cond_destroy(&workers->has_finished);
	pthread_mutex_destroy(&workers->lock);
	mem_free(workers);
	*where = NULL;
}

int workers_submit(struct workers *workers, void (*run)(void *job), void (*done)(void *job), void *job)
{
	int result = -1;
	pthread_mutex_lock(&workers->lock);
	if (workers->n_waiting < MAX_WAITING) {
		struct task *task = mem_new(sizeof(*task));
		*task = (struct task){ .run = run, .done = done, .job = job };
		list_add_last(&workers->waiting, &task->link);
		workers->n_waiting++;
		workers->n_unfinished++;
		pthread_cond_signal(&workers->has_work);
		result = 0;
	}
	pthread_mutex_unlock(&workers->lock);
	return result;
}

void workers_finish(struct workers *workers)
{
	while (workers->n_unfinished > 0) {
		pthread_mutex_lock(&workers->lock);
		while (list_is_empty(&workers->finished))
			pthread_cond_wait(&workers->has_finished, &workers->lock);
		pthread_mutex_unlock(&workers->lock);
		call_done(workers);
	}
}

size_t workers_unfinished(const struct workers *workers)
{
	return workers->n_unfinished; /* only the loop's thread changes it */
}
