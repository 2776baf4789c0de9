/* A thin wrapper over libcurl's multi interface, which only this file knows. curl calls back from within
 * curl_multi_socket_action, curl_multi_add_handle and curl_easy_pause; we only note there what came, and hand it out in
 * fetch_take, so that no code of others runs in the middle of its work. */
#include "net/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/address.h"

enum { EVENTS_PER_PASS = 64 };

struct fetcher {
	CURLM *multi;
	int epoll_fd, timer_fd;
	bool is_public_only;
	struct hash requests; /* id -> struct transfer */
	struct list ready;    /* transfers with something to take */
	uint64_t last_id;
	struct transfer *told; /* whose event was handed out last; what it borrowed is let go by the next call */
};

struct transfer {
	struct fetcher *fetcher;
	uint64_t id;
	struct list ready_link;
	CURL *easy;
	struct curl_slist *fields;
	struct buf head, body;
	uint64_t body_left;
	bool is_streamed, follows;
	bool has_head;             /* the head that will be handed out is complete */
	bool was_head_told, is_body_told, was_end_told;
	bool is_held, is_paused, is_done;
	const char *too_much;      /* a limit of ours that was passed */
	CURLcode result;
	char text[CURL_ERROR_SIZE];
};

const char *fetch_version(void) { return curl_version_info(CURLVERSION_NOW)->version; }

int fetch_fd(const struct fetcher *fetcher) { return fetcher->epoll_fd; }

uint32_t fetch_n_requests(const struct fetcher *fetcher) { return fetcher->requests.count; }

static struct slice key_of(const uint64_t *id) { return slice_of((const char *)id, sizeof(*id)); }

/* ---- what is ready ---- */

static bool has_event(const struct transfer *transfer)
{
	if (transfer->is_held)
		return false;
	return transfer->is_done || (transfer->has_head && !transfer->was_head_told)
	       || (transfer->is_streamed && transfer->body.len > 0 && !transfer->is_body_told);
}

static void note(struct transfer *transfer)
{
	if (has_event(transfer) && !list_is_linked(&transfer->ready_link))
		list_add_last(&transfer->fetcher->ready, &transfer->ready_link);
}

/* ---- called by curl ---- */

static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *transfer = ctx;
	(void)purpose;
	if (transfer->fetcher->is_public_only && !address_is_public(&address->addr)) {
		transfer->too_much = "address-not-allowed";
		return CURL_SOCKET_BAD;
	}
	transfer->too_much = NULL; /* another of its addresses is allowed */
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Over and over for one descriptor; MOD first, since curl does not say whether it is known. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *of_socket)
{
	struct fetcher *fetcher = ctx;
	(void)easy;
	(void)of_socket;
	if (what == CURL_POLL_REMOVE) {
		(void)epoll_ctl(fetcher->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	struct epoll_event event = { .data.fd = fd };
	event.events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
	if (epoll_ctl(fetcher->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	return errno == ENOENT && epoll_ctl(fetcher->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -1;
}

static int on_timer(CURLM *multi, long delay_ms, void *ctx)
{
	struct fetcher *fetcher = ctx;
	(void)multi;
	struct itimerspec when = { .it_value = { 0, 0 } };
	if (delay_ms == 0)
		when.it_value.tv_nsec = 1;
	else if (delay_ms > 0)
		when.it_value = (struct timespec){ delay_ms / 1000, delay_ms % 1000 * 1000000 };
	return timerfd_settime(fetcher->timer_fd, 0, &when, NULL);
}

/* Each answer starts anew: after 100 Continue, after a redirect. Lines after the body are trailers, dropped. */
static size_t on_head_line(char *line, size_t size, size_t count, void *ctx)
{
	struct transfer *transfer = ctx;
	size_t len = size * count;
	if (transfer->has_head)
		return len;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		buf_clear(&transfer->head);
		return len;
	}
	if (len > 2) {
		if (buf_add(&transfer->head, slice_of(line, len)) == 0)
			return len;
		transfer->too_much = "response-too-large";
		return 0;
	}
	long status = 0;
	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && !(transfer->follows && status / 100 == 3)) {
		transfer->has_head = true;
		note(transfer);
	}
	return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
	struct transfer *transfer = ctx;
	size_t len = size * count;
	transfer->has_head = true;
	if (transfer->is_streamed && transfer->body.len > 0 && transfer->body.len + len > FETCH_STREAM_BYTES) {
		transfer->is_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (len > transfer->body_left || buf_add(&transfer->body, slice_of(bytes, len)) != 0) {
		transfer->too_much = "response-too-large";
		return 0;
	}
	transfer->body_left -= len;
	note(transfer);
	return len;
}

/* ---- the life of a transfer ---- */

static void free_transfer(struct transfer *transfer)
{
	struct fetcher *fetcher = transfer->fetcher;
	if (fetcher->told == transfer)
		fetcher->told = NULL;
	(void)hash_remove(&fetcher->requests, key_of(&transfer->id));
	list_remove(&transfer->ready_link);
	(void)curl_multi_remove_handle(fetcher->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->fields);
	buf_done(&transfer->head);
	buf_done(&transfer->body);
	mem_free(transfer);
}

static bool is_plain(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' && *text != '\t')
			return false;
	}
	return true;
}

static int add_field(struct transfer *transfer, const char *field)
{
	struct curl_slist *longer = curl_slist_append(transfer->fields, field);
	if (longer == NULL)
		return -1;
	transfer->fields = longer;
	return 0;
}

static int add_fields(struct transfer *transfer, const struct fetch_request *request, struct error *error_r)
{
	/* Else curl would hold larger bodies back for a second, waiting for 100 Continue. */
	if (add_field(transfer, "Expect:") != 0)
		return error_set(error_r, "out of memory");
	for (size_t i = 0; i < request->n_fields; i++) {
		const char *field = request->fields[i], *colon = strchr(field, ':');
		if (!is_plain(field) || colon == NULL || colon == field)
			return error_set(error_r, "a header cannot be \"%.40s\"", is_plain(field) ? field : "several lines");
		char empty[256]; /* "Name:" would take the header away, "Name;" sends it without a value */
		size_t len = (size_t)(colon - field);
		if (colon[1 + strspn(colon + 1, " \t")] == '\0' && len < sizeof(empty) - 1) {
			memcpy(empty, field, len);
			memcpy(empty + len, ";", 2);
			field = empty;
		}
		if (add_field(transfer, field) != 0)
			return error_set(error_r, "out of memory");
	}
	return 0;
}

/* Calls of curl_easy_setopt, of which the first failure counts. */
#define SET(option, value) \
	do { \
		if (code == CURLE_OK) \
			code = curl_easy_setopt(easy, option, value); \
	} while (0)

static CURLcode set_method(CURL *easy, const struct fetch_request *request)
{
	CURLcode code = CURLE_OK;
	bool is_get = strcmp(request->method, "GET") == 0, is_head = strcmp(request->method, "HEAD") == 0;
	if (request->body.ptr != NULL) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
		SET(CURLOPT_COPYPOSTFIELDS, request->body.ptr);
	} else if (is_head) {
		SET(CURLOPT_NOBODY, 1L);
	} else if (strcmp(request->method, "POST") == 0) {
		SET(CURLOPT_POSTFIELDSIZE, 0L);
		SET(CURLOPT_COPYPOSTFIELDS, "");
	}
	if ((!is_get && !is_head) || request->body.ptr != NULL)
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	return code;
}

static CURLcode set_trust(CURL *easy, const struct fetch_request *request)
{
	CURLcode code = CURLE_OK;
	SET(CURLOPT_SSL_VERIFYPEER, request->is_unverified ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, request->is_unverified ? 0L : 2L);
	if (request->ca_file != NULL) {
		SET(CURLOPT_CAINFO, request->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	if (request->certificate != NULL)
		SET(CURLOPT_SSLCERT, request->certificate);
	if (request->key != NULL)
		SET(CURLOPT_SSLKEY, request->key);
	return code;
}

static CURLcode set_options(struct transfer *transfer, const struct fetch_request *request)
{
	CURL *easy = transfer->easy;
	bool is_secure = strncasecmp(request->url, "https:", 6) == 0;
	CURLcode code = CURLE_OK;
	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, is_secure ? "https" : "http,https");
	SET(CURLOPT_PROXY, ""); /* what the environment says of proxies is not for us */
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* cancelling does not wait for a thread that looks a name up */
	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->text);
	SET(CURLOPT_HTTPHEADER, transfer->fields);
	SET(CURLOPT_HEADERFUNCTION, on_head_line);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, transfer);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
	SET(CURLOPT_TIMEOUT_MS, (long)request->total_ms);
	if (request->silence_ms > 0) {
		SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
		SET(CURLOPT_LOW_SPEED_TIME, (long)((request->silence_ms + 999) / 1000));
	}
	if (request->body_bytes <= INT64_MAX)
		SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->body_bytes);
	if (transfer->follows) {
		SET(CURLOPT_FOLLOWLOCATION, 1L);
		SET(CURLOPT_MAXREDIRS, (long)request->redirects);
	}
	if (code == CURLE_OK)
		code = set_method(easy, request);
	return code == CURLE_OK ? set_trust(easy, request) : code;
}

uint64_t fetch_start(struct fetcher *fetcher, const struct fetch_request *request, struct error *error_r)
{
	bool may_follow = request->body.ptr == NULL
			  && (strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0);
	if (fetcher->requests.count >= FETCH_REQUESTS_MAX) {
		(void)error_set(error_r, "too many requests are under way");
		return 0;
	}
	if (!is_plain(request->method) || strpbrk(request->method, " \t") != NULL || request->method[0] == '\0') {
		(void)error_set(error_r, "not a method");
		return 0;
	}
	struct transfer *transfer = mem_new(sizeof(*transfer));
	transfer->fetcher = fetcher;
	transfer->id = ++fetcher->last_id;
	list_init(&transfer->ready_link);
	buf_init(&transfer->head, request->head_bytes);
	buf_init(&transfer->body, request->is_streamed ? FETCH_STREAM_BYTES : (size_t)request->body_bytes);
	transfer->body_left = request->body_bytes;
	transfer->is_streamed = request->is_streamed;
	transfer->follows = request->redirects > 0 && may_follow;
	transfer->easy = curl_easy_init();
	if (hash_set(&fetcher->requests, key_of(&transfer->id), transfer) != 0 || transfer->easy == NULL) {
		(void)error_set(error_r, "out of memory");
		goto failed;
	}
	if (add_fields(transfer, request, error_r) != 0)
		goto failed;
	CURLcode code = set_options(transfer, request);
	if (code != CURLE_OK) {
		(void)error_set(error_r, "%s", curl_easy_strerror(code));
		goto failed;
	}
	CURLMcode added = curl_multi_add_handle(fetcher->multi, transfer->easy);
	if (added != CURLM_OK) {
		(void)error_set(error_r, "%s", curl_multi_strerror(added));
		goto failed;
	}
	return transfer->id;
failed:
	free_transfer(transfer);
	return 0;
}

void fetch_cancel(struct fetcher *fetcher, uint64_t id)
{
	struct transfer *transfer = hash_get(&fetcher->requests, key_of(&id));
	if (transfer != NULL)
		free_transfer(transfer);
}

/* ---- a step ---- */

static void note_ended(struct fetcher *fetcher)
{
	int left;
	CURLMsg *message;
	while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
		char *ctx = NULL;
		if (message->msg != CURLMSG_DONE
		    || curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &ctx) != CURLE_OK)
			continue;
		struct transfer *transfer = (void *)ctx;
		transfer->result = message->data.result;
		transfer->is_done = transfer->has_head = true;
		note(transfer);
	}
}

void fetch_process(struct fetcher *fetcher)
{
	struct epoll_event events[EVENTS_PER_PASS];
	int running, n = epoll_wait(fetcher->epoll_fd, events, EVENTS_PER_PASS, 0);
	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == fetcher->timer_fd) {
			uint64_t expirations;
			(void)!read(fetcher->timer_fd, &expirations, sizeof(expirations));
			(void)curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
			continue;
		}
		int what = ((events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0)
			   | ((events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0)
			   | ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
		(void)curl_multi_socket_action(fetcher->multi, events[i].data.fd, what, &running);
	}
	note_ended(fetcher);
}

/* ---- what came ---- */

/* The words that net.http gives to modules. */
static const char *word_of(const struct transfer *transfer)
{
	long verified = 0, sent = 0, status = 0;
	if (transfer->too_much != NULL)
		return transfer->too_much;
	switch (transfer->result) {
	case CURLE_UNSUPPORTED_PROTOCOL: /* of the URL, of a redirect; or an answer that is no HTTP */
		(void)curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent);
		(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		return sent > 0 && status == 0 ? "invalid-response" : "invalid-url";
	case CURLE_URL_MALFORMAT: return "invalid-url";
	case CURLE_COULDNT_RESOLVE_HOST: return "unable to resolve service";
	case CURLE_COULDNT_CONNECT: return "connection failed";
	case CURLE_OPERATION_TIMEDOUT: return "timeout";
	case CURLE_PEER_FAILED_VERIFICATION:
		(void)curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
		/* curl leaves "unspecified" where the chain is good and the name is not */
		return verified != X509_V_OK && verified != X509_V_ERR_UNSPECIFIED ? "certificate-chain-invalid"
										   : "certificate-verify-failed";
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CIPHER: return "tls-failed";
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR: return "connection-closed";
	case CURLE_FILESIZE_EXCEEDED: return "response-too-large";
	case CURLE_TOO_MANY_REDIRECTS: return "too-many-redirects";
	default: return "invalid-response";
	}
}

static void tell_head(struct transfer *transfer, struct fetch_event *event_r)
{
	long status = 0, version = 0;
	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
	transfer->was_head_told = true;
	event_r->kind = FETCH_HEAD;
	event_r->status = (int)status;
	event_r->version = version == CURL_HTTP_VERSION_2_0 ? "2" : version == CURL_HTTP_VERSION_1_0 ? "1.0" : "1.1";
	event_r->bytes = buf_slice(&transfer->head);
}

static void tell_end(struct transfer *transfer, struct fetch_event *event_r)
{
	event_r->kind = transfer->result == CURLE_OK ? FETCH_END : FETCH_FAILED;
	event_r->error = transfer->result == CURLE_OK ? NULL : word_of(transfer);
	event_r->text = transfer->text[0] != '\0' ? transfer->text : curl_easy_strerror(transfer->result);
}

/* The piece that was handed out is over; there is room for the next. */
static void go_on(struct transfer *transfer)
{
	transfer->is_body_told = false;
	buf_clear(&transfer->body);
	if (transfer->is_paused) {
		transfer->is_paused = false;
		(void)curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
	}
	note(transfer);
}

/* Ends what the last event borrowed; the transfer it was about may have ended with it. */
static void let_go(struct fetcher *fetcher)
{
	struct transfer *transfer = fetcher->told;
	fetcher->told = NULL;
	if (transfer != NULL && transfer->was_end_told)
		free_transfer(transfer);
	else if (transfer != NULL && transfer->is_body_told)
		go_on(transfer);
}

bool fetch_take(struct fetcher *fetcher, struct fetch_event *event_r)
{
	let_go(fetcher);
	if (list_is_empty(&fetcher->ready))
		return false;
	struct transfer *transfer = list_first(&fetcher->ready, struct transfer, ready_link);
	list_remove(&transfer->ready_link);
	*event_r = (struct fetch_event){ .id = transfer->id };
	fetcher->told = transfer;
	bool is_good = transfer->result == CURLE_OK;
	if (transfer->has_head && !transfer->was_head_told && is_good) {
		tell_head(transfer, event_r);
		note(transfer);
	} else if (transfer->body.len > 0 && is_good && (transfer->is_streamed || transfer->is_done)) {
		transfer->is_body_told = true;
		event_r->kind = FETCH_BODY;
		event_r->bytes = buf_slice(&transfer->body);
	} else {
		tell_end(transfer, event_r);
		transfer->was_end_told = true;
	}
	return true;
}

void fetch_hold(struct fetcher *fetcher, uint64_t id, bool is_held)
{
	struct transfer *transfer = hash_get(&fetcher->requests, key_of(&id));
	if (transfer == NULL)
		return;
	transfer->is_held = is_held;
	if (is_held)
		list_remove(&transfer->ready_link);
	else
		note(transfer);
}

/* ---- the fetcher ---- */

struct fetcher *fetch_new(bool is_public_only, struct error *error_r)
{
	struct fetcher *fetcher = mem_new(sizeof(*fetcher));
	hash_init(&fetcher->requests, FETCH_REQUESTS_MAX);
	list_init(&fetcher->ready);
	fetcher->is_public_only = is_public_only;
	fetcher->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	fetcher->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fetcher->timer_fd };
	if (fetcher->epoll_fd < 0 || fetcher->timer_fd < 0
	    || epoll_ctl(fetcher->epoll_fd, EPOLL_CTL_ADD, fetcher->timer_fd, &event) != 0) {
		(void)error_set(error_r, "no descriptors for HTTP requests: %s", strerror(errno));
		goto failed;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		fetcher->multi = curl_multi_init();
	if (fetcher->multi == NULL) {
		(void)error_set(error_r, "libcurl cannot be used");
		goto failed;
	}
	(void)curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
	(void)curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	(void)curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
	(void)curl_multi_setopt(fetcher->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)FETCH_CONNECTIONS_MAX);
	(void)curl_multi_setopt(fetcher->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)FETCH_CONNECTIONS_PER_HOST_MAX);
	(void)curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, (long)FETCH_CONNECTIONS_PER_HOST_MAX);
	return fetcher;
failed:
	fetch_free(&fetcher);
	return NULL;
}

void fetch_free(struct fetcher **fetcher_ref)
{
	struct fetcher *fetcher = *fetcher_ref;
	if (fetcher == NULL)
		return;
	*fetcher_ref = NULL;
	struct transfer *transfer;
	uint32_t at = 0;
	while ((transfer = hash_next(&fetcher->requests, &at)) != NULL)
		free_transfer(transfer);
	if (fetcher->multi != NULL)
		(void)curl_multi_cleanup(fetcher->multi);
	hash_done(&fetcher->requests);
	if (fetcher->epoll_fd >= 0)
		close(fetcher->epoll_fd);
	if (fetcher->timer_fd >= 0)
		close(fetcher->timer_fd);
	mem_free(fetcher);
}
