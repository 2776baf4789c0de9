/* Handles: what a stanza is to Lua. See lua_stanza_private.h for the picture.
 * Memory: a root is one userdata with room for the block; when the block outgrows it, it moves into a userdata of
 * its own that the root keeps. The other way, C memory with a finalizer per stanza, was measured: a stanza pushed
 * and dropped costs 0.22 us this way and 1.1 us that way, and the garbage peaks at 150 KiB instead of 165 MiB,
 * since the collector's pace follows the bytes it sees. */
#include "lua/lua_stanza.h"

#include <string.h>

#include "lua/bind.h"
#include "lua/lua_stanza_private.h"
#include "xml/write.h"

enum {
	NEW_BLOCK = 512 /* bytes of a stanza that Lua begins to build */
};

const char stanza_metatable_key, stanza_converted_key;
static const char pins_key, owners_key; /* of the registry too */

/* ---- the registry ---- */

/* The metatable, its methods among its fields so that modules find (and can add) them there. */
static void make_tables(lua_State *L)
{
	lua_newtable(L); /* stanzas that C owns for this turn: struct stanza * -> root */
	lua_rawsetp(L, LUA_REGISTRYINDEX, &pins_key);
	lua_newtable(L); /* Lua's, but C has looked at them: struct root * -> root, weak */
	lua_newtable(L);
	lua_pushliteral(L, "v");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &owners_key);

	lua_newtable(L);
	lua_pushliteral(L, "stanza");
	lua_setfield(L, -2, "__name");
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &stanza_metatable_key);
	luaL_setfuncs(L, l_stanza_methods, 0);
	luaL_setfuncs(L, l_stanza_finders, 0);
	luaL_setfuncs(L, l_stanza_shows, 0);
	luaL_setfuncs(L, l_stanza_metamethods, 0);
	lua_pop(L, 1);
}

void l_push_stanza_metatable(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &stanza_metatable_key) != LUA_TTABLE) {
		lua_pop(L, 1);
		make_tables(L);
		lua_rawgetp(L, LUA_REGISTRYINDEX, &stanza_metatable_key);
	}
}

static bool has_metatable(lua_State *L, int arg)
{
	if (!lua_getmetatable(L, arg))
		return false;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &stanza_metatable_key);
	bool equal = lua_rawequal(L, -1, -2) == 1;
	lua_pop(L, 2);
	return equal;
}

/* ---- memory ---- */

static void push_owner(lua_State *L, int arg, const struct handle *h)
{
	if (&h->owner->handle == h)
		lua_pushvalue(L, arg);
	else
		lua_getiuservalue(L, arg, UV_OWNER);
}

/* Pushes the root itself, found by what the registry knows. */
static void push_registered(lua_State *L, struct root *root)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, root->pinned ? &pins_key : &owners_key);
	lua_rawgetp(L, -1, root->pinned ? (void *)root->stanza : (void *)root);
	lua_remove(L, -2);
}

/* A block that grows moves into a userdata which the root keeps. A change from C comes without a Lua stack: the
 * registry finds the root, and the main thread's stack serves. */
static void *l_grow_block(void *ctx, void *old, size_t old_size, size_t size)
{
	struct root *root = ctx;
	lua_State *L = root->L;
	luaL_checkstack(L, 4, NULL);
	if (root->registered)
		push_registered(L, root);
	else
		lua_pushvalue(L, root->index);
	void *block = lua_newuserdatauv(L, size, 0);
	memcpy(block, old, old_size);
	lua_setiuservalue(L, -2, UV_BLOCK);
	lua_pop(L, 1);
	return block;
}

/* Blocks are the collector's. C has freed a stanza that Lua can see, or taken it back: its handles are dead. */
static void leave_block(void *ctx, void *block)
{
	(void)block;
	((struct root *)ctx)->stanza = NULL;
}

static struct stanza_memory memory_of(struct root *root)
{
	return (struct stanza_memory){ .resize = l_grow_block, .free = leave_block, .ctx = root };
}

static void *struct_place(struct root *root)
{
	return root + 1;
}

static void *block_place(struct root *root)
{
	return (char *)(root + 1) + stanza_struct_size();
}

/* A root userdata without stanza, with so much room for a block. */
static struct root *l_push_empty_root(lua_State *L, size_t room)
{
	struct root *root = lua_newuserdatauv(L, sizeof(*root) + stanza_struct_size() + room, UV_ROOT_COUNT);
	*root = (struct root){ .handle.owner = root };
	l_push_stanza_metatable(L);
	lua_setmetatable(L, -2);
	return root;
}

static void set_top(struct root *root)
{
	root->handle.el = root->handle.cursor = stanza_root(root->stanza);
}

struct handle *l_new_root(lua_State *L, struct slice name, struct slice ns)
{
	/* A longer name than fits grows the block, which needs to know where its root is. */
	struct root *root = l_push_empty_root(L, NEW_BLOCK);
	root->L = L;
	root->index = lua_gettop(L);
	struct stanza_memory memory = memory_of(root);
	root->stanza = stanza_new_in(struct_place(root), &memory, block_place(root), NEW_BLOCK, name, ns);
	set_top(root);
	return &root->handle;
}

/* A root whose block is the stanza's, moved; the struct stays where it is. */
static struct root *l_push_moved(lua_State *L, struct stanza *stanza)
{
	size_t used = stanza_used(stanza), room = (used + used / 4 + 7) & ~(size_t)7;
	struct root *root = l_push_empty_root(L, room);
	struct stanza_memory memory = memory_of(root);
	stanza_move_into(stanza, &memory, block_place(root), room);
	root->stanza = stanza;
	set_top(root);
	return root;
}

void l_push_stanza(lua_State *L, struct stanza **stanza)
{
	struct root *root = l_push_moved(L, *stanza);
	root->stanza = stanza_settle(stanza, struct_place(root));
}

static lua_State *main_thread(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	lua_State *main = lua_tothread(L, -1);
	lua_pop(L, 1);
	return main;
}

void l_push_stanza_pinned(lua_State *L, struct stanza *stanza)
{
	luaL_checkstack(L, 4, NULL);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &pins_key) != LUA_TTABLE) {
		lua_pop(L, 1);
		make_tables(L);
		lua_rawgetp(L, LUA_REGISTRYINDEX, &pins_key);
	}
	lua_rawgetp(L, -1, stanza);
	struct root *root = lua_touserdata(L, -1);
	if (root == NULL || root->stanza != stanza) {
		lua_pop(L, 1);
		root = l_push_moved(L, stanza);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, -3, stanza);
		root->pinned = root->registered = true;
		root->L = main_thread(L);
	}
	lua_remove(L, -2);
}

void l_stanza_unpin(lua_State *L, struct stanza *stanza, bool lua_keeps)
{
	luaL_checkstack(L, 4, NULL);
	struct root *root = NULL;
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &pins_key) == LUA_TTABLE) {
		lua_rawgetp(L, -1, stanza);
		root = lua_touserdata(L, -1);
		lua_pushnil(L);
		lua_rawsetp(L, -3, stanza);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	if (root == NULL || root->stanza != stanza) {
		if (lua_keeps)
			stanza_free(&stanza);
		return;
	}
	root->pinned = root->registered = false;
	if (lua_keeps) {
		root->stanza = stanza_settle(&stanza, struct_place(root));
	} else {
		stanza_move(stanza, NULL);
	}
}

void l_open_change(lua_State *L, int arg, struct handle *h)
{
	push_owner(L, arg, h);
	if (h->owner->registered)
		return;
	h->owner->L = L;
	h->owner->index = lua_gettop(L);
}

void l_check_room(lua_State *L, const struct handle *h, size_t more)
{
	/* Growth doubles, and what is added may need some more than its own bytes. */
	if (more > STANZA_BYTES_MAX / 4 || stanza_used(stanza_of(h)) > STANZA_BYTES_MAX / 4 - more)
		luaL_error(L, "stanza too big");
}

/* ---- check ---- */

/* The table at arg becomes a mere way to its handle: emptied, so that every access comes by the metatable. */
static void l_convert_table(lua_State *L, int arg)
{
	luaL_checkstack(L, 8, NULL);
	if (lua_rawgetp(L, arg, &stanza_converted_key) == LUA_TNIL) {
		lua_pop(L, 1);
		l_push_deserialized(L, arg);
		lua_pushnil(L);
		while (lua_next(L, arg) != 0) {
			lua_pop(L, 1);
			lua_pushvalue(L, -1);
			lua_pushnil(L);
			lua_rawset(L, arg); /* clearing a field while walking is allowed */
		}
		lua_pushvalue(L, -1);
		lua_rawsetp(L, arg, &stanza_converted_key);
	}
	lua_replace(L, arg);
}

struct handle *l_test_handle(lua_State *L, int arg)
{
	int type = lua_type(L, arg);
	if ((type != LUA_TUSERDATA && type != LUA_TTABLE) || !has_metatable(L, arg))
		return NULL;
	if (type == LUA_TTABLE)
		l_convert_table(L, lua_absindex(L, arg));
	struct handle *h = lua_touserdata(L, arg);
	if (h->owner->stanza == NULL)
		luaL_error(L, "the stanza is gone: it was only lent for the time of an event");
	return h;
}

struct handle *l_check_handle(lua_State *L, int arg)
{
	struct handle *h = l_test_handle(L, arg);
	if (h == NULL)
		luaL_typeerror(L, arg, "stanza");
	return h;
}

static struct stanza *l_lend_to_c(lua_State *L, int arg, struct handle *h, struct el *el_r)
{
	struct root *root = h->owner;
	if (!root->registered) {
		lua_rawgetp(L, LUA_REGISTRYINDEX, &owners_key);
		push_owner(L, lua_absindex(L, arg), h);
		lua_rawsetp(L, -2, root);
		lua_pop(L, 1);
		root->registered = true;
		root->L = main_thread(L);
	}
	*el_r = h->el;
	return root->stanza;
}

struct stanza *l_test_stanza(lua_State *L, int arg, struct el *el_r)
{
	struct handle *h = l_test_handle(L, arg);
	return h != NULL ? l_lend_to_c(L, arg, h, el_r) : NULL;
}

struct stanza *l_check_stanza(lua_State *L, int arg, struct el *el_r)
{
	return l_lend_to_c(L, arg, l_check_handle(L, arg), el_r);
}

/* ---- children ---- */

/* Pushes the root's table of handles; root_index is the root's own userdata. */
static void push_children(lua_State *L, int root_index)
{
	if (lua_getiuservalue(L, root_index, UV_CHILDREN) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, root_index, UV_CHILDREN);
}

void l_push_node(lua_State *L, int arg, struct handle *h, struct el node)
{
	struct root *root = h->owner;
	luaL_checkstack(L, 6, NULL);
	if (el_is_none(node)) {
		lua_pushnil(L);
		return;
	}
	if (el_is_text(root->stanza, node)) {
		struct slice text = el_text_of(root->stanza, node);
		lua_pushlstring(L, text.ptr, text.len);
		return;
	}
	push_owner(L, arg, h);
	if (root->handle.owner == root && el_equal(node, root->handle.el))
		return;
	int root_index = lua_gettop(L);
	push_children(L, root_index);
	if (lua_rawgeti(L, -1, node.at) == LUA_TNIL) {
		lua_pop(L, 1);
		struct handle *child = lua_newuserdatauv(L, sizeof(*child), UV_CHILD_COUNT);
		*child = (struct handle){ .owner = root, .el = node, .cursor = node };
		l_push_stanza_metatable(L);
		lua_setmetatable(L, -2);
		lua_pushvalue(L, root_index);
		lua_setiuservalue(L, -2, UV_OWNER);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, node.at);
	}
	lua_replace(L, root_index);
	lua_settop(L, root_index);
}

/* Counting goes on from where the last look-up ended while the shape has not changed, so a loop over numbers is
 * linear. */
static struct el nth(struct handle *h, struct place *place, lua_Integer number, bool tags)
{
	const struct stanza *st = stanza_of(h);
	if (number < 1 || number > UINT32_MAX)
		return EL_NONE;
	if (el_is_none(place->el) || place->changes != stanza_changes(st) || place->number > number) {
		place->el = tags ? el_first(st, h->el) : el_first_node(st, h->el);
		place->number = 1;
		place->changes = stanza_changes(st);
	}
	while (!el_is_none(place->el) && place->number < number) {
		struct el next = tags ? el_next(st, place->el) : el_next_node(st, place->el);
		if (el_is_none(next))
			return EL_NONE;
		place->el = next;
		place->number++;
	}
	return place->el;
}

struct el nth_node(struct handle *h, lua_Integer number)
{
	return nth(h, &h->node, number, false);
}

struct el nth_tag(struct handle *h, lua_Integer number)
{
	return nth(h, &h->tag, number, true);
}

/* ---- adding one stanza to another ---- */

/* The handle on top of the stack now names an element of the root at root_index. */
static void l_adopt_handle(lua_State *L, int root_index, struct handle *moved, struct root *root, struct el el)
{
	moved->owner = root;
	moved->el = el;
	moved->node.el = moved->tag.el = EL_NONE;
	lua_pushvalue(L, root_index);
	lua_setiuservalue(L, -2, UV_OWNER);
	push_children(L, root_index);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, el.at);
	lua_pop(L, 1);
}

static struct el step(const struct stanza *st, struct el at, struct el top)
{
	struct el next = el_is_text(st, at) ? EL_NONE : el_first_node(st, at);
	while (el_is_none(next) && !el_equal(at, top)) {
		next = el_next_node(st, at);
		if (el_is_none(next))
			at = el_parent(st, at);
	}
	return next;
}

/* The root handle at `from` has been copied to `copy` in root's stanza: it and all handles it gave out move along.
 * Both trees have the same shape, so one walk finds every new place. Handles of removed elements stay behind with
 * the old block. */
static void l_move_handles(lua_State *L, int root_index, struct root *root, struct el copy, int from)
{
	struct root *moved = lua_touserdata(L, from);
	const struct stanza *old_st = moved->stanza, *st = root->stanza;
	struct el old_top = moved->handle.el, cursor = copy;
	luaL_checkstack(L, 8, NULL);
	bool has_children = lua_getiuservalue(L, from, UV_CHILDREN) == LUA_TTABLE;
	int children = lua_gettop(L);
	if (has_children || !el_equal(moved->handle.cursor, old_top)) {
		for (struct el old = old_top, new = copy; !el_is_none(old);
			old = step(old_st, old, old_top), new = step(st, new, copy)) {
			if (el_equal(old, moved->handle.cursor))
				cursor = new;
			if (!has_children || el_equal(old, old_top))
				continue;
			if (lua_rawgeti(L, children, old.at) == LUA_TUSERDATA) {
				struct handle *child = lua_touserdata(L, -1);
				child->cursor = new;
				l_adopt_handle(L, root_index, child, root, new);
			}
			lua_pop(L, 1);
		}
	}
	lua_settop(L, children - 1);
	lua_pushnil(L);
	lua_setiuservalue(L, from, UV_CHILDREN);
	lua_pushvalue(L, from);
	moved->handle.cursor = cursor;
	l_adopt_handle(L, root_index, &moved->handle, root, copy);
	lua_pop(L, 1);
}

/* Only roots that Lua has made itself move: C may hold on to others for this turn. */
static bool moves_along(const struct handle *h, const struct handle *from)
{
	return &from->owner->handle == from && !from->owner->registered && from->owner != h->owner;
}

typedef struct el put_fn(struct stanza *st, struct el at, const struct stanza *from, struct el what);

static void l_put_stanza(lua_State *L, int arg, struct handle *h, struct el at, int from, put_fn *put)
{
	int top = lua_gettop(L);
	struct handle *other = l_check_handle(L, from);
	l_check_room(L, h, stanza_used(stanza_of(other)));
	bool moves = moves_along(h, other);
	l_open_change(L, arg, h);
	struct el copy = put(stanza_of(h), at, stanza_of(other), other->el);
	if (moves)
		l_move_handles(L, top + 1, h->owner, copy, from);
	lua_settop(L, top);
}

void l_add_stanza(lua_State *L, int arg, struct handle *h, struct el parent, int from)
{
	l_put_stanza(L, arg, h, parent, from, el_add_copy);
}

void l_replace_with_stanza(lua_State *L, int arg, struct handle *h, struct el node, int from)
{
	l_put_stanza(L, arg, h, node, from, el_replace);
}
