/* File names for any bytes (see files.h). */
#include <openssl/sha.h>
#include <stdbool.h>

#include "base/hex.h"
#include "store/files.h"

static bool is_plain(char c, bool keep_underscore)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c == '_' && keep_underscore);
}

/* Encodes as much as fits into max bytes, never half an escape. *rest_r: what did not fit. */
static size_t encode(struct slice name, bool keep_underscore, char *into, size_t max, struct slice *rest_r)
{
	size_t len = 0, at = 0;
	for (; at < name.len; at++) {
		char c = name.ptr[at];
		bool plain = is_plain(c, keep_underscore);
		if (len + (plain ? 1 : 3) > max)
			break;
		if (plain) {
			into[len++] = c;
		} else {
			into[len++] = '%';
			hex_write(&c, 1, into + len);
			len += 2;
		}
	}
	into[len] = '\0';
	*rest_r = slice_from(name, at);
	return len;
}

#define HASH_BYTES 16
#define HASH_LEN (2 + 2 * HASH_BYTES)

size_t files_encode_name(struct slice name, bool keep_underscore, char into[FILES_NAME_MAX + 1])
{
	struct slice rest;
	size_t len = encode(name, keep_underscore, into, FILES_NAME_MAX, &rest);
	if (rest.len == 0)
		return len;
	/* A peer may choose the name, so the hash must be one that nobody can find two names for. */
	unsigned char hash[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)name.ptr, name.len, hash);
	len = encode(name, keep_underscore, into, FILES_NAME_MAX - HASH_LEN, &rest);
	into[len++] = '%';
	into[len++] = '~';
	hex_write(hash, HASH_BYTES, into + len);
	len += 2 * HASH_BYTES;
	into[len] = '\0';
	return len;
}

ssize_t files_decode_name(struct slice name, char *into)
{
	ssize_t len = 0;
	for (size_t at = 0; at < name.len; at++) {
		char c = name.ptr[at];
		if (c == '%') {
			if (name.len - at < 3 || hex_value(name.ptr[at + 1]) < 0 || hex_value(name.ptr[at + 2]) < 0)
				return -1;
			c = (char)(hex_value(name.ptr[at + 1]) << 4 | hex_value(name.ptr[at + 2]));
			at += 2;
		}
		into[len++] = c;
	}
	into[len] = '\0';
	return len;
}
