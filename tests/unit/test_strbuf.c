/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/strbuf.h"

static void
test_add(void **state)
{
	struct strbuf b = STRBUF_INIT;
	char *s;
	int i;

	assert_string_equal(strbuf_str(&b), "");
	strbuf_reset(&b);
	strbuf_adds(&b, "ab");
	strbuf_addc(&b, 'c');
	strbuf_add(&b, "defg", 2);
	strbuf_addf(&b, "-%d-%s", 42, "x");
	assert_string_equal(strbuf_str(&b), "abcde-42-x");
	assert_int_equal(b.len, 10);
	for (i = 0; i < 1000; i++)
		strbuf_addf(&b, "%0100d", i);
	assert_int_equal(b.len, 100010);
	assert_int_equal(strlen(strbuf_str(&b)), 100010);
	strbuf_reset(&b);
	assert_string_equal(strbuf_str(&b), "");
	assert_true(b.cap > 100000);
	strbuf_adds(&b, "end");
	s = strbuf_steal(&b);
	assert_string_equal(s, "end");
	assert_null(b.s);
	free(s);
	s = strbuf_steal(&b);
	assert_string_equal(s, "");
	free(s);
	strbuf_clear(&b);
}

#define FFFD "\xef\xbf\xbd"

static void
test_json(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ NULL, "null" },
		{ "", "\"\"" },
		{ "plain", "\"plain\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\n\r\t\b\x01\x1f\x7f", "\"\\n\\r\\t\\u0008\\u0001\\u001f"
		    "\\u007f\"" },
		{ "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
		    "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"" },
		{ "\xc3", "\"" FFFD "\"" },             /* cut short */
		{ "a\xe2\x82", "\"a" FFFD FFFD "\"" },
		{ "\x80z", "\"" FFFD "z\"" },           /* no first byte */
		{ "\xc0\xaf", "\"" FFFD FFFD "\"" },    /* overlong */
		{ "\xe0\x80\xaf", "\"" FFFD FFFD FFFD "\"" },
		{ "\xf0\x8f\xbf\xbf", "\"" FFFD FFFD FFFD FFFD "\"" },
		{ "\xed\xa0\x80", "\"" FFFD FFFD FFFD "\"" }, /* surrogate */
		{ "\xf4\x90\x80\x80", "\"" FFFD FFFD FFFD FFFD "\"" },
		{ "\xff\xfe", "\"" FFFD FFFD "\"" },
		{ "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"" },
		{ "\xe2\"", "\"" FFFD "\\\"\"" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct strbuf b = STRBUF_INIT;

		strbuf_add_json(&b, t[i].in);
		assert_string_equal(strbuf_str(&b), t[i].out);
		strbuf_clear(&b);
	}
}

static void
test_percent(void **state)
{
	struct strbuf b = STRBUF_INIT;

	strbuf_add_percent(&b, "aZ09-._~ +&=/%\xc3\xa9\x01");
	assert_string_equal(strbuf_str(&b),
	    "aZ09-._~%20%2B%26%3D%2F%25%C3%A9%01");
	strbuf_add_percent(&b, "");
	assert_int_equal(b.len, 35);
	strbuf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_percent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
