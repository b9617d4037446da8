/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See reconcile.h.
 *
 *   RESTING --timer, operator--> LISTING each kind --> judged
 *      ^                            |failed             | orphans that may go
 *      |                            v                   v
 *      `------ planned <---------- (back-off)        REVOKING one by one
 *
 * A list is judged by what is known when its answer is here: a mint that began
 * since is known by its intent, and a value that ended since is in the book of
 * retired ones.
 */
#include "broker/reconcile.h"

#include "base/log.h"
#include "base/now.h"
#include "broker/broker_int.h"
#include "broker/login.h"
#include "broker/reconcile_int.h"
#include "broker/status.h"
#include "broker/upstream.h"
#include "conf.h"
#include "state/store.h"

/* The first look comes soon after a start, and not of all hosts at once. */
#define FIRST_MS 60000
#define SOON_MS 1000
#define FAILED_MS 30000
#define FAILED_CAP_MS (60 * 60 * 1000)
/* So many revocations in one look. */
#define REVOKE_MAX 16

#define KINDS 4

static void reconcile_list_next(struct reconcile *r);
static void reconcile_revoke_next(struct reconcile *r);
static void reconcile_on_timer(void *arg);
static void reconcile_on_ending(void *arg);

/* ------------------------------------------------------------ what to list */

/* The kinds of token whose lists are to be looked at. With a service whose
 * kinds share one list that is one list too many, and no harm. */
static unsigned
kinds_of(const struct conf *conf, const struct backend_conf *bc)
{
	unsigned kinds = 0;
	bool used = false;

	for (size_t i = 0; i < conf->n_tokens; i++) {
		const struct token_conf *tc = conf->tokens[i];

		if (tc->backend != bc)
			continue;
		used = true;
		if (bc->ops->caps(bc, &tc->recipe) & BACKEND_CAN_LIST)
			kinds |= 1u << tc->recipe.kind;
	}
	if (!used && (bc->ops->caps(bc, NULL) & BACKEND_CAN_LIST))
		kinds = 1u << BACKEND_KIND_DATABASE;
	return kinds;
}

bool
reconcile_can(const struct conf *conf, const struct backend_conf *bc)
{
	return kinds_of(conf, bc) != 0;
}

/* Why nobody can pay now; TB_OK: somebody can, or nobody needs to. */
static int
reconcile_may_pay(const struct reconcile *r, struct tb_error *err)
{
	struct login *l = r->bc->login ? broker_login(r->env.broker,
	    r->bc->login) : NULL;
	struct broker_view view;

	if (l && login_is_leaving(l))
		return tb_error_set(err, TB_E_LOGIN, "login '%s' is being "
		    "logged out", r->bc->login);
	if (l && !login_is_usable(l))
		return login_why_unusable(l, err);
	if (r->bc->management_token && !broker_get(r->env.broker,
	    r->bc->management_token, 0, &view))
		return tb_error_set(err, TB_E_LOGIN, "token '%s', which pays, "
		    "has no value; 'tokenbrokerctl status' says why",
		    r->bc->management_token);
	return 0;
}

/* ------------------------------------------------------------- life of it */

struct reconcile *
reconcile_new(const struct token_env *env, const struct conf *conf,
    const struct backend_conf *bc)
{
	struct reconcile *r = xnew(struct reconcile);

	r->env = *env;
	r->conf = conf_ref(conf);
	r->bc = bc;
	r->name = xstrdup(bc->name);
	r->backoff = (struct backoff)BACKOFF_INIT(FAILED_MS, FAILED_CAP_MS);
	TAILQ_INIT(&r->asks);
	loop_timer_init(&r->timer, env->loop, reconcile_on_timer, r);
	loop_task_init(&r->ending, env->loop, reconcile_on_ending, r);
	return r;
}

static void
reconcile_stop(struct reconcile *r)
{
	upstream_cancel(&r->op);
	str_set(&r->revoking, NULL);
	r->kinds = 0;
}

void
reconcile_free(struct reconcile *r)
{
	struct reconcile_ask *a;

	if (!r)
		return;
	reconcile_stop(r);
	loop_timer_stop(&r->timer);
	loop_task_cancel(&r->ending);
	while ((a = TAILQ_FIRST(&r->asks))) {
		TAILQ_REMOVE(&r->asks, a, link);
		a->r = NULL; /* its owner cancels it */
	}
	orphan_clear(&r->book);
	free(r->name);
	conf_unref(r->conf);
	free(r);
}

const char *
reconcile_name(const struct reconcile *r)
{
	return r->name;
}

bool
reconcile_rests(const struct reconcile *r)
{
	return r->rests;
}

void
reconcile_restore(struct reconcile *r, struct secret *plain)
{
	struct tb_error err = TB_ERROR_INIT;

	orphan_clear(&r->book);
	if (orphan_decode(plain, &r->book, &err) < 0) {
		log_error("reconcile", "%s: the record cannot be used: %s",
		    r->name, err.msg);
		orphan_clear(&r->book);
	}
}

/* Lost, it is made anew by the next look: what was told is told again. */
static void
reconcile_save(struct reconcile *r)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	if (!r->book.changed)
		return;
	orphan_encode(&r->book, &plain);
	store_put(r->env.store, "reconcile", r->name, &plain, NULL, NULL);
}

void
reconcile_retire(struct reconcile *r, const char *nonce, const char *id)
{
	orphan_retire(&r->book, nonce, id);
	reconcile_save(r);
}

/* ---------------------------------------------------------------- planning */

static void
reconcile_plan(struct reconcile *r)
{
	int64_t every = r->bc->reconcile_interval_ms, in;

	if (every == 0) {
		loop_timer_stop(&r->timer);
		return;
	}
	in = every / 2 + (int64_t)backoff_random((uint64_t)every);
	if (r->suspects)
		in = MIN2(in, r->conf->settle_time_ms + 1000);
	loop_timer_set(&r->timer, in);
}

void
reconcile_activate(struct reconcile *r)
{
	int64_t first = MIN2(r->bc->reconcile_interval_ms, FIRST_MS);

	if (first > 0)
		loop_timer_set(&r->timer,
		    (int64_t)backoff_random((uint64_t)first));
}

void
reconcile_payer_changed(struct reconcile *r)
{
	if (!r->rests && !r->op && (r->error.code == TB_E_LOGIN ||
	    r->error.code == TB_E_QUARANTINE)) {
		backoff_reset(&r->backoff);
		reconcile_activate(r);
	}
}

void
reconcile_soon(struct reconcile *r)
{
	if (!r->rests && !r->op && r->bc->reconcile_interval_ms > 0)
		loop_timer_set(&r->timer, SOON_MS);
}

/* The present look is over. */
static void
reconcile_end(struct reconcile *r, const struct tb_error *err)
{
	r->error = err ? *err : (struct tb_error)TB_ERROR_INIT;
	reconcile_save(r);
	if (!err) {
		r->last_error = (struct tb_error)TB_ERROR_INIT;
		r->counts.last_ok_at = now_real_s();
		backoff_reset(&r->backoff);
		reconcile_plan(r);
	} else if (r->bc->reconcile_interval_ms > 0) {
		loop_timer_set(&r->timer, backoff_next(&r->backoff,
		    err->retry_after_ms));
	}
	loop_task_post(&r->ending);
}

static void
reconcile_fail(struct reconcile *r, const struct tb_error *err)
{
	if (!r->last_error.code)
		log_warn("reconcile", "%s: the tokens there cannot be looked "
		    "at: %s; tried again by itself", r->name, err->msg);
	r->counts.failures++;
	r->last_error = *err;
	r->last_error_at = now_real_s();
	reconcile_end(r, err);
}

static void
reconcile_on_ending(void *arg)
{
	struct reconcile *r = arg;
	struct tb_error err = r->error;
	struct reconcile_asks told = TAILQ_HEAD_INITIALIZER(told);
	struct reconcile_ask *a;

	/* one that asks now waits for the next look */
	TAILQ_CONCAT(&told, &r->asks, link);
	while ((a = TAILQ_FIRST(&told))) {
		TAILQ_REMOVE(&told, a, link);
		a->r = NULL;
		a->fn(a->arg, r, err.code ? &err : NULL);
		free(a);
	}
}

/* ----------------------------------------------------------------- orphans */

/* Seen in two lists that are settle_time apart. */
static bool
orphan_is_due(const struct reconcile *r, const struct orphan *o)
{
	int64_t age = o->first_ms ? r->began_ms - o->first_ms :
	    (now_real_s() - o->first_seen) * 1000;

	return o->seen && !o->refused && !o->revoked_at && !o->former &&
	    age >= r->conf->settle_time_ms;
}

static void
reconcile_on_revoked(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct reconcile *r = arg;
	struct orphan *o = orphan_find(&r->book, r->revoking);

	r->op = NULL;
	if (err) {
		str_set(&r->revoking, NULL);
		if (tb_error_is_transient(err) || err->code == TB_E_LOGIN) {
			reconcile_fail(r, err);
			return;
		}
		/* this one, not the service: others shall not wait for it */
		o->refused = true;
		r->refusal = *err;
		reconcile_revoke_next(r);
		return;
	}
	o->revoked_at = now_real_s();
	r->book.changed = true;
	r->counts.revoked++;
	log_warn("reconcile", "%s: revoked token %s, which nothing here knew",
	    r->name, o->id);
	reconcile_audit(r, o, AUDIT_REVOKED, "orphan");
	str_set(&r->revoking, NULL);
	reconcile_revoke_next(r);
}

/* From another one on in every look, since a look has room for a few only. */
static struct orphan *
next_due(struct reconcile *r)
{
	size_t n = r->book.n_orphans;

	for (size_t i = 0; i < n; i++) {
		struct orphan *o = &r->book.orphans[(i + r->counts.looks) % n];

		if (orphan_is_due(r, o))
			return o;
	}
	return NULL;
}

/* While a record of ours is lost or cannot be read, what it knew looks like an
 * orphan. */
static bool
reconcile_may_revoke(const struct reconcile *r)
{
	struct store_stats s;

	store_get_stats(r->env.store, &s);
	return r->bc->revoke_orphans && s.quarantined == 0 &&
	    s.missing == 0 &&
	    (r->bc->ops->caps(r->bc, &r->look.recipe) & BACKEND_CAN_REVOKE);
}

static void
reconcile_revoke_next(struct reconcile *r)
{
	struct backend_run run = { .verb = BACKEND_REVOKE };
	struct orphan *o = next_due(r);

	if (o)
		r->look.recipe.kind = o->kind;
	if (!o || !reconcile_may_revoke(r) ||
	    r->n_revocations++ >= REVOKE_MAX) {
		if (r->refusal.code)
			reconcile_fail(r, &r->refusal);
		else
			reconcile_end(r, NULL);
		return;
	}
	str_set(&r->revoking, o->id);
	run.token_id = xstrdup(o->id);
	r->op = upstream_start(&r->env, r->conf, &r->look, &run,
	    reconcile_on_revoked, r);
}

static void
reconcile_on_listed(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct reconcile *r = arg;

	r->op = NULL;
	if (err) {
		r->kinds = 0;
		reconcile_fail(r, err);
		return;
	}
	reconcile_judge_list(r, run);
	reconcile_list_next(r);
}

/* -------------------------------------------------------------- the look */

static void
reconcile_listed_all(struct reconcile *r)
{
	orphan_look_ends(&r->book, r->began_ms);
	if (r->bc->revoke_orphans && orphan_count(&r->book) > 0)
		r->suspects = true;
	log_debug("reconcile", "%s: %zu listed, %zu marked by us, %zu by other "
	    "installations, %zu orphans", r->name, r->counts.listed,
	    r->counts.ours, r->counts.others, orphan_count(&r->book));
	r->n_revocations = 0;
	reconcile_revoke_next(r);
}

static void
reconcile_list_next(struct reconcile *r)
{
	struct backend_run run = { .verb = BACKEND_LIST };

	for (int kind = 0; kind < KINDS; kind++) {
		if (!(r->kinds & 1u << kind))
			continue;
		r->kinds &= ~(1u << kind);
		r->look.recipe.kind = (enum backend_kind)kind;
		r->op = upstream_start(&r->env, r->conf, &r->look, &run,
		    reconcile_on_listed, r);
		return;
	}
	reconcile_listed_all(r);
}

static void
reconcile_begin(struct reconcile *r)
{
	struct tb_error err = TB_ERROR_INIT;

	loop_timer_stop(&r->timer);
	if (store_is_quarantined(r->env.store)) {
		/* what was minted since looks like an orphan to an old state */
		store_why_quarantined(r->env.store, &err);
		reconcile_end(r, &err);
		return;
	}
	if (reconcile_may_pay(r, &err) < 0) {
		log_debug("reconcile", "%s: not now: %s", r->name, err.msg);
		reconcile_end(r, &err);
		return;
	}
	r->counts.looks++;
	r->counts.listed = r->counts.ours = r->counts.others = 0;
	r->suspects = false;
	r->refusal = (struct tb_error)TB_ERROR_INIT;
	r->look = (struct token_conf){ .name = r->name, .backend = r->bc };
	r->kinds = kinds_of(r->conf, r->bc);
	r->began_ms = now_boot_ms();
	orphan_look_begins(&r->book);
	reconcile_list_next(r);
}

static void
reconcile_on_timer(void *arg)
{
	struct reconcile *r = arg;

	if (!r->op)
		reconcile_begin(r);
}

struct reconcile_ask *
reconcile_now(struct reconcile *r, reconcile_done_fn *fn, void *arg)
{
	struct reconcile_ask *a = xnew(struct reconcile_ask);

	a->r = r;
	a->fn = fn;
	a->arg = arg;
	TAILQ_INSERT_TAIL(&r->asks, a, link);
	if (!r->op && !r->rests)
		reconcile_begin(r);
	return a;
}

void
reconcile_ask_cancel(struct reconcile_ask **ap)
{
	struct reconcile_ask *a = STEAL(*ap);

	if (!a)
		return;
	if (a->r)
		TAILQ_REMOVE(&a->r->asks, a, link);
	free(a);
}

void
reconcile_set_conf(struct reconcile *r, const struct conf *conf,
    const struct backend_conf *bc)
{
	bool was_looking = r->op != NULL;
	bool same = bc && r->bc && loop_timer_is_set(&r->timer) &&
	    bc->reconcile_interval_ms == r->bc->reconcile_interval_ms;

	if (!same)
		loop_timer_stop(&r->timer);
	reconcile_stop(r);
	conf_ref(conf);
	conf_unref(r->conf);
	r->conf = conf;
	r->bc = bc;
	r->rests = !bc;
	if (r->rests) {
		tb_error_set(&r->error, TB_E_CANCELLED, "the backend was "
		    "taken out of the configuration");
		loop_task_post(&r->ending);
	} else if (was_looking) {
		reconcile_begin(r);
	} else if (!same) {
		reconcile_activate(r);
	}
}

json_t *
reconcile_status(const struct reconcile *r)
{
	json_t *o = json_object();

	status_str(o, "backend", r->name);
	if (!r->rests)
		status_str(o, "on_orphan", r->bc->revoke_orphans ? "revoke" :
		    "report");
	status_time(o, "last_look_at", r->counts.last_ok_at);
	if (loop_timer_is_set(&r->timer))
		status_time(o, "next_look_at", now_real_s() +
		    (r->timer.at_ms - now_boot_ms()) / 1000);
	status_int(o, "looks", (int64_t)r->counts.looks);
	status_int(o, "listed", (int64_t)r->counts.listed);
	status_int(o, "ours", (int64_t)r->counts.ours);
	status_int(o, "other_installations", (int64_t)r->counts.others);
	status_int(o, "orphans_revoked", (int64_t)r->counts.revoked);
	status_int(o, "orphans_alive", (int64_t)orphan_count(&r->book));
	json_object_set_new(o, "orphans", orphan_status(&r->book));
	if (r->last_error.code) {
		status_str(o, "last_error", r->last_error.msg);
		status_time(o, "last_error_at", r->last_error_at);
	}
	return o;
}

void
reconcile_get_counts(const struct reconcile *r, struct reconcile_counts *out)
{
	*out = r->counts;
}

size_t
reconcile_orphans(const struct reconcile *r)
{
	return orphan_count(&r->book);
}
