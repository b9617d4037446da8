/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page - the frame of the report: what the log is worth, the numbers, what
 * needs a look, and the order of the rest. The verdict on the log comes first,
 * because everything below is worth no more than that.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "audit/page.h"

#include <inttypes.h>

#include "audit/html.h"
#include "audit/opinion.h"
#include "audit/page_style.h"
#include "audit/tool.h"

bool
page_shows(const struct page *p, const struct held *g)
{
	return held_end(g) >= p->from && (g->minted == 0 ||
	    g->minted <= p->at);
}

/* ---------------------------------------------------------------- heading */

static void
add_head(const struct page *p, struct strbuf *out)
{
	strbuf_adds(out, "<!doctype html>\n<html lang=\"en\"><head>"
	    "<meta charset=\"utf-8\">\n"
	    "<meta http-equiv=\"Content-Security-Policy\" "
	    "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width, "
	    "initial-scale=1\">\n<meta name=\"color-scheme\" "
	    "content=\"light dark\">\n<title>tokenbroker audit report, ");
	html_text(out, p->host);
	strbuf_addf(out, "</title>\n<style>%s</style></head>\n<body><main>\n"
	    "<header><p class=\"brand\">tokenbroker</p><h1>Audit report</h1>"
	    "\n<p>", page_style);
	html_text(out, p->host);
	strbuf_adds(out, ", from ");
	html_time(out, p->from, p->local);
	strbuf_adds(out, " to ");
	html_time(out, p->at, p->local);
	strbuf_adds(out, "; made ");
	html_time(out, p->made, p->local);
	strbuf_adds(out, "</p></header>\n");
}

static void
add_findings(const struct findings *f, struct strbuf *out)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;

	if (findings_count(f) == 0)
		return;
	strbuf_adds(out, "<ol class=\"findings\">\n");
	for (i = 0; i < f->n; i++) {
		if (f->list[i].gone)
			continue;
		strbuf_reset(&b);
		finding_add_text(&f->list[i], &b);
		strbuf_adds(out, "<li>");
		html_text(out, strbuf_str(&b));
		strbuf_adds(out, "</li>\n");
	}
	strbuf_adds(out, "</ol>\n");
	if (f->more)
		strbuf_addf(out, "<p>And %" PRIu64 " more place%s.</p>\n",
		    f->more, html_plural(f->more));
}

static void
add_verdict(const struct page *p, struct strbuf *out)
{
	static const char *const heads[] = {
		[VERIFY_GOOD] = "The log is as it was written",
		[VERIFY_BROKEN] = "The log was changed",
		[VERIFY_USAGE] = "",
		[VERIFY_UNKNOWN] = ("Whether the log is complete cannot be "
		    "told") };
	enum verify_status status = verify_status(p->log->verify);
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *line;

	strbuf_addf(out, "<section class=\"verdict %s\" id=\"chain\"><h2>%s"
	    "</h2>\n<p>", opinion_name(status), heads[status]);
	opinion_add_summary(p->log, &text);
	html_text(out, strbuf_str(&text));
	strbuf_adds(out, "</p>\n");
	add_findings(verify_findings(p->log->verify), out);
	strbuf_reset(&text);
	opinion_add_notes(p->log, &text);
	strbuf_adds(out, text.len ? "<ul>\n" : "");
	for (line = strbuf_str(&text); *line;
	    line += strcspn(line, "\n") + 1) {
		_cleanup_free_ char *one = xstrndup(line,
		    strcspn(line, "\n"));

		strbuf_adds(out, "<li>");
		html_text(out, one);
		strbuf_adds(out, "</li>\n");
	}
	strbuf_adds(out, text.len ? "</ul></section>\n" : "</section>\n");
}

/* ------------------------------------------------------------- in numbers */

static void
add_tile(struct strbuf *out, const char *id, uint64_t n, const char *one,
    const char *many, bool bad)
{
	strbuf_addf(out, "<li%s><a href=\"#%s\"><b>%" PRIu64 "</b> %s</a>"
	    "</li>\n", bad && n ? " class=\"bad\"" : "", id, n,
	    n == 1 ? one : many);
}

static uint64_t
count_bad(const struct page *p)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < ledger_count(p->ledger, LEDGER_TROUBLE); i++)
		n += ledger_at(p->ledger, LEDGER_TROUBLE, i)->bad;
	return n;
}

static void
add_tiles(const struct page *p, struct strbuf *out)
{
	uint64_t live = 0, shown = 0, releases = 0, approvals = 0;
	const struct login_event *e;
	const struct held *g;
	size_t i, k;

	for (i = 0; i < holdings_count(p->holdings); i++) {
		g = holdings_at(p->holdings, i);
		if (!page_shows(p, g))
			continue;
		shown++;
		live += held_is_alive(held_state(g, p->at));
		for (k = 0; k < g->n_holders; k++)
			releases += g->holder[k]->releases;
	}
	for (i = 0; i < holdings_n_events(p->holdings); i++) {
		e = holdings_event(p->holdings, i);
		approvals += e->time >= p->from && e->time <= p->at &&
		    strcmp(e->event, "login_granted") == 0;
	}
	strbuf_adds(out, "<ul class=\"tiles\">\n");
	add_tile(out, "tokens", live, "value alive", "values alive", false);
	add_tile(out, "tokens", shown, "value in this time",
	    "values in this time", false);
	add_tile(out, "holders", releases, "release", "releases", false);
	add_tile(out, "logins", approvals, "approval by a human",
	    "approvals by humans", false);
	add_tile(out, "denied", ledger_sum(p->ledger, LEDGER_DENIED),
	    "refusal", "refusals", false);
	add_tile(out, "trouble", count_bad(p), "thing that needs a look",
	    "things that need a look", true);
	strbuf_adds(out, "</ul>\n");
}

static void
add_foot(const struct page *p, struct strbuf *out)
{
	strbuf_adds(out, "<section id=\"again\"><h2>Check it again</h2>\n"
	    "<p>This page is a copy of what the log says; it proves nothing "
	    "by itself. What does:</p>\n<pre>tokenbrokerctl audit verify "
	    "--log-dir DIR --key audit.pub --anchor CHECKPOINTS\n"
	    "tokenbrokerctl audit who --all --log-dir DIR\n"
	    "tokenbrokerctl audit show --request-id ID --log-dir DIR</pre>\n"
	    "<p>with checkpoints that were kept on another host "
	    "(tokenbroker-audit(5)). A bar ends where a value was of no use "
	    "any more: revoked at its service, or expired. A holder's bar "
	    "begins with the first release to it, since nobody can take back "
	    "what was given; releases whose outcome is not on record count "
	    "as given.</p></section>\n<footer>made by tokenbrokerctl audit "
	    "report " PACKAGE_VERSION);
	strbuf_adds(out, p->local ? ", times of this host's zone" :
	    ", times in UTC");
	strbuf_adds(out, "</footer>\n</main></body></html>\n");
}

void
page_add(const struct page *p, struct strbuf *out)
{
	add_head(p, out);
	add_verdict(p, out);
	add_tiles(p, out);
	page_add_ledger(p, LEDGER_TROUBLE, out);
	page_add_tokens(p, out);
	page_add_holders(p, out);
	page_add_logins(p, out);
	page_add_ledger(p, LEDGER_DENIED, out);
	page_add_ledger(p, LEDGER_ACT, out);
	add_foot(p, out);
}
