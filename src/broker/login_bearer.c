/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Those who ask for a login's access token.
 *
 *   ask --valid--> answer
 *   ask --stale--> login_refresh.c, one for all who ask, -> answer
 *
 * All answers are given by one task, from the top of the loop.
 */
#include "base/log.h"
#include "base/now.h"
#include "broker/login_int.h"
#include "ops/discover.h"

/* An access token with less than this left is not worth handing out. */
#define BEARER_MARGIN_S 10

static bool
login_access_is_good(const struct login *l, int64_t min_valid_s)
{
	const struct grant *g = &l->grant;

	if (secret_is_empty(&g->access_token))
		return false;
	if (secret_equal(&g->access_token, &l->refused_access))
		return false;
	if (!g->access_expires_at) /* the provider does not say: until 401 */
		return true;
	return g->access_expires_at - now_real_s() >
	    MAX2(min_valid_s, BEARER_MARGIN_S);
}

void
login_answer_soon(struct login *l)
{
	loop_task_post(&l->answer);
}

/* Takes the asker off the list; its fn may start or cancel anything, even
 * free other askers, so the caller starts again from the head. */
static void
login_answer_one(struct login *l, struct login_bearer *b,
    const struct tb_error *err)
{
	TAILQ_REMOVE(&l->askers, b, link);
	b->login = NULL;
	b->fn(b->arg, err ? NULL : &l->grant.access_token,
	    err ? 0 : l->grant.access_expires_at, err);
	free(b);
}

void
login_askers_fail(struct login *l, const struct tb_error *err)
{
	struct tb_error copy = *err;

	while (!TAILQ_EMPTY(&l->askers))
		login_answer_one(l, TAILQ_FIRST(&l->askers), &copy);
}

/* A token renewed since it was asked for is given out even when the provider
 * makes shorter ones than the asker hoped for: asking again would not make it
 * longer. */
static bool
login_was_renewed_for(const struct login *l, const struct login_bearer *b)
{
	return l->n_refreshes > b->refreshes_before &&
	    !secret_is_empty(&l->grant.access_token) &&
	    !secret_equal(&l->grant.access_token, &l->refused_access) &&
	    (!l->grant.access_expires_at ||
		l->grant.access_expires_at > now_real_s());
}

/* Renewed for nothing: what the provider gave is over, or refused, already.
 * To ask again at once would go on for ever. */
static bool
login_renewal_is_futile(struct login *l)
{
	const struct login_bearer *b;
	struct tb_error err = TB_ERROR_INIT;

	TAILQ_FOREACH(b, &l->askers, link) {
		if (l->n_refreshes == b->refreshes_before)
			return false;
	}
	tb_error_set(&err, TB_E_BUSY, "the provider's new access token is "
	    "over or refused already; is the clock right?");
	login_retry_later(l, &err);
	return true;
}

static struct login_bearer *
login_next_good(const struct login *l)
{
	struct login_bearer *b;

	TAILQ_FOREACH(b, &l->askers, link) {
		if (b->for_provider && !l->endpoints_known)
			continue;
		if (login_access_is_good(l, b->min_valid_s) ||
		    login_was_renewed_for(l, b))
			return b;
	}
	return NULL;
}

/* ---------------------------------------- those who ask the provider, too */

/* Whoever would be answered but for the endpoints. */
static bool
login_lacks_endpoints(const struct login *l)
{
	const struct login_bearer *b;

	if (l->endpoints_known)
		return false;
	TAILQ_FOREACH(b, &l->askers, link) {
		if (b->for_provider && (login_access_is_good(l,
		    b->min_valid_s) || login_was_renewed_for(l, b)))
			return true;
	}
	return false;
}

static void
login_fail_for_provider(struct login *l, const struct tb_error *err)
{
	struct login_bearer *b;

	do {
		TAILQ_FOREACH(b, &l->askers, link) {
			if (b->for_provider)
				break;
		}
		if (b)
			login_answer_one(l, b, err);
	} while (b);
}

/* No refresh: the access token is good, and a restart forgot where it may be
 * exchanged. */
static void
login_on_endpoints(void *arg, const struct tb_error *err)
{
	struct login *l = arg;
	struct tb_error why;

	l->discover = NULL;
	if (err) {
		why = *err;
		tb_error_wrap(&why, "login '%s'", login_name(l));
		login_fail_for_provider(l, &why);
	} else if (!login_may_send(l)) {
		login_need_human(l, LOGIN_MOVED);
	} else {
		l->endpoints_known = true;
	}
	login_answer_soon(l);
}

/* --------------------------------------------------------------- answers */

/* Whoever the present token is good enough for, whatever others hope for. */
void
login_answer_good(struct login *l)
{
	struct login_bearer *b;

	while ((b = login_next_good(l)))
		login_answer_one(l, b, NULL);
}

static void
login_on_answer(void *arg)
{
	struct login *l = arg;
	struct tb_error err = TB_ERROR_INIT;

	if (login_is_busy(l))
		return; /* its end posts this task again */
	login_take_next_conf(l);
	if (!login_is_usable(l) && !TAILQ_EMPTY(&l->askers)) {
		login_why_unusable(l, &err);
		login_askers_fail(l, &err);
		return;
	}
	login_answer_good(l);
	if (TAILQ_EMPTY(&l->askers) || login_is_busy(l))
		return;
	if (login_lacks_endpoints(l)) {
		l->discover = discover_start(l->env.loop, l->env.http, l->idp,
		    DISCOVER_ENDPOINTS, login_on_endpoints, l);
		return;
	}
	if (now_boot_ms() < l->not_before_ms) {
		err = l->last_error;
		err.retry_after_ms = l->not_before_ms - now_boot_ms();
		login_askers_fail(l, &err);
		return;
	}
	if (!login_renewal_is_futile(l))
		login_begin_refresh(l);
}

void
login_bearers_init(struct login *l)
{
	TAILQ_INIT(&l->askers);
	loop_task_init(&l->answer, l->env.loop, login_on_answer, l);
}

/* ----------------------------------------------------------------- askers */

struct login_bearer *
login_bearer_start(struct login *l, int64_t min_valid_s, login_bearer_fn *fn,
    void *arg)
{
	struct login_bearer *b = xnew(struct login_bearer);

	b->login = l;
	b->min_valid_s = min_valid_s;
	b->refreshes_before = l->n_refreshes;
	b->fn = fn;
	b->arg = arg;
	TAILQ_INSERT_TAIL(&l->askers, b, link);
	loop_task_post(&l->answer);
	return b;
}

struct login_bearer *
login_bearer_for_provider(struct login *l, int64_t min_valid_s,
    login_bearer_fn *fn, void *arg)
{
	struct login_bearer *b = login_bearer_start(l, min_valid_s, fn, arg);

	b->for_provider = true; /* nobody has looked at it yet */
	return b;
}

void
login_bearer_cancel(struct login_bearer **bp)
{
	struct login_bearer *b = STEAL(*bp);

	if (!b)
		return;
	if (b->login)
		TAILQ_REMOVE(&b->login->askers, b, link);
	free(b);
}

void
login_bearer_refused(struct login *l, const struct secret *token)
{
	if (secret_equal(token, &l->grant.access_token))
		secret_dup(&l->refused_access, token);
}
