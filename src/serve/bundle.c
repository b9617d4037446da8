/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle - see the header.
 *
 *	values ready? -no-> wait for all of them, cold_wait at most
 *	      |
 *	a record for each -strict-> wait for the disk -> all as it was? -> send
 *	      ^                                              | no
 *	      `---------- withhold all of them --------------'
 *
 * A token without a value is left out, so that one which nobody asked for by
 * name keeps the others from nobody; one that was asked for by name fails the
 * request, and so does a bundle of nothing else.
 */
#include "serve/bundle.h"

#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "broker/broker.h"
#include "conf.h"
#include "lib/jsonx.h"
#include "lib/loop.h"
#include "serve/api.h"
#include "serve/rate.h"
#include "serve/release.h"
#include "serve/release_record.h"
#include "serve/render.h"
#include "serve/serve_int.h"
#include "serve/session.h"

#define DELIVERY "secrets" /* what Telegraf reads once, when it starts */
#define LIST_MAX 4096      /* of ?tokens= */

struct bundle;

struct bundle_one {
	struct bundle *bundle;
	struct broker_waiter *waiter;
	struct writer_item *item;
	uint64_t generation; /* that a record names; 0: there is none */
	char *token; /* that the rules know */
	char *name;  /* see broker_name_for */
	const struct acl_rule *rule; /* whose rate counts; used at once */
};

struct bundle {
	struct session_op op;
	struct serve *serve;
	struct loop_timer timer;
	bool by_name;  /* they were asked for one by one */
	bool counted;  /* in the rates of their rules */
	bool unrecorded;
	size_t n_waiting;
	struct tb_error err; /* of the first that has no value */
	char *failed;        /* its name, NULL: it is still being made */
	char id[17];         /* of the request */
	size_t n;
	struct bundle_one one[];
};

static broker_waiter_fn bundle_on_value;
static loop_fn bundle_on_timer;
static writer_done_fn bundle_on_recorded;
static void bundle_gone(struct session_op *op);
static void bundle_hurry(struct session_op *op, enum session_hurry why);

static const struct session_op_type bundle_type = {
	.gone = bundle_gone,
	.hurry = bundle_hurry,
};

static void
bundle_free(struct bundle *b)
{
	size_t i;

	loop_timer_stop(&b->timer);
	for (i = 0; i < b->n; i++) {
		broker_wait_cancel(&b->one[i].waiter);
		writer_forget(&b->one[i].item);
		free(b->one[i].token);
		free(b->one[i].name);
	}
	free(b->failed);
	free(b);
}

/* The session may then be answered. */
static struct session *
bundle_end(struct bundle *b)
{
	struct session *s = session_end(&b->op);

	bundle_free(b);
	return s;
}

static void
withhold_all(struct bundle *b, const char *reason)
{
	size_t i;

	for (i = 0; i < b->n; i++) {
		writer_forget(&b->one[i].item);
		if (b->one[i].generation)
			release_withheld(b->op.session, b->one[i].name,
			    b->one[i].generation, reason);
		b->one[i].generation = 0;
	}
}

/* -------------------------------------------------------------------- send */

/* Telegraf knows letters, digits and '_' in the name of a secret. */
static void
make_key(const char *token, char *key, size_t size)
{
	size_t i;

	for (i = 0; token[i] && i < size - 1; i++)
		key[i] = strchr(".-", token[i]) ? '_' : token[i];
	key[i] = '\0';
}

static enum session_sent
send_body(struct session *s, const struct secret *body)
{
	struct strbuf head _cleanup_(strbuf_clear) = STRBUF_INIT;
	char line[HTTP1_STATUS_LINE_MAX];
	struct iovec iov[2];

	strbuf_add(&head, line, http1_status_line(line, 200, session_minor(s),
	    session_keeps_alive(s)));
	strbuf_addf(&head, "Content-Type: application/json\r\n"
	    "Cache-Control: no-store\r\nContent-Length: %zu\r\n\r\n",
	    body->len);
	iov[0] = (struct iovec){ head.s, head.len };
	iov[1] = (struct iovec){ (void *)(uintptr_t)secret_reveal(body),
		body->len };
	return session_send(s, iov, 2);
}

static void
bundle_on_drained(void *arg, struct session *s, bool all, bool some)
{
	struct bundle *b = arg;
	size_t i;

	for (i = 0; i < b->n; i++)
		if (b->one[i].generation)
			release_drained(s, b->one[i].name,
			    b->one[i].generation, b->id, all, some);
	bundle_free(b);
}

static void
note_all(struct session *s, const struct bundle *b, enum audit_event event,
    const char *reason)
{
	size_t i;

	for (i = 0; i < b->n; i++) {
		struct audit_rec rec = {
			.event = event,
			.door = acl_door_name(session_door(s)->id),
			.who = session_who(s),
			.token = b->one[i].name,
			.generation = b->one[i].generation,
			.request_id = b->id,
			.delivery = DELIVERY,
			.reason = reason,
		};

		if (!rec.generation)
			continue;
		release_count(s, rec.token, event == AUDIT_SENT ?
		    BROKER_SENT : BROKER_WITHHELD);
		release_outcome(s, &rec);
	}
}

/* Every value that has a record; b is over. body is made here, and is the one
 * copy. */
static void
send_all(struct bundle *b)
{
	struct secret body _cleanup_(secret_clear) = SECRET_INIT;
	struct session *s = session_end(&b->op);
	struct broker_view view;
	char key[ROUTE_NAME_MAX];
	size_t i;

	secret_append_str(&body, "{");
	for (i = 0; i < b->n; i++) {
		if (!b->one[i].generation || !broker_get(b->serve->broker,
			b->one[i].name, 0, &view))
			continue;
		make_key(b->one[i].token, key, sizeof(key));
		secret_append_str(&body, body.len > 1 ? ",\"" : "\"");
		secret_append_str(&body, key);
		secret_append_str(&body, "\":\"");
		render_add_value(&body, view.value);
		secret_append_str(&body, "\"");
	}
	secret_append_str(&body, "}\n");
	switch (send_body(s, &body)) {
	case SESSION_SENT:
		note_all(s, b, AUDIT_SENT, NULL);
		break;
	case SESSION_NOT_SENT:
		note_all(s, b, AUDIT_WITHHELD, "client went away");
		break;
	case SESSION_PARTLY:
		session_on_drained(s, bundle_on_drained, b);
		return;
	}
	bundle_free(b);
}

/* ----------------------------------------------------------------- authorise */

/* A token without a value: what the asker is told, if it is told. */
static void
refuse_empty(struct bundle *b)
{
	struct problem p = { .code = PROBLEM_TIMEOUT,
		.detail = "there is no value yet; it is being made" };
	struct tb_error err = b->err;
	const char *login = NULL;
	size_t i;

	for (i = 0; i < b->n; i++)
		release_count(b->op.session, b->one[i].name,
		    BROKER_UNAVAILABLE);
	if (b->failed) {
		login = broker_token_login(b->serve->broker, b->failed);
		p = problem_from_error(&err, login);
	}
	session_problem(bundle_end(b), &p);
}

/* False: answered, since there is nothing to give, or not all of what was asked
 * for by name. */
static bool
has_something(struct bundle *b)
{
	struct session *s = b->op.session;
	size_t i, n_allowed = 0, n_ready = 0;
	struct broker_view view;
	struct acl_verdict v;

	for (i = 0; i < b->n; i++) {
		v = session_verdict(s, b->one[i].token);
		if (!v.allow && b->by_name) {
			session_end(&b->op);
			release_deny(s, b->one[i].token, &v);
			bundle_free(b);
			return false;
		}
		n_allowed += v.allow;
		n_ready += v.allow && broker_get(b->serve->broker,
		    b->one[i].name, 0, &view);
	}
	if (b->by_name ? n_ready == b->n : n_ready || !n_allowed)
		return true;
	refuse_empty(b);
	return false;
}

/* Of those that this rule allows. */
static uint32_t
count_of(const struct bundle *b, const struct acl_rule *rule)
{
	uint32_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		n += b->one[i].rule == rule;
	return n;
}

/* NULL: all may be had now, as far as it is a matter of rates. */
static const char *
why_over(struct bundle *b, int64_t now_ms, int64_t *wait_s)
{
	uid_t uid = session_who(b->op.session)->uid;
	const struct acl_rule *rule, *last = NULL;
	uint32_t n;

	for (size_t i = 0; i < b->n; i++) {
		rule = b->one[i].rule;
		if (!rule || rule == last)
			continue;
		last = rule;
		n = count_of(b, rule);
		if (n <= rate_left(b->serve->rate, rule, uid, NULL, now_ms,
			wait_s))
			continue;
		if (n <= rule->rate_count)
			return "the rule that allows you these tokens has a "
			       "rate";
		return "more tokens come with each answer than the rate of "
		       "their rule gives: raise it, or ask for each token by "
		       "itself";
	}
	return NULL;
}

/* All or none. False: answered, since a rule's rate is used up. */
static bool
take_rates(struct bundle *b)
{
	struct problem over = { .code = PROBLEM_RATE };
	struct session *s = b->op.session;
	int64_t now_ms = now_boot_ms();
	struct acl_verdict v;

	if (b->counted)
		return true;
	for (size_t i = 0; i < b->n; i++) {
		v = session_verdict(s, b->one[i].token);
		b->one[i].rule = v.allow && v.rule->rate_count ? v.rule : NULL;
	}
	over.detail = why_over(b, now_ms, &over.retry_after_s);
	if (over.detail) {
		session_problem(bundle_end(b), &over);
		return false;
	}
	for (size_t i = 0; i < b->n; i++)
		(void)rate_take(b->serve->rate, b->one[i].rule,
		    session_who(s)->uid, NULL, now_ms, &over.retry_after_s);
	b->counted = true;
	return true;
}

/* Its record, if it may be had and has a value. */
static bool
authorise_one(struct bundle *b, struct bundle_one *one, bool strict)
{
	struct session *s = b->op.session;
	struct acl_verdict v = session_verdict(s, one->token);
	struct broker_view view;
	struct audit_rec rec;

	if (!v.allow || !broker_get(b->serve->broker, one->name, 0, &view))
		return false;
	one->generation = view.generation;
	rec = release_record(s, b->id, &v, &view, DELIVERY);
	broker_hold(b->serve->broker, &view, session_who(s),
	    counts_index(session_door(s)->id), DELIVERY);
	one->item = audit_before(b->serve->audit, &rec,
	    strict ? bundle_on_recorded : NULL, one);
	return true;
}

static void
authorise_all(struct bundle *b)
{
	bool strict = audit_is_strict(b->serve->audit);
	struct session *s = b->op.session;
	size_t i, n = 0;

	if (!has_something(b) || !take_rates(b))
		return;
	if (strict && audit_is_behind(b->serve->audit)) {
		session_refuse(bundle_end(b), PROBLEM_AUDIT, "the disk that "
		    "the audit log is on does not keep up, so nothing is "
		    "released");
		return;
	}
	/* from now on it is a matter of the disk, whose time is the daemon's */
	session_end(&b->op);
	session_begin(s, &b->op, &bundle_type, false);
	b->unrecorded = false;
	for (i = 0, n = 0; i < b->n; i++)
		n += authorise_one(b, &b->one[i], strict);
	if (!strict || !n)
		send_all(b);
}

/* All records are durable, or will never be. Is everything else as it was? */
static void
check_all(struct bundle *b)
{
	struct session *s = b->op.session;
	struct broker_view view;
	const char *why = NULL;
	size_t i;

	if (b->unrecorded) {
		withhold_all(b, "no durable record");
		session_refuse(bundle_end(b), PROBLEM_AUDIT, "the record of "
		    "this release cannot be made durable, so nothing is "
		    "released");
		return;
	}
	if (!session_peer_is_alive(s)) {
		withhold_all(b, "connector has exited");
		session_refuse(bundle_end(b), PROBLEM_TIMEOUT,
		    "the process that asked has ended");
		return;
	}
	for (i = 0; i < b->n && !why; i++) {
		if (!b->one[i].generation)
			continue;
		if (!session_verdict(s, b->one[i].token).allow)
			why = "rule changed";
		else if (!broker_get(b->serve->broker, b->one[i].name, 0,
			     &view) || view.generation != b->one[i].generation)
			why = "superseded";
	}
	if (!why) {
		send_all(b);
		return;
	}
	withhold_all(b, why);
	authorise_all(b);
}

static void
bundle_on_recorded(void *arg, const struct tb_error *err)
{
	struct bundle_one *one = arg;
	struct bundle *b = one->bundle;
	size_t i;

	one->item = NULL;
	b->unrecorded = b->unrecorded || err;
	for (i = 0; i < b->n; i++)
		if (b->one[i].item)
			return;
	check_all(b);
}

/* ------------------------------------------------------------ not ready yet */

static void
bundle_on_value(void *arg, const struct broker_view *view,
    const struct tb_error *err)
{
	struct bundle_one *one = arg;
	struct bundle *b = one->bundle;

	one->waiter = NULL;
	if (err && !b->failed) {
		b->failed = xstrdup(one->token);
		b->err = *err;
	}
	if (--b->n_waiting)
		return;
	loop_timer_stop(&b->timer);
	authorise_all(b);
}

static void
bundle_on_timer(void *arg)
{
	struct bundle *b = arg;
	size_t i;

	for (i = 0; i < b->n; i++)
		broker_wait_cancel(&b->one[i].waiter);
	b->n_waiting = 0;
	authorise_all(b);
}

static void
bundle_gone(struct session_op *op)
{
	struct bundle *b = container_of(op, struct bundle, op);

	withhold_all(b, "client went away");
	op->session = NULL;
	bundle_free(b);
}

static void
bundle_hurry(struct session_op *op, enum session_hurry why)
{
	struct bundle *b = container_of(op, struct bundle, op);

	switch (why) {
	case SESSION_STOPPING:
		if (b->n_waiting)
			session_refuse(bundle_end(b), PROBLEM_STOPPING,
			    "the broker is being restarted; ask again");
		break;
	case SESSION_RELOADED:
		break; /* the rules are asked again before anything leaves */
	case SESSION_EXPIRED:
		withhold_all(b, "no durable record in time");
		session_refuse(bundle_end(b), PROBLEM_AUDIT, "the record of "
		    "this release is not durable yet, so nothing is released");
		break;
	}
}

/* ------------------------------------------------------------------- start */

/* False: answered. */
static bool
keys_differ(struct session *s, const json_t *names)
{
	json_t *keys _cleanup_json_ = json_object();
	char *detail _cleanup_free_ = NULL;
	char key[ROUTE_NAME_MAX];

	for (size_t i = 0; i < json_array_size(names); i++) {
		make_key(json_string_value(json_array_get(names, i)), key,
		    sizeof(key));
		if (json_object_get(keys, key)) {
			detail = xasprintf("two tokens would be called %s; ask "
			    "for the one with ?tokens=NAME", key);
			session_refuse(s, PROBLEM_CONFLICT, detail);
			return false;
		}
		json_object_set_new(keys, key, json_true());
	}
	return true;
}

/* The names of ?tokens=A,B, all of which may be had; NULL: answered. */
static json_t *
named_tokens(struct session *s, struct http1_view list)
{
	json_t *names _cleanup_json_ = json_array();
	char text[LIST_MAX], *save = NULL, *name;
	struct acl_verdict v;

	if (http1_decode(list, false, text, sizeof(text)) < 0) {
		session_refuse(s, PROBLEM_BAD_REQUEST, "tokens is a list of "
		    "names with commas between them");
		return NULL;
	}
	for (name = strtok_r(text, ",", &save); name;
	    name = strtok_r(NULL, ",", &save)) {
		v = session_verdict(s, name);
		if (!v.allow) {
			release_deny(s, name, &v);
			return NULL;
		}
		json_array_append_new(names, json_string(name));
	}
	return json_incref(names);
}

static struct bundle *
bundle_new(struct session *s, const json_t *names)
{
	size_t n = json_array_size(names), i;
	struct bundle *b = xcalloc(1, sizeof(*b) + n * sizeof(b->one[0]));
	char own[BROKER_NAME_SIZE];

	b->serve = session_serve(s);
	b->n = n;
	session_request_id(s, b->id);
	loop_timer_init(&b->timer, b->serve->loop, bundle_on_timer, b);
	for (i = 0; i < n; i++) {
		b->one[i].bundle = b;
		b->one[i].token = xstrdup(json_string_value(
		    json_array_get(names, i)));
		b->one[i].name = xstrdup(broker_name_for(b->serve->broker,
		    b->one[i].token, session_who(s), own));
	}
	return b;
}

void
bundle_start(struct session *s, const struct request *rq)
{
	struct http1_view list = route_query(rq, "tokens");
	json_t *names _cleanup_json_ = list.s ? named_tokens(s, list) :
	    api_allowed_tokens(s);
	struct broker_view view;
	struct bundle *b;
	size_t i;

	if (!names || !keys_differ(s, names))
		return;
	b = bundle_new(s, names);
	b->by_name = list.s != NULL;
	session_begin(s, &b->op, &bundle_type, true);
	for (i = 0; i < b->n; i++) {
		if (broker_get(b->serve->broker, b->one[i].name, 0, &view))
			continue;
		b->n_waiting++;
		b->one[i].waiter = broker_wait(b->serve->broker,
		    b->one[i].name, 0, 0, bundle_on_value, &b->one[i]);
	}
	if (b->n_waiting)
		loop_timer_set(&b->timer, b->serve->conf->cold_wait_ms);
	else
		authorise_all(b);
}
