/* The inside of util.stanza, shared by the lua_stanza*.c files.
 * A root handle owns a stanza: its userdata holds the struct and, as long as it fits, the block. A child handle
 * names an element by offset and keeps its root alive. The root remembers every handle it gave out, so reading the
 * same child twice gives the same handle, with the fields a module has set on it.
 * When a root is added to another stanza, its elements are copied there and the handle, with those of its
 * children, moves along: what is done through it is seen where it was added, as with Prosody's tables. */
#ifndef LUA_LUA_STANZA_PRIVATE_H
#define LUA_LUA_STANZA_PRIVATE_H

#include <lauxlib.h>
#include <lua.h>

#include "lua/lua_stanza.h"

/* User values of a handle. */
enum {
	UV_OWNER = 1,    /* the root, of a child or of a root that was added to another stanza */
	UV_FIELDS = 2,   /* what modules have set on it, or nil */
	UV_ATTR = 3,     /* the view that is .attr, once asked for */
	UV_TAGS = 4,     /* .tags */
	UV_CHILDREN = 5, /* root only: offset -> handle */
	UV_BLOCK = 6,    /* root only: the block, once it has outgrown the root's own userdata */
	UV_CHILD_COUNT = 4,
	UV_ROOT_COUNT = 6
};

/* Where the last look-up by number has ended. */
struct place {
	uint32_t changes, number;
	struct el el;
};

struct handle {
	struct root *owner;
	struct el el;
	struct el cursor; /* where :tag() and :text() add */
	struct place node, tag;
};

struct root {
	struct handle handle;
	struct stanza *stanza; /* NULL: dead */
	bool pinned;           /* C owns the struct */
	bool registered;       /* C may change it: the registry knows this root */
	lua_State *L;          /* where the current change comes from, and where on its stack the root is */
	int index;
};

/* ---- lua_stanza.c: handles ---- */

/* The handle at arg; raises when it is no stanza or a dead one. A plain table is replaced by what it is converted
 * to. */
struct handle *l_check_handle(lua_State *L, int arg);
struct handle *l_test_handle(lua_State *L, int arg);
static inline struct stanza *stanza_of(const struct handle *h) { return h->owner->stanza; }

/* Pushes a new root <name xmlns=ns>, which must be valid. */
struct handle *l_new_root(lua_State *L, struct slice name, struct slice ns);
/* Call before every change of the handle at arg: lets its block grow. Leaves one value on the stack. */
void l_open_change(lua_State *L, int arg, struct handle *h);
/* Raises when so much more would make the stanza too big. */
void l_check_room(lua_State *L, const struct handle *h, size_t more);

/* The number-th node or child element (from 1), EL_NONE when there are less. */
struct el nth_node(struct handle *h, lua_Integer number);
struct el nth_tag(struct handle *h, lua_Integer number);
/* Pushes a node of the handle's stanza: a string or a handle; nil for EL_NONE. */
void l_push_node(lua_State *L, int arg, struct handle *h, struct el node);
/* Adds a copy of the stanza at index `from` below `parent`, an element of the handle at arg; a root moves along. */
void l_add_stanza(lua_State *L, int arg, struct handle *h, struct el parent, int from);
/* Puts it in the place of a node. */
void l_replace_with_stanza(lua_State *L, int arg, struct handle *h, struct el node, int from);
void l_push_stanza_metatable(lua_State *L);

/* Keys: of the registry, where the metatable is; of the field that leads from a converted table to its handle. */
extern const char stanza_metatable_key, stanza_converted_key;

/* ---- lua_stanza_attr.c: checks, and the views .attr and .tags ---- */

/* Raise an error that shows the value. */
void l_check_text(lua_State *L, struct slice text, const char *what);
void l_check_name(lua_State *L, struct slice name, const char *what);
void l_check_ns(lua_State *L, struct slice ns);
/* A string argument that must be text; text may be NULL where optional. */
struct slice l_check_text_arg(lua_State *L, int arg, const char *what);

enum { ATTRS_MAX = 64 };
/* What a table of attributes says, checked and in order of name. Borrows from the table. */
struct new_attrs {
	struct slice ns; /* its xmlns; ptr NULL when absent */
	size_t count;
	struct {
		struct slice name, value;
	} items[ATTRS_MAX];
};
/* The argument may be nil, a table or an .attr (which is replaced by a table). */
void l_read_attrs(lua_State *L, int arg, struct new_attrs *attrs_r);
/* Adds an element as the arguments say. */
struct el l_add_element(lua_State *L, int arg, struct handle *h, struct el parent, struct slice name,
	const struct new_attrs *attrs);
/* Writes them onto a new element. */
void set_attrs(struct stanza *st, struct el el, const struct new_attrs *attrs);

void l_push_attr_view(lua_State *L, int arg, struct handle *h);
void l_push_tags_view(lua_State *L, int arg, struct handle *h);
/* stanza.attr = value, stanza.tags = value: value is at index. */
void l_replace_attrs(lua_State *L, int arg, struct handle *h, int index);
void l_replace_tags(lua_State *L, int arg, struct handle *h, int index);
/* Pushes a table with the attributes as Prosody has them, xmlns among them. */
void l_push_attr_table(lua_State *L, const struct stanza *st, struct el el);
/* xmlns as Prosody's .attr has it: absent for what is inherited or the stream's own. */
struct slice visible_ns(const struct stanza *st, struct el el);

/* ---- the rest ---- */

extern const luaL_Reg l_stanza_metamethods[]; /* lua_stanza_meta.c */
/* Pushes it as XML. */
void l_push_serialized(lua_State *L, const struct handle *h);
extern const luaL_Reg l_stanza_methods[]; /* lua_stanza_methods.c: build and change */
extern const luaL_Reg l_stanza_finders[]; /* lua_stanza_find.c: look into it */
extern const luaL_Reg l_stanza_shows[];   /* lua_stanza_show.c: text for people */
/* Adds <error/> (RFC 6120 8.3) at the cursor of the handle at arg and leaves the cursor in it. From type_arg on: a
 * type or an error object, then condition, text and by. */
void l_add_error(lua_State *L, int arg, struct handle *h, int type_arg);
void l_add_text(lua_State *L, int arg, struct handle *h, struct el parent, struct slice text);

/* lua_stanza_tables.c: to and from plain tables. */
void l_push_preserialized(lua_State *L, const struct stanza *st, struct el el);
/* Pushes the stanza made of the table at index. */
void l_push_deserialized(lua_State *L, int index);

#endif
