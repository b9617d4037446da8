/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger - see the header. A row is found again by its texts, in a tree.
 */
#include "audit/ledger.h"

#include <inttypes.h>
#include <search.h>
#include <string.h>

#include "audit/filter.h"
#include "audit/scan.h"
#include "base/strbuf.h"

struct rows {
	struct ledger_row **row;
	size_t n;
	uint64_t sum, not_kept;
};

struct ledger {
	int64_t since, first;
	struct rows rows[LEDGER_KINDS];
	void *tree; /* of struct ledger_row */
};

static const struct kind {
	const char *event;
	enum ledger_kind kind;
	bool bad;
} kinds[] = {
	{ "denied", LEDGER_DENIED, false },
	{ "orphan", LEDGER_TROUBLE, true },
	{ "missing", LEDGER_TROUBLE, true },
	{ "unsettled", LEDGER_TROUBLE, true },
	{ "human_needed", LEDGER_TROUBLE, true },
	{ "quarantined", LEDGER_TROUBLE, true },
	{ "disk_failed", LEDGER_TROUBLE, true },
	{ "lost", LEDGER_TROUBLE, true },
	{ "disk_recovered", LEDGER_TROUBLE, false },
	{ "expiring", LEDGER_TROUBLE, false },
	{ "rejected", LEDGER_TROUBLE, false },
	{ "mint_failed", LEDGER_TROUBLE, false },
	{ "settled", LEDGER_TROUBLE, false },
	{ "refresh_failed", LEDGER_TROUBLE, false },
	{ "login_failed", LEDGER_TROUBLE, false },
	{ "admin", LEDGER_ACT, false },
	{ "adopted", LEDGER_ACT, false },
	{ "rekeyed", LEDGER_ACT, false },
	{ "logout", LEDGER_ACT, false },
	{ "reloaded", LEDGER_ACT, false },
	{ "started", LEDGER_ACT, false },
	{ "stopped", LEDGER_ACT, false },
	{ "audit_key", LEDGER_ACT, false },
	{ "files_removed", LEDGER_ACT, false },
};

struct ledger *
ledger_new(int64_t since)
{
	struct ledger *l = xnew(struct ledger);

	l->since = since;
	return l;
}

static void
row_free(struct ledger_row *row)
{
	free(row->event);
	free(row->who);
	free(row->subject);
	free(row->rule);
	free(row->reason);
	free(row);
}

static void
in_list(void *p)
{
	(void)p; /* freed with the list */
}

void
ledger_free(struct ledger *l)
{
	size_t i, k;

	if (!l)
		return;
	tdestroy(l->tree, in_list);
	for (k = 0; k < LEDGER_KINDS; k++) {
		for (i = 0; i < l->rows[k].n; i++)
			row_free(l->rows[k].row[i]);
		free(l->rows[k].row);
	}
	free(l);
}

static int
by_texts(const void *a, const void *b)
{
	const struct ledger_row *x = a, *y = b;
	int r = strcmp(x->event, y->event);

	r = r ? r : strcmp(x->who, y->who);
	r = r ? r : strcmp(x->subject, y->subject);
	r = r ? r : strcmp(x->rule, y->rule);
	return r ? r : strcmp(x->reason, y->reason);
}

/* ------------------------------------------------------------- the texts */

static bool
add_text(struct strbuf *b, const char *before, const struct scan *s,
    enum scan_name name)
{
	const struct scan_member *m = scan_string(s, name);

	if (!m)
		return false;
	strbuf_adds(b, b->len ? ", " : "");
	strbuf_adds(b, before);
	scan_add_text(m, b);
	return true;
}

static char *
who_text(const struct scan *s)
{
	struct strbuf b = STRBUF_INIT;
	bool named;

	if (!scan_has(s, SCAN_UID))
		return xstrdup("");
	named = scan_has(s, SCAN_CONTAINER);
	if (named)
		strbuf_adds(&b, "container");
	else
		named = add_text(&b, "", s, SCAN_UNIT);
	strbuf_addf(&b, named ? " (uid %" PRIu64 ")" : "uid %" PRIu64,
	    scan_number(s, SCAN_UID));
	return strbuf_steal(&b);
}

/* record and file have no other place. */
static char *
subject_text(const struct scan *s)
{
	struct strbuf b = STRBUF_INIT;

	if (add_text(&b, "token ", s, SCAN_TOKEN) &&
	    scan_has(s, SCAN_GENERATION))
		strbuf_addf(&b, " #%" PRIu64, scan_number(s, SCAN_GENERATION));
	if (b.len == 0)
		add_text(&b, "login ", s, SCAN_LOGIN);
	if (b.len == 0)
		add_text(&b, "service ", s, SCAN_BACKEND);
	add_text(&b, "id ", s, SCAN_TOKEN_ID);
	add_text(&b, "file ", s, SCAN_FILE);
	add_text(&b, "key ", s, SCAN_KEY);
	return strbuf_steal(&b);
}

static char *
text_of(const struct scan *s, enum scan_name name)
{
	char *text = scan_dup(s, name);

	return text ? text : xstrdup("");
}

/* ------------------------------------------------------------------ lines */

static const struct kind *
kind_of(const struct scan *s)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (scan_is(s, SCAN_EVENT, kinds[i].event))
			return &kinds[i];
	return NULL;
}

static struct ledger_row *
row_for(struct ledger *l, struct ledger_row *key)
{
	struct rows *rows = &l->rows[key->kind];
	struct ledger_row **found = tfind(key, &l->tree, by_texts);

	if (found) {
		row_free(key);
		return *found;
	}
	if (rows->n == LEDGER_MAX) {
		rows->not_kept++;
		row_free(key);
		return NULL;
	}
	if (!tsearch(key, &l->tree, by_texts))
		abort();
	rows->row = xreallocarray(rows->row, rows->n + 1,
	    sizeof(rows->row[0]));
	rows->row[rows->n++] = key;
	return key;
}

void
ledger_take(struct ledger *l, const struct scan *s)
{
	int64_t at = filter_time(s, SCAN_TIME);
	const struct kind *k = kind_of(s);
	struct ledger_row *row;
	uint64_t n = 1;

	l->first = l->first ? l->first : at;
	if (!k || at < l->since)
		return;
	if (k->kind == LEDGER_DENIED)
		n = MAX2(scan_number(s, SCAN_COUNT), (uint64_t)1);
	l->rows[k->kind].sum += n;
	row = xnew(struct ledger_row);
	*row = (struct ledger_row){ .kind = k->kind, .bad = k->bad,
		.event = xstrdup(k->event), .who = who_text(s),
		.subject = subject_text(s), .rule = text_of(s, SCAN_RULE),
		.reason = text_of(s, SCAN_REASON), .first = at };
	row = row_for(l, row);
	if (!row)
		return;
	row->count += n;
	row->last = at;
}

/* -------------------------------------------------------------------- ask */

size_t
ledger_count(const struct ledger *l, enum ledger_kind kind)
{
	return l->rows[kind].n;
}

const struct ledger_row *
ledger_at(const struct ledger *l, enum ledger_kind kind, size_t i)
{
	return l->rows[kind].row[i];
}

uint64_t
ledger_sum(const struct ledger *l, enum ledger_kind kind)
{
	return l->rows[kind].sum;
}

uint64_t
ledger_not_kept(const struct ledger *l, enum ledger_kind kind)
{
	return l->rows[kind].not_kept;
}

int64_t
ledger_first_time(const struct ledger *l)
{
	return l->first;
}
