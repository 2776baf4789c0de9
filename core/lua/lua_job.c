/* Jobs (see job.h), and the one that belongs to no library: native.pbkdf2. */
#include "lua/job.h"

#include <lauxlib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "lua/barrier.h"
#include "lua/bind.h"
#include "lua/core.h"
#include "net/hold.h"
#include "net/worker.h"

#define DERIVATION_TYPE "couplet.derivation"

enum { THREADS = 2 };

/* ---- jobs ---- */

static void run_job(void *ctx)
{
	struct lua_job *job = ctx;
	job->run(job);
}

/* The coroutine that waits goes on. */
static void job_done(void *ctx)
{
	struct lua_job *job = ctx;
	lua_State *L = job->core->L;
	int ref = job->self_ref;
	job->self_ref = LUA_NOREF;
	loop_dispatch(job->core->server->loop, NULL); /* the result is nobody else's */
	lua_pushcfunction(L, l_resume);
	lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
	lua_getiuservalue(L, -1, 1);
	lua_remove(L, -2);
	lua_call(L, 1, 0); /* cannot raise: its argument is a coroutine */
	luaL_unref(L, LUA_REGISTRYINDEX, ref);
}

static int after_waiting(lua_State *L, int status, lua_KContext after)
{
	(void)status;
	lua_settop(L, 1);
	return ((lua_CFunction)after)(L);
}

int l_run_job(lua_State *L, struct lua_job *job, void (*run)(struct lua_job *job), lua_CFunction after)
{
	struct lua_core *core = lua_core_of(L);
	lua_settop(L, 1);
	job->core = core;
	job->run = run;
	if (!lua_isyieldable(L) || core->innermost != L) {
		run(job);
		return after(L);
	}
	if (core->workers == NULL)
		core->workers = workers_new(core->server->loop, THREADS);
	lua_pushthread(L);
	lua_setiuservalue(L, 1, 1);
	lua_pushvalue(L, 1);
	job->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	if (workers_submit(core->workers, run_job, job_done, job) == 0)
		return lua_yieldk(L, 0, (lua_KContext)after, after_waiting);
	luaL_unref(L, LUA_REGISTRYINDEX, job->self_ref);
	job->self_ref = LUA_NOREF;
	lua_pushnil(L);
	lua_pushliteral(L, "too much work is waiting; try again later");
	return 2;
}

/* ---- PBKDF2 ---- */

struct derivation {
	struct lua_job job;
	const EVP_MD *hash;
	int iterations, ok;
	size_t password_len, salt_len, key_len;
	unsigned char key[EVP_MAX_MD_SIZE];
	char bytes[]; /* password, then salt */
};

static void derive(struct lua_job *job)
{
	struct derivation *derivation = (struct derivation *)job;
	derivation->ok = PKCS5_PBKDF2_HMAC(derivation->bytes, (int)derivation->password_len,
					   (const unsigned char *)derivation->bytes + derivation->password_len,
					   (int)derivation->salt_len, derivation->iterations, derivation->hash,
					   (int)derivation->key_len, derivation->key);
}

static int l_wipe(lua_State *L)
{
	struct derivation *derivation = lua_touserdata(L, 1);
	OPENSSL_cleanse(derivation->bytes, derivation->password_len);
	OPENSSL_cleanse(derivation->key, sizeof(derivation->key));
	return 0;
}

static int l_derived(lua_State *L)
{
	const struct derivation *derivation = lua_touserdata(L, 1);
	lua_pushlstring(L, (const char *)derivation->key, derivation->ok == 1 ? derivation->key_len : 0);
	(void)l_wipe(L);
	return 1;
}

/* native.pbkdf2(hash, password, salt, iterations) -> key | nil, error. Waits on a worker where it may. */
static int l_pbkdf2(lua_State *L)
{
	static const char *const names[] = { "sha1", "sha256", "sha512", NULL };
	int which = luaL_checkoption(L, 1, NULL, names);
	size_t password_len, salt_len;
	const char *password = luaL_checklstring(L, 2, &password_len);
	const char *salt = luaL_checklstring(L, 3, &salt_len);
	lua_Integer iterations = luaL_checkinteger(L, 4);
	luaL_argcheck(L, iterations >= 1 && iterations <= 10 * 1000 * 1000, 4, "iterations out of range");
	struct derivation *derivation = lua_newuserdatauv(L, sizeof(*derivation) + password_len + salt_len, 1);
	*derivation = (struct derivation){ .job.self_ref = LUA_NOREF };
	derivation->hash = which == 0 ? EVP_sha1() : which == 1 ? EVP_sha256() : EVP_sha512();
	derivation->key_len = (size_t)EVP_MD_get_size(derivation->hash);
	derivation->iterations = (int)iterations;
	derivation->password_len = password_len;
	derivation->salt_len = salt_len;
	memcpy(derivation->bytes, password, password_len);
	memcpy(derivation->bytes + password_len, salt, salt_len);
	luaL_setmetatable(L, DERIVATION_TYPE);
	lua_replace(L, 1);
	return l_run_job(L, &derivation->job, derive, l_derived);
}

/* ---- tables ---- */

void l_add_jobs(lua_State *L)
{
	l_new_type(L, DERIVATION_TYPE, NULL, l_wipe);
	lua_pushcfunction(L, l_pbkdf2);
	lua_setfield(L, -2, "pbkdf2");
}
