/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws_sign: client assertions (RFC 7523), verified by our own reader and, for
 * what it refuses, by their error texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jwt.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "jws_maker.h"
#include "lib/jsonx.h"
#include "lib/jws.h"

#define CLIENT "broker"
#define NOW INT64_C(1795368000)

static EVP_PKEY *rsa, *p256, *p384, *p521, *ed;

static int
setup(void **state)
{
	jsonx_init();
	rsa = maker_rsa(2048);
	p256 = maker_ec("P-256");
	p384 = maker_ec("P-384");
	p521 = maker_ec("P-521");
	ed = maker_ed25519();
	return 0;
}

static int
teardown(void **state)
{
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(p521);
	EVP_PKEY_free(ed);
	return 0;
}

static void
keys_freep(struct jws_keys **k)
{
	jws_keys_free(*k);
}
#define _cleanup_keys_ _cleanup_(keys_freep)

static struct jws_keys *
keys_of(EVP_PKEY *key)
{
	struct secret set _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct jws_keys *keys;

	maker_set(&set, maker_jwk(key, "k1"), NULL, NULL);
	keys = jws_keys_parse(&set, &err);
	assert_non_null(keys);
	return keys;
}

static void
signs(EVP_PKEY *key, const char *given, const char *want)
{
	_cleanup_free_ char *text = maker_private_pem(key, NULL);
	struct secret pem _cleanup_(secret_clear) = SECRET_INIT;
	struct secret a _cleanup_(secret_clear) = SECRET_INIT;
	struct secret b _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct jws_keys *keys _cleanup_keys_ = keys_of(key);
	_cleanup_free_ unsigned char *head = NULL;
	_cleanup_free_ char *want_head = xasprintf(
	    "\"alg\":\"%s\"", want);
	json_t *c _cleanup_json_ = NULL;
	const struct jws_expect as_server = { .issuer = CLIENT,
		.client_id = "https://as.example/token", .now_s = NOW + 59,
		.leeway_s = 0 };
	size_t n;

	secret_set_str(&pem, text);
	assert_int_equal(jws_check_signing_key(&pem, given, &err), 0);
	assert_int_equal(jws_sign_assertion(&pem, given, "k1", CLIENT,
			     "https://as.example/token", NOW, &a, &err), 0);
	assert_int_equal(jws_sign_assertion(&pem, given, "k1", CLIENT,
			     "https://as.example/token", NOW, &b, &err), 0);
	assert_false(secret_equal(&a, &b)); /* jti */
	c = jws_verify(keys, &a, &as_server, &err);
	assert_string_equal(err.msg, "");
	assert_non_null(c);
	assert_string_equal(json_string_value(json_object_get(c, "sub")),
	    CLIENT);
	assert_string_equal(json_string_value(json_object_get(c, "aud")),
	    "https://as.example/token");
	assert_true(json_integer_value(json_object_get(c, "iat")) == NOW);
	assert_true(json_integer_value(json_object_get(c, "exp")) ==
	    NOW + 60);
	assert_int_equal(strlen(json_string_value(
			     json_object_get(c, "jti"))), 22);
	assert_true(b64url_decode(secret_reveal(&a),
	    (size_t)(strchr(secret_reveal(&a), '.') - secret_reveal(&a)),
	    &head, &n));
	assert_non_null(strstr((char *)head, want_head));
	assert_non_null(strstr((char *)head, "\"kid\":\"k1\""));
}

static void
test_sign_every_alg(void **state)
{
	signs(rsa, NULL, "RS256");
	signs(rsa, "RS256", "RS256");
	signs(rsa, "RS384", "RS384");
	signs(rsa, "RS512", "RS512");
	signs(rsa, "PS256", "PS256");
	signs(p256, NULL, "ES256");
	signs(p384, NULL, "ES384");
	signs(p521, NULL, "ES512");
	signs(ed, NULL, "EdDSA");
}

static void
test_sign_without_kid(void **state)
{
	_cleanup_free_ char *text = maker_private_pem(p256, NULL);
	struct secret pem _cleanup_(secret_clear) = SECRET_INIT;
	struct secret a _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	_cleanup_free_ unsigned char *head = NULL;
	size_t n;

	secret_set_str(&pem, text);
	assert_int_equal(jws_sign_assertion(&pem, "ES256", NULL, CLIENT, "a",
			     NOW, &a, &err), 0);
	assert_true(b64url_decode(secret_reveal(&a),
	    (size_t)(strchr(secret_reveal(&a), '.') - secret_reveal(&a)),
	    &head, &n));
	assert_string_equal((char *)head,
	    "{\"alg\":\"ES256\",\"typ\":\"JWT\"}");
}

static void
test_sign_refused(void **state)
{
	EVP_PKEY *small = maker_rsa(1024), *k1 = maker_ec("secp256k1");
	const struct {
		char *pem; /* consumed */
		const char *alg, *text;
	} rows[] = {
		{ xstrdup(""), NULL, "not a private key in PEM" },
		{ xstrdup("secret"), NULL, "not a private key in PEM" },
		{ maker_public_pem(rsa), NULL, "not a private key in PEM" },
		{ maker_private_pem(p256, "pass"), NULL,
		    "not a private key in PEM without a passphrase" },
		{ maker_private_pem(small, NULL), NULL,
		    "an RSA key of 1024 bits" },
		{ maker_private_pem(k1, NULL), NULL, "not an RSA, P-256" },
		{ maker_private_pem(p256, NULL), "ES384",
		    "the private key is not one for ES384" },
		{ maker_private_pem(p256, NULL), "RS256",
		    "the private key is not one for RS256" },
		{ maker_private_pem(p256, NULL), "HS256",
		    "unknown signature algorithm 'HS256'" },
		{ maker_private_pem(p256, NULL), "none",
		    "unknown signature algorithm 'none'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct secret pem _cleanup_(secret_clear) = SECRET_INIT;
		struct secret out _cleanup_(secret_clear) = SECRET_INIT;
		struct tb_error err = TB_ERROR_INIT;

		secret_set_str(&pem, rows[i].pem);
		assert_int_equal(jws_sign_assertion(&pem, rows[i].alg, NULL,
				     CLIENT, "a", NOW, &out, &err), -1);
		assert_int_equal(err.code, TB_E_CONFIG);
		if (!strstr(err.msg, rows[i].text))
			fail_msg("'%s' is not in '%s'", rows[i].text,
			    err.msg);
		assert_true(secret_is_empty(&out));
		assert_int_equal(jws_check_signing_key(&pem, rows[i].alg,
				     &err), -1);
		free(rows[i].pem);
	}
	EVP_PKEY_free(small);
	EVP_PKEY_free(k1);
}

static void
test_sign_names_that_are_not_utf8(void **state)
{
	_cleanup_free_ char *text = maker_private_pem(p256, NULL);
	struct secret pem _cleanup_(secret_clear) = SECRET_INIT;
	struct secret out _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	secret_set_str(&pem, text);
	assert_int_equal(jws_sign_assertion(&pem, NULL, NULL, "\xff", "a",
			     NOW, &out, &err), -1);
	assert_string_equal(err.msg,
	    "client_id, key id or audience is not UTF-8");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign_every_alg),
		cmocka_unit_test(test_sign_without_kid),
		cmocka_unit_test(test_sign_refused),
		cmocka_unit_test(test_sign_names_that_are_not_utf8),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
