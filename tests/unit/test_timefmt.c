/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/timefmt.h"
#include "base/util.h"

#define BAD INT64_MIN

static void
test_parse_duration(void **state)
{
	static const struct {
		const char *s;
		int64_t ms;
	} t[] = {
		{ "0", 0 }, { "45", 45000 }, { "500ms", 500 }, { "1s", 1000 },
		{ "90d", 7776000000 }, { "1h30m", 5400000 },
		{ "2d 3h", 183600000 }, { "1w", 604800000 },
		{ "1w2d3h4m5s6ms", 788645006 }, { "0s", 0 },
		{ "007s", 7000 },
		{ "9223372036854775", 9223372036854775000 },
		{ "9223372036854776", BAD }, { "9223372036854775808ms", BAD },
		{ "9223372036854775807ms", INT64_MAX },
		{ "106751991168d", BAD }, { "15250284452w 99w", BAD },
		{ "15250284452w 6d", BAD },
		{ "", BAD }, { " ", BAD }, { "-1", BAD }, { "+1", BAD },
		{ "1.5h", BAD }, { "1 ", BAD }, { " 1", BAD }, { "1h ", BAD },
		{ "1 h", BAD }, { "h", BAD }, { "1y", BAD }, { "1H", BAD },
		{ "1hm", BAD }, { "1h30", BAD }, { "30m1h", BAD },
		{ "1h1h", BAD }, { "1h  2m", BAD }, { "1h,2m", BAD },
		{ "5msx", BAD }, { "0x10", BAD }, { "1s1", BAD },
	};
	int64_t ms;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		ms = BAD;
		if (timefmt_parse_duration(t[i].s, &ms) != (t[i].ms != BAD) ||
		    ms != t[i].ms)
			fail_msg("\"%s\" gave %lld", t[i].s, (long long)ms);
	}
}

static void
test_print_duration(void **state)
{
	static const struct {
		int64_t ms;
		const char *s;
	} t[] = {
		{ 0, "0s" }, { 500, "500ms" }, { 1000, "1s" },
		{ 1500, "1s 500ms" }, { 45000, "45s" }, { 60000, "1m" },
		{ 61500, "1m 1s" }, { 3600000, "1h" }, { 3601000, "1h" },
		{ 183600000, "2d 3h" }, { 183599999, "2d 2h" },
		{ 7776000000, "90d" }, { -1500, "-1s 500ms" },
		{ INT64_MIN, "-106751991167d 7h" },
		{ INT64_MAX, "106751991167d 7h" },
	};
	char buf[TIMEFMT_SIZE];
	int64_t back;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		assert_ptr_equal(timefmt_duration(t[i].ms, buf, sizeof(buf)),
		    buf);
		assert_string_equal(buf, t[i].s);
		if (t[i].ms >= 0)
			assert_true(timefmt_parse_duration(buf, &back));
	}
}

static void
test_parse_rfc3339(void **state)
{
	static const struct {
		const char *s;
		int64_t t;
	} t[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-22T17:20:00Z", 1795368000 },
		{ "2026-11-22t17:20:00z", 1795368000 },
		{ "2026-11-22T17:20:00.999999999Z", 1795368000 },
		{ "2026-11-22T18:20:00+01:00", 1795368000 },
		{ "2026-11-22T11:50:00.5-05:30", 1795368000 },
		{ "2026-11-22T17:20:00-00:00", 1795368000 },
		{ "1969-12-31T23:59:59Z", -1 },
		{ "2000-02-29T00:00:00Z", 951782400 },
		{ "2016-12-31T23:59:60Z", 1483228800 },
		{ "0000-01-01T00:00:00Z", -62167219200 },
		{ "9999-12-31T23:59:59Z", 253402300799 },
		{ "1900-02-29T00:00:00Z", BAD },
		{ "2026-02-29T00:00:00Z", BAD },
		{ "2026-00-10T00:00:00Z", BAD },
		{ "2026-13-10T00:00:00Z", BAD },
		{ "2026-04-31T00:00:00Z", BAD },
		{ "2026-04-00T00:00:00Z", BAD },
		{ "2026-11-22T24:00:00Z", BAD },
		{ "2026-11-22T17:60:00Z", BAD },
		{ "2026-11-22T17:20:61Z", BAD },
		{ "2026-11-22T17:20:00", BAD },
		{ "2026-11-22T17:20:00.Z", BAD },
		{ "2026-11-22T17:20:00+24:00", BAD },
		{ "2026-11-22T17:20:00+01:60", BAD },
		{ "2026-11-22T17:20:00+0100", BAD },
		{ "2026-11-22T17:20:00Zx", BAD },
		{ "2026-11-22 17:20:00Z", BAD },
		{ "2026-11-22T17:20Z", BAD },
		{ "26-11-22T17:20:00Z", BAD },
		{ " 2026-11-22T17:20:00Z", BAD },
		{ "2026-11-22", BAD }, { "", BAD },
	};
	int64_t v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		v = BAD;
		if (timefmt_parse_rfc3339(t[i].s, &v) != (t[i].t != BAD) ||
		    v != t[i].t)
			fail_msg("\"%s\" gave %lld", t[i].s, (long long)v);
	}
}

/* Each day of 800 years, there and back. */
static void
test_print_rfc3339(void **state)
{
	char buf[TIMEFMT_SIZE];
	int64_t day, back;

	assert_string_equal(timefmt_rfc3339(1795368000, buf, sizeof(buf)),
	    "2026-11-22T17:20:00Z");
	assert_string_equal(timefmt_rfc3339(-1, buf, sizeof(buf)),
	    "1969-12-31T23:59:59Z");
	assert_string_equal(timefmt_rfc3339(951782400, buf, sizeof(buf)),
	    "2000-02-29T00:00:00Z");
	for (day = -146097; day <= 146097; day++) {
		timefmt_rfc3339(day * 86400 + 3661, buf, sizeof(buf));
		if (!timefmt_parse_rfc3339(buf, &back) ||
		    back != day * 86400 + 3661)
			fail_msg("%s", buf);
	}
}

static void
test_http_date(void **state)
{
	static const struct {
		const char *s;
		int64_t t;
	} t[] = {
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sun, 22 Nov 2026 17:20:00 GMT", 1795368000 },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Mon, 06 Nov 1994 08:49:37 GMT", BAD },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", BAD },
		{ "Sun Nov  6 08:49:37 1994", BAD },
		{ "Sun, 06 Nov 1994 08:49:37 UTC", BAD },
		{ "Sun, 06 Nov 1994 08:49:37 GMT ", BAD },
		{ "Sun, 6 Nov 1994 08:49:37 GMT", BAD },
		{ "Sun, 06 nov 1994 08:49:37 GMT", BAD },
		{ "Sun, 31 Nov 1994 08:49:37 GMT", BAD },
		{ "Sun, 06 Nov 1994 25:49:37 GMT", BAD },
		{ "Wed, 31 Dec 1969 23:59:59 GMT", BAD },
		{ "", BAD }, { "120", BAD },
	};
	int64_t v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		v = BAD;
		if (timefmt_parse_http_date(t[i].s, &v) != (t[i].t != BAD) ||
		    v != t[i].t)
			fail_msg("\"%s\" gave %lld", t[i].s, (long long)v);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_duration),
		cmocka_unit_test(test_print_duration),
		cmocka_unit_test(test_parse_rfc3339),
		cmocka_unit_test(test_print_rfc3339),
		cmocka_unit_test(test_http_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
