/* A table from byte strings to pointers, keyed with a random secret (SipHash-1-3) so that peers cannot aim for
 * collisions. Open addressing; keys are borrowed from the values (they must live as long as the entry). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct hash {
	struct hash_slot *slots; /* NULL until the first entry */
	uint32_t count, capacity, max;
	uint32_t used; /* entries and the marks that removed ones left behind */
};

/* In place; allocates nothing. max is the most entries it may ever hold. */
void hash_init(struct hash *hash, uint32_t max);
/* Frees the table, not the values. */
void hash_done(struct hash *hash);

/* NULL when absent. */
void *hash_get(const struct hash *hash, struct slice key);

/* Adds or replaces. Borrows key for the life of the entry, keeps value (not NULL). -1 when full. */
int hash_set(struct hash *hash, struct slice key, void *value);

/* Removes; gives back what was stored, NULL when absent. */
void *hash_remove(struct hash *hash, struct slice key);

/* Walk: uint32_t at = 0; while ((v = hash_next(&h, &at)) != NULL) ...
 * Removing the current entry during a walk is allowed; adding is not. */
void *hash_next(const struct hash *hash, uint32_t *at);

/* The keyed hash itself, for other tables. */
uint64_t hash_bytes(struct slice bytes);
/* T: the same with a key that is known, for the published test vectors. */
uint64_t hash_keyed(const uint64_t key[2], struct slice bytes);

#endif
