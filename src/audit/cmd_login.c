/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login - what the approvals of a login led to: what was minted on it, to whom
 * that was released, and what became of it.
 */
#include <inttypes.h>

#include "audit/report.h"
#include "audit/tool.h"
#include "base/now.h"
#include "base/tb_error.h"

enum { L_FORMAT, L_LOG_DIR, L_KEY, L_LOCAL, N_L };
static const struct opt_spec login_opts[N_L] = {
	{ "format", 0, OPT_TEXT, "table|json", "table (default) or json" },
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
	{ "local", 0, OPT_FLAG, NULL, "times in this host's zone, not in "
	    "UTC" },
};

static void
login_on_line(void *arg, const char *line, size_t len,
    const struct scan *scan)
{
	holdings_take(arg, scan);
}

static bool
is_of(const struct held *g, const char *login)
{
	return streq(g->login, login);
}

static void
add_generations(const struct holdings *h, const struct report *r,
    const char *login, long approval, struct strbuf *out)
{
	size_t i;

	for (i = 0; i < holdings_count(h); i++)
		if (is_of(holdings_at(h, i), login) &&
		    holdings_approval(h, holdings_at(h, i)) == approval)
			report_add_text(r, holdings_at(h, i), 2, out);
}

static void
print_text(const struct holdings *h, const struct report *r,
    const char *login)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct login_event *e;
	char when[PRINT_TIME_SIZE];
	size_t i;

	add_generations(h, r, login, -1, &b);
	if (b.len)
		printf("approved before the log begins:\n%s", b.s);
	for (i = 0; i < holdings_n_events(h); i++) {
		e = holdings_event(h, i);
		strbuf_reset(&b);
		strbuf_addf(&b, "%s  %-14s", print_time(e->time, r->local,
		    when), e->event);
		if (e->human) {
			strbuf_adds(&b, " by ");
			report_add_clean(r, e->human, &b);
		}
		if (e->reason) {
			strbuf_adds(&b, ": ");
			report_add_clean(r, e->reason, &b);
		}
		strbuf_addc(&b, '\n');
		if (strcmp(e->event, "login_granted") == 0)
			add_generations(h, r, login, (long)i, &b);
		fputs(strbuf_str(&b), stdout);
	}
}

static void
print_json(const struct holdings *h, const struct report *r,
    const char *login, const struct verify *v)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct login_event *e;
	const char *comma = "";
	size_t i;

	strbuf_addc(&b, '{');
	report_add_log(v, &b);
	report_add_member(&b, "login", login);
	strbuf_adds(&b, ",\"events\":[");
	for (i = 0; i < holdings_n_events(h); i++) {
		e = holdings_event(h, i);
		strbuf_addf(&b, "%s{\"event\":\"%s\"", i ? "," : "", e->event);
		report_add_time(&b, "time", e->time);
		report_add_member(&b, "human", e->human);
		report_add_member(&b, "reason", e->reason);
		strbuf_addc(&b, '}');
	}
	strbuf_adds(&b, "],\"generations\":[");
	for (i = 0; i < holdings_count(h); i++) {
		if (!is_of(holdings_at(h, i), login))
			continue;
		strbuf_addf(&b, "%s{\"approval\":%ld,", comma,
		    holdings_approval(h, holdings_at(h, i)));
		report_add_json(r, holdings_at(h, i), &b);
		strbuf_addc(&b, '}');
		comma = ",";
	}
	strbuf_adds(&b, "]}");
	puts(strbuf_str(&b));
}

static bool
is_known(const struct holdings *h, const char *login)
{
	size_t i;

	for (i = 0; i < holdings_count(h); i++)
		if (is_of(holdings_at(h, i), login))
			return true;
	return holdings_n_events(h) > 0;
}

static int
do_login(const struct tool_args *args)
{
	static const char *const formats[] = { "table", "json", NULL };
	const struct opt_value *opt = args->opt;
	struct tool_log log _cleanup_(tool_log_clear) = TOOL_LOG_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct report r = { .at = now_real_s(), .local = opt[L_LOCAL].set };
	struct holdings *h;
	int format, status = TOOL_OK;

	term_init(&r.term, STDOUT_FILENO);
	if (tool_format(&opt[L_FORMAT], formats, &format, &err) < 0 ||
	    tool_log_open(&log, opt[L_LOG_DIR].text, NULL, 0, opt[L_KEY].text,
	    NULL, &err) < 0)
		return tool_fail(&err);
	h = holdings_new(args->arg[0]);
	if (walk_files(&log.files, log.verify, login_on_line, h, &err) < 0) {
		holdings_free(h);
		return tool_fail(&err);
	}
	verify_end(log.verify);
	if (format == 1) {
		print_json(h, &r, args->arg[0], log.verify);
	} else if (is_known(h, args->arg[0])) {
		print_text(h, &r, args->arg[0]);
	} else {
		tool_complain("the log says nothing about a login '%s'",
		    args->arg[0]);
		status = TOOL_FAILED;
	}
	tool_log_warn(&log);
	holdings_free(h);
	return status;
}

const struct tool_command cmd_login = {
	.name = "login", .synopsis = "[--format FORMAT] NAME",
	.summary = "What the approvals of a login led to",
	.help = "Who approved when; what was minted on it; to whom that was "
	    "released; what was\nrevoked.",
	.opts = login_opts, .n_opts = N_L, .min_args = 1, .max_args = 1,
	.fn = do_login,
};
