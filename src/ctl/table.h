/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * table - rows of text in columns that line up, no wider than the terminal.
 */
#include "ctl/term.h"

#define TABLE_COLUMNS 7

struct table {
	size_t n_columns;
	struct table_row *rows;
	size_t n_rows;
	int shrinks; /* the column that is cut when the screen is too narrow */
	/* before that becomes hard to read these go, the first one first */
	size_t drops[TABLE_COLUMNS];
	size_t n_drops;
	bool utf8;
};

/* The first row is the heading. */
void table_init(struct table *t, const char *const *heading, size_t n,
    int shrinks, bool utf8);
void table_clear(struct table *t);
/* One more column that a narrow screen may do without. */
void table_may_drop(struct table *t, size_t column);
/* A new row of empty cells. */
void table_row(struct table *t);
/* The cell in the newest row; text is cleaned. NULL is "-". */
void table_cell(struct table *t, size_t column, enum term_colour colour,
    const char *text);
void table_render(const struct table *t, const struct term *term,
    struct strbuf *out);
