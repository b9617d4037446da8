/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status, health - does it work? For people a screen (status_screen.c), for
 * programs the exit status and the daemon's answer as it is.
 */
#include "base/now.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "ctl/command.h"
#include "ctl/redraw.h"
#include "ctl/status_screen.h"

#define WATCH_MS 2000
#define WATCH_MAX_MS 3600000

enum { STATUS_JSON, N_HEALTH, STATUS_CHECK = N_HEALTH, STATUS_WATCH,
	N_STATUS };
static const struct opt_spec status_opts[N_STATUS] = {
	{ "json", 0, OPT_FLAG, NULL, "the daemon's answer as it is" },
	{ "check", 0, OPT_FLAG, NULL, "exit status 3 when a human is needed "
	    "now, 5 when something else is wrong" },
	{ "watch", 0, OPT_FLAG, NULL, "show it again every SECONDS (default: "
	    "2), until q or Ctrl-C" },
};

/* One more screen, or why there is none; that is no reason to end. */
static void
look(struct ctl *ctl, struct strbuf *out)
{
	static const struct client_request q = { .method = "GET",
		.path = "/api/v1/status", .timeout_ms = 10000 };
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct json_t *o _cleanup_jval_ = NULL;
	struct tb_error err = TB_ERROR_INIT;
	struct term term;

	strbuf_reset(out);
	if (client_call(&ctl->admin, &q, &r, &err) == 0 && r.status < 300)
		o = jval_parse(&r.body, &err);
	if (o) {
		term_init(&term, STDOUT_FILENO);
		status_screen(out, o, now_real_s(), &term);
		return;
	}
	if (!err.code) {
		problem_from_reply(&refused, &r);
		problem_add_text(out, &refused, true, false);
	} else {
		term_add_clean(out, err.msg, false);
	}
	strbuf_adds(out, "; trying again\n");
}

static enum ctl_exit
watch_status(struct ctl *ctl, const struct args *args)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	int64_t ms = WATCH_MS;
	struct redraw r;
	struct term t;

	if (args->n_args && (!timefmt_parse_duration(args->arg[0], &ms) ||
	    ms < 100 || ms > WATCH_MAX_MS)) {
		ctl_complain(ctl, "--watch: a time from 100ms to 1h is "
		    "expected, such as 5");
		return CTL_USAGE;
	}
	term_init(&t, STDOUT_FILENO);
	redraw_begin(&r, &t);
	ctl->admin.interrupted = &redraw_stopped;
	do {
		term_init(&t, STDOUT_FILENO); /* it may have another size */
		look(ctl, &text);
		if (!redraw_stopped)
			redraw_show(&r, strbuf_str(&text));
	} while (redraw_wait(&r, ms));
	redraw_end(&r, r.shown ? strbuf_str(&text) : "");
	return CTL_OK;
}

static enum ctl_exit
do_status(struct ctl *ctl, const struct args *args)
{
	static const struct ask a = { .door = ASK_ADMIN,
		.path = "/api/v1/status" };
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *o _cleanup_jval_ = NULL;
	struct status_verdict v;
	struct term term;
	const struct opt_value *opt = args->opt;
	enum ctl_exit e;

	if (opt[STATUS_WATCH].set && (opt[STATUS_JSON].set ||
	    opt[STATUS_CHECK].set)) {
		ctl_complain(ctl, "--watch is for people: without --json and "
		    "--check");
		return CTL_USAGE;
	}
	if (args->n_args && !opt[STATUS_WATCH].set) {
		ctl_complain(ctl, "SECONDS are for --watch; of one token: "
		    "'tokenbrokerctl tokens NAME'");
		return CTL_USAGE;
	}
	if (opt[STATUS_WATCH].set)
		return watch_status(ctl, args);
	e = ask(ctl, &a, &r);
	if (e != CTL_OK)
		return e;
	o = jval_parse(&r.body, &err);
	if (!o)
		return ctl_fail(ctl, &err);
	term_init(&term, STDOUT_FILENO);
	v = status_screen(&text, o, now_real_s(), &term);
	if (opt[STATUS_JSON].set)
		e = ctl_write(ctl, &r.body, true);
	else
		fputs(strbuf_str(&text), stdout);
	if (e != CTL_OK || !opt[STATUS_CHECK].set)
		return e;
	return v.human ? CTL_HUMAN_NEEDED : v.bad ? CTL_NOT_READY : CTL_OK;
}

const struct command cmd_status = {
	.name = "status", .synopsis = "[--check] [--json] | --watch [SECONDS]",
	.summary = "Logins, tokens, and what is wrong, on one screen",
	.opts = status_opts, .n_opts = N_STATUS, .max_args = 1,
	.fn = do_status,
};

/* --------------------------------------------------------------- health */

struct members {
	struct strbuf text;
	bool utf8;
};

static void
add_member(void *arg, const char *key, const char *text)
{
	struct members *m = arg;

	term_add_clean(&m->text, key, m->utf8);
	strbuf_adds(&m->text, ": ");
	term_add_clean(&m->text, text, m->utf8);
	strbuf_addc(&m->text, '\n');
}

static void
print_members(const struct json_t *o)
{
	struct members m = { .text = STRBUF_INIT };
	struct term t;

	term_init(&t, STDOUT_FILENO);
	m.utf8 = t.utf8;
	jval_each(o, add_member, &m);
	fputs(strbuf_str(&m.text), stdout);
	strbuf_clear(&m.text);
}

static enum ctl_exit
do_health(struct ctl *ctl, const struct args *args)
{
	static const struct ask a = { .door = ASK_ADMIN,
		.path = "/api/v1/health", .timeout_ms = 10000 };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *o _cleanup_jval_ = NULL;
	enum ctl_exit e = ask_or_refusal(ctl, &a, &r, &refused);

	if (e != CTL_OK)
		return e;
	/* 503 is an answer like 200: the same members, and not well. */
	o = jval_parse(&r.body, &err);
	if (refused.code && (refused.status != 503 || !o ||
	    jval_str(o, "code")))
		return ctl_fail_problem(ctl, &refused, ASK_ADMIN);
	if (!o)
		return ctl_fail(ctl, &err);
	if (args->opt[STATUS_JSON].set)
		e = ctl_write(ctl, &r.body, true);
	else
		print_members(o);
	return e == CTL_OK && refused.code ? CTL_NOT_READY : e;
}

const struct command cmd_health = {
	.name = "health", .synopsis = "[--json]",
	.summary = "Is the daemon well? For monitoring: 0 yes, 5 no",
	.opts = status_opts, .n_opts = N_HEALTH, .fn = do_health,
};
