/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a new generation comes to be.
 *
 *   mint -> SAVE (durable) -> PROBING -> READY
 *
 * One at a time. A failed mint is tried again with back-off for as long as
 * somebody wants it or a renewal is due; an uncertain one is settled beside
 * it. A value is released only after it was seen to work, where the service
 * lets us look.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "base/timefmt.h"
#include "broker/intent.h"
#include "broker/login.h"
#include "broker/mint.h"
#include "broker/settle.h"
#include "broker/token_int.h"
#include "broker/upstream.h"
#include "conf.h"
#include "state/audit.h"
#include "state/store.h"
#include "state/writer.h"

#define MINT_BACKOFF_BASE_MS 1000
#define MINT_BACKOFF_CAP_MS (5 * 60 * 1000)
#define SAVE_AGAIN_MS 1000
/* This many uncertain mints of one token, and no further one is made: few
 * where nobody can look what became of them, more where they are settled. */
#define MAX_BLIND 3
#define MAX_SETTLING 16
/* An access token whose provider does not say how long it lives. */
#define UNKNOWN_LIFE_S 300
/* A holder's complaint is looked into once per generation and minute. */
#define CHECK_INTERVAL_MS 60000

static void token_save_fresh(struct token *t);

static unsigned
token_caps(const struct token *t)
{
	return t->tc->backend->ops->caps(t->tc->backend, &t->tc->recipe);
}

/* --------------------------------------------------------------- failing */

static void
token_retry_later(struct token *t, const struct tb_error *err)
{
	int64_t delay = backoff_next(&t->backoff, err->retry_after_ms);
	char in[TIMEFMT_SIZE];

	t->last_error = *err;
	t->last_error_at = now_real_s();
	t->n_failures++;
	if (err->code == TB_E_LOGIN) {
		/* waiting does not help: the login's return starts it again,
		 * or, where a token pays, a look now and then */
		t->not_before_ms = 0;
		if (!token_login(t))
			loop_timer_set(&t->retry, delay);
		log_warn("token", "%s: cannot be minted: %s", t->tc->name,
		    err->msg);
	} else {
		t->not_before_ms = now_boot_ms() + delay;
		loop_timer_set(&t->retry, delay);
		log_warn("token", "%s: mint failed (%s), next attempt in %s",
		    t->tc->name, err->msg, timefmt_duration(delay, in,
		    sizeof(in)));
	}
	if (!tb_error_is_transient(err)) {
		t->last_error.retry_after_ms = delay;
		token_waiters_fail(t, &t->last_error);
	}
	token_make_plan(t);
	token_answer_soon(t);
}

static void
token_on_retry(void *arg)
{
	struct token *t = arg;
	bool due = t->current && (token_is_outdated(t, t->current) ||
	    token_renew_in_s(t, t->current) <= 0);

	if (token_is_wanted(t) || due)
		token_mint_now(t);
}

static bool
token_is_capped(const struct token *t)
{
	struct settling *s;
	unsigned blind = 0, n = 0;

	TAILQ_FOREACH(s, &t->settlings, link) {
		n++;
		blind += settle_is_blind(s->op);
	}
	return blind >= MAX_BLIND || n >= MAX_SETTLING;
}

/* -------------------------------------------------------------- minting */

/* The service gave so little life that one would be minted after the other. */
static bool
token_is_too_short(const struct token *t, const struct generation *g)
{
	return g->expires_at - g->minted_at < t->conf->min_lifetime_ms / 1000;
}

/* It is on record, and goes back at once. */
static void
token_refuse_fresh(struct token *t, struct generation *g)
{
	struct tb_error err = TB_ERROR_INIT;
	char life[TIMEFMT_SIZE];

	tb_error_set(&err, TB_E_UPSTREAM, "'%s' gave a value that lives for %s"
	    ", which is less than min_lifetime in [broker]", g->backend,
	    timefmt_duration((g->expires_at - g->minted_at) * 1000, life,
	    sizeof(life)));
	token_revoke_resume(t, g);
	token_retry_later(t, &err);
}

static void
token_on_minted(void *arg, struct mint_result *r, struct intent **open,
    const struct tb_error *err)
{
	struct token *t = arg;
	struct generation *g;
	struct login *l;
	bool uncertain = err && *open;
	const struct token_conf *tc;
	const struct conf *conf = mint_conf(t->mint, &tc);

	t->mint = NULL;
	if (uncertain)
		t->counts.uncertain++;
	else if (err)
		t->counts.not_made++;
	else
		t->counts.made++;
	if (err) {
		if (*open)
			token_settle(t, STEAL(*open), conf, tc);
		token_revoke_late(t, NULL, uncertain ? err : NULL);
		token_retry_later(t, err);
		return;
	}
	l = broker_payer_login(t->env.broker, r->tc->backend);
	g = generation_new(t->last_number);
	generation_set_value(g, t->env.seal, &r->value);
	g->id = STEAL(r->id);
	g->nonce = r->nonce[0] ? xstrdup(r->nonce) : NULL;
	g->backend = xstrdup(r->tc->backend->name);
	g->login = xstrdup0(l ? login_name(l) : NULL);
	g->human = xstrdup0(l ? login_human(l) : NULL);
	g->recipe = generation_recipe(r->tc);
	g->minted_at = now_real_s();
	g->expires_at = r->expires_at ? r->expires_at :
	    g->minted_at + r->tc->lifetime_ms / 1000;
	if (g->expires_at <= g->minted_at)
		g->expires_at = g->minted_at + UNKNOWN_LIFE_S;
	g->endless = r->endless;
	generation_start_clock(g);
	g->born_ms = now_boot_ms();
	g->state = token_is_too_short(t, g) ? GENERATION_REVOKING :
	    GENERATION_PROBING;
	t->fresh = g;
	token_save_fresh(t);
}

void
token_mint_now(struct token *t)
{
	struct tb_error err = TB_ERROR_INIT;
	int64_t min_valid = 0;
	struct login *l;

	if (t->parked || token_is_for_holders(t) || t->mint || t->fresh ||
	    t->probing ||
	    now_boot_ms() < t->not_before_ms)
		return;
	if (token_caps(t) & BACKEND_NO_MINT) {
		tb_error_set(&err, TB_E_LOGIN, "token '%s' is made by hand; "
		    "run: tokenbrokerctl import %s", t->tc->name, t->tc->name);
		token_waiters_fail(t, &err);
		return;
	}
	if (store_is_quarantined(t->env.store)) {
		/* token_resume comes back to it */
		store_why_quarantined(t->env.store, &err);
		token_waiters_fail(t, &err);
		return;
	}
	l = broker_payer_login(t->env.broker, t->tc->backend);
	if (l && login_is_leaving(l)) {
		tb_error_set(&err, TB_E_LOGIN, "login '%s' is being logged "
		    "out", login_name(l));
		token_retry_later(t, &err);
		return;
	}
	/* it would not be released, so that one more would be asked for */
	if (l && t->withheld && !login_is_usable(l)) {
		login_why_unusable(l, &err);
		token_retry_later(t, &err);
		return;
	}
	if (token_is_capped(t)) {
		tb_error_set(&err, TB_E_LIMIT, "too many mints of token '%s' "
		    "are unsettled; see: tokenbrokerctl status", t->tc->name);
		token_retry_later(t, &err);
		return;
	}
	if (broker_may_mint(t->env.broker, t, &err) < 0) {
		token_retry_later(t, &err);
		return;
	}
	/* Where the value is the payer's own bearer, ask for one that outlives
	 * what is held already. */
	if ((token_caps(t) & BACKEND_VALUE_IS_BEARER) && t->current)
		min_valid = generation_left_least_s(t->current) + 1;
	loop_timer_stop(&t->retry);
	t->last_number++;
	t->n_mints++;
	t->mint = mint_start(&t->env, t->conf, t->tc, t->last_number,
	    min_valid, token_on_minted, t);
}

/* --------------------------------------------------------------- saving */

static void
token_on_saved(void *arg, const struct tb_error *err)
{
	struct token *t = arg;
	struct generation *g = t->fresh;
	char *record _cleanup_free_ = NULL;

	t->saving = NULL;
	if (err) {
		/* The value exists upstream and only in our memory: keep it,
		 * release nothing, write again. The intent is still on disk,
		 * so a crash now is settled. */
		log_error("token", "%s: generation %" PRIu64 " cannot be "
		    "stored: %s", t->tc->name, g->number, err->msg);
		loop_timer_set(&t->retry, SAVE_AGAIN_MS);
		return;
	}
	record = xasprintf("%s.%" PRIu64, t->tc->name, g->number);
	if (g->nonce)
		store_delete(t->env.store, "intent", record, NULL, NULL);
	t->fresh = NULL;
	TAILQ_INSERT_HEAD(&t->gens, g, link);
	t->last_error = (struct tb_error)TB_ERROR_INIT;
	t->not_before_ms = 0;
	backoff_reset(&t->backoff);
	token_audit_generation(t, g, g->imported ? AUDIT_IMPORTED :
	    AUDIT_MINTED, NULL);
	log_info("token", "%s: generation %" PRIu64 " %s at '%s'%s%s",
	    t->tc->name, g->number, g->imported ? "imported" : "minted",
	    g->backend, g->id ? ", id " : "", g->id ? g->id : "");
	if (token_revoke_late(t, g, NULL))
		return;
	if (g->imported)
		broker_look_soon(t->env.broker, g->backend);
	if (g->state == GENERATION_READY)
		token_take_over(t, g);
	else if (g->state == GENERATION_REVOKING)
		token_refuse_fresh(t, g);
	else
		token_resume_probe(t, g);
}

static void
token_save_fresh(struct token *t)
{
	token_save_generation(t, t->fresh, &t->saving, token_on_saved, t);
}

static void
token_on_retry_or_save(void *arg)
{
	struct token *t = arg;

	if (t->fresh && !t->saving)
		token_save_fresh(t);
	else if (!t->fresh)
		token_on_retry(t);
}

int
token_import(struct token *t, struct secret *value, const char *id,
    int64_t expires_at, struct tb_error *err)
{
	struct generation *g;
	int64_t now = now_real_s();
	char most[64];

	if (!secret_is_token(value))
		return tb_error_set(err, TB_E_BADREQ, "the value is empty or "
		    "has spaces or control characters in it");
	if (expires_at <= now)
		return tb_error_set(err, TB_E_BADREQ,
		    "expires_at must be in the future");
	if (expires_at > now + t->conf->max_lifetime_ms / 1000)
		return tb_error_set(err, TB_E_BADREQ, "expires_at is further "
		    "away than max_lifetime = %s allows; that stands in "
		    "[broker]", timefmt_duration(t->conf->max_lifetime_ms,
		    most, sizeof(most)));
	if (t->mint || t->fresh)
		return tb_error_set(err, TB_E_BADREQ,
		    "a new generation is being made; try again in a moment");
	g = generation_new(++t->last_number);
	generation_set_value(g, t->env.seal, value);
	g->id = xstrdup0(id);
	g->backend = xstrdup(t->tc->backend->name);
	g->recipe = xstrdup(t->recipe);
	g->minted_at = now;
	g->expires_at = expires_at;
	generation_start_clock(g);
	g->imported = true;
	g->born_ms = now_boot_ms();
	g->state = GENERATION_READY; /* a human vouches for it */
	t->fresh = g;
	token_save_fresh(t);
	return 0;
}

/* ------------------------------------------------------------- rejected */

static void
token_on_checked(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct token *t = arg;
	struct generation *g = STEAL(t->checking);

	t->check = NULL;
	token_rejection_checked(t, g->number, err ? TOKEN_CHECK_UNCLEAR :
	    run->probe == BACKEND_PROBE_NOT_YET ? TOKEN_CHECK_REFUSED :
	    TOKEN_CHECK_WORKS);
	if (err || run->probe != BACKEND_PROBE_NOT_YET) {
		log_info("token", "%s: whether generation %" PRIu64 " still "
		    "works was doubted; our own probe does not confirm it",
		    t->tc->name, g->number);
		return;
	}
	log_warn("token", "%s: the service refuses generation %" PRIu64
	    "; minting another one", t->tc->name, g->number);
	g->state = GENERATION_REJECTED;
	g->rejected_at = now_real_s();
	token_save_generation(t, g, NULL, NULL, NULL);
	token_audit_generation(t, g, AUDIT_REJECTED, "probe says 401");
	token_choose_current(t);
	if (!t->current)
		token_mint_now(t);
}

enum token_check
token_check_generation(struct token *t, struct generation *g)
{
	struct backend_run run = { .verb = BACKEND_PROBE };
	int64_t now = now_boot_ms();

	if (g->state != GENERATION_READY ||
	    !streq(g->backend, t->tc->backend->name) ||
	    !(token_caps(t) & BACKEND_CAN_PROBE))
		return TOKEN_CHECK_NONE;
	if (t->check)
		return t->checking == g ? TOKEN_CHECK_PENDING :
		    TOKEN_CHECK_NONE;
	if (g->checked_ms && now - g->checked_ms < CHECK_INTERVAL_MS)
		return TOKEN_CHECK_RECENT;
	g->checked_ms = now;
	t->checking = g;
	secret_dup(&run.value, &g->value);
	t->check = upstream_start(&t->env, t->conf, t->tc, &run,
	    token_on_checked, t);
	return TOKEN_CHECK_PENDING;
}

bool
token_rejected(struct token *t, uint64_t generation,
    const unsigned char sha256[32], const struct principal *who)
{
	struct generation *g = token_find(t, generation);

	if (!g || memcmp(g->sha256, sha256, sizeof(g->sha256)) != 0)
		return false;
	token_note_rejection(t, generation, who, token_check_generation(t, g));
	return true;
}

/* ------------------------------------------------------------- settling */

static void
token_on_settled(void *arg, struct settle *op)
{
	struct settling *s = arg;
	struct token *t = s->token;

	(void)op;
	TAILQ_REMOVE(&t->settlings, s, link);
	free(s);
	if (t->last_error.code == TB_E_LIMIT) {
		t->not_before_ms = 0;
		loop_timer_set(&t->retry, 0);
	}
}

void
token_settle(struct token *t, struct intent *intent,
    const struct conf *conf, const struct token_conf *tc)
{
	struct settling *s = xnew(struct settling);

	s->token = t;
	TAILQ_INSERT_TAIL(&t->settlings, s, link);
	s->op = settle_start(&t->env, conf, tc, intent, token_on_settled, s);
	settle_set_conf(s->op, t->conf, t->tc);
}

/* ------------------------------------------------------------ life cycle */

void
token_mint_init(struct token *t)
{
	loop_timer_init(&t->retry, t->env.loop, token_on_retry_or_save, t);
	token_probe_init(t);
	t->backoff = (struct backoff)BACKOFF_INIT(MINT_BACKOFF_BASE_MS,
	    MINT_BACKOFF_CAP_MS);
}

void
token_settle_by(struct token *t, const struct conf *conf,
    const struct token_conf *tc)
{
	struct settling *s;

	TAILQ_FOREACH(s, &t->settlings, link)
		settle_set_conf(s->op, conf, tc);
}

/* A value that is being stored goes on being stored. */
void
token_mint_park(struct token *t)
{
	struct tb_error gone = TB_ERROR_INIT;
	const struct token_conf *tc = NULL;
	const struct conf *conf = t->mint ? conf_ref(mint_conf(t->mint, &tc)) :
	    NULL;
	struct intent *open = mint_abandon(&t->mint);

	if (open)
		token_settle(t, open, conf, tc);
	conf_unref(conf);
	if (!t->fresh) {
		tb_error_set(&gone, TB_E_CANCELLED, "the token was taken out "
		    "of the configuration while it was minted");
		token_revoke_late(t, NULL, open ? &gone : NULL);
		loop_timer_stop(&t->retry);
	}
	token_probe_stop(t);
	upstream_cancel(&t->check);
	upstream_cancel(&t->confirm);
	t->checking = NULL;
}

void
token_mint_stop(struct token *t)
{
	struct settling *s;

	mint_cancel(&t->mint);
	writer_forget(&t->saving);
	token_probe_stop(t);
	upstream_cancel(&t->check);
	upstream_cancel(&t->confirm);
	loop_timer_stop(&t->retry);
	generation_free(STEAL(t->fresh));
	t->checking = NULL;
	while ((s = TAILQ_FIRST(&t->settlings))) {
		TAILQ_REMOVE(&t->settlings, s, link);
		settle_cancel(&s->op);
		free(s);
	}
}
