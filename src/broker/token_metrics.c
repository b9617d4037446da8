/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token in numbers; above all its outage budget: how long the provider and
 * the service may be away from now on before the first client is refused.
 *
 * Clients may ask for a value that is valid for some time more (min_valid), so
 * the budget ends when the longest such wish that was heard while this value
 * or the one before it was released cannot be granted any more.
 */
#include "base/openmetrics.h"
#include "broker/settle.h"
#include "broker/token_int.h"

int64_t
token_outage_budget_s(const struct token *t)
{
	int64_t left;

	if (!t->current || t->withheld)
		return 0;
	left = generation_left_s(t->current) -
	    MAX2(t->asked_min_valid, t->asked_before);
	return MAX2(left, 0);
}

bool
token_has_clients(const struct token *t)
{
	return t->current || t->asked;
}

static unsigned
token_count_superseded(const struct token *t)
{
	const struct generation *g;
	unsigned n = 0;

	TAILQ_FOREACH(g, &t->gens, link)
		n += g->superseded_at && g->state == GENERATION_READY;
	return n;
}

void
token_get_numbers(const struct token *t, struct token_numbers *out)
{
	struct settling *s;

	*out = (struct token_numbers){
		.name = t->tc->name,
		.releases = &t->releases,
		.counts = t->counts,
		.outage_budget_s = token_outage_budget_s(t),
		.missing = token_count_missing(t),
		.superseded = token_count_superseded(t),
		.holders = t->current ? holders_count(&t->held.all,
		    t->current->number) : 0,
		.ending = token_is_ending_soon(t) || token_is_refused(t),
		.is_lease = token_is_lease(t),
		.mints_per_hour = token_is_holders(t) ? 0 :
		    t->tc->mints_per_hour,
		.leases = token_is_holders(t) ? 0 : t->tc->leases,
	};
	if (t->current && !t->withheld) {
		out->expires_at = t->current->expires_at;
		out->renew_at = token_renews_at(t);
	}
	TAILQ_FOREACH(s, &t->settlings, link) {
		out->settling++;
		out->unsettled += settle_is_unsettled(s->op);
	}
}

void
token_count_over_quota(struct token *t, bool of_all)
{
	t->counts.over_quota[of_all]++;
}
