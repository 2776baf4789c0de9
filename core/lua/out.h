/* Text that grows while Lua errors may fly. The bytes live on the C stack until they are many, then in a userdata at a
 * fixed place of the Lua stack, so nothing leaks when a function raises; unlike luaL_Buffer it leaves the top of the
 * stack free, for walks over tables. */
#ifndef LUA_OUT_H
#define LUA_OUT_H

#include <lua.h>
#include <stddef.h>

#include "base/slice.h"

struct out {
	lua_State *L;
	int index; /* of the userdata, once there is one */
	char *ptr;
	size_t len, size;
	char first[512];
};

/* Takes one place on top of the Lua stack. The struct may not move. */
void l_out_init(struct out *out, lua_State *L);
/* Room for `more` bytes at out->ptr + out->len. */
void l_out_grow(struct out *out, size_t more);
/* Pushes what was written, as a string. */
void l_out_push(struct out *out);

static inline void l_out_add(struct out *out, const char *ptr, size_t len)
{
	if (out->size - out->len < len)
		l_out_grow(out, len);
	memcpy(out->ptr + out->len, ptr, len);
	out->len += len;
}

static inline void l_out_byte(struct out *out, char byte)
{
	if (out->size == out->len)
		l_out_grow(out, 1);
	out->ptr[out->len++] = byte;
}

#define l_out_text(out, literal) l_out_add((out), "" literal, sizeof(literal) - 1)

#endif
