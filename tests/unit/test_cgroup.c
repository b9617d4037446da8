/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "serve/cgroup.h"

static void
picks_the_line(void **state)
{
	static const struct {
		const char *text, *path; /* NULL: none */
		bool unified;
	} cases[] = {
		{ "0::/system.slice/foo.service\n",
		    "/system.slice/foo.service", true },
		{ "0::/system.slice/foo.service", "/system.slice/foo.service",
		    true },
		/* hybrid: both say the same */
		{ "1:name=systemd:/system.slice/foo.service\n"
		  "0::/system.slice/foo.service\n",
		    "/system.slice/foo.service", true },
		/* legacy: the unified hierarchy is empty */
		{ "5:memory:/evil.service\n"
		  "1:name=systemd:/system.slice/foo.service\n0::/\n",
		    "/system.slice/foo.service", false },
		{ "0::/\n", NULL, false },
		{ "", NULL, false },
		{ "\n\n", NULL, false },
		{ "0::\n", NULL, false },
		{ "0::relative\n", NULL, false },
		/* other hierarchies, named or not, say nothing */
		{ "7:name=evil:/x.service\n4:cpu:/x.service\n", NULL, false },
		{ "0:name=systemd:/a.service\n", "/a.service", false },
		{ "9::/x.service\n", NULL, false },
		{ "0::/a:b.service\n", "/a:b.service", true },
	};
	struct cgroup_path out;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		bool found = cgroup_parse(cases[i].text,
		    strlen(cases[i].text), &out);

		if (found != (cases[i].path != NULL))
			fail_msg("case %zu", i);
		if (!found)
			continue;
		assert_string_equal(out.path, cases[i].path);
		assert_int_equal(out.unified, cases[i].unified);
	}
}

static void
refuses_long_and_torn_text(void **state)
{
	static char text[2 * CGROUP_PATH_MAX];
	struct cgroup_path out;

	memset(text, 'a', sizeof(text));
	memcpy(text, "0::/", 4);
	assert_false(cgroup_parse(text, sizeof(text), &out));
	assert_true(cgroup_parse(text, 3 + CGROUP_PATH_MAX - 1, &out));
	assert_int_equal(strlen(out.path), CGROUP_PATH_MAX - 1);
	assert_false(cgroup_parse("0::/a\0b\n", 8, &out));
}

static void
names_the_unit(void **state)
{
	static const struct {
		const char *path, *unit; /* NULL: none */
	} cases[] = {
		{ "/system.slice/telegraf.service", "telegraf.service" },
		{ "/a.slice/a-b.slice/x@y.service", "x@y.service" },
		/* the first one that is not a slice: the rest is the
		 * delegated unit's own business */
		{ "/system.slice/mine.service/payroll.service",
		    "mine.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/app.slice/"
		  "x.service", "user@1000.service" },
		{ "/user.slice/user-0.slice/session-3.scope",
		    "session-3.scope" },
		{ "/init.scope", "init.scope" },
		{ "/system.slice/_memory.service", "memory.service" },
		{ "/system.slice/__x.service", "_x.service" },
		{ "/system.slice/dev-disk\\x2da.mount",
		    "dev-disk\\x2da.mount" },
		/* no unit */
		{ "/", NULL },
		{ "", NULL },
		{ "/system.slice", NULL },
		{ "/a.slice/b.slice/", NULL },
		{ "/docker/0123456789", NULL },
		{ "/system.slice/plain", NULL },
		{ "/.slice/x.service", NULL },
		{ "/system.slice/.service", NULL },
		{ "/system.slice/a b.service", NULL },
		{ "/system.slice/\xc3\xa4.service", NULL },
		{ "//x.service", NULL },
		/* outside of our namespace */
		{ "/..", NULL },
		{ "/../x.service", NULL },
		{ "/system.slice/../x.service", NULL },
		{ "/x.service/..", NULL },
		{ "/x.service/../../y.service", NULL },
		/* and a name that only looks like it */
		{ "/..x.service", "..x.service" },
	};
	char unit[CGROUP_UNIT_MAX];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		bool found = cgroup_unit(cases[i].path, unit);

		if (found != (cases[i].unit != NULL))
			fail_msg("case %zu: %s", i, cases[i].path);
		if (found)
			assert_string_equal(unit, cases[i].unit);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(picks_the_line),
		cmocka_unit_test(refuses_long_and_torn_text),
		cmocka_unit_test(names_the_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
