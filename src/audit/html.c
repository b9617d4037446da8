/* SPDX-License-Identifier: Apache-2.0 */
/*
 * html - see the header.
 */
#include "audit/html.h"

#include <inttypes.h>

#include "audit/print.h"
#include "base/timefmt.h"

void
html_text(struct strbuf *out, const char *text)
{
	struct strbuf clean _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *p;
	size_t n;

	if (!text)
		return;
	term_add_clean(&clean, text, true);
	for (p = strbuf_str(&clean); *p; p += n + (p[n] != '\0')) {
		n = strcspn(p, "&<>\"'");
		strbuf_add(out, p, n);
		if (p[n])
			strbuf_addf(out, "&#%d;", p[n]);
	}
}

void
html_time(struct strbuf *out, int64_t epoch_s, bool local)
{
	char iso[TIMEFMT_SIZE], text[PRINT_TIME_SIZE];

	if (epoch_s <= 0) {
		strbuf_addc(out, '-');
		return;
	}
	strbuf_addf(out, "<time datetime=\"%s\">%s</time>",
	    timefmt_rfc3339(epoch_s, iso, sizeof(iso)),
	    print_time(epoch_s, local, text));
}

void
html_cell(struct strbuf *out, const char *class, const char *text)
{
	if (class)
		strbuf_addf(out, "<td class=\"%s\">", class);
	else
		strbuf_adds(out, "<td>");
	html_text(out, text);
	strbuf_adds(out, "</td>");
}

void
html_cell_number(struct strbuf *out, uint64_t n)
{
	strbuf_addf(out, "<td class=\"n\">%" PRIu64 "</td>", n);
}

void
html_cell_time(struct strbuf *out, int64_t epoch_s, bool local)
{
	strbuf_adds(out, "<td class=\"t\">");
	html_time(out, epoch_s, local);
	strbuf_adds(out, "</td>");
}

void
html_table(struct strbuf *out, const char *const *columns)
{
	strbuf_adds(out, "<div class=\"scroll\"><table><thead><tr>");
	for (; *columns; columns++)
		strbuf_addf(out, "<th>%s</th>", *columns);
	strbuf_adds(out, "</tr></thead><tbody>\n");
}

void
html_table_end(struct strbuf *out)
{
	strbuf_adds(out, "</tbody></table></div>\n");
}

const char *
html_plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}
