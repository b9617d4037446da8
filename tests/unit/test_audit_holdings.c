/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds what, from the lines of a log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/filter.h"
#include "audit/holdings.h"
#include "audit/scan.h"
#include "base/util.h"
#include "log_maker.h"

#define T0 1795366800 /* of the first line: 2026-11-22T17:00:00Z */
#define G(n) "\"token\":\"db\",\"generation\":" #n ",\"fingerprint\":\"f" #n \
	"\",\"login\":\"ops\",\"expires_at\":\"2026-11-22T18:00:00Z\""
#define A "\"uid\":997,\"gid\":9,\"unit\":\"a.service\",\"strength\":" \
	"\"strong\","
#define B "\"uid\":33,\"gid\":33,"
#define R(id) ",\"request_id\":\"" #id "\""

static struct holdings *
read_lines(const char *const *members)
{
	struct maker_log log = { .n = 0 };
	struct holdings *h = holdings_new("ops");
	struct scan s;
	size_t i;

	for (i = 0; members[i]; i++) {
		maker_add(&log, members[i]);
		assert_null(scan_line(log.line[i], strlen(log.line[i]), &s));
		holdings_take(h, &s);
	}
	maker_clear(&log);
	return h;
}

static void
test_release(void **state)
{
	static const char *const lines[] = {
		"\"event\":\"minted\"," G(1),
		"\"event\":\"authorised\"," A G(1) R(1),
		"\"event\":\"sent\"," A G(1) R(1),
		"\"event\":\"authorised\"," A G(1) R(2),
		"\"event\":\"authorised\"," B G(1) R(3),
		"\"event\":\"sent\"," A G(1) R(2) ",\"delivery\":\"memfd\"",
		/* late, and so only a part of the members */
		"\"event\":\"sent\"," B "\"token\":\"db\",\"generation\":1"
		    R(3),
		NULL };
	struct holdings *h = read_lines(lines);
	struct held *g;

	(void)state;
	assert_int_equal(holdings_count(h), 1);
	g = holdings_at(h, 0);
	assert_string_equal(g->token, "db");
	assert_int_equal(g->minted, T0);
	assert_int_equal(g->expires, T0 + 3600);
	assert_int_equal(g->n_holders, 2);
	assert_string_equal(g->holder[0]->unit, "a.service");
	assert_int_equal(g->holder[0]->releases, 2);
	assert_int_equal(g->holder[0]->unconfirmed, 0);
	assert_int_equal(g->holder[0]->first, T0 + 1);
	assert_int_equal(g->holder[0]->last, T0 + 5);
	assert_null(g->holder[1]->unit);
	assert_int_equal(g->holder[1]->uid, 33);
	assert_int_equal(g->holder[1]->releases, 1);
	assert_int_equal(g->holder[1]->last, T0 + 6);
	assert_int_equal(held_state(g, T0 + 10), HELD_LIVE);
	assert_int_equal(held_state(g, T0 + 3600), HELD_EXPIRED);
	holdings_free(h);
}

/* What was withheld never left; what has no outcome may have. */
static void
test_outcomes(void **state)
{
	static const char *const lines[] = {
		"\"event\":\"authorised\"," A G(1) R(1),
		"\"event\":\"withheld\"," A "\"token\":\"db\","
		    "\"generation\":1" R(1),
		"\"event\":\"authorised\"," B G(1) R(2),
		/* the same request, for what superseded it meanwhile */
		"\"event\":\"authorised\"," B G(2) R(2),
		"\"event\":\"authorised\"," A G(2) R(3),
		"\"event\":\"sent\"," B G(2) R(2),
		NULL };
	struct holdings *h = read_lines(lines);
	struct filter any = FILTER_INIT;

	(void)state;
	assert_int_equal(holdings_count(h), 2);
	assert_int_equal(holdings_at(h, 0)->holder[0]->releases, 0);
	assert_int_equal(holdings_at(h, 0)->holder[1]->releases, 0);
	assert_false(held_match(holdings_at(h, 0), &any));
	assert_int_equal(holdings_at(h, 1)->holder[0]->releases, 1);
	assert_int_equal(holdings_at(h, 1)->holder[0]->unconfirmed, 0);
	assert_int_equal(holdings_at(h, 1)->holder[1]->releases, 1);
	assert_int_equal(holdings_at(h, 1)->holder[1]->unconfirmed, 1);
	holdings_free(h);
}

static void
test_ends(void **state)
{
	static const char *const lines[] = {
		"\"event\":\"minted\"," G(1),
		"\"event\":\"withheld\"," G(1),
		"\"event\":\"revoked\"," G(1) ",\"reason\":\"revoked "
		    "upstream\"",
		"\"event\":\"imported\"," G(2),
		"\"event\":\"withheld\"," G(2),
		"\"event\":\"minted\"," G(3),
		"\"event\":\"revoked\"," G(3) ",\"reason\":\"forgotten: this "
		    "backend cannot revoke\"",
		NULL };
	struct holdings *h = read_lines(lines);

	(void)state;
	assert_int_equal(held_state(holdings_at(h, 0), T0 + 9), HELD_REVOKED);
	assert_int_equal(holdings_at(h, 0)->revoked, T0 + 2);
	assert_int_equal(held_state(holdings_at(h, 1), T0 + 9), HELD_REVOKING);
	assert_true(holdings_at(h, 1)->imported);
	assert_int_equal(held_state(holdings_at(h, 2), T0 + 9),
	    HELD_FORGOTTEN);
	assert_int_equal(held_state(holdings_at(h, 2), T0 + 9999),
	    HELD_EXPIRED);
	assert_false(held_is_alive(HELD_REVOKED));
	assert_true(held_is_alive(HELD_FORGOTTEN));
	holdings_free(h);
}

/* After a lost state the numbers begin again, with other values. */
static void
test_same_number_other_value(void **state)
{
	static const char *const lines[] = {
		"\"event\":\"minted\",\"token\":\"db\",\"generation\":1,"
		    "\"fingerprint\":\"a\"",
		"\"event\":\"minted\",\"token\":\"db\",\"generation\":1,"
		    "\"fingerprint\":\"b\"",
		"\"event\":\"revoked\",\"token\":\"db\",\"generation\":1,"
		    "\"fingerprint\":\"b\"",
		NULL };
	struct holdings *h = read_lines(lines);

	(void)state;
	assert_int_equal(holdings_count(h), 2);
	assert_int_equal(held_state(holdings_at(h, 0), T0), HELD_LIVE);
	assert_int_equal(held_state(holdings_at(h, 1), T0), HELD_REVOKED);
	holdings_free(h);
}

/* The log begins between an authorisation and its outcome. */
static void
test_outcome_alone(void **state)
{
	static const char *const lines[] = {
		"\"event\":\"sent\"," B "\"token\":\"db\",\"generation\":2"
		    R(3),
		"\"event\":\"authorised\"," A G(2) R(4),
		"\"event\":\"sent\"," B "\"token\":\"db\",\"generation\":2"
		    R(5),
		NULL };
	struct holdings *h = read_lines(lines);

	(void)state;
	assert_int_equal(holdings_count(h), 1);
	assert_string_equal(holdings_at(h, 0)->fingerprint, "f2");
	assert_int_equal(holdings_at(h, 0)->n_holders, 2);
	assert_int_equal(holdings_at(h, 0)->holder[0]->uid, 33);
	assert_int_equal(holdings_at(h, 0)->holder[0]->releases, 2);
	holdings_free(h);
}

static void
test_match(void **state)
{
	static const char *const lines[] = {
		"\"event\":\"authorised\"," A G(1) R(1),
		"\"event\":\"authorised\"," B G(1) R(2),
		"\"event\":\"authorised\",\"uid\":997,\"gid\":9,"
		    "\"container\":true," G(1) R(3),
		NULL };
	struct holdings *h = read_lines(lines);
	struct held *g = holdings_at(h, 0);
	struct filter f = FILTER_INIT;

	(void)state;
	assert_int_equal(g->n_holders, 3);
	f.unit = "a.*";
	assert_true(held_match(g, &f));
	assert_true(g->holder[0]->matched);
	assert_false(g->holder[1]->matched);
	assert_false(g->holder[2]->matched);
	f.unit = NULL;
	f.uid = 997;
	assert_true(held_match(g, &f));
	assert_true(g->holder[0]->matched);
	assert_false(g->holder[1]->matched);
	assert_true(g->holder[2]->matched);
	f.since = T0 + 2;
	assert_true(held_match(g, &f));
	assert_false(g->holder[0]->matched);
	f.since = T0 + 3;
	assert_false(held_match(g, &f));
	holdings_free(h);
}

static void
test_login(void **state)
{
	static const char *const lines[] = {
		"\"event\":\"login_started\",\"login\":\"ops\"",
		"\"event\":\"login_granted\",\"login\":\"ops\","
		    "\"human\":\"iss sub (a@x)\"",
		"\"event\":\"login_granted\",\"login\":\"other\"",
		"\"event\":\"refreshed\",\"login\":\"ops\"",
		"\"event\":\"minted\"," G(1),
		"\"event\":\"logout\",\"login\":\"ops\"",
		NULL };
	struct holdings *h = read_lines(lines);

	(void)state;
	assert_int_equal(holdings_n_events(h), 3);
	assert_string_equal(holdings_event(h, 1)->human, "iss sub (a@x)");
	assert_int_equal(holdings_event(h, 1)->time, T0 + 1);
	assert_string_equal(holdings_event(h, 2)->event, "logout");
	holdings_free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_same_number_other_value),
		cmocka_unit_test(test_outcome_alone),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_login),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
