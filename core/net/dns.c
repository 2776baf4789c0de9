/* A thin wrapper over libunbound, which only this file knows. libunbound calls back within ub_process and nowhere else;
 * we only note the result there, so no code of ours runs in the middle of its work. */
#include "net/dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unbound.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"

struct dns {
	struct ub_ctx *ctx;
	struct hash lookups;  /* id -> struct lookup, until taken, or until libunbound has done with it */
	struct list finished; /* answered, not taken yet */
	uint64_t last_id;
	uint32_t n_live; /* not cancelled */
	bool is_chatty;  /* the admin wants libunbound's own log */
	FILE *log;       /* until the start: what it has to say about the settings comes here */
	char words[2048];
};

struct lookup {
	struct dns_answer answer; /* first: what is given away */
	struct dns *dns;
	struct list link;
	struct ub_result *result;
	bool is_cancelled;
};

const char *dns_version(void)
{
	return ub_version();
}

/* ---- settings ---- */

static void forget_words(struct dns *dns)
{
	memset(dns->words, 0, sizeof(dns->words));
	rewind(dns->log);
}

/* Sets the error: what, libunbound's word for it, and what it has logged first, if anything, without the
 * "[time] libunbound[pid:thread] error: ". */
static int fail(struct dns *dns, int code, struct error *error_r, const char *what, const char *value)
{
	char *text = strstr(dns->words, "error: ");
	text = text != NULL ? text + strlen("error: ") : dns->words;
	text[strcspn(text, "\n")] = '\0';
	int result = error_set(error_r, "%s%s: %s%s%s", what, value, ub_strerror(code), text[0] != '\0' ? ": " : "", text);
	forget_words(dns);
	return result;
}

int dns_set(struct dns *dns, const char *option, const char *value, struct error *error_r)
{
	char name[128];
	size_t len = strlen(option);
	if (len > 0 && option[len - 1] == ':')
		len--;
	if (len > sizeof(name) - 2)
		return error_set(error_r, "there is no option %s", option);
	(void)snprintf(name, sizeof(name), "%.*s:", (int)len, option);
	dns->is_chatty = dns->is_chatty || (strcmp(name, "verbosity:") == 0 && strcmp(value, "0") != 0);
	int code = ub_ctx_set_option(dns->ctx, name, value);
	name[len] = '\0';
	return code == 0 ? 0 : fail(dns, code, error_r, "option ", name);
}

/* libunbound looks for files late, and then says less. */
static int check_file(const char *path, struct error *error_r)
{
	return access(path, R_OK) == 0 ? 0 : error_set(error_r, "%s: %s", path, strerror(errno));
}

int dns_read_resolv_conf(struct dns *dns, const char *path, struct error *error_r)
{
	if (check_file(path, error_r) != 0)
		return -1;
	int code = ub_ctx_resolvconf(dns->ctx, path);
	return code == 0 ? 0 : fail(dns, code, error_r, "name servers in ", path);
}

int dns_read_hosts(struct dns *dns, const char *path, struct error *error_r)
{
	if (check_file(path, error_r) != 0)
		return -1;
	int code = ub_ctx_hosts(dns->ctx, path);
	return code == 0 ? 0 : fail(dns, code, error_r, "hosts in ", path);
}

int dns_forward(struct dns *dns, const char *address, struct error *error_r)
{
	int code = ub_ctx_set_fwd(dns->ctx, address);
	return code == 0 ? 0 : fail(dns, code, error_r, "name server ", address);
}

int dns_trust(struct dns *dns, const char *record, struct error *error_r)
{
	int code = ub_ctx_add_ta(dns->ctx, record);
	return code == 0 ? 0 : fail(dns, code, error_r, "trust anchor ", record);
}

int dns_trust_file(struct dns *dns, const char *path, struct error *error_r)
{
	if (check_file(path, error_r) != 0)
		return -1;
	int code = ub_ctx_add_ta_file(dns->ctx, path);
	return code == 0 ? 0 : fail(dns, code, error_r, "trust anchors in ", path);
}

/* ---- life ---- */

/* How many queries may be under way at once, in all and over TCP. With a library's defaults, 16 and 2, a few silent
 * servers hold up everybody. Each has a socket, so at most a quarter of our descriptors go that way. */
static int set_queries_max(struct dns *dns, struct error *error_r)
{
	struct rlimit limit;
	long n = DNS_LOOKUPS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 4 < DNS_LOOKUPS_MAX)
		n = (long)(limit.rlim_cur / 4) + 1;
	char text[24];
	(void)snprintf(text, sizeof(text), "%ld", n);
	if (dns_set(dns, "outgoing-range", text, error_r) != 0)
		return -1;
	(void)snprintf(text, sizeof(text), "%ld", n / 16 + 1);
	return dns_set(dns, "outgoing-num-tcp", text, error_r);
}

struct dns *dns_new(struct error *error_r)
{
	struct dns *dns = mem_new(sizeof(*dns));
	hash_init(&dns->lookups, DNS_UNFINISHED_MAX);
	list_init(&dns->finished);
	dns->ctx = ub_ctx_create();
	dns->log = fmemopen(dns->words, sizeof(dns->words) - 1, "w");
	if (dns->ctx == NULL || dns->log == NULL) {
		(void)error_set(error_r, "%s", strerror(errno));
		dns_free(&dns);
		return NULL;
	}
	(void)setvbuf(dns->log, NULL, _IONBF, 0);
	int code = ub_ctx_debugout(dns->ctx, dns->log);
	if (code == 0)
		code = ub_ctx_async(dns->ctx, 1);
	if (code != 0)
		(void)error_set(error_r, "%s", ub_strerror(code));
	if (code != 0 || set_queries_max(dns, error_r) != 0)
		dns_free(&dns);
	return dns;
}

/* libunbound has one log for all contexts and closes it when another context is made: it must have let go of ours. */
static void close_log(struct dns *dns)
{
	if (dns->ctx != NULL)
		(void)ub_ctx_debugout(dns->ctx, dns->is_chatty ? stderr : NULL);
	if (dns->log != NULL)
		(void)fclose(dns->log);
	dns->log = NULL;
}

int dns_start(struct dns *dns, struct error *error_r)
{
	/* The settings are read when they are first needed; taking away a zone that is not there needs them. */
	int code = ub_ctx_zone_remove(dns->ctx, "settings.invalid");
	if (code != 0)
		return fail(dns, code, error_r, "settings", "");
	close_log(dns); /* from here on it is its thread that logs */
	return 0;
}

static void free_lookup(struct lookup *lookup)
{
	list_remove(&lookup->link);
	if (lookup->result != NULL)
		ub_resolve_free(lookup->result);
	mem_free(lookup);
}

void dns_free(struct dns **dns_p)
{
	struct dns *dns = *dns_p;
	if (dns == NULL)
		return;
	*dns_p = NULL;
	if (dns->log != NULL)
		close_log(dns);
	if (dns->ctx != NULL)
		ub_ctx_delete(dns->ctx); /* calls nobody back any more */
	uint32_t at = 0;
	struct lookup *lookup;
	while ((lookup = hash_next(&dns->lookups, &at)) != NULL)
		free_lookup(lookup);
	hash_done(&dns->lookups);
	mem_free(dns);
}

/* ---- lookups ---- */

static struct slice key_of(const uint64_t *id)
{
	return slice_of((const char *)id, sizeof(*id));
}

static void forget(struct lookup *lookup)
{
	(void)hash_remove(&lookup->dns->lookups, key_of(&lookup->answer.id));
	if (!lookup->is_cancelled)
		lookup->dns->n_live--;
}

static void read_result(struct dns_answer *answer, const struct ub_result *result)
{
	answer->rcode = result->rcode;
	answer->is_secure = result->secure != 0;
	answer->is_bogus = result->bogus != 0;
	answer->why_bogus = result->why_bogus;
	answer->canonical_name = result->canonname;
	answer->ttl_s = result->ttl > 0 ? (uint32_t)result->ttl : 0;
	if (answer->is_bogus || result->data == NULL)
		return;
	while (answer->n_records <= DNS_RECORDS_MAX && result->data[answer->n_records] != NULL)
		answer->n_records++;
	if (answer->n_records > DNS_RECORDS_MAX)
		answer->failure = "the answer has too many records";
}

/* Within ub_process. */
static void on_result(void *ctx, int code, struct ub_result *result)
{
	struct lookup *lookup = ctx;
	lookup->result = result;
	if (code != 0 || result == NULL)
		lookup->answer.failure = ub_strerror(code != 0 ? code : UB_SERVFAIL);
	else
		read_result(&lookup->answer, result);
	if (lookup->is_cancelled) {
		forget(lookup);
		free_lookup(lookup);
	} else {
		list_add_last(&lookup->dns->finished, &lookup->link);
	}
}

uint64_t dns_lookup(struct dns *dns, const char *name, uint16_t type, uint16_t class, struct error *error_r)
{
	if (dns->n_live >= DNS_LOOKUPS_MAX || dns->lookups.count >= DNS_UNFINISHED_MAX) {
		(void)error_set(error_r, "too many lookups are waiting for name servers");
		return 0;
	}
	struct lookup *lookup = mem_new(sizeof(*lookup));
	lookup->dns = dns;
	list_init(&lookup->link);
	lookup->answer.id = ++dns->last_id;
	int code = ub_resolve_async(dns->ctx, name, type, class, lookup, on_result, NULL);
	if (code != 0) {
		(void)error_set(error_r, "%s", code == UB_SYNTAX ? "not a domain name" : ub_strerror(code));
		mem_free(lookup);
		return 0;
	}
	int kept = hash_set(&dns->lookups, key_of(&lookup->answer.id), lookup);
	(void)kept; /* there is room, we have looked */
	dns->n_live++;
	return lookup->answer.id;
}

/* ub_cancel would not stop the work either, and its result would come to nobody: we would not know when it is over. */
void dns_cancel(struct dns *dns, uint64_t id)
{
	struct lookup *lookup = hash_get(&dns->lookups, key_of(&id));
	if (lookup == NULL || lookup->is_cancelled)
		return;
	if (list_is_linked(&lookup->link)) {
		forget(lookup);
		free_lookup(lookup);
	} else {
		lookup->is_cancelled = true;
		dns->n_live--;
	}
}

/* ---- answers ---- */

int dns_fd(const struct dns *dns)
{
	return ub_fd(dns->ctx);
}

int dns_process(struct dns *dns, struct error *error_r)
{
	int code = ub_process(dns->ctx);
	return code == 0 ? 0 : error_set(error_r, "libunbound's thread is lost: %s", ub_strerror(code));
}

struct dns_answer *dns_take(struct dns *dns)
{
	if (list_is_empty(&dns->finished))
		return NULL;
	struct lookup *lookup = list_first(&dns->finished, struct lookup, link);
	list_remove(&lookup->link);
	forget(lookup);
	return &lookup->answer;
}

void dns_answer_free(struct dns_answer **answer)
{
	if (*answer != NULL)
		free_lookup(list_entry(*answer, struct lookup, answer));
	*answer = NULL;
}

struct slice dns_record(const struct dns_answer *answer, size_t i)
{
	const struct ub_result *result = ((const struct lookup *)(const void *)answer)->result;
	return slice_of(result->data[i], (size_t)result->len[i]);
}

uint32_t dns_n_lookups(const struct dns *dns)
{
	return dns->n_live;
}

uint32_t dns_n_unfinished(const struct dns *dns)
{
	return dns->lookups.count;
}
