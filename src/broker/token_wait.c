/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Those who ask for a token. token_get() is the hot path: what is ready is
 * given without a turn of the loop. Everybody else waits in one list, and one
 * mint answers all of them (P4).
 */
#include "base/now.h"
#include "broker/login.h"
#include "broker/token_int.h"

/* A new generation is given even to one who asked for more time than the
 * service grants: minting again would not make it longer. */
#define JUST_MINTED_S 60
/* With the next attempt further away than this, say so at once. */
#define WORTH_WAITING_MS 15000

static void
token_fill_view(struct token *t, int64_t now_s, struct broker_view *view)
{
	const struct generation *g = t->current;

	view->name = t->tc->name;
	view->value = &g->value;
	view->generation = g->number;
	view->token_id = g->id ? g->id : "";
	view->fingerprint = g->fingerprint;
	view->backend = g->backend;
	view->login = g->login;
	view->human = g->human;
	view->minted_at = g->minted_at;
	view->expires_at = g->expires_at;
	view->now_s = now_s;
	view->releases = &t->releases;
	view->serial = t->serial;
}

int64_t
token_max_min_valid(const struct token *t)
{
	const struct generation *g = t->current;

	if (t->tc->renew_before_ms > 0)
		return t->tc->renew_before_ms / 1000;
	/* no lifetime of ours (oauth, import): a third of what was given, and
	 * before anything was given an hour at most */
	return g ? (g->expires_at - g->minted_at) / 3 : 3600;
}

bool
token_get(struct token *t, int64_t min_valid_s, struct broker_view *view)
{
	int64_t now = now_real_s();
	bool by_wall;

	t->asked = true;
	if (min_valid_s > t->asked_min_valid)
		t->asked_min_valid = min_valid_s;
	if (!t->current || t->withheld)
		return false;
	by_wall = t->current->expires_at - now > min_valid_s;
	if (!by_wall && generation_left_s(t->current) <= min_valid_s)
		return false;
	if (!t->used) {
		t->used = true;
		token_make_plan(t); /* its renewal may be overdue */
	}
	token_fill_view(t, now, view);
	if (!by_wall) /* what a client is told goes by the clock it has */
		view->expires_at = now + generation_left_s(t->current);
	return true;
}

static bool
waiter_is_satisfied(const struct token *t, const struct broker_waiter *w)
{
	const struct generation *g = t->current;
	int64_t now = now_real_s();

	if (!g || t->withheld || g->number <= w->newer_than)
		return false;
	return generation_left_s(g) > w->min_valid_s ||
	    now - g->minted_at < JUST_MINTED_S;
}

/* A watch starts nothing while there is a value: renewal replaces that. */
static bool
waiter_wants(const struct token *t, const struct broker_waiter *w)
{
	return (w->starts || !t->current) && !waiter_is_satisfied(t, w);
}

bool
token_is_wanted(const struct token *t)
{
	struct broker_waiter *w;

	TAILQ_FOREACH(w, &t->waiters, link) {
		if (waiter_wants(t, w))
			return true;
	}
	return false;
}

static void
waiter_answer(struct token *t, struct broker_waiter *w,
    const struct tb_error *err)
{
	struct broker_view view;

	TAILQ_REMOVE(&t->waiters, w, link);
	w->token = NULL;
	if (err) {
		w->fn(w->arg, NULL, err);
	} else {
		t->used = true;
		token_fill_view(t, now_real_s(), &view);
		w->fn(w->arg, &view, NULL);
	}
	free(w);
}

/* An answer may cancel other waiters or add some, so the walk starts again
 * from the head; what is added while it runs waits for the next turn. */
static struct broker_waiter *
waiter_next(struct token *t, bool satisfied)
{
	struct broker_waiter *w;

	TAILQ_FOREACH(w, &t->waiters, link) {
		if (satisfied ? waiter_is_satisfied(t, w) : waiter_wants(t, w))
			return w;
	}
	return NULL;
}

void
token_waiters_fail(struct token *t, const struct tb_error *err)
{
	struct tb_error copy = *err;
	struct broker_waiter *w;

	while ((w = waiter_next(t, false)))
		waiter_answer(t, w, &copy);
}

/* Is there a reason not to try now that the asker should hear at once? */
static bool
token_refuses_now(struct token *t, struct tb_error *err)
{
	/* withheld: also when a token that it paid for could mint another */
	struct login *l = t->withheld ? broker_payer_login(t->env.broker,
	    t->tc->backend) : token_login(t);
	int64_t wait_ms = t->not_before_ms - now_boot_ms();

	if (token_is_for_holders(t)) {
		tb_error_set(err, TB_E_LIMIT, "as many as max_holders = %u "
		    "have a token of their own, or the name of this one is too "
		    "long", t->tc->max_holders);
		err->retry_after_ms = WORTH_WAITING_MS;
		return true;
	}

	if (l && !login_is_usable(l) &&
	    (t->withheld || (!t->mint && !t->probing && !t->fresh))) {
		login_why_unusable(l, err);
		return true;
	}
	if (token_probe_is_hopeless(t, err))
		return true;
	if (t->mint || t->probing || t->fresh || wait_ms <= 0 ||
	    !t->last_error.code)
		return false;
	if (tb_error_is_transient(&t->last_error) &&
	    wait_ms <= WORTH_WAITING_MS)
		return false;
	*err = t->last_error;
	err->retry_after_ms = wait_ms;
	return true;
}

static void
token_on_answer(void *arg)
{
	struct token *t = arg;
	struct tb_error err = TB_ERROR_INIT;
	struct broker_waiter *w;

	while ((w = waiter_next(t, true)))
		waiter_answer(t, w, NULL);
	if (!token_is_wanted(t))
		return;
	if (token_refuses_now(t, &err))
		token_waiters_fail(t, &err);
	else
		token_mint_now(t);
}

void
token_answer_soon(struct token *t)
{
	if (!TAILQ_EMPTY(&t->waiters))
		loop_task_post(&t->answer);
}

static struct broker_waiter *
token_add_waiter(struct token *t, uint64_t newer_than, int64_t min_valid_s,
    bool starts, broker_waiter_fn *fn, void *arg)
{
	struct broker_waiter *w = xnew(struct broker_waiter);

	t->asked = true;
	t->asked_ms = now_boot_ms();
	w->token = t;
	w->newer_than = newer_than;
	w->min_valid_s = min_valid_s;
	w->starts = starts;
	w->fn = fn;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&t->waiters, w, link);
	loop_task_post(&t->answer);
	return w;
}

struct broker_waiter *
token_wait(struct token *t, uint64_t newer_than, int64_t min_valid_s,
    broker_waiter_fn *fn, void *arg)
{
	/* a number that was given before the last start, of a value that is
	 * over: every one is newer */
	newer_than = MIN2(newer_than, t->last_number);
	return token_add_waiter(t, newer_than, min_valid_s, newer_than == 0,
	    fn, arg);
}

struct broker_waiter *
token_rotate(struct token *t, broker_waiter_fn *fn, void *arg)
{
	struct login *l = broker_payer_login(t->env.broker, t->tc->backend);

	/* an operator who asks now need not wait for a back-off */
	t->not_before_ms = 0;
	backoff_reset(&t->backoff);
	if (l)
		login_hurry(l);
	return token_add_waiter(t, t->current ? t->current->number : 0, 0,
	    true, fn, arg);
}

void
broker_wait_cancel(struct broker_waiter **wp)
{
	struct broker_waiter *w = STEAL(*wp);

	if (!w)
		return;
	if (w->token)
		TAILQ_REMOVE(&w->token->waiters, w, link);
	free(w);
}

void
token_waiters_init(struct token *t)
{
	TAILQ_INIT(&t->waiters);
	loop_task_init(&t->answer, t->env.loop, token_on_answer, t);
}

/* The token goes away. Those who wait are told, so that nobody waits for
 * something that is not there. */
void
token_waiters_orphan(struct token *t)
{
	struct tb_error err = TB_ERROR_INIT;
	struct broker_waiter *w;

	tb_error_set(&err, TB_E_BADREQ, "the token is not configured any more");
	loop_task_cancel(&t->answer);
	while ((w = TAILQ_FIRST(&t->waiters)))
		waiter_answer(t, w, &err);
}
