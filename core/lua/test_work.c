/* T.net's workers and output queues. */
#include <lauxlib.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "lua/bind.h"
#include "lua/disk_job.h"
#include "lua/test_net_private.h"
#include "net/outq.h"
#include "net/worker.h"

#define WORKERS "couplet.test.workers"
#define OUTQ "couplet.test.outq"

/* --- workers ------------------------------------------------------------------------------------------------------ */

/* Jobs wait behind this gate until a spec opens it. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool is_closed;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };

struct square {
	struct test_handle *handle;
	lua_Integer number;
	pthread_t thread;
};

static void run_square(void *job)
{
	struct square *square = job;
	pthread_mutex_lock(&gate.lock);
	while (gate.is_closed)
		pthread_cond_wait(&gate.moved, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	square->number *= square->number;
	square->thread = pthread_self();
}

/* The callback gets the square, negative when no other thread computed it. */
static void square_done(void *job)
{
	struct square *square = job;
	int number = (int)square->number;
	if (pthread_equal(square->thread, pthread_self()))
		number = -number;
	test_call_back(square->handle, NULL, SLICE_NONE, number);
	mem_free(square);
}

static int l_gate(lua_State *L)
{
	pthread_mutex_lock(&gate.lock);
	gate.is_closed = lua_toboolean(L, 1);
	pthread_cond_broadcast(&gate.moved);
	pthread_mutex_unlock(&gate.lock);
	return 0;
}

/* workers(threads, fn) */
static int l_loop_workers(lua_State *L)
{
	struct test_loop *test = l_test_check_loop(L, 1);
	unsigned threads = (unsigned)luaL_checkinteger(L, 2);
	struct test_handle *handle = l_test_new_handle(L, test, WORKERS, 3);
	handle->workers = workers_new(test->loop, threads);
	return 1;
}

static int l_workers_square(lua_State *L)
{
	struct test_handle *handle = l_test_check_handle(L, WORKERS);
	struct square *square = mem_new(sizeof(*square));
	square->handle = handle;
	square->number = luaL_checkinteger(L, 2);
	int result = workers_submit(handle->workers, run_square, square_done, square);
	if (result != 0)
		mem_free(square);
	lua_pushinteger(L, result);
	return 1;
}

static int l_workers_unfinished(lua_State *L)
{
	struct test_handle *handle = l_test_check_handle(L, WORKERS);
	lua_pushinteger(L, (lua_Integer)workers_unfinished(handle->workers));
	return 1;
}

static int l_workers_finish(lua_State *L)
{
	workers_finish(l_test_check_handle(L, WORKERS)->workers);
	return 0;
}

static int l_workers_free(lua_State *L)
{
	struct test_handle *handle = l_test_check_handle(L, WORKERS);
	workers_free(&handle->workers);
	test_let_go(handle);
	return 0;
}

/* run_disk_job(job): as native.sync's thread does, but here and now */
static int l_run_disk_job(lua_State *L)
{
	const struct disk_job *job = luaL_checkudata(L, 1, DISK_JOB_TYPE);
	job->run(job->ctx);
	return 0;
}

/* --- output queues ------------------------------------------------------------------------------------------------ */

struct test_outq {
	struct outq outq;
	struct chunk_pool pool;
};

static struct test_outq *l_check_outq(lua_State *L)
{
	return luaL_checkudata(L, 1, OUTQ);
}

static int l_outq(lua_State *L)
{
	struct test_outq *test = lua_newuserdatauv(L, sizeof(*test), 0);
	*test = (struct test_outq){ 0 };
	luaL_setmetatable(L, OUTQ);
	return 1;
}

static int l_outq_add(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	outq_add(&test->outq, &test->pool, slice_of(bytes, len));
	return 0;
}

static int l_outq_reserve(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	size_t max = (size_t)luaL_checkinteger(L, 2), len;
	const char *bytes = luaL_checklstring(L, 3, &len);
	luaL_argcheck(L, len <= max, 3, "longer than reserved");
	struct chunk *reserved;
	memcpy(outq_reserve(&test->outq, &test->pool, max, &reserved), bytes, len);
	outq_commit(&test->outq, &test->pool, reserved, len);
	return 0;
}

/* pieces(max) -> the bytes, how many pieces */
static int l_outq_pieces(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	struct iovec pieces[64];
	size_t count = outq_pieces(&test->outq, (size_t)luaL_checkinteger(L, 2), pieces, 64);
	luaL_Buffer bytes;
	luaL_buffinit(L, &bytes);
	for (size_t i = 0; i < count; i++)
		luaL_addlstring(&bytes, pieces[i].iov_base, pieces[i].iov_len);
	luaL_pushresult(&bytes);
	lua_pushinteger(L, (lua_Integer)count);
	return 2;
}

static int l_outq_front(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	size_t max = (size_t)luaL_checkinteger(L, 2);
	char *scratch = lua_newuserdatauv(L, max, 0);
	struct slice front = outq_front(&test->outq, scratch, max);
	lua_pushlstring(L, front.ptr != NULL ? front.ptr : "", front.len);
	return 1;
}

static int l_outq_consume(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	outq_consume(&test->outq, &test->pool, (size_t)luaL_checkinteger(L, 2));
	return 0;
}

static int l_outq_cut(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	outq_cut(&test->outq, &test->pool, (size_t)luaL_checkinteger(L, 2));
	return 0;
}

/* bytes queued, chunks in the pool */
static int l_outq_count(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	lua_pushinteger(L, (lua_Integer)test->outq.bytes);
	lua_pushinteger(L, (lua_Integer)test->pool.count);
	return 2;
}

static int l_outq_done(lua_State *L)
{
	struct test_outq *test = l_check_outq(L);
	outq_clear(&test->outq, &test->pool);
	chunk_pool_done(&test->pool);
	return 0;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static const luaL_Reg loop_methods[] = {
	{ "workers", l_loop_workers },
	{ NULL, NULL },
};

static const luaL_Reg workers_methods[] = {
	{ "square", l_workers_square },
	{ "unfinished", l_workers_unfinished },
	{ "finish", l_workers_finish },
	{ "free", l_workers_free },
	{ NULL, NULL },
};

static const luaL_Reg outq_methods[] = {
	{ "add", l_outq_add },
	{ "reserve", l_outq_reserve },
	{ "pieces", l_outq_pieces },
	{ "front", l_outq_front },
	{ "consume", l_outq_consume },
	{ "cut", l_outq_cut },
	{ "count", l_outq_count },
	{ NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "outq", l_outq },
	{ "gate", l_gate },
	{ "run_disk_job", l_run_disk_job },
	{ NULL, NULL },
};

void l_test_work(lua_State *L)
{
	l_new_type(L, WORKERS, workers_methods, NULL);
	l_new_type(L, OUTQ, outq_methods, l_outq_done);
	l_test_add(L, functions, loop_methods);
}
