/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/backoff.h"
#include "base/util.h"

static uint64_t next_random;

static uint64_t
fixed(void)
{
	return next_random;
}

static void
test_ceilings(void **state)
{
	static const struct {
		int64_t base, cap;
		unsigned attempt;
		int64_t low, high; /* both ends can happen */
	} t[] = {
		{ 1000, 60000, 0, 500, 1000 },
		{ 1000, 60000, 1, 1000, 2000 },
		{ 1000, 60000, 5, 16000, 32000 },
		{ 1000, 60000, 6, 30000, 60000 },
		{ 1000, 60000, 7, 30000, 60000 },
		{ 1000, 60000, 4000000000u, 30000, 60000 },
		{ 1000, 300, 0, 150, 300 },
		{ 1, 60000, 0, 0, 1 },
		{ 3, 60000, 0, 1, 3 },
		{ 1, INT64_MAX, 4000000000u, INT64_MAX / 2, INT64_MAX },
		{ 0, 0, 0, 0, 1 },
	};
	size_t i;

	backoff_set_source(fixed);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct backoff b = BACKOFF_INIT(t[i].base, t[i].cap);

		b.attempt = t[i].attempt;
		next_random = 0;
		assert_int_equal(backoff_next(&b, 0), t[i].low);
		assert_int_equal(b.attempt, t[i].attempt + 1);
		b.attempt = t[i].attempt;
		next_random = (uint64_t)(t[i].high - t[i].low);
		assert_int_equal(backoff_next(&b, 0), t[i].high);
	}
	backoff_set_source(NULL);
}

static void
test_server_says(void **state)
{
	struct backoff b = BACKOFF_INIT(1000, 60000);

	assert_int_equal(backoff_next(&b, 120000), 120000);
	assert_int_equal(backoff_next(&b, 86400000), 3600000);
	assert_in_range(backoff_next(&b, -5), 2000, 4000);
	assert_int_equal(b.attempt, 3);
	backoff_reset(&b);
	assert_int_equal(b.attempt, 0);
	assert_in_range(backoff_next(&b, 1), 500, 1000);
}

static void
test_random(void **state)
{
	int hits[5] = { 0 };
	int i;

	assert_int_equal(backoff_random(0), 0);
	assert_int_equal(backoff_random(1), 0);
	for (i = 0; i < 5000; i++)
		hits[backoff_random(5)]++;
	for (i = 0; i < 5; i++)
		assert_in_range(hits[i], 700, 1300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ceilings),
		cmocka_unit_test(test_server_says),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
