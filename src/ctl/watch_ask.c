/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation of `watch` with the daemon: one connection per token, each
 * with a request that the daemon holds until there is news. What the daemon
 * says is of four kinds:
 *
 *	a value          it is taken; news is due when the generation is another
 *	no news (304)    all is well; the next request
 *	a refusal        we may not have it (any more), or a human is needed
 *	                 before there is any: what we have is given up after a
 *	                 while of nothing but refusals
 *	anything else    passing: what we have is kept to its own end
 */
#include <inttypes.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "ctl/watch_int.h"

#define WATCH_S "60"
#define ANSWER_MS 90000   /* all of that, and 30 s */
#define REST_MS 10000     /* for the rest of an answer that has begun */
#define BACKOFF_BASE_MS 250
#define BACKOFF_CAP_MS 30000
#define NO_FASTER_MS 1000 /* than that, when there is no news */
#define PATIENCE_ONCE_MS 20000

void
watch_token_init(struct watch *w, struct watch_token *t, const char *name)
{
	*t = (struct watch_token){ .name = name, .value = SECRET_INIT,
		.path = ask_token_path(name, 0),
		.backoff = BACKOFF_INIT(BACKOFF_BASE_MS, BACKOFF_CAP_MS) };
	client_init(&t->client, w->ctl->api.path);
	t->client.wait_mask = w->mask;
	t->client.interrupted = w->stop;
	t->q = (struct client_request){ .method = "GET", .path = t->path,
		.fields = t->fields, .timeout_ms = REST_MS };
}

void
watch_token_clear(struct watch_token *t)
{
	client_clear(&t->client);
	secret_clear(&t->value);
	free(t->path);
}

void
watch_token_forget(struct watch_token *t)
{
	secret_clear(&t->value);
	t->generation = t->expires_at = t->ends_ms = 0;
}

/* The same trouble is told once, not at every try. */
static bool
is_new_trouble(struct watch_token *t, const char *what)
{
	char before[sizeof(t->said)];

	memcpy(before, t->said, sizeof(before));
	snprintf(t->said, sizeof(t->said), "%s", what);
	return !streq(before, t->said);
}

static void
later(struct watch_token *t, int64_t at_least_ms)
{
	/* a service may ask for a pause of hours, which the daemon keeps; what
	 * a human does meanwhile is not to be missed */
	t->next_ms = now_boot_ms() + backoff_next(&t->backoff,
	    MIN2(at_least_ms, (int64_t)BACKOFF_CAP_MS));
}

/* With --once the first trouble that does not pass is the end. */
static void
end_of_patience(struct watch *w, enum ctl_exit e, bool passing)
{
	static int64_t since;

	if (!w->conf->once)
		return;
	if (!since)
		since = now_boot_ms();
	if (passing && now_boot_ms() - since < PATIENCE_ONCE_MS)
		return;
	w->ends = true;
	w->exit = e;
}

static void
on_failure(struct watch *w, struct watch_token *t, const struct tb_error *err)
{
	client_close(&t->client);
	t->asking = false;
	t->refused_ms = 0;
	later(t, 0);
	if (err->code == TB_E_CANCELLED)
		return;
	/* one lost connection is a restart, and nothing to talk about */
	if (t->backoff.attempt > 2 && is_new_trouble(t, "no daemon")) {
		ctl_fail(w->ctl, err);
		watch_status(w);
	}
	end_of_patience(w, CTL_NO_DAEMON, true);
}

/* What becomes of the value, for who decides how long the one before is kept:
 * nothing is said where the newest is always put in the place of the one
 * before. Not so with --once, and where a canary may refuse the newest. */
static const char *
delivery(const struct watch_conf *conf)
{
	if (!conf->once && !conf->canary.n)
		return "";
	return conf->sink.path ? "X-Tokenbroker-Delivery: file\r\n" :
	    "X-Tokenbroker-Delivery: other\r\n";
}

void
watch_ask(struct watch *w, struct watch_token *t, int64_t now)
{
	struct tb_error err = TB_ERROR_INIT;
	/* in trouble it is asked, not waited, so that its end is seen */
	const char *wait = *t->said ? "" : "Prefer: wait=" WATCH_S "\r\n";

	/* behind a new connection the state may be another, with the same
	 * numbers for other values */
	if (secret_is_empty(&t->value) || t->client.fd < 0)
		snprintf(t->fields, sizeof(t->fields), "%s",
		    delivery(w->conf));
	else
		snprintf(t->fields, sizeof(t->fields), "If-None-Match: \"%"
		    PRId64 "\"\r\n%s%s", t->generation, wait,
		    delivery(w->conf));
	t->asked_ms = now;
	t->deadline_ms = now + ANSWER_MS;
	t->asking = true;
	if (client_start(&t->client, &t->q, &err) < 0)
		on_failure(w, t, &err);
}

/* ------------------------------------------------------------------ answers */

static bool
is_refusal(const struct problem *p)
{
	return streq(p->code, "denied.token") ||
	    streq(p->code, "denied.role") || streq(p->code, "denied.unknown") ||
	    streq(p->code, "human_needed.login");
}

/* The daemon has no value at all, and what stands in the place may be one that
 * an earlier run of ours left there, good until nobody knows when. */
static bool
has_nothing(const struct watch *w, const struct watch_token *t,
    const struct problem *p)
{
	return !w->delivered && secret_is_empty(&t->value) &&
	    (streq(p->code, "unavailable.upstream") ||
		streq(p->code, "unavailable.timeout"));
}

/* Of several tokens, by its name: the command line has another one, or none. */
static void
tell_problem(struct watch *w, const struct watch_token *t, struct problem *p)
{
	char *detail;

	if (w->n_tokens > 1 || !w->conf->own) {
		detail = xasprintf("token %s: %s", t->name, p->detail);
		free(p->detail);
		p->detail = detail;
	}
	ctl_fail_problem(w->ctl, p, ASK_API);
}

static void
on_problem(struct watch *w, struct watch_token *t, const struct reply *r)
{
	struct problem p _cleanup_(problem_clear) = PROBLEM_INIT;
	enum ctl_exit e;
	bool is_new;

	problem_from_reply(&p, r);
	e = problem_exit(&p);
	is_new = is_new_trouble(t, *p.code ? p.code : "status");
	if (is_new && !problem_is_restart(&p))
		tell_problem(w, t, &p);
	if (!is_refusal(&p) && !has_nothing(w, t, &p))
		t->refused_ms = 0;
	else if (!t->refused_ms)
		t->refused_ms = now_boot_ms();
	/* what was never allowed is a mistake in the wiring */
	if (e == CTL_DENIED && !w->was_ready) {
		w->ends = true;
		w->exit = e;
	}
	end_of_patience(w, e, problem_is_passing(&p));
	later(t, MAX2(p.retry_after_s, 0) * 1000);
	if (is_new)
		watch_status(w);
}

static int
take_value(struct watch_token *t, const struct reply *r, bool *news,
    struct tb_error *err)
{
	struct secret fresh _cleanup_(secret_clear) = SECRET_INIT;
	struct json_t *o _cleanup_jval_ = jval_parse(&r->body, err);
	const char *text = jval_str(o, "token");
	int64_t generation = jval_int(o, "generation", 0);
	int64_t left = jval_int(o, "expires_in", 0);

	if (!o)
		return -1;
	secret_set_str(&fresh, text ? text : "");
	if (!secret_is_token(&fresh) || generation < 1 || left < 1)
		return tb_error_set(err, TB_E_PROTO, "the daemon's answer has "
		    "no token, generation and expiry");
	*news = generation != t->generation ||
	    !secret_equal(&fresh, &t->value);
	secret_move(&t->value, &fresh);
	t->generation = generation;
	t->expires_at = jval_time(o, "expires_at");
	t->ends_ms = now_boot_ms() + left * 1000;
	return 0;
}

/* All is well. */
static void
on_success(struct watch *w, struct watch_token *t, bool news)
{
	bool was_trouble = *t->said != '\0';

	backoff_reset(&t->backoff);
	t->refused_ms = 0;
	t->said[0] = '\0';
	/* a request that nobody waits for would be found unread at our end */
	t->next_ms = w->conf->once ? INT64_MAX : news ? 0 :
	    t->asked_ms + NO_FASTER_MS;
	if (news) {
		w->due = WATCH_WRITE;
		w->due_ms = 0;
		backoff_reset(&w->backoff);
	} else if (was_trouble) {
		ctl_note(w->ctl, "tokenbrokerd answers again");
		watch_status(w);
	}
}

void
watch_take_answer(struct watch *w, struct watch_token *t)
{
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	bool news = false;

	if (client_finish(&t->client, &t->q, &r, &err) < 0) {
		on_failure(w, t, &err);
		return;
	}
	t->asking = false;
	if (r.status == 200 && take_value(t, &r, &news, &err) < 0)
		on_failure(w, t, &err);
	else if (r.status == 200 || r.status == 304)
		on_success(w, t, news);
	else
		on_problem(w, t, &r);
}

void
watch_no_answer(struct watch *w, struct watch_token *t)
{
	struct tb_error err = TB_ERROR_INIT;

	tb_error_set(&err, TB_E_TRANSIENT, "tokenbrokerd at %.200s took the "
	    "request but did not answer", t->client.path);
	on_failure(w, t, &err);
}
