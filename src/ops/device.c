/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device - device login (RFC 8628): ask for a code, show it, poll until the
 * human is done or the code's life is over.
 *
 *   ASKING --code--> WAITING --timer--> POLLING --pending, slow_down--> WAITING
 *     |                 |                  |------no answer, 5xx------> WAITING
 *     |                 |                  |
 *     +--no code        +--code expired    +--granted, refused, nonsense
 *     v                 v                  v
 *   (done)            (done)             (done)
 *
 * One poll is in flight at a time, and its reply is waited for even past the
 * end of the code's life: it may be the grant.
 *
 * A poll whose reply was lost is the hard case. Most likely the human had not
 * approved yet, so RFC 8628 3.5 has us slow down and ask again. But if that
 * reply was the grant, the code is redeemed: the next poll gets invalid_grant
 * (and some providers then end the whole grant). Nothing can be recovered
 * there, so the answer is to say what happened and start over. A reply whose
 * body was over its cap may have been the grant as well, and is final.
 */
#include "ops/device.h"

#include "base/backoff.h"
#include "base/now.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/http.h"
#include "lib/loop.h"
#include "ops/idp.h"

#define DEVICE_SLOW_DOWN_MS 5000
#define DEVICE_BACKOFF_CAP_MS 60000
#define DEVICE_RETRY_AFTER_MAX_MS (3600 * 1000)

struct device {
	struct http *http;
	struct idp *idp;
	struct http_call *call;   /* ASKING, POLLING */
	struct loop_timer timer;  /* WAITING */
	struct loop_task task;    /* delivers `why` when nothing was sent */
	struct tb_error why;
	struct secret device_code;
	int64_t interval_ms; /* grows by every slow_down, never shrinks */
	int64_t deadline_ms; /* now_boot_ms() at which the code is dead */
	struct backoff backoff; /* while the provider does not answer */
	bool reply_lost; /* a poll may have been answered unheard */
	device_prompt_fn *prompt;
	device_done_fn *done;
	void *arg;
};

static void device_ask(struct device *d);
static http_done_fn device_on_code_reply;
static void device_wait(struct device *d, int64_t delay_ms);
static loop_fn device_poll;
static http_done_fn device_on_poll_reply;
static void device_wait_longer(struct device *d, int64_t retry_after_ms);
static void device_fail(struct device *d, const struct tb_error *err);
static loop_fn device_on_not_sent;

static void
device_free(struct device *d)
{
	http_call_cancel(&d->call);
	loop_timer_stop(&d->timer);
	loop_task_cancel(&d->task);
	secret_clear(&d->device_code);
	free(d);
}

struct device *
device_start(struct loop *loop, struct http *http, struct idp *idp,
    device_prompt_fn *prompt, device_done_fn *done, void *arg)
{
	struct device *d = xnew(struct device);

	d->http = http;
	d->idp = idp;
	d->prompt = prompt;
	d->done = done;
	d->arg = arg;
	loop_timer_init(&d->timer, loop, device_poll, d);
	loop_task_init(&d->task, loop, device_on_not_sent, d);
	device_ask(d);
	return d;
}

void
device_cancel(struct device **d)
{
	if (*d)
		device_free(STEAL(*d));
}

/* -> ASKING */
static void
device_ask(struct device *d)
{
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;

	oauth_build_device_request(d->idp, &form);
	if (!d->idp->device_endpoint || !d->idp->token_endpoint)
		tb_error_set(&d->why, TB_E_CONFIG,
		    "the provider publishes no %s; configure it if there is "
		    "one",
		    d->idp->device_endpoint ? "token_endpoint" :
					      "device_authorization_endpoint");
	else
		idp_form_request(d->idp, d->idp->device_endpoint, &form, &req,
		    &d->why);
	if (d->why.code == TB_OK)
		d->call = http_call_start(d->http, &req, device_on_code_reply,
		    d);
	else
		loop_task_post(&d->task);
}

/* ASKING -> WAITING. The prompt comes last and from memory of its own: its
 * callback may cancel us. */
static void
device_on_code_reply(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct device *d = arg;
	struct oauth_code code _cleanup_(oauth_code_clear) = OAUTH_CODE_INIT;
	struct device_prompt prompt;
	struct tb_error why = TB_ERROR_INIT;

	d->call = NULL;
	if (err) {
		device_fail(d, err);
		return;
	}
	if (oauth_parse_device_reply(reply, &code, &why) < 0) {
		device_fail(d, &why);
		return;
	}
	secret_move(&d->device_code, &code.device_code);
	d->interval_ms = code.interval_s * 1000;
	d->deadline_ms = now_boot_ms() + code.expires_in_s * 1000;
	d->backoff.base_ms = 2 * d->interval_ms;
	d->backoff.cap_ms = MAX2(DEVICE_BACKOFF_CAP_MS, d->backoff.base_ms);
	prompt = (struct device_prompt){
		.user_code = code.user_code,
		.verification_uri = code.verification_uri,
		.verification_uri_complete = code.verification_uri_complete,
		.expires_in_s = code.expires_in_s,
		.interval_s = code.interval_s,
	};
	device_wait(d, d->interval_ms);
	d->prompt(d->arg, &prompt);
}

/* -> WAITING, for the delay or to the end of the code's life. */
static void
device_wait(struct device *d, int64_t delay_ms)
{
	int64_t left_ms = d->deadline_ms - now_boot_ms();

	loop_timer_set(&d->timer, MAX2(MIN2(delay_ms, left_ms), 0));
}

/* WAITING -> POLLING, or over. */
static void
device_poll(void *arg)
{
	struct device *d = arg;
	struct http_request req _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct secret form _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error why = TB_ERROR_INIT;

	if (now_boot_ms() >= d->deadline_ms) {
		tb_error_set(&why, TB_E_LOGIN,
		    "nobody confirmed the code in time");
		device_fail(d, &why);
		return;
	}
	oauth_build_poll(&d->device_code, &form);
	if (idp_form_request(d->idp, d->idp->token_endpoint, &form, &req,
		&why) < 0)
		device_fail(d, &why);
	else
		d->call = http_call_start(d->http, &req, device_on_poll_reply,
		    d);
}

static void
device_succeed(struct device *d, struct oauth_grant *grant)
{
	d->done(d->arg, grant, NULL);
	device_free(d);
}

static void
device_fail(struct device *d, const struct tb_error *err)
{
	d->done(d->arg, NULL, err);
	device_free(d);
}

static void
device_on_not_sent(void *arg)
{
	struct device *d = arg;

	device_fail(d, &d->why);
}

/* POLLING -> WAITING: the provider answered, and we go on as told. */
static void
device_wait_again(struct device *d, int64_t retry_after_ms)
{
	backoff_reset(&d->backoff);
	retry_after_ms = MIN2(retry_after_ms, DEVICE_RETRY_AFTER_MAX_MS);
	device_wait(d, MAX2(d->interval_ms, retry_after_ms));
}

static void
device_slow_down(struct device *d, int64_t retry_after_ms)
{
	d->interval_ms += DEVICE_SLOW_DOWN_MS;
	device_wait_again(d, retry_after_ms);
}

/* POLLING -> WAITING: no usable answer. Longer each time, and never less than
 * the interval. */
static void
device_wait_longer(struct device *d, int64_t retry_after_ms)
{
	int64_t delay_ms = backoff_next(&d->backoff, retry_after_ms);

	device_wait(d, MAX2(d->interval_ms, delay_ms));
}

/* The transport failed. What cannot be a matter of time is final, and so is
 * what may have been a 200. */
static void
device_on_no_reply(struct device *d, const struct tb_error *err)
{
	if (!tb_error_is_transient(err)) {
		device_fail(d, err);
		return;
	}
	if (err->code != TB_E_UNREACHED)
		d->reply_lost = true;
	device_wait_longer(d, err->retry_after_ms);
}

static void
device_spent(struct device *d, struct tb_error *why)
{
	if (d->reply_lost)
		tb_error_set(why, TB_E_LOGIN,
		    "the reply that carried the login was lost; start again");
	device_fail(d, why);
}

static void
device_on_poll_reply(void *arg, struct http_reply *reply,
    const struct tb_error *err)
{
	struct device *d = arg;
	struct oauth_grant grant _cleanup_(oauth_grant_clear) =
	    OAUTH_GRANT_INIT;
	struct tb_error why = TB_ERROR_INIT;

	d->call = NULL;
	if (err) {
		device_on_no_reply(d, err);
		return;
	}
	switch (oauth_parse_poll(reply, &grant, &why)) {
	case OAUTH_POLL_GRANTED:
		device_succeed(d, &grant);
		break;
	case OAUTH_POLL_PENDING:
		device_wait_again(d, reply->retry_after_ms);
		break;
	case OAUTH_POLL_SLOW_DOWN:
		device_slow_down(d, reply->retry_after_ms);
		break;
	case OAUTH_POLL_TRANSIENT:
		/* a gateway's error page may stand in for a 200 */
		if (reply->status >= 500)
			d->reply_lost = true;
		device_wait_longer(d, reply->retry_after_ms);
		break;
	case OAUTH_POLL_SPENT:
		device_spent(d, &why);
		break;
	case OAUTH_POLL_DENIED:
	case OAUTH_POLL_EXPIRED:
	case OAUTH_POLL_REFUSED:
	case OAUTH_POLL_NONSENSE:
		device_fail(d, &why);
		break;
	}
}
