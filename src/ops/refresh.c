/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refresh - one redemption of a refresh token.
 *
 *   start --> SENT --reply or none--> (done)
 *       \--> (done, on the next turn: nothing could be sent)
 *
 * No retry lives here on purpose: a refresh token that was sent may be spent,
 * and only the login knows (and has written down) whether it may be sent
 * again.
 */
#include "ops/refresh.h"

#include "base/tb_error.h"
#include "base/util.h"
#include "lib/http.h"
#include "lib/loop.h"
#include "ops/idp.h"

struct refresh {
	struct http_call *call;
	struct loop_task task; /* delivers `why` */
	struct tb_error why;
	refresh_done_fn *done;
	void *arg;
};

static http_done_fn refresh_on_reply;
static loop_fn refresh_on_not_sent;

static void
refresh_free(struct refresh *r)
{
	http_call_cancel(&r->call);
	loop_task_cancel(&r->task);
	free(r);
}

struct refresh *
refresh_start(struct loop *loop, struct http *http, struct idp *idp,
    const struct secret *refresh_token, refresh_done_fn *done, void *arg)
{
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;
	struct refresh *r = xnew(struct refresh);

	r->done = done;
	r->arg = arg;
	loop_task_init(&r->task, loop, refresh_on_not_sent, r);
	oauth_build_refresh(idp, refresh_token, &form);
	if (!idp->token_endpoint)
		tb_error_set(&r->why, TB_E_CONFIG,
		    "the provider's token endpoint is not known");
	else
		idp_form_request(idp, idp->token_endpoint, &form, &req,
		    &r->why);
	if (r->why.code == TB_OK)
		r->call = http_call_start(http, &req, refresh_on_reply, r);
	else
		loop_task_post(&r->task);
	return r;
}

void
refresh_cancel(struct refresh **r)
{
	if (*r)
		refresh_free(STEAL(*r));
}

static void
refresh_on_not_sent(void *arg)
{
	struct refresh *r = arg;

	r->done(r->arg, NULL, &r->why);
	refresh_free(r);
}

static void
refresh_on_reply(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct refresh *r = arg;
	struct oauth_grant grant _cleanup_(oauth_grant_clear) =
	    OAUTH_GRANT_INIT;
	struct tb_error why = TB_ERROR_INIT;

	r->call = NULL;
	if (err)
		r->done(r->arg, NULL, err);
	else if (oauth_parse_refresh(reply, &grant, &why) < 0)
		r->done(r->arg, NULL, &why);
	else
		r->done(r->arg, &grant, NULL);
	refresh_free(r);
}
