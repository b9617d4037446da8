/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators have done to tokens and logins and that takes a while. The
 * work is the broker's and goes on when the operator does not wait for it.
 */
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "base/util.h"
#include "broker/broker.h"
#include "lib/jsonx.h"
#include "serve/admin_int.h"
#include "serve/job.h"
#include "serve/serve_int.h"

static void
bad_request(struct session *s, const struct tb_error *err)
{
	session_refuse(s, PROBLEM_BAD_REQUEST, err->msg);
}

void
admin_logout(struct session *s, const struct request *rq)
{
	struct http1_view keep = route_query(rq, "keep_tokens");
	struct job *j;

	if (keep.s && !http1_is(keep, "yes")) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "keep_tokens can only be yes");
		return;
	}
	if (!admin_has_login(s, rq->name))
		return;
	admin_note(s, keep.s ? "logout, tokens kept" : "logout", NULL,
	    rq->name);
	j = job_begin(s);
	job_set(j, broker_logout(session_serve(s)->broker, rq->name,
	    keep.s != NULL, job_on_done, j));
}

void
admin_rotate(struct session *s, const struct request *rq)
{
	struct job *j;

	if (!admin_has_token(s, rq->name))
		return;
	admin_note(s, "rotate", rq->name, NULL);
	j = job_begin(s);
	job_set(j, broker_rotate(session_serve(s)->broker, rq->name, job_on_done,
	    j));
}

void
admin_revoke(struct session *s, const struct request *rq)
{
	struct tb_error err = TB_ERROR_INIT;
	json_t *o _cleanup_json_ = NULL;
	int64_t generation = 0;
	struct job *j;

	if (!admin_has_token(s, rq->name))
		return;
	o = route_json(rq, &err);
	if (!o || jsonx_opt_int(o, "generation", &generation, &err) < 0) {
		bad_request(s, &err);
		return;
	}
	if (generation < 0 || (json_object_get(o, "generation") &&
	    generation == 0)) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "generation is a number from 1");
		return;
	}
	admin_note(s, "revoke", rq->name, NULL);
	j = job_begin(s);
	job_set(j, broker_revoke(session_serve(s)->broker, rq->name,
	    (uint64_t)generation, job_on_done, j));
}

struct import {
	struct secret value;
	const char *id; /* borrowed from the JSON */
	int64_t expires_at;
};

static int
parse_import(const json_t *o, struct import *in, struct tb_error *err)
{
	const char *when;

	if (jsonx_secret(o, "token", &in->value, err) < 0 ||
	    jsonx_str(o, "expires_at", &when, err) < 0 ||
	    jsonx_opt_str(o, "token_id", &in->id, err) < 0)
		return -1;
	if (!secret_is_token(&in->value))
		return tb_error_set(err, TB_E_BADREQ, "token is not a token: "
		    "printable ASCII without spaces is expected");
	if (!timefmt_parse_rfc3339(when, &in->expires_at))
		return tb_error_set(err, TB_E_BADREQ, "expires_at is not a "
		    "time such as 2026-11-29T12:00:00Z");
	return 0;
}

void
admin_import(struct session *s, const struct request *rq)
{
	struct tb_error err = TB_ERROR_INIT;
	struct import in = { .value = SECRET_INIT };
	json_t *o _cleanup_json_ = NULL;
	struct job *j;

	if (!admin_has_token(s, rq->name))
		return;
	o = route_json(rq, &err);
	if (!o || parse_import(o, &in, &err) < 0) {
		bad_request(s, &err);
	} else {
		admin_note(s, "import", rq->name, NULL);
		j = job_begin(s);
		job_set(j, broker_import(session_serve(s)->broker, rq->name,
		    &in.value, in.id, in.expires_at, job_on_done, j));
	}
	secret_clear(&in.value);
}

void
admin_reconcile(struct session *s, const struct request *rq)
{
	struct tb_error err = TB_ERROR_INIT;
	json_t *o _cleanup_json_ = route_json(rq, &err);
	const char *backend = NULL;
	struct job *j;

	if (!o || jsonx_opt_str(o, "backend", &backend, &err) < 0) {
		bad_request(s, &err);
		return;
	}
	if (backend && !admin_has_backend(s, backend))
		return;
	admin_note(s, "reconcile", NULL, NULL);
	j = job_begin(s);
	job_set(j, broker_reconcile(session_serve(s)->broker, backend,
	    job_on_done, j));
}

/* ---------------------------------------------------- the state and its key */

void
admin_adopt(struct session *s, const struct request *rq)
{
	struct job *j;

	admin_note(s, "adopt", NULL, NULL);
	j = job_begin(s);
	job_set(j, broker_adopt(session_serve(s)->broker, job_on_done, j));
}

void
admin_rekey(struct session *s, const struct request *rq)
{
	struct tb_error err = TB_ERROR_INIT;
	struct secret key = SECRET_INIT;
	json_t *o _cleanup_json_ = route_json(rq, &err);
	struct job *j;

	if (!o || jsonx_secret(o, "key", &key, &err) < 0) {
		bad_request(s, &err);
	} else {
		admin_note(s, "rekey", NULL, NULL);
		j = job_begin(s);
		job_set(j, broker_rekey(session_serve(s)->broker, &key,
		    job_on_done, j));
	}
	secret_clear(&key);
}
