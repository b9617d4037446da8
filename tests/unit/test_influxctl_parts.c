/* SPDX-License-Identifier: Apache-2.0 */
/* tokenbroker-influxctl: which version a text speaks of, and which questions
 * are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "influxctl/question.h"
#include "influxctl/version.h"
#include "lib/jsonx.h"

static void
test_versions_in_texts(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: none */
	} rows[] = {
		{ "influxctl v2.11.0 (git: 0123abc)", "2.11.0" },
		{ "2.6.0", "2.6.0" },
		{ "influxctl version 2.10.0-rc1, go1.22.3", "2.10.0" },
		{ "2.6.0\nA newer version is available: 2.12.0", "2.6.0" },
		{ "a newer one: 2.12.0\ninfluxctl 2.6.0.", "2.6.0" },
		{ "\"version\":\"2.11.1\"", "2.11.1" },
		{ "go1.22.3", NULL },
		{ "127.0.0.1", NULL },
		{ "2.10", NULL },
		{ "2.10.", NULL },
		{ "", NULL },
		{ "v", NULL },
		{ "2.10.0x", NULL },
		{ "1234567.1.1", NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct version got = { { 0 } }, want = { { 0 } };
		bool found = version_find(rows[i].text, strlen(rows[i].text),
		    &got);

		if (found != !!rows[i].want)
			fail_msg("'%s'", rows[i].text);
		if (rows[i].want) {
			assert_true(version_parse(rows[i].want, &want));
			assert_memory_equal(&got, &want, sizeof(got));
		}
	}
}

static void
test_older(void **state)
{
	static const struct {
		const char *a, *b;
		bool older;
	} rows[] = {
		{ "2.6.0", "2.10.0", true }, { "2.10.0", "2.10.0", false },
		{ "2.10.1", "2.10.0", false }, { "2.9.9", "2.10.0", true },
		{ "3.0.0", "2.10.0", false }, { "1.99.99", "2.10.0", true },
		{ "2.10.0", "2.10.1", true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct version a, b;

		assert_true(version_parse(rows[i].a, &a));
		assert_true(version_parse(rows[i].b, &b));
		assert_int_equal(version_is_older(&a, &b), rows[i].older);
	}
}

#define HEAD "{\"name\":\"p\",\"timeout_ms\":5,\"args\":[\"a\"],"
#define FILE_AT(path) HEAD "\"files\":[{\"path\":\"" path "\",\"text\":\"\"}]}"

static void
test_questions(void **state)
{
	static const struct {
		const char *text, *says; /* NULL: fine */
	} rows[] = {
		{ HEAD "\"files\":[]}", NULL },
		{ FILE_AT("a/.b/c..d"), NULL },
		{ HEAD "\"files\":[],\"min_version\":\"2.10.0\","
		    "\"version_args\":[\"version\"]}", NULL },
		{ "[]", "object" },
		{ "{", "line 1" },
		{ FILE_AT("../x"), "stays in the home" },
		{ FILE_AT("a/../x"), "stays in the home" },
		{ FILE_AT("a/.."), "stays in the home" },
		{ FILE_AT("./x"), "stays in the home" },
		{ FILE_AT("/etc/x"), "stays in the home" },
		{ FILE_AT("a//x"), "stays in the home" },
		{ FILE_AT("a/"), "stays in the home" },
		{ FILE_AT(""), "stays in the home" },
		{ HEAD "\"files\":[{\"path\":\"a\"}]}", "stays in the home" },
		{ HEAD "\"files\":{}}", "files" },
		{ "{\"name\":\"../p\",\"timeout_ms\":5,\"args\":[\"a\"],"
		    "\"files\":[]}", "name must be" },
		{ "{\"name\":\".p\",\"timeout_ms\":5,\"args\":[\"a\"],"
		    "\"files\":[]}", "name must be" },
		{ "{\"name\":\"p\",\"timeout_ms\":0,\"args\":[\"a\"],"
		    "\"files\":[]}", "timeout_ms" },
		{ "{\"name\":\"p\",\"timeout_ms\":600001,\"args\":[\"a\"],"
		    "\"files\":[]}", "timeout_ms" },
		{ "{\"name\":\"p\",\"timeout_ms\":5,\"args\":[],"
		    "\"files\":[]}", "args" },
		{ "{\"name\":\"p\",\"timeout_ms\":5,\"args\":[7],"
		    "\"files\":[]}", "args" },
		{ "{\"name\":\"p\",\"timeout_ms\":5,\"args\":[\"a\\u0000b\"],"
		    "\"files\":[]}", "line 1" },
		{ HEAD "\"files\":[],\"min_version\":\"2.10\"}",
		    "min_version" },
		{ HEAD "\"files\":[],\"min_version\":\"2.10.0\"}",
		    "version_args" },
	};

	jsonx_init();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct secret text = SECRET_INIT;
		struct question q = { 0 };
		struct tb_error err = TB_ERROR_INIT;
		int r;

		secret_set_str(&text, rows[i].text);
		r = question_parse(&text, &q, &err);
		if ((r == 0) != !rows[i].says ||
		    (rows[i].says && !strstr(err.msg, rows[i].says)))
			fail_msg("row %zu: %d %s", i, r, err.msg);
		assert_true(secret_is_empty(&text));
		question_clear(&q);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions_in_texts),
		cmocka_unit_test(test_older),
		cmocka_unit_test(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
