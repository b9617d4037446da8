/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print - see the header. Rows are printed as they come, so that a log of any
 * size can be shown: the columns have fixed widths, and what is too long for
 * one pushes the rest.
 */
#include "audit/print.h"

#include <inttypes.h>
#include <time.h>

#include "audit/filter.h"
#include "audit/scan.h"
#include "base/strbuf.h"

#define TIME_WIDTH 20
#define EVENT_WIDTH 14
#define WHO_WIDTH 20

void
print_init(struct print *p, enum print_format format, bool local)
{
	*p = (struct print){ .format = format, .local = local };
	term_init(&p->term, STDOUT_FILENO);
}

const char *
print_time(int64_t epoch_s, bool local, char *buf)
{
	time_t t = (time_t)epoch_s;
	struct tm tm;

	if (epoch_s <= 0 || !(local ? localtime_r(&t, &tm) :
	    gmtime_r(&t, &tm)))
		return "-";
	strftime(buf, PRINT_TIME_SIZE, local ? "%Y-%m-%d %H:%M:%S" :
	    "%Y-%m-%d %H:%M:%SZ", &tm);
	return buf;
}

/* text, cleaned, and spaces up to the width; a gap in any case. */
static void
add_cell(struct strbuf *b, const struct print *p, const char *text,
    size_t width)
{
	struct strbuf cell _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t used;

	term_add_clean(&cell, text && *text ? text : "-", p->term.utf8);
	strbuf_adds(b, strbuf_str(&cell));
	used = term_width(strbuf_str(&cell));
	do {
		strbuf_addc(b, ' ');
	} while (used++ < width);
}

/* On a terminal no wider than that. */
static void
put_row(const struct print *p, const struct strbuf *row)
{
	const char *s = strbuf_str(row), *end = s;
	size_t n = 0;

	if (!p->term.is_terminal) {
		puts(s);
		return;
	}
	for (; *end; end++)
		if (((unsigned char)*end & 0xc0) != 0x80 &&
		    n++ == p->term.columns)
			break;
	printf("%.*s\n", (int)(end - s), s);
}

/* ------------------------------------------------------------------ table */

static void
add_who(struct strbuf *b, const struct scan *s)
{
	const struct scan_member *unit = scan_string(s, SCAN_UNIT);

	if (unit)
		scan_add_text(unit, b);
	else if (scan_has(s, SCAN_CONTAINER))
		strbuf_addf(b, "container uid %" PRIu64,
		    scan_number(s, SCAN_UID));
	else if (scan_has(s, SCAN_UID))
		strbuf_addf(b, "uid %" PRIu64, scan_number(s, SCAN_UID));
}

static void
add_member(struct strbuf *b, const char *before, const struct scan *s,
    enum scan_name name)
{
	const struct scan_member *m = scan_string(s, name);

	if (!m)
		return;
	strbuf_adds(b, b->len ? ", " : "");
	strbuf_adds(b, before);
	scan_add_text(m, b);
}

/* What it is about: token and generation or login, then what is special. */
static void
add_what(struct strbuf *b, const struct scan *s)
{
	add_member(b, "", s, SCAN_TOKEN);
	if (scan_number(s, SCAN_GENERATION))
		strbuf_addf(b, " #%" PRIu64,
		    scan_number(s, SCAN_GENERATION));
	if (!scan_has(s, SCAN_TOKEN))
		add_member(b, "login ", s, SCAN_LOGIN);
	if (scan_number(s, SCAN_COUNT))
		strbuf_addf(b, "%s%" PRIu64 " times", b->len ? ", " : "",
		    scan_number(s, SCAN_COUNT));
	add_member(b, "", s, SCAN_REASON);
	if (!scan_has(s, SCAN_TOKEN))
		add_member(b, "", s, SCAN_HUMAN);
	add_member(b, "delivery ", s, SCAN_DELIVERY);
	add_member(b, "key ", s, SCAN_KEY);
}

static void
print_row(struct print *p, const struct scan *s)
{
	struct strbuf row _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf cell _cleanup_(strbuf_clear) = STRBUF_INIT;
	char *event _cleanup_free_ = scan_dup(s, SCAN_EVENT);
	char when[PRINT_TIME_SIZE];

	add_cell(&row, p, print_time(filter_time(s, SCAN_TIME), p->local,
	    when), TIME_WIDTH);
	add_cell(&row, p, event, EVENT_WIDTH);
	add_who(&cell, s);
	add_cell(&row, p, strbuf_str(&cell), WHO_WIDTH);
	strbuf_reset(&cell);
	add_what(&cell, s);
	term_add_clean(&row, strbuf_str(&cell), p->term.utf8);
	put_row(p, &row);
}

static void
head_table(struct print *p)
{
	struct strbuf row _cleanup_(strbuf_clear) = STRBUF_INIT;

	add_cell(&row, p, p->local ? "TIME (local)" : "TIME (UTC)",
	    TIME_WIDTH);
	add_cell(&row, p, "EVENT", EVENT_WIDTH);
	add_cell(&row, p, "WHO", WHO_WIDTH);
	strbuf_adds(&row, "WHAT");
	put_row(p, &row);
}

/* -------------------------------------------------------------------- csv */

static void
add_quoted(struct strbuf *b, const char *text)
{
	strbuf_addc(b, '"');
	for (; *text; text++) {
		if (*text == '"')
			strbuf_addc(b, '"');
		strbuf_addc(b, *text);
	}
	strbuf_addc(b, '"');
}

static void
print_csv(const struct scan *s)
{
	struct strbuf row _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf cell _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct scan_member *m;
	int i;

	for (i = 0; i < SCAN_NAMES; i++) {
		if (i > 0)
			strbuf_addc(&row, ',');
		if (s->at[i] < 0)
			continue;
		m = &s->member[s->at[i]];
		strbuf_reset(&cell);
		scan_add_text(m, &cell);
		if (m->kind == SCAN_STRING)
			add_quoted(&row, strbuf_str(&cell));
		else
			strbuf_adds(&row, strbuf_str(&cell));
	}
	printf("%s\r\n", strbuf_str(&row));
}

static void
head_csv(void)
{
	int i;

	for (i = 0; i < SCAN_NAMES; i++)
		printf("%s%s", i > 0 ? "," : "",
		    scan_name_text((enum scan_name)i));
	printf("\r\n");
}

void
print_heading(struct print *p)
{
	if (p->headed)
		return;
	p->headed = true;
	if (p->format == PRINT_TABLE)
		head_table(p);
	else if (p->format == PRINT_CSV)
		head_csv();
}

void
print_line(struct print *p, const char *line, size_t len,
    const struct scan *scan)
{
	print_heading(p);
	switch (p->format) {
	case PRINT_JSON:
		fwrite(line, 1, len, stdout);
		putchar('\n');
		break;
	case PRINT_TABLE:
		print_row(p, scan);
		break;
	case PRINT_CSV:
		print_csv(scan);
		break;
	}
}
