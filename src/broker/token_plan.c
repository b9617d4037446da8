/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a token is renewed, and the one timer for all that is due with it: the
 * end of each generation, the renewal of the newest, what is to be told before
 * an end. Deadlines are those of generation_left_s(), so that a step of the
 * clock brings no value to its end early.
 */
#include <inttypes.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "broker/token_int.h"
#include "conf.h"
#include "state/store.h"

/* FNV-1a over machine id and name: the same host renews the same token at the
 * same place of the window, and two hosts do not renew it together. */
static uint64_t
token_host_hash(const struct token *t)
{
	static char machine[64];
	uint64_t h = UINT64_C(14695981039346656037);
	FILE *f _cleanup_(fclosep) = machine[0] ? NULL :
	    fopen("/etc/machine-id", "re");

	if (f && !fgets(machine, sizeof(machine), f))
		machine[0] = '\0';
	if (!machine[0] && gethostname(machine, sizeof(machine) - 1) < 0)
		machine[0] = '?';
	for (const char *p = machine; *p; p++)
		h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
	for (const char *p = t->tc->name; *p; p++)
		h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
	return h;
}

int64_t
token_renew_at(const struct token *t, const struct generation *g)
{
	int64_t life = g->expires_at - g->minted_at;
	int64_t before = t->tc->renew_before_ms / 1000;
	int64_t spread;

	/* the service gave less than was asked for: margins follow what is */
	if (before <= 0 || before >= life)
		before = life / 3;
	spread = (life - before) / 10;
	if (spread > 0)
		before += (int64_t)(token_host_hash(t) % (uint64_t)spread);
	return g->expires_at - before;
}

/* Seconds until its renewal is due, by the clock that is further on. */
int64_t
token_renew_in_s(const struct token *t, const struct generation *g)
{
	return generation_left_least_s(g) -
	    (g->expires_at - token_renew_at(t, g));
}

static bool
token_may_renew(const struct token *t)
{
	unsigned caps = t->tc->backend->ops->caps(t->tc->backend,
	    &t->tc->recipe);

	return !t->parked && !token_is_for_holders(t) && !token_is_lease(t) &&
	    !(caps & BACKEND_NO_MINT) && !store_is_quarantined(t->env.store);
}

int64_t
token_renews_at(const struct token *t)
{
	return t->current && token_may_renew(t) ?
	    token_renew_at(t, t->current) : 0;
}

/* Is the current generation to be replaced now? */
bool
token_renewal_is_due(const struct token *t)
{
	const struct generation *g = t->current;

	if (!g || !token_may_renew(t))
		return false;
	if (token_is_outdated(t, g))
		return true;
	return token_renew_in_s(t, g) <= 0 && t->used;
}

/* Its service does not end it, and token_revoke.c is at it. */
static bool
token_is_ending(const struct generation *g)
{
	return g->endless && g->state == GENERATION_REVOKING;
}

void
token_make_plan(struct token *t)
{
	int64_t next = INT64_MAX, in;
	struct generation *g;

	TAILQ_FOREACH(g, &t->gens, link) {
		if (!token_is_ending(g))
			next = MIN2(next, MAX2(generation_left_s(g), 0));
	}
	/* After a failure the retry timer or the login's return is what is
	 * waited for; a deadline in the past would spin. */
	if (t->current && token_may_renew(t) && !t->mint && !t->fresh &&
	    !t->probing && !t->last_error.code) {
		in = token_is_outdated(t, t->current) ? 0 :
		    token_renew_in_s(t, t->current);
		if (in > 0 || token_renewal_is_due(t))
			next = MIN2(next, MAX2(in, 0));
	}
	next = MIN2(next, token_announce_in_s(t));
	if (token_update_is_due(t))
		next = 0;
	if (next == INT64_MAX)
		loop_timer_stop(&t->plan);
	else
		loop_timer_set(&t->plan, next * 1000);
}

void
token_retire_expired(struct token *t)
{
	struct generation *g, *next;

	for (g = TAILQ_FIRST(&t->gens); g; g = next) {
		next = TAILQ_NEXT(g, link);
		if (generation_left_s(g) > 0 || g == t->fresh ||
		    token_is_ending(g))
			continue;
		log_info("token", "%s: generation %" PRIu64 " has expired",
		    t->tc->name, g->number);
		if (g->endless)
			token_end_expired(t, g);
		else
			token_drop_generation(t, g);
	}
}

void
token_do_plan(struct token *t)
{
	token_retire_expired(t);
	token_choose_current(t);
	token_announce(t);
	token_update_next(t);
	if (token_renewal_is_due(t))
		token_mint_now(t);
	else if (t->current && !t->used &&
	    token_renew_in_s(t, t->current) <= 0)
		log_info("token", "%s: nobody asked for generation %" PRIu64
		    ", so it is not renewed", t->tc->name,
		    t->current->number);
	token_make_plan(t);
}

static void
token_on_plan(void *arg)
{
	token_do_plan(arg);
}

void
token_plan_init(struct token *t)
{
	loop_timer_init(&t->plan, t->env.loop, token_on_plan, t);
}

void
token_clock_stepped(struct token *t)
{
	token_do_plan(t);
}

void
token_resume(struct token *t)
{
	t->not_before_ms = 0;
	backoff_reset(&t->backoff);
	token_revoke_hurry(t);
	token_do_plan(t);
}
