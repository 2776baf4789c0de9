#include "lua/times.h"

#include <string.h>

#include "base/mem.h"

void times_switch(struct times *times, bool on)
{
	if (times->calls.max == 0)
		hash_init(&times->calls, CALL_NAMES_MAX);
	times->is_on = on;
}

/* "iq-result/bare/ID" is hooked under an id that is used once. */
static struct slice lasting_part(const char *name)
{
	struct slice whole = slice_of_str(name);
	if (strncmp(name, "iq-result/", 10) == 0 || strncmp(name, "iq-error/", 9) == 0)
		return slice_of(name, (size_t)(strchr(name, '/') - name));
	return whole;
}

static struct call_times *add(struct times *times, struct slice name)
{
	struct call_times *call = mem_new(sizeof(*call) + name.len + 1);
	char *text = (char *)(call + 1);
	memcpy(text, name.ptr, name.len);
	call->name = text;
	if (hash_set(&times->calls, slice_of(text, name.len), call) == 0)
		return call;
	mem_free(call);
	return NULL;
}

struct histogram *times_of(struct times *times, const char *name)
{
	if (!times->is_on)
		return NULL;
	struct slice key = lasting_part(name);
	if (key.len > 0) {
		struct call_times *call = hash_get(&times->calls, key);
		if (call != NULL)
			return &call->histogram;
	}
	if (times->calls.count + 1 >= CALL_NAMES_MAX || key.len == 0) /* the last place is for all the others */
		key = SLICE("other");
	struct call_times *call = hash_get(&times->calls, key);
	if (call == NULL)
		call = add(times, key);
	return call != NULL ? &call->histogram : NULL;
}

const struct call_times *times_next(const struct times *times, uint32_t *at)
{
	return hash_next(&times->calls, at);
}

void times_done(struct times *times)
{
	uint32_t at = 0;
	struct call_times *call;
	while ((call = hash_next(&times->calls, &at)) != NULL) {
		hash_remove(&times->calls, slice_of_str(call->name));
		mem_free(call);
	}
	hash_done(&times->calls);
}
