/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * login - one [login NAME] at run time: the grant a human gave, kept usable.
 *
 *   EMPTY -> ASKING -> WAITING -> (CONFIRM) -> GRANTED <-> REFRESHING
 *                                  HUMAN_NEEDED <- ... -> REVOKING -> EMPTY
 *
 * Owns the grant, its sealed record and the one operation in flight. Gives the
 * access token to whoever pays with it. Promises P3 (a refresh token is
 * redeemed once, plus one recorded retry after an attempt whose outcome is
 * unknown) and P9 (only the pinned human counts; a grant is bound to issuer,
 * client and endpoint origins).
 */
#include <jansson.h>

#include "backend/backend.h"
#include "broker/broker.h"
#include "ops/idp.h"

struct conf;
struct login;
struct login_bearer;

enum login_state {
	LOGIN_EMPTY,
	LOGIN_ASKING,
	LOGIN_WAITING,
	LOGIN_CONFIRM,
	LOGIN_GRANTED,
	LOGIN_REFRESHING,
	LOGIN_HUMAN_NEEDED,
	LOGIN_REVOKING,
};

/* Called on every change that tokens care about: granted, human needed. */
typedef void login_changed_fn(void *arg, struct login *l);

struct login_env {
	struct loop *loop;
	struct http *http;
	struct store *store;
	struct audit *audit;
	login_changed_fn *changed;
	void *arg;
};

/* conf is referenced; idp (made from it by idp_new) is taken. */
struct login *login_new(const struct login_env *env, const struct conf *conf,
    struct idp *idp);
void login_free(struct login *l);
/* On reload, as above. What is in flight (a human logging in, a refresh) ends
 * with the old configuration first. */
void login_set_conf(struct login *l, const struct conf *conf,
    struct idp *idp);
/* The record found at start; plain is consumed. */
void login_restore(struct login *l, struct secret *plain);
/* After every record was taken up. */
void login_activate(struct login *l);

const char *login_name(const struct login *l);
enum login_state login_get_state(const struct login *l);
/* A grant is there and no human is needed. */
/* The provider ended the grant; not logged out, and not never logged in. */
bool login_is_lost(const struct login *l);
bool login_is_usable(const struct login *l);
/* "iss sub" of the pinned account, NULL while unknown. Borrowed. */
const char *login_human(const struct login *l);
/* TB_E_LOGIN with a text that names the login and the next step. */
int login_why_unusable(const struct login *l, struct tb_error *err);

/* The access token, valid for min_valid_s more (as far as the provider grants
 * that), refreshed when needed: any number of askers, one refresh. Contract:
 * lib/http.h; token is borrowed. */
typedef void login_bearer_fn(void *arg, const struct secret *token,
    int64_t expires_at, const struct tb_error *err);
struct login_bearer *login_bearer_start(struct login *l, int64_t min_valid_s,
    login_bearer_fn *fn, void *arg);
/* The same, for who will ask the provider with it: the endpoints are known
 * when fn is called, and still where the grant was given. */
struct login_bearer *login_bearer_for_provider(struct login *l,
    int64_t min_valid_s, login_bearer_fn *fn, void *arg);
void login_bearer_cancel(struct login_bearer **b);
/* The service answered 401 to this access token: the next asker gets a fresh
 * one. Ignored when it is not the current one. */
void login_bearer_refused(struct login *l, const struct secret *token);

/* Makes request a POST of form (moved) to an endpoint of the provider,
 * authenticated as its client. -1: it has none such, or the grant must not go
 * there (promise P9). */
int login_as_client(struct login *l, enum backend_endpoint at,
    struct secret *form, struct http_request *request, struct tb_error *err);

/* See broker_login_start; the watch is the attempt. */
struct broker_login_watch *login_begin(struct login *l,
    const struct broker_login_request *req, broker_login_fn *fn, void *arg,
    struct tb_error *err);

/* The state is not quarantined any more: what was held back goes on. */
void login_resume(struct login *l);
/* An operator asks: what was put off is tried now (save a redemption that
 * follows one without a clear outcome). */
void login_hurry(struct login *l);
/* A logout has begun: what was minted is being revoked, with this login's
 * own bearer, and nothing new is to be minted on it until the grant is gone. */
void login_leave(struct login *l);
bool login_is_leaving(const struct login *l);
/* Revokes the grant upstream (errors are told, the local copy goes anyway). */
typedef void login_revoked_fn(void *arg, const struct tb_error *err);
void login_revoke(struct login *l, login_revoked_fn *fn, void *arg);

struct login_numbers {
	bool human_needed;       /* now */
	int64_t human_needed_at; /* now, then, or 0: not known */
	uint64_t refreshes, refresh_failures;
};
void login_get_numbers(const struct login *l, struct login_numbers *out);
/* Logged out, and that is not on disk yet: a restart would undo it. */
bool login_is_forgetting(const struct login *l);

json_t *login_status(const struct login *l);
