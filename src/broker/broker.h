/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * broker - the set of logins and tokens of one configuration, and what the
 * doors may ask of it. Everything here is on the loop thread. Doors hold no
 * pointer across turns but a broker_waiter, which either side cuts.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "base/tb_error.h"

struct audit;
struct broker;
struct broker_login_watch;
struct broker_waiter;
struct conf;
struct http;
struct loop;
struct principal;
struct seal;
struct writer;

/* That run (systemd's invocation) of that unit is over, for sure. No I/O that
 * takes time. */
typedef bool broker_over_fn(const char *unit, const char *run);

struct broker_env {
	struct loop *loop;
	struct http *http;
	struct writer *writer;
	struct seal *seal;
	struct audit *audit;
	broker_over_fn *unit_is_over; /* NULL: that is never known */
};

/* conf is borrowed until the next broker_reconfigure or broker_free. Opens the
 * store and takes up every record; starts what is due. */
struct broker *broker_new(const struct broker_env *env,
    const struct conf *conf, struct tb_error *err);
/* Nothing will be released any more: writes down who holds what. Without it
 * the next start is one after a crash, and does not know that for sure. */
void broker_stop(struct broker *b);
void broker_free(struct broker *b);
/* All or nothing: on error the old configuration stays in force. */
int broker_reconfigure(struct broker *b, const struct conf *conf,
    struct tb_error *err);

/* Of what takes a while. done(err NULL = success) once from the top of the
 * loop. */
typedef void broker_done_fn(void *arg, json_t *detail,
    const struct tb_error *err);
struct broker_job;
void broker_job_forget(struct broker_job **job);

/* ------------------------------------------------------------- releases */

/* A token's newest ready generation, borrowed for the call. */
enum broker_outcome {
	BROKER_SENT,
	BROKER_WITHHELD,    /* authorised, and did not leave */
	BROKER_UNAVAILABLE, /* allowed, and there was nothing to give */
	BROKER_NOT_MODIFIED,
	BROKER_N_OUTCOMES,
};
#define BROKER_DOORS 3
/* How often, by door (counts_index) and outcome. */
struct broker_releases {
	uint64_t n[BROKER_DOORS][BROKER_N_OUTCOMES];
};

struct broker_view {
	const char *name;
	const struct secret *value;
	uint64_t generation;
	const char *token_id;    /* upstream id, "" when there is none */
	const char *fingerprint; /* keyed */
	const char *backend, *login, *human; /* login, human may be NULL */
	int64_t minted_at;       /* epoch seconds */
	int64_t expires_at;      /* epoch seconds, by the clock that clients
	                          * have now: one that was set moves it */
	int64_t now_s;           /* when this was looked up */
	struct broker_releases *releases; /* the token's, to be counted up */
	uint64_t serial; /* changes whenever any of the above but expires_at
	                  * does: with that, a key for what is made of it */
};

/* What the value is kept as that this principal gets for `token`: that, or, with
 * per = holder, the name of one of its own in buf. Below, names are these. */
#define BROKER_NAME_SIZE 384
const char *broker_name_for(struct broker *b, const char *token,
    const struct principal *who, char buf[BROKER_NAME_SIZE]);

/* Off the hot path, by name; one that is not configured is not counted. */
void broker_count_release(struct broker *b, const char *name, unsigned door,
    enum broker_outcome outcome);

/* A value is about to be released: to whom, at which door (counts_index), and
 * the word for what becomes of it there, NULL: it is asked for again. Before
 * its record is queued: what has to be written down of it comes first then.
 * What was told once of a peer and a view's serial need not be told again,
 * unless there is a word. */
void broker_hold(struct broker *b, const struct broker_view *view,
    const struct principal *who, unsigned door, const char *delivery);

bool broker_has_token(const struct broker *b, const char *name);
/* Seconds: more than this as min_valid can never be promised. */
int64_t broker_max_min_valid(const struct broker *b, const char *name);

/* The hot path: true and *view when a ready generation is valid for at least
 * min_valid_s more seconds. No I/O, no allocation. */
bool broker_get(struct broker *b, const char *name, int64_t min_valid_s,
    struct broker_view *view);

/* Called once, from the top of the loop, never inside broker_wait: view or
 * err. err codes: TB_E_LOGIN (human needed: err->msg names the login),
 * TB_E_TRANSIENT (retry_after_ms), TB_E_BADREQ (token went away at reload),
 * TB_E_UPSTREAM/PROTO (service refuses; told with retry). */
typedef void broker_waiter_fn(void *arg, const struct broker_view *view,
    const struct tb_error *err);

/* Waits for a generation newer than `newer_than` (0: any) that is valid for
 * min_valid_s; starts a mint when none is under way and newer_than is 0. A
 * watch (newer_than != 0) starts one only when there is no value at all. No
 * time-out of its own. */
struct broker_waiter *broker_wait(struct broker *b, const char *name,
    uint64_t newer_than, int64_t min_valid_s, broker_waiter_fn *fn, void *arg);
void broker_wait_cancel(struct broker_waiter **w); /* *w may be NULL */

/* A lease: a value of its own for as long as somebody says so. *number 0: a new
 * one, whose number is set; else the one of that number and principal that has
 * lost its connection by a restart of the daemon. name is what it is called
 * above; it is there until broker_lease_end. TB_E_BADREQ: the token has none,
 * or there is no such one to come back to; TB_E_LIMIT: all are taken. */
int broker_lease_take(struct broker *b, const char *token,
    const struct principal *who, unsigned *number,
    char name[BROKER_NAME_SIZE], struct tb_error *err);
/* Revokes it. done NULL: nobody waits. */
struct broker_job *broker_lease_end(struct broker *b, const char *name,
    broker_done_fn *done, void *arg);

/* A holder says the service refused this value. `sha256` is the SHA-256 of
 * the value (32 bytes). False: unknown generation or not that value. Starts at
 * most one probe per generation and minute; re-mints only on our own 401. who
 * NULL: the daemon itself. */
bool broker_rejected(struct broker *b, const char *name, uint64_t generation,
    const unsigned char sha256[32], const struct principal *who);

/* Which login would have to be renewed by a human before this token can be
 * minted; NULL when none. For human_needed answers. */
const char *broker_token_login(const struct broker *b, const char *name);
void broker_each_token(struct broker *b,
    void (*fn)(void *arg, const char *name), void *arg);

/* ---------------------------------------------------------------- admin */

struct broker_login_request {
	const char *name;
	const char *expect; /* "CLAIM=VALUE" or NULL */
	bool repin;
};

enum broker_login_what {
	BROKER_LOGIN_CODE,    /* prompt is set */
	BROKER_LOGIN_CONFIRM, /* claims is set: first pin, the operator must say
	                       * yes by broker_login_confirm */
	BROKER_LOGIN_DONE,    /* granted; claims may be set */
	BROKER_LOGIN_FAILED,  /* err is set */
};
struct broker_login_news {
	enum broker_login_what what;
	const char *user_code, *verification_uri, *verification_uri_complete;
	int64_t expires_in_s, interval_s;
	json_t *claims; /* iss, sub, email, name, preferred_username if there */
	const struct tb_error *err;
};
typedef void broker_login_fn(void *arg, const struct broker_login_news *news);

/* Starts a device login; news come from the top of the loop until DONE or
 * FAILED (then the handle is over). TB_E_BADREQ: no such login, or one is
 * pending already. The login is cancelled when the operator goes away. */
struct broker_login_watch *broker_login_start(struct broker *b,
    const struct broker_login_request *req, broker_login_fn *fn, void *arg,
    struct tb_error *err);
void broker_login_confirm(struct broker_login_watch *w, bool yes);
void broker_login_cancel(struct broker_login_watch **w);

/* Revokes minted tokens first, the grant last; keep_tokens opts out. */
struct broker_job *broker_logout(struct broker *b, const char *login,
    bool keep_tokens, broker_done_fn *done, void *arg);
/* Upstream revocation of one generation (0: all of the token's). */
struct broker_job *broker_revoke(struct broker *b, const char *token,
    uint64_t generation, broker_done_fn *done, void *arg);
/* Mints a new generation now; the old ones live on. */
struct broker_job *broker_rotate(struct broker *b, const char *token,
    broker_done_fn *done, void *arg);
/* value is taken. expires_at: epoch seconds, mandatory. */
struct broker_job *broker_import(struct broker *b, const char *token,
    struct secret *value, const char *token_id, int64_t expires_at,
    broker_done_fn *done, void *arg);

/* Looks at what the services list, that of one backend or (NULL) all. */
struct broker_job *broker_reconcile(struct broker *b, const char *backend,
    broker_done_fn *done, void *arg);

struct openmetrics;
/* Families of logins, tokens, services and the disk. */
void broker_metrics(struct broker *b, struct openmetrics *m);
/* 0 when what is asked for could be recorded, and so released; err says why
 * not. Cheap. */
int broker_health(struct broker *b, struct tb_error *err);
/* What people are waited for: "tokenbrokerctl login ops; tokenbrokerctl import
 * mgmt". Owned by the caller; NULL: nobody is. */
char *broker_human_needed(struct broker *b);
/* One line for systemctl status; owned by the caller. */
char *broker_status_line(struct broker *b);

/* The state may be an older one or another machine's: while that lasts nothing
 * is refreshed, minted or revoked. It is this host's state, says an operator. */
struct broker_job *broker_adopt(struct broker *b, broker_done_fn *done,
    void *arg);
/* Seals everything with another master key; key is borrowed. */
struct broker_job *broker_rekey(struct broker *b, const struct secret *key,
    broker_done_fn *done, void *arg);
/* The next start will find this key (see store_key_is_configured). */
bool broker_key_is_configured(struct broker *b, const char *key_id);

/* Everything an auditor may see; no values. Owned by the caller. */
json_t *broker_status_logins(struct broker *b);
json_t *broker_status_tokens(struct broker *b); /* the inventory */
json_t *broker_status(struct broker *b); /* summary, with counters */
