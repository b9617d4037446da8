/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/principal.h"
#include "base/util.h"

static void
test_copy(void **state)
{
	gid_t groups[] = { 10, 20 };
	struct principal a = PRINCIPAL_INIT, b = PRINCIPAL_INIT;
	struct principal empty = PRINCIPAL_INIT;

	a.uid = 1000;
	a.gid = 1000;
	a.groups = groups;
	a.n_groups = 2;
	a.unit = (char *)"x.service";
	a.invocation = (char *)"0123456789abcdef0123456789abcdef";
	a.selinux = (char *)"u:r:t";
	a.cgroup_id = 7;
	principal_copy(&b, &a);
	assert_ptr_not_equal(b.groups, groups);
	assert_ptr_not_equal(b.unit, a.unit);
	assert_string_equal(b.unit, "x.service");
	assert_ptr_not_equal(b.invocation, a.invocation);
	assert_string_equal(b.invocation, a.invocation);
	assert_string_equal(b.selinux, "u:r:t");
	assert_int_equal(b.cgroup_id, 7);
	assert_true(principal_in_group(&b, 1000));
	assert_true(principal_in_group(&b, 20));
	assert_false(principal_in_group(&b, 30));
	principal_copy(&b, &b); /* of itself */
	assert_string_equal(b.unit, "x.service");
	principal_copy(&b, &empty);
	assert_null(b.unit);
	assert_null(b.invocation);
	assert_null(b.groups);
	assert_false(principal_in_group(&b, 20));
	principal_clear(&b);
	assert_int_equal(b.uid, (uid_t)-1);
}

static void
test_describe(void **state)
{
	static const struct {
		struct principal p;
		const char *s;
	} t[] = {
		{ { .uid = 1000, .pid = 77, .unit = (char *)"a.service",
		    .strength = PRINCIPAL_WEAK },
		    "uid=1000 unit=a.service pid=77 (weak)" },
		{ { .uid = 0, .pid = 1, .unit = (char *)"a.service",
		    .strength = PRINCIPAL_STRONG },
		    "uid=0 unit=a.service pid=1" },
		{ { .uid = 5, .pid = 9 }, "uid=5 pid=9" },
		{ { .uid = 5, .pid = 9, .container = true,
		    .unit = (char *)"a.service", .strength = PRINCIPAL_WEAK },
		    "uid=5 container pid=9" },
	};
	char buf[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(principal_describe(&t[i].p, buf,
		    sizeof(buf)), t[i].s);
	assert_string_equal(principal_describe(&t[0].p, buf, 9), "uid=1000");
	assert_string_equal(principal_strength_name(PRINCIPAL_UNKNOWN),
	    "unknown");
	assert_string_equal(principal_strength_name(PRINCIPAL_WEAK), "weak");
	assert_string_equal(principal_strength_name(PRINCIPAL_STRONG),
	    "strong");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
