/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/tb_error.h"

static void
test_set(void **state)
{
	struct tb_error err = TB_ERROR_INIT;

	err.retry_after_ms = 5;
	assert_int_equal(tb_error_set(&err, TB_E_IO, "%s: no %d", "x", 7), -1);
	assert_int_equal(err.code, TB_E_IO);
	assert_string_equal(err.msg, "x: no 7");
	assert_int_equal(err.retry_after_ms, 0);
	/* the old text may be an argument of the new one */
	tb_error_set(&err, TB_E_PROTO, "again: %s", err.msg);
	assert_string_equal(err.msg, "again: x: no 7");
}

static void
test_wrap(void **state)
{
	struct tb_error err = TB_ERROR_INIT;

	tb_error_set(&err, TB_E_BUSY, "slow");
	err.retry_after_ms = 9;
	assert_int_equal(tb_error_wrap(&err, "login %s", "ops"), -1);
	assert_string_equal(err.msg, "login ops: slow");
	assert_int_equal(err.code, TB_E_BUSY);
	assert_int_equal(err.retry_after_ms, 9);
	tb_error_wrap(&err, "%s", err.msg);
	assert_string_equal(err.msg, "login ops: slow: login ops: slow");
}

static void
test_errno(void **state)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(tb_error_errno(&err, TB_E_IO, ENOENT, "open %s",
	    "/x"), -1);
	assert_string_equal(err.msg, "open /x: No such file or directory");
}

static void
test_too_long(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	char text[1000];
	int i;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	tb_error_set(&err, TB_E_IO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	for (i = 0; i < 3; i++)
		tb_error_wrap(&err, "front%d", i);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	assert_memory_equal(err.msg, "front2: front1: front0: aaa", 27);
	tb_error_errno(&err, TB_E_IO, EIO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	tb_error_wrap(&err, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void
test_names_and_classes(void **state)
{
	static const struct {
		enum tb_errc code;
		const char *name;
		int transient;
	} t[] = {
		{ TB_OK, "ok", 0 },
		{ TB_E_TRANSIENT, "transient", 1 },
		{ TB_E_UNREACHED, "unreached", 1 },
		{ TB_E_BUSY, "busy", 1 },
		{ TB_E_LOGIN, "login", 0 },
		{ TB_E_DENIED, "denied", 0 },
		{ TB_E_BADREQ, "badreq", 0 },
		{ TB_E_UPSTREAM, "upstream", 0 },
		{ TB_E_PROTO, "proto", 0 },
		{ TB_E_CONFIG, "config", 0 },
		{ TB_E_IO, "io", 0 },
		{ TB_E_LIMIT, "limit", 0 },
		{ TB_E_CANCELLED, "cancelled", 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct tb_error err = { .code = t[i].code };

		assert_string_equal(tb_error_name(t[i].code), t[i].name);
		assert_int_equal(tb_error_is_transient(&err), t[i].transient);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_names_and_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
