/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke - a grant handed back.
 *
 *   start --> REFRESH_TOKEN --any outcome--> ACCESS_TOKEN --any--> (done)
 *
 * The refresh token goes first: it is the one that lives long, and at many
 * providers takes the access token with it. A refusal of the first does not
 * keep the second from being tried; the first error is the one told.
 */
#include "ops/revoke.h"

#include "base/secret.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/http.h"
#include "lib/loop.h"
#include "ops/idp.h"
#include "ops/oauth.h"

struct revoke {
	struct http *http;
	struct idp *idp;
	struct http_call *call;
	struct loop_task task; /* the first step, on the next turn */
	struct secret refresh_token, access_token; /* empty: nothing to do */
	struct tb_error why; /* the first */
	revoke_done_fn *done;
	void *arg;
};

static loop_fn revoke_next;
static http_done_fn revoke_on_reply;

static void
revoke_free(struct revoke *r)
{
	http_call_cancel(&r->call);
	loop_task_cancel(&r->task);
	secret_clear(&r->refresh_token);
	secret_clear(&r->access_token);
	free(r);
}

struct revoke *
revoke_start(struct loop *loop, struct http *http, struct idp *idp,
    const struct secret *refresh_token, const struct secret *access_token,
    revoke_done_fn *done, void *arg)
{
	struct revoke *r = xnew(struct revoke);

	r->http = http;
	r->idp = idp;
	r->done = done;
	r->arg = arg;
	secret_dup(&r->refresh_token, refresh_token);
	secret_dup(&r->access_token, access_token);
	loop_task_init(&r->task, loop, revoke_next, r);
	loop_task_post(&r->task);
	return r;
}

void
revoke_cancel(struct revoke **r)
{
	if (*r)
		revoke_free(STEAL(*r));
}

static void
revoke_finish(struct revoke *r)
{
	r->done(r->arg, r->why.code == TB_OK ? NULL : &r->why);
	revoke_free(r);
}

static void
revoke_note(struct revoke *r, const struct tb_error *err)
{
	if (r->why.code == TB_OK)
		r->why = *err;
}

/* Sends the next token that is left; it is forgotten as it is sent. */
static int
revoke_send(struct revoke *r, struct tb_error *err)
{
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;
	bool refresh = !secret_is_empty(&r->refresh_token);
	struct secret *token = refresh ? &r->refresh_token : &r->access_token;

	if (!r->idp->revocation_endpoint)
		return tb_error_set(err, TB_E_UPSTREAM,
		    "the provider has no revocation endpoint: what it issued "
		    "lives on until it expires or is ended there");
	oauth_build_revoke(token, refresh ? "refresh_token" : "access_token",
	    &form);
	secret_clear(token);
	if (idp_form_request(r->idp, r->idp->revocation_endpoint, &form, &req,
		err) < 0)
		return -1;
	r->call = http_call_start(r->http, &req, revoke_on_reply, r);
	return 0;
}

static void
revoke_next(void *arg)
{
	struct revoke *r = arg;
	struct tb_error why = TB_ERROR_INIT;

	if (secret_is_empty(&r->refresh_token) &&
	    secret_is_empty(&r->access_token)) {
		revoke_finish(r);
	} else if (revoke_send(r, &why) < 0) {
		revoke_note(r, &why); /* and no other token would fare better */
		revoke_finish(r);
	}
}

static void
revoke_on_reply(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct revoke *r = arg;
	struct tb_error why = TB_ERROR_INIT;

	r->call = NULL;
	if (err)
		revoke_note(r, err);
	else if (oauth_parse_revoke(reply, &why) < 0)
		revoke_note(r, &why);
	revoke_next(r);
}
