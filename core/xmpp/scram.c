/* SCRAM by OpenSSL. The names of the variables are those of RFC 5802 section 3. */
#include "xmpp/scram.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/hex.h"

static const EVP_MD *digest_of(enum scram_hash hash)
{
	return hash == SCRAM_SHA_1 ? EVP_sha1() : EVP_sha256();
}

bool scram_hash_by_name(struct slice name, enum scram_hash *hash_r)
{
	if (slice_is(name, "SHA-1"))
		*hash_r = SCRAM_SHA_1;
	else if (slice_is(name, "SHA-256"))
		*hash_r = SCRAM_SHA_256;
	else
		return false;
	return true;
}

size_t scram_key_size(enum scram_hash hash)
{
	return hash == SCRAM_SHA_1 ? 20 : 32;
}

/* OpenSSL fails here only without memory or without the algorithm: then nobody could log in, and going on with
 * uninitialised keys would be worse. */
static void hmac(enum scram_hash hash, struct slice key, struct slice data, uint8_t out[SCRAM_KEY_MAX])
{
	unsigned len = 0;
	assert(key.len <= INT_MAX);
	const unsigned char *made = HMAC(digest_of(hash), key.len > 0 ? key.ptr : "", (int)key.len,
		(const unsigned char *)data.ptr, data.len, out, &len);
	assert(made != NULL && len == scram_key_size(hash));
}

static void digest(enum scram_hash hash, const uint8_t in[SCRAM_KEY_MAX], uint8_t out[SCRAM_KEY_MAX])
{
	unsigned len = 0;
	int ok = EVP_Digest(in, scram_key_size(hash), out, &len, digest_of(hash), NULL);
	assert(ok == 1 && len == scram_key_size(hash));
}

static struct slice key_slice(enum scram_hash hash, const uint8_t key[SCRAM_KEY_MAX])
{
	return slice_of((const char *)key, scram_key_size(hash));
}

int scram_salt_password(enum scram_hash hash, struct slice password, struct slice salt, int iterations,
	uint8_t salted[SCRAM_KEY_MAX])
{
	if (iterations < 1 || iterations > SCRAM_ITERATIONS_MAX || password.len > INT_MAX || salt.len > INT_MAX)
		return -1;
	int ok = PKCS5_PBKDF2_HMAC(password.len > 0 ? password.ptr : "", (int)password.len,
		(const unsigned char *)(salt.len > 0 ? salt.ptr : ""), (int)salt.len, iterations, digest_of(hash),
		(int)scram_key_size(hash), salted);
	return ok == 1 ? 0 : -1;
}

void scram_keys_of(enum scram_hash hash, const uint8_t salted[SCRAM_KEY_MAX], struct scram_keys *keys_r)
{
	uint8_t client_key[SCRAM_KEY_MAX];

	*keys_r = (struct scram_keys){ { 0 }, { 0 } };
	hmac(hash, key_slice(hash, salted), SLICE("Client Key"), client_key);
	digest(hash, client_key, keys_r->stored);
	hmac(hash, key_slice(hash, salted), SLICE("Server Key"), keys_r->server);
	OPENSSL_cleanse(client_key, sizeof(client_key));
}

int scram_keys_for(enum scram_hash hash, struct slice password, struct slice salt, int iterations,
	struct scram_keys *keys_r)
{
	uint8_t salted[SCRAM_KEY_MAX];

	if (scram_salt_password(hash, password, salt, iterations, salted) < 0)
		return -1;
	scram_keys_of(hash, salted, keys_r);
	OPENSSL_cleanse(salted, sizeof(salted));
	return 0;
}

bool scram_check_password(enum scram_hash hash, struct slice password, struct slice salt, int iterations,
	struct slice stored)
{
	struct scram_keys keys;

	if (scram_keys_for(hash, password, salt, iterations, &keys) < 0)
		return false;
	bool is_right = stored.len == scram_key_size(hash) && CRYPTO_memcmp(stored.ptr, keys.stored, stored.len) == 0;
	OPENSSL_cleanse(&keys, sizeof(keys));
	return is_right;
}

bool scram_check_proof(enum scram_hash hash, struct slice stored, struct slice auth_message, struct slice proof)
{
	uint8_t client_signature[SCRAM_KEY_MAX], client_key[SCRAM_KEY_MAX], hashed[SCRAM_KEY_MAX];
	size_t size = scram_key_size(hash);

	if (stored.len != size || proof.len != size)
		return false;
	hmac(hash, stored, auth_message, client_signature);
	for (size_t i = 0; i < size; i++)
		client_key[i] = (uint8_t)proof.ptr[i] ^ client_signature[i];
	digest(hash, client_key, hashed);
	bool is_right = CRYPTO_memcmp(stored.ptr, hashed, size) == 0;
	OPENSSL_cleanse(client_signature, sizeof(client_signature));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return is_right;
}

void scram_sign(enum scram_hash hash, struct slice server_key, struct slice auth_message,
	uint8_t signature[SCRAM_KEY_MAX])
{
	hmac(hash, server_key, auth_message, signature);
}

void scram_prove(enum scram_hash hash, const uint8_t salted[SCRAM_KEY_MAX], struct slice auth_message,
	uint8_t proof[SCRAM_KEY_MAX])
{
	uint8_t client_key[SCRAM_KEY_MAX], stored[SCRAM_KEY_MAX], client_signature[SCRAM_KEY_MAX];

	hmac(hash, key_slice(hash, salted), SLICE("Client Key"), client_key);
	digest(hash, client_key, stored);
	hmac(hash, key_slice(hash, stored), auth_message, client_signature);
	for (size_t i = 0; i < scram_key_size(hash); i++)
		proof[i] = client_key[i] ^ client_signature[i];
	OPENSSL_cleanse(client_key, sizeof(client_key));
	OPENSSL_cleanse(stored, sizeof(stored));
	OPENSSL_cleanse(client_signature, sizeof(client_signature));
}

void scram_fake_salt(struct slice secret, struct slice user, char into[SCRAM_FAKE_SALT_SIZE])
{
	uint8_t mac[SCRAM_KEY_MAX];
	size_t at = 0;

	hmac(SCRAM_SHA_256, secret, user, mac);
	mac[6] = (mac[6] & 0x0f) | 0x40; /* the shape of a random UUID: RFC 9562 5.4 */
	mac[8] = (mac[8] & 0x3f) | 0x80;
	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			into[at++] = '-';
		hex_write(&mac[i], 1, into + at);
		at += 2;
	}
	into[at] = '\0';
}
