#include "base/histogram.h"

#include <assert.h>

#define DECADE(ns) (ns), 2 * (ns), 5 * (ns)

static const int64_t bounds_ns[HISTOGRAM_BOUNDS] = {
	DECADE((int64_t)10000), DECADE((int64_t)100000), DECADE((int64_t)1000000), DECADE((int64_t)10000000),
	DECADE((int64_t)100000000), DECADE((int64_t)1000000000), (int64_t)10000000000,
};

int64_t histogram_bound_ns(unsigned i)
{
	assert(i < HISTOGRAM_BOUNDS);
	return bounds_ns[i];
}

void histogram_add(struct histogram *histogram, int64_t duration_ns)
{
	unsigned i = 0;
	while (i < HISTOGRAM_BOUNDS && duration_ns > bounds_ns[i])
		i++;
	histogram->counts[i]++;
	if (duration_ns > 0)
		histogram->sum_ns += (uint64_t)duration_ns;
}
