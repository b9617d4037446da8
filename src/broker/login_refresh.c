/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one refresh that renews the access token for all who ask.
 *
 *   DISCOVER -> (ALIVE?) -> WRITE AHEAD -> REFRESH -> SAVE -> (IDENTITY)
 *
 * Its end, good or bad, is told by login_answer_soon() to login_bearer.c.
 *
 * A refresh token may be single-use, and whether a lost reply used it up
 * cannot be known. So the attempt is on disk before the request leaves (which
 * proves the store writable, too), and the rotated token is on disk before the
 * access token that came with it is used. After an attempt without an answer
 * one more is allowed, once the provider is seen to answer anything at all:
 * a provider that merely hangs must not eat the grant.
 */
#include "base/log.h"
#include "base/now.h"
#include "base/timefmt.h"
#include "broker/login_int.h"
#include "lib/http.h"
#include "ops/discover.h"
#include "ops/identity.h"
#include "ops/idp.h"
#include "ops/refresh.h"
#include "state/audit.h"
#include "state/store.h"
#include "state/writer.h"

#define REFRESH_BACKOFF_BASE_MS 1000
#define REFRESH_BACKOFF_CAP_MS (5 * 60 * 1000)
/* Providers drop refresh tokens that idle. Unless this one says how long it
 * keeps them, use ours at least this often. */
#define KEEP_ALIVE_MS (12 * 3600 * INT64_C(1000))
#define MAX_REDEMPTIONS 2
/* Whatever ate the answer of the first should be over before the second. */
#define UNRESOLVED_WAIT_MS 10000

static void login_write_ahead(struct login *l);
static void login_refresh_failed(struct login *l, const struct tb_error *err);

/* ------------------------------------------------------------- renewal */

bool
login_is_busy(const struct login *l)
{
	return l->discover || l->alive || l->saving || l->refresh ||
	    l->identity || l->unsaved || l->binding;
}

void
login_refresh_stop(struct login *l)
{
	discover_cancel(&l->discover);
	http_call_cancel(&l->alive);
	writer_forget(&l->saving);
	refresh_cancel(&l->refresh);
	identity_cancel(&l->identity);
	loop_timer_stop(&l->save_again);
	l->unsaved = false;
	oauth_grant_clear(&l->fresh);
	if (l->state == LOGIN_REFRESHING)
		l->state = LOGIN_GRANTED;
}

static void
login_audit(struct login *l, enum audit_event event, const char *reason)
{
	struct audit_rec rec = {
		.event = event,
		.login = login_name(l),
		.human = login_human(l),
		.reason = reason,
		.count = l->grant.redeeming,
	};

	audit_note(l->env.audit, &rec);
}

static void
login_on_alive(void *arg, struct http_reply *reply, const struct tb_error *err)
{
	struct login *l = arg;
	struct tb_error why = TB_ERROR_INIT;

	l->alive = NULL;
	if (err) {
		why = *err;
		tb_error_wrap(&why, "waiting for the provider to answer again");
		login_retry_later(l, &why);
	} else if (reply->status >= 500) {
		tb_error_set(&why, TB_E_BUSY, "waiting for the provider to "
		    "work again: HTTP %d", reply->status);
		login_retry_later(l, &why);
	} else {
		login_write_ahead(l);
	}
}

static void
login_on_works_again(void *arg, const struct tb_error *err)
{
	struct login *l = arg;
	struct tb_error why;

	l->discover = NULL;
	if (!err) {
		login_write_ahead(l);
		return;
	}
	why = *err;
	tb_error_wrap(&why, "waiting for the provider to work again");
	login_retry_later(l, &why);
}

static void
login_on_discovered(void *arg, const struct tb_error *err)
{
	struct login *l = arg;
	struct http_request req = HTTP_REQUEST_INIT;

	l->discover = NULL;
	if (err) {
		login_retry_later(l, err);
		return;
	}
	if (!login_may_send(l)) {
		login_need_human(l, LOGIN_MOVED);
		return;
	}
	l->endpoints_known = true;
	if (l->grant.redeeming == 0) {
		login_write_ahead(l);
		return;
	}
	/* The outcome of the last attempt is unknown. Spend the one retry only
	 * on a provider that works: its key set must be served, by it and not
	 * by a gateway in front of it. Without one, any answer to a harmless
	 * GET has to do. */
	if (l->idp->jwks_uri) {
		l->discover = discover_start(l->env.loop, l->env.http, l->idp,
		    DISCOVER_KEYS_AGAIN, login_on_works_again, l);
		return;
	}
	idp_request(l->idp, l->idp->token_endpoint, &req);
	req.method = "GET";
	l->alive = http_call_start(l->env.http, &req, login_on_alive, l);
}

void
login_begin_refresh(struct login *l)
{
	struct tb_error held = TB_ERROR_INIT;

	if (store_is_quarantined(l->env.store)) {
		/* somebody else may have redeemed it, or be about to */
		store_why_quarantined(l->env.store, &held);
		login_askers_fail(l, &held);
		return;
	}
	if (secret_is_empty(&l->grant.refresh_token)) {
		login_need_human(l, "the access token is spent and the provider "
		    "gave no refresh token (add offline_access to scopes)");
		return;
	}
	if (l->grant.redeeming >= MAX_REDEMPTIONS) {
		login_need_human(l, "two refreshes in a row had no clear "
		    "outcome; the refresh token may be spent");
		return;
	}
	login_enter(l, LOGIN_REFRESHING);
	l->discover = discover_start(l->env.loop, l->env.http, l->idp,
	    DISCOVER_ENDPOINTS, login_on_discovered, l);
}

static void
login_on_identity(void *arg, json_t *claims, const struct tb_error *err)
{
	struct login *l = arg;
	const char *iss, *value;

	l->identity = NULL;
	if (err && tb_error_is_transient(err)) {
		log_warn("login", "%s: the id token of the refresh could not "
		    "be verified now: %s", login_name(l), err->msg);
	} else if (err) {
		login_need_human(l, "the provider sent an id token that does "
		    "not verify");
		return;
	} else {
		iss = json_string_value(json_object_get(claims, "iss"));
		value = json_string_value(json_object_get(claims,
		    l->grant.pin_claim));
		if (!streq(iss, l->grant.pin_iss) ||
		    !streq(value, l->grant.pin_value)) {
			login_need_human(l, "the refreshed login belongs to "
			    "another account than the pinned one");
			return;
		}
	}
	login_enter(l, LOGIN_GRANTED);
	login_answer_soon(l);
}

static void
login_on_saved(void *arg, const struct tb_error *err)
{
	struct login *l = arg;

	l->saving = NULL;
	if (err) {
		/* The old token is spent and the new one only in memory: keep
		 * it there, use nothing, and write again. */
		if (!l->unsaved)
			log_error("login", "%s: the rotated refresh token "
			    "cannot be stored: %s", login_name(l), err->msg);
		l->unsaved = true;
		loop_timer_set(&l->save_again, LOGIN_SAVE_AGAIN_MS);
		return;
	}
	l->unsaved = false;
	l->n_refreshes++;
	backoff_reset(&l->backoff);
	l->last_error = (struct tb_error)TB_ERROR_INIT;
	secret_clear(&l->refused_access);
	login_audit(l, AUDIT_REFRESHED, NULL);
	login_schedule_keep_alive(l);
	if (!secret_is_empty(&l->fresh.id_token) &&
	    grant_is_pinned(&l->grant) && !l->idp->conf->identity_unverified) {
		l->identity = identity_start(l->env.loop, l->env.http, l->idp,
		    &l->fresh.id_token, IDENTITY_OF_REFRESH,
		    login_on_identity, l);
		oauth_grant_clear(&l->fresh);
		return;
	}
	oauth_grant_clear(&l->fresh);
	login_enter(l, LOGIN_GRANTED);
	login_answer_soon(l);
}

static void
login_on_save_again(void *arg)
{
	struct login *l = arg;

	if (l->saving)
		return; /* on its way, and tried again if that fails */
	if (l->forgetting)
		login_forget_again(l);
	else
		l->saving = login_save(l, login_on_saved, l);
}

static void
login_on_refreshed(void *arg, struct oauth_grant *grant,
    const struct tb_error *err)
{
	struct login *l = arg;

	l->refresh = NULL;
	if (err) {
		login_refresh_failed(l, err);
		return;
	}
	secret_move(&l->fresh.id_token, &grant->id_token);
	grant_take(&l->grant, grant, now_real_s());
	l->saving = login_save(l, login_on_saved, l);
}

static void
login_on_written_ahead(void *arg, const struct tb_error *err)
{
	struct login *l = arg;
	struct tb_error why;

	l->saving = NULL;
	if (err) {
		l->grant.redeeming--; /* nothing was sent */
		why = *err;
		tb_error_wrap(&why, "the refresh token was not used, because "
		    "the attempt cannot be written down");
		why.code = TB_E_UNREACHED; /* space comes back: try again */
		login_retry_later(l, &why);
		return;
	}
	l->refresh = refresh_start(l->env.loop, l->env.http, l->idp,
	    &l->grant.refresh_token, login_on_refreshed, l);
}

static void
login_write_ahead(struct login *l)
{
	l->grant.redeeming++;
	login_audit(l, AUDIT_REFRESH_INTENT, NULL);
	l->saving = login_save_ahead(l, login_on_written_ahead, l);
}

void
login_retry_later(struct login *l, const struct tb_error *err)
{
	int64_t delay = backoff_next(&l->backoff, err->retry_after_ms);
	char in[TIMEFMT_SIZE];

	if (l->grant.redeeming > 0)
		delay = MAX2(delay, UNRESOLVED_WAIT_MS);
	l->last_error = *err;
	l->last_error_at = now_real_s();
	l->last_error.retry_after_ms = delay;
	l->not_before_ms = now_boot_ms() + delay;
	l->n_refresh_failures++;
	log_warn("login", "%s: refresh failed (%s), next attempt in %s",
	    login_name(l), err->msg, timefmt_duration(delay, in, sizeof(in)));
	login_audit(l, AUDIT_REFRESH_FAILED, tb_error_name(err->code));
	login_enter(l, LOGIN_GRANTED);
	loop_timer_set(&l->keep_alive, delay);
	login_answer_good(l);
	login_askers_fail(l, &l->last_error);
	login_answer_soon(l); /* a reload may wait */
}

/* Which failures leave the refresh token certainly unspent? */
static void
login_refresh_failed(struct login *l, const struct tb_error *err)
{
	switch (err->code) {
	case TB_E_LOGIN:
		l->n_refresh_failures++;
		grant_forget_tokens(&l->grant);
		login_need_human(l, "the provider refused the refresh token");
		return;
	case TB_E_UNREACHED: /* never left this host: as before the attempt */
	case TB_E_CONFIG:    /* nor this process: a key file is missing, say */
	case TB_E_BUSY:      /* answered: not now */
	case TB_E_UPSTREAM:  /* answered: not like this */
		/* an earlier attempt that was never answered still counts */
		l->grant.redeeming--;
		login_save(l, NULL, NULL);
		break;
	case TB_OK:
	case TB_E_TRANSIENT: /* no answer: spent or not, nobody knows */
	case TB_E_PROTO:
	case TB_E_QUARANTINE:
	case TB_E_DENIED:
	case TB_E_BADREQ:
	case TB_E_IO:
	case TB_E_LIMIT:
	case TB_E_CANCELLED:
		break;
	}
	login_retry_later(l, err);
}

/* ---------------------------------------------------------- keep alive */

static void
login_on_keep_alive(void *arg)
{
	struct login *l = arg;

	login_take_next_conf(l);
	if (!login_is_usable(l) || login_is_busy(l) || l->attempt ||
	    l->state != LOGIN_GRANTED)
		return;
	log_debug("login", "%s: renewing so that the grant stays alive",
	    login_name(l));
	login_begin_refresh(l);
}

void
login_resume(struct login *l)
{
	if (login_is_usable(l) && !login_is_busy(l))
		login_schedule_keep_alive(l);
	login_answer_soon(l);
}

void
login_hurry(struct login *l)
{
	if (l->grant.redeeming > 0)
		return;
	l->not_before_ms = 0;
	backoff_reset(&l->backoff);
}

void
login_schedule_keep_alive(struct login *l)
{
	int64_t delay = KEEP_ALIVE_MS, left_ms;

	if (secret_is_empty(&l->grant.refresh_token)) {
		loop_timer_stop(&l->keep_alive);
		return;
	}
	if (l->grant.refresh_expires_at) {
		left_ms = (l->grant.refresh_expires_at - now_real_s()) * 1000;
		delay = MIN2(delay, left_ms / 2);
	}
	/* a retry that a crash interrupted is due soon, not in half a day */
	if (l->grant.redeeming > 0)
		delay = REFRESH_BACKOFF_BASE_MS;
	loop_timer_set(&l->keep_alive, MAX2(delay, 1000));
}

int64_t
login_refresh_at(const struct login *l)
{
	if (!login_is_usable(l) || !loop_timer_is_set(&l->keep_alive))
		return 0;
	return now_real_s() +
	    MAX2(l->keep_alive.at_ms - now_boot_ms(), 0) / 1000;
}

void
login_refresh_init(struct login *l)
{
	login_bearers_init(l);
	loop_timer_init(&l->keep_alive, l->env.loop, login_on_keep_alive, l);
	loop_timer_init(&l->save_again, l->env.loop, login_on_save_again, l);
	l->backoff = (struct backoff)BACKOFF_INIT(REFRESH_BACKOFF_BASE_MS,
	    REFRESH_BACKOFF_CAP_MS);
}
