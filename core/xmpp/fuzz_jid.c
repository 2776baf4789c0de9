/* Any bytes as a JID and as each part: nothing breaks, the normal form is stable, and both ways to it agree. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "xmpp/jid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int prep_fn(struct slice in, char *into);

/* Prepares; what comes out is valid, short enough, and comes out again unchanged. */
static int prep_twice(prep_fn *prep, struct slice in)
{
	char once[JID_PART_MAX + 1], twice[JID_PART_MAX + 1];
	int len = prep(in, once);

	assert(len >= -1 && len != 0 && len <= JID_PART_MAX);
	if (len < 0)
		return len;
	struct slice made = slice_of(once, (size_t)len);
	assert(once[len] == '\0' && strlen(once) == made.len && utf8_is_valid(made));
	assert(prep(made, twice) == len && memcmp(once, twice, made.len) == 0);
	return len;
}

static void check_jid(struct slice text)
{
	char scratch[JID_MAX], scratch_again[JID_MAX], written[JID_MAX + 1], part[JID_PART_MAX + 1];
	struct jid jid, again, raw;

	bool is_split = jid_split(text, &raw);
	if (!jid_parse(text, scratch, &jid)) {
		if (is_split) /* then some part must be to blame */
			assert((raw.node.len > 0 && jid_prep_node(raw.node, part) < 0) ||
			       jid_prep_host(raw.host, part) < 0 ||
			       (raw.resource.len > 0 && jid_prep_resource(raw.resource, part) < 0));
		return;
	}
	assert(is_split && jid.host.len > 0);
	assert((raw.node.len > 0) == (jid.node.len > 0) && (raw.resource.len > 0) == (jid.resource.len > 0));
	assert(jid.node.len <= JID_PART_MAX && jid.host.len <= JID_PART_MAX && jid.resource.len <= JID_PART_MAX);

	/* The fast path and the slow one give the same. */
	assert(jid_prep_host(raw.host, part) == (int)jid.host.len && memcmp(part, jid.host.ptr, jid.host.len) == 0);
	if (raw.node.len > 0)
		assert(jid_prep_node(raw.node, part) == (int)jid.node.len &&
		       memcmp(part, jid.node.ptr, jid.node.len) == 0);

	struct slice text_again = slice_of(written, jid_write(&jid, written));
	assert(jid_parse(text_again, scratch_again, &again) && jid_equal(&jid, &again));
}

static void check_escapes(struct slice text)
{
	char *escaped = mem_new(3 * text.len + 1), *back = mem_new(3 * text.len + 1);
	size_t len = jid_escape(text, escaped);

	assert(len >= text.len && len <= 3 * text.len && escaped[len] == '\0');
	struct slice unescaped = slice_of(back, jid_unescape(slice_of(escaped, len), back));
	assert(slice_equal(unescaped, text));
	mem_free(escaped);
	mem_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of((const char *)data, size);
	char name[1024], name_again[1024], password[4096];

	prep_twice(jid_prep_node, text);
	prep_twice(jid_prep_host, text);
	prep_twice(jid_prep_resource, text);
	check_jid(text);
	check_escapes(text);
	jid_saslprep(text, password, sizeof(password));

	int len = jid_host_to_ascii(text, name, sizeof(name));
	if (len >= 0) { /* the A-labels are the same host */
		char host[JID_PART_MAX + 1], from_ascii[JID_PART_MAX + 1];
		struct slice ascii = slice_of(name, (size_t)len);
		int host_len = jid_prep_host(text, host);
		assert(host_len > 0 && jid_prep_host(ascii, from_ascii) == host_len);
		assert(memcmp(host, from_ascii, (size_t)host_len) == 0);
		assert(jid_host_to_ascii(ascii, name_again, sizeof(name_again)) == len);
		assert(strcmp(name, name_again) == 0);
	}
	return 0;
}
