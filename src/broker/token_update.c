/* SPDX-License-Identifier: Apache-2.0 */
/*
 * on_change = update: a reload that changes what a token may do changes the
 * values that live, where their service can do that, instead of making a new
 * one. All that are released or may still be in use are changed, the newest
 * first: none is left that may do what the configuration does not say any
 * more. It is done again after a crash, which harms nothing. What the service
 * will not change is replaced, as with on_change = mint.
 */
#include <inttypes.h>

#include "base/log.h"
#include "broker/login.h"
#include "broker/token_int.h"
#include "broker/upstream.h"
#include "conf.h"
#include "state/audit.h"
#include "state/store.h"

#define UPDATE_BACKOFF_BASE_MS 1000
#define UPDATE_BACKOFF_CAP_MS (5 * 60 * 1000)

static bool
may_update(const struct token *t)
{
	unsigned caps = t->tc->backend->ops->caps(t->tc->backend,
	    &t->tc->recipe);

	return t->tc->update && (caps & BACKEND_CAN_UPDATE) && !t->parked &&
	    !t->update_refused && !store_is_quarantined(t->env.store);
}

/* Of this service and kind, and for other permissions. */
static bool
is_stale(const struct token *t, const struct generation *g)
{
	return (g->state == GENERATION_READY ||
		   g->state == GENERATION_PROBING) &&
	    g->id && !g->endless && streq(g->backend, t->tc->backend->name) &&
	    generation_is_kind(g, t->tc->recipe.kind) &&
	    !streq(g->recipe, t->recipe);
}

bool
token_is_outdated(const struct token *t, const struct generation *g)
{
	return !streq(g->recipe, t->recipe) &&
	    !(may_update(t) && is_stale(t, g));
}

static struct generation *
next_stale(const struct token *t)
{
	struct generation *g;

	TAILQ_FOREACH(g, &t->gens, link) {
		if (is_stale(t, g))
			return g;
	}
	return NULL;
}

bool
token_update_is_due(const struct token *t)
{
	return !t->update && !loop_timer_is_set(&t->update_timer) &&
	    may_update(t) && next_stale(t);
}

static void
update_failed(struct token *t, const struct generation *g,
    const struct tb_error *err)
{
	if (tb_error_is_transient(err) || err->code == TB_E_LOGIN) {
		log_warn("token", "%s: what generation %" PRIu64 " may do "
		    "could not be changed yet: %s; tried again by itself",
		    t->tc->name, g ? g->number : 0, err->msg);
		loop_timer_set(&t->update_timer, backoff_next(
		    &t->update_backoff, err->retry_after_ms));
		return;
	}
	t->update_refused = true;
	log_warn("token", "%s: the service does not change what a token may "
	    "do: %s; a new one is made instead", t->tc->name, err->msg);
	token_make_plan(t);
}

static void
token_on_updated(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct token *t = arg;
	struct generation *g = token_find(t, t->updating);
	char *recipe _cleanup_free_ = STEAL(t->update_recipe);

	t->update = NULL;
	if (err) {
		update_failed(t, g, err);
		return;
	}
	backoff_reset(&t->update_backoff);
	if (g) {
		str_set(&g->recipe, recipe);
		log_info("token", "%s: generation %" PRIu64 " may do now what "
		    "the configuration says", t->tc->name, g->number);
		token_audit_generation(t, g, AUDIT_UPDATED,
		    "permissions changed");
		token_save_generation(t, g, NULL, NULL, NULL);
	}
	token_make_plan(t);
}

void
token_update_next(struct token *t)
{
	struct backend_run run = { .verb = BACKEND_UPDATE };
	struct generation *g = next_stale(t);

	if (!g || !token_update_is_due(t))
		return;
	t->updating = g->number;
	str_set(&t->update_recipe, t->recipe);
	run.token_id = xstrdup(g->id);
	t->update = upstream_start(&t->env, t->conf, t->tc, &run,
	    token_on_updated, t);
}

static void
token_on_update_timer(void *arg)
{
	token_update_next(arg);
}

void
token_update_init(struct token *t)
{
	loop_timer_init(&t->update_timer, t->env.loop, token_on_update_timer,
	    t);
	t->update_backoff = (struct backoff)BACKOFF_INIT(
	    UPDATE_BACKOFF_BASE_MS, UPDATE_BACKOFF_CAP_MS);
}

void
token_update_stop(struct token *t)
{
	upstream_cancel(&t->update);
	loop_timer_stop(&t->update_timer);
	str_set(&t->update_recipe, NULL);
	t->update_refused = false;
	backoff_reset(&t->update_backoff);
}
