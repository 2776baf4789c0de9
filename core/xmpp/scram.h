/* SCRAM (RFC 5802, RFC 7677): the arithmetic of both ends, no messages.
 *
 * What is stored of a password is the salt, the count of iterations and two keys; with them a server can check a proof
 * and sign, but not log in elsewhere. Comparisons take the same time wherever the difference is. Everything derived
 * from a password is wiped when the function returns, except what it gives. */
#ifndef XMPP_SCRAM_H
#define XMPP_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256 };

#define SCRAM_KEY_MAX 32              /* bytes of the longest key */
#define SCRAM_ITERATIONS_MAX 10000000 /* several seconds; nobody means more */
#define SCRAM_FAKE_SALT_SIZE 37       /* a UUID as text and a NUL, like the salts we store */

struct scram_keys {
	uint8_t stored[SCRAM_KEY_MAX], server[SCRAM_KEY_MAX]; /* scram_key_size() bytes of each count */
};

/* By IANA's name without the mechanism: "SHA-1", "SHA-256". False when we do not know it. */
bool scram_hash_by_name(struct slice name, enum scram_hash *hash_r);
/* Bytes of a key, a proof or a signature: 20 or 32. */
size_t scram_key_size(enum scram_hash hash);

/* SaltedPassword. Takes as long as `iterations` says (run it on a worker where people wait); password has been through
 * jid_saslprep. -1 when iterations is not in 1..SCRAM_ITERATIONS_MAX. The caller wipes `salted`. */
int scram_salt_password(enum scram_hash hash, struct slice password, struct slice salt, int iterations,
	uint8_t salted[SCRAM_KEY_MAX]);
/* StoredKey and ServerKey of a SaltedPassword. */
void scram_keys_of(enum scram_hash hash, const uint8_t salted[SCRAM_KEY_MAX], struct scram_keys *keys_r);
/* Both steps: what to store for a new password. -1 as scram_salt_password. */
int scram_keys_for(enum scram_hash hash, struct slice password, struct slice salt, int iterations,
	struct scram_keys *keys_r);

/* Is this the password (PLAIN)? stored is the StoredKey; false also when its length is wrong. As slow as salting. */
bool scram_check_password(enum scram_hash hash, struct slice password, struct slice salt, int iterations,
	struct slice stored);
/* Was this ClientProof made by one who knows the password? (RFC 5802 3: H(proof XOR signature) = StoredKey.) */
bool scram_check_proof(enum scram_hash hash, struct slice stored, struct slice auth_message, struct slice proof);
/* ServerSignature, which shows the client that we know the password too. */
void scram_sign(enum scram_hash hash, struct slice server_key, struct slice auth_message,
	uint8_t signature[SCRAM_KEY_MAX]);
/* ClientProof, for connections we make ourselves. */
void scram_prove(enum scram_hash hash, const uint8_t salted[SCRAM_KEY_MAX], struct slice auth_message,
	uint8_t proof[SCRAM_KEY_MAX]);

/* The salt shown for a user who does not exist: always the same for that name, and unlike any other, so that asking
 * does not tell who has an account. secret is the server's own and outlives restarts. */
void scram_fake_salt(struct slice secret, struct slice user, char into[SCRAM_FAKE_SALT_SIZE]);

#endif
