/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See settle.h.
 *
 *   WAITING --timer--> LISTING --found--> REVOKING --> LISTING's next match
 *      ^                  |---none left---> WAITING, or (done) after
 *      `------------------'                 settle_time
 */
#include "broker/settle.h"

#include <inttypes.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/now.h"
#include "broker/broker_int.h"
#include "broker/status.h"
#include "broker/upstream.h"
#include "conf.h"
#include "lib/loop.h"
#include "state/audit.h"
#include "state/store.h"

/* First look soon, then wider apart; a clock difference to the service of up
 * to two minutes does not hide a token. */
#define SETTLE_FIRST_MS 2000
#define SETTLE_CAP_MS (2 * 60 * 1000)
/* What our clock and the service's may differ by when the intent was written:
 * a clock an hour ahead must not hide what carries the exact nonce. */
#define SETTLE_SKEW_S (24 * 3600)
/* Lists lag, so what is still listed is revoked once more. A service that has
 * agreed twice is believed, even if it lists the token for ever. */
#define SETTLE_REVOKE_MAX 2
/* A mint that nobody can settle is told again and again, but not often. */
#define SETTLE_ALARM_MS (60 * 60 * 1000)

struct settle_revoked {
	char *id;
	unsigned times; /* that the service agreed */
};

struct settle {
	struct token_env env;
	const struct conf *conf; /* referenced */
	const struct token_conf *tc;
	struct intent *intent;
	struct loop_timer timer;
	struct backoff backoff;
	struct upstream *op;
	char **found; /* ids to revoke */
	size_t n_found;
	char *revoking; /* id, while it is under way */
	struct settle_revoked *revoked;
	size_t n_revoked;
	unsigned n_lists;
	int64_t over_ms;   /* boot time: a list begun later is the last */
	int64_t until_ms;  /* boot time: what was asked for is over then */
	int64_t alarmed_ms; /* boot time, 0: not yet */
	int64_t listed_ms; /* when the present one was begun */
	bool revoked_now;  /* found in it: must be seen gone */
	bool unsettled;
	struct tb_error last_error;
	settle_done_fn *done;
	void *arg;
};

static void settle_revoke_next(struct settle *s);

static void
settle_free(struct settle *s)
{
	upstream_cancel(&s->op);
	loop_timer_stop(&s->timer);
	for (size_t i = 0; i < s->n_found; i++)
		free(s->found[i]);
	free(s->found);
	for (size_t i = 0; i < s->n_revoked; i++)
		free(s->revoked[i].id);
	free(s->revoked);
	free(s->revoking);
	intent_free(s->intent);
	conf_unref(s->conf);
	free(s);
}

static void
settle_audit(struct settle *s, enum audit_event event, const char *reason)
{
	struct audit_rec rec = {
		.event = event,
		.token = s->tc->name,
		.generation = s->intent->generation,
		.backend = s->intent->backend,
		.nonce = s->intent->nonce,
		.reason = reason,
		.count = s->n_revoked,
	};

	audit_durable(s->env.audit, &rec, NULL, NULL);
}

/* At once, since a crash forgets what this settling has done so far. */
static void
settle_audit_revoked(struct settle *s, const char *id)
{
	struct audit_rec rec = {
		.event = AUDIT_REVOKED,
		.token = s->tc->name,
		.generation = s->intent->generation,
		.token_id = id,
		.backend = s->intent->backend,
		.nonce = s->intent->nonce,
		.reason = "orphan of a lost reply",
	};

	audit_note(s->env.audit, &rec);
}

static void
settle_end(struct settle *s, const char *reason)
{
	char *record _cleanup_free_ = xasprintf("%s.%" PRIu64, s->tc->name,
	    s->intent->generation);

	log_info("mint", "%s: the uncertain mint of generation %" PRIu64
	    " is settled: %s", s->tc->name, s->intent->generation, reason);
	settle_audit(s, AUDIT_SETTLED, reason);
	for (size_t i = 0; i < s->n_revoked; i++)
		broker_retire(s->env.broker, s->intent->backend,
		    s->intent->nonce, s->revoked[i].id);
	store_delete(s->env.store, "intent", record, NULL, NULL);
	s->done(s->arg, s);
	settle_free(s);
}

/* The time for looking is over, and it could not be looked. */
static bool
settle_is_stuck(const struct settle *s)
{
	return !s->unsettled && s->last_error.code &&
	    now_boot_ms() > s->over_ms;
}

/* Does the service show something of ours with a token? */
static bool
settle_is_marked(const struct settle *s)
{
	return !(s->tc->backend->ops->caps(s->tc->backend, &s->tc->recipe) &
	    BACKEND_REVOKES_VALUE);
}

static void
settle_alarm(struct settle *s)
{
	int64_t now = now_boot_ms();

	if (s->alarmed_ms && now - s->alarmed_ms < SETTLE_ALARM_MS)
		return;
	if (!s->alarmed_ms)
		settle_audit(s, AUDIT_UNSETTLED, s->unsettled ?
		    "this backend cannot look" : "it cannot be looked now");
	s->alarmed_ms = now;
	if (!settle_is_marked(s)) {
		log_warn("mint", "%s: generation %" PRIu64 " may exist at '%s' "
		    "without anybody holding it; it cannot be looked for "
		    "there, and ends when its lifetime is over", s->tc->name,
		    s->intent->generation, s->intent->backend);
		return;
	}
	log_warn("mint", "%s: generation %" PRIu64 " may exist at '%s' without "
	    "anybody holding it, and %s%s; search there for a token "
	    "described with %s", s->tc->name, s->intent->generation,
	    s->intent->backend, s->unsettled ? "this backend cannot look or "
	    "revoke" : "it cannot be looked for: ", s->unsettled ? "" :
	    s->last_error.msg, s->intent->nonce);
}

static int64_t
settle_over_at(const struct settle *s)
{
	return s->intent->created_at + s->conf->settle_time_ms / 1000;
}

static void
settle_wait(struct settle *s)
{
	loop_timer_set(&s->timer, backoff_next(&s->backoff,
	    s->last_error.retry_after_ms));
	if (settle_is_stuck(s))
		settle_alarm(s);
}

/* A list has been walked through. What counts is when it was asked for: a
 * service may commit while its answer is under way. */
static void
settle_listed(struct settle *s)
{
	if (s->listed_ms < s->over_ms || s->revoked_now)
		settle_wait(s);
	else
		settle_end(s, s->n_revoked ? "orphan revoked" :
		    "nothing is there");
}

static struct settle_revoked *
settle_find_revoked(const struct settle *s, const char *id)
{
	for (size_t i = 0; i < s->n_revoked; i++) {
		if (streq(s->revoked[i].id, id))
			return &s->revoked[i];
	}
	return NULL;
}

/* The service has agreed. */
static void
settle_count_revoked(struct settle *s)
{
	struct settle_revoked *r = settle_find_revoked(s, s->revoking);

	if (!r) {
		s->revoked = xreallocarray(s->revoked, s->n_revoked + 1,
		    sizeof(*s->revoked));
		r = &s->revoked[s->n_revoked++];
		*r = (struct settle_revoked){ .id = xstrdup(s->revoking) };
	}
	r->times++;
	free(STEAL(s->revoking));
}

static void
settle_on_revoked(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct settle *s = arg;

	s->op = NULL;
	if (err) {
		free(STEAL(s->revoking));
		s->last_error = *err;
		log_warn("mint", "%s: an orphan could not be revoked yet: %s",
		    s->tc->name, err->msg);
		settle_wait(s);
		return;
	}
	settle_count_revoked(s);
	s->revoked_now = true;
	settle_audit_revoked(s, run->token_id);
	log_warn("mint", "%s: revoked an orphan of generation %" PRIu64
	    " that a lost reply had left behind", s->tc->name,
	    s->intent->generation);
	settle_revoke_next(s);
}

static void
settle_revoke_next(struct settle *s)
{
	struct backend_run run = { .verb = BACKEND_REVOKE };

	if (s->n_found == 0) {
		settle_listed(s);
		return;
	}
	s->revoking = s->found[--s->n_found];
	run.token_id = xstrdup(s->revoking);
	s->op = upstream_start(&s->env, s->conf, s->tc, &run,
	    settle_on_revoked, s);
}

static bool
settle_is_ours(const struct settle *s, const struct backend_listed *item)
{
	const struct settle_revoked *r;

	if (item->dead || !item->id || !item->description)
		return false;
	if (!strstr(item->description, s->intent->nonce))
		return false;
	r = settle_find_revoked(s, item->id);
	if (r && r->times >= SETTLE_REVOKE_MAX)
		return false;
	return !item->created_at ||
	    item->created_at >= s->intent->created_at - SETTLE_SKEW_S;
}

static void
settle_on_listed(void *arg, struct backend_run *run,
    const struct tb_error *err)
{
	struct settle *s = arg;

	s->op = NULL;
	if (err) {
		s->last_error = *err;
		settle_wait(s);
		return;
	}
	s->n_lists++;
	s->last_error = (struct tb_error)TB_ERROR_INIT;
	for (size_t i = 0; i < run->n_listed; i++) {
		if (!settle_is_ours(s, &run->listed[i]))
			continue;
		s->found = xreallocarray(s->found, s->n_found + 1,
		    sizeof(*s->found));
		s->found[s->n_found++] = STEAL(run->listed[i].id);
	}
	settle_revoke_next(s);
}

/* Until what was asked for has expired: by the wall clock and by ours, since
 * one that is set forward must not make us forget what is alive. What its
 * service does not end lives on, and is never forgotten for that. */
static int64_t
settle_left_ms(const struct settle *s)
{
	if (s->intent->endless)
		return INT64_MAX / 2;
	return MAX2((s->intent->expires_at - now_real_s()) * 1000,
	    s->until_ms - now_boot_ms());
}

static void
settle_on_timer(void *arg)
{
	struct settle *s = arg;
	struct backend_run run = { .verb = BACKEND_LIST };

	if (settle_left_ms(s) <= 0) {
		settle_end(s, "what may have been made has expired");
		return;
	}
	if (s->unsettled) {
		settle_alarm(s);
		loop_timer_set(&s->timer, MIN2(settle_left_ms(s) + 1000,
		    SETTLE_ALARM_MS));
		return;
	}
	if (store_is_quarantined(s->env.store)) {
		/* whoever has the newer state may hold what would be found */
		settle_wait(s);
		return;
	}
	while (s->n_found > 0) /* left from a revocation that failed */
		free(s->found[--s->n_found]);
	free(STEAL(s->revoking)); /* a reload cut it off */
	s->listed_ms = now_boot_ms();
	s->revoked_now = false;
	s->op = upstream_start(&s->env, s->conf, s->tc, &run,
	    settle_on_listed, s);
}

static bool
settle_can_look(const struct settle *s)
{
	unsigned need = BACKEND_CAN_LIST | BACKEND_CAN_REVOKE;
	unsigned caps = s->tc->backend->ops->caps(s->tc->backend,
	    &s->tc->recipe);

	return (caps & need) == need &&
	    streq(s->intent->backend, s->tc->backend->name);
}

static void
settle_begin(struct settle *s)
{
	int64_t left_s = settle_over_at(s) - now_real_s();

	s->unsettled = !settle_can_look(s);
	if (s->unsettled) {
		settle_alarm(s);
		loop_timer_set(&s->timer, 0);
		return;
	}
	/* steps of the clock do not shorten it from here on */
	left_s = MAX2(MIN2(left_s, s->conf->settle_time_ms / 1000), 0);
	s->over_ms = now_boot_ms() + left_s * 1000;
	settle_wait(s);
}

struct settle *
settle_start(const struct token_env *env, const struct conf *conf,
    const struct token_conf *tc, struct intent *intent, settle_done_fn *done,
    void *arg)
{
	struct settle *s = xnew(struct settle);

	s->env = *env;
	s->conf = conf_ref(conf);
	s->tc = tc;
	s->intent = intent;
	s->done = done;
	s->arg = arg;
	s->until_ms = now_boot_ms() +
	    (intent->expires_at - MAX2(now_real_s(), intent->created_at)) *
	    1000;
	s->backoff = (struct backoff)BACKOFF_INIT(SETTLE_FIRST_MS,
	    SETTLE_CAP_MS);
	loop_timer_init(&s->timer, env->loop, settle_on_timer, s);
	settle_begin(s);
	return s;
}

void
settle_set_conf(struct settle *s, const struct conf *conf,
    const struct token_conf *tc)
{
	if (!streq(s->intent->backend, tc->backend->name))
		return;
	conf_ref(conf);
	conf_unref(s->conf);
	s->conf = conf;
	s->tc = tc;
	if (s->unsettled != !settle_can_look(s)) {
		upstream_cancel(&s->op);
		settle_begin(s);
	}
}

void
settle_cancel(struct settle **sp)
{
	struct settle *s = STEAL(*sp);

	if (s)
		settle_free(s);
}

bool
settle_is_blind(const struct settle *s)
{
	return s->unsettled;
}

const char *
settle_nonce(const struct settle *s)
{
	return s->intent->nonce;
}

bool
settle_is_unsettled(const struct settle *s)
{
	return s->unsettled || settle_is_stuck(s);
}

json_t *
settle_status(const struct settle *s)
{
	json_t *o = json_object();

	status_int(o, "generation", (int64_t)s->intent->generation);
	status_str(o, "state", settle_is_unsettled(s) ? "unsettled" :
	    "settling");
	status_str(o, "nonce", s->intent->nonce);
	status_time(o, "since", s->intent->created_at);
	status_time(o, "until", !s->unsettled ? settle_over_at(s) :
	    s->intent->endless ? 0 : s->intent->expires_at);
	status_int(o, "lists", s->n_lists);
	status_int(o, "revoked", (int64_t)s->n_revoked);
	if (s->last_error.code)
		status_str(o, "last_error", s->last_error.msg);
	return o;
}
