/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "lib/seal.h"

#define KEY_HEX \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEAD_BYTES (4 + 8 + 16 + 8 + 32 + 12)
#define STATE_A "state of host A."
#define FORMAT_1 \
	"\x54\x42\x52\x31\x15\xe8\xe9\x31\x0f\x28\xab\x52\x00\x00\x00\x00" \
	"\x00\x00\x00\x03\x4a\xa2\x4c\x02\xcb\xc9\x85\x5d\xb1\x2c\x2e\x31" \
	"\xa6\xe2\x4e\x21\x57\xf6\x08\x53\x45\xf7\xcb\x7c\xf9\x6b\xc4\x6c" \
	"\x47\x3a\x69\x62\x16\x2d\x1b\x09\x11\x8e\x68\xe4\x56\x54\x10\xad" \
	"\xdd\x81\x51\x1d\x97\x26\x31\xcd\x07\xe0\x78\x85\x67\x94\x24\x95" \
	"\x2e\x1d\x8f\x3f\x02\x57\x2b\x64"

static struct seal *
seal_of(const void *key, size_t len)
{
	struct secret s _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct seal *seal;

	secret_set(&s, key, len);
	seal = seal_new(&s, &err);
	if (seal)
		assert_int_equal(err.code, TB_OK);
	else
		assert_int_equal(err.code, TB_E_CONFIG);
	return seal;
}

static struct seal *
seal_ours(void)
{
	struct seal *s = seal_of(KEY_HEX, 64);

	seal_set_state(s, (const unsigned char *)STATE_A);
	return s;
}

static void
seal_freep(struct seal **s)
{
	seal_free(*s);
}

/* A sealed record of `text`, version 7, named "token db". */
static unsigned char *
sealed(struct seal *s, const char *text, size_t *len)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	unsigned char *out = NULL;

	secret_set_str(&plain, text);
	assert_int_equal(seal_close(s, "token db", 7, &plain, &out, len,
			     &err), 0);
	return out;
}

static void
test_round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, 70000 };
	struct seal *s _cleanup_(seal_freep) = seal_ours();

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct secret in _cleanup_(secret_clear) = SECRET_INIT;
		struct secret out _cleanup_(secret_clear) = SECRET_INIT;
		struct tb_error err = TB_ERROR_INIT;
		_cleanup_free_ unsigned char *b = NULL;
		struct seal_info info;
		size_t len = 0;

		if (sizes[i])
			memset(secret_alloc(&in, sizes[i]), 'a' + (int)i,
			    sizes[i]);
		assert_int_equal(seal_close(s, "login ops",
				     UINT64_C(0x0102030405060708), &in, &b,
				     &len, &err), 0);
		assert_int_equal(len, HEAD_BYTES + sizes[i] + 16);
		assert_int_equal(seal_open(s, "login ops", b, len, &info,
				     &out, &err), SEAL_OK);
		assert_int_equal(err.code, TB_OK);
		assert_true(secret_equal(&in, &out));
		assert_true(info.version == UINT64_C(0x0102030405060708));
		assert_int_equal(info.format, 2);
		assert_false(info.other_key);
		assert_memory_equal(info.state, STATE_A, 16);
		/* state and version are readable in the head, big endian */
		assert_memory_equal(b, "TBR2", 4);
		assert_memory_equal(b + 12, STATE_A, 16);
		assert_memory_equal(b + 28, "\1\2\3\4\5\6\7\10", 8);
		if (sizes[i] > 16)
			assert_null(memmem(b, len, secret_reveal(&in), 16));
	}
}

static void
test_every_record_is_different(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	size_t n, m;
	_cleanup_free_ unsigned char *a = sealed(s, "same", &n);
	_cleanup_free_ unsigned char *b = sealed(s, "same", &m);

	assert_int_equal(n, m);
	assert_memory_equal(a, b, 36);
	assert_memory_not_equal(a + 36, b + 36, 32);
	assert_memory_not_equal(a + HEAD_BYTES, b + HEAD_BYTES, 4);
}

static void
expect_damaged(struct seal *s, const char *name, const unsigned char *b,
    size_t len, enum seal_verdict want, const char *text)
{
	struct secret out _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct seal_info info = { .version = 42 };

	assert_int_equal(seal_open(s, name, b, len, &info, &out, &err),
	    want);
	assert_int_equal(err.code, want == SEAL_NEWER ? TB_E_CONFIG :
	    TB_E_IO);
	if (!strstr(err.msg, text))
		fail_msg("'%s' does not say '%s'", err.msg, text);
	assert_true(secret_is_empty(&out));
	if (want != SEAL_FOREIGN_STATE)
		assert_true(info.version == 42);
}

static void
test_renamed(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	size_t n;
	_cleanup_free_ unsigned char *b = sealed(s, "text", &n);

	expect_damaged(s, "token dB", b, n, SEAL_DAMAGED,
	    "record 'token dB' is damaged, altered or renamed");
	expect_damaged(s, "token d", b, n, SEAL_DAMAGED, "renamed");
	expect_damaged(s, "", b, n, SEAL_DAMAGED, "renamed");
}

static void
test_foreign_key(void **state)
{
	char other[] = KEY_HEX;
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	struct seal *o _cleanup_(seal_freep) = NULL;
	_cleanup_free_ unsigned char *b = NULL;
	_cleanup_free_ char *text = NULL;
	size_t n;

	other[0] = 'f';
	o = seal_of(other, 64);
	assert_string_not_equal(seal_key_id(s), seal_key_id(o));
	b = sealed(s, "text", &n);
	text = xasprintf("is sealed with master key %s, ours is %s",
	    seal_key_id(s), seal_key_id(o));
	expect_damaged(o, "token db", b, n, SEAL_FOREIGN_KEY, text);
}

static void
test_truncated_everywhere(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	size_t n;
	_cleanup_free_ unsigned char *b = sealed(s, "some text", &n);

	for (size_t len = 0; len < n; len++) {
		/* its own allocation: a read past the end shows */
		_cleanup_free_ unsigned char *cut = xcalloc(1, len);

		memcpy(cut, b, len);
		expect_damaged(s, "token db", cut, len, SEAL_DAMAGED, "");
	}
}

static void
test_every_byte_flipped(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	size_t n;
	_cleanup_free_ unsigned char *b = sealed(s, "some text", &n);

	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			bool id = i >= 4 && i < 12;

			b[i] ^= (unsigned char)(1 << bit);
			expect_damaged(s, "token db", b, n,
			    id ? SEAL_FOREIGN_KEY : SEAL_DAMAGED, "");
			b[i] ^= (unsigned char)(1 << bit);
		}
	/* and it was not the test that broke it */
	{
		struct secret out _cleanup_(secret_clear) = SECRET_INIT;
		struct tb_error err = TB_ERROR_INIT;
		struct seal_info info;

		assert_int_equal(seal_open(s, "token db", b, n, &info, &out,
				     &err), SEAL_OK);
	}
}

static void
test_appended(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	size_t n;
	_cleanup_free_ unsigned char *b = sealed(s, "text", &n);

	b = xreallocarray(b, n + 1, 1);
	b[n] = 0;
	expect_damaged(s, "token db", b, n + 1, SEAL_DAMAGED, "damaged");
}

static void
test_key_forms(void **state)
{
	unsigned char raw[32];
	struct seal *a _cleanup_(seal_freep) = seal_of(KEY_HEX, 64);
	struct seal *b _cleanup_(seal_freep) = seal_of(KEY_HEX "\n", 65);
	struct seal *c _cleanup_(seal_freep) = NULL;

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (unsigned char)i;
	c = seal_of(raw, sizeof(raw));
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	/* by another implementation of HKDF (RFC 5869) */
	assert_string_equal(seal_key_id(a), "15e8e9310f28ab52");
	assert_string_equal(seal_key_id(a), seal_key_id(b));
	assert_string_equal(seal_key_id(a), seal_key_id(c));
}

static void
test_bad_keys(void **state)
{
	struct secret s _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	assert_null(seal_of("", 0));
	assert_null(seal_of(KEY_HEX, 31));
	assert_null(seal_of(KEY_HEX, 33));
	assert_null(seal_of(KEY_HEX, 63));
	assert_null(seal_of(KEY_HEX "0", 65));
	assert_null(seal_of(KEY_HEX "\n\n", 66));
	assert_null(seal_of("g" KEY_HEX, 64));
	secret_set_str(&s, "short");
	assert_null(seal_new(&s, &err));
	assert_string_equal(err.msg,
	    "the master key must be 32 bytes or 64 hexadecimal digits");
}

static void
test_fingerprint(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	struct seal *o _cleanup_(seal_freep) = seal_of(
	    "0123456789abcdef0123456789abcdef", 32);
	struct secret v _cleanup_(secret_clear) = SECRET_INIT;
	char a[17], b[17];

	secret_set_str(&v, "token-value-1");
	seal_fingerprint(s, &v, a);
	/* pinned: status and audit lines of one installation stay comparable
	 * across versions */
	assert_string_equal(a, "50d97be335829b51");
	seal_fingerprint(s, &v, b);
	assert_string_equal(a, b);
	seal_fingerprint(o, &v, b);
	assert_string_not_equal(a, b);
	secret_set_str(&v, "token-value-2");
	seal_fingerprint(s, &v, b);
	assert_string_not_equal(a, b);
}

static void
test_derive(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	struct secret a _cleanup_(secret_clear) = SECRET_INIT;
	struct secret b _cleanup_(secret_clear) = SECRET_INIT;
	struct secret c _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(seal_derive(s, "audit", &a, &err), 0);
	assert_int_equal(seal_derive(s, "counter", &b, &err), 0);
	assert_int_equal(seal_derive(s, "audit", &c, &err), 0);
	assert_int_equal(a.len, 32);
	assert_false(secret_equal(&a, &b));
	assert_true(secret_equal(&a, &c));
}

static const char *
reads(struct seal *s, const char *name, const unsigned char *b, size_t len,
    struct seal_info *info)
{
	static char text[64];
	struct secret out _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	if (seal_open(s, name, b, len, info, &out, &err) != SEAL_OK)
		return err.msg[0] ? "(does not open)" : "(no text)";
	snprintf(text, sizeof(text), "%s", secret_reveal(&out));
	return text;
}

/* What 0.1.0 wrote: "old text", version 3, named "token db". */
static void
test_format_1(void **state)
{
	static const unsigned char old[] = FORMAT_1;
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	unsigned char copy[sizeof(old) - 1];
	struct seal_info info;

	assert_string_equal(reads(s, "token db", old, sizeof(old) - 1, &info),
	    "old text");
	assert_int_equal(info.format, 1);
	assert_int_equal(info.version, 3);
	assert_memory_equal(info.state, "\0\0\0\0\0\0\0\0", 8);
	expect_damaged(s, "token dB", old, sizeof(old) - 1, SEAL_DAMAGED,
	    "renamed");
	for (size_t i = 0; i < sizeof(copy); i++) {
		memcpy(copy, old, sizeof(copy));
		copy[i] ^= 1;
		expect_damaged(s, "token db", copy, sizeof(copy),
		    i >= 4 && i < 12 ? SEAL_FOREIGN_KEY : SEAL_DAMAGED, "");
	}
}

static void
test_newer_format(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	size_t n;
	_cleanup_free_ unsigned char *b = sealed(s, "text", &n);

	/* only the magic: a damaged record of ours */
	b[3] = '3';
	expect_damaged(s, "token db", b, n, SEAL_DAMAGED, "damaged");
	b[40] ^= 1;
	expect_damaged(s, "token db", b, n, SEAL_NEWER, "record 'token db' "
	    "has the format TBR3 of a later version of tokenbroker; this one "
	    "reads TBR1 and TBR2");
	expect_damaged(s, "token db", (const unsigned char *)"TBR9", 4,
	    SEAL_NEWER, "TBR9");
	b[3] = 'x';
	expect_damaged(s, "token db", b, n, SEAL_DAMAGED, "not a sealed");
}

static void
test_state(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	struct seal *any _cleanup_(seal_freep) = seal_of(KEY_HEX, 64);
	struct seal_info info;
	size_t n;
	_cleanup_free_ unsigned char *b = sealed(s, "text", &n);

	assert_string_equal(seal_state_id(s),
	    "7374617465206f6620686f737420412e");
	assert_false(seal_has_state(any));
	assert_string_equal(reads(any, "token db", b, n, &info), "text");
	assert_memory_equal(info.state, STATE_A, 16);
	seal_set_state(any, (const unsigned char *)"state of host B.");
	expect_damaged(any, "token db", b, n, SEAL_FOREIGN_STATE,
	    "belongs to another state directory");
	/* and the id cannot be edited */
	b[12] ^= 1;
	expect_damaged(s, "token db", b, n, SEAL_DAMAGED, "altered");
}

static void
test_two_keys(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	struct seal *c _cleanup_(seal_freep) = NULL;
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	struct secret v _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	char first[17], id[17], a[17], b[17];
	struct seal_info info;
	size_t n, m;
	_cleanup_free_ unsigned char *old = sealed(s, "old", &n), *fresh = NULL;

	snprintf(first, sizeof(first), "%s", seal_key_id(s));
	secret_set_str(&v, "value");
	seal_fingerprint(s, &v, a);
	assert_null(seal_other_key_id(s));
	secret_set_str(&key, "another key of 32 bytes, exactly");
	assert_int_equal(seal_add_key(s, &key, &err), 0);
	snprintf(id, sizeof(id), "%s", seal_other_key_id(s));
	assert_string_not_equal(id, first);
	seal_swap_keys(s);
	assert_string_equal(seal_key_id(s), id);
	assert_string_equal(seal_other_key_id(s), first);

	fresh = sealed(s, "new", &m);
	c = seal_clone(s, &err);
	assert_non_null(c);
	for (int i = 0; i < 2; i++) {
		struct seal *one = i ? c : s;

		assert_string_equal(reads(one, "token db", old, n, &info),
		    "old");
		assert_true(info.other_key);
		assert_string_equal(reads(one, "token db", fresh, m, &info),
		    "new");
		assert_false(info.other_key);
		seal_fingerprint(one, &v, b);
		assert_string_equal(a, b);
	}
	seal_export_key(s, false, &v);
	assert_true(secret_equal(&v, &key));
	seal_drop_other_key(s);
	assert_null(seal_other_key_id(s));
	expect_damaged(s, "token db", old, n, SEAL_FOREIGN_KEY, first);
	secret_set_str(&key, "short");
	assert_int_equal(seal_add_key(s, &key, &err), -1);
	assert_null(seal_other_key_id(s));
}

static void
test_fingerprint_key(void **state)
{
	struct seal *s _cleanup_(seal_freep) = seal_ours();
	struct seal *o _cleanup_(seal_freep) = seal_of(
	    "0123456789abcdef0123456789abcdef", 32);
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	struct secret v _cleanup_(secret_clear) = SECRET_INIT;
	char a[17], b[17];

	secret_set_str(&v, "token-value-1");
	seal_get_fingerprint_key(s, &key);
	assert_int_equal(key.len, 32);
	seal_set_fingerprint_key(o, &key);
	seal_fingerprint(s, &v, a);
	seal_fingerprint(o, &v, b);
	assert_string_equal(a, b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_record_is_different),
		cmocka_unit_test(test_renamed),
		cmocka_unit_test(test_foreign_key),
		cmocka_unit_test(test_truncated_everywhere),
		cmocka_unit_test(test_every_byte_flipped),
		cmocka_unit_test(test_appended),
		cmocka_unit_test(test_key_forms),
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test(test_fingerprint),
		cmocka_unit_test(test_derive),
		cmocka_unit_test(test_format_1),
		cmocka_unit_test(test_newer_format),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_two_keys),
		cmocka_unit_test(test_fingerprint_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
