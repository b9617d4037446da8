/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * broker_int - what tokens and logins may ask of the broker that holds them.
 * For broker/ only.
 */
#include <sys/queue.h>

#include "broker/broker.h"
#include "broker/generation.h"
#include "broker/installation.h"
#include "broker/quota.h"
#include "broker/token.h"
#include "lib/loop.h"

struct backend_conf;
struct conf;
struct known;
struct login;
struct reconcile;
struct signer;
struct token;

/* Never NULL: conf checked the name. */
struct login *broker_login(struct broker *b, const char *name);
struct token *broker_token(struct broker *b, const char *name);

/* Takes one from the hourly quotas of mints, that of all and that of the
 * token's recipe; TB_E_LIMIT when one is used up. */
int broker_may_mint(struct broker *b, struct token *t, struct tb_error *err);
/* Gives it back: nothing reached the service. name: of the token. */
void broker_did_not_mint(struct broker *b, const char *name);
/* The recipe of a holder's token; t itself where it is none's. */
struct token *broker_recipe(struct broker *b, struct token *t);
/* A number that was never given before in this process: render key. */
uint64_t broker_serial(struct broker *b);
void broker_count_mint(struct broker *b, bool ok);

/* The login that pays in the end: for a backend paid by a management token,
 * that of the backend which mints it, and so on. NULL: no login at all. */
struct login *broker_payer_login(struct broker *b,
    const struct backend_conf *backend);

/* Something was imported that `backend` may list. */
void broker_look_soon(struct broker *b, const char *backend);
/* A marked value that `backend` may go on listing is over. */
void broker_retire(struct broker *b, const char *backend, const char *nonce,
    const char *id);
/* What a list begun at began_ms says of imported values. True: another look, a
 * settle_time later, should decide. */
bool broker_judge_imported(struct broker *b, const char *backend,
    enum backend_kind kind, const struct backend_run *run, int64_t began_ms);
/* Another look has told of that value. */
bool broker_has_told(struct broker *b, struct reconcile *by, const char *id,
    const char *nonce);
/* Every value that is known; those that the backend's list of that kind
 * should have are said so. */
void broker_collect_known(struct broker *b, struct known *k,
    const char *backend, enum backend_kind kind);

/* ------------------------------------------- shared by broker's own files */

TAILQ_HEAD(broker_jobs, broker_job);

/* A record whose login or token is not configured (any more). */
struct broker_unclaimed {
	char *kind, *name;
	struct secret plain;
};

struct broker {
	struct token_env tenv;
	struct writer *writer;
	struct store *store;
	struct secret signing_key; /* found in the store, for the signer */
	struct signer *signer;
	const struct conf *conf; /* referenced */
	struct login **logins;   /* sorted by name, as tokens are */
	size_t n_logins;
	struct token **tokens;
	size_t n_tokens;
	struct login **parked_logins; /* removed by a reload, kept as they */
	size_t n_parked_logins;       /* were in case they come back */
	struct token **parked_tokens;
	size_t n_parked_tokens;
	struct broker_unclaimed *unclaimed;
	size_t n_unclaimed;
	struct installation installation;
	struct reconcile **reconciles; /* of every backend that can list */
	size_t n_reconciles;
	struct broker_jobs jobs;
	uint64_t serial;
	struct quota mints;
	struct loop_timer sweep; /* of holders' tokens that are over */
	uint64_t highest_gone;   /* broker_number.c */
	uint64_t n_mints, n_mint_failures;
	int64_t started_at;
};

/* broker_records.c */
/* store_open's: of each record; plain is taken. */
void broker_take_record(void *broker, const char *kind, const char *name,
    struct secret *plain);
/* Gives each to who is configured for it now. */
void broker_claim_all(struct broker *b);
void broker_unclaimed_free(struct broker *b);

/* broker_own.c: tokens of a holder of their own, per = holder */
/* By name, or the recipe of that name. NULL: neither is configured. */
struct token *broker_token_or_recipe(struct broker *b, const char *name);
/* The holder's token, made when it is missing; the recipe, who says why not,
 * when there may be no more. */
struct token *broker_token_for(struct broker *b, const char *name);
/* Of RECIPE@HOLDER: with what a record's file name has around it, and some of
 * it as %XX, that fits NAME_MAX. */
#define BROKER_OWN_NAME_MAX 180
/* name: that of a holder, or a lease, that is not there yet. */
struct token *broker_make_own(struct broker *b, const char *name);
/* Of a record found at start. NULL: its recipe has no holders. */
struct token *broker_token_of_holder(struct broker *b, const char *name);
/* At a reload, into b->tokens, which are b->conf's by then: holders' tokens
 * from list; what is taken is NULL afterwards. */
void broker_keep_holders(struct broker *b, struct token **list, size_t n);
/* By the name of a token that is in the set. */
const struct token_conf *broker_token_conf(struct broker *b,
    const char *name);
void broker_begin_sweep(struct broker *b);

/* broker_lease.c: revokes those whose runs have not come back. */
void broker_end_leases(struct broker *b);
/* Of that token, all holders together. */
unsigned broker_leases_taken(struct broker *b, const char *token);

/* broker_own_jobs.c: for the token of each holder */
struct broker_job *broker_own_revoke(struct broker_job *j,
    struct token *recipe, uint64_t generation);
struct broker_job *broker_own_rotate(struct broker_job *j,
    struct token *recipe);

/* broker_number.c */
#define BROKER_NUMBER_KIND "numbers"
/* A generation of that number is about to be forgotten. */
void broker_number_gone(struct broker *b, uint64_t number);
void broker_number_restore(struct broker *b, struct secret *plain);

/* broker_job.c */
void broker_jobs_free(struct broker *b);

/* broker_state.c */
/* What the start found wrong goes on record; then the store may be written. */
void broker_begin_state(struct broker *b);
json_t *broker_status_state(struct broker *b);
void broker_adopted(struct broker *b);
void broker_rekeyed(struct broker *b, const struct tb_error *err);

/* broker_reconcile.c */
void broker_apply_reconciles(struct broker *b);
void broker_activate_reconciles(struct broker *b, size_t from);
bool broker_claim_reconcile(struct broker *b, const char *backend,
    struct secret *plain);
void broker_reconciles_free(struct broker *b);
void broker_payer_changed(struct broker *b);
/* NULL: not configured, or it cannot list. */
struct reconcile *broker_reconcile_find(struct broker *b, const char *backend);
json_t *broker_status_reconciles(struct broker *b);

/* broker_summary.c */
/* The least of all tokens that somebody uses, and (token may be NULL) whose it
 * is; -1: there is none. */
int64_t broker_outage_budget_s(struct broker *b, const char **token);
void broker_add_summary(struct broker *b, json_t *o);
/* At every start and reload: a setting for an afternoon is easily forgotten. */
void broker_tell_insecure(struct broker *b);
