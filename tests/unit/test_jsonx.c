/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/tb_error.h"
#include "lib/jsonx.h"

static json_t *
parse(const char *text)
{
	struct tb_error err = TB_ERROR_INIT;
	json_t *j = jsonx_parse(text, strlen(text), &err);

	assert_non_null(j);
	return j;
}

static void
test_parse(void **state)
{
	static const struct {
		const char *text, *msg; /* NULL: fine */
	} t[] = {
		{ "{}", NULL }, { " [1,2] \n", NULL },
		{ "{\"a\":{\"a\":1}}", NULL },
		{ "{\"a\":\"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\\\"[\"}",
		    NULL },
		{ "", "empty, where JSON is expected" },
		{ "1", "not valid JSON at line 1 column 1" },
		{ "\"s3cret\"", "not valid JSON at line 1 column 8" },
		{ "{\"a\":s3cret}", "not valid JSON at line 1 column 6" },
		{ "{\"a\":1,\n \"a\":2}",
		    "JSON with a duplicate member at line 2 column 4" },
		{ "{} x", "not valid JSON at line 1 column 4" },
		{ "{\"a\":\"\xff\"}", "not valid JSON at line 1 column 6" },
		{ "{\"a\":\"\\u0000\"}", "not valid JSON at line 1 column 13" },
		{ "{\"a\":99999999999999999999}",
		    "not valid JSON at line 1 column 25" },
		{ "<html>s3cret</html>", "not valid JSON at line 1 column 1" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct tb_error err = TB_ERROR_INIT;
		_cleanup_json_ json_t *j = jsonx_parse(t[i].text,
		    strlen(t[i].text), &err);

		if (!j != !!t[i].msg || (!j && strcmp(err.msg, t[i].msg)))
			fail_msg("%s: %s", t[i].text, err.msg);
		if (!j)
			assert_int_equal(err.code, TB_E_PROTO);
	}
}

static void
test_depth(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	char text[200];
	json_t *j;
	int depth;

	for (depth = 31; depth <= 34; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		j = jsonx_parse(text, 2 * (size_t)depth, &err);
		assert_int_equal(j != NULL, depth <= 32);
		json_decref(j);
	}
	assert_string_equal(err.msg, "JSON is nested deeper than 32 levels");
	/* not closed, and backslashes at the end */
	assert_null(jsonx_parse("\"\\", 2, &err));
}

static void
test_secret_forms(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct secret s = SECRET_INIT;
	json_t *j;

	secret_set_str(&s, "{\"a\":[1,\"x\"]}");
	j = jsonx_parse_object(&s, &err);
	assert_non_null(j);
	secret_clear(&s);
	jsonx_dump(j, &s);
	assert_string_equal(secret_reveal(&s), "{\"a\":[1,\"x\"]}");
	jsonx_dump(json_object_get(j, "a"), &s);
	assert_string_equal(secret_reveal(&s), "[1,\"x\"]");
	json_decref(j);
	assert_null(jsonx_parse_object(&s, &err) );
	assert_string_equal(err.msg, "not a JSON object");
	j = jsonx_parse_secret(&s, &err);
	assert_true(json_is_array(j));
	json_decref(j);
	secret_clear(&s);
	assert_null(jsonx_parse_object(&s, &err));
	assert_string_equal(err.msg, "empty, where JSON is expected");
}

static void
test_strings(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	struct secret s = SECRET_INIT;
	const char *v = "as it was";
	_cleanup_json_ json_t *j = parse("{\"s\":\"x\",\"n\":1,\"z\":null}");

	assert_int_equal(jsonx_opt_str(j, "none", &v, &err), 0);
	assert_int_equal(jsonx_opt_str(j, "z", &v, &err), 0);
	assert_string_equal(v, "as it was");
	assert_int_equal(jsonx_str(j, "none", &v, &err), -1);
	assert_string_equal(err.msg, "member 'none' is missing");
	assert_int_equal(jsonx_str(j, "z", &v, &err), -1);
	assert_string_equal(err.msg, "member 'z' is missing");
	assert_int_equal(jsonx_str(j, "n", &v, &err), -1);
	assert_string_equal(err.msg, "member 'n' must be a string");
	assert_int_equal(jsonx_opt_str(j, "n", &v, &err), -1);
	assert_int_equal(jsonx_str(j, "s", &v, &err), 0);
	assert_string_equal(v, "x");
	json_object_set_new(j, "nul", json_stringn("a\0b", 3));
	assert_int_equal(jsonx_str(j, "nul", &v, &err), -1);
	assert_string_equal(err.msg, "member 'nul' must be a string without "
	    "NUL");
	assert_int_equal(jsonx_str(NULL, "s", &v, &err), -1);

	assert_int_equal(jsonx_secret(j, "s", &s, &err), 0);
	assert_string_equal(secret_reveal(&s), "x");
	assert_int_equal(jsonx_opt_secret(j, "z", &s, &err), 0);
	assert_string_equal(secret_reveal(&s), "x");
	assert_int_equal(jsonx_secret(j, "z", &s, &err), -1);
	assert_int_equal(jsonx_secret(j, "n", &s, &err), -1);
	assert_string_equal(err.msg, "member 'n' must be a string");
	secret_clear(&s);
}

static void
test_numbers(void **state)
{
	static const struct {
		const char *json;
		int64_t v;
		const char *msg;
	} t[] = {
		{ "600", 600, NULL }, { "-5", -5, NULL },
		{ "\"600\"", 600, NULL }, { "\"-5\"", -5, NULL },
		{ "\"007\"", 7, NULL }, { "3599.9", 3599, NULL },
		{ "1e3", 1000, NULL },
		{ "9223372036854775807", INT64_MAX, NULL },
		{ "\"9223372036854775807\"", INT64_MAX, NULL },
		{ "\"-9223372036854775808\"", INT64_MIN, NULL },
		{ "\"9223372036854775808\"", 77, "must be a number" },
		{ "\"-9223372036854775809\"", 77, "must be a number" },
		{ "1e16", 77, "must be a number" },
		{ "\"\"", 77, "must be a number" },
		{ "\"-\"", 77, "must be a number" },
		{ "\"1 \"", 77, "must be a number" },
		{ "\"1.5\"", 77, "must be a number" },
		{ "\"0x1\"", 77, "must be a number" },
		{ "\"+1\"", 77, "must be a number" },
		{ "true", 77, "must be a number" },
		{ "[1]", 77, "must be a number" },
		{ "null", 77, "is missing" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct tb_error err = TB_ERROR_INIT;
		char text[100];
		_cleanup_json_ json_t *j = NULL;
		int64_t v = 77;
		int r;

		snprintf(text, sizeof(text), "{\"n\":%s}", t[i].json);
		j = parse(text);
		r = jsonx_int(j, "n", &v, &err);
		assert_int_equal(r, t[i].msg ? -1 : 0);
		assert_int_equal(v, t[i].v);
		if (r < 0) {
			assert_memory_equal(err.msg, "member 'n' ", 11);
			assert_string_equal(err.msg + 11, t[i].msg);
		}
		assert_int_equal(jsonx_opt_int(j, "other", &v, &err), 0);
		assert_int_equal(v, t[i].v);
	}
}

static void
test_bools(void **state)
{
	struct tb_error err = TB_ERROR_INIT;
	_cleanup_json_ json_t *j = parse("{\"t\":true,\"f\":false,\"s\":\"true\","
	    "\"n\":1,\"z\":null}");
	bool v = false;

	assert_int_equal(jsonx_opt_bool(j, "t", &v, &err), 0);
	assert_true(v);
	assert_int_equal(jsonx_opt_bool(j, "z", &v, &err), 0);
	assert_true(v);
	assert_int_equal(jsonx_opt_bool(j, "f", &v, &err), 0);
	assert_false(v);
	assert_int_equal(jsonx_opt_bool(j, "s", &v, &err), -1);
	assert_string_equal(err.msg, "member 's' must be true or false");
	assert_int_equal(jsonx_opt_bool(j, "n", &v, &err), -1);
}

static void
test_pointer(void **state)
{
	/* the document of RFC 6901 section 5, and an array of objects */
	_cleanup_json_ json_t *j = parse("{\"foo\":[\"bar\",\"baz\"],\"\":0,"
	    "\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,"
	    "\"k\\\"l\":6,\" \":7,\"m~n\":8,\"data\":[{\"token\":9}]}");
	static const struct {
		const char *pointer;
		int v; /* -1: nothing */
	} t[] = {
		{ "/", 0 }, { "/a~1b", 1 }, { "/c%d", 2 }, { "/e^f", 3 },
		{ "/g|h", 4 }, { "/i\\j", 5 }, { "/k\"l", 6 }, { "/ ", 7 },
		{ "/m~0n", 8 }, { "/data/0/token", 9 },
		{ "/data/00/token", -1 }, { "/data/-0/token", -1 },
		{ "/data/1/token", -1 }, { "/data/-/token", -1 },
		{ "/data/x", -1 }, { "/none", -1 }, { "/a/b", -1 },
		{ "/m~n", -1 }, { "/m~2n", -1 }, { "/m~", -1 }, { "a", -1 },
		{ "/data/0/token/x", -1 }, { "/data/", -1 },
		{ "/data/99999999999999999999", -1 },
	};
	size_t i;

	assert_ptr_equal(jsonx_pointer(j, ""), j);
	assert_string_equal(json_string_value(jsonx_pointer(j, "/foo/1")),
	    "baz");
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *found = jsonx_pointer(j, t[i].pointer);

		if (found ? json_integer_value(found) != t[i].v : t[i].v != -1)
			fail_msg("%s", t[i].pointer);
	}
	assert_null(jsonx_pointer(NULL, ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_secret_forms),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_bools),
		cmocka_unit_test(test_pointer),
	};

	jsonx_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
