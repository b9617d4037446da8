/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a generation that a newer one has taken the place of: its own
 * expiry, as a rule. With revoke_superseded = when_moved it is revoked before
 * that, when
 *
 *   - `overlap` has passed since the newer one is ready, and
 *   - nobody can be using it any more: everybody who was given it was given a
 *     newer one since, or runs no more, and nobody keeps it (a credential, a
 *     variable, a file) for longer. Whatever is not known is a no.
 *
 * hard_overlap = yes leaves out the second.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/status.h"
#include "broker/token_int.h"
#include "state/store.h"

/* Units end without telling anybody here. */
#define LOOK_AGAIN_MS 60000

void
token_note_superseded(struct token *t)
{
	struct generation *g;
	bool changed = false, is;

	TAILQ_FOREACH(g, &t->gens, link) {
		is = t->current && g->number < t->current->number;
		if (is == (g->superseded_at != 0))
			continue;
		changed = true;
		g->superseded_at = is ? now_real_s() : 0;
		g->superseded_ms = is ? now_boot_ms() : 0;
	}
	token_held_current(t, changed);
}

static int64_t
overlap_left_ms(const struct token *t, const struct generation *g)
{
	return g->superseded_ms + t->tc->overlap_ms - now_boot_ms();
}

/* It is one to be ended before its time. */
static bool
is_candidate(const struct token *t, const struct generation *g)
{
	return t->tc->revoke_superseded && !t->parked && g->superseded_at &&
	    g->state == GENERATION_READY && token_can_revoke(t, g);
}

static bool
is_over(const struct token *t, const struct generation *g)
{
	char *why;

	if (!is_candidate(t, g) || overlap_left_ms(t, g) > 0)
		return false;
	if (t->tc->hard_overlap)
		return true;
	why = holders_why_needed(&t->held.all, g->number,
	    t->env.unit_is_over);
	free(why);
	return !why;
}

static void
on_revoked(void *arg, unsigned revoked, unsigned local_only, unsigned failed,
    const struct tb_error *last)
{
	struct token *t = arg;

	t->counts.superseded_revoked += revoked + failed;
}

static void
on_look(void *arg)
{
	struct token *t = arg;
	struct generation *g, *next;

	t->looked_ms = now_boot_ms();
	for (g = TAILQ_FIRST(&t->gens); g && !store_is_quarantined(
	    t->env.store); g = next) {
		next = TAILQ_NEXT(g, link);
		if (!is_over(t, g))
			continue;
		log_info("token", "%s: generation %" PRIu64 " is superseded, "
		    "and %s; it is revoked", t->tc->name, g->number,
		    t->tc->hard_overlap ? "hard_overlap is over" :
		    "nobody uses it any more");
		token_revoke(t, g->number, t->tc->hard_overlap ?
		    "superseded; hard_overlap is over" :
		    "superseded; nobody uses it any more", on_revoked, t);
		/* the list is another one */
		next = TAILQ_FIRST(&t->gens);
	}
	token_plan_superseded(t);
}

void
token_plan_superseded(struct token *t)
{
	struct generation *g;
	int64_t next = INT64_MAX, left;
	int64_t again = !t->looked_ms ? 0 : MAX2(0, t->looked_ms +
	    LOOK_AGAIN_MS - now_boot_ms());

	TAILQ_FOREACH(g, &t->gens, link) {
		if (!is_candidate(t, g))
			continue;
		left = overlap_left_ms(t, g);
		next = MIN2(next, left > 0 ? left : again);
	}
	if (next == INT64_MAX)
		loop_timer_stop(&t->superseded);
	else
		loop_timer_set(&t->superseded, next);
}

void
token_superseded_soon(struct token *t)
{
	t->looked_ms = 0;
	token_plan_superseded(t);
}

void
token_superseded_init(struct token *t)
{
	loop_timer_init(&t->superseded, t->env.loop, on_look, t);
}

/* Why it is there still, for people; NULL: it is not superseded. */
static char *
why_kept(const struct token *t, const struct generation *g)
{
	char *why;

	if (!t->tc->revoke_superseded)
		return xstrdup("revoke_superseded = never: it lives to its "
		    "own expiry");
	if (!is_candidate(t, g))
		return xstrdup("its service cannot be asked to revoke it");
	if (overlap_left_ms(t, g) > 0)
		return xstrdup("overlap is not over");
	why = t->tc->hard_overlap ? NULL : holders_why_needed(&t->held.all,
	    g->number, t->env.unit_is_over);
	return why ? why : xstrdup("it is about to be revoked");
}

void
token_status_superseded(const struct token *t, const struct generation *g,
    json_t *o)
{
	_cleanup_free_ char *why = NULL;

	if (!g->superseded_at || g->state != GENERATION_READY)
		return;
	why = why_kept(t, g);
	status_time(o, "superseded_at", g->superseded_at);
	status_str(o, "kept_because", why);
	if (is_candidate(t, g) && overlap_left_ms(t, g) > 0)
		status_time(o, "overlap_until", now_real_s() +
		    overlap_left_ms(t, g) / 1000);
}
