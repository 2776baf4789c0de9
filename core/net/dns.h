/* Names into records: a resolver that validates DNSSEC itself, on a thread of its own (libunbound, which only dns.c
 * knows).
 *
 * A resolver is made, told where to ask and whom to trust, and started. From then on lookups are numbered, and answers
 * are taken when dns_fd becomes readable. It knows neither the loop nor time: who asks also decides when to give up.
 *
 * Always true: nothing here waits for the network. Every lookup is answered once or cancelled. An answer that failed
 * validation (bogus) has no records. Threads do not survive fork: start a resolver in the process that uses it. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct dns;
struct error;

/* Lookups that may be waited for, and with them those that were cancelled while libunbound still works on them. */
enum { DNS_LOOKUPS_MAX = 1024, DNS_UNFINISHED_MAX = 4096 };
/* An answer with more records is refused. */
enum { DNS_RECORDS_MAX = 1000 };

/* A resolver that asks the root servers and trusts nobody. NULL on failure. */
struct dns *dns_new(struct error *error_r);
/* Lookups in progress are dropped. Waits for the thread, which stops at once. */
void dns_free(struct dns **dns);

/* Before dns_start; -1 and a sentence when it cannot be so. Paths and texts are copied. */
int dns_read_resolv_conf(struct dns *dns, const char *path, struct error *error_r); /* ask the servers named there */
int dns_read_hosts(struct dns *dns, const char *path, struct error *error_r);       /* answer these names from there */
int dns_forward(struct dns *dns, const char *address, struct error *error_r);       /* ask this one: "192.0.2.1@53" */
int dns_trust(struct dns *dns, const char *record, struct error *error_r);      /* a DS or DNSKEY, as in a zone file */
int dns_trust_file(struct dns *dns, const char *path, struct error *error_r);   /* a file of those */
int dns_set(struct dns *dns, const char *option, const char *value, struct error *error_r); /* unbound.conf(5) */
/* Checks the settings; lookups may follow. */
int dns_start(struct dns *dns, struct error *error_r);

/* Readable when there may be answers. */
int dns_fd(const struct dns *dns);

/* Asks. Gives a number > 0, never used twice, or 0 when it cannot (too many lookups, not a name). name: in ASCII, with
 * or without the last dot; type and class as RFC 1035 3.2 numbers them. */
uint64_t dns_lookup(struct dns *dns, const char *name, uint16_t type, uint16_t class, struct error *error_r);
/* The answer will not be taken. Harmless when there is no such lookup (any more). */
void dns_cancel(struct dns *dns, uint64_t id);

struct dns_answer {
	uint64_t id;               /* which lookup */
	const char *failure;       /* NULL, or why there is no answer; then the rest is unset */
	int rcode;                 /* RFC 6895 2.3 */
	bool is_secure;            /* validated, be it records or their absence */
	bool is_bogus;             /* validation failed; */
	const char *why_bogus;     /*   for an admin, may be NULL */
	const char *canonical_name; /* where CNAMEs led to; NULL: nowhere */
	uint32_t ttl_s;
	size_t n_records;
};

/* Reads what the thread has found. -1: the thread is lost; free the resolver and make another. */
int dns_process(struct dns *dns, struct error *error_r);
/* Gives the next answer that was read, NULL when there is none. Freed by dns_answer_free, before dns_free. */
struct dns_answer *dns_take(struct dns *dns);
void dns_answer_free(struct dns_answer **answer);
/* The data of record i (from 0) in wire format, names in it uncompressed; borrowed from the answer. */
struct slice dns_record(const struct dns_answer *answer, size_t i);

/* Lookups that are waited for; and with those that were cancelled but are still being worked on. */
uint32_t dns_n_lookups(const struct dns *dns);
uint32_t dns_n_unfinished(const struct dns *dns);

/* "1.17.1" */
const char *dns_version(void);

#endif
