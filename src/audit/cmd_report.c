/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report - the whole log as one page for a person: see page.h. The file
 * appears whole or not at all, and only its owner can read it: it has no
 * secret in it, but says who may do what here.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/page.h"
#include "audit/tool.h"
#include "base/fs.h"
#include "base/now.h"
#include "base/tb_error.h"

enum { R_HTML, R_SINCE, R_UNTIL, R_HOST, R_LOG_DIR, R_KEY, R_ANCHOR, R_LOCAL,
	N_R };
static const struct opt_spec report_opts[N_R] = {
	{ "html", 0, OPT_TEXT, "FILE", "where the page goes; - is standard "
	    "output" },
	{ "since", 0, OPT_TEXT, "TIME", "what was over before is left out" },
	{ "until", 0, OPT_TEXT, "TIME", "as it was then (default: now)" },
	{ "host", 0, OPT_TEXT, "NAME", "whose log it is (default: this "
	    "host's name)" },
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
	{ "anchor", 0, OPT_LIST, "FILE", "checkpoint lines that were kept "
	    "elsewhere, or -" },
	{ "local", 0, OPT_FLAG, NULL, "times in this host's zone, not in "
	    "UTC" },
};

struct gather {
	struct holdings *holdings;
	struct ledger *ledger;
	struct filter until;
};

static void
report_on_line(void *arg, const char *line, size_t len,
    const struct scan *scan)
{
	struct gather *g = arg;

	if (!filter_matches(&g->until, scan))
		return;
	holdings_take(g->holdings, scan);
	ledger_take(g->ledger, scan);
}

/* What the timelines show: to the end of what is alive, but no more than a
 * third beyond the report's own end, so that the past stays readable. */
static void
set_span(struct page *p, int64_t since)
{
	int64_t end, first = ledger_first_time(p->ledger);
	const struct held *g;
	size_t i;

	p->from = since ? since : first ? first : p->at;
	p->to = p->at;
	for (i = 0; i < holdings_count(p->holdings); i++) {
		g = holdings_at(p->holdings, i);
		end = held_end(g);
		if (held_is_alive(held_state(g, p->at)) && end > p->to)
			p->to = end;
	}
	end = p->at + (p->at - p->from) / 3 + 60;
	p->to = MIN2(p->to, end);
}

static int
write_page(const char *path, const struct strbuf *page, struct tb_error *err)
{
	_cleanup_free_ char *dir = xstrdup(path), *name = xstrdup(path);
	int fd _cleanup_(closep) = -1;

	if (streq(path, "-")) {
		fwrite(page->s, 1, page->len, stdout);
		return 0; /* a full disk is found at the end of main */
	}
	fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tb_error_set(err, TB_E_IO, "%s: %s", path,
		    strerror(errno));
	return fs_write_atomic(fd, basename(name), 0600, page->s, page->len,
	    err);
}

static int
read_options(const struct opt_value *opt, struct gather *g, struct page *p,
    int64_t *since, struct tb_error *err)
{
	p->made = p->at = now_real_s();
	p->local = opt[R_LOCAL].set;
	if (!opt[R_HTML].set)
		return tb_error_set(err, TB_E_BADREQ, "--html FILE says where "
		    "the page goes");
	if (opt[R_SINCE].set && filter_parse_time("since", opt[R_SINCE].text,
	    p->made, since, err) < 0)
		return -1;
	if (opt[R_UNTIL].set && filter_parse_time("until", opt[R_UNTIL].text,
	    p->made, &p->at, err) < 0)
		return -1;
	if (opt[R_UNTIL].set)
		g->until.until = p->at;
	if (*since > p->at)
		return tb_error_set(err, TB_E_BADREQ, "--since is later than "
		    "--until, or in the future");
	return 0;
}

static int
report_log(struct tool_log *log, const struct opt_value *opt,
    struct gather *g, struct page *p, int64_t since, struct tb_error *err)
{
	struct strbuf page _cleanup_(strbuf_clear) = STRBUF_INIT;
	char host[256] = "";

	if (walk_files(&log->files, log->verify, report_on_line, g, err) < 0)
		return -1;
	verify_end(log->verify);
	if (gethostname(host, sizeof(host) - 1) < 0)
		strcpy(host, "?");
	p->holdings = g->holdings;
	p->ledger = g->ledger;
	p->log = log;
	p->host = opt[R_HOST].set ? opt[R_HOST].text : host;
	set_span(p, since);
	page_add(p, &page);
	return write_page(opt[R_HTML].text, &page, err);
}

static int
do_report(const struct tool_args *args)
{
	const struct opt_value *opt = args->opt;
	struct tool_log log _cleanup_(tool_log_clear) = TOOL_LOG_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct gather g = { .until = FILTER_INIT };
	struct anchors *anchors = NULL;
	struct page p = { .at = 0 };
	int64_t since = 0;
	int failed;

	if (read_options(opt, &g, &p, &since, &err) < 0)
		return tool_fail(&err);
	if (opt[R_ANCHOR].set && !(anchors = tool_anchors(args->all, &err)))
		return tool_fail(&err);
	if (tool_log_open(&log, opt[R_LOG_DIR].text, NULL, 0, opt[R_KEY].text,
	    anchors, &err) < 0)
		return tool_fail(&err);
	g.holdings = holdings_new_every_login();
	g.ledger = ledger_new(since);
	failed = report_log(&log, opt, &g, &p, since, &err);
	holdings_free(g.holdings);
	ledger_free(g.ledger);
	if (failed)
		return tool_fail(&err);
	return tool_log_warn(&log) ? TOOL_FAILED : TOOL_OK;
}

const struct tool_command cmd_report = {
	.name = "report", .synopsis = "--html FILE [--since TIME] "
	    "[--until TIME] [--anchor FILE]...",
	.summary = "One page that shows who held what, when",
	.help = "The log's own state first, then values and holders on a "
	    "timeline, logins and\nwhat they led to, refusals, and what needs "
	    "a look. The page has no script and\nfetches nothing. Exit "
	    "status: 1 when the log is broken; the page says where.",
	.opts = report_opts, .n_opts = N_R, .fn = do_report,
};
