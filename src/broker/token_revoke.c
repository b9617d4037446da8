/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a generation where the service must be told. From the moment it
 * is asked for the value is not released again; the service is told until it
 * agrees or the value has expired, over restarts too.
 *
 * Where values do not expire by themselves (generation->endless) their end is
 * told, too, and nothing is forgotten before the service has agreed:
 *
 *   expired --> inactive there --expiry_grace--> deleted there --> forgotten
 *
 * A revocation that somebody asks for deletes at once.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/token_int.h"
#include "broker/upstream.h"
#include "conf.h"
#include "state/audit.h"
#include "state/store.h"

#define REVOKE_BACKOFF_BASE_MS 2000
#define REVOKE_BACKOFF_CAP_MS (10 * 60 * 1000)

/* Somebody waits for the first outcome of each. */
struct revoke_batch {
	TAILQ_ENTRY(revoke_batch) link;
	struct token *token;
	bool late; /* one is open for a mint that is under way */
	unsigned open, revoked, local_only, failed;
	struct tb_error last;
	token_revoked_fn *fn;
	void *arg;
	struct loop_task task;
};

static void revoking_try(struct revoking *r);

static void
batch_on_task(void *arg)
{
	struct revoke_batch *b = arg;

	TAILQ_REMOVE(&b->token->batches, b, link);
	if (b->fn)
		b->fn(b->arg, b->revoked, b->local_only, b->failed,
		    b->failed ? &b->last : NULL);
	free(b);
}

static void
batch_settled_one(struct revoke_batch *b)
{
	if (--b->open == 0)
		loop_task_post(&b->task);
}

static void
revoking_free(struct revoking *r)
{
	TAILQ_REMOVE(&r->token->revokings, r, link);
	upstream_cancel(&r->op);
	loop_timer_stop(&r->timer);
	free(r);
}

static void
revoking_end(struct revoking *r, const char *reason)
{
	struct token *t = r->token;
	struct generation *g = r->generation;

	token_audit_generation(t, g, AUDIT_REVOKED, reason);
	revoking_free(r);
	token_drop_generation(t, g);
	token_choose_current(t);
}

/* The service has made it inactive: it is deleted when nobody has missed it
 * for a while. */
static void
revoking_on_disabled(struct revoking *r)
{
	struct generation *g = r->generation;

	log_info("token", "%s: generation %" PRIu64 " is over and inactive at "
	    "'%s'", r->token->tc->name, g->number, g->backend);
	g->disabled_at = now_real_s();
	token_save_generation(r->token, g, NULL, NULL, NULL);
	backoff_reset(&r->backoff);
	loop_timer_set(&r->timer, r->look.backend->expiry_grace_ms);
}

static void
revoking_on_done(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct revoking *r = arg;
	struct revoke_batch *b = r->batch;
	struct token *t = r->token;

	(void)run;
	r->op = NULL;
	if (!err && r->disabling) {
		revoking_on_disabled(r);
		return;
	}
	r->batch = NULL;
	if (err)
		t->counts.not_revoked++;
	else
		t->counts.revoked++;
	if (!err) {
		log_info("token", "%s: generation %" PRIu64 " is revoked",
		    t->tc->name, r->generation->number);
		if (b)
			b->revoked++;
		revoking_end(r, "revoked upstream");
	} else {
		log_warn("token", "%s: generation %" PRIu64 " is not released "
		    "any more but not yet revoked upstream: %s", t->tc->name,
		    r->generation->number, err->msg);
		loop_timer_set(&r->timer, backoff_next(&r->backoff,
		    err->retry_after_ms));
		if (b) {
			b->failed++;
			b->last = *err;
		}
	}
	if (b)
		batch_settled_one(b);
}

/* The backend that made it; NULL: it is not configured any more. */
static const struct backend_conf *
token_backend_of(const struct token *t, const struct generation *g)
{
	for (size_t i = 0; i < t->conf->n_backends; i++) {
		if (streq(t->conf->backends[i]->name, g->backend))
			return t->conf->backends[i];
	}
	return NULL;
}

bool
token_can_revoke(const struct token *t, const struct generation *g)
{
	unsigned caps = t->tc->backend->ops->caps(t->tc->backend,
	    &t->tc->recipe);

	if (g->endless) /* and if not now, then later */
		return true;
	return (caps & BACKEND_CAN_REVOKE) &&
	    (g->id || (caps & BACKEND_REVOKES_VALUE)) &&
	    streq(g->backend, t->tc->backend->name);
}

static bool
revoking_has_cap(const struct revoking *r, unsigned cap)
{
	const struct backend_conf *b = r->look.backend;

	return b->ops->caps(b, NULL) & cap;
}

static bool
revoking_is_possible(const struct revoking *r)
{
	return !r->generation->endless ||
	    revoking_has_cap(r, BACKEND_CAN_REVOKE);
}

/* Over and not asked for by anybody: inactive first. */
static bool
revoking_is_gentle(const struct revoking *r)
{
	const struct generation *g = r->generation;

	return g->endless && !r->asked && !g->disabled_at &&
	    generation_left_s(g) <= 0 &&
	    revoking_has_cap(r, BACKEND_CAN_DISABLE);
}

/* What lives on there for ever cannot be forgotten here. */
static void
revoking_wait_for_backend(struct revoking *r)
{
	const struct generation *g = r->generation;
	struct tb_error err = TB_ERROR_INIT;
	struct backend_run run = { .verb = BACKEND_REVOKE };

	tb_error_set(&err, TB_E_CONFIG, "backend '%s', which made it and does "
	    "not end its tokens, is not configured so any more; it works there "
	    "until the backend is back or somebody deletes %s by hand",
	    g->backend, g->id);
	revoking_on_done(r, &run, &err);
}

static void
revoking_try(struct revoking *r)
{
	struct backend_run run = { .verb = BACKEND_REVOKE };
	struct generation *g = r->generation;
	struct token *t = r->token;

	if (store_is_quarantined(t->env.store)) {
		/* token_resume hurries it */
		loop_timer_set(&r->timer, backoff_next(&r->backoff, 0));
		return;
	}
	r->look = *t->tc; /* borrowed: not to be freed */
	if (g->endless)
		r->look.backend = token_backend_of(t, g);
	if (!r->look.backend || !revoking_is_possible(r)) {
		revoking_wait_for_backend(r);
		return;
	}
	r->disabling = revoking_is_gentle(r);
	if (r->disabling)
		run.verb = BACKEND_DISABLE;
	run.token_id = xstrdup0(g->id);
	if (revoking_has_cap(r, BACKEND_REVOKES_VALUE))
		secret_dup(&run.value, &g->value);
	r->op = upstream_start(&t->env, t->conf, &r->look, &run,
	    revoking_on_done, r);
}

static void
revoking_on_timer(void *arg)
{
	revoking_try(arg);
}

static struct revoking *
token_find_revoking(struct token *t, const struct generation *g)
{
	struct revoking *r;

	TAILQ_FOREACH(r, &t->revokings, link) {
		if (r->generation == g)
			return r;
	}
	return NULL;
}

static struct revoking *
token_add_revoking(struct token *t, struct generation *g)
{
	struct revoking *r = xnew(struct revoking);

	r->token = t;
	r->generation = g;
	r->backoff = (struct backoff)BACKOFF_INIT(REVOKE_BACKOFF_BASE_MS,
	    REVOKE_BACKOFF_CAP_MS);
	loop_timer_init(&r->timer, t->env.loop, revoking_on_timer, r);
	TAILQ_INSERT_TAIL(&t->revokings, r, link);
	return r;
}

/* Of the time between inactive and deleted, after a restart. A clock that was
 * set since can make it shorter, never longer than it is. */
static int64_t
token_grace_left_ms(const struct token *t, const struct generation *g)
{
	const struct backend_conf *b = token_backend_of(t, g);
	int64_t grace = b ? b->expiry_grace_ms : 0;
	int64_t left = grace - (now_real_s() - g->disabled_at) * 1000;

	return MAX2(MIN2(left, grace), 0);
}

void
token_revoke_resume(struct token *t, struct generation *g)
{
	struct revoking *r;

	if (token_find_revoking(t, g)) /* went on while it was parked */
		return;
	r = token_add_revoking(t, g);
	if (g->disabled_at)
		loop_timer_set(&r->timer, token_grace_left_ms(t, g));
	else if (token_can_revoke(t, g))
		loop_timer_set(&r->timer, backoff_next(&r->backoff, 0));
	else
		revoking_end(r, "forgotten: this backend cannot revoke");
}

void
token_end_expired(struct token *t, struct generation *g)
{
	if (t->probing == g)
		token_probe_stop(t);
	if (t->checking == g) { /* its outcome would overwrite the state */
		upstream_cancel(&t->check);
		t->checking = NULL;
	}
	g->state = GENERATION_REVOKING;
	token_save_generation(t, g, NULL, NULL, NULL);
	token_audit_generation(t, g, AUDIT_WITHHELD, "its lifetime is over");
	/* not from here: the caller walks the list that an end changes */
	loop_timer_set(&token_add_revoking(t, g)->timer, 0);
}

/* Its end is under way already. What is only inactive, or was to be made so,
 * is deleted at once. */
static void
token_revoke_sooner(struct token *t, struct generation *g,
    struct revoke_batch *b)
{
	struct revoking *r = token_find_revoking(t, g);

	if (!g->endless || !r || r->asked)
		return;
	r->asked = true;
	r->batch = b;
	b->open++;
	if (r->op && !r->disabling)
		return; /* it is being deleted */
	upstream_cancel(&r->op);
	loop_timer_stop(&r->timer);
	revoking_try(r);
}

static void
token_revoke_one(struct token *t, struct generation *g, const char *why,
    struct revoke_batch *b)
{
	struct revoking *r;

	if (g->state == GENERATION_REVOKING) {
		token_revoke_sooner(t, g, b);
		return;
	}
	if (t->probing == g)
		token_probe_stop(t);
	if (t->checking == g) { /* its outcome would overwrite the state */
		upstream_cancel(&t->check);
		t->checking = NULL;
	}
	g->state = GENERATION_REVOKING;
	token_save_generation(t, g, NULL, NULL, NULL);
	token_audit_generation(t, g, AUDIT_WITHHELD, why);
	r = token_add_revoking(t, g);
	if (!token_can_revoke(t, g)) {
		b->local_only++;
		t->counts.forgotten++;
		revoking_end(r, "forgotten: this backend cannot revoke");
		return;
	}
	b->open++;
	r->batch = b;
	r->asked = true;
	revoking_try(r);
}

void
token_revoke(struct token *t, uint64_t generation, const char *why,
    token_revoked_fn *fn, void *arg)
{
	struct revoke_batch *b = xnew(struct revoke_batch);
	struct generation *g, *next;

	b->token = t;
	b->fn = fn;
	b->arg = arg;
	TAILQ_INSERT_TAIL(&t->batches, b, link);
	b->open = 1; /* so that it cannot end while it is being filled */
	loop_task_init(&b->task, t->env.loop, batch_on_task, b);
	for (g = TAILQ_FIRST(&t->gens); g; g = next) {
		next = TAILQ_NEXT(g, link);
		if (generation == 0 || g->number == generation)
			token_revoke_one(t, g, why, b);
	}
	if (generation == 0 && (t->mint || t->fresh)) {
		b->late = true;
		b->open++;
	}
	token_choose_current(t);
	batch_settled_one(b);
}

bool
token_revoke_late(struct token *t, struct generation *g,
    const struct tb_error *err)
{
	struct revoke_batch *b;
	bool taken = false;

	TAILQ_FOREACH(b, &t->batches, link) {
		if (!b->late)
			continue;
		b->late = false;
		if (err) {
			b->failed++;
			b->last = *err;
		} else if (g && !taken) {
			token_revoke_one(t, g, "minted while all were revoked",
			    b);
			taken = true;
		}
		batch_settled_one(b);
	}
	if (taken)
		token_choose_current(t);
	return taken;
}

void
token_revoke_hurry(struct token *t)
{
	struct revoking *r;

	TAILQ_FOREACH(r, &t->revokings, link) {
		if (!r->op && (r->asked || !r->generation->disabled_at))
			loop_timer_set(&r->timer, 0);
	}
}

/* The generation goes away (expired, dropped): nothing left to revoke. */
void
token_revoke_forget(struct token *t, struct generation *g)
{
	struct revoking *r, *next;

	for (r = TAILQ_FIRST(&t->revokings); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->generation != g)
			continue;
		if (r->batch) {
			r->batch->revoked++;
			batch_settled_one(r->batch);
		}
		revoking_free(r);
	}
}

/* The broker stops: nobody is told, the next start goes on. */
void
token_revoke_stop(struct token *t)
{
	struct revoking *r;
	struct revoke_batch *b;

	while ((r = TAILQ_FIRST(&t->revokings)))
		revoking_free(r);
	while ((b = TAILQ_FIRST(&t->batches))) {
		TAILQ_REMOVE(&t->batches, b, link);
		loop_task_cancel(&b->task);
		free(b);
	}
}
