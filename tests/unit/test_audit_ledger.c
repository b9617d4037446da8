/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a report lists beside releases, and that its texts are no markup.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "audit/html.h"
#include "audit/ledger.h"
#include "audit/scan.h"
#include "base/util.h"
#include "log_maker.h"

#define T0 1795366800 /* of the first line: 2026-11-22T17:00:00Z */
#define DENIED(uid, n) "\"event\":\"denied\",\"uid\":" #uid ",\"token\":" \
	"\"db\",\"reason\":\"no rule matches\",\"count\":" #n

static void
take_lines(struct ledger *l, struct maker_log *log)
{
	struct scan s;
	size_t i;

	for (i = 0; i < log->n; i++) {
		assert_null(scan_line(log->line[i], strlen(log->line[i]), &s));
		ledger_take(l, &s);
	}
}

static struct ledger *
read_lines(const char *const *members, int64_t since)
{
	struct maker_log log = { .n = 0 };
	struct ledger *l = ledger_new(since);
	size_t i;

	for (i = 0; members[i]; i++)
		maker_add(&log, members[i]);
	take_lines(l, &log);
	maker_clear(&log);
	return l;
}

static void
test_alike_is_one_row(void **state)
{
	static const char *const lines[] = { DENIED(33, 1), DENIED(34, 7),
		DENIED(33, 41), "\"event\":\"denied\",\"uid\":33,\"token\":"
		    "\"db\",\"reason\":\"rate\"", NULL };
	struct ledger *l = read_lines(lines, 0);
	const struct ledger_row *row;

	(void)state;
	assert_int_equal(ledger_count(l, LEDGER_DENIED), 3);
	assert_int_equal(ledger_sum(l, LEDGER_DENIED), 50);
	row = ledger_at(l, LEDGER_DENIED, 0);
	assert_string_equal(row->who, "uid 33");
	assert_string_equal(row->subject, "token db");
	assert_int_equal(row->count, 42);
	assert_int_equal(row->first, T0);
	assert_int_equal(row->last, T0 + 2);
	assert_int_equal(ledger_first_time(l), T0);
	ledger_free(l);
}

static void
test_kinds_and_words(void **state)
{
	static const char *const lines[] = {
		"\"event\":\"orphan\",\"token_id\":\"x1\",\"backend\":\"prod\"",
		"\"event\":\"expiring\",\"token\":\"db\",\"generation\":3",
		"\"event\":\"human_needed\",\"login\":\"ops\"",
		"\"event\":\"admin\",\"uid\":0,\"unit\":\"a.service\","
		    "\"reason\":\"revoke\"",
		"\"event\":\"authorised\",\"uid\":0,\"token\":\"db\"",
		"\"event\":\"denied\",\"uid\":7,\"container\":true", NULL };
	struct ledger *l = read_lines(lines, 0);

	(void)state;
	assert_int_equal(ledger_count(l, LEDGER_TROUBLE), 3);
	assert_string_equal(ledger_at(l, LEDGER_TROUBLE, 0)->subject,
	    "service prod, id x1");
	assert_true(ledger_at(l, LEDGER_TROUBLE, 0)->bad);
	assert_string_equal(ledger_at(l, LEDGER_TROUBLE, 1)->subject,
	    "token db #3");
	assert_false(ledger_at(l, LEDGER_TROUBLE, 1)->bad);
	assert_string_equal(ledger_at(l, LEDGER_TROUBLE, 2)->subject,
	    "login ops");
	assert_int_equal(ledger_count(l, LEDGER_ACT), 1);
	assert_string_equal(ledger_at(l, LEDGER_ACT, 0)->who,
	    "a.service (uid 0)");
	assert_string_equal(ledger_at(l, LEDGER_DENIED, 0)->who,
	    "container (uid 7)");
	ledger_free(l);
}

static void
test_since(void **state)
{
	static const char *const lines[] = { DENIED(33, 5), DENIED(33, 1),
		NULL };
	struct ledger *l = read_lines(lines, T0 + 1);

	(void)state;
	assert_int_equal(ledger_sum(l, LEDGER_DENIED), 1);
	assert_int_equal(ledger_first_time(l), T0);
	ledger_free(l);
}

static void
test_bounded(void **state)
{
	struct maker_log log = { .n = 0 };
	struct ledger *l = ledger_new(0);
	char members[128];
	int i;

	(void)state;
	for (i = 0; i < LEDGER_MAX + 10; i++) {
		snprintf(members, sizeof(members), "\"event\":\"denied\","
		    "\"uid\":%d", i);
		maker_add(&log, members);
		take_lines(l, &log);
		take_lines(l, &log);
		maker_clear(&log);
	}
	assert_int_equal(ledger_count(l, LEDGER_DENIED), LEDGER_MAX);
	assert_int_equal(ledger_not_kept(l, LEDGER_DENIED), 20);
	assert_int_equal(ledger_sum(l, LEDGER_DENIED), 2 * (LEDGER_MAX + 10));
	ledger_free(l);
}

static void
test_texts_are_no_markup(void **state)
{
	static const struct {
		const char *text, *html;
	} rows[] = {
		{ NULL, "" },
		{ "plain", "plain" },
		{ "<b>&\"'</b>", "&#60;b&#62;&#38;&#34;&#39;&#60;/b&#62;" },
		{ "a\nb\tc", "a b c" },
		{ "\033[1m\342\200\256x\377", "?[1m?x?" },
		{ "z\303\274rich", "z\303\274rich" },
	};
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		strbuf_reset(&b);
		html_text(&b, rows[i].text);
		assert_string_equal(strbuf_str(&b), rows[i].html);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alike_is_one_row),
		cmocka_unit_test(test_kinds_and_words),
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_texts_are_no_markup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
