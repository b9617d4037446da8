/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: what `get --format` prints.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/secret.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "ctl/format.h"

#define T 1700000000
#define K8S "client.authentication.k8s.io/"

static const struct {
	const char *format, *name, *scheme, *info;
	int64_t expires_at;
	const char *value;
	const char *out; /* NULL: refused, with these words */
	const char *words;
} cases[] = {
	{ "raw", NULL, NULL, NULL, T, "v", "v", NULL },
	{ "env", NULL, NULL, NULL, T, "apiv1_x=", "DB_WRITE_2=apiv1_x=", NULL },
	{ "env", "INFLUX_TOKEN", NULL, NULL, T, "a\"$b",
	    "INFLUX_TOKEN=\"a\\\"\\$b\"", NULL },
	{ "env", "A-B", NULL, NULL, T, "v", NULL, "is no name of a variable" },
	{ "env", "1A", NULL, NULL, T, "v", NULL, "is no name of a variable" },
	{ "env", NULL, "Bearer", NULL, T, "v", NULL, "--scheme is for" },
	{ "header", NULL, NULL, NULL, T, "v\"", "Authorization: Bearer v\"",
	    NULL },
	{ "header", NULL, "Token", NULL, T, "v", "Authorization: Token v",
	    NULL },
	{ "header", "X-Api-Key", NULL, NULL, T, "v", "X-Api-Key: v", NULL },
	{ "header", "X", "Key", NULL, T, "v", "X: Key v", NULL },
	{ "header", "A: b\r\nC", NULL, NULL, T, "v", NULL, "one word each" },
	{ "header", NULL, "a b", NULL, T, "v", NULL, "one word each" },
	{ "header", NULL, NULL, NULL, T, "a\r\nb", NULL, "control character" },
	{ "credential_process", NULL, NULL, NULL, T, "v\"\\",
	    "{\"Version\":1,\"AccessKeyId\":\"db-write.2\","
	    "\"SecretAccessKey\":\"v\\\"\\\\\","
	    "\"Expiration\":\"2023-11-14T22:13:20Z\"}", NULL },
	{ "credential_process", "a\"b", NULL, NULL, 0, "v",
	    "{\"Version\":1,\"AccessKeyId\":\"a\\\"b\","
	    "\"SecretAccessKey\":\"v\"}", NULL },
	{ "exec-credential", NULL, NULL, NULL, T, "v\"",
	    "{\"apiVersion\":\"" K8S "v1\",\"kind\":\"ExecCredential\","
	    "\"status\":{\"token\":\"v\\\"\","
	    "\"expirationTimestamp\":\"2023-11-14T22:13:20Z\"}}", NULL },
	{ "exec-credential", NULL, NULL, "{\"apiVersion\":\"" K8S "v1beta1\"}",
	    0, "v", "{\"apiVersion\":\"" K8S "v1beta1\",\"kind\":"
	    "\"ExecCredential\",\"status\":{\"token\":\"v\"}}", NULL },
	{ "exec-credential", NULL, NULL, "{\"apiVersion\":\"" K8S "v2\"}", T,
	    "v", NULL, "asks for '" K8S "v2'" },
	{ "exec-credential", NULL, NULL, "no JSON", T, "v", NULL,
	    "KUBERNETES_EXEC_INFO" },
	{ "exec-credential", "x", NULL, NULL, T, "v", NULL, "--name is for" },
	{ "json", "x", NULL, NULL, T, "v", NULL, "--name is for" },
};

static void
each_format_is_as_its_reader_wants_it(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct secret value _cleanup_(secret_clear) = SECRET_INIT;
		struct secret out _cleanup_(secret_clear) = SECRET_INIT;
		struct tb_error err = TB_ERROR_INIT;
		struct format_ask a = { .token = "db-write.2",
			.name = cases[i].name, .scheme = cases[i].scheme,
			.exec_info = cases[i].info };

		secret_set_str(&value, cases[i].value);
		assert_int_equal(format_find(cases[i].format, &a.format, &err),
		    0);
		if (format_check(&a, &err) < 0 || format_value(&a, &value,
		    cases[i].expires_at, &out, &err) < 0) {
			if (cases[i].out || !strstr(err.msg, cases[i].words))
				fail_msg("%zu: %s", i, err.msg);
			continue;
		}
		assert_non_null(cases[i].out);
		assert_string_equal(secret_reveal(&out), cases[i].out);
	}
}

static void
another_word_is_an_error(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	enum format f;

	assert_int_equal(format_find("yaml", &f, &err), -1);
	assert_non_null(strstr(err.msg, "'yaml' is none of raw, json, env"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_format_is_as_its_reader_wants_it),
		cmocka_unit_test(another_word_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
