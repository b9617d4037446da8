/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * login_int - the inside of a login, for the files that share it: login.c
 * (state, record, status), login_bearer.c (who asks for the access token),
 * login_refresh.c (its renewal) and login_attempt.c (a human logging in).
 * Nobody else includes it.
 */
#include <sys/queue.h>

#include "base/backoff.h"
#include "broker/grant.h"
#include "broker/login.h"
#include "lib/loop.h"

struct discover;
struct http_call;
struct identity;
struct refresh;
struct revoke;
struct writer_item;

struct login_bearer {
	struct login *login; /* NULL once answered */
	int64_t min_valid_s;
	uint64_t refreshes_before; /* the login's n_refreshes when it asked */
	bool for_provider; /* wants the endpoints, too */
	login_bearer_fn *fn;
	void *arg;
	TAILQ_ENTRY(login_bearer) link;
};
TAILQ_HEAD(login_bearers, login_bearer);

struct login {
	struct login_env env;
	const struct conf *conf; /* referenced: idp borrows from it */
	struct idp *idp;
	const struct conf *next_conf; /* a reload that came while busy */
	struct idp *next_idp;
	enum login_state state;
	struct grant grant;

	/* the renewal under way: at most one of these lives */
	struct discover *discover;
	bool endpoints_known; /* discovery was through, since this idp */
	struct http_call *alive; /* does the provider answer at all? */
	struct writer_item *saving;
	struct refresh *refresh;
	struct identity *identity;
	struct oauth_grant fresh; /* what the last refresh gave, being saved */
	struct secret refused_access; /* a 401 was reported for this one */
	struct login_bearers askers;
	struct loop_task answer;     /* answers askers from the top */
	bool unsaved; /* renewed, but the disk refuses: try again */
	struct loop_timer save_again;
	struct loop_timer keep_alive; /* renews a grant nobody asks for */
	struct backoff backoff;
	int64_t not_before_ms; /* boot time: no attempt earlier */
	struct tb_error last_error;
	int64_t last_error_at;
	uint64_t n_refreshes, n_refresh_failures;

	/* a human logging in */
	struct broker_login_watch *attempt;
	bool binding;            /* its grant is being written */
	struct revoke *giveback; /* a grant nobody wanted */

	/* handing back */
	bool leaving;
	bool forgetting; /* the record without the grant is not durable yet */
	struct tb_error handed_back; /* how the provider took it; TB_OK: well */
	struct revoke *revoke;
	login_revoked_fn *revoked;
	void *revoked_arg;
};

#define LOGIN_SAVE_AGAIN_MS 1000
#define LOGIN_MOVED "the provider's endpoints moved to another origin than " \
	"the one that was logged in to"

/* login.c */
/* Writes, again, that there is no grant any more. */
void login_forget_again(struct login *l);
void login_enter(struct login *l, enum login_state state);
/* May the grant be sent where the configuration points? (promise P9) */
bool login_may_send(struct login *l);
void login_need_human(struct login *l, const char *why);
/* Takes the configuration that a reload left waiting, if any. */
void login_take_next_conf(struct login *l);
/* Queues the record; fn may be NULL. */
struct writer_item *login_save(struct login *l,
    void (*fn)(void *, const struct tb_error *), void *arg);

/* Before a redemption: done without an error also says that there is room for
 * the record of what comes of it, however full the disk is then. */
struct writer_item *login_save_ahead(struct login *l,
    void (*fn)(void *, const struct tb_error *), void *arg);
struct writer_item *login_save_grant(struct login *l, const struct grant *g,
    void (*fn)(void *, const struct tb_error *), void *arg);

/* login_bearer.c */
void login_bearers_init(struct login *l);
/* From the top of the loop; a renewal is begun where one is needed. */
void login_answer_soon(struct login *l);
/* Whoever the present token is good enough for, whatever others hope for. */
void login_answer_good(struct login *l);
void login_askers_fail(struct login *l, const struct tb_error *err);

/* login_refresh.c */
void login_refresh_init(struct login *l);
void login_refresh_stop(struct login *l);
bool login_is_busy(const struct login *l);
void login_begin_refresh(struct login *l);
/* It failed, and those who ask are told so. */
void login_retry_later(struct login *l, const struct tb_error *err);
void login_schedule_keep_alive(struct login *l);
/* Epoch seconds; 0: it is not renewed by itself. Whoever needs an access token
 * may have it renewed earlier. */
int64_t login_refresh_at(const struct login *l);

/* login_attempt.c */
void login_attempt_abort(struct login *l, const struct tb_error *err);
json_t *login_attempt_status(const struct login *l);
