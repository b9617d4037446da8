/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a login has one writer, login_enter(), which logs every change
 * and tells the tokens that hang on it. What a restart needs is in the grant's
 * record; everything else is rebuilt.
 */
#include "broker/login.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/login_int.h"
#include "broker/status.h"
#include "conf.h"
#include "lib/http.h"
#include "lib/loop.h"
#include "ops/discover.h"
#include "ops/identity.h"
#include "ops/refresh.h"
#include "ops/revoke.h"
#include "state/audit.h"
#include "state/store.h"

/* Every byte of the largest reply that is read, each escaped, and the rest of
 * the record. */
#define GRANT_ROOM ((size_t)2 * IDP_BODY_CAP + (16 << 10))

static const char *
login_state_name(enum login_state s)
{
	switch (s) {
	case LOGIN_EMPTY:
		return "empty";
	case LOGIN_ASKING:
		return "asking";
	case LOGIN_WAITING:
		return "waiting";
	case LOGIN_CONFIRM:
		return "confirm";
	case LOGIN_GRANTED:
		return "granted";
	case LOGIN_REFRESHING:
		return "refreshing";
	case LOGIN_HUMAN_NEEDED:
		return "human_needed";
	case LOGIN_REVOKING:
		return "revoking";
	}
	return "?";
}

struct login *
login_new(const struct login_env *env, const struct conf *conf,
    struct idp *idp)
{
	struct login *l = xnew(struct login);

	l->env = *env;
	l->conf = conf_ref(conf);
	l->idp = idp;
	l->state = LOGIN_EMPTY;
	login_refresh_init(l);
	return l;
}

void
login_free(struct login *l)
{
	struct tb_error gone = TB_ERROR_INIT;

	if (!l)
		return;
	tb_error_set(&gone, TB_E_CANCELLED, "the broker stops");
	if (l->attempt)
		login_attempt_abort(l, &gone);
	login_refresh_stop(l);
	revoke_cancel(&l->revoke);
	revoke_cancel(&l->giveback);
	loop_task_cancel(&l->answer);
	loop_timer_stop(&l->keep_alive);
	loop_timer_stop(&l->save_again);
	while (!TAILQ_EMPTY(&l->askers)) {
		struct login_bearer *b = TAILQ_FIRST(&l->askers);

		/* its owner is torn down too and cancels it later */
		TAILQ_REMOVE(&l->askers, b, link);
		b->login = NULL;
	}
	oauth_grant_clear(&l->fresh);
	secret_clear(&l->refused_access);
	grant_clear(&l->grant);
	idp_free(l->idp);
	idp_free(l->next_idp);
	conf_unref(l->conf);
	conf_unref(l->next_conf);
	free(l);
}

void
login_take_next_conf(struct login *l)
{
	if (!l->next_idp || l->attempt || l->revoke || l->giveback ||
	    login_is_busy(l))
		return;
	idp_free(l->idp);
	conf_unref(l->conf);
	l->idp = STEAL(l->next_idp);
	l->conf = STEAL(l->next_conf);
	l->endpoints_known = false;
	l->not_before_ms = 0;
	backoff_reset(&l->backoff);
	login_activate(l);
}

void
login_set_conf(struct login *l, const struct conf *conf, struct idp *idp)
{
	idp_free(l->next_idp);
	conf_unref(l->next_conf);
	l->next_idp = idp;
	l->next_conf = conf_ref(conf);
	login_answer_soon(l);
}

const char *
login_name(const struct login *l)
{
	return l->idp->conf->name;
}

enum login_state
login_get_state(const struct login *l)
{
	return l->state;
}

bool
login_is_usable(const struct login *l)
{
	return l->state != LOGIN_REVOKING && !l->grant.human_needed &&
	    grant_has_tokens(&l->grant);
}

bool
login_is_lost(const struct login *l)
{
	/* What the provider has refused is forgotten. A changed configuration,
	 * or answers that never came, need a human as well and say nothing of
	 * the grant. */
	return l->state != LOGIN_REVOKING && l->grant.human_needed &&
	    !grant_has_tokens(&l->grant);
}

const char *
login_human(const struct login *l)
{
	return l->grant.pin_show;
}

int
login_why_unusable(const struct login *l, struct tb_error *err)
{
	const char *name = login_name(l);

	if (l->grant.human_needed)
		return tb_error_set(err, TB_E_LOGIN,
		    "login '%s' needs a human: %s; run: tokenbrokerctl login %s",
		    name, l->grant.human_needed, name);
	return tb_error_set(err, TB_E_LOGIN, "nobody has logged in for '%s' "
	    "yet; run: tokenbrokerctl login %s", name, name);
}

void
login_enter(struct login *l, enum login_state state)
{
	if (state == l->state)
		return;
	/* while a human logs in, the renewal of the old grant is not shown */
	if (l->attempt && (state == LOGIN_GRANTED || state == LOGIN_REFRESHING))
		return;
	if (state == LOGIN_REFRESHING || l->state == LOGIN_REFRESHING)
		log_debug("login", "%s: %s -> %s", login_name(l),
		    login_state_name(l->state), login_state_name(state));
	else
		log_info("login", "%s: %s -> %s", login_name(l),
		    login_state_name(l->state), login_state_name(state));
	l->state = state;
	if (state == LOGIN_GRANTED || state == LOGIN_HUMAN_NEEDED ||
	    state == LOGIN_EMPTY || state == LOGIN_REVOKING)
		l->env.changed(l->env.arg, l);
}

struct writer_item *
login_save_grant(struct login *l, const struct grant *g,
    void (*fn)(void *, const struct tb_error *), void *arg)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	grant_encode(g, &plain);
	return store_put(l->env.store, "login", login_name(l), &plain, fn, arg);
}

struct writer_item *
login_save(struct login *l, void (*fn)(void *, const struct tb_error *),
    void *arg)
{
	return login_save_grant(l, &l->grant, fn, arg);
}

struct writer_item *
login_save_ahead(struct login *l,
    void (*fn)(void *, const struct tb_error *), void *arg)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	grant_encode(&l->grant, &plain);
	return store_put_ahead(l->env.store, "login", login_name(l), &plain,
	    "login", GRANT_ROOM, fn, arg);
}

void
login_need_human(struct login *l, const char *why)
{
	struct audit_rec rec = {
		.event = AUDIT_HUMAN_NEEDED,
		.login = login_name(l),
		.human = login_human(l),
		.reason = why,
	};
	struct tb_error err = TB_ERROR_INIT;

	login_refresh_stop(l);
	str_set(&l->grant.human_needed, why);
	log_warn("login", "%s: a human is needed: %s; run: tokenbrokerctl "
	    "login %s", login_name(l), why, login_name(l));
	audit_durable(l->env.audit, &rec, NULL, NULL);
	login_save(l, NULL, NULL);
	login_why_unusable(l, &err);
	login_askers_fail(l, &err);
	loop_timer_stop(&l->keep_alive);
	if (!l->attempt)
		login_enter(l, LOGIN_HUMAN_NEEDED);
	else
		l->env.changed(l->env.arg, l);
	login_answer_soon(l); /* a reload may wait */
}

void
login_restore(struct login *l, struct secret *plain)
{
	struct tb_error err = TB_ERROR_INIT;
	struct grant g = GRANT_INIT;

	if (grant_decode(plain, &g, &err) < 0) {
		log_error("login", "%s: the record cannot be used: %s",
		    login_name(l), err.msg);
		return;
	}
	grant_clear(&l->grant);
	l->grant = g; /* moved: g is not cleared */
}

/* The configuration may have been edited: a sealed grant never goes to an
 * issuer or client other than the one it was given to. */
static bool
login_is_bound(const struct login *l)
{
	const struct idp_conf *c = l->idp->conf;

	return streq(l->grant.issuer, c->issuer ? c->issuer : "") &&
	    streq(l->grant.client_id, c->client_id);
}

/* Until the InfluxDB 3 server has been asked again, what the grant was given
 * by holds; not that of another server. */
static void
login_assume(struct login *l)
{
	const struct idp_conf *c = l->idp->conf;

	if (c->influxdb3_url && !l->idp->said && l->grant.issuer &&
	    l->grant.client_id && streq(l->grant.server, c->influxdb3_url))
		idp_assume(l->idp, l->grant.issuer, l->grant.client_id);
}

void
login_activate(struct login *l)
{
	if (l->attempt || l->state == LOGIN_REVOKING)
		return;
	if (!grant_has_tokens(&l->grant) && !l->grant.human_needed) {
		login_enter(l, LOGIN_EMPTY);
	} else if (l->grant.human_needed) {
		login_enter(l, LOGIN_HUMAN_NEEDED);
	} else if (login_assume(l), !login_is_bound(l)) {
		login_need_human(l, "issuer or client_id was changed in the "
		    "configuration");
	} else {
		login_enter(l, LOGIN_GRANTED);
		login_schedule_keep_alive(l);
	}
}

static bool
login_origins_hold(const struct login *l)
{
	char *now _cleanup_free_ = idp_origins(l->idp);

	return !l->grant.origins || streq(l->grant.origins, now);
}

bool
login_may_send(struct login *l)
{
	return login_is_bound(l) && login_origins_hold(l);
}

static const char *
login_endpoint(const struct login *l, enum backend_endpoint at)
{
	switch (at) {
	case BACKEND_AT_TOKEN:
		return l->idp->token_endpoint;
	case BACKEND_AT_REVOCATION:
		return l->idp->revocation_endpoint;
	case BACKEND_AT_INTROSPECTION:
		return l->idp->introspection_endpoint;
	}
	return NULL;
}

static const char *const endpoint_names[] = {
	[BACKEND_AT_TOKEN] = "token_endpoint",
	[BACKEND_AT_REVOCATION] = "revocation_endpoint",
	[BACKEND_AT_INTROSPECTION] = "introspection_endpoint",
};

/* The grant is bound to the origins of the other two; the third is to be of
 * the same, since the same secrets go there. */
static bool
login_is_of_our_origins(const struct login *l, const char *url)
{
	char *origin _cleanup_free_ = http_url_origin(url);
	char *ours _cleanup_free_ = http_url_origin(l->idp->token_endpoint);
	char *other _cleanup_free_ = http_url_origin(
	    l->idp->revocation_endpoint);

	return origin && (streq(origin, ours) || streq(origin, other));
}

int
login_as_client(struct login *l, enum backend_endpoint at,
    struct secret *form, struct http_request *request, struct tb_error *err)
{
	const char *url = login_endpoint(l, at);

	if (!login_is_usable(l))
		return login_why_unusable(l, err);
	if (!l->endpoints_known)
		return tb_error_set(err, TB_E_UNREACHED, "login '%s': the "
		    "provider's endpoints are not known yet", login_name(l));
	if (!login_may_send(l))
		return tb_error_set(err, TB_E_CONFIG, "login '%s': the "
		    "configuration names another provider than the one that "
		    "was logged in to", login_name(l));
	if (!url)
		return tb_error_set(err, TB_E_UPSTREAM, "login '%s': the "
		    "provider has no %s; what it issued lives until it "
		    "expires", login_name(l), endpoint_names[at]);
	if (!login_is_of_our_origins(l, url))
		return tb_error_set(err, TB_E_CONFIG, "login '%s': its %s is "
		    "of another origin than its token_endpoint", login_name(l),
		    endpoint_names[at]);
	return idp_form_request(l->idp, url, form, request, err);
}

/* The logout has ended, on disk or not yet. */
static void
login_tell_revoked(struct login *l)
{
	login_revoked_fn *fn = STEAL(l->revoked);

	if (l->state == LOGIN_REVOKING)
		login_enter(l, LOGIN_EMPTY);
	if (fn)
		fn(l->revoked_arg, l->handed_back.code ? &l->handed_back :
		    NULL);
}

/* Until this record is durable a restart would bring the grant back, and
 * nobody would know that it was logged out. So it is written until it is. */
static void
login_on_forgotten(void *arg, const struct tb_error *err)
{
	struct login *l = arg;

	l->saving = NULL;
	if (!err) {
		if (l->unsaved)
			log_info("login", "%s: the logout is on disk now",
			    login_name(l));
		l->forgetting = l->unsaved = false;
		login_tell_revoked(l);
		login_answer_soon(l); /* a reload may wait */
		return;
	}
	if (!l->unsaved)
		log_error("login", "%s: logged out, but that cannot be written "
		    "down: %s; tried again by itself. Until then a restart "
		    "would bring the login back", login_name(l), err->msg);
	l->unsaved = true;
	loop_timer_set(&l->save_again, LOGIN_SAVE_AGAIN_MS);
	login_tell_revoked(l);
}

bool
login_is_forgetting(const struct login *l)
{
	return l->forgetting;
}

void
login_forget_again(struct login *l)
{
	l->saving = login_save(l, login_on_forgotten, l);
}

static void
login_on_revoked(void *arg, const struct tb_error *err)
{
	struct login *l = arg;

	l->leaving = false;
	l->revoke = NULL;
	l->handed_back = err ? *err : (struct tb_error)TB_ERROR_INIT;
	grant_forget_tokens(&l->grant);
	str_set(&l->grant.human_needed, NULL);
	l->forgetting = true;
	login_forget_again(l);
}

static void
login_on_revoke_discovered(void *arg, const struct tb_error *err)
{
	struct login *l = arg;
	struct tb_error why = TB_ERROR_INIT;

	l->discover = NULL;
	if (err && grant_has_tokens(&l->grant)) {
		why = *err;
		tb_error_wrap(&why, "the grant was forgotten here and not "
		    "handed back");
		login_on_revoked(l, &why);
	} else if (grant_has_tokens(&l->grant) && !login_may_send(l)) {
		tb_error_set(&why, TB_E_CONFIG, "the grant was forgotten here "
		    "and not handed back: the configuration names another "
		    "provider than the one that gave it");
		login_on_revoked(l, &why);
	} else {
		l->revoke = revoke_start(l->env.loop, l->env.http, l->idp,
		    &l->grant.refresh_token, &l->grant.access_token,
		    login_on_revoked, l);
	}
}

void
login_leave(struct login *l)
{
	l->leaving = true;
}

bool
login_is_leaving(const struct login *l)
{
	return l->leaving;
}

void
login_revoke(struct login *l, login_revoked_fn *fn, void *arg)
{
	struct tb_error err = TB_ERROR_INIT;
	struct audit_rec rec = {
		.event = AUDIT_LOGOUT,
		.login = login_name(l),
		.human = login_human(l),
	};

	tb_error_set(&err, TB_E_LOGIN, "login '%s' was logged out",
	    login_name(l));
	if (l->attempt)
		login_attempt_abort(l, &err);
	login_refresh_stop(l);
	login_askers_fail(l, &err);
	loop_timer_stop(&l->keep_alive);
	revoke_cancel(&l->revoke);
	audit_durable(l->env.audit, &rec, NULL, NULL);
	login_enter(l, LOGIN_REVOKING);
	l->revoked = fn;
	l->revoked_arg = arg;
	/* after a restart nobody has asked yet where to hand it back */
	l->discover = discover_start(l->env.loop, l->env.http, l->idp,
	    DISCOVER_ENDPOINTS, login_on_revoke_discovered, l);
}

/* As far as the provider has said it: without a refresh token the end of the
 * access token, else that of the refresh token, which each renewal may put
 * off. */
static int64_t
login_human_needed_at(const struct login *l)
{
	const struct grant *g = &l->grant;

	if (!login_is_usable(l))
		return now_real_s();
	return secret_is_empty(&g->refresh_token) ? g->access_expires_at :
	    g->refresh_expires_at;
}

void
login_get_numbers(const struct login *l, struct login_numbers *out)
{
	*out = (struct login_numbers){
		.human_needed = !login_is_usable(l),
		.human_needed_at = login_human_needed_at(l),
		.refreshes = l->n_refreshes,
		.refresh_failures = l->n_refresh_failures,
	};
}

json_t *
login_status(const struct login *l)
{
	const struct grant *g = &l->grant;
	json_t *o = json_object();

	status_str(o, "name", login_name(l));
	status_str(o, "state", login_state_name(l->state));
	status_str(o, "issuer", l->idp->conf->issuer);
	status_str(o, "client_id", l->idp->conf->client_id);
	status_str(o, "human", g->pin_show);
	status_time(o, "granted_at", g->granted_at);
	status_time(o, "refreshed_at", g->refreshed_at);
	if (grant_has_tokens(g)) {
		status_time(o, "access_expires_at", g->access_expires_at);
		status_time(o, "refresh_expires_at", g->refresh_expires_at);
		json_object_set_new(o, "renewable",
		    json_boolean(!secret_is_empty(&g->refresh_token)));
	}
	status_time(o, "refresh_at", login_refresh_at(l));
	status_str(o, "human_needed", g->human_needed);
	status_time(o, "human_needed_at", login_human_needed_at(l));
	if (l->last_error.code) {
		status_str(o, "last_error", l->last_error.msg);
		status_time(o, "last_error_at", l->last_error_at);
	}
	json_object_set_new(o, "refreshes", json_integer(
	    (json_int_t)l->n_refreshes));
	if (l->attempt)
		json_object_set_new(o, "attempt", login_attempt_status(l));
	return o;
}
