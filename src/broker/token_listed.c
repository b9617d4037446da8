/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a look at a service's list (broker/reconcile) asks of a token: which
 * values it knows, and what it makes of one that the list has not. That alone
 * is no reason to drop a value: lists lag, are cut or paged. It is told, and a
 * probe decides where there is one.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/known.h"
#include "broker/mint.h"
#include "broker/settle.h"
#include "broker/token_int.h"
#include "broker/upstream.h"
#include "conf.h"
#include "state/audit.h"

/* Shorter, it would fit too many: all begin alike, and a few more characters
 * are shown. */
#define LISTED_PREFIX_MIN 8

/* Whether the list of that kind of tokens should have it. */
static bool
should_be_listed(const struct token *t, const struct generation *g,
    const char *backend, enum backend_kind kind)
{
	return !t->parked && g->state == GENERATION_READY && !g->imported &&
	    streq(g->backend, backend) && generation_is_kind(g, kind);
}

void
token_collect_known(struct token *t, struct known *k, const char *backend,
    enum backend_kind kind)
{
	struct generation *g;
	struct settling *s;
	struct known_value *v;

	TAILQ_FOREACH(g, &t->gens, link) {
		v = known_add(k, g->nonce, g->id);
		if (v && should_be_listed(t, g, backend, kind)) {
			v->token = t;
			v->generation = g->number;
		}
	}
	if (t->fresh)
		known_add(k, t->fresh->nonce, t->fresh->id);
	if (t->mint)
		known_add(k, mint_nonce(t->mint), NULL);
	TAILQ_FOREACH(s, &t->settlings, link)
		known_add(k, settle_nonce(s->op), NULL);
}

static void
token_tell_missing(struct token *t, struct generation *g)
{
	g->missing_since = now_real_s();
	log_warn("token", "%s: '%s' does not list generation %" PRIu64
	    " any more, which is not over: somebody revoked it there, or the "
	    "list is not complete", t->tc->name, g->backend, g->number);
	token_audit_generation(t, g, AUDIT_MISSING, "not listed upstream");
	token_check_generation(t, g);
}

/* A list may lag behind a mint, but no service takes a revocation back: what
 * it calls revoked works for nobody, and is not handed out for it to fail. */
static void
token_end_revoked(struct token *t, struct generation *g)
{
	log_warn("token", "%s: '%s' lists generation %" PRIu64 " as revoked: "
	    "somebody did that there; it is not released any more",
	    t->tc->name, g->backend, g->number);
	g->missing_ms = 0;
	g->missing_since = g->rejected_at = now_real_s();
	g->state = GENERATION_REJECTED;
	token_save_generation(t, g, NULL, NULL, NULL);
	token_audit_generation(t, g, AUDIT_REJECTED, "revoked upstream");
	token_choose_current(t);
	if (t->current)
		return;
	if (token_is_made_by_hand(t)) {
		tb_error_set(&t->last_error, TB_E_LOGIN, "it was revoked at "
		    "'%s'; run: tokenbrokerctl import %s", g->backend,
		    t->tc->name);
		t->last_error_at = g->rejected_at;
	} else {
		token_mint_now(t);
	}
}

/* The service was asked for this one: lists may be cut. */
static void
token_on_confirmed(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct token *t = arg;
	struct generation *g = token_find(t, t->confirming);

	t->confirm = NULL;
	if (!g || g->state != GENERATION_READY || g->missing_since)
		return;
	if (err) {
		log_info("token", "%s: generation %" PRIu64 " is not listed, "
		    "and could not be asked for: %s", t->tc->name, g->number,
		    err->msg);
		token_tell_missing(t, g);
	} else if (run->n_listed == 0) {
		token_tell_missing(t, g);
	} else if (run->listed->revoked) {
		token_end_revoked(t, g);
	} else {
		log_info("token", "%s: '%s' has generation %" PRIu64 ", which "
		    "its list has not", t->tc->name, g->backend, g->number);
		g->missing_ms = 0;
	}
}

static void
token_confirm_missing(struct token *t, struct generation *g)
{
	struct backend_run run = { .verb = BACKEND_GET };
	unsigned caps = t->tc->backend->ops->caps(t->tc->backend,
	    &t->tc->recipe);

	if (!(caps & BACKEND_CAN_GET) || !g->id) {
		token_tell_missing(t, g);
		return;
	}
	if (t->confirm)
		return; /* the next look comes back to it */
	t->confirming = g->number;
	run.token_id = xstrdup(g->id);
	t->confirm = upstream_start(&t->env, t->conf, t->tc, &run,
	    token_on_confirmed, t);
}

bool
token_was_listed(struct token *t, uint64_t number, bool listed,
    int64_t began_ms)
{
	struct generation *g = token_find(t, number);

	if (!g || g->state != GENERATION_READY)
		return false;
	if (listed) {
		if (g->missing_since)
			log_info("token", "%s: generation %" PRIu64 " is "
			    "listed again", t->tc->name, g->number);
		g->missing_ms = g->missing_since = 0;
		return false;
	}
	if (g->missing_since)
		return false;
	if (!g->missing_ms)
		g->missing_ms = MAX2(began_ms, g->born_ms);
	if (began_ms - g->missing_ms < t->conf->settle_time_ms)
		return true;
	token_confirm_missing(t, g);
	return false;
}

/* ---------------------------------------------------- listed as revoked */

void
token_was_revoked(struct token *t, uint64_t number)
{
	struct generation *g = token_find(t, number);

	if (g && g->state == GENERATION_READY)
		token_end_revoked(t, g);
}

/* -------------------------------------------------------------- imported */

/* It says enough to tell values apart, and is the beginning of this one. */
static bool
is_prefix(const struct backend_listed *item, const struct generation *g)
{
	return item->prefix && strlen(item->prefix) >= LISTED_PREFIX_MIN &&
	    secret_has_prefix(&g->value, item->prefix);
}

/* By its id; without one by the only prefix that fits, alive before dead.
 * NULL: it is not there, or that cannot be told (*unclear). */
static const struct backend_listed *
find_imported(const struct generation *g, const struct backend_run *run,
    bool *unclear)
{
	const struct backend_listed *found = NULL;
	bool shown = false;

	*unclear = false;
	for (size_t i = 0; i < run->n_listed; i++) {
		const struct backend_listed *item = &run->listed[i];

		if (g->id) {
			if (streq(item->id, g->id))
				return item;
			continue;
		}
		shown |= item->prefix != NULL;
		if (!is_prefix(item, g) || (found && item->dead))
			continue;
		*unclear = found && !found->dead;
		found = item;
	}
	if (!g->id && run->n_listed > 0 && !shown)
		*unclear = true;
	return *unclear ? NULL : found;
}

/* What is known there and was not said at the import: its id, by which it can
 * be revoked, and an earlier end. */
static void
learn_from(struct token *t, struct generation *g,
    const struct backend_listed *item)
{
	bool ends_earlier = item->expires_at > 0 &&
	    item->expires_at < g->expires_at;

	if (g->id && !ends_earlier)
		return;
	if (!g->id)
		g->id = xstrdup(item->id);
	if (ends_earlier) {
		log_warn("token", "%s: '%s' says that the imported generation "
		    "%" PRIu64 " ends earlier than was said at its import; "
		    "that is believed", t->tc->name, g->backend, g->number);
		g->expires_at = item->expires_at;
		generation_start_clock(g);
		t->serial = broker_serial(t->env.broker);
	}
	token_audit_generation(t, g, AUDIT_UPDATED, "found upstream");
	token_save_generation(t, g, NULL, NULL, NULL);
	token_make_plan(t);
}

static bool
judge_one(struct token *t, struct generation *g,
    const struct backend_run *run, int64_t began_ms)
{
	const struct backend_listed *item;
	bool unclear;

	if (began_ms < g->born_ms)
		return true; /* imported since: the next look sees it */
	item = find_imported(g, run, &unclear);
	if (unclear)
		return false;
	if (item && item->revoked) {
		token_end_revoked(t, g);
		return false;
	}
	if (item)
		learn_from(t, g, item);
	return token_was_listed(t, g->number, item != NULL, began_ms);
}

bool
token_judge_imported(struct token *t, const char *backend,
    enum backend_kind kind, const struct backend_run *run, int64_t began_ms)
{
	struct generation *g, *next;
	bool again = false;

	for (g = TAILQ_FIRST(&t->gens); g; g = next) {
		next = TAILQ_NEXT(g, link);
		if (g->imported && g->state == GENERATION_READY &&
		    !t->parked && streq(g->backend, backend) &&
		    generation_is_kind(g, kind))
			again |= judge_one(t, g, run, began_ms);
	}
	return again;
}

unsigned
token_count_missing(const struct token *t)
{
	const struct generation *g;
	unsigned n = 0;

	TAILQ_FOREACH(g, &t->gens, link)
		n += g->missing_since != 0;
	return n;
}
