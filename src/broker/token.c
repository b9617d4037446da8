/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token's generations, their records, and which of them is released.
 * token_choose_current() is the only writer of `current`: whatever changes a
 * generation calls it, and it tells waiters and re-plans.
 */
#include "broker/token.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/intent.h"
#include "broker/login.h"
#include "broker/token_int.h"
#include "broker/upstream.h"
#include "conf.h"
#include "state/audit.h"
#include "state/store.h"
#include "state/writer.h"

/* A holder's token that has none, and nobody asks for one. */
#define KEPT_WITHOUT_VALUE_MS (10 * 60 * INT64_C(1000))

struct token *
token_new(const struct token_env *env, const struct conf *conf,
    const struct token_conf *tc)
{
	struct token *t = xnew(struct token);

	t->env = *env;
	t->conf = conf_ref(conf);
	t->tc = tc;
	t->recipe = generation_recipe(tc);
	t->used = true; /* nobody knows what was asked before the start */
	t->asked_ms = now_boot_ms();
	quota_init(&t->mints, tc->mints_per_hour);
	TAILQ_INIT(&t->gens);
	TAILQ_INIT(&t->settlings);
	TAILQ_INIT(&t->revokings);
	TAILQ_INIT(&t->batches);
	token_plan_init(t);
	token_waiters_init(t);
	token_mint_init(t);
	token_update_init(t);
	token_held_init(t);
	token_superseded_init(t);
	return t;
}

void
token_stop(struct token *t)
{
	token_mint_stop(t);
	token_update_stop(t);
	token_revoke_stop(t);
	token_waiters_orphan(t);
	token_held_stop(t);
	loop_timer_stop(&t->superseded);
	loop_timer_stop(&t->plan);
}

void
token_park(struct token *t)
{
	t->parked = true;
	t->active = false;
	token_mint_park(t);
	token_update_stop(t);
	token_waiters_orphan(t);
	token_plan_superseded(t);
}

void
token_free(struct token *t)
{
	struct generation *g;

	if (!t)
		return;
	token_stop(t);
	while ((g = TAILQ_FIRST(&t->gens))) {
		TAILQ_REMOVE(&t->gens, g, link);
		generation_free(g);
	}
	token_held_clear(t);
	free(t->recipe);
	conf_unref(t->conf);
	free(t);
}

void
token_set_conf(struct token *t, const struct conf *conf,
    const struct token_conf *tc)
{
	token_update_stop(t);
	if (t->tc->mints_per_hour == 0) /* nothing was counted so far */
		quota_init(&t->mints, tc->mints_per_hour);
	conf_ref(conf);
	conf_unref(t->conf);
	t->conf = conf;
	t->tc = tc;
	free(t->recipe);
	t->recipe = generation_recipe(tc);
	t->parked = false;
	if (t->probing && !streq(t->probing->backend, tc->backend->name))
		token_probe_stop(t);
	token_settle_by(t, conf, tc);
	token_superseded_soon(t);
	/* what failed by the old configuration may be tried at once */
	t->not_before_ms = 0;
	backoff_reset(&t->backoff);
	t->last_error = (struct tb_error)TB_ERROR_INIT;
	token_choose_current(t);
}

const struct token_conf *
token_get_conf(const struct token *t)
{
	return t->tc;
}

bool
token_is_holders(const struct token *t)
{
	return strchr(t->tc->name, TOKEN_OF) != NULL;
}

bool
token_is_over(const struct token *t)
{
	return !t->leased && TAILQ_EMPTY(&t->gens) &&
	    TAILQ_EMPTY(&t->waiters) &&
	    TAILQ_EMPTY(&t->settlings) && TAILQ_EMPTY(&t->revokings) &&
	    TAILQ_EMPTY(&t->batches) && !t->mint && !t->fresh && !t->update &&
	    token_unasked_ms(t) > (token_is_lease(t) ? 0 :
		KEPT_WITHOUT_VALUE_MS); /* a run has one value */
}

bool
token_is_active(const struct token *t)
{
	return t->active;
}

int
token_take_quota(struct token *t, struct tb_error *err)
{
	char whose[96];

	if (t->tc->mints_per_hour == 0)
		return 0;
	snprintf(whose, sizeof(whose), " of [token %s]", t->tc->name);
	return quota_take(&t->mints, t->tc->mints_per_hour, whose, err);
}

void
token_return_quota(struct token *t)
{
	quota_return(&t->mints);
}

bool
token_is_for_holders(const struct token *t)
{
	return t->tc->per_holder && !token_is_holders(t);
}

struct broker_releases *
token_releases(struct token *t)
{
	return &t->releases;
}

const char *
token_name(const struct token *t)
{
	return t->tc->name;
}

struct login *
token_login(const struct token *t)
{
	return t->tc->backend->login ? broker_login(t->env.broker,
	    t->tc->backend->login) : NULL;
}

struct generation *
token_find(struct token *t, uint64_t number)
{
	struct generation *g;

	TAILQ_FOREACH(g, &t->gens, link) {
		if (g->number == number)
			return g;
	}
	return NULL;
}

uint64_t
token_counted(const struct token *t)
{
	return t->last_number;
}

void
token_count_from(struct token *t, uint64_t number)
{
	t->last_number = MAX2(t->last_number, number);
}

bool
token_has_generation(struct token *t, uint64_t number)
{
	return token_find(t, number) != NULL;
}

void
token_audit_generation(struct token *t, const struct generation *g, int event,
    const char *reason)
{
	struct audit_rec rec = {
		.event = (enum audit_event)event,
		.token = t->tc->name,
		.generation = g->number,
		.token_id = g->id,
		.fingerprint = g->fingerprint,
		.backend = g->backend,
		.login = g->login,
		.human = g->human,
		.nonce = g->nonce,
		.expires_at = g->expires_at,
		.reason = reason,
	};

	audit_durable(t->env.audit, &rec, NULL, NULL);
}

/* ------------------------------------------------------------- records */

static char *
generation_record(const struct token *t, const struct generation *g)
{
	return xasprintf("%s.%" PRIu64, t->tc->name, g->number);
}

void
token_save_generation(struct token *t, const struct generation *g,
    struct writer_item **item, void (*fn)(void *, const struct tb_error *),
    void *arg)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	char *record _cleanup_free_ = generation_record(t, g);
	struct writer_item *put;

	generation_encode(g, &plain);
	put = store_put(t->env.store, "generation", record, &plain, fn, arg);
	if (item)
		*item = put;
}

static void
token_insert(struct token *t, struct generation *g)
{
	struct generation *at;

	TAILQ_FOREACH(at, &t->gens, link) {
		if (at->number < g->number) {
			TAILQ_INSERT_BEFORE(at, g, link);
			break;
		}
	}
	if (!at)
		TAILQ_INSERT_TAIL(&t->gens, g, link);
	if (g->number > t->last_number)
		t->last_number = g->number;
}

void
token_restore_generation(struct token *t, const char *record,
    struct secret *plain)
{
	struct tb_error err = TB_ERROR_INIT;
	struct generation *g = generation_decode(plain, t->env.seal, &err);

	if (!g) {
		log_error("token", "%s: record %s cannot be used: %s",
		    t->tc->name, record, err.msg);
		return;
	}
	token_insert(t, g);
}

void
token_restore_intent(struct token *t, const char *record,
    struct secret *plain)
{
	struct tb_error err = TB_ERROR_INIT;
	struct intent *i = intent_decode(plain, &err);
	struct generation *g;

	if (!i) {
		log_error("token", "%s: intent %s cannot be used: %s",
		    t->tc->name, record, err.msg);
		return;
	}
	if (i->generation > t->last_number)
		t->last_number = i->generation;
	g = token_find(t, i->generation);
	if (g && streq(g->nonce, i->nonce)) {
		/* minted and kept; only the intent outlived the crash */
		store_delete(t->env.store, "intent", record, NULL, NULL);
		intent_free(i);
		return;
	}
	log_warn("token", "%s: the mint of generation %" PRIu64 " was "
	    "interrupted; looking for what it may have left", t->tc->name,
	    i->generation);
	token_settle(t, i, t->conf, t->tc);
}

void
token_drop_generation(struct token *t, struct generation *g)
{
	char *record _cleanup_free_ = generation_record(t, g);

	broker_retire(t->env.broker, g->backend, g->nonce, g->id);
	broker_number_gone(t->env.broker, g->number);
	store_delete(t->env.store, "generation", record, NULL, NULL);
	TAILQ_REMOVE(&t->gens, g, link);
	if (t->current == g)
		t->current = NULL;
	if (t->probing == g)
		token_probe_stop(t);
	if (t->checking == g) {
		upstream_cancel(&t->check);
		t->checking = NULL;
	}
	token_revoke_forget(t, g);
	token_held_drop(t, g->number);
	generation_free(g);
}

/* ------------------------------------------------ which one is released */

void
token_choose_current(struct token *t)
{
	struct generation *g, *best = NULL;

	TAILQ_FOREACH(g, &t->gens, link) {
		if (!token_is_for_holders(t) &&
		    g->state == GENERATION_READY && generation_left_s(g) > 0 &&
		    streq(g->backend, t->tc->backend->name)) {
			best = g;
			break;
		}
	}
	if (best != t->current) {
		t->asked_before = t->asked_min_valid;
		t->asked_min_valid = 0;
		t->current = best;
		t->serial = broker_serial(t->env.broker);
		t->used = false;
		token_note_superseded(t);
	}
	token_plan_superseded(t);
	token_make_plan(t);
	token_answer_soon(t);
}

void
token_activate(struct token *t)
{
	struct generation *g, *next;
	bool newest = true;

	t->active = true;
	token_held_activate(t);
	token_retire_expired(t);
	for (g = TAILQ_FIRST(&t->gens); g; g = next) {
		next = TAILQ_NEXT(g, link);
		if (g->state == GENERATION_REVOKING)
			token_revoke_resume(t, g);
		else if (g->state == GENERATION_PROBING && newest)
			token_resume_probe(t, g);
		newest = false;
	}
	token_login_changed(t, broker_payer_login(t->env.broker,
	    t->tc->backend));
	token_choose_current(t);
	t->used = true;
	token_do_plan(t);
}

bool
token_has_value(const struct token *t)
{
	struct generation *g;

	TAILQ_FOREACH(g, &t->gens, link) {
		if (g->state != GENERATION_REVOKING)
			return true;
	}
	return false;
}

void
token_look_at_grant(struct token *t)
{
	struct login *l = broker_payer_login(t->env.broker, t->tc->backend);
	bool was = t->withheld;

	t->withheld = t->tc->on_grant_loss != TOKEN_LOSS_SERVE && l &&
	    !login_is_usable(l);
	if (t->withheld != was) {
		log_info("token", "%s: %s", t->tc->name, t->withheld ?
		    "withheld, because the login it was minted on is lost" :
		    "released again");
		t->serial = broker_serial(t->env.broker);
	}
	if (t->tc->on_grant_loss == TOKEN_LOSS_REVOKE && l &&
	    login_is_lost(l) && token_has_value(t) &&
	    !store_is_quarantined(t->env.store))
		token_revoke(t, 0, "the grant that it was minted on is lost",
		    NULL, NULL);
	token_answer_soon(t);
}

void
token_login_changed(struct token *t, struct login *l)
{
	if (!l || l != broker_payer_login(t->env.broker, t->tc->backend))
		return;
	token_look_at_grant(t);
	if (login_is_usable(l)) {
		/* What failed for another reason than the login goes on
		 * backing off: a login is renewed often, and says so here. */
		if (t->last_error.code == TB_E_LOGIN) {
			t->not_before_ms = 0;
			backoff_reset(&t->backoff);
			t->last_error = (struct tb_error)TB_ERROR_INIT;
		}
		if (token_renewal_is_due(t) || token_is_wanted(t))
			token_mint_now(t);
	}
	token_make_plan(t); /* a lost login ends what it paid: to be told */
}
