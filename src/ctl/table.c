/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table - see the header.
 */
#include "ctl/table.h"

#define GAP 2
#define NARROWEST 8
#define READABLE 20 /* of the column that shrinks, while others can go */
#define GONE SIZE_MAX

struct table_row {
	struct {
		char *text;
		enum term_colour colour;
	} cell[TABLE_COLUMNS];
};

void
table_init(struct table *t, const char *const *heading, size_t n, int shrinks,
    bool utf8)
{
	size_t i;

	*t = (struct table){ .n_columns = n, .shrinks = shrinks,
		.utf8 = utf8 };
	table_row(t);
	for (i = 0; i < n; i++)
		table_cell(t, i, TERM_DIM, heading[i]);
}

void
table_clear(struct table *t)
{
	size_t r, c;

	for (r = 0; r < t->n_rows; r++)
		for (c = 0; c < t->n_columns; c++)
			free(t->rows[r].cell[c].text);
	free(t->rows);
	t->rows = NULL;
	t->n_rows = 0;
}

void
table_row(struct table *t)
{
	t->rows = xreallocarray(t->rows, t->n_rows + 1, sizeof(t->rows[0]));
	memset(&t->rows[t->n_rows++], 0, sizeof(t->rows[0]));
}

void
table_cell(struct table *t, size_t column, enum term_colour colour,
    const char *text)
{
	struct table_row *row = &t->rows[t->n_rows - 1];
	struct strbuf b = STRBUF_INIT;

	term_add_clean(&b, text && *text ? text : "-", t->utf8);
	free(row->cell[column].text);
	row->cell[column].text = strbuf_steal(&b);
	row->cell[column].colour = colour;
}

static const char *
cell_text(const struct table *t, size_t row, size_t column)
{
	const char *s = t->rows[row].cell[column].text;

	return s ? s : "";
}

static void
measure(const struct table *t, const struct term *term, size_t *width)
{
	size_t r, c, i, total = 0, least, *victim = &width[t->shrinks];

	for (c = 0; c < t->n_columns; c++) {
		width[c] = 0;
		for (r = 0; r < t->n_rows; r++)
			width[c] = MAX2(width[c],
			    term_width(cell_text(t, r, c)));
		total += width[c] + (c ? GAP : 0);
	}
	if (!term->is_terminal)
		return;
	least = MIN2(*victim, READABLE);
	for (i = 0; i < t->n_drops &&
	    total - (*victim - least) > term->columns; i++) {
		total -= width[t->drops[i]] + GAP;
		width[t->drops[i]] = GONE;
	}
	if (total > term->columns && *victim > NARROWEST)
		*victim -= MIN2(total - term->columns, *victim - NARROWEST);
}

/* At most width columns of s, "..." where something was cut. */
static void
add_cut(struct strbuf *out, const char *s, size_t width)
{
	size_t n = 0;
	const char *p = s;

	if (term_width(s) <= width) {
		strbuf_adds(out, s);
		return;
	}
	for (; *p; p++) {
		if (((unsigned char)*p & 0xc0) != 0x80 && n++ == width - 3)
			break;
	}
	strbuf_add(out, s, (size_t)(p - s));
	strbuf_adds(out, "...");
}

void
table_render(const struct table *t, const struct term *term,
    struct strbuf *out)
{
	size_t width[TABLE_COLUMNS], r, c, pad;
	enum term_colour colour;
	const char *text;

	measure(t, term, width);
	for (r = 0; r < t->n_rows; r++) {
		for (c = 0, pad = 0; c < t->n_columns; c++) {
			if (width[c] == GONE)
				continue;
			while (pad > 0 && pad--)
				strbuf_addc(out, ' ');
			text = cell_text(t, r, c);
			colour = t->rows[r].cell[c].colour;
			if (colour != TERM_PLAIN)
				strbuf_adds(out, term_on(term, colour));
			add_cut(out, text, width[c]);
			if (colour != TERM_PLAIN)
				strbuf_adds(out, term_off(term));
			pad = width[c] - MIN2(width[c], term_width(text)) + GAP;
		}
		strbuf_addc(out, '\n');
	}
}

void
table_may_drop(struct table *t, size_t column)
{
	t->drops[t->n_drops++] = column;
}
