/* Work that would block the loop (PBKDF2, fsync), done on a worker thread while the coroutine that wants it waits. */
#ifndef LUA_JOB_H
#define LUA_JOB_H

#include <lua.h>

struct lua_core;

/* The beginning of a userdata with at least one user value, which is the job's while it is on its way. */
struct lua_job {
	struct lua_core *core;
	void (*run)(struct lua_job *job); /* on a thread: may touch only what the job has */
	int self_ref;                     /* keeps the userdata meanwhile */
};

/* Index 1 is the userdata. Calls run(job) on a worker, or now where nothing can wait; then after(L), which finds the
 * userdata at index 1 and nothing else, and whose results are those of the function that was called. When too many jobs
 * wait: nil and a sentence. Used as `return l_run_job(...)`. */
int l_run_job(lua_State *L, struct lua_job *job, void (*run)(struct lua_job *job), lua_CFunction after);

#endif
