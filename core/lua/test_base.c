/* T's part for core/base: buffers, tables, lists, text and the log. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"
#include "lua/bind.h"
#include "lua/test.h"

#define BUF "couplet.test.buf"
#define HASH "couplet.test.hash"
#define LIST "couplet.test.list"

static void l_push_slice(lua_State *L, struct slice text)
{
	lua_pushlstring(L, text.ptr != NULL ? text.ptr : "", text.len);
}

/* --- buf ---------------------------------------------------------------------------------------------------------- */

static struct buf *l_check_buf(lua_State *L)
{
	return luaL_checkudata(L, 1, BUF);
}

/* buf(max) */
static int l_buf(lua_State *L)
{
	size_t max = (size_t)luaL_checkinteger(L, 1);
	struct buf *buf = lua_newuserdatauv(L, sizeof(*buf), 0);
	buf_init(buf, max);
	luaL_setmetatable(L, BUF);
	return 1;
}

static int l_buf_add(lua_State *L)
{
	lua_pushinteger(L, buf_add(l_check_buf(L), l_check_slice(L, 2)));
	return 1;
}

static int l_buf_add_byte(lua_State *L)
{
	lua_pushinteger(L, buf_add_byte(l_check_buf(L), l_check_slice(L, 2).ptr[0]));
	return 1;
}

/* addf(text, number): formatted as "text=number" */
static int l_buf_addf(lua_State *L)
{
	struct buf *buf = l_check_buf(L);
	lua_pushinteger(L, buf_addf(buf, "%s=%lld", luaL_checkstring(L, 2), luaL_checkinteger(L, 3)));
	return 1;
}

static int l_buf_reserve(lua_State *L)
{
	lua_pushinteger(L, buf_reserve(l_check_buf(L), (size_t)luaL_checkinteger(L, 2)));
	return 1;
}

static int l_buf_consume(lua_State *L)
{
	buf_consume(l_check_buf(L), (size_t)luaL_checkinteger(L, 2));
	return 0;
}

static int l_buf_text(lua_State *L)
{
	l_push_slice(L, buf_slice(l_check_buf(L)));
	return 1;
}

static int l_buf_size(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)l_check_buf(L)->size);
	return 1;
}

static int l_buf_done(lua_State *L)
{
	buf_done(l_check_buf(L));
	return 0;
}

/* --- hash: from strings to strings -------------------------------------------------------------------------------- */

struct entry {
	char *key, *value;
};

static void entry_free(struct entry *entry)
{
	mem_free(entry->key);
	mem_free(entry->value);
	mem_free(entry);
}

static struct hash *l_check_hash(lua_State *L)
{
	return luaL_checkudata(L, 1, HASH);
}

static int l_hash(lua_State *L)
{
	uint32_t max = (uint32_t)luaL_checkinteger(L, 1);
	struct hash *hash = lua_newuserdatauv(L, sizeof(*hash), 0);
	hash_init(hash, max);
	luaL_setmetatable(L, HASH);
	return 1;
}

static int l_hash_set(lua_State *L)
{
	struct hash *hash = l_check_hash(L);
	struct slice key = l_check_slice(L, 2), value = l_check_slice(L, 3);
	struct entry *entry = mem_new(sizeof(*entry));
	entry->key = mem_copy(key);
	entry->value = mem_copy(value);
	struct entry *old = hash_get(hash, key);
	int result = hash_set(hash, slice_of(entry->key, key.len), entry);
	if (result != 0)
		entry_free(entry);
	else if (old != NULL)
		entry_free(old);
	lua_pushinteger(L, result);
	return 1;
}

static int l_hash_get(lua_State *L)
{
	struct entry *entry = hash_get(l_check_hash(L), l_check_slice(L, 2));
	lua_pushstring(L, entry != NULL ? entry->value : NULL);
	return 1;
}

static int l_hash_remove(lua_State *L)
{
	struct entry *entry = hash_remove(l_check_hash(L), l_check_slice(L, 2));
	lua_pushstring(L, entry != NULL ? entry->value : NULL);
	if (entry != NULL)
		entry_free(entry);
	return 1;
}

/* walk(prefix) removes during the walk what starts with prefix; gives the keys met, in the table's order */
static int l_hash_walk(lua_State *L)
{
	struct hash *hash = l_check_hash(L);
	struct slice prefix = slice_of_str(luaL_optstring(L, 2, NULL));
	lua_newtable(L);
	uint32_t at = 0;
	lua_Integer n = 0;
	struct entry *entry;
	while ((entry = hash_next(hash, &at)) != NULL) {
		lua_pushstring(L, entry->key);
		lua_rawseti(L, -2, ++n);
		if (prefix.len > 0 && slice_starts_with(slice_of_str(entry->key), prefix)) {
			hash_remove(hash, slice_of_str(entry->key));
			entry_free(entry);
		}
	}
	return 1;
}

/* entries, slots */
static int l_hash_count(lua_State *L)
{
	const struct hash *hash = l_check_hash(L);
	lua_pushinteger(L, hash->count);
	lua_pushinteger(L, hash->capacity);
	return 2;
}

static int l_hash_done(lua_State *L)
{
	struct hash *hash = l_check_hash(L);
	uint32_t at = 0;
	struct entry *entry;
	while ((entry = hash_next(hash, &at)) != NULL)
		entry_free(entry);
	hash_done(hash);
	return 0;
}

/* siphash(key of 16 bytes, text) -> 8 bytes, both in the order of the published vectors */
static int l_siphash(lua_State *L)
{
	struct slice key = l_check_slice(L, 1), text = l_check_slice(L, 2);
	uint64_t words[2] = { 0, 0 };
	luaL_argcheck(L, key.len == 16, 1, "16 bytes");
	for (size_t i = 0; i < 16; i++)
		words[i / 8] |= (uint64_t)(unsigned char)key.ptr[i] << 8 * (i % 8);
	uint64_t hash = hash_keyed(words, text);
	char bytes[8];
	for (size_t i = 0; i < 8; i++)
		bytes[i] = (char)(hash >> 8 * i);
	lua_pushlstring(L, bytes, sizeof(bytes));
	return 1;
}

static int l_hash_bytes(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)hash_bytes(l_check_slice(L, 1)));
	return 1;
}

/* --- list: of numbers --------------------------------------------------------------------------------------------- */

enum { LIST_ITEMS = 16 };

struct numbers {
	struct list head;
	struct number {
		struct list link;
	} items[LIST_ITEMS];
};

static struct numbers *l_check_list(lua_State *L, int index)
{
	return luaL_checkudata(L, index, LIST);
}

static struct number *l_check_number(lua_State *L)
{
	lua_Integer which = luaL_checkinteger(L, 2);
	luaL_argcheck(L, which >= 1 && which <= LIST_ITEMS, 2, "1 to 16");
	return &l_check_list(L, 1)->items[which - 1];
}

static int l_list(lua_State *L)
{
	struct numbers *numbers = lua_newuserdatauv(L, sizeof(*numbers), 0);
	list_init(&numbers->head);
	for (int i = 0; i < LIST_ITEMS; i++)
		list_init(&numbers->items[i].link);
	luaL_setmetatable(L, LIST);
	return 1;
}

static int l_list_add(lua_State *L)
{
	list_add_last(&l_check_list(L, 1)->head, &l_check_number(L)->link);
	return 0;
}

static int l_list_remove(lua_State *L)
{
	list_remove(&l_check_number(L)->link);
	return 0;
}

static int l_list_is_linked(lua_State *L)
{
	lua_pushboolean(L, list_is_linked(&l_check_number(L)->link));
	return 1;
}

/* text(drop_odd): the numbers in order; removes the odd ones on the way when asked to */
static int l_list_text(lua_State *L)
{
	struct numbers *numbers = l_check_list(L, 1);
	bool drop_odd = lua_toboolean(L, 2);
	struct number *number, *after;
	luaL_Buffer text;
	luaL_buffinit(L, &text);
	list_each(number, after, &numbers->head, link) {
		long which = number - numbers->items + 1;
		lua_pushfstring(L, "%d ", (int)which);
		luaL_addvalue(&text);
		if (drop_odd && which % 2 == 1)
			list_remove(&number->link);
	}
	luaL_pushresult(&text);
	return 1;
}

/* append_half(): moves all to a second list and back in two steps; order stays */
static int l_list_append(lua_State *L)
{
	struct numbers *numbers = l_check_list(L, 1);
	struct list other, empty;
	list_init(&other);
	list_init(&empty);
	list_append(&other, &numbers->head);
	lua_pushboolean(L, list_is_empty(&numbers->head));
	list_append(&other, &empty);
	list_append(&numbers->head, &other);
	return 1;
}

/* --- text, error, random, memory, clock --------------------------------------------------------------------------- */

/* hex(bytes) -> digits */
static int l_hex(lua_State *L)
{
	struct slice bytes = l_check_slice(L, 1);
	luaL_Buffer digits;
	hex_write(bytes.ptr, bytes.len, luaL_buffinitsize(L, &digits, 2 * bytes.len));
	luaL_pushresultsize(&digits, 2 * bytes.len);
	return 1;
}

/* hex_value(character) -> 0 to 15, or -1 */
static int l_hex_value(lua_State *L)
{
	lua_pushinteger(L, hex_value(*l_check_slice(L, 1).ptr));
	return 1;
}

/* utf8_next(text that begins with a character) -> code point, rest */
static int l_utf8_next(lua_State *L)
{
	struct slice text = l_check_slice(L, 1);
	lua_pushinteger(L, utf8_next(&text));
	lua_pushlstring(L, text.ptr, text.len);
	return 2;
}

/* utf8_encode(code point) -> character */
static int l_utf8_encode(lua_State *L)
{
	char bytes[UTF8_ENCODED_MAX];
	lua_pushlstring(L, bytes, utf8_encode((uint32_t)luaL_checkinteger(L, 1), bytes));
	return 1;
}

static int l_utf8_is_valid(lua_State *L)
{
	lua_pushboolean(L, utf8_is_valid(l_check_slice(L, 1)));
	return 1;
}

/* error(text, context...) */
static int l_error(lua_State *L)
{
	struct error error;
	error_set(&error, "%s", luaL_checkstring(L, 1));
	for (int i = 2; i <= lua_gettop(L); i++)
		error_prefix(&error, "%s", luaL_checkstring(L, i));
	lua_pushstring(L, error.text);
	return 1;
}

static int l_random_id(lua_State *L)
{
	char id[RANDOM_ID_SIZE];
	random_id(id);
	lua_pushstring(L, id);
	return 1;
}

static int l_random_bytes(lua_State *L)
{
	size_t len = (size_t)luaL_checkinteger(L, 1);
	luaL_Buffer bytes;
	random_bytes(luaL_buffinitsize(L, &bytes, len), len);
	luaL_pushresultsize(&bytes, len);
	return 1;
}

static int l_mem_in_use(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)mem_in_use());
	return 1;
}

static int l_clock_ms(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)clock_ms());
	return 1;
}

static int l_clock_wall(lua_State *L)
{
	lua_pushnumber(L, clock_wall());
	return 1;
}

/* --- log ---------------------------------------------------------------------------------------------------------- */

/* What captures collect: "level name text" lines, the newest sink's first. */
static struct buf captured = { .max = 1 << 20 };

static void capture(void *ctx, enum log_level level, const char *name, const char *text)
{
	(void)ctx;
	buf_addf(&captured, "%d %s %s\n", level, name, text);
}

static void capture_and_log(void *ctx, enum log_level level, const char *name, const char *text)
{
	capture(ctx, level, name, text);
	log_write(level, "sink", "I was told of %s", text);
}

/* log_capture(levels, logs_itself) -> id */
static int l_log_capture(lua_State *L)
{
	unsigned levels = (unsigned)luaL_checkinteger(L, 1);
	lua_pushinteger(L, log_sink_add(levels, lua_toboolean(L, 2) ? capture_and_log : capture, NULL));
	return 1;
}

/* log_captured(): what came since the last call */
static int l_log_captured(lua_State *L)
{
	l_push_slice(L, buf_slice(&captured));
	buf_done(&captured);
	return 1;
}

static int l_log_to_file(lua_State *L)
{
	struct error error;
	int id = log_to_file((unsigned)luaL_checkinteger(L, 1), luaL_checkstring(L, 2), lua_toboolean(L, 3), &error);
	if (id >= 0) {
		lua_pushinteger(L, id);
		return 1;
	}
	return l_failed(L, &error);
}

static int l_log_to_console(lua_State *L)
{
	lua_pushinteger(L, log_to_console((unsigned)luaL_checkinteger(L, 1), lua_toboolean(L, 2)));
	return 1;
}

static int l_log_remove(lua_State *L)
{
	log_sink_remove((int)luaL_checkinteger(L, 1));
	return 0;
}

static int l_log_reopen(lua_State *L)
{
	(void)L;
	log_reopen();
	return 0;
}

static int l_log_wants(lua_State *L)
{
	lua_pushboolean(L, log_wants((enum log_level)luaL_checkinteger(L, 1)));
	return 1;
}

/* log_text(level, name, text), log_write the same through the formatter */
static int l_log_text(lua_State *L)
{
	log_text((enum log_level)luaL_checkinteger(L, 1), luaL_checkstring(L, 2), l_check_slice(L, 3));
	return 0;
}

static int l_log_write(lua_State *L)
{
	enum log_level level = (enum log_level)luaL_checkinteger(L, 1);
	log_write(level, luaL_checkstring(L, 2), "%s", luaL_checkstring(L, 3));
	return 0;
}

/* --- histogram ---------------------------------------------------------------------------------------------------- */

/* histogram { nanoseconds, ... } -> counts of the buckets, sum in ns */
static int l_histogram(lua_State *L)
{
	struct histogram histogram = { { 0 }, 0 };
	lua_Integer n = luaL_len(L, 1);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, 1, i);
		histogram_add(&histogram, luaL_checkinteger(L, -1));
		lua_pop(L, 1);
	}
	lua_newtable(L);
	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		lua_pushinteger(L, (lua_Integer)histogram.counts[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushinteger(L, (lua_Integer)histogram.sum_ns);
	return 2;
}

/* histogram_bound(i) -> ns; i from 1 */
static int l_histogram_bound(lua_State *L)
{
	lua_pushinteger(L, histogram_bound_ns((unsigned)luaL_checkinteger(L, 1) - 1));
	return 1;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static const luaL_Reg buf_methods[] = {
	{ "add", l_buf_add },	    { "add_byte", l_buf_add_byte }, { "addf", l_buf_addf }, { "reserve", l_buf_reserve },
	{ "consume", l_buf_consume }, { "text", l_buf_text },	    { "size", l_buf_size }, { "done", l_buf_done },
	{ NULL, NULL },
};

static const luaL_Reg hash_methods[] = {
	{ "set", l_hash_set },	 { "get", l_hash_get },	    { "remove", l_hash_remove }, { "walk", l_hash_walk },
	{ "count", l_hash_count }, { NULL, NULL },
};

static const luaL_Reg list_methods[] = {
	{ "add", l_list_add },	 { "remove", l_list_remove }, { "is_linked", l_list_is_linked },
	{ "text", l_list_text }, { "append", l_list_append }, { NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "buf", l_buf },
	{ "hash", l_hash },
	{ "siphash", l_siphash },
	{ "hash_bytes", l_hash_bytes },
	{ "histogram", l_histogram },
	{ "histogram_bound", l_histogram_bound },
	{ "list", l_list },
	{ "hex", l_hex },
	{ "hex_value", l_hex_value },
	{ "utf8_encode", l_utf8_encode },
	{ "utf8_next", l_utf8_next },
	{ "utf8_is_valid", l_utf8_is_valid },
	{ "error", l_error },
	{ "random_id", l_random_id },
	{ "random_bytes", l_random_bytes },
	{ "mem_in_use", l_mem_in_use },
	{ "clock_ms", l_clock_ms },
	{ "clock_wall", l_clock_wall },
	{ "log_capture", l_log_capture },
	{ "log_captured", l_log_captured },
	{ "log_to_file", l_log_to_file },
	{ "log_to_console", l_log_to_console },
	{ "log_remove", l_log_remove },
	{ "log_reopen", l_log_reopen },
	{ "log_wants", l_log_wants },
	{ "log_text", l_log_text },
	{ "log_write", l_log_write },
	{ NULL, NULL },
};

void l_test_base(lua_State *L)
{
	l_new_type(L, BUF, buf_methods, l_buf_done);
	l_new_type(L, HASH, hash_methods, l_hash_done);
	l_new_type(L, LIST, list_methods, NULL);
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	lua_setfield(L, -2, "base");
}
