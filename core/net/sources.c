/* Counts per place, and the rates at which connections come.
 *
 * Always true: a struct source is in its table while connections from there live or its rate is not back at rest; the
 * table lives as long as its listener or one of its connections. */
#include "net/sources_private.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"

enum {
	MAX_SOURCES = 65536, /* places remembered at once per listener; about 10 MiB */
	MAX_NETWORKS = 64,
};

/* Events per second with a burst of one second's worth: the time at which the burst is whole again. */
struct rate {
	double whole_ms;
};

struct network {
	unsigned char address[16]; /* IPv4 mapped */
	unsigned bits;             /* of the 128 */
};

struct sources {
	struct hash by_key;
	struct list resting; /* sources without connections, the longest resting first */
	unsigned count;      /* the listener, and every source with connections */
	unsigned strangers;
	struct rate rate;
	unsigned n_exempt;
	struct network exempt[MAX_NETWORKS];
};

struct source {
	struct sources *table;
	struct list resting_link;
	unsigned connections, strangers;
	struct rate rate;
	unsigned char key[16];
};

static bool rate_takes(struct rate *rate, unsigned per_second, int64_t now_ms)
{
	double now = (double)now_ms, each_ms = 1000.0 / per_second;
	if (rate->whole_ms < now)
		rate->whole_ms = now;
	if (rate->whole_ms + each_ms > now + 1000.0 + 1e-6)
		return false;
	rate->whole_ms += each_ms;
	return true;
}

/* How long until it takes another. */
static int64_t rate_wait_ms(const struct rate *rate, unsigned per_second, int64_t now_ms)
{
	double wait = rate->whole_ms + 1000.0 / per_second - (double)now_ms - 1000.0;
	return wait > 1e-6 ? (int64_t)wait + 1 : 0;
}

struct sources *sources_new(void)
{
	struct sources *sources = mem_new(sizeof(*sources));
	hash_init(&sources->by_key, MAX_SOURCES);
	list_init(&sources->resting);
	sources->count = 1;
	return sources;
}

static void source_free(struct source *source)
{
	hash_remove(&source->table->by_key, slice_of((const char *)source->key, sizeof(source->key)));
	list_remove(&source->resting_link);
	mem_free(source);
}

void sources_release(struct sources *sources)
{
	if (--sources->count > 0)
		return;
	while (!list_is_empty(&sources->resting))
		source_free(list_first(&sources->resting, struct source, resting_link));
	hash_done(&sources->by_key);
	mem_free(sources);
}

void source_known(struct source *source)
{
	source->strangers--;
	source->table->strangers--;
}

void source_release(struct source *source, bool is_stranger)
{
	if (source == NULL)
		return;
	if (is_stranger)
		source_known(source);
	if (--source->connections > 0)
		return;
	struct sources *table = source->table;
	list_add_last(&table->resting, &source->resting_link);
	sources_release(table);
}

/* Forgets sources whose connections and rate are both at rest. Two for each one that may come: the table shrinks. */
static void forget_resting(struct sources *sources, int64_t now_ms)
{
	for (int i = 0; i < 2 && !list_is_empty(&sources->resting); i++) {
		struct source *source = list_first(&sources->resting, struct source, resting_link);
		if (source->rate.whole_ms > (double)now_ms)
			return;
		source_free(source);
	}
}

/* --- networks ----------------------------------------------------------------------------------------------------- */

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* All 16 bytes; IPv4 mapped. False for what has no address. */
static bool whole_address(const struct sockaddr *peer, unsigned char address[16])
{
	if (peer->sa_family == AF_INET) {
		memcpy(address, mapped, sizeof(mapped));
		memcpy(address + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
	} else if (peer->sa_family == AF_INET6) {
		memcpy(address, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
	}
	return peer->sa_family == AF_INET || peer->sa_family == AF_INET6;
}

int sources_exempt(struct sources *sources, const char *address, unsigned bits)
{
	if (sources->n_exempt == MAX_NETWORKS)
		return -1;
	struct network *network = &sources->exempt[sources->n_exempt];
	memcpy(network->address, mapped, sizeof(mapped));
	network->bits = bits + 96;
	if (bits > 32 || inet_pton(AF_INET, address, network->address + 12) != 1) {
		network->bits = bits;
		if (bits > 128 || inet_pton(AF_INET6, address, network->address) != 1)
			return -1;
	}
	sources->n_exempt++;
	return 0;
}

void sources_clear_exempt(struct sources *sources) { sources->n_exempt = 0; }

static bool is_in(const struct network *network, const unsigned char address[16])
{
	unsigned bytes = network->bits / 8, rest = network->bits % 8;
	if (memcmp(network->address, address, bytes) != 0)
		return false;
	return rest == 0 || (network->address[bytes] ^ address[bytes]) >> (8 - rest) == 0;
}

static bool is_exempt(const struct sources *sources, const unsigned char address[16])
{
	for (unsigned i = 0; i < sources->n_exempt; i++) {
		if (is_in(&sources->exempt[i], address))
			return true;
	}
	return false;
}

/* --- who may come ------------------------------------------------------------------------------------------------- */

/* NULL: the table is full. */
static struct source *find_source(struct sources *sources, const unsigned char key[16], int64_t now_ms)
{
	forget_resting(sources, now_ms);
	struct source *source = hash_get(&sources->by_key, slice_of((const char *)key, 16));
	if (source != NULL)
		return source;
	source = mem_new(sizeof(*source));
	source->table = sources;
	memcpy(source->key, key, 16);
	if (hash_set(&sources->by_key, slice_of((const char *)source->key, 16), source) != 0) {
		mem_free(source);
		return NULL;
	}
	list_add_last(&sources->resting, &source->resting_link);
	return source;
}

/* What one place may, in the order of what it costs to find out. */
static const char *refuse_source(struct source *source, const struct listener_limits *limits, int64_t now_ms)
{
	if (limits->connections_per_ip > 0 && source->connections >= limits->connections_per_ip)
		return "its IP has as many as it may (max_connections_per_ip)";
	if (limits->strangers_per_ip > 0 && source->strangers >= limits->strangers_per_ip)
		return "its IP has as many as it may that have not logged in (max_unauthenticated_per_ip)";
	if (limits->accepts_per_second_per_ip > 0 && !rate_takes(&source->rate, limits->accepts_per_second_per_ip, now_ms))
		return "its IP connects too often (max_accepts_per_second_per_ip)";
	return NULL;
}

static bool counts_places(const struct listener_limits *limits)
{
	return limits->accepts_per_second_per_ip > 0 || limits->connections_per_ip > 0 || limits->strangers_per_ip > 0
	       || limits->strangers > 0;
}

int64_t sources_wait_ms(const struct sources *sources, const struct listener_limits *limits, int64_t now_ms)
{
	return limits->accepts_per_second > 0 ? rate_wait_ms(&sources->rate, limits->accepts_per_second, now_ms) : 0;
}

const char *sources_refuse(struct sources *sources, const struct listener_limits *limits, const struct sockaddr *peer,
			   int64_t now_ms, struct source **source_r)
{
	unsigned char address[16];
	bool has_address = whole_address(peer, address), is_free = has_address && is_exempt(sources, address);
	*source_r = NULL;
	if (limits->strangers > 0 && has_address && sources->strangers >= limits->strangers)
		return "too many have not logged in (max_unauthenticated)";
	struct source *source = NULL;
	if (has_address && counts_places(limits)) {
		/* Of an IPv6 address the /64 counts, which is what one peer usually has. */
		if (memcmp(address, mapped, sizeof(mapped)) != 0)
			memset(address + 8, 0, 8);
		source = find_source(sources, address, now_ms);
		if (source == NULL)
			return "too many places are remembered";
		const char *why = is_free ? NULL : refuse_source(source, limits, now_ms);
		if (why != NULL)
			return why;
	}
	/* Last, so that one noisy source does not use up what all share. There is one left: sources_wait_ms said so. */
	if (limits->accepts_per_second > 0 && !is_free)
		rate_takes(&sources->rate, limits->accepts_per_second, now_ms);
	if (source != NULL && source->connections++ == 0) {
		list_remove(&source->resting_link);
		sources->count++;
	}
	if (source != NULL) {
		source->strangers++;
		sources->strangers++;
	}
	*source_r = source;
	return NULL;
}
