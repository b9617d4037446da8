/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An end that no renewal comes before is told before it comes: on record, in
 * the log, the status and the numbers. That is so for what a person made and
 * imported, for what a lost login paid, and for what the service or its
 * provider has refused to renew for half of the time that there is for it.
 *
 * Each distance of announce_expiry is told once per value, over restarts too;
 * of several that have passed at once, the nearest one.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "broker/login.h"
#include "broker/status.h"
#include "broker/token_int.h"
#include "state/audit.h"

bool
token_is_made_by_hand(const struct token *t)
{
	return t->tc->backend->ops->caps(t->tc->backend, &t->tc->recipe) &
	    BACKEND_NO_MINT;
}

static struct login *
lost_payer(const struct token *t)
{
	struct login *l = broker_payer_login(t->env.broker, t->tc->backend);

	return l && !login_is_usable(l) ? l : NULL;
}

/* Why nothing newer comes before the end of what is released, as far as can be
 * said now; NULL: it will come. */
static const char *
token_why_ending(const struct token *t)
{
	if (!t->current || t->parked || token_is_lease(t))
		return NULL;
	if (token_is_made_by_hand(t))
		return "it is made by hand";
	if (lost_payer(t))
		return "its login needs a human";
	return t->last_error.code ? "its renewal fails" : NULL;
}

/* The command that helps, owned; NULL: none does. */
static char *
token_ending_advice(const struct token *t)
{
	struct login *l = lost_payer(t);

	if (token_is_made_by_hand(t))
		return xasprintf("tokenbrokerctl import %s", t->tc->name);
	return l ? xasprintf("tokenbrokerctl login %s", login_name(l)) : NULL;
}

/* The i-th distance, in seconds; -1: there is none. Those that are longer than
 * the whole life say nothing; when all are, a third of it will do. */
static int64_t
distance_s(const struct token *t, size_t i)
{
	const struct generation *g = t->current;
	int64_t life = g->expires_at - g->minted_at, d = -1;
	size_t first = 0;

	while (first < t->tc->n_announce &&
	    t->tc->announce_ms[first] / 1000 >= life)
		first++;
	if (first + i < t->tc->n_announce)
		d = t->tc->announce_ms[first + i] / 1000;
	else if (i == 0 && t->tc->n_announce > 0)
		d = life / 3;
	/* one failed attempt is no news */
	if (d > 0 && !token_is_made_by_hand(t) && !lost_payer(t))
		d = MIN2(d, (g->expires_at - token_renew_at(t, g)) / 2);
	return d;
}

static bool
is_told(const struct generation *g, int64_t distance)
{
	return g->announced_s && MAX2(distance, 1) >= g->announced_s;
}

int64_t
token_announce_in_s(const struct token *t)
{
	int64_t left, d;

	if (!token_why_ending(t))
		return INT64_MAX;
	left = generation_left_least_s(t->current);
	for (size_t i = 0; (d = distance_s(t, i)) >= 0; i++) {
		if (!is_told(t->current, d))
			return MAX2(left - d, 0);
	}
	return INT64_MAX;
}

bool
token_is_ending_soon(const struct token *t)
{
	int64_t d = token_why_ending(t) ? distance_s(t, 0) : -1;

	return d >= 0 && generation_left_least_s(t->current) <= d;
}

void
token_announce(struct token *t)
{
	struct generation *g = t->current;
	const char *why = token_why_ending(t);
	char *advice _cleanup_free_ = NULL;
	char end[TIMEFMT_SIZE];
	int64_t left, d, near = -1;

	if (!why)
		return;
	left = generation_left_least_s(g);
	for (size_t i = 0; (d = distance_s(t, i)) >= 0 && d >= left; i++) {
		if (!is_told(g, d))
			near = d;
	}
	if (near < 0)
		return;
	g->announced_s = MAX2(near, 1);
	advice = token_ending_advice(t);
	log_warn("token", "%s: generation %" PRIu64 " ends at %s, and nothing "
	    "newer comes: %s%s%s", t->tc->name, g->number,
	    timefmt_rfc3339(g->expires_at, end, sizeof(end)), why,
	    advice ? "; run: " : "", advice ? advice : "");
	token_audit_generation(t, g, AUDIT_EXPIRING, why);
	token_save_generation(t, g, NULL, NULL, NULL);
}

void
token_add_ending(const struct token *t, json_t *o)
{
	char *advice _cleanup_free_ = NULL;

	if (!token_is_ending_soon(t))
		return;
	advice = token_ending_advice(t);
	status_str(o, "expiring", token_why_ending(t));
	status_str(o, "expiring_advice", advice);
}
