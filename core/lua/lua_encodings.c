/* util.encodings: base64, stringprep, IDNA, UTF-8 and look-alikes. */
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/utf8.h"
#include "lua/bind.h"
#include "lua/libs.h"
#include "xmpp/confusable.h"
#include "xmpp/jid.h"

#define PREPARED_MAX 4096

/* ---- base64: RFC 4648 section 4 ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* base64.encode(bytes) -> text with padding, in one line */
static int l_base64_encode(lua_State *L)
{
	luaL_Buffer text;
	struct slice in = l_check_slice(L, 1);
	const unsigned char *b = (const unsigned char *)in.ptr;
	size_t size = (in.len + 2) / 3 * 4, i = 0;
	char *at = luaL_buffinitsize(L, &text, size);

	for (; in.len - i >= 3; i += 3) {
		uint32_t three = (uint32_t)b[i] << 16 | (uint32_t)b[i + 1] << 8 | b[i + 2];
		*at++ = digits[three >> 18];
		*at++ = digits[three >> 12 & 63];
		*at++ = digits[three >> 6 & 63];
		*at++ = digits[three & 63];
	}
	if (i < in.len) {
		bool has_two = in.len - i == 2;
		uint32_t rest = (uint32_t)b[i] << 16 | (has_two ? (uint32_t)b[i + 1] << 8 : 0);
		*at++ = digits[rest >> 18];
		*at++ = digits[rest >> 12 & 63];
		*at++ = has_two ? digits[rest >> 6 & 63] : '=';
		*at++ = '=';
	}
	luaL_pushresultsize(&text, size);
	return 1;
}

enum { DIGIT_NONE = 64, DIGIT_SPACE = 65, DIGIT_PAD = 66 };

static unsigned digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0' + 52);
	switch (c) {
	case '+':
		return 62;
	case '/':
		return 63;
	case '=':
		return DIGIT_PAD;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return DIGIT_SPACE;
	default:
		return DIGIT_NONE;
	}
}

/* Decodes to `into` (3 bytes for each 4 of text). The length, or SIZE_MAX: a foreign character, missing or superfluous
 * padding, bits set where padding says there are none (RFC 4648 3.5: one spelling per value). */
static size_t base64_decode(struct slice in, bool is_strict, char *into)
{
	uint32_t four = 0;
	unsigned n = 0, pads = 0;
	size_t len = 0;

	for (size_t i = 0; i < in.len; i++) {
		unsigned value = digit_value(in.ptr[i]);
		if (value == DIGIT_SPACE && !is_strict)
			continue;
		if (value == DIGIT_PAD && n >= 2 && n + pads < 4) {
			pads++;
			continue;
		}
		if (value >= 64 || pads > 0)
			return SIZE_MAX;
		four = four << 6 | value;
		if (++n == 4) {
			into[len++] = (char)(four >> 16);
			into[len++] = (char)(four >> 8);
			into[len++] = (char)four;
			n = 0;
			four = 0;
		}
	}
	if (n == 0)
		return pads == 0 ? len : SIZE_MAX;
	if (n + pads != 4 || (n == 2 ? four & 15 : four & 3) != 0)
		return SIZE_MAX;
	four <<= n == 2 ? 12 : 6;
	into[len++] = (char)(four >> 16);
	if (n == 3)
		into[len++] = (char)(four >> 8);
	return len;
}

/* base64.decode(text [, strict]) -> bytes | nil. Line breaks and spaces, as in vCards and PEM, are skipped unless
 * strict; nothing else is. */
static int l_base64_decode(lua_State *L)
{
	luaL_Buffer bytes;
	struct slice in = l_check_slice(L, 1);
	bool is_strict = lua_toboolean(L, 2);
	size_t len = base64_decode(in, is_strict, luaL_buffinitsize(L, &bytes, in.len / 4 * 3 + 3));

	if (len == SIZE_MAX)
		lua_pushnil(L);
	else
		luaL_pushresultsize(&bytes, len);
	return 1;
}

static const luaL_Reg base64_functions[] = {
	{ "encode", l_base64_encode },
	{ "decode", l_base64_decode },
	{ NULL, NULL },
};

/* ---- stringprep: RFC 3454 and its profiles ---- */

/* f(text [, strict]) -> text in normal form | nil. Strict refuses unassigned code points. Empty stays empty. */
static int l_stringprep(lua_State *L, enum jid_profile profile)
{
	char prepared[PREPARED_MAX];
	struct slice in = l_check_slice(L, 1);
	bool is_strict = lua_toboolean(L, 2);

	if (in.len == 0) {
		lua_settop(L, 1);
		return 1;
	}
	int len;
	if (profile == JID_SASLPREP && !is_strict)
		len = jid_saslprep(in, prepared, sizeof(prepared));
	else
		len = jid_stringprep(profile, in, is_strict, prepared, sizeof(prepared));
	if (len < 0)
		lua_pushnil(L);
	else
		lua_pushlstring(L, prepared, (size_t)len);
	if (profile == JID_SASLPREP)
		explicit_bzero(prepared, sizeof(prepared));
	return 1;
}

static int l_nameprep(lua_State *L)
{
	return l_stringprep(L, JID_NAMEPREP);
}

static int l_nodeprep(lua_State *L)
{
	return l_stringprep(L, JID_NODEPREP);
}

static int l_resourceprep(lua_State *L)
{
	return l_stringprep(L, JID_RESOURCEPREP);
}

static int l_saslprep(lua_State *L)
{
	return l_stringprep(L, JID_SASLPREP);
}

static const luaL_Reg stringprep_functions[] = {
	{ "nameprep", l_nameprep },
	{ "nodeprep", l_nodeprep },
	{ "resourceprep", l_resourceprep },
	{ "saslprep", l_saslprep },
	{ NULL, NULL },
};

/* ---- idna: RFC 3490, see jid_host_to_ascii ---- */

static int l_convert_host(lua_State *L, int (*convert)(struct slice host, char *into, size_t size))
{
	char name[JID_PART_MAX + 1];
	int len = convert(l_check_slice(L, 1), name, sizeof(name));

	if (len < 0)
		lua_pushnil(L);
	else
		lua_pushlstring(L, name, (size_t)len);
	return 1;
}

/* idna.to_ascii(host) -> host with A-labels | nil; a trailing dot is removed */
static int l_to_ascii(lua_State *L)
{
	return l_convert_host(L, jid_host_to_ascii);
}

/* idna.to_unicode(host) -> host with U-labels | nil */
static int l_to_unicode(lua_State *L)
{
	return l_convert_host(L, jid_host_to_unicode);
}

static const luaL_Reg idna_functions[] = {
	{ "to_ascii", l_to_ascii },
	{ "to_unicode", l_to_unicode },
	{ NULL, NULL },
};

/* ---- utf8, confusable ---- */

/* utf8.valid(text) -> boolean */
static int l_utf8_valid(lua_State *L)
{
	lua_pushboolean(L, utf8_is_valid(l_check_slice(L, 1)));
	return 1;
}

/* utf8.length(text) -> characters | nil, "invalid utf8" */
static int l_utf8_length(lua_State *L)
{
	struct slice text = l_check_slice(L, 1);
	lua_Integer n = 0;

	if (!utf8_is_valid(text)) {
		lua_pushnil(L);
		lua_pushliteral(L, "invalid utf8");
		return 2;
	}
	for (size_t i = 0; i < text.len; i++)
		if (((unsigned char)text.ptr[i] & 0xc0) != 0x80)
			n++;
	lua_pushinteger(L, n);
	return 1;
}

/* confusable.skeleton(text) -> text that is the same for names that look alike | nil */
static int l_skeleton(lua_State *L)
{
	char skeleton[4 * CONFUSABLE_TEXT_MAX * 2];
	int len = confusable_skeleton(l_check_slice(L, 1), skeleton, sizeof(skeleton));

	if (len < 0)
		lua_pushnil(L);
	else
		lua_pushlstring(L, skeleton, (size_t)len);
	return 1;
}

static const luaL_Reg utf8_functions[] = {
	{ "valid", l_utf8_valid },
	{ "length", l_utf8_length },
	{ NULL, NULL },
};

static const luaL_Reg confusable_functions[] = {
	{ "skeleton", l_skeleton },
	{ NULL, NULL },
};

int l_open_encodings(lua_State *L)
{
	lua_createtable(L, 0, 5);
	luaL_newlib(L, base64_functions);
	lua_setfield(L, -2, "base64");
	luaL_newlib(L, stringprep_functions);
	lua_setfield(L, -2, "stringprep");
	luaL_newlib(L, idna_functions);
	lua_setfield(L, -2, "idna");
	luaL_newlib(L, utf8_functions);
	lua_setfield(L, -2, "utf8");
	luaL_newlib(L, confusable_functions);
	lua_setfield(L, -2, "confusable");
	return 1;
}
