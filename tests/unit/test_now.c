/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <time.h>

#include "base/now.h"

static void
test_clocks(void **state)
{
	int64_t boot = now_boot_ms(), real = now_real_ms();
	struct timespec nap = { 0, 20000000 };

	assert_in_range(real / 1000, time(NULL) - 2, time(NULL) + 2);
	assert_in_range(now_real_s(), real / 1000, real / 1000 + 2);
	nanosleep(&nap, NULL);
	assert_in_range(now_boot_ms() - boot, 20, 2000);
	assert_true(boot > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
