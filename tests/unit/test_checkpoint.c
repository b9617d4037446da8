/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed lines, checked by what shares no code with them: OpenSSL's own reader
 * of PEM, and the bytes put together once more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "fake_now.h"
#include "state/checkpoint.h"

/* RFC 8032 section 7.1, test 1 */
#define SEED "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define PUBLIC "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
/* printf PUBLIC | xxd -r -p | sha256sum, base64 */
#define ID "21fe31dfa154a261"
#define PUBLIC_B64 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static struct checkpoint_key *
make_key(void)
{
	struct secret seed _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct checkpoint_key *k;

	assert_true(hex_decode(SEED, secret_alloc(&seed,
	    CHECKPOINT_SEED_BYTES), CHECKPOINT_SEED_BYTES));
	k = checkpoint_key_new(&seed, &err);
	assert_non_null(k);
	return k;
}

static void
test_key(void **state)
{
	struct secret seed _cleanup_(secret_clear) = SECRET_INIT;
	struct secret other _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct checkpoint_key *k = make_key();

	assert_string_equal(checkpoint_key_id(k), ID);
	assert_string_equal(checkpoint_key_public(k), PUBLIC_B64);
	checkpoint_key_free(k);
	checkpoint_key_free(NULL);

	assert_int_equal(checkpoint_make_seed(&seed, &err), 0);
	assert_int_equal(checkpoint_make_seed(&other, &err), 0);
	assert_int_equal(seed.len, CHECKPOINT_SEED_BYTES);
	assert_false(secret_equal(&seed, &other));
	secret_append_str(&seed, "x");
	assert_null(checkpoint_key_new(&seed, &err));
	assert_string_equal(err.msg, "this is no Ed25519 key of 32 bytes");
}

/* What of text stands between the two; to be freed. */
static char *
between(const char *text, const char *from, const char *to)
{
	const char *a = strstr(text, from), *b;

	assert_non_null(a);
	a += strlen(from);
	b = strstr(a, to);
	assert_non_null(b);
	return xstrndup(a, (size_t)(b - a));
}

static bool
verify(const char *pem, const char *bytes, const char *signature)
{
	unsigned char raw[66];
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r;

	assert_non_null(pkey);
	assert_int_equal(strlen(signature), 88);
	assert_int_equal(EVP_DecodeBlock(raw, (const unsigned char *)signature,
	    88), 66);
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey), 1);
	r = EVP_DigestVerify(ctx, raw, 64, (const unsigned char *)bytes,
	    strlen(bytes));
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	return r == 1;
}

static void
test_line_is_signed_with_what_came_before(void **state)
{
	static const char head[] = "{\"time\":\"2026-11-22T17:20:00.042Z\","
	    "\"boot\":\"b\",\"event\":\"checkpoint\",\"reason\":\"time\"";
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf pem _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct strbuf line _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct checkpoint_key *k = make_key();
	struct tb_error err = TB_ERROR_INIT;
	struct chain_hasher *h = chain_hasher_new(&err);
	struct chain_pos pos = { .seq = 41 };

	memset(pos.hash, 'c', 64);
	checkpoint_build(k, &pos, head, 7, &text);
	chain_append(h, &pos, text.s, text.len, &line);
	checkpoint_pub_add(k, FAKE_NOW_REAL_S, &pem);

	_cleanup_free_ char *signed_part = between(line.s, "",
	    ",\"signature\"");
	_cleanup_free_ char *signature = between(line.s, "\"signature\":\"",
	    "\",\"hash\":\"");
	_cleanup_free_ char *bytes = xasprintf(
	    "tokenbroker audit checkpoint 1\n"
	    "cccccccccccccccccccccccccccccccc"
	    "cccccccccccccccccccccccccccccccc\n%s", signed_part);
	_cleanup_free_ char *expected = xasprintf("{\"seq\":42,%s,"
	    "\"records\":7,\"key\":\"" ID "\"", head + 1);

	assert_string_equal(signed_part, expected);
	assert_true(verify(pem.s, bytes, signature));
	bytes[31] = 'd'; /* another hash before */
	assert_false(verify(pem.s, bytes, signature));
	bytes[31] = 'c';
	bytes[strlen(bytes) - 1] = 'x';
	assert_false(verify(pem.s, bytes, signature));
	chain_hasher_free(h);
	checkpoint_key_free(k);
}

static void
test_public_keys_are_read_back(void **state)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct checkpoint_key *k = make_key();
	struct checkpoint_pub pub;
	const char *text;

	strbuf_adds(&b, "what an administrator wrote\n");
	checkpoint_pub_add(k, FAKE_NOW_REAL_S, &b);
	assert_non_null(strstr(b.s, "# key " ID " since "
	    "2026-11-22T17:20:00Z\n-----BEGIN PUBLIC KEY-----\n"
	    "MCowBQYDK2VwAyEA" PUBLIC_B64 "\n-----END PUBLIC KEY-----\n"));
	/* not ours: RSA, cut short, nothing at all */
	strbuf_adds(&b, "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQ\n"
	    "-----END PUBLIC KEY-----\n-----BEGIN PUBLIC KEY-----\n");
	/* no comment, another key */
	strbuf_adds(&b, "-----BEGIN PUBLIC KEY-----\n"
	    "MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	    "-----END PUBLIC KEY-----\n");
	text = b.s;
	assert_true(checkpoint_pub_next(&text, &pub));
	assert_string_equal(pub.id, ID);
	assert_string_equal(pub.public, PUBLIC_B64);
	assert_string_equal(pub.since, "2026-11-22T17:20:00Z");
	assert_true(checkpoint_pub_next(&text, &pub));
	assert_string_not_equal(pub.id, ID);
	assert_string_equal(pub.since, "");
	assert_false(checkpoint_pub_next(&text, &pub));
	text = "";
	assert_false(checkpoint_pub_next(&text, &pub));
	checkpoint_key_free(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_line_is_signed_with_what_came_before),
		cmocka_unit_test(test_public_keys_are_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
