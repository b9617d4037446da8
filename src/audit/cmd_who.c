/* SPDX-License-Identifier: Apache-2.0 */
/*
 * who - which generations are alive (or were, at a time), and who was given
 * them. What `tokenbrokerctl revoke --unit` and the like act upon.
 */
#include <fnmatch.h>
#include <inttypes.h>

#include "audit/report.h"
#include "audit/tool.h"
#include "base/now.h"
#include "base/tb_error.h"

enum { W_UNIT, W_USER, W_UID, W_TOKEN, W_LOGIN, W_SINCE, W_AT, W_ALL, W_FORMAT,
	W_LOG_DIR, W_KEY, W_LOCAL, N_W };
static const struct opt_spec who_opts[N_W] = {
	{ "unit", 0, OPT_TEXT, "PATTERN", "what this systemd unit holds" },
	{ "user", 0, OPT_TEXT, "USER", "what this user holds" },
	{ "uid", 0, OPT_NUMBER, "UID", "the same by number" },
	{ "token", 0, OPT_LIST, "PATTERN", "of these tokens" },
	{ "login", 0, OPT_TEXT, "NAME", "what was minted on this login" },
	{ "since", 0, OPT_TEXT, "TIME", "released after this" },
	{ "at", 0, OPT_TEXT, "TIME", "as it was then (default: now)" },
	{ "all", 0, OPT_FLAG, NULL, "also what is expired or revoked" },
	{ "format", 0, OPT_TEXT, "table|json", "table (default) or json" },
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
	{ "local", 0, OPT_FLAG, NULL, "times in this host's zone, not in "
	    "UTC" },
};

struct who {
	struct holdings *holdings;
	struct filter until; /* of --at */
	struct filter filter;
	const struct opt_result *tokens;
	bool all, principal; /* a holder is asked for */
};

static void
who_on_line(void *arg, const char *line, size_t len, const struct scan *scan)
{
	struct who *w = arg;

	if (filter_matches(&w->until, scan))
		holdings_take(w->holdings, scan);
}

static bool
is_asked_token(const struct who *w, const struct held *g)
{
	size_t i;

	for (i = 0; i < w->tokens->n_list; i++)
		if (fnmatch(w->tokens->list[i], g->token, 0) == 0)
			return true;
	return w->tokens->n_list == 0;
}

static bool
is_asked(const struct who *w, struct held *g, int64_t at)
{
	bool matched = held_match(g, &w->filter);

	return (w->all || held_is_alive(held_state(g, at))) &&
	    is_asked_token(w, g) && (!w->filter.login ||
	    streq(w->filter.login, g->login)) && (matched || !w->principal);
}

static void
print_json(const struct who *w, const struct report *r,
    const struct verify *v)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *comma = "";
	size_t i;

	strbuf_addc(&b, '{');
	report_add_log(v, &b);
	report_add_time(&b, "at", r->at);
	strbuf_adds(&b, ",\"generations\":[");
	for (i = 0; i < holdings_count(w->holdings); i++) {
		if (!is_asked(w, holdings_at(w->holdings, i), r->at))
			continue;
		strbuf_addf(&b, "%s{", comma);
		report_add_json(r, holdings_at(w->holdings, i), &b);
		strbuf_addc(&b, '}');
		comma = ",";
	}
	strbuf_adds(&b, "]}");
	puts(strbuf_str(&b));
}

static void
print_text(const struct who *w, const struct report *r)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;

	for (i = 0; i < holdings_count(w->holdings); i++) {
		if (!is_asked(w, holdings_at(w->holdings, i), r->at))
			continue;
		if (b.len)
			strbuf_addc(&b, '\n');
		report_add_text(r, holdings_at(w->holdings, i), 0, &b);
	}
	if (b.len == 0)
		strbuf_adds(&b, w->all ? "Nothing in the log.\n" :
		    "Nothing that is alive.\n");
	fputs(strbuf_str(&b), stdout);
}

static int
read_options(struct who *w, struct report *r, const struct opt_value *opt,
    int *format, struct tb_error *err)
{
	static const char *const formats[] = { "table", "json", NULL };
	int64_t now = now_real_s();

	w->filter.unit = opt[W_UNIT].text;
	w->filter.login = opt[W_LOGIN].text;
	r->at = now;
	if (opt[W_USER].set && opt[W_UID].set)
		return tb_error_set(err, TB_E_BADREQ, "--user and --uid "
		    "exclude each other");
	if (opt[W_UID].set)
		w->filter.uid = opt[W_UID].number;
	if (opt[W_USER].set && filter_parse_user(opt[W_USER].text,
	    &w->filter.uid, err) < 0)
		return -1;
	if (opt[W_SINCE].set && filter_parse_time("since", opt[W_SINCE].text,
	    now, &w->filter.since, err) < 0)
		return -1;
	if (opt[W_AT].set && filter_parse_time("at", opt[W_AT].text, now,
	    &r->at, err) < 0)
		return -1;
	if (opt[W_AT].set)
		w->until.until = r->at;
	w->all = opt[W_ALL].set;
	w->principal = w->filter.unit || w->filter.uid >= 0 ||
	    w->filter.since;
	r->matched_only = w->principal;
	r->local = opt[W_LOCAL].set;
	return tool_format(&opt[W_FORMAT], formats, format, err);
}

static int
do_who(const struct tool_args *args)
{
	const struct opt_value *opt = args->opt;
	struct tool_log log _cleanup_(tool_log_clear) = TOOL_LOG_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct who w = { .filter = FILTER_INIT, .until = FILTER_INIT,
		.tokens = args->all };
	struct report r = { .at = 0 };
	int format, failed;

	term_init(&r.term, STDOUT_FILENO);
	if (read_options(&w, &r, opt, &format, &err) < 0 ||
	    tool_log_open(&log, opt[W_LOG_DIR].text, NULL, 0, opt[W_KEY].text,
	    NULL, &err) < 0)
		return tool_fail(&err);
	w.holdings = holdings_new(NULL);
	failed = walk_files(&log.files, log.verify, who_on_line, &w, &err);
	if (!failed) {
		verify_end(log.verify);
		if (format == 1)
			print_json(&w, &r, log.verify);
		else
			print_text(&w, &r);
		tool_log_warn(&log);
	}
	holdings_free(w.holdings);
	return failed ? tool_fail(&err) : TOOL_OK;
}

const struct tool_command cmd_who = {
	.name = "who", .synopsis = "[--token PATTERN]... [--unit PATTERN] "
	    "[--user USER] [--at TIME]",
	.summary = "Who holds what: generations and whom they were released "
	    "to",
	.help = "All holders of a generation are shown; those that were "
	    "asked for have a *.\nA release without a recorded outcome (a "
	    "crash) counts, as not confirmed.",
	.opts = who_opts, .n_opts = N_W, .fn = do_who,
};
