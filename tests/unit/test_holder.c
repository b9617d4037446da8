/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/principal.h"
#include "base/util.h"
#include "broker/holder.h"

static void
test_names(void **state)
{
	static const struct {
		struct principal p;
		const char *name, *unit;
	} t[] = {
		{ { .uid = 1000, .unit = (char *)"a.service",
		    .strength = PRINCIPAL_STRONG },
		    "unit:a.service", "a.service" },
		{ { .uid = 1000 }, "uid:1000", NULL },
		{ { .uid = 4294967294u }, "uid:4294967294", NULL },
		{ { .uid = 1000, .container = true }, "container:1000", NULL },
		/* never a unit, whatever was read */
		{ { .uid = 1000, .unit = (char *)"a.service",
		    .strength = PRINCIPAL_STRONG, .container = true },
		    "container:1000", NULL },
		/* a weak one can be somebody else's */
		{ { .uid = 1000, .unit = (char *)"a.service",
		    .strength = PRINCIPAL_WEAK }, "uid:1000", NULL },
		/* ... but root starts any unit that it likes */
		{ { .uid = 0, .unit = (char *)"a.service",
		    .strength = PRINCIPAL_WEAK }, "unit:a.service",
		    "a.service" },
		/* session 3 of the next boot is somebody else's */
		{ { .uid = 1000, .unit = (char *)"session-3.scope",
		    .strength = PRINCIPAL_STRONG }, "uid:1000", NULL },
		{ { .uid = 0, .unit = (char *)"session-c1.scope",
		    .strength = PRINCIPAL_STRONG }, "uid:0", NULL },
		{ { .uid = 1000, .unit = (char *)"session-3.service",
		    .strength = PRINCIPAL_STRONG }, "unit:session-3.service",
		    "session-3.service" },
		/* no unit of systemd's is called so */
		{ { .uid = 7, .unit = (char *)"a b.service",
		    .strength = PRINCIPAL_STRONG }, "uid:7", NULL },
		{ { .uid = 7, .unit = (char *)"a\x1b.service",
		    .strength = PRINCIPAL_STRONG }, "uid:7", NULL },
		{ { .uid = 7, .unit = (char *)"",
		    .strength = PRINCIPAL_STRONG }, "uid:7", NULL },
	};
	char buf[HOLDER_NAME_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_string_equal(holder_name(&t[i].p, buf), t[i].name);
		if (t[i].unit)
			assert_string_equal(holder_unit(buf), t[i].unit);
		else
			assert_null(holder_unit(buf));
	}
}

/* Two that differ only behind the end of the buffer would be one. */
static void
test_long_names(void **state)
{
	struct principal p = { .uid = 5, .strength = PRINCIPAL_STRONG };
	char unit[400], buf[HOLDER_NAME_SIZE];

	memset(unit, 'u', sizeof(unit));
	unit[255] = '\0'; /* as long as systemd lets them be */
	p.unit = unit;
	holder_name(&p, buf);
	assert_string_equal(holder_unit(buf), unit);
	unit[255] = 'u';
	unit[399] = '\0';
	assert_string_equal(holder_name(&p, buf), "uid:5");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
