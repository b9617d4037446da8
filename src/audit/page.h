/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * page - the report as one HTML page: no script, nothing fetched, readable
 * without its style sheet, light or dark as the reader's browser is.
 */
#include "audit/holdings.h"
#include "audit/ledger.h"
#include "base/strbuf.h"

struct tool_log;

struct page {
	const struct holdings *holdings;
	const struct ledger *ledger;
	const struct tool_log *log; /* verified to its end */
	const char *host;           /* where the report was made */
	int64_t made, at;    /* now; what "alive" means: made, or --until */
	int64_t from, to;    /* what the timelines show */
	bool local;
};

/* All of it. */
void page_add(const struct page *p, struct strbuf *out);

/* For page.c. Who held what when: by token, by holder. */
void page_add_tokens(const struct page *p, struct strbuf *out);
void page_add_holders(const struct page *p, struct strbuf *out);
/* Logins and what they led to; refusals; trouble; acts. */
void page_add_logins(const struct page *p, struct strbuf *out);
void page_add_ledger(const struct page *p, enum ledger_kind kind,
    struct strbuf *out);
/* The value was of use to somebody in the report's time. */
bool page_shows(const struct page *p, const struct held *g);
