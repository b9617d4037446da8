/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend_call - drives the steps of one run over lib/http and, for what
 * another program must do, over lib/helper_call.
 *
 *   BEGIN --step--> SENT --reply, step--> SENT ... --step--> (done)
 *                   SENT --lost---------------------------> (done)
 *
 * It adds what is the same for every type and step: TLS and time-out of the
 * backend, the refusal of what the backend cannot do, an end for steps that
 * never end, and a last look that no error text quotes a secret of this run.
 */
#include "backend/backend_int.h"

#include <string.h>

#include "base/log.h"
#include "lib/helper_call.h"
#include "lib/loop.h"

#define BACKEND_CALL_STEPS 64

struct backend_call {
	struct http *http;
	struct loop *loop;
	struct http_call *call;
	struct helper_call *helper;
	struct loop_task begin;
	struct backend_run run;
	unsigned sent;
	backend_done_fn *done;
	void *arg;
};

static loop_fn backend_call_begin;
static http_done_fn backend_call_on_reply;
static helper_done_fn backend_call_on_answer;

static void
backend_call_free(struct backend_call *c)
{
	loop_task_cancel(&c->begin);
	http_call_cancel(&c->call);
	helper_call_cancel(&c->helper);
	backend_run_clear(&c->run);
	free(c);
}

static void
backend_call_end(struct backend_call *c, const struct tb_error *err)
{
	if (c->run.note)
		log_debug("backend", "%s: %s: %s", c->run.conf->name,
		    backend_verb_name(c->run.verb), c->run.note);
	c->done(c->arg, &c->run, err);
	backend_call_free(c);
}

/* ------------------------------------------------------------------ steps */

static bool
backend_call_quotes(const struct tb_error *err, const struct secret *s)
{
	return !secret_is_empty(s) && strstr(err->msg, secret_reveal(s));
}

/* The types clean what they quote; this is for what only we can compare. */
static void
backend_call_fail(struct backend_call *c, struct tb_error *err)
{
	if (backend_call_quotes(err, &c->run.bearer) ||
	    backend_call_quotes(err, &c->run.value) ||
	    backend_call_quotes(err, &c->run.token))
		snprintf(err->msg, sizeof(err->msg),
		    "%s: refused, in words that hold a secret",
		    backend_verb_name(c->run.verb));
	secret_clear(&c->run.token); /* of a mint that came half the way */
	backend_call_end(c, err);
}

/* Whether a token may exist now: whatever left us may have arrived. */
static void
backend_call_lost(struct backend_call *c, struct tb_error *err)
{
	c->run.uncertain = c->run.verb == BACKEND_MINT && c->sent > 0 &&
	    !c->run.harmless && err->code != TB_E_UNREACHED;
	tb_error_wrap(err, "%s", backend_verb_name(c->run.verb));
	backend_call_fail(c, err);
}

/* False: one too many, and the run is over. */
static bool
backend_call_counts(struct backend_call *c)
{
	struct tb_error err = TB_ERROR_INIT;

	if (c->sent++ < BACKEND_CALL_STEPS)
		return true;
	tb_error_set(&err, TB_E_PROTO, "no end after %d requests",
	    BACKEND_CALL_STEPS);
	backend_call_lost(c, &err);
	return false;
}

static void
backend_call_send(struct backend_call *c, struct http_request *request)
{
	const struct backend_conf *conf = c->run.conf;

	if (!c->run.at_provider) {
		request->tls = (struct http_tls){
			.ca_file = conf->ca_file,
			.cert_file = conf->tls_cert_file,
			.key_file = conf->tls_key_file,
			.insecure = conf->tls_insecure,
		};
		request->timeout_ms = conf->timeout_ms;
		request->allow_loopback_http = conf->allow_insecure_loopback;
	}
	if (c->run.verb == BACKEND_PROBE) {
		free(c->run.asked);
		c->run.asked = xstrndup(request->url,
		    strcspn(request->url, "?#"));
	}
	c->call = http_call_start(c->http, request, backend_call_on_reply, c);
}

static void
backend_call_ask(struct backend_call *c, struct http_request *request)
{
	struct helper_request ask = {
		.path = request->url,
		.uid = c->run.conf->influxctl.uid,
		.timeout_ms = request->timeout_ms,
		.answer_cap = request->body_cap,
	};

	secret_move(&ask.text, &request->body);
	c->helper = helper_call_start(c->loop, &ask, backend_call_on_answer, c);
}

static void
backend_call_step(struct backend_call *c, const struct http_reply *reply)
{
	struct http_request request _cleanup_(http_request_clear) =
	    HTTP_REQUEST_INIT;
	struct tb_error err = TB_ERROR_INIT;

	c->run.at_provider = false;
	switch (c->run.conf->ops->step(&c->run, reply, &request, &err)) {
	case BACKEND_SEND:
		if (backend_call_counts(c))
			backend_call_send(c, &request);
		break;
	case BACKEND_ASK:
		if (backend_call_counts(c))
			backend_call_ask(c, &request);
		break;
	case BACKEND_DONE:
		backend_call_end(c, NULL);
		break;
	case BACKEND_FAILED:
		backend_call_fail(c, &err);
		break;
	}
}

static void
backend_call_on_reply(void *arg, struct http_reply *reply,
    const struct tb_error *lost)
{
	struct backend_call *c = arg;
	struct tb_error err = TB_ERROR_INIT;

	c->call = NULL;
	if (lost) {
		err = *lost;
		backend_call_lost(c, &err);
	} else {
		c->run.answered = reply->status;
		backend_call_step(c, reply);
	}
}

static void
backend_call_on_answer(void *arg, struct secret *answer,
    const struct tb_error *lost)
{
	struct backend_call *c = arg;
	struct http_reply reply = { .status = 200 };

	c->helper = NULL;
	if (!lost)
		secret_move(&reply.body, answer);
	backend_call_on_reply(c, &reply, lost);
	secret_clear(&reply.body);
}

/* ------------------------------------------------------------------ start */

static unsigned
backend_call_wants(enum backend_verb verb)
{
	switch (verb) {
	case BACKEND_MINT:
		return 0;
	case BACKEND_LIST:
		return BACKEND_CAN_LIST;
	case BACKEND_REVOKE:
		return BACKEND_CAN_REVOKE;
	case BACKEND_PROBE:
		return BACKEND_CAN_PROBE;
	case BACKEND_DISABLE:
		return BACKEND_CAN_DISABLE;
	case BACKEND_GET:
		return BACKEND_CAN_GET;
	case BACKEND_UPDATE:
		return BACKEND_CAN_UPDATE;
	}
	return 0;
}

/* A request without its bearer, or for what is not offered, never leaves. */
static int
backend_call_check(const struct backend_run *run, struct tb_error *err)
{
	unsigned caps = run->conf->ops->caps(run->conf, run->recipe);
	unsigned want = backend_call_wants(run->verb);

	if ((caps & want) != want) {
		backend_cannot(run, err);
		return -1;
	}
	if (run->verb == BACKEND_PROBE && secret_is_empty(&run->value))
		return tb_error_set(err, TB_E_BADREQ,
		    "there is no value to probe");
	if (run->verb != BACKEND_PROBE && (caps & BACKEND_NEEDS_PAYER) &&
	    secret_is_empty(&run->bearer))
		return tb_error_set(err, TB_E_BADREQ,
		    "backend '%s' cannot %s without a payer", run->conf->name,
		    backend_verb_name(run->verb));
	return 0;
}

static void
backend_call_begin(void *arg)
{
	struct backend_call *c = arg;
	struct tb_error err = TB_ERROR_INIT;

	if (backend_call_check(&c->run, &err) < 0)
		backend_call_fail(c, &err);
	else
		backend_call_step(c, NULL);
}

struct backend_call *
backend_call_start(struct loop *loop, struct http *http,
    struct backend_run *run, backend_done_fn *done, void *arg)
{
	struct backend_call *c = xnew(struct backend_call);

	c->loop = loop;
	c->http = http;
	c->done = done;
	c->arg = arg;
	c->run = *run; /* moved as a whole: run forgets what it owned */
	*run = (struct backend_run){ .verb = BACKEND_MINT };
	c->run.probe = BACKEND_PROBE_UNCLEAR; /* until a probe says more */
	loop_task_init(&c->begin, loop, backend_call_begin, c);
	loop_task_post(&c->begin);
	return c;
}

void
backend_call_cancel(struct backend_call **call)
{
	struct backend_call *c = STEAL(*call);

	if (c)
		backend_call_free(c);
}
