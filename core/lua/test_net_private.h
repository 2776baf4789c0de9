/* What the parts of T.net share: the loop of a spec, and handles that call back into it. */
#ifndef LUA_TEST_NET_PRIVATE_H
#define LUA_TEST_NET_PRIVATE_H

#include <lauxlib.h>

#include "base/list.h"
#include "base/slice.h"

struct conn;
struct listener;
struct loop;
struct timer;
struct tls_context;
struct watch;
struct workers;

struct test_loop {
	struct loop *loop; /* NULL: freed */
	struct timer *guard;
	lua_State *L;      /* of the turn in progress */
	int error_ref;     /* the first error of a callback */
	struct list listeners; /* end before the loop */
	bool is_silent;    /* being collected: nobody is called any more */
};

/* Something that calls back: its handle is anchored as long as it may, its callbacks are the handle's user value. */
struct test_handle {
	struct test_loop *test;
	int self_ref;
	struct list link; /* of a listener, in test->listeners */
	union {
		struct conn *conn;
		struct listener *listener;
		struct timer *timer;
		struct watch *watch;
		struct workers *workers;
		void *any;
	};
};

/* The argument at `index`; raises when the loop is freed. */
struct test_loop *l_test_check_loop(lua_State *L, int index);

/* The argument at 1, a handle of that type; raises when what it stood for is gone. */
struct test_handle *l_test_check_handle(lua_State *L, const char *type);

/* Pushes a new handle, anchored, with the callbacks at `callbacks`. */
struct test_handle *l_test_new_handle(lua_State *L, struct test_loop *test, const char *type, int callbacks);

/* The handle's thing is gone. */
void test_let_go(struct test_handle *handle);

/* Calls fn protected, with `arg` as its only argument. An error is kept until the turn is over. */
void test_protect(struct test_loop *test, lua_CFunction fn, void *arg);

/* Calls the handle's callback `name` (NULL: the handle has one function) with the handle and the text or, when that is
 * SLICE_NONE, the number. */
void test_call_back(struct test_handle *handle, const char *name, struct slice text, int number);

/* The TLS context at `index`; the first raises when there is none, the second gives NULL. */
struct tls_context *l_test_check_tls(lua_State *L, int index);
struct tls_context *test_tls_at(lua_State *L, int index);

/* Adds functions to T.net on top of the stack, and methods to the loop's table below it. */
void l_test_add(lua_State *L, const luaL_Reg *functions, const luaL_Reg *methods);

/* The other files' parts: each makes its types and calls l_test_add. */
void l_test_conns(lua_State *L);
void l_test_tls(lua_State *L);
void l_test_work(lua_State *L);
void l_test_http(lua_State *L);

#endif
