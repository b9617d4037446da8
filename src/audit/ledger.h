/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ledger - what a log says beside releases, for a report: refusals, what went
 * wrong, and what operators did. Lines that are alike but for their time are
 * one row with a count. Bounded: of rows beyond LEDGER_MAX a kind only the
 * number is kept.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan;

#define LEDGER_MAX 2000

enum ledger_kind {
	LEDGER_DENIED,
	LEDGER_TROUBLE, /* somebody should know of it */
	LEDGER_ACT,     /* an operator's, or of the daemon itself */
	LEDGER_KINDS
};

struct ledger_row {
	enum ledger_kind kind;
	bool bad;      /* of trouble: not over by itself */
	char *event;
	char *who;     /* "telegraf.service (uid 997)", "" when nobody is */
	char *subject; /* "token db #3", "login ops", "service prod" */
	char *rule, *reason; /* may be "" */
	uint64_t count;
	int64_t first, last;
};

struct ledger;

/* since: older lines are not taken; 0: all are. */
struct ledger *ledger_new(int64_t since);
void ledger_free(struct ledger *l);
void ledger_take(struct ledger *l, const struct scan *s);

size_t ledger_count(const struct ledger *l, enum ledger_kind kind);
/* By first time. */
const struct ledger_row *ledger_at(const struct ledger *l,
    enum ledger_kind kind, size_t i);
/* Lines, with their counts; also of rows that were not kept. */
uint64_t ledger_sum(const struct ledger *l, enum ledger_kind kind);
uint64_t ledger_not_kept(const struct ledger *l, enum ledger_kind kind);
/* Of all lines, whatever they say. 0: there is none. */
int64_t ledger_first_time(const struct ledger *l);
