/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator asks for: log out, revoke, rotate, import; and what an
 * auditor may see.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0.1.0"
#endif

#include <inttypes.h>

#include "base/log.h"
#include "base/now.h"
#include "broker/broker_job.h"
#include "broker/login.h"
#include "broker/reconcile.h"
#include "broker/status.h"
#include "conf.h"
#include "lib/loop.h"
#include "state/audit.h"
#include "state/store.h"
#include "state/writer.h"

static void logout_next_pass(struct broker_job *j);

/* -------------------------------------------------------------- revoke */

static struct broker_job *
job_unknown_token(struct broker_job *j, const char *name)
{
	return broker_job_refuse(j, "there is no such token in the configuration",
	    name);
}

struct broker_job *
broker_revoke(struct broker *b, const char *token, uint64_t generation,
    broker_done_fn *done, void *arg)
{
	struct broker_job *j = broker_job_new(b, "revoke", token, done,
	    arg);
	struct token *t = broker_token(b, token);

	if (!t)
		return job_unknown_token(j, token);
	if (token_is_for_holders(t) || (!generation && !token_is_holders(t)))
		return broker_own_revoke(j, t, generation);
	if (generation && !token_has_generation(t, generation))
		return broker_job_refuse(j, "there is no such generation of the token",
		    token);
	if (broker_job_is_held(j))
		return j;
	j->open = 1;
	token_revoke(t, generation, "revoked by an operator",
	    broker_job_on_revoked, j);
	return j;
}

/* -------------------------------------------------------------- logout */

static void
logout_on_grant_revoked(void *arg, const struct tb_error *err)
{
	struct broker_job *j = arg;
	json_t *detail = broker_job_counts(j);

	const struct login *l = broker_login(j->broker, j->login);

	json_object_set_new(detail, "grant_revoked", json_boolean(!err));
	if (l && login_is_forgetting(l))
		json_object_set_new(detail, "on_disk", json_false());
	if (err)
		status_str(detail, "grant_error", err->msg);
	broker_job_end(j, detail, NULL);
}

static void
logout_on_revoked(void *arg, unsigned revoked, unsigned local_only,
    unsigned failed, const struct tb_error *last)
{
	struct broker_job *j = arg;

	broker_job_add_counts(j, revoked, local_only, failed, last);
	if (--j->open == 0)
		logout_next_pass(j);
}

static void
logout_revoke_tokens(struct broker_job *j, bool paid_by_token)
{
	struct broker *b = j->broker;
	struct login *l = broker_login(b, j->login);

	j->open = 1;
	for (size_t i = 0; i < b->n_tokens; i++) {
		const struct backend_conf *backend =
		    token_get_conf(b->tokens[i])->backend;

		if (broker_payer_login(b, backend) != l ||
		    (backend->management_token != NULL) != paid_by_token)
			continue;
		j->open++;
		token_revoke(b->tokens[i], 0, "logout", logout_on_revoked, j);
	}
	logout_on_revoked(j, 0, 0, 0, NULL);
}

static void
logout_next_pass(struct broker_job *j)
{
	struct login *l = broker_login(j->broker, j->login);

	if (!l) {
		tb_error_set(&j->error, TB_E_CANCELLED, "the login was removed "
		    "from the configuration meanwhile");
		loop_task_post(&j->failing);
		return;
	}
	switch (j->pass++) {
	case 0:
		logout_revoke_tokens(j, true);
		break;
	case 1:
		logout_revoke_tokens(j, false);
		break;
	default:
		if (login_get_state(l) == LOGIN_REVOKING) {
			tb_error_set(&j->error, TB_E_BADREQ, "somebody else is "
			    "logging this login out already");
			loop_task_post(&j->failing);
			return;
		}
		login_revoke(l, logout_on_grant_revoked, j);
		break;
	}
}

struct broker_job *
broker_logout(struct broker *b, const char *login, bool keep_tokens,
    broker_done_fn *done, void *arg)
{
	struct broker_job *j = broker_job_new(b, "logout", login, done,
	    arg);
	struct login *l = broker_login(b, login);

	if (!l)
		return broker_job_refuse(j, "there is no such login in the "
		    "configuration", login);
	if (login_get_state(l) == LOGIN_REVOKING)
		return broker_job_refuse(j, "this login is being logged out already",
		    login);
	if (broker_job_is_held(j))
		return j;
	j->login = xstrdup(login);
	if (!keep_tokens)
		login_leave(l);
	j->pass = keep_tokens ? 2 : 0;
	logout_next_pass(j);
	return j;
}

/* ------------------------------------------------------ rotate, import */

static void
job_on_generation(void *arg, const struct broker_view *view,
    const struct tb_error *err)
{
	struct broker_job *j = arg;
	json_t *o;

	j->waiter = NULL;
	if (err) {
		broker_job_end(j, NULL, err);
		return;
	}
	o = json_object();
	status_str(o, "token", view->name);
	status_int(o, "generation", (int64_t)view->generation);
	status_str(o, "token_id", view->token_id);
	status_time(o, "expires_at", view->expires_at);
	broker_job_end(j, o, NULL);
}

struct broker_job *
broker_rotate(struct broker *b, const char *token, broker_done_fn *done,
    void *arg)
{
	struct broker_job *j = broker_job_new(b, "rotate", token, done,
	    arg);
	struct token *t = broker_token(b, token);

	if (!t)
		return job_unknown_token(j, token);
	if (token_is_lease(t))
		return broker_job_refuse(j, "a leased value is not replaced, "
		    "its run has only this one", token);
	if (broker_job_is_held(j))
		return j;
	if (token_is_for_holders(t))
		return broker_own_rotate(j, t);
	j->waiter = token_rotate(t, job_on_generation, j);
	return j;
}

struct broker_job *
broker_import(struct broker *b, const char *token, struct secret *value,
    const char *token_id, int64_t expires_at, broker_done_fn *done, void *arg)
{
	struct broker_job *j = broker_job_new(b, "import", token, done,
	    arg);
	struct token *t = broker_token(b, token);
	struct broker_view view;
	uint64_t newer_than = 0;

	if (!t)
		return job_unknown_token(j, token);
	if (token_get(t, 0, &view))
		newer_than = view.generation;
	if (token_import(t, value, token_id, expires_at, &j->error) < 0)
		loop_task_post(&j->failing);
	else
		j->waiter = token_wait(t, newer_than, 0, job_on_generation, j);
	return j;
}

/* ----------------------------------------------------------- reconcile */

static void
reconcile_job_on_looked(void *arg, struct reconcile *r,
    const struct tb_error *err)
{
	struct job_look *look = arg;
	struct broker_job *j = look->job;
	json_t *o = reconcile_status(r), *detail;

	look->ask = NULL;
	if (err) {
		j->failed++;
		j->last = *err;
		status_str(o, "error", err->msg);
	}
	json_array_append_new(j->looks, o);
	if (--j->open > 0)
		return;
	if (j->failed == json_array_size(j->looks)) {
		broker_job_end(j, NULL, &j->last);
		return;
	}
	detail = json_object();
	json_object_set(detail, "backends", j->looks);
	broker_job_end(j, detail, NULL);
}

static void
reconcile_job_add(struct broker_job *j, struct reconcile *r)
{
	struct job_look *look = &j->asked[j->n_asked++];

	j->open++;
	look->job = j;
	look->ask = reconcile_now(r, reconcile_job_on_looked, look);
}

struct broker_job *
broker_reconcile(struct broker *b, const char *backend, broker_done_fn *done,
    void *arg)
{
	struct broker_job *j = broker_job_new(b, "reconcile", backend, done,
	    arg);
	struct reconcile *r;

	j->looks = json_array();
	j->asked = xcalloc(b->n_reconciles, sizeof(*j->asked));
	if (backend) {
		r = broker_reconcile_find(b, backend);
		if (!r)
			return broker_job_refuse(j, "there is no backend of this name "
			    "in the configuration whose tokens can be listed",
			    backend);
		reconcile_job_add(j, r);
		return j;
	}
	for (size_t i = 0; i < b->n_reconciles; i++) {
		if (!reconcile_rests(b->reconciles[i]))
			reconcile_job_add(j, b->reconciles[i]);
	}
	if (j->open == 0)
		return broker_job_refuse(j, "there is no backend whose tokens can be "
		    "listed", "all");
	return j;
}

/* ----------------------------------------------------- state and its key */

static void
adopt_on_done(void *arg, const struct tb_error *err)
{
	struct broker_job *j = arg;
	json_t *o = err ? NULL : json_object();

	if (!err) {
		status_str(o, "state", "adopted");
		if (j->held_back)
			installation_renew(&j->broker->installation);
		broker_adopted(j->broker);
	}
	broker_job_end(j, o, err);
}

struct broker_job *
broker_adopt(struct broker *b, broker_done_fn *done, void *arg)
{
	struct broker_job *j = broker_job_new(b, "adopt", NULL, done, arg);

	j->held_back = store_is_quarantined(b->store);
	store_adopt(b->store, adopt_on_done, j);
	return j;
}

static void
rekey_on_done(void *arg, const struct tb_error *err)
{
	struct broker_job *j = arg;
	struct store_rekey_status st;
	json_t *o = NULL;

	broker_rekeyed(j->broker, err);
	if (!err) {
		store_get_rekey(j->broker->store, &st);
		o = json_object();
		status_str(o, "state", "resealed");
		status_str(o, "key", st.key);
		status_str(o, "old_key", st.old_key);
		status_int(o, "records", (int64_t)st.records);
		status_str(o, "key_file", j->broker->conf->master_key_path);
	}
	broker_job_end(j, o, err);
}

struct broker_job *
broker_rekey(struct broker *b, const struct secret *key, broker_done_fn *done,
    void *arg)
{
	struct broker_job *j = broker_job_new(b, "rekey", NULL, done, arg);
	struct audit_rec rec = {
		.event = AUDIT_REKEYED,
		.reason = "begun",
	};

	if (store_rekey(b->store, key, rekey_on_done, j, &j->error) < 0)
		loop_task_post(&j->failing);
	else
		audit_durable(b->tenv.audit, &rec, NULL, NULL);
	return j;
}

/* -------------------------------------------------------------- status */

json_t *
broker_status_logins(struct broker *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n_logins; i++)
		json_array_append_new(list, login_status(b->logins[i]));
	return list;
}

static json_t *
status_tokens(struct broker *b, bool inventory)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b->n_tokens; i++)
		json_array_append_new(list, token_status(b->tokens[i],
		    inventory));
	return list;
}

json_t *
broker_status_tokens(struct broker *b)
{
	return status_tokens(b, true);
}

static json_t *
broker_status_disk(struct broker *b)
{
	struct writer_stats w;
	struct store_stats s;
	struct tb_error err = TB_ERROR_INIT;
	json_t *o = json_object();

	writer_get_stats(b->writer, &w);
	store_get_stats(b->store, &s);
	json_object_set_new(o, "ok", json_boolean(writer_health(b->writer,
	    &err) == 0));
	if (err.code)
		status_str(o, "error", err.msg);
	status_int(o, "records", (int64_t)s.records);
	status_int(o, "quarantined", (int64_t)s.quarantined);
	status_int(o, "queued", (int64_t)w.queued);
	status_int(o, "syncs", (int64_t)w.syncs);
	return o;
}

static json_t *
broker_status_jobs(struct broker *b)
{
	json_t *list = json_array(), *o;
	struct broker_job *j;

	TAILQ_FOREACH(j, &b->jobs, link) {
		o = json_object();
		status_str(o, "job", j->what);
		status_str(o, "name", j->name);
		status_time(o, "since", j->since);
		json_array_append_new(list, o);
	}
	return list;
}

json_t *
broker_status(struct broker *b)
{
	json_t *o = json_object();

	status_str(o, "version", PACKAGE_VERSION);
	status_time(o, "started_at", b->started_at);
	status_str(o, "audit", audit_is_strict(b->tenv.audit) ? "strict" :
	    "relaxed");
	status_int(o, "mints", (int64_t)b->n_mints);
	status_int(o, "mint_failures", (int64_t)b->n_mint_failures);
	json_object_set_new(o, "disk", broker_status_disk(b));
	json_object_set_new(o, "state", broker_status_state(b));
	json_object_set_new(o, "logins", broker_status_logins(b));
	json_object_set_new(o, "tokens", status_tokens(b, false));
	broker_add_summary(b, o);
	json_object_set_new(o, "jobs", broker_status_jobs(b));
	status_str(o, "installation", b->installation.id);
	json_object_set_new(o, "reconcile", broker_status_reconciles(b));
	return o;
}
