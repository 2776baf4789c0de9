/* Work for the disk that a storage driver has native.sync or native.background do on a thread of its own (see
 * lua_batches.c): the beginning of a userdata. Whatever it works on is kept by its user value. All of it is inline,
 * since an optional shared object links no other file of this room. */
#ifndef LUA_DISK_JOB_H
#define LUA_DISK_JOB_H

#include <lauxlib.h>

#define DISK_JOB_TYPE "couplet.disk_job"

struct disk_job {
	void (*run)(void *ctx); /* on a thread: may touch only what nobody else touches until it is over */
	void *ctx;
};

/* A job for the value at `owner` (counted from the bottom, or an upvalue's), on top of the stack. */
static inline void l_push_disk_job(lua_State *L, int owner, void (*run)(void *ctx), void *ctx)
{
	struct disk_job *job = lua_newuserdatauv(L, sizeof(*job), 1);
	*job = (struct disk_job){ run, ctx };
	luaL_newmetatable(L, DISK_JOB_TYPE);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, owner);
	lua_setiuservalue(L, -2, 1);
}

#endif
