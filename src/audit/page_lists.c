/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page_lists - the parts of the report that are lists: logins with what they
 * led to, refusals, trouble, acts.
 */
#include <inttypes.h>

#include "audit/html.h"
#include "audit/page.h"

/* ----------------------------------------------------------------- logins */

static void
add_led_to(const struct page *p, const char *login, long approval,
    struct strbuf *out)
{
	struct held *g;
	const char *comma = "";
	size_t i, k, n = 0;
	enum held_state state;

	for (i = 0; i < holdings_count(p->holdings); i++) {
		g = holdings_at(p->holdings, i);
		if (!streq(g->login, login) || !page_shows(p, g) ||
		    holdings_approval(p->holdings, g) != approval)
			continue;
		for (k = 0, n = 0; k < g->n_holders; k++)
			n += g->holder[k]->releases > 0;
		state = held_state(g, p->at);
		strbuf_addf(out, "%s<span class=\"gen %s\">", comma,
		    held_state_name(state));
		html_text(out, g->token);
		strbuf_addf(out, " #%" PRIu64 "</span> (%s, %zu holder%s)",
		    g->generation, held_state_name(state), n,
		    html_plural(n));
		comma = "; ";
	}
	strbuf_adds(out, *comma ? "" : "-");
}

static void
add_login_row(const struct page *p, size_t i, struct strbuf *out)
{
	const struct login_event *e = holdings_event(p->holdings, i);

	strbuf_adds(out, "<tr>");
	html_cell_time(out, e->time, p->local);
	html_cell(out, NULL, e->login);
	html_cell(out, "e", e->event);
	strbuf_adds(out, "<td>");
	html_text(out, e->human);
	strbuf_adds(out, e->human && e->reason ? "<br>" : "");
	html_text(out, e->reason);
	strbuf_adds(out, "</td><td>");
	if (strcmp(e->event, "login_granted") == 0)
		add_led_to(p, e->login, (long)i, out);
	strbuf_adds(out, "</td></tr>\n");
}

/* What was minted on an approval that the log does not reach back to. */
static void
add_before(const struct page *p, struct strbuf *out)
{
	_cleanup_free_ const char **told = xcalloc(
	    holdings_count(p->holdings) + 1, sizeof(*told));
	struct held *g;
	size_t i, k, n = 0;

	for (i = 0; i < holdings_count(p->holdings); i++) {
		g = holdings_at(p->holdings, i);
		if (!g->login || !page_shows(p, g) ||
		    holdings_approval(p->holdings, g) >= 0)
			continue;
		for (k = 0; k < n && !streq(told[k], g->login); k++)
			;
		if (k < n)
			continue;
		told[n++] = g->login;
		strbuf_adds(out, "<tr><td class=\"t\">before this log</td>");
		html_cell(out, NULL, g->login);
		strbuf_adds(out, "<td>login_granted</td><td></td><td>");
		add_led_to(p, g->login, -1, out);
		strbuf_adds(out, "</td></tr>\n");
	}
}

void
page_add_logins(const struct page *p, struct strbuf *out)
{
	static const char *const columns[] = { "When", "Login", "What", "Who",
		"What it led to", NULL };
	const struct login_event *e;
	struct strbuf rows _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;

	add_before(p, &rows);
	for (i = 0; i < holdings_n_events(p->holdings); i++) {
		e = holdings_event(p->holdings, i);
		if (e->time >= p->from && e->time <= p->at)
			add_login_row(p, i, &rows);
	}
	strbuf_adds(out, "<section id=\"logins\"><h2>Logins, and what they "
	    "led to</h2>\n");
	if (rows.len) {
		html_table(out, columns);
		strbuf_add(out, rows.s, rows.len);
		html_table_end(out);
	} else {
		strbuf_adds(out, "<p>None in this time.</p>\n");
	}
	strbuf_adds(out, "</section>\n");
}

/* ------------------------------------------------------- rows of a ledger */

static const struct list {
	const char *id, *heading, *empty;
} lists[] = {
	[LEDGER_DENIED] = { "denied", "Refusals", "Nobody was refused." },
	[LEDGER_TROUBLE] = { "trouble", "Needs a look", "Nothing." },
	[LEDGER_ACT] = { "acts", "What operators and the daemon did",
	    "Nothing." },
};

static void
add_row(const struct page *p, const struct ledger_row *row,
    struct strbuf *out)
{
	strbuf_adds(out, row->bad ? "<tr class=\"bad\">" : "<tr>");
	html_cell_time(out, row->first, p->local);
	if (row->count > 1)
		html_cell_time(out, row->last, p->local);
	else
		strbuf_adds(out, "<td></td>");
	html_cell_number(out, row->count);
	html_cell(out, "e", row->event);
	html_cell(out, NULL, row->who);
	html_cell(out, NULL, row->subject);
	strbuf_adds(out, "<td>");
	html_text(out, row->reason);
	strbuf_adds(out, *row->reason && *row->rule ? "<br>" : "");
	html_text(out, row->rule);
	strbuf_adds(out, "</td></tr>\n");
}

void
page_add_ledger(const struct page *p, enum ledger_kind kind,
    struct strbuf *out)
{
	static const char *const columns[] = { "First", "Last", "Times",
		"What", "Who", "About", "Why", NULL };
	const struct list *list = &lists[kind];
	size_t i, n = ledger_count(p->ledger, kind);
	uint64_t more = ledger_not_kept(p->ledger, kind);

	strbuf_addf(out, "<section id=\"%s\"><h2>%s</h2>\n", list->id,
	    list->heading);
	if (n == 0) {
		strbuf_addf(out, "<p>%s</p></section>\n", list->empty);
		return;
	}
	html_table(out, columns);
	for (i = 0; i < n; i++)
		add_row(p, ledger_at(p->ledger, kind, i), out);
	html_table_end(out);
	if (more)
		strbuf_addf(out, "<p>And %" PRIu64 " more, which are not "
		    "shown: 'tokenbrokerctl audit show' has them.</p>\n",
		    more);
	strbuf_adds(out, "</section>\n");
}
