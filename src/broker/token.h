/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * token - one [token NAME] at run time: its generations, the one operation in
 * flight, those who wait.
 *
 *   absent -> (mint) -> probing -> ready -> superseded -> retired
 *
 * The newest ready generation is released; older ones live to their own
 * expiry. Any number of askers share one mint (P4); an outage keeps what is
 * valid (P5). Minting itself, with its write-ahead, is broker/mint.
 */
#include <jansson.h>

#include "base/secret.h"
#include "broker/broker.h"
#include "broker/token_conf.h"

struct conf;
struct known;
struct login;
struct token;

/* What tokens share; owned by the broker. */
struct token_env {
	struct loop *loop;
	struct http *http;
	struct store *store;
	struct audit *audit;
	struct seal *seal;
	struct broker *broker;
	const struct installation *installation; /* part of every mark */
	broker_over_fn *unit_is_over; /* or NULL */
};

/* conf is referenced; tc is inside it. */
struct token *token_new(const struct token_env *env, const struct conf *conf,
    const struct token_conf *tc);
void token_free(struct token *t);
void token_set_conf(struct token *t, const struct conf *conf,
    const struct token_conf *tc);
/* Records found at start, in any order; plain is consumed. */
void token_restore_generation(struct token *t, const char *record,
    struct secret *plain);
void token_restore_intent(struct token *t, const char *record,
    struct secret *plain);
void token_restore_held(struct token *t, struct secret *plain);
/* After all records: decides what is due. */
void token_activate(struct token *t);

const struct token_conf *token_get_conf(const struct token *t);
/* One of a holder's own; a recipe that makes such ones, and none for itself. */
bool token_is_holders(const struct token *t);
bool token_is_for_holders(const struct token *t);
/* One of a run's own (broker_lease.c): it is not renewed, and is kept while the
 * run's connection is there. */
bool token_is_lease(const struct token *t);
bool token_name_is_lease(const char *name);
bool token_is_leased(const struct token *t);
void token_set_leased(struct token *t, bool leased);
/* It has no value that is released or may be still, and none is coming. */
bool token_is_vacant(const struct token *t);
/* How long nobody has asked for it. */
int64_t token_unasked_ms(const struct token *t);
/* Nobody asked for it of late, it has no value, and nothing is under way. */
bool token_is_over(const struct token *t);
bool token_is_active(const struct token *t);
/* It was asked for one more than its quota, or (of_all) that of all, has. */
void token_count_over_quota(struct token *t, bool of_all);
/* Of a recipe; see broker_may_mint. */
int token_take_quota(struct token *t, struct tb_error *err);
void token_return_quota(struct token *t);
const char *token_name(const struct token *t);
/* Values come by import only: no login and no other token pays for them. */
bool token_is_made_by_hand(const struct token *t);

/* What pays, and was made by hand: the service has answered 401 to it (why, a
 * text), or has taken it. */
void token_payer_refused(struct token *t, const struct secret *bearer,
    const char *backend, const char *why);
void token_payer_worked(struct token *t);
bool token_is_refused(const struct token *t);
/* When somebody has to make the next one by hand, epoch seconds: now, or at
 * the end of this one; 0: it is not made by hand. */
int64_t token_human_needed_at(const struct token *t);

/* What a min_valid may be: renewal begins that long before the end. */
int64_t token_max_min_valid(const struct token *t);
bool token_get(struct token *t, int64_t min_valid_s, struct broker_view *view);
struct broker_waiter *token_wait(struct token *t, uint64_t newer_than,
    int64_t min_valid_s, broker_waiter_fn *fn, void *arg);
bool token_rejected(struct token *t, uint64_t generation,
    const unsigned char sha256[32], const struct principal *who);
/* See broker_hold. */
void token_hold(struct token *t, uint64_t generation,
    const struct principal *who, unsigned door, const char *delivery);
/* Cancels what is in flight and tells those who wait; the records stay. Needed
 * before any token or login is freed, because they pay for each other. */
void token_stop(struct token *t);
/* The daemon stops in an orderly way: who holds it is written down. */
void token_held_flush(struct token *t);
/* A reload took it out of the configuration: those who wait are told, nothing
 * new is made. What was minted or is to be revoked is still stored, settled and
 * revoked. token_set_conf with token_activate bring it back. */
void token_park(struct token *t);
/* After a reload: is what was minted on the grant still to be released? */
void token_look_at_grant(struct token *t);
/* The state is not quarantined any more: what was held back goes on. */
void token_resume(struct token *t);
/* The payer's login changed: a mint that failed for it may go now. */
void token_login_changed(struct token *t, struct login *l);
void token_clock_stepped(struct token *t);

/* For jobs. A rotation is a mint now; fn gets the new view or why not. */
struct broker_waiter *token_rotate(struct token *t, broker_waiter_fn *fn,
    void *arg);
/* value is taken. -1: refused, nothing changed. fn as above, when durable. */
int token_import(struct token *t, struct secret *value, const char *id,
    int64_t expires_at, struct tb_error *err);
/* Stops releasing the generation(s) at once and revokes upstream; n_out is how
 * many are concerned. fn (NULL: nobody waits) runs when each has been revoked
 * or failed once. */
typedef void token_revoked_fn(void *arg, unsigned revoked, unsigned local_only,
    unsigned failed, const struct tb_error *last);
void token_revoke(struct token *t, uint64_t generation, const char *why,
    token_revoked_fn *fn, void *arg);
bool token_has_generation(struct token *t, uint64_t number);
/* The number of the last generation that was begun, and that the next ones
 * are to be above this one. */
uint64_t token_counted(const struct token *t);
void token_count_from(struct token *t, uint64_t number);

/* For broker/reconcile. Adds all it knows; see broker_collect_known. */
void token_collect_known(struct token *t, struct known *k, const char *backend,
    enum backend_kind kind);
/* A list begun at began_ms has it, or not. True: another look, a settle_time
 * later, should decide. */
bool token_was_listed(struct token *t, uint64_t generation, bool listed,
    int64_t began_ms);
/* Listed as revoked: it is not released again. */
void token_was_revoked(struct token *t, uint64_t generation);
/* The same for what was imported, which bears no mark: by its id, or by the
 * beginning of its value where the list shows that. True: as above. */
bool token_judge_imported(struct token *t, const char *backend,
    enum backend_kind kind, const struct backend_run *run, int64_t began_ms);
unsigned token_count_missing(const struct token *t);

/* What becomes of mints and revocations. */
struct token_counts {
	uint64_t made, not_made, uncertain;
	uint64_t revoked, not_revoked, forgotten;
	uint64_t superseded_revoked; /* before their time */
	uint64_t over_quota[2]; /* of the recipe: its own, that of all */
};
struct token_numbers {
	const char *name;
	const struct broker_releases *releases;
	struct token_counts counts;
	int64_t expires_at, renew_at; /* 0: no value; not renewed */
	int64_t outage_budget_s;
	unsigned settling, unsettled, missing;
	unsigned superseded;
	size_t holders; /* of the value that is released */
	bool ending; /* soon, and nothing newer comes */
	bool is_lease;
	unsigned mints_per_hour, leases; /* as configured; 0 of what is none's
	                                  * recipe */
};
void token_get_numbers(const struct token *t, struct token_numbers *out);
int64_t token_outage_budget_s(const struct token *t);
/* It has a value, or somebody asked for it since the start. */
bool token_has_clients(const struct token *t);
struct broker_releases *token_releases(struct token *t);

/* inventory: with who holds it, and whom it hangs on. */
json_t *token_status(const struct token *t, bool inventory);
