/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backoff - see the header. Half of the ceiling is certain and half is random:
 * a thousand hosts that lost the same service come back spread out, and none
 * of them comes back at once.
 */
#include "base/backoff.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define SERVER_SAYS_MAX_MS INT64_C(3600000)

static uint64_t
from_kernel(void)
{
	uint64_t r;

	while (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
		if (errno != EINTR)
			abort();
	return r;
}

static backoff_source_fn *source = from_kernel;

void
backoff_set_source(backoff_source_fn *fn)
{
	source = fn ? fn : from_kernel;
}

uint64_t
backoff_random(uint64_t n)
{
	uint64_t limit, r;

	if (n < 2)
		return 0;
	/* The last, incomplete block of n values would favour small ones. */
	limit = UINT64_MAX - UINT64_MAX % n;
	do
		r = source();
	while (r >= limit);
	return r % n;
}

int64_t
backoff_next(struct backoff *b, int64_t server_says_ms)
{
	int64_t ceiling = b->base_ms > 0 ? b->base_ms : 1;
	int64_t cap = b->cap_ms > 0 ? b->cap_ms : 1;
	int64_t delay;
	unsigned i;

	for (i = 0; i < b->attempt && ceiling < cap; i++)
		ceiling = ceiling > cap / 2 ? cap : 2 * ceiling;
	if (ceiling > cap)
		ceiling = cap;
	if (b->attempt < UINT32_MAX)
		b->attempt++;
	delay = ceiling / 2 +
	    (int64_t)backoff_random((uint64_t)(ceiling - ceiling / 2) + 1);
	if (server_says_ms > SERVER_SAYS_MAX_MS)
		server_says_ms = SERVER_SAYS_MAX_MS;
	return delay > server_says_ms ? delay : server_says_ms;
}

void
backoff_reset(struct backoff *b)
{
	b->attempt = 0;
}
