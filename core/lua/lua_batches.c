/* Batches of writes, for core.storagemanager: when they are made durable, and whose output waits for them
 * (net/hold.h). */
#include <lauxlib.h>
#include <string.h>

#include "base/mem.h"
#include "lua/barrier.h"
#include "lua/bind.h"
#include "lua/call.h"
#include "lua/core.h"
#include "lua/disk_job.h"
#include "net/hold.h"
#include "net/loop.h"
#include "net/worker.h"

enum { THREADS = 2 }; /* a sync does not wait for a checkpoint */

#define LOST "what was stored could not be made durable"

static struct loop *loop_of(lua_State *L)
{
	return lua_core_of(L)->server->loop;
}

/* ---- the end of a turn ---- */

/* Calls it; what it gives: 1 true, 0 something else that is neither nil nor false, -1 a failure. */
static int ask(struct lua_call *call)
{
	struct thread *thread = lua_begin_call(call);
	enum barrier_result result = barrier_run(call->core, thread, 0);
	int answer = -1;
	if (result == BARRIER_OK && lua_toboolean(thread->L, 1))
		answer = lua_isboolean(thread->L, 1) ? 1 : 0;
	if (result != BARRIER_WAITS)
		barrier_end(call->core, thread);
	return answer;
}

static void run_commit(void *ctx)
{
	struct lua_call *call = ctx;
	struct loop *loop = call->core->server->loop;
	if (!loop_is_gathering(loop))
		return;
	int answer = ask(call);
	if (answer < 0)
		loop_take_back_output(loop, false, LOST);
	if (answer <= 0 || !loop_is_gathering(loop) || loop_is_syncing(loop))
		return;
	loop_seal(loop);
	loop_release(loop);
}

/* native.on_commit(fn): fn() at a turn's end, before output leaves, as long as something that was written (native.hold)
 * is not durable and not being synced -> true: all that was written is durable; "later":
 * native.sync makes it so, or will; anything else, or an error: it is lost, what waits for it does not leave, and those
 * connections close. fn may not wait. */
static int l_on_commit(lua_State *L)
{
	struct lua_call *call = l_keep_call(L, 1, "commit");
	loop_on_turn_end(loop_of(L), TURN_COMMIT, run_commit, call);
	return 0;
}

/* ---- work on threads ---- */

struct task {
	struct lua_call *call; /* when it is done; its user value 2 keeps the jobs */
	bool is_batch;
	size_t n_jobs;
	struct disk_job jobs[];
};

static void run_task(void *ctx)
{
	struct task *task = ctx;
	for (size_t i = 0; i < task->n_jobs; i++)
		task->jobs[i].run(task->jobs[i].ctx);
}

static void task_done(void *ctx)
{
	struct task *task = ctx;
	struct loop *loop = task->call->core->server->loop;
	int answer = ask(task->call);
	if (task->is_batch && answer > 0)
		loop_release(loop);
	else if (task->is_batch)
		loop_take_back_output(loop, true, LOST);
	lua_forget_call(task->call);
	mem_free(task);
}

/* Index 1: list of jobs; 2: the function. */
static int l_submit(lua_State *L, bool is_batch)
{
	struct lua_core *core = lua_core_of(L);
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	size_t n_jobs = lua_rawlen(L, 1);
	for (size_t i = 1; i <= n_jobs; i++, lua_pop(L, 1)) {
		lua_rawgeti(L, 1, (lua_Integer)i);
		luaL_checkudata(L, -1, DISK_JOB_TYPE);
	}
	if (is_batch && loop_is_syncing(core->server->loop))
		return luaL_error(L, "a batch is being synced already");
	struct lua_call *call = l_keep_call(L, 2, is_batch ? "synced" : "disk work");
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 2);
	struct task *task = mem_new(sizeof(*task) + n_jobs * sizeof(struct disk_job));
	*task = (struct task){ .call = call, .is_batch = is_batch, .n_jobs = n_jobs };
	for (size_t i = 0; i < n_jobs; i++) {
		lua_rawgeti(L, 1, (lua_Integer)i + 1);
		task->jobs[i] = *(struct disk_job *)lua_touserdata(L, -1);
		lua_pop(L, 1);
	}
	if (core->disk == NULL)
		core->disk = workers_new(core->server->loop, THREADS);
	if (is_batch)
		loop_seal(core->server->loop);
	if (workers_submit(core->disk, run_task, task_done, task) != 0) { /* a thousand wait: never by our own drivers */
		run_task(task);
		task_done(task);
	}
	return 0;
}

/* native.sync({ job, ... }, fn): the batch that gathers is complete; the jobs of its drivers are run on a thread, one
 * after the other, then fn() -> true: it is durable, and what waits for it leaves; anything else: it is lost, and so is
 * what has gathered since. */
static int l_sync(lua_State *L)
{
	return l_submit(L, true);
}

/* native.background({ job, ... }, fn): the same for work that no output waits for. */
static int l_background(lua_State *L)
{
	return l_submit(L, false);
}

/* native.finish_disk_work(): waits until all of these are done, and their functions were called. */
static int l_finish(lua_State *L)
{
	struct lua_core *core = lua_core_of(L);
	if (core->disk != NULL)
		workers_finish(core->disk);
	return 0;
}

/* ---- output that waits ---- */

/* native.hold() -> number of the batch: the running dispatch has written to a store. */
static int l_hold(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)output_hold(loop_of(L)));
	return 1;
}

/* native.hold_for([batch]): the running dispatch knows or passes on what is durable with that batch; without a number,
 * with all there are. */
static int l_hold_for(lua_State *L)
{
	struct loop *loop = loop_of(L);
	lua_Integer batch = luaL_optinteger(L, 1, (lua_Integer)loop_newest_batch(loop));
	output_hold_for(loop, batch > 0 ? (uint64_t)batch : 0);
	return 0;
}

/* native.newest_batch() -> number of the youngest batch that is not durable, or nil when all is. */
static int l_newest_batch(lua_State *L)
{
	uint64_t newest = loop_newest_batch(loop_of(L));
	if (newest == 0)
		lua_pushnil(L);
	else
		lua_pushinteger(L, (lua_Integer)newest);
	return 1;
}

/* native.is_over(batch) -> boolean: it is durable, or lost. */
static int l_is_over(lua_State *L)
{
	lua_pushboolean(L, loop_is_over(loop_of(L), (uint64_t)luaL_checkinteger(L, 1)));
	return 1;
}

/* ---- tables ---- */

void l_add_batches(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "on_commit", l_on_commit },
		{ "sync", l_sync },
		{ "background", l_background },
		{ "finish_disk_work", l_finish },
		{ "hold", l_hold },
		{ "hold_for", l_hold_for },
		{ "newest_batch", l_newest_batch },
		{ "is_over", l_is_over },
		{ NULL, NULL },
	};
	luaL_setfuncs(L, functions, 0);
}
