/* Open addressing with linear probing, at most three quarters full.
 *
 * Always true: capacity is a power of two; a slot is empty (no value), taken, or marked as removed. A mark keeps the
 * probe chains that pass it intact and keeps every other entry where it is, which is what makes removal safe during a
 * walk. Marks are swept when the table is rebuilt, at the latest when they and the entries fill three quarters. */
#include "base/hash.h"

#include <assert.h>

#include "base/mem.h"
#include "base/random.h"

struct hash_slot {
	const char *key;
	void *value;
	uint32_t len, hash;
};

enum { SMALLEST = 8 };

static char removed_mark;
#define REMOVED ((void *)&removed_mark)

void hash_init(struct hash *hash, uint32_t max)
{
	*hash = (struct hash){ .max = max };
}

void hash_done(struct hash *hash)
{
	mem_free(hash->slots);
	hash_init(hash, hash->max);
}

static bool is_taken(const struct hash_slot *slot)
{
	return slot->value != NULL && slot->value != REMOVED;
}

/* The slot of key, or NULL. place_r, when given, is where a new entry of that key belongs. */
static struct hash_slot *find(const struct hash *hash, struct slice key, uint32_t bits, struct hash_slot **place_r)
{
	if (place_r != NULL)
		*place_r = NULL;
	if (hash->capacity == 0)
		return NULL;
	uint32_t mask = hash->capacity - 1;
	for (uint32_t i = bits & mask;; i = (i + 1) & mask) {
		struct hash_slot *slot = &hash->slots[i];
		if (!is_taken(slot)) {
			if (place_r != NULL && *place_r == NULL)
				*place_r = slot;
			if (slot->value == NULL)
				return NULL;
		} else if (slot->hash == bits && slice_equal(slice_of(slot->key, slot->len), key)) {
			return slot;
		}
	}
}

void *hash_get(const struct hash *hash, struct slice key)
{
	if (hash->count == 0)
		return NULL;
	struct hash_slot *slot = find(hash, key, (uint32_t)hash_bytes(key), NULL);
	return slot != NULL ? slot->value : NULL;
}

/* A table with room for one more entry, at most half full, and no marks. */
static void rebuild(struct hash *hash)
{
	uint32_t capacity = SMALLEST;
	while (capacity / 2 < hash->count + 1)
		capacity *= 2;
	struct hash_slot *slots = mem_new(capacity * sizeof(*slots));
	for (uint32_t i = 0; i < hash->capacity; i++) {
		if (!is_taken(&hash->slots[i]))
			continue;
		uint32_t at = hash->slots[i].hash & (capacity - 1);
		while (slots[at].value != NULL)
			at = (at + 1) & (capacity - 1);
		slots[at] = hash->slots[i];
	}
	mem_free(hash->slots);
	hash->slots = slots;
	hash->capacity = capacity;
	hash->used = hash->count;
}

int hash_set(struct hash *hash, struct slice key, void *value)
{
	assert(value != NULL && key.len <= UINT32_MAX);
	uint32_t bits = (uint32_t)hash_bytes(key);
	struct hash_slot *place;
	struct hash_slot *slot = find(hash, key, bits, &place);
	if (slot != NULL) {
		slot->key = key.ptr; /* the old value, which lent the old key, may be about to go */
		slot->value = value;
		return 0;
	}
	if (hash->count >= hash->max)
		return -1;
	if (place == NULL || (place->value == NULL && hash->used + 1 > hash->capacity / 4 * 3)) {
		rebuild(hash);
		find(hash, key, bits, &place);
	}
	if (place->value == NULL)
		hash->used++;
	*place = (struct hash_slot){ key.ptr, value, (uint32_t)key.len, bits };
	hash->count++;
	return 0;
}

void *hash_remove(struct hash *hash, struct slice key)
{
	struct hash_slot *slot = find(hash, key, (uint32_t)hash_bytes(key), NULL);
	if (slot == NULL)
		return NULL;
	void *value = slot->value;
	*slot = (struct hash_slot){ .value = REMOVED };
	hash->count--;
	/* No chain goes on behind us: this mark, and those just before it, are not needed. */
	uint32_t mask = hash->capacity - 1;
	uint32_t at = (uint32_t)(slot - hash->slots);
	if (hash->slots[(at + 1) & mask].value == NULL) {
		for (; hash->slots[at].value == REMOVED; at = (at - 1) & mask) {
			hash->slots[at].value = NULL;
			hash->used--;
		}
	}
	return value;
}

void *hash_next(const struct hash *hash, uint32_t *at)
{
	while (*at < hash->capacity) {
		const struct hash_slot *slot = &hash->slots[(*at)++];
		if (is_taken(slot))
			return slot->value;
	}
	return NULL;
}

/* SipHash-1-3 (Aumasson and Bernstein): one round per block, three at the end. */
static inline uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static inline uint64_t little_endian(const unsigned char *bytes, size_t len)
{
	uint64_t word = 0;
	for (size_t i = 0; i < len; i++)
		word |= (uint64_t)bytes[i] << (8 * i);
	return word;
}

uint64_t hash_keyed(const uint64_t key[2], struct slice bytes)
{
	uint64_t v[4] = { key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
			  key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573) };
	const unsigned char *at = (const unsigned char *)bytes.ptr;
	size_t left = bytes.len;
	for (; left >= 8; left -= 8, at += 8) {
		uint64_t word = little_endian(at, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	uint64_t last = little_endian(at, left) | (uint64_t)bytes.len << 56;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(struct slice bytes)
{
	/* One secret per process, made at the first use and never changed. */
	static uint64_t key[2];
	static bool has_key;
	if (!has_key) {
		random_bytes(key, sizeof(key));
		has_key = true;
	}
	return hash_keyed(key, bytes);
}
