/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gap - see the header.
 */
#include "audit/gap.h"

#include <string.h>

static void
remove_at(struct gaps *g, size_t i)
{
	g->n--;
	memmove(g->gap + i, g->gap + i + 1, (g->n - i) * sizeof(g->gap[0]));
}

void
gaps_add(struct gaps *g, uint64_t from, uint64_t to, size_t finding)
{
	if (g->n == GAPS_MAX)
		remove_at(g, 0);
	g->gap[g->n++] = (struct gap){ from, to, finding };
}

bool
gaps_take(struct gaps *g, uint64_t seq, size_t *finding)
{
	struct gap whole;
	size_t i;

	/* from the newest: what was moved comes soon after its gap */
	for (i = g->n; i-- > 0;) {
		whole = g->gap[i];
		if (seq < whole.from || seq > whole.to)
			continue;
		remove_at(g, i);
		if (whole.from < seq)
			gaps_add(g, whole.from, seq - 1, whole.finding);
		if (seq < whole.to)
			gaps_add(g, seq + 1, whole.to, whole.finding);
		*finding = whole.finding;
		return true;
	}
	return false;
}
