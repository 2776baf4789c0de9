/* util.hashes: digests, MACs, key derivation and the arithmetic of SCRAM, by OpenSSL. What comes out is bytes, or lower
 * case hex where the last argument says so. */
#include <lauxlib.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/opensslv.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hex.h"
#include "lua/bind.h"
#include "lua/libs.h"
#include "xmpp/scram.h"

static void l_push_bytes(lua_State *L, const unsigned char *bytes, size_t len, bool as_hex)
{
	char hex[2 * EVP_MAX_MD_SIZE];

	if (!as_hex) {
		lua_pushlstring(L, (const char *)bytes, len);
		return;
	}
	hex_write(bytes, len, hex);
	lua_pushlstring(L, hex, 2 * len);
}

/* The algorithm a function was made for, by OpenSSL's name: its first upvalue. */
static const EVP_MD *l_digest(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

/* sha256(data [, hex]) and its sisters */
static int l_hash(lua_State *L)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct slice data = l_check_slice(L, 1);

	if (EVP_Digest(data.ptr, data.len, hash, &len, l_digest(L), NULL) != 1)
		return luaL_error(L, "this digest is disabled in the OpenSSL of this system");
	l_push_bytes(L, hash, len, lua_toboolean(L, 2));
	return 1;
}

/* hmac_sha256(key, data [, hex]) and its sisters: RFC 2104 */
static int l_hmac(lua_State *L)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct slice key = l_check_slice(L, 1), data = l_check_slice(L, 2);

	luaL_argcheck(L, key.len <= INT32_MAX, 1, "key too long");
	if (HMAC(l_digest(L), key.ptr, (int)key.len, (const unsigned char *)data.ptr, data.len, mac, &len) == NULL)
		return luaL_error(L, "this digest is disabled in the OpenSSL of this system");
	l_push_bytes(L, mac, len, lua_toboolean(L, 3));
	OPENSSL_cleanse(mac, sizeof(mac));
	return 1;
}

static int l_check_iterations(lua_State *L, int arg)
{
	lua_Integer iterations = luaL_checkinteger(L, arg);
	luaL_argcheck(L, iterations >= 1 && iterations <= SCRAM_ITERATIONS_MAX, arg, "between 1 and 10000000 expected");
	return (int)iterations;
}

/* pbkdf2_hmac_sha1(password, salt, iterations), pbkdf2_hmac_sha256: RFC 8018 5.2, a key as long as the hash. Blocks:
 * a module that serves people uses native.pbkdf2. */
static int l_pbkdf2(lua_State *L)
{
	unsigned char key[EVP_MAX_MD_SIZE];
	struct slice password = l_check_slice(L, 1), salt = l_check_slice(L, 2);
	int iterations = l_check_iterations(L, 3), len = EVP_MD_get_size(l_digest(L));

	luaL_argcheck(L, password.len <= INT32_MAX, 1, "password too long");
	luaL_argcheck(L, salt.len <= INT32_MAX, 2, "salt too long");
	if (PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, (const unsigned char *)salt.ptr, (int)salt.len,
		iterations, l_digest(L), len, key) != 1)
		return luaL_error(L, "OpenSSL cannot derive a key");
	l_push_bytes(L, key, (size_t)len, false);
	OPENSSL_cleanse(key, sizeof(key));
	return 1;
}

static int l_free_kdf(lua_State *L)
{
	EVP_KDF_CTX **context = lua_touserdata(L, 1);
	EVP_KDF_CTX_free(*context);
	*context = NULL;
	return 0;
}

/* hkdf_hmac_sha256(length, key [, salt [, info]]), hkdf_hmac_sha384: RFC 5869 */
static int l_hkdf(lua_State *L)
{
	luaL_Buffer out;
	lua_Integer len = luaL_checkinteger(L, 1);
	struct slice key = l_check_slice(L, 2), salt = SLICE(""), info = SLICE("");
	OSSL_PARAM params[5], *param = params;

	luaL_argcheck(L, len >= 1 && len <= 255 * EVP_MD_get_size(l_digest(L)), 1, "between 1 byte and 255 hashes");
	salt.ptr = luaL_optlstring(L, 3, "", &salt.len);
	info.ptr = luaL_optlstring(L, 4, "", &info.len);

	EVP_KDF_CTX **context = lua_newuserdatauv(L, sizeof(*context), 0);
	*context = NULL;
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, l_free_kdf);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	unsigned char *bytes = (unsigned char *)luaL_buffinitsize(L, &out, (size_t)len);

	/* OpenSSL takes pointers without const, and only reads. */
	char *digest = (char *)(uintptr_t)EVP_MD_get0_name(l_digest(L));
	*param++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	*param++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.ptr, key.len);
	*param++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.ptr, salt.len);
	*param++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info.ptr, info.len);
	*param = OSSL_PARAM_construct_end();
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	if (kdf != NULL)
		*context = EVP_KDF_CTX_new(kdf);
	EVP_KDF_free(kdf);
	if (*context == NULL || EVP_KDF_derive(*context, bytes, (size_t)len, params) != 1)
		return luaL_error(L, "OpenSSL cannot derive a key");
	EVP_KDF_CTX_free(*context);
	*context = NULL;
	luaL_pushresultsize(&out, (size_t)len);
	return 1;
}

/* equals(a, b): in a time that depends on the lengths only */
static int l_equals(lua_State *L)
{
	struct slice a = l_check_slice(L, 1), b = l_check_slice(L, 2);
	lua_pushboolean(L, a.len == b.len && CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
	return 1;
}

/* ---- SCRAM: hash is "SHA-1" or "SHA-256"; keys, proofs and signatures are bytes ---- */

static enum scram_hash l_check_scram_hash(lua_State *L, int arg)
{
	enum scram_hash hash = SCRAM_SHA_1;
	luaL_argcheck(L, scram_hash_by_name(l_check_slice(L, arg), &hash), arg, "\"SHA-1\" or \"SHA-256\" expected");
	return hash;
}

/* scram_keys(hash, password, salt, iterations) -> stored_key, server_key */
static int l_scram_keys(lua_State *L)
{
	struct scram_keys keys;
	enum scram_hash hash = l_check_scram_hash(L, 1);
	struct slice password = l_check_slice(L, 2), salt = l_check_slice(L, 3);

	if (scram_keys_for(hash, password, salt, l_check_iterations(L, 4), &keys) < 0)
		return luaL_error(L, "OpenSSL cannot derive a key");
	lua_pushlstring(L, (const char *)keys.stored, scram_key_size(hash));
	lua_pushlstring(L, (const char *)keys.server, scram_key_size(hash));
	OPENSSL_cleanse(&keys, sizeof(keys));
	return 2;
}

/* scram_keys_of(hash, salted_password) -> stored_key, server_key; for what native.pbkdf2 gave */
static int l_scram_keys_of(lua_State *L)
{
	struct scram_keys keys;
	enum scram_hash hash = l_check_scram_hash(L, 1);
	struct slice salted = l_check_slice(L, 2);

	luaL_argcheck(L, salted.len == scram_key_size(hash), 2, "a salted password of this hash expected");
	scram_keys_of(hash, (const uint8_t *)salted.ptr, &keys);
	lua_pushlstring(L, (const char *)keys.stored, scram_key_size(hash));
	lua_pushlstring(L, (const char *)keys.server, scram_key_size(hash));
	OPENSSL_cleanse(&keys, sizeof(keys));
	return 2;
}

/* scram_check_password(hash, password, salt, iterations, stored_key) -> boolean */
static int l_scram_check_password(lua_State *L)
{
	enum scram_hash hash = l_check_scram_hash(L, 1);
	struct slice password = l_check_slice(L, 2), salt = l_check_slice(L, 3), stored = l_check_slice(L, 5);
	lua_pushboolean(L, scram_check_password(hash, password, salt, l_check_iterations(L, 4), stored));
	return 1;
}

/* scram_check_proof(hash, stored_key, auth_message, proof) -> boolean */
static int l_scram_check_proof(lua_State *L)
{
	enum scram_hash hash = l_check_scram_hash(L, 1);
	lua_pushboolean(L, scram_check_proof(hash, l_check_slice(L, 2), l_check_slice(L, 3), l_check_slice(L, 4)));
	return 1;
}

/* scram_sign(hash, server_key, auth_message) -> server signature */
static int l_scram_sign(lua_State *L)
{
	uint8_t signature[SCRAM_KEY_MAX];
	enum scram_hash hash = l_check_scram_hash(L, 1);

	scram_sign(hash, l_check_slice(L, 2), l_check_slice(L, 3), signature);
	lua_pushlstring(L, (const char *)signature, scram_key_size(hash));
	return 1;
}

/* scram_prove(hash, password, salt, iterations, auth_message) -> client proof */
static int l_scram_prove(lua_State *L)
{
	uint8_t salted[SCRAM_KEY_MAX], proof[SCRAM_KEY_MAX];
	enum scram_hash hash = l_check_scram_hash(L, 1);
	struct slice password = l_check_slice(L, 2), salt = l_check_slice(L, 3), message = l_check_slice(L, 5);

	if (scram_salt_password(hash, password, salt, l_check_iterations(L, 4), salted) < 0)
		return luaL_error(L, "OpenSSL cannot derive a key");
	scram_prove(hash, salted, message, proof);
	OPENSSL_cleanse(salted, sizeof(salted));
	lua_pushlstring(L, (const char *)proof, scram_key_size(hash));
	return 1;
}

/* scram_fake_salt(secret, user) -> the salt to show for a user who does not exist */
static int l_scram_fake_salt(lua_State *L)
{
	char salt[SCRAM_FAKE_SALT_SIZE];
	scram_fake_salt(l_check_slice(L, 1), l_check_slice(L, 2), salt);
	lua_pushstring(L, salt);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "equals", l_equals },
	{ "scram_keys", l_scram_keys },
	{ "scram_keys_of", l_scram_keys_of },
	{ "scram_check_password", l_scram_check_password },
	{ "scram_check_proof", l_scram_check_proof },
	{ "scram_sign", l_scram_sign },
	{ "scram_prove", l_scram_prove },
	{ "scram_fake_salt", l_scram_fake_salt },
	{ NULL, NULL },
};

/* One function per digest; OpenSSL's digests are constant and live as long as the program. */
static const struct {
	const char *name;
	lua_CFunction function;
	const EVP_MD *(*digest)(void);
} digest_functions[] = {
	{ "md5", l_hash, EVP_md5 },
	{ "sha1", l_hash, EVP_sha1 },
	{ "sha224", l_hash, EVP_sha224 },
	{ "sha256", l_hash, EVP_sha256 },
	{ "sha384", l_hash, EVP_sha384 },
	{ "sha512", l_hash, EVP_sha512 },
	{ "sha3_256", l_hash, EVP_sha3_256 },
	{ "sha3_512", l_hash, EVP_sha3_512 },
	{ "blake2s256", l_hash, EVP_blake2s256 },
	{ "blake2b512", l_hash, EVP_blake2b512 },
	{ "hmac_md5", l_hmac, EVP_md5 },
	{ "hmac_sha1", l_hmac, EVP_sha1 },
	{ "hmac_sha224", l_hmac, EVP_sha224 },
	{ "hmac_sha256", l_hmac, EVP_sha256 },
	{ "hmac_sha384", l_hmac, EVP_sha384 },
	{ "hmac_sha512", l_hmac, EVP_sha512 },
	{ "hmac_sha3_256", l_hmac, EVP_sha3_256 },
	{ "hmac_sha3_512", l_hmac, EVP_sha3_512 },
	{ "hmac_blake2s256", l_hmac, EVP_blake2s256 },
	{ "hmac_blake2b512", l_hmac, EVP_blake2b512 },
	{ "pbkdf2_hmac_sha1", l_pbkdf2, EVP_sha1 },
	{ "pbkdf2_hmac_sha256", l_pbkdf2, EVP_sha256 },
	{ "scram_Hi_sha1", l_pbkdf2, EVP_sha1 }, /* the older name */
	{ "scram_Hi_sha256", l_pbkdf2, EVP_sha256 },
	{ "hkdf_hmac_sha256", l_hkdf, EVP_sha256 },
	{ "hkdf_hmac_sha384", l_hkdf, EVP_sha384 },
};

int l_open_hashes(lua_State *L)
{
	luaL_newlib(L, functions);
	for (size_t i = 0; i < sizeof(digest_functions) / sizeof(*digest_functions); i++) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)digest_functions[i].digest());
		lua_pushcclosure(L, digest_functions[i].function, 1);
		lua_setfield(L, -2, digest_functions[i].name);
	}
	lua_pushliteral(L, "couplet");
	lua_setfield(L, -2, "version");
	lua_pushstring(L, OpenSSL_version(OPENSSL_VERSION));
	lua_setfield(L, -2, "_LIBCRYPTO_VERSION");
	return 1;
}
