/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/openmetrics.h"
#include "base/util.h"

static const int64_t bounds[] = { 1, 20, 1000, 2500 };
static const uint64_t counts[] = { 3, 0, 2, 0, 1 };

static void
write_all(struct strbuf *out, bool prometheus)
{
	struct openmetrics m;

	openmetrics_begin(&m, out, prometheus);
	openmetrics_family(&m, OPENMETRICS_COUNTER, "t_made", "Made.");
	openmetrics_int(&m, 7, "token", "a\"b\\c\nd", "none", NULL, "door",
	    "api", NULL);
	openmetrics_int(&m, 0, "token", "b", NULL);
	openmetrics_family(&m, OPENMETRICS_GAUGE, "t_left_seconds", "Left.");
	openmetrics_int(&m, -1, NULL);
	openmetrics_family(&m, OPENMETRICS_GAUGE, "t_nothing", "No sample.");
	openmetrics_family(&m, OPENMETRICS_HISTOGRAM, "t_took_seconds",
	    "Took.");
	openmetrics_histogram(&m, bounds, counts, ARRAY_SIZE(bounds), 12340,
	    "door", "api");
	openmetrics_end(&m);
}

static void
test_openmetrics(void **state)
{
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;

	write_all(&out, false);
	assert_string_equal(strbuf_str(&out),
	    "# TYPE t_made counter\n"
	    "# HELP t_made Made.\n"
	    "t_made_total{token=\"a\\\"b\\\\c\\nd\",door=\"api\"} 7\n"
	    "t_made_total{token=\"b\"} 0\n"
	    "# TYPE t_left_seconds gauge\n"
	    "# UNIT t_left_seconds seconds\n"
	    "# HELP t_left_seconds Left.\n"
	    "t_left_seconds -1\n"
	    "# TYPE t_took_seconds histogram\n"
	    "# UNIT t_took_seconds seconds\n"
	    "# HELP t_took_seconds Took.\n"
	    "t_took_seconds_bucket{door=\"api\",le=\"0.001\"} 3\n"
	    "t_took_seconds_bucket{door=\"api\",le=\"0.02\"} 3\n"
	    "t_took_seconds_bucket{door=\"api\",le=\"1.0\"} 5\n"
	    "t_took_seconds_bucket{door=\"api\",le=\"2.5\"} 5\n"
	    "t_took_seconds_bucket{door=\"api\",le=\"+Inf\"} 6\n"
	    "t_took_seconds_count{door=\"api\"} 6\n"
	    "t_took_seconds_sum{door=\"api\"} 12.34\n"
	    "# EOF\n");
}

static void
test_prometheus(void **state)
{
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;

	write_all(&out, true);
	assert_non_null(strstr(strbuf_str(&out),
	    "# TYPE t_made_total counter\n# HELP t_made_total Made.\n"
	    "t_made_total{"));
	assert_null(strstr(strbuf_str(&out), "UNIT"));
	assert_null(strstr(strbuf_str(&out), "EOF"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openmetrics),
		cmocka_unit_test(test_prometheus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
