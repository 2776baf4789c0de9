/* Counters, and a queue of what is kept. The queue is a list of blocks: one allocation for a stanza, none to move. */
#include "xmpp/sm.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"

struct sm_kept {
	struct sm_kept *next;
	uint64_t start, end; /* in the connection's output */
	double sent_s;       /* since 1970 */
	uint32_t len;
	char text[];
};

struct sm {
	const struct sm_limits *limits;
	struct sm_budget *budget;
	struct sm_kept *first, **last;
	size_t bytes;          /* of blocks and texts kept */
	uint32_t n_kept;
	uint32_t n_uncounted;  /* of these, the oldest, which no h counts; the first <a/> tells that they came, too */
	uint32_t n_sent, n_acked;
	uint32_t n_received, n_handled;
	uint32_t n_unasked;    /* sent since the last <r/> */
	size_t unasked_bytes;
	bool is_counting_out : 1, is_agreed_out : 1, is_counting_in : 1;
	bool is_asked : 1;     /* an <r/> is open */
};

static size_t cost(size_t len) { return sizeof(struct sm_kept) + len; }

struct sm *sm_new(const struct sm_limits *limits, struct sm_budget *budget)
{
	struct sm *sm = mem_new(sizeof(*sm));
	sm->limits = limits;
	sm->budget = budget;
	sm->last = &sm->first;
	return sm;
}

void sm_free(struct sm **sm)
{
	if (*sm == NULL)
		return;
	while ((*sm)->first != NULL)
		sm_drop_first(*sm);
	mem_free(*sm);
	*sm = NULL;
}

void sm_set_limits(struct sm *sm, const struct sm_limits *limits, struct sm_budget *budget)
{
	sm->budget->bytes -= sm->bytes;
	budget->bytes += sm->bytes;
	sm->limits = limits;
	sm->budget = budget;
}

/* ---- the agreement ---- */

static void start_out(struct sm *sm)
{
	sm->is_counting_out = true;
	sm->n_uncounted = sm->n_kept;
	sm->n_sent = sm->n_acked = sm->n_unasked = 0;
	sm->unasked_bytes = 0;
}

static void start_in(struct sm *sm)
{
	sm->is_counting_in = true;
	sm->n_received = sm->n_handled = 0;
}

int sm_enable(struct sm *sm)
{
	if (sm->is_counting_out || sm->is_counting_in)
		return -1;
	start_out(sm);
	return 0;
}

int sm_enabled(struct sm *sm)
{
	if (!sm->is_counting_out || sm->is_agreed_out)
		return -1;
	sm->is_agreed_out = true;
	start_in(sm);
	return 0;
}

int sm_refused(struct sm *sm)
{
	if (!sm->is_counting_out || sm->is_agreed_out)
		return -1;
	sm->is_counting_out = false;
	sm->n_uncounted = sm->n_kept;
	return 0;
}

int sm_accept(struct sm *sm)
{
	if (sm->is_counting_out || sm->is_counting_in)
		return -1;
	start_in(sm);
	start_out(sm);
	sm->is_agreed_out = true;
	return 0;
}

void sm_count_from(struct sm *sm, uint32_t sent, uint32_t handled)
{
	assert(sm->n_kept == 0);
	sm->n_sent = sm->n_acked = sent;
	sm->n_received = sm->n_handled = handled;
}

bool sm_counts_out(const struct sm *sm) { return sm->is_agreed_out; }

bool sm_is_awaited(const struct sm *sm) { return sm->is_counting_out && !sm->is_agreed_out; }

bool sm_counts_in(const struct sm *sm) { return sm->is_counting_in; }

/* ---- what we send ---- */

bool sm_has_room(const struct sm *sm, size_t bytes)
{
	size_t more = cost(bytes);
	return sm->n_kept < sm->limits->max_stanzas && sm->bytes + more <= sm->limits->max_bytes
	       && sm->budget->bytes + more <= sm->budget->max_bytes;
}

void sm_sent(struct sm *sm, struct slice text, uint64_t start, uint64_t end)
{
	assert(text.len <= UINT32_MAX);
	struct sm_kept *kept = mem_resize(NULL, cost(text.len));
	*kept = (struct sm_kept){ .start = start, .end = end, .len = (uint32_t)text.len };
	kept->sent_s = clock_wall();
	memcpy(kept->text, text.ptr, text.len);
	*sm->last = kept;
	sm->last = &kept->next;
	sm->n_kept++;
	sm->bytes += cost(text.len);
	sm->budget->bytes += cost(text.len);
	if (sm->is_counting_out) {
		sm->n_sent++;
		sm->n_unasked++;
		sm->unasked_bytes += text.len;
	} else {
		sm->n_uncounted++;
	}
}

/* One that is in the queue no more. */
static void give_back(struct sm *sm, struct sm_kept *kept)
{
	sm->n_kept--;
	sm->bytes -= cost(kept->len);
	sm->budget->bytes -= cost(kept->len);
	mem_free(kept);
}

void sm_drop_first(struct sm *sm)
{
	struct sm_kept *kept = sm->first;
	assert(kept != NULL);
	sm->first = kept->next;
	if (sm->first == NULL)
		sm->last = &sm->first;
	if (sm->n_uncounted > 0)
		sm->n_uncounted--;
	give_back(sm, kept);
}

void sm_forget_written(struct sm *sm, uint64_t written)
{
	if (sm->is_counting_out)
		return;
	while (sm->n_uncounted > 0 && sm->first->end <= written)
		sm_drop_first(sm);
}

/* xs:unsignedInt, as far as anybody writes it: digits. */
static bool parse_count(struct slice text, uint32_t *count_r)
{
	uint64_t value = 0;
	if (text.len == 0 || text.len > 20)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text.ptr[i] - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*count_r = (uint32_t)value;
	return true;
}

enum sm_ack sm_acknowledge(struct sm *sm, struct slice h)
{
	uint32_t count;
	if (!sm->is_agreed_out)
		return SM_ACK_UNEXPECTED;
	if (!parse_count(h, &count))
		return SM_ACK_MALFORMED;
	uint32_t n_new = count - sm->n_acked; /* modulo 2^32: a count that goes back is far too high */
	if (n_new > sm->n_sent - sm->n_acked)
		return SM_ACK_TOO_HIGH;
	while (sm->n_uncounted > 0) /* came before what counts, on the same stream */
		sm_drop_first(sm);
	for (; n_new > 0; n_new--)
		sm_drop_first(sm);
	sm->n_acked = count;
	sm->is_asked = false;
	return SM_ACK_OK;
}

bool sm_may_ask(const struct sm *sm)
{
	return sm->is_agreed_out && !sm->is_asked && sm_n_unacked(sm) > 0;
}

bool sm_should_ask(const struct sm *sm)
{
	return sm_may_ask(sm) && (sm->n_unasked > sm->limits->ask_stanzas || sm->unasked_bytes > sm->limits->ask_bytes);
}

bool sm_is_asked(const struct sm *sm) { return sm->is_asked; }

void sm_asked(struct sm *sm)
{
	sm->is_asked = true;
	sm->n_unasked = 0;
	sm->unasked_bytes = 0;
}

void sm_forget_question(struct sm *sm) { sm->is_asked = false; }

uint32_t sm_n_sent(const struct sm *sm) { return sm->n_sent; }

uint32_t sm_n_unacked(const struct sm *sm)
{
	return sm->is_counting_out ? sm->n_sent - sm->n_acked + sm->n_uncounted : 0;
}

uint32_t sm_n_kept(const struct sm *sm) { return sm->n_kept; }
size_t sm_kept_bytes(const struct sm *sm) { return sm->bytes; }

/* ---- what they send ---- */

void sm_received(struct sm *sm)
{
	if (sm->is_counting_in)
		sm->n_received++;
}

uint32_t sm_handled(struct sm *sm, bool is_one_open)
{
	uint32_t handled = sm->n_received - (is_one_open ? 1 : 0);
	if ((int32_t)(handled - sm->n_handled) > 0)
		sm->n_handled = handled;
	return sm->n_handled;
}

uint32_t sm_n_received(const struct sm *sm) { return sm->n_received; }

void sm_rewind(struct sm *sm, uint32_t sent, uint32_t received)
{
	if ((int32_t)(sm->n_acked - sent) > 0) /* a peer that acknowledges what it cannot have */
		sent = sm->n_acked;
	uint32_t n_lost = sm->n_sent - sent;
	struct sm_kept **link = &sm->first;
	for (uint32_t n_left = sm->n_kept - n_lost; n_left > 0; n_left--)
		link = &(*link)->next;
	while (*link != NULL) {
		struct sm_kept *kept = *link;
		*link = kept->next;
		give_back(sm, kept);
	}
	sm->last = link;
	sm->n_sent = sent;
	sm->n_received = received;
	if ((int32_t)(sm->n_handled - received) > 0)
		sm->n_handled = received;
}

/* ---- what is left ---- */

struct slice sm_first(const struct sm *sm, uint64_t written, bool *is_sent_r)
{
	const struct sm_kept *kept = sm->first;
	if (kept == NULL)
		return SLICE_NONE;
	*is_sent_r = kept->start < written;
	return slice_of(kept->text, kept->len);
}

struct slice sm_next(const struct sm *sm, const struct sm_kept **at, double *sent_s_r)
{
	*at = *at == NULL ? sm->first : (*at)->next;
	if (*at == NULL)
		return SLICE_NONE;
	*sent_s_r = (*at)->sent_s;
	return slice_of((*at)->text, (*at)->len);
}

bool sm_first_unsent(const struct sm *sm, uint64_t written, uint64_t *start_r)
{
	for (const struct sm_kept *kept = sm->first; kept != NULL; kept = kept->next) {
		if (kept->start < written)
			continue;
		*start_r = kept->start;
		return true;
	}
	return false;
}
