/* Every call from C into Lua goes through here: on a pooled coroutine (so that it may wait), with a traceback, a
 * checked stack height, a bound on nested calls, and a budget of time and memory. lua_resume and lua_pcall appear in
 * barrier.c only.
 *
 * A call that runs for more than 5 s of processor time, or makes Lua grow by more than 256 MiB, is ended: every Lua
 * instruction of it raises an error from then on, so that neither pcall nor coroutines keep it alive. One that somebody
 * waits for (a hook of a stanza) may itself wait for so long and no longer: then it is closed, and what was parked for
 * it goes on as if it had failed.
 *
 *     struct thread *thread = barrier_begin(core, "timer");
 *     push the function and its arguments on thread->L
 *     switch (barrier_run(core, thread, n_args)) ...
 *     read results from thread->L (from index 1), then barrier_end(core, thread)  -- not after BARRIER_WAITS
 * / */
#ifndef LUA_BARRIER_H
#define LUA_BARRIER_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "xmpp/server.h"

struct histogram;
struct lua_core;

struct thread {
	lua_State *L;
	int ref;                   /* anchors L in the registry */
	struct list link;          /* core.free_threads while unused, core.waiting while it waits */
	int64_t waits_since_ms;
	uint64_t held;             /* while it waits: the batch that its dispatch, or who resumes it, waits for */
	go_on_fn *go_on;           /* what was parked goes on when this ends; NULL for calls nobody waits for */
	void *go_on_ctx;
	struct histogram *times;   /* where its calls are timed; NULL: nowhere */
	const char *name;          /* what it runs; lives as long as the program */
	bool is_waiting;
	bool was_stopped;          /* died in a hook of the debug library, and runs none from then on: not used again */
	int resume_ref;            /* arguments of native.resume on their way; LUA_NOREF when none */
};

enum barrier_result { BARRIER_OK, BARRIER_WAITS, BARRIER_FAILED };

struct thread *barrier_begin(struct lua_core *core, const char *name);
enum barrier_result barrier_run(struct lua_core *core, struct thread *thread, int n_args);
void barrier_end(struct lua_core *core, struct thread *thread);

/* begin, run, end for calls without arguments of interest: the function of registry reference `ref` with the n values
 * on top of core->L as arguments (popped). */
enum barrier_result barrier_call_ref(struct lua_core *core, const char *name, int ref, int n_args);

/* Runs a C function that may raise, outside of any coroutine; for start-up. 0, or -1 with the message left on top of
 * L. */
int barrier_protect(lua_State *L, lua_CFunction fn, void *arg);

/* native.wait and native.resume. */
int l_wait(lua_State *L);
int l_resume(lua_State *L);

/* Frees what belongs to calls that still wait; they never go on. Only before the state is closed. */
void barrier_forget_waiting(struct lua_core *core);

/* Interrupts Lua code that has run for seconds without returning (an endless loop in a module). */
void barrier_start_watchdog(struct lua_core *core);

/* Lua's allocator; ud is the core. Counts, and ends the call that makes Lua grow too much. */
void *barrier_allocate(void *ud, void *old, size_t old_size, size_t size);
/* Puts functions in the place of coroutine.resume and coroutine.wrap that tell the core which coroutine runs; else no
 * endless loop in a module's own coroutine could be interrupted. */
void l_open_coroutines(lua_State *L);

#endif
