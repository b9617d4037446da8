/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device logins. An attempt belongs to the connection that began it: the code
 * is told there and nowhere else, and when the connection closes, the attempt
 * is cancelled. News that come while nobody asks are kept for the next GET.
 *
 *	POST -> ASKING -> WAITING -> (CONFIRM -> WAITING) -> GRANTED | FAILED
 */
#include "base/tb_error.h"
#include "base/util.h"
#include "broker/broker.h"
#include "lib/jsonx.h"
#include "lib/loop.h"
#include "serve/admin_int.h"
#include "serve/serve_int.h"

#define WAIT_MAX_S 3600

enum attempt_state {
	ATTEMPT_ASKING, /* the POST waits for the code */
	ATTEMPT_WAITING,
	ATTEMPT_CONFIRM,
	ATTEMPT_GRANTED,
	ATTEMPT_FAILED,
};

static const char *const state_names[] = {
	[ATTEMPT_ASKING] = "waiting",
	[ATTEMPT_WAITING] = "waiting",
	[ATTEMPT_CONFIRM] = "confirm",
	[ATTEMPT_GRANTED] = "granted",
	[ATTEMPT_FAILED] = "failed",
};

struct attempt {
	struct session_attachment attachment;
	struct session *session;
	struct broker_login_watch *watch; /* NULL: it is over */
	enum attempt_state state;
	bool has_news; /* not told yet */
	char *name;
	json_t *code;   /* what a human is shown, or NULL */
	json_t *claims; /* or NULL */
	struct tb_error error;
	struct session_op op; /* a request that waits */
	struct loop_timer timer;
};

static broker_login_fn attempt_on_news;
static loop_fn attempt_on_timer;

static bool
is_over(const struct attempt *a)
{
	return a->state == ATTEMPT_GRANTED || a->state == ATTEMPT_FAILED;
}

static void
attempt_free(struct attempt *a)
{
	broker_login_cancel(&a->watch);
	loop_timer_stop(&a->timer);
	json_decref(a->code);
	json_decref(a->claims);
	free(a->name);
	free(a);
}

/* The connection has closed. */
static void
attempt_gone(struct session_attachment *at)
{
	attempt_free(container_of(at, struct attempt, attachment));
}

static void
attempt_drop(struct attempt *a)
{
	session_attach(a->session, NULL);
	attempt_free(a);
}

/* ----------------------------------------------------------------- answers */

/* The problem as an object, for the member "error". */
static json_t *
error_json(struct attempt *a)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct problem p = problem_from_error(&a->error, a->name);
	struct tb_error ignored = TB_ERROR_INIT;
	char id[17];

	problem_body(&p, session_request_id(a->session, id), &text);
	return jsonx_parse(text.s, text.len, &ignored);
}

static void
reply_news(struct attempt *a, int status)
{
	struct session *s = a->session;
	json_t *o = json_object();

	if (a->code && a->state == ATTEMPT_WAITING)
		json_object_update(o, a->code);
	json_object_set_new(o, "state", json_string(state_names[a->state]));
	if (a->claims && a->state != ATTEMPT_WAITING)
		json_object_set(o, "claims", a->claims);
	if (a->state == ATTEMPT_FAILED)
		json_object_set_new(o, "error", error_json(a));
	a->has_news = false;
	if (is_over(a))
		attempt_drop(a);
	session_reply_json(s, status, o);
}

/* -------------------------------------------------------- a request waits */

static void
wait_gone(struct session_op *op)
{
	struct attempt *a = container_of(op, struct attempt, op);

	op->session = NULL;
	loop_timer_stop(&a->timer);
}

static void
wait_hurry(struct session_op *op, enum session_hurry why)
{
	struct attempt *a = container_of(op, struct attempt, op);
	struct session *s;

	if (why == SESSION_RELOADED)
		return;
	s = session_end(op);
	loop_timer_stop(&a->timer);
	if (a->state == ATTEMPT_ASKING)
		attempt_drop(a);
	if (why == SESSION_STOPPING)
		session_refuse(s, PROBLEM_STOPPING,
		    "the broker is stopping; begin again");
	else
		session_refuse(s, PROBLEM_TIMEOUT,
		    "the provider did not give a code in time");
}

static const struct session_op_type wait_type = {
	.gone = wait_gone,
	.hurry = wait_hurry,
};

static void
attempt_on_timer(void *arg)
{
	struct attempt *a = arg;

	session_end(&a->op);
	reply_news(a, 200);
}

/* ------------------------------------------------------------------- news */

static void
take_code(struct attempt *a, const struct broker_login_news *news)
{
	json_t *o = a->code = json_object();

	json_object_set_new(o, "user_code", json_string(news->user_code));
	json_object_set_new(o, "verification_uri",
	    json_string(news->verification_uri));
	if (news->verification_uri_complete)
		json_object_set_new(o, "verification_uri_complete",
		    json_string(news->verification_uri_complete));
	json_object_set_new(o, "expires_in", json_integer(news->expires_in_s));
	json_object_set_new(o, "interval", json_integer(news->interval_s));
	a->state = ATTEMPT_WAITING;
}

static void
take_claims(struct attempt *a, json_t *claims)
{
	if (!claims)
		return;
	json_decref(a->claims);
	a->claims = json_incref(claims);
}

/* The POST is still unanswered: there will be no code. */
static void
fail_early(struct attempt *a)
{
	struct session *s = session_end(&a->op);
	struct problem p = problem_from_error(&a->error, a->name);

	session_problem(s, &p);
	attempt_drop(a);
}

static void
attempt_on_news(void *arg, const struct broker_login_news *news)
{
	struct attempt *a = arg;
	bool asking = a->state == ATTEMPT_ASKING;

	switch (news->what) {
	case BROKER_LOGIN_CODE:
		take_code(a, news);
		break;
	case BROKER_LOGIN_CONFIRM:
		take_claims(a, news->claims);
		a->state = ATTEMPT_CONFIRM;
		break;
	case BROKER_LOGIN_DONE:
		a->watch = NULL;
		take_claims(a, news->claims);
		a->state = ATTEMPT_GRANTED;
		break;
	case BROKER_LOGIN_FAILED:
		a->watch = NULL;
		a->error = *news->err;
		a->state = ATTEMPT_FAILED;
		if (asking && a->op.session) {
			fail_early(a);
			return;
		}
		break;
	}
	a->has_news = !asking;
	if (a->op.session) {
		session_end(&a->op);
		loop_timer_stop(&a->timer);
		reply_news(a, asking ? 202 : 200);
	}
}

/* ----------------------------------------------------------------- requests */

/* The attempt of this connection for this login, or NULL. */
static struct attempt *
own_attempt(struct session *s, const char *name)
{
	struct session_attachment *at = session_attached(s);
	struct attempt *a = at ?
	    container_of(at, struct attempt, attachment) : NULL;

	return a && (!name || streq(a->name, name)) ? a : NULL;
}

static struct attempt *
attempt_new(struct session *s, const char *name)
{
	struct attempt *a = xnew(struct attempt);

	a->attachment.gone = attempt_gone;
	a->session = s;
	a->name = xstrdup(name);
	loop_timer_init(&a->timer, session_serve(s)->loop, attempt_on_timer,
	    a);
	session_attach(s, &a->attachment);
	return a;
}

static int
parse_login(const struct request *rq, json_t **body,
    struct broker_login_request *lr, struct tb_error *err)
{
	lr->name = rq->name;
	*body = route_json(rq, err);
	if (!*body || jsonx_opt_str(*body, "expect", &lr->expect, err) < 0 ||
	    jsonx_opt_bool(*body, "repin", &lr->repin, err) < 0)
		return -1;
	if (lr->expect && (!strchr(lr->expect, '=') || *lr->expect == '=' ||
	    !strchr(lr->expect, '=')[1]))
		return tb_error_set(err, TB_E_BADREQ,
		    "expect is CLAIM=VALUE");
	return 0;
}

void
admin_start_login(struct session *s, const struct request *rq)
{
	struct broker_login_request lr = { .repin = false };
	struct tb_error err = TB_ERROR_INIT;
	json_t *body _cleanup_json_ = NULL;
	struct attempt *a = own_attempt(s, NULL);
	struct problem p;

	if (!admin_has_login(s, rq->name))
		return;
	if (parse_login(rq, &body, &lr, &err) < 0) {
		session_refuse(s, PROBLEM_BAD_REQUEST, err.msg);
		return;
	}
	if (a && !is_over(a)) {
		session_refuse(s, PROBLEM_CONFLICT,
		    "a login is under way on this connection");
		return;
	}
	if (a)
		attempt_drop(a);
	a = attempt_new(s, rq->name);
	a->watch = broker_login_start(session_serve(s)->broker, &lr,
	    attempt_on_news, a, &err);
	if (!a->watch) {
		attempt_drop(a);
		p = problem_from_error(&err, rq->name);
		session_problem(s, &p);
		return;
	}
	admin_note(s, lr.repin ? "login, new account allowed" : "login", NULL,
	    rq->name);
	session_begin(s, &a->op, &wait_type, false);
}

static void
reply_status(struct session *s, const char *name)
{
	json_t *logins _cleanup_json_ =
	    broker_status_logins(session_serve(s)->broker);
	json_t *one;
	size_t i;

	json_array_foreach(logins, i, one) {
		if (streq(json_string_value(json_object_get(one, "name")),
			name)) {
			session_reply_json(s, 200, json_incref(one));
			return;
		}
	}
	session_refuse(s, PROBLEM_UNKNOWN,
	    "there is no login of this name in the configuration");
}

void
admin_get_login(struct session *s, const struct request *rq)
{
	struct attempt *a = own_attempt(s, rq->name);
	int64_t wait_s = route_wait_s(rq, WAIT_MAX_S);

	if (!a) {
		reply_status(s, rq->name);
	} else if (a->has_news || wait_s <= 0) {
		reply_news(a, 200);
	} else {
		session_begin(s, &a->op, &wait_type, true);
		loop_timer_set(&a->timer, wait_s * 1000);
	}
}

void
admin_confirm_login(struct session *s, const struct request *rq)
{
	struct attempt *a = own_attempt(s, rq->name);
	struct tb_error err = TB_ERROR_INIT;
	json_t *body _cleanup_json_ = route_json(rq, &err);
	json_t *yes = json_object_get(body, "confirm");

	if (!body || !json_is_boolean(yes)) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    body ? "confirm must be true or false" : err.msg);
		return;
	}
	if (!admin_has_login(s, rq->name))
		return;
	if (!a || a->state != ATTEMPT_CONFIRM) {
		session_refuse(s, PROBLEM_CONFLICT, "there is nothing to "
		    "confirm on this connection");
		return;
	}
	admin_note(s, json_is_true(yes) ? "login confirmed" :
	    "login not confirmed", NULL, rq->name);
	a->state = ATTEMPT_WAITING;
	a->has_news = false;
	json_decref(a->code); /* it is used up */
	a->code = NULL;
	broker_login_confirm(a->watch, json_is_true(yes));
	reply_news(a, 202);
}
