/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release - see the header.
 *
 *	verdict -> value ready? --yes-> recorded? -relaxed-> send
 *	                |                 strict: wait for the disk -> gate -> send
 *	                no: wait for the broker -> verdict again -> recorded?
 *
 * The hot path (value ready, audit relaxed) allocates nothing and ends within
 * release_start. Whoever waits gets a struct release; after every wait the
 * world may have changed, so the gate asks again: the rules, whether the
 * client still lives, and which value is the newest.
 */
#include "serve/release.h"

#include "base/now.h"
#include "base/principal.h"
#include "base/timefmt.h"
#include "base/util.h"
#include "broker/broker.h"
#include "conf.h"
#include "lib/loop.h"
#include "serve/denylog.h"
#include "serve/rate.h"
#include "serve/release_record.h"
#include "serve/render.h"
#include "serve/serve_int.h"
#include "serve/session.h"
#include "state/audit.h"

#define RETRY_AFTER_MS 100 /* behind the moment that the broker named */

struct release {
	struct session_op op;
	struct serve *serve;
	struct loop_timer timer;
	struct broker_waiter *waiter; /* the broker has no value yet */
	struct writer_item *item;     /* the record is on its way to the disk */
	uint64_t generation;          /* that the record names */
	uint64_t known;
	int64_t ends_ms;              /* of its patience, 0: it has none */
	const char *delivery;         /* static, or NULL */
	enum render_form form;
	bool watches;
	char *name;  /* what the broker keeps the value as */
	char token[]; /* what was asked for: that the rules know */
};

/* An answer that the client does not take at once. */
struct release_late {
	uint64_t generation;
	char id[17];
	char token[];
};

static broker_waiter_fn release_on_value;
static loop_fn release_on_timer;
static writer_done_fn release_on_recorded;
static void release_gone(struct session_op *op);
static void release_hurry(struct session_op *op, enum session_hurry why);

static const struct session_op_type release_type = {
	.gone = release_gone,
	.hurry = release_hurry,
};

static struct release *
release_of(struct session_op *op)
{
	return container_of(op, struct release, op);
}

/* name: see broker_name_for. */
static void
release_name(struct release *r, const char *name)
{
	if (r->name != r->token)
		free(r->name);
	r->name = streq(name, r->token) ? r->token : xstrdup(name);
}

static struct release *
release_new(struct session *s, const struct release_ask *ask,
    const char *name)
{
	size_t n = strlen(ask->token);
	struct release *r = xcalloc(1, sizeof(*r) + n + 1);

	memcpy(r->token, ask->token, n);
	release_name(r, name);
	r->known = ask->known;
	r->form = ask->form;
	r->delivery = ask->delivery;
	r->serve = session_serve(s);
	loop_timer_init(&r->timer, r->serve->loop, release_on_timer, r);
	return r;
}

/* The session may then be answered, or is closed. */
static struct session *
release_end(struct release *r)
{
	struct session *s = r->op.session ? session_end(&r->op) : NULL;

	if (r->watches)
		r->serve->counts.watches--;
	broker_wait_cancel(&r->waiter);
	writer_forget(&r->item);
	loop_timer_stop(&r->timer);
	if (r->name != r->token)
		free(r->name);
	free(r);
	return s;
}

void
release_deny(struct session *s, const char *token,
    const struct acl_verdict *v)
{
	struct serve *serve = session_serve(s);
	char id[17];
	struct audit_rec rec = {
		.event = AUDIT_DENIED,
		.door = acl_door_name(session_door(s)->id),
		.who = session_who(s),
		.rule = v->rule,
		.verdict = "deny",
		.reason = v->reason,
		.token = token,
		.request_id = session_request_id(s, id),
	};

	counts_door(&serve->counts, session_door(s)->id)->denied++;
	audit_denied(serve->audit, &rec);
	if (session_door(s)->ops) {
		session_door(s)->ops->deny(s, token, v);
		return;
	}
	denylog_line(serve->denylog, rec.door, rec.who, token, v->reason,
	    v->rule ? v->rule->where : NULL, now_boot_ms());
	session_refuse(s, PROBLEM_TOKEN, "no rule allows you this token, or "
	    "there is no token of this name");
}

/* -------------------------------------------------------------------- send */

/* On the hot path: without a look-up by name. */
static void
count_now(struct session *s, const struct broker_view *view,
    enum broker_outcome outcome)
{
	view->releases->n[counts_index(session_door(s)->id)][outcome]++;
}

static void
late_on_drained(void *arg, struct session *s, bool all, bool some)
{
	struct release_late *late = arg;

	release_drained(s, late->token, late->generation, late->id, all,
	    some);
	free(late);
}

static void
send_late(struct session *s, const struct audit_rec *rec)
{
	size_t n = strlen(rec->token);
	struct release_late *late = xcalloc(1, sizeof(*late) + n + 1);

	late->generation = rec->generation;
	memcpy(late->id, rec->request_id, sizeof(late->id));
	memcpy(late->token, rec->token, n);
	session_on_drained(s, late_on_drained, late);
}

/* rec is that of the authorisation. */
static void
send_value(struct session *s, const struct broker_view *view,
    enum render_form form, struct audit_rec *rec)
{
	struct serve *serve = session_serve(s);
	struct render_how how = {
		.minor = session_minor(s),
		.keep_alive = session_keeps_alive(s),
		.request_id = rec->request_id,
		.now_s = view->now_s,
	};
	struct render_reply reply;

	if (session_door(s)->ops) {
		session_door(s)->ops->send(s, view, rec);
		count_now(s, view, rec->event == AUDIT_SENT ? BROKER_SENT :
		    BROKER_WITHHELD);
		release_outcome(s, rec);
		session_close(s);
		return;
	}
	render_value(serve->render, view, form, &how, &reply);
	switch (session_send(s, reply.iov, reply.n_iov)) {
	case SESSION_SENT:
		rec->event = AUDIT_SENT;
		count_now(s, view, BROKER_SENT);
		release_outcome(s, rec);
		break;
	case SESSION_NOT_SENT:
		rec->event = AUDIT_WITHHELD;
		rec->reason = "client went away";
		count_now(s, view, BROKER_WITHHELD);
		release_outcome(s, rec);
		break;
	case SESSION_PARTLY:
		send_late(s, rec);
		break;
	}
}

/* ---------------------------------------------------------------- authorise */

/* A client that may have this value: the record first. r: what waited so far,
 * or NULL; it lives on while the disk is waited for. */
static void
authorise(struct session *s, struct release *r, const struct release_ask *ask,
    const struct acl_verdict *v, const struct broker_view *view)
{
	struct serve *serve = session_serve(s);
	struct problem over = { .code = PROBLEM_RATE,
		.detail = "the rule that allows you this token has a rate" };
	enum render_form form = r ? r->form : ask->form;
	const struct principal *who = session_who(s);
	struct audit_rec rec;
	char id[17];

	/* One request counts once, however often its value was superseded while
	 * the record was written (its generation is set then). */
	if (!(r && r->generation) && !rate_take(serve->rate, v->rule,
	    who->uid, session_door(s)->ops ? who->unit : NULL,
	    v->rule->rate_count ? now_boot_ms() : 0,
	    &over.retry_after_s)) {
		if (r)
			release_end(r);
		count_now(s, view, BROKER_UNAVAILABLE);
		session_problem(s, &over);
		return;
	}
	rec = release_record(s, session_request_id(s, id), v, view,
	    r ? r->delivery : ask->delivery);
	/* a record like an earlier one is to somebody who is known */
	if (!rec.same || rec.delivery)
		broker_hold(serve->broker, view, who,
		    counts_index(session_door(s)->id), rec.delivery);
	if (!audit_is_strict(serve->audit)) {
		audit_before(serve->audit, &rec, NULL, NULL);
		if (r)
			release_end(r);
		send_value(s, view, form, &rec);
		return;
	}
	if (audit_is_behind(serve->audit)) {
		if (r)
			release_end(r);
		session_refuse(s, PROBLEM_AUDIT, "the disk that the audit log "
		    "is on does not keep up, so nothing is released");
		return;
	}
	if (r)
		session_end(&r->op);
	else
		r = release_new(s, ask, view->name);
	loop_timer_stop(&r->timer);
	r->generation = view->generation;
	session_begin(s, &r->op, &release_type, false);
	r->item = audit_before(serve->audit, &rec, release_on_recorded, r);
}

/* The record is durable. Is everything else as it was? */
static void
release_on_recorded(void *arg, const struct tb_error *err)
{
	struct release *r = arg;
	struct session *s = r->op.session;
	struct broker_view view;
	struct acl_verdict v;
	struct audit_rec rec;
	const char *why = NULL;
	const char *delivery = r->delivery;
	enum render_form form = r->form;
	bool newer = false;
	char id[17];

	r->item = NULL;
	v = session_verdict(s, r->token);
	if (err)
		why = "no durable record";
	else if (!v.allow)
		why = "rule changed";
	else if (!session_peer_is_alive(s))
		why = "connector has exited";
	else if (!broker_get(session_serve(s)->broker, r->name, 0, &view))
		why = "no longer valid";
	else if ((newer = view.generation != r->generation))
		why = "superseded";
	if (why)
		release_withheld(s, r->name, r->generation, why);
	if (newer) {
		authorise(s, r, NULL, &v, &view);
		return;
	}
	if (err) {
		session_refuse(release_end(r), PROBLEM_AUDIT, "the record of "
		    "this release cannot be made durable, so nothing is "
		    "released");
	} else if (!v.allow) {
		session_end(&r->op);
		release_deny(s, r->token, &v);
		release_end(r);
	} else if (why) {
		session_refuse(release_end(r), PROBLEM_TIMEOUT,
		    "the value ended while its record was written");
	} else {
		release_end(r);
		rec = release_record(s, session_request_id(s, id), &v, &view,
		    delivery);
		send_value(s, &view, form, &rec);
	}
}

/* ------------------------------------------------------------ not ready yet */

static void
wait_for_value(struct session *s, const struct release_ask *ask,
    const char *name, bool watches)
{
	struct serve *serve = session_serve(s);
	struct release *r = release_new(s, ask, name);
	int64_t ms = serve->conf->cold_wait_ms;

	r->watches = watches;
	if (ask->patience_ms > 0)
		r->ends_ms = now_boot_ms() + (ms = ask->patience_ms);
	else if (watches)
		ms = ask->wait_s * 1000;
	else if (ask->wait_s >= 0)
		ms = MIN2(ms, ask->wait_s * 1000);
	session_begin(s, &r->op, &release_type, true);
	if (watches) {
		serve->counts.watches++;
		session_is_watch(s);
	}
	loop_timer_set(&r->timer, ms);
	r->waiter = broker_wait(serve->broker, r->name,
	    watches ? ask->known : 0, ask->min_valid_s, release_on_value, r);
}

/* Whoever cannot ask again has it asked for as long as there is time. */
static bool
release_tries_again(struct release *r, const struct tb_error *err)
{
	int64_t ms = err->retry_after_ms + RETRY_AFTER_MS;

	if (!tb_error_is_transient(err) || now_boot_ms() + ms >= r->ends_ms)
		return false;
	loop_timer_set(&r->timer, ms);
	return true;
}

static void
release_fail(struct release *r, const struct tb_error *err)
{
	struct session *s = r->op.session;
	struct acl_verdict gone = { .reason = "no such token" };
	struct problem p = problem_from_error(err, broker_token_login(
	    session_serve(s)->broker, r->name));

	session_end(&r->op);
	/* the token was taken out of the configuration meanwhile */
	if (err->code == TB_E_BADREQ) {
		release_deny(s, r->token, &gone);
	} else {
		release_count(s, r->name, BROKER_UNAVAILABLE);
		session_problem(s, &p);
	}
	release_end(r);
}

static void
release_on_value(void *arg, const struct broker_view *view,
    const struct tb_error *err)
{
	struct release *r = arg;
	struct session *s = r->op.session;
	struct acl_verdict v;

	r->waiter = NULL;
	loop_timer_stop(&r->timer);
	if (err) {
		if (!release_tries_again(r, err))
			release_fail(r, err);
		return;
	}
	v = session_verdict(s, r->token);
	if (!v.allow) {
		session_end(&r->op);
		release_deny(s, r->token, &v);
		release_end(r);
	} else {
		/* even under a number that the client knows: there was no value
		 * when it asked, and after a restart numbers begin again */
		authorise(s, r, NULL, &v, view);
	}
}

/* A watch ends without news; a cold start takes longer than the client. */
static void
release_give_up(struct release *r, enum problem_code code, const char *detail)
{
	bool watches = r->watches;
	uint64_t known = r->known;
	struct session *s;

	release_count(r->op.session, r->name, watches ? BROKER_NOT_MODIFIED :
	    BROKER_UNAVAILABLE);
	s = release_end(r);
	if (watches)
		session_not_modified(s, known);
	else
		session_refuse(s, code, detail);
}

/* A reload since may have taken the token away, or given each holder one of
 * its own. */
static void
release_ask_again(struct release *r, int64_t left_ms)
{
	struct session *s = r->op.session;
	struct broker *broker = session_serve(s)->broker;
	struct acl_verdict v = session_verdict(s, r->token);
	char own[BROKER_NAME_SIZE];

	if (!v.allow) {
		session_end(&r->op);
		release_deny(s, r->token, &v);
		release_end(r);
		return;
	}
	release_name(r, broker_name_for(broker, r->token, session_who(s),
	    own));
	loop_timer_set(&r->timer, left_ms);
	r->waiter = broker_wait(broker, r->name, 0, 0, release_on_value, r);
}

static void
release_on_timer(void *arg)
{
	struct release *r = arg;
	int64_t left_ms = r->ends_ms - now_boot_ms();

	if (!r->waiter && left_ms > 0) {
		release_ask_again(r, left_ms);
		return;
	}
	release_give_up(r, PROBLEM_TIMEOUT,
	    "there is no value yet; it is being made");
}

static void
release_gone(struct session_op *op)
{
	struct release *r = release_of(op);

	if (r->item)
		release_withheld(op->session, r->name, r->generation,
		    "client went away");
	op->session = NULL;
	release_end(r);
}

static void
release_hurry(struct session_op *op, enum session_hurry why)
{
	struct release *r = release_of(op);

	switch (why) {
	case SESSION_STOPPING:
		if (!r->item)
			release_give_up(r, PROBLEM_STOPPING,
			    "the broker is being restarted; ask again");
		break;
	case SESSION_RELOADED:
		/* ask again: what the client may have is judged then */
		if (r->watches && !r->item)
			release_give_up(r, PROBLEM_TIMEOUT, "");
		break;
	case SESSION_EXPIRED:
		release_withheld(op->session, r->name, r->generation,
		    "no durable record in time");
		session_refuse(release_end(r), PROBLEM_AUDIT, "the record of "
		    "this release is not durable yet, so nothing is released");
		break;
	}
}

/* ------------------------------------------------------------------- start */

static void
refuse_min_valid(struct session *s, const struct release_ask *ask)
{
	char detail[320], most[TIMEFMT_SIZE];

	timefmt_duration(broker_max_min_valid(session_serve(s)->broker,
	    ask->token) * 1000, most, sizeof(most));
	snprintf(detail, sizeof(detail), "min_valid is more than %s, the "
	    "renew_before of [token %s], which is all that can be promised: "
	    "ask for less, or have renew_before raised", most, ask->token);
	session_refuse(s, PROBLEM_BAD_REQUEST, detail);
}

/* True: *view is what this client gets. *name: see broker_name_for. Most
 * tokens are for all who may have them, and need one look-up only. */
static bool
find_value(struct session *s, const struct release_ask *ask,
    char own[BROKER_NAME_SIZE], const char **name, struct broker_view *view)
{
	struct broker *broker = session_serve(s)->broker;

	*name = ask->lease ? ask->lease : ask->token;
	if (broker_get(broker, *name, ask->min_valid_s, view))
		return true;
	if (ask->lease)
		return false;
	*name = broker_name_for(broker, ask->token, session_who(s), own);
	return *name != ask->token &&
	    broker_get(broker, *name, ask->min_valid_s, view);
}

void
release_start(struct session *s, const struct release_ask *ask)
{
	struct acl_verdict v = session_verdict(s, ask->token);
	char own[BROKER_NAME_SIZE];
	struct broker_view view;
	const char *name;

	if (!v.allow) {
		release_deny(s, ask->token, &v);
	} else if (ask->min_valid_s > 0 && ask->min_valid_s >
	    broker_max_min_valid(session_serve(s)->broker, ask->token)) {
		refuse_min_valid(s, ask);
	} else if (!find_value(s, ask, own, &name, &view)) {
		render_forget(session_serve(s)->render, name);
		wait_for_value(s, ask, name, ask->known && ask->wait_s >= 0);
	} else if (ask->known != view.generation) {
		authorise(s, NULL, ask, &v, &view);
	} else if (ask->wait_s > 0) {
		wait_for_value(s, ask, name, true);
	} else {
		count_now(s, &view, BROKER_NOT_MODIFIED);
		session_not_modified(s, view.generation);
	}
}
