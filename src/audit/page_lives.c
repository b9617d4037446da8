/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page_lives - the timelines of the report: each value from its mint to its
 * end with those it was given to, and each holder with what it was given. Bars
 * are plain elements placed in percent, so that they fit any screen and stay
 * text for whoever cannot see them.
 */
#include <inttypes.h>

#include "audit/html.h"
#include "audit/page.h"
#include "audit/print.h"

/* Of one token, one value, one holder; the newest. Tables of `who` and `show`
 * have the rest. */
#define LIVES_ROWS 60

/* What a holder was given. */
struct share {
	const struct held *g;
	const struct holder *one;
};

static double
percent(const struct page *p, int64_t at)
{
	double span = (double)MAX2(p->to - p->from, (int64_t)1);

	at = MAX2(at, p->from);
	at = MIN2(at, p->to);
	return 100.0 * (double)(at - p->from) / span;
}

/* begin 0: before the log. */
static void
add_bar(const struct page *p, const char *class, int64_t begin, int64_t end,
    struct strbuf *out)
{
	double left = percent(p, begin), right = percent(p, end);

	strbuf_addf(out, "<span class=\"track\"><i class=\"now\" "
	    "style=\"left:%.2f%%\"></i><i class=\"bar %s%s%s\" "
	    "style=\"left:%.2f%%;width:%.2f%%\"></i></span>",
	    percent(p, p->at), class, begin < p->from ? " before" : "",
	    end > p->to ? " after" : "", left, MAX2(right - left, 0.4));
}

static void
add_axis(const struct page *p, struct strbuf *out)
{
	char text[PRINT_TIME_SIZE];
	int64_t at;
	size_t i;

	strbuf_adds(out, "<div class=\"row axis\" aria-hidden=\"true\"><span>"
	    "</span><span class=\"track\">");
	for (i = 0; i < 4; i++) {
		at = p->from + (p->to - p->from) * (int64_t)i / 4;
		print_time(at, p->local, text);
		/* days, or minutes of one */
		if (p->to - p->from > 3 * 86400)
			text[10] = '\0';
		else
			text[16] = '\0';
		strbuf_addf(out, "<i style=\"left:%zu%%\">%s</i>", 25 * i,
		    p->to - p->from > 3 * 86400 ? text : text + 5);
	}
	strbuf_adds(out, "</span><span></span></div>\n");
}

/* "live, until 2026-..." */
static void
add_state(const struct page *p, const struct held *g, struct strbuf *out)
{
	enum held_state state = held_state(g, p->at);

	strbuf_adds(out, held_state_name(state));
	if (state == HELD_FORGOTTEN)
		strbuf_adds(out, " (its service cannot revoke)");
	strbuf_adds(out, held_is_alive(state) ? ", until " : " ");
	if (held_end(g) == INT64_MAX)
		strbuf_adds(out, "an unknown time");
	else
		html_time(out, held_end(g), p->local);
}

/* "telegraf.service (uid 997)", escaped. */
static void
page_add_principal(const struct holder *one, struct strbuf *out)
{
	if (one->container)
		strbuf_adds(out, "container ");
	else if (one->unit)
		html_text(out, one->unit);
	strbuf_addf(out, one->container ? "(uid %" PRIu32 ")" : one->unit ?
	    " <small>(uid %" PRIu32 ")</small>" : "uid %" PRIu32, one->uid);
}

static void
add_times(const struct page *p, const struct holder *one, struct strbuf *out)
{
	strbuf_addf(out, "%" PRIu64 " time%s, ", one->releases,
	    html_plural(one->releases));
	if (one->unconfirmed)
		strbuf_addf(out, "%" PRIu64 " not confirmed, ",
		    one->unconfirmed);
	strbuf_adds(out, "last ");
	html_time(out, one->last, p->local);
	if (one->delivery) {
		strbuf_adds(out, ", into ");
		html_text(out, one->delivery);
	}
}

/* --------------------------------------------------------------- by token */

static void
add_generation(const struct page *p, const struct held *g,
    struct strbuf *out)
{
	const struct holder *one;
	size_t i, n = 0, more = 0;

	strbuf_addf(out, "<div class=\"row gen\"><span class=\"label\"><b>#%"
	    PRIu64 "</b> <small>", g->generation);
	html_text(out, g->token_id ? g->token_id : "");
	strbuf_adds(out, "</small></span>");
	add_bar(p, held_state_name(held_state(g, p->at)), g->minted,
	    held_end(g), out);
	strbuf_adds(out, "<span class=\"what\">");
	add_state(p, g, out);
	strbuf_adds(out, "</span></div>\n");
	for (i = 0; i < g->n_holders; i++) {
		one = g->holder[i];
		if (one->releases == 0 || one->first > p->at)
			continue;
		if (n++ >= LIVES_ROWS) {
			more++;
			continue;
		}
		strbuf_adds(out, "<div class=\"row\"><span class=\"label "
		    "holder\">");
		page_add_principal(one, out);
		strbuf_adds(out, "</span>");
		add_bar(p, "held", one->first, held_end(g), out);
		strbuf_adds(out, "<span class=\"what\">");
		add_times(p, one, out);
		strbuf_adds(out, "</span></div>\n");
	}
	if (n == 0)
		strbuf_adds(out, "<div class=\"row\"><span class=\"label "
		    "holder\">released to nobody</span><span></span><span>"
		    "</span></div>\n");
	if (more)
		strbuf_addf(out, "<p class=\"soft\">And %zu more holder%s."
		    "</p>\n", more, html_plural(more));
}

static int
by_token(const void *a, const void *b)
{
	const struct held *x = *(const struct held *const *)a;
	const struct held *y = *(const struct held *const *)b;
	int r = strcmp(x->token ? x->token : "", y->token ? y->token : "");

	if (r != 0)
		return r;
	return x->generation == y->generation ? 0 :
	    x->generation < y->generation ? -1 : 1;
}

/* All of one token, from the first on; returns how many that are. */
static size_t
add_token(const struct page *p, struct held *const *g, size_t n,
    struct strbuf *out)
{
	size_t count, i;

	for (count = 1; count < n && streq(g[count]->token, g[0]->token);
	    count++)
		;
	strbuf_adds(out, "<article><h3>");
	html_text(out, g[0]->token);
	strbuf_adds(out, "</h3><p class=\"soft\">");
	if (g[count - 1]->backend) {
		strbuf_adds(out, "service ");
		html_text(out, g[count - 1]->backend);
	}
	if (g[count - 1]->login) {
		strbuf_adds(out, ", on login ");
		html_text(out, g[count - 1]->login);
	}
	if (g[count - 1]->human) {
		strbuf_adds(out, " of ");
		html_text(out, g[count - 1]->human);
	}
	strbuf_adds(out, "</p>\n");
	add_axis(p, out);
	i = count > LIVES_ROWS ? count - LIVES_ROWS : 0;
	if (i)
		strbuf_addf(out, "<p class=\"soft\">%zu older value%s not "
		    "shown.</p>\n", i, i == 1 ? " is" : "s are");
	for (; i < count; i++)
		add_generation(p, g[i], out);
	strbuf_adds(out, "</article>\n");
	return count;
}

void
page_add_tokens(const struct page *p, struct strbuf *out)
{
	size_t i, n = 0, total = holdings_count(p->holdings);
	_cleanup_free_ struct held **g = xcalloc(total + 1, sizeof(*g));

	for (i = 0; i < total; i++)
		if (page_shows(p, holdings_at(p->holdings, i)))
			g[n++] = holdings_at(p->holdings, i);
	qsort(g, n, sizeof(*g), by_token);
	strbuf_adds(out, "<section id=\"tokens\"><h2>Tokens: who held what, "
	    "when</h2>\n");
	if (n == 0)
		strbuf_adds(out, "<p>No value was alive in this time.</p>\n");
	for (i = 0; i < n;)
		i += add_token(p, g + i, n - i, out);
	strbuf_adds(out, "</section>\n");
}

/* -------------------------------------------------------------- by holder */

static int
by_principal(const struct holder *x, const struct holder *y)
{
	int r;

	if (x->container != y->container)
		return x->container ? 1 : -1;
	r = strcmp(x->unit ? x->unit : "", y->unit ? y->unit : "");
	if (r != 0 || x->uid == y->uid)
		return r;
	return x->uid < y->uid ? -1 : 1;
}

static int
by_holder(const void *a, const void *b)
{
	const struct share *x = a, *y = b;
	int r = by_principal(x->one, y->one);

	return r ? r : by_token(&x->g, &y->g);
}

static size_t
add_holder(const struct page *p, const struct share *share, size_t n,
    struct strbuf *out)
{
	size_t count, i;

	for (count = 1; count < n &&
	    by_principal(share[count].one, share[0].one) == 0; count++)
		;
	strbuf_adds(out, "<article><h3>");
	page_add_principal(share[0].one, out);
	strbuf_adds(out, "</h3>\n");
	add_axis(p, out);
	i = count > LIVES_ROWS ? count - LIVES_ROWS : 0;
	if (i)
		strbuf_addf(out, "<p class=\"soft\">%zu more value%s not "
		    "shown.</p>\n", i, i == 1 ? " is" : "s are");
	for (; i < count; i++) {
		strbuf_adds(out, "<div class=\"row\"><span class=\"label\">");
		html_text(out, share[i].g->token);
		strbuf_addf(out, " <b>#%" PRIu64 "</b></span>",
		    share[i].g->generation);
		add_bar(p, held_state_name(held_state(share[i].g, p->at)),
		    share[i].one->first, held_end(share[i].g), out);
		strbuf_adds(out, "<span class=\"what\">");
		add_times(p, share[i].one, out);
		strbuf_adds(out, "; ");
		add_state(p, share[i].g, out);
		strbuf_adds(out, "</span></div>\n");
	}
	strbuf_adds(out, "</article>\n");
	return count;
}

void
page_add_holders(const struct page *p, struct strbuf *out)
{
	_cleanup_free_ struct share *share = NULL;
	const struct held *g;
	size_t i, k, n = 0;

	for (i = 0; i < holdings_count(p->holdings); i++) {
		g = holdings_at(p->holdings, i);
		if (!page_shows(p, g))
			continue;
		share = xreallocarray(share, n + g->n_holders + 1,
		    sizeof(*share));
		for (k = 0; k < g->n_holders; k++)
			if (g->holder[k]->releases > 0 &&
			    g->holder[k]->first <= p->at)
				share[n++] = (struct share){ g, g->holder[k] };
	}
	strbuf_adds(out, "<section id=\"holders\"><h2>Holders: what each was "
	    "given</h2>\n");
	if (n == 0)
		strbuf_adds(out, "<p>Nothing was given to anybody.</p>\n");
	else
		qsort(share, n, sizeof(*share), by_holder);
	for (i = 0; i < n;)
		i += add_holder(p, share + i, n - i, out);
	strbuf_adds(out, "</section>\n");
}
