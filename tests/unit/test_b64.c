/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "base/b64.h"
#include "base/secret.h"

static const struct {
	const char *bytes;
	size_t len;
	const char *url, *std;
} vectors[] = {
	{ "", 0, "", "" },
	{ "f", 1, "Zg", "Zg==" },
	{ "fo", 2, "Zm8", "Zm8=" },
	{ "foo", 3, "Zm9v", "Zm9v" },
	{ "foob", 4, "Zm9vYg", "Zm9vYg==" },
	{ "foobar", 6, "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xff\xef\xbe\xfb\xf0", 5, "_---" "-_A", "/+++" "+/A=" },
	{ "\0\0", 2, "AAA", "AAA=" },
};

static void
test_url(void **state)
{
	unsigned char *out;
	size_t len, i;
	char *s;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		s = b64url_encode(vectors[i].bytes, vectors[i].len);
		assert_string_equal(s, vectors[i].url);
		assert_true(b64url_decode(s, strlen(s), &out, &len));
		assert_int_equal(len, vectors[i].len);
		assert_memory_equal(out, vectors[i].bytes, len);
		assert_int_equal(out[len], 0);
		free(out);
		free(s);
	}
}

static void
test_url_refuses(void **state)
{
	static const char *const bad[] = {
		"A", "AAAAA",        /* no such length */
		"Zg==", "Zm8=",      /* padding */
		"Zh", "Zm9", "ZgA1x", /* bits that belong to no byte */
		"Zm 8", "Zm8\n", "Zm+8", "Zm/8", "Zm.8", "Zm\xc3\xa9",
	};
	unsigned char *out = NULL;
	size_t len = 77, i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(b64url_decode(bad[i], strlen(bad[i]), &out, &len));
	assert_false(b64url_decode("AA\0A", 4, &out, &len));
	assert_null(out);
	assert_int_equal(len, 77);
}

static void
test_secret(void **state)
{
	struct secret in = SECRET_INIT, out = SECRET_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		secret_set(&in, vectors[i].bytes, vectors[i].len);
		b64_encode_secret(&in, &out);
		assert_string_equal(secret_reveal(&out), vectors[i].std);
		assert_int_equal(out.len, strlen(vectors[i].std));
	}
	secret_set_str(&in, "user:pass");
	b64_encode_secret(&in, &in); /* in place */
	assert_string_equal(secret_reveal(&in), "dXNlcjpwYXNz");
	secret_clear(&in);
	secret_clear(&out);
}

static void
test_hex(void **state)
{
	unsigned char b[3];
	char s[7];

	assert_ptr_equal(hex_encode("\x00\xab\xff", 3, s), s);
	assert_string_equal(s, "00abff");
	assert_true(hex_decode("00ABff", b, 3));
	assert_memory_equal(b, "\x00\xab\xff", 3);
	assert_false(hex_decode("00abf", b, 3));
	assert_false(hex_decode("00abff0", b, 3));
	assert_false(hex_decode("00abfg", b, 3));
	assert_false(hex_decode("0x0000", b, 3));
	assert_false(hex_decode("", b, 3));
	assert_true(hex_decode("", b, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url),
		cmocka_unit_test(test_url_refuses),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
