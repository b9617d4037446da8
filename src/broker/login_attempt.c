/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One human logging in: code shown, approval awaited, account checked.
 *
 *   ASKING --code--> WAITING --granted--> IDENTITY --pinned--> SAVE -> done
 *                                            |--first time--> CONFIRM --^
 *
 * The old grant stays in force until the new one is on disk. A grant that is
 * refused here (another account, not confirmed) is handed back to the
 * provider: nobody keeps a login that nobody wanted.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/login_int.h"
#include "broker/status.h"
#include "lib/jsonx.h"
#include "ops/device.h"
#include "ops/discover.h"
#include "ops/identity.h"
#include "ops/revoke.h"
#include "state/audit.h"
#include "state/writer.h"

struct broker_login_watch {
	struct login *login;
	broker_login_fn *fn;
	void *arg;
	char *expect_claim, *expect_value;
	bool repin;
	bool asked; /* whether this is the right account: no answer yet */
	int64_t started_at, expires_at;

	struct discover *discover;
	struct device *device;
	struct identity *identity;
	struct writer_item *saving;
	struct oauth_grant fresh;
	json_t *claims;
	struct grant grant; /* the new one, while it is being saved */
	struct loop_task failing; /* delivers `error` from the top */
	struct tb_error error;
};

static void
attempt_free(struct broker_login_watch *w)
{
	struct login *l = w->login;

	discover_cancel(&w->discover);
	device_cancel(&w->device);
	identity_cancel(&w->identity);
	writer_forget(&w->saving);
	loop_task_cancel(&w->failing);
	oauth_grant_clear(&w->fresh);
	grant_clear(&w->grant);
	json_decref(w->claims);
	free(w->expect_claim);
	free(w->expect_value);
	l->binding = false;
	if (l->attempt == w)
		l->attempt = NULL;
	free(w);
}

static void
attempt_on_given_back(void *arg, const struct tb_error *err)
{
	struct login *l = arg;

	l->giveback = NULL;
	if (err)
		log_warn("login", "%s: the unwanted grant could not be handed "
		    "back: %s", login_name(l), err->msg);
	login_answer_soon(l);
}

static void
attempt_give_back(struct broker_login_watch *w)
{
	struct login *l = w->login;
	struct oauth_grant *f = &w->fresh;
	struct grant *g = &w->grant;

	/* where the tokens are depends on how far the attempt got */
	if (grant_has_tokens(g)) {
		secret_move(&f->refresh_token, &g->refresh_token);
		secret_move(&f->access_token, &g->access_token);
	}
	if (secret_is_empty(&f->refresh_token) &&
	    secret_is_empty(&f->access_token))
		return;
	revoke_cancel(&l->giveback);
	l->giveback = revoke_start(l->env.loop, l->env.http, l->idp,
	    &f->refresh_token, &f->access_token, attempt_on_given_back, l);
}

/* Back to what the old grant, if any, allows. */
static void
attempt_restore_state(struct login *l)
{
	if (l->unsaved) /* the old one was rotated and is not on disk yet */
		loop_timer_set(&l->save_again, 0);
	l->state = LOGIN_WAITING; /* so that login_activate sees a change */
	login_activate(l);
	login_answer_soon(l);
}

static void
attempt_audit(struct broker_login_watch *w, enum audit_event event,
    const char *reason)
{
	struct login *l = w->login;
	struct audit_rec rec = {
		.event = event,
		.login = login_name(l),
		.human = w->grant.pin_show ? w->grant.pin_show :
		    login_human(l),
		.reason = reason,
	};

	audit_durable(l->env.audit, &rec, NULL, NULL);
}

static void
attempt_fail(struct broker_login_watch *w, const struct tb_error *err)
{
	struct login *l = w->login;
	struct tb_error why = *err;
	struct broker_login_news news = {
		.what = BROKER_LOGIN_FAILED, .err = &why,
	};
	broker_login_fn *fn = w->fn;
	void *arg = w->arg;

	log_warn("login", "%s: login failed: %s", login_name(l), why.msg);
	attempt_audit(w, AUDIT_LOGIN_FAILED, tb_error_name(why.code));
	attempt_give_back(w);
	attempt_free(w);
	attempt_restore_state(l);
	if (fn)
		fn(arg, &news);
}

void
login_attempt_abort(struct login *l, const struct tb_error *err)
{
	attempt_fail(l->attempt, err);
}

static void
attempt_on_failing(void *arg)
{
	struct broker_login_watch *w = arg;

	attempt_fail(w, &w->error);
}

static void
attempt_on_saved(void *arg, const struct tb_error *err)
{
	struct broker_login_watch *w = arg;
	struct login *l = w->login;
	struct broker_login_news news = { .what = BROKER_LOGIN_DONE };
	struct tb_error why;
	broker_login_fn *fn = w->fn;
	void *fn_arg = w->arg;
	json_t *claims _cleanup_json_ = NULL;

	w->saving = NULL;
	if (err) {
		why = *err;
		tb_error_wrap(&why, "the login was approved but cannot be "
		    "stored");
		attempt_fail(w, &why);
		return;
	}
	l->unsaved = l->forgetting = false;
	/* the one before is of no use to anybody now; back to who gave it */
	if (login_may_send(l)) {
		secret_move(&w->fresh.refresh_token, &l->grant.refresh_token);
		secret_move(&w->fresh.access_token, &l->grant.access_token);
	}
	grant_clear(&l->grant);
	l->grant = w->grant; /* moved */
	w->grant = (struct grant)GRANT_INIT;
	attempt_give_back(w);
	claims = STEAL(w->claims);
	attempt_audit(w, AUDIT_LOGIN_GRANTED, NULL);
	log_info("login", "%s: logged in%s%s", login_name(l),
	    login_human(l) ? " as " : "", login_human(l) ? login_human(l) : "");
	attempt_free(w);
	backoff_reset(&l->backoff);
	l->not_before_ms = 0;
	l->last_error = (struct tb_error)TB_ERROR_INIT;
	attempt_restore_state(l);
	news.claims = claims;
	if (fn)
		fn(fn_arg, &news);
}

static void
attempt_bind(struct broker_login_watch *w)
{
	struct login *l = w->login;
	struct grant *g = &w->grant;
	bool unsaved;

	str_set(&g->issuer, l->idp->conf->issuer ? l->idp->conf->issuer : "");
	str_set(&g->client_id, l->idp->conf->client_id);
	str_set(&g->server, l->idp->conf->influxdb3_url);
	free(g->origins);
	g->origins = idp_origins(l->idp);
	grant_take(g, &w->fresh, now_real_s());
	g->granted_at = now_real_s();
	/* A refresh of the old grant must not write over the new one. */
	l->binding = true;
	unsaved = l->unsaved || (l->saving && l->grant.redeeming == 0);
	login_refresh_stop(l);
	l->unsaved = unsaved;
	w->saving = login_save_grant(l, g, attempt_on_saved, w);
}

static void
attempt_pin(struct broker_login_watch *w)
{
	struct grant *g = &w->grant;
	const char *claim = w->login->idp->conf->identity_claim;
	const char *iss, *value, *show;

	iss = json_string_value(json_object_get(w->claims, "iss"));
	value = json_string_value(json_object_get(w->claims, claim));
	show = json_string_value(json_object_get(w->claims, "email"));
	if (!show)
		show = json_string_value(json_object_get(w->claims,
		    "preferred_username"));
	str_set(&g->pin_iss, iss);
	str_set(&g->pin_claim, claim);
	str_set(&g->pin_value, value);
	free(g->pin_show);
	g->pin_show = show ? xasprintf("%s %s (%s)", iss, value, show) :
	    xasprintf("%s %s", iss, value);
	attempt_audit(w, AUDIT_LOGIN_PINNED, NULL);
	attempt_bind(w);
}

/* Fills err (TB_E_DENIED) when this account is not the one allowed. */
static int
attempt_check_pin(struct broker_login_watch *w, struct tb_error *err)
{
	const struct login *l = w->login;
	const struct grant *g = &l->grant;
	const char *claim = l->idp->conf->identity_claim;
	const char *iss, *value, *expected;

	iss = json_string_value(json_object_get(w->claims, "iss"));
	value = json_string_value(json_object_get(w->claims, claim));
	if (!iss || !value)
		return tb_error_set(err, TB_E_PROTO, "the id token has no claim "
		    "'%s' to pin (identity_claim)", claim);
	if (w->expect_claim) {
		expected = json_string_value(json_object_get(w->claims,
		    w->expect_claim));
		if (!streq(expected, w->expect_value))
			return tb_error_set(err, TB_E_DENIED, "the account that "
			    "approved has another %s than --expect asks for",
			    w->expect_claim);
	}
	if (!grant_is_pinned(g) || w->repin)
		return 0;
	if (!streq(iss, g->pin_iss) || !streq(claim, g->pin_claim) ||
	    !streq(value, g->pin_value))
		return tb_error_set(err, TB_E_DENIED, "another account "
		    "approved than the one pinned (%s); to change it on "
		    "purpose: tokenbrokerctl login %s --repin", g->pin_show,
		    login_name(l));
	return 0;
}

static void
attempt_on_identity(void *arg, json_t *claims, const struct tb_error *err)
{
	struct broker_login_watch *w = arg;
	struct broker_login_news news = { .what = BROKER_LOGIN_CONFIRM };
	struct tb_error why = TB_ERROR_INIT;

	w->identity = NULL;
	if (err) {
		why = *err;
		tb_error_wrap(&why, "the account that approved cannot be "
		    "verified");
		attempt_fail(w, &why);
		return;
	}
	w->claims = json_incref(claims);
	if (attempt_check_pin(w, &why) < 0) {
		attempt_fail(w, &why);
	} else if ((grant_is_pinned(&w->login->grant) && !w->repin) ||
	    w->expect_claim) {
		attempt_pin(w);
	} else {
		w->asked = true;
		login_enter(w->login, LOGIN_CONFIRM);
		news.claims = w->claims;
		w->fn(w->arg, &news);
	}
}

static void
attempt_on_granted(void *arg, struct oauth_grant *grant,
    const struct tb_error *err)
{
	struct broker_login_watch *w = arg;
	struct login *l = w->login;
	struct tb_error why = TB_ERROR_INIT;

	w->device = NULL;
	if (err) {
		attempt_fail(w, err);
		return;
	}
	w->fresh = *grant; /* moved */
	*grant = (struct oauth_grant)OAUTH_GRANT_INIT;
	if (l->idp->conf->identity_unverified) {
		attempt_bind(w);
	} else if (secret_is_empty(&w->fresh.id_token)) {
		tb_error_set(&why, TB_E_PROTO, "the provider sent no id token, "
		    "so nobody knows who approved; add openid to scopes, or "
		    "set identity = unverified");
		attempt_fail(w, &why);
	} else {
		w->identity = identity_start(l->env.loop, l->env.http, l->idp,
		    &w->fresh.id_token, IDENTITY_FRESH, attempt_on_identity,
		    w);
	}
}

static void
attempt_on_prompt(void *arg, const struct device_prompt *p)
{
	struct broker_login_watch *w = arg;
	struct broker_login_news news = {
		.what = BROKER_LOGIN_CODE,
		.user_code = p->user_code,
		.verification_uri = p->verification_uri,
		.verification_uri_complete = p->verification_uri_complete,
		.expires_in_s = p->expires_in_s,
		.interval_s = p->interval_s,
	};

	w->expires_at = now_real_s() + p->expires_in_s;
	login_enter(w->login, LOGIN_WAITING);
	w->fn(w->arg, &news);
}

static void
attempt_on_discovered(void *arg, const struct tb_error *err)
{
	struct broker_login_watch *w = arg;
	struct login *l = w->login;

	w->discover = NULL;
	if (err) {
		attempt_fail(w, err);
		return;
	}
	w->device = device_start(l->env.loop, l->env.http, l->idp,
	    attempt_on_prompt, attempt_on_granted, w);
}

static int
attempt_parse_expect(struct broker_login_watch *w, const char *expect,
    struct tb_error *err)
{
	const char *eq = expect ? strchr(expect, '=') : NULL;

	if (!expect)
		return 0;
	if (!eq || eq == expect || !eq[1])
		return tb_error_set(err, TB_E_BADREQ,
		    "expect must be CLAIM=VALUE, for example "
		    "email=ops@example.com");
	w->expect_claim = xstrndup(expect, (size_t)(eq - expect));
	w->expect_value = xstrdup(eq + 1);
	return 0;
}

struct broker_login_watch *
login_begin(struct login *l, const struct broker_login_request *req,
    broker_login_fn *fn, void *arg, struct tb_error *err)
{
	struct broker_login_watch *w;

	if (l->attempt) {
		tb_error_set(err, TB_E_BADREQ, "a login for '%s' is waiting for "
		    "a human already", login_name(l));
		return NULL;
	}
	if (l->state == LOGIN_REVOKING) {
		tb_error_set(err, TB_E_BADREQ, "login '%s' is being logged out; "
		    "try again in a moment", login_name(l));
		return NULL;
	}
	login_take_next_conf(l);
	w = xnew(struct broker_login_watch);
	w->login = l;
	loop_task_init(&w->failing, l->env.loop, attempt_on_failing, w);
	if (attempt_parse_expect(w, req->expect, err) < 0) {
		attempt_free(w);
		return NULL;
	}
	w->fn = fn;
	w->arg = arg;
	w->repin = req->repin;
	w->started_at = now_real_s();
	l->attempt = w;
	attempt_audit(w, AUDIT_LOGIN_STARTED, NULL);
	login_enter(l, LOGIN_ASKING);
	w->discover = discover_start(l->env.loop, l->env.http, l->idp,
	    DISCOVER_ENDPOINTS, attempt_on_discovered, w);
	return w;
}

void
broker_login_confirm(struct broker_login_watch *w, bool yes)
{
	if (!w->asked)
		return;
	w->asked = false; /* a second answer is none */
	if (yes) {
		attempt_pin(w);
		return;
	}
	tb_error_set(&w->error, TB_E_DENIED, "the operator did not confirm the "
	    "account");
	loop_task_post(&w->failing);
}

void
broker_login_cancel(struct broker_login_watch **wp)
{
	struct broker_login_watch *w = STEAL(*wp);
	struct tb_error err = TB_ERROR_INIT;

	if (!w)
		return;
	w->fn = NULL;
	/* Approved and being written: finish, nobody is told. */
	if (w->saving)
		return;
	tb_error_set(&err, TB_E_CANCELLED, "the operator went away");
	attempt_fail(w, &err);
}

json_t *
login_attempt_status(const struct login *l)
{
	json_t *o = json_object();

	status_time(o, "started_at", l->attempt->started_at);
	status_time(o, "expires_at", l->attempt->expires_at);
	return o;
}
