/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See counts.h.
 */
#include "serve/counts.h"

const int64_t counts_bounds_ms[COUNTS_BOUNDS] = { 1, 2, 5, 10, 25, 50, 100,
	250, 500, 1000, 2500, 5000, 10000, 30000, 60000 };

void
counts_took(struct counts_door *d, int64_t ms)
{
	unsigned i = 0;

	while (i < COUNTS_BOUNDS && ms > counts_bounds_ms[i])
		i++;
	d->took[i]++;
	d->took_ms += (uint64_t)ms;
}
