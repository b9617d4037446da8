/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * html - the few pieces a page is made of. Texts come from the log, and so
 * from anywhere: what could be markup, move the cursor or reorder text is made
 * harmless here and nowhere else.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

/* Escaped, for an element's text as well as for a quoted attribute. NULL is
 * "". */
void html_text(struct strbuf *out, const char *text);
/* <time datetime="..."> with what print_time shows; "-" for 0. */
void html_time(struct strbuf *out, int64_t epoch_s, bool local);
/* <td>text</td>; class may be NULL. */
void html_cell(struct strbuf *out, const char *class, const char *text);
void html_cell_number(struct strbuf *out, uint64_t n);
void html_cell_time(struct strbuf *out, int64_t epoch_s, bool local);
/* A table's head: columns, a NULL at their end. The caller closes the table
 * with html_table_end. */
void html_table(struct strbuf *out, const char *const *columns);
void html_table_end(struct strbuf *out);
/* "s" unless n is 1 */
const char *html_plural(uint64_t n);
