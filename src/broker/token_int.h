/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * token_int - the inside of a token, for the files that share it: token.c
 * (records, what is released), token_plan.c (what is due), token_wait.c
 * (askers), token_mint.c (new generations: mint, settle),
 * token_probe.c (do they work yet), token_revoke.c
 * (the end of old ones), token_holders.c (who has them), token_superseded.c
 * (who still needs them), token_lease.c,
 * token_payer.c (what is heard of one that pays), token_status.c.
 */
#include <sys/queue.h>

#include "base/backoff.h"
#include "broker/broker_int.h"
#include "broker/generation.h"
#include "broker/quota.h"
#include "broker/token.h"
#include "broker/token_holders.h"
#include "lib/loop.h"

struct intent;
struct mint;
struct settle;
struct upstream;

struct broker_waiter {
	TAILQ_ENTRY(broker_waiter) link;
	struct token *token; /* NULL once answered */
	uint64_t newer_than;
	int64_t min_valid_s;
	bool starts; /* wants a mint, not only to be told */
	broker_waiter_fn *fn;
	void *arg;
};
TAILQ_HEAD(broker_waiters, broker_waiter);

/* One settle under way; the list is short. */
struct settling {
	TAILQ_ENTRY(settling) link;
	struct token *token;
	struct settle *op;
};
TAILQ_HEAD(settlings, settling);

/* One revocation under way or waiting to be tried again. */
struct revoking {
	TAILQ_ENTRY(revoking) link;
	struct token *token;
	struct generation *generation;
	struct upstream *op;
	struct loop_timer timer;
	struct backoff backoff;
	struct token_conf look; /* which backend is asked */
	bool disabling;         /* op makes it inactive, no more */
	bool asked;             /* somebody wants it deleted, now */
	struct revoke_batch *batch; /* NULL: nobody waits for the outcome */
};
TAILQ_HEAD(revokings, revoking);

struct revoke_batch;
TAILQ_HEAD(revoke_batches, revoke_batch);

struct token {
	struct token_env env;
	const struct conf *conf; /* referenced */
	const struct token_conf *tc;
	char *recipe;

	struct generations gens; /* newest first */
	uint64_t last_number;
	struct generation *current; /* what is released */
	uint64_t serial;
	bool withheld; /* grant lost, and on_grant_loss says so */
	bool parked;   /* not configured now: nothing new is made */
	bool active;
	bool leased;   /* the run that it is for is there */
	struct quota mints; /* with mints_per_hour */
	int64_t asked_ms;   /* boot time; the last that anybody waited */
	bool used;     /* released since the current one became ready */

	struct token_held held;
	struct loop_timer superseded; /* next look at what is */
	int64_t looked_ms; /* boot time of the last; 0: one is due */

	struct broker_waiters waiters;
	struct loop_task answer;
	struct loop_timer plan; /* next renewal or expiry */

	/* making the next one */
	struct mint *mint;
	struct generation *fresh; /* minted, its record being written */
	struct writer_item *saving;
	struct generation *probing;
	struct upstream *probe;
	struct loop_timer probe_timer;
	struct backoff probe_backoff;
	int64_t probe_since_ms;
	int64_t probe_since; /* the same, epoch seconds */
	int probe_status;    /* of its last answer; 0: none came */
	int probe_told;      /* that was told; -1: nothing yet */
	char *probe_asked;   /* where */
	struct loop_timer retry;
	struct backoff backoff;
	int64_t not_before_ms;
	struct tb_error last_error; /* of the last mint; TB_OK: none */
	uint64_t refused; /* generation that a service it pays refuses */
	int64_t last_error_at;

	/* does a value that a holder complained of still work? */
	struct generation *checking;
	struct upstream *check;

	/* is one that a list has not still there? */
	uint64_t confirming;
	struct upstream *confirm;

	/* on_change = update */
	uint64_t updating;
	char *update_recipe; /* what it is changed to */
	struct upstream *update;
	struct loop_timer update_timer;
	struct backoff update_backoff;
	bool update_refused; /* of this configuration: replaced instead */

	struct settlings settlings;
	struct revokings revokings;
	struct revoke_batches batches;
	uint64_t n_mints, n_failures;

	struct broker_releases releases;
	struct token_counts counts;
	bool asked; /* by anybody, since the start */
	/* the longest min_valid asked for while this value is current, and
	 * while the one before it was */
	int64_t asked_min_valid, asked_before;
};

/* token.c */
void token_choose_current(struct token *t);
void token_save_generation(struct token *t, const struct generation *g,
    struct writer_item **item, void (*fn)(void *, const struct tb_error *),
    void *arg);
/* Takes it out of the list, forgets what points to it, deletes its record. */
void token_drop_generation(struct token *t, struct generation *g);
struct generation *token_find(struct token *t, uint64_t number);
void token_audit_generation(struct token *t, const struct generation *g,
    int event, const char *reason);
/* One that is not on its way out. */
bool token_has_value(const struct token *t);
struct login *token_login(const struct token *t);

/* token_plan.c */
void token_plan_init(struct token *t);
void token_make_plan(struct token *t);
/* What is due is done, and what is next is planned. */
void token_do_plan(struct token *t);
int64_t token_renew_at(const struct token *t, const struct generation *g);
/* Of the current one; 0: it is not renewed. */
int64_t token_renews_at(const struct token *t);
/* Seconds until its renewal is due, by the clock that is further on. */
int64_t token_renew_in_s(const struct token *t, const struct generation *g);
/* Is the current generation to be replaced now? */
bool token_renewal_is_due(const struct token *t);
void token_retire_expired(struct token *t);

/* token_expiry.c */
/* Seconds until the next telling; INT64_MAX: there is none to come. */
int64_t token_announce_in_s(const struct token *t);
/* Tells what is due. */
void token_announce(struct token *t);
bool token_is_ending_soon(const struct token *t);
void token_add_ending(const struct token *t, json_t *o);

/* token_update.c */
/* It was minted for something else, and is to be replaced for that. */
bool token_is_outdated(const struct token *t, const struct generation *g);
bool token_update_is_due(const struct token *t);
void token_update_next(struct token *t);
void token_update_init(struct token *t);
/* Also before a new configuration: what was under way is begun again. */
void token_update_stop(struct token *t);

/* token_wait.c */
void token_answer_soon(struct token *t);
void token_waiters_init(struct token *t);
void token_waiters_orphan(struct token *t);
/* Everybody who wanted a mint gets err. */
void token_waiters_fail(struct token *t, const struct tb_error *err);
bool token_is_wanted(const struct token *t);

/* token_probe.c */
void token_probe_init(struct token *t);
void token_probe_stop(struct token *t);
void token_resume_probe(struct token *t, struct generation *g);
/* From here on it is this one that is released. */
void token_take_over(struct token *t, const struct generation *g);
/* The service has answered that waiting will not help: err says what. */
bool token_probe_is_hopeless(const struct token *t, struct tb_error *err);
void token_add_probe(const struct token *t, json_t *o);

/* token_mint.c */
void token_mint_init(struct token *t);
void token_mint_stop(struct token *t);
void token_mint_park(struct token *t);
void token_settle_by(struct token *t, const struct conf *conf,
    const struct token_conf *tc);
void token_mint_now(struct token *t);
/* Somebody doubts it: one probe, at most one a minute. What is known of it
 * so far. */
enum token_check token_check_generation(struct token *t, struct generation *g);
/* conf and tc are those it was begun with. */
void token_settle(struct token *t, struct intent *intent,
    const struct conf *conf, const struct token_conf *tc);

/* token_revoke.c */
bool token_can_revoke(const struct token *t, const struct generation *g);
/* Its end has come, and its service does not know: inactive, then deleted. */
void token_end_expired(struct token *t, struct generation *g);
void token_revoke_resume(struct token *t, struct generation *g);
void token_revoke_stop(struct token *t);
/* Those that wait to be tried again are tried now. */
void token_revoke_hurry(struct token *t);
/* What was under way when all were to be revoked has come (g), has failed, or
 * may have been made (err). True: g is being revoked, or is freed already. */
bool token_revoke_late(struct token *t, struct generation *g,
    const struct tb_error *err);
void token_revoke_forget(struct token *t, struct generation *g);

/* token_superseded.c */
void token_superseded_init(struct token *t);
/* Another one is current: what is older is superseded from now on. */
void token_note_superseded(struct token *t);
void token_plan_superseded(struct token *t);
/* Somebody was given a newer one, or the rules are others. */
void token_superseded_soon(struct token *t);
void token_status_superseded(const struct token *t,
    const struct generation *g, json_t *o);
