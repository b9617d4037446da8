/* SPDX-License-Identifier: Apache-2.0 */
#include "op_contract.h"

#include <jansson.h>

#include "base/now.h"
#include "jws_maker.h"
#include "ops/identity.h"

static EVP_PKEY *key1, *key2;

static struct run {
	struct op_probe probe;
	json_t *claims;
	struct tb_error err;
} run;

static int
group_setup(void **state)
{
	key1 = maker_ec("P-256");
	key2 = maker_ec("P-256");
	return 0;
}

static int
group_teardown(void **state)
{
	EVP_PKEY_free(key1);
	EVP_PKEY_free(key2);
	return 0;
}

static int
setup(void **state)
{
	memset(&run, 0, sizeof(run));
	return idp_fixture_setup(state);
}

static int
teardown(void **state)
{
	json_decref(run.claims);
	return idp_fixture_teardown(state);
}

static void
on_done(void *arg, json_t *claims, const struct tb_error *err)
{
	op_probe_done(arg, err);
	assert_true((claims == NULL) == (err != NULL));
	run.claims = json_incref(claims);
	if (err)
		run.err = *err;
}

/* An id token of alice; kid may be NULL. */
static char *
id_token(EVP_PKEY *key, const char *kid, const char *iss)
{
	_cleanup_free_ char *head = kid ?
	    xasprintf("{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid) :
	    xstrdup("{\"alg\":\"ES256\"}");
	_cleanup_free_ char *claims = xasprintf(
	    "{\"iss\":\"%s\",\"sub\":\"alice\",\"aud\":\"broker\","
	    "\"iat\":%lld,\"exp\":%lld}", iss, (long long)now_real_s(),
	    (long long)now_real_s() + 300);

	return maker_token(key, "ES256", head, claims);
}

static void
start(const char *token)
{
	struct secret t _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&t, token);
	run.probe.op = identity_start(fixture.loop, fixture.http, fixture.idp,
	    &t, IDENTITY_FRESH, on_done, &run.probe);
}

static void
verify(EVP_PKEY *key, const char *kid)
{
	_cleanup_free_ char *token = id_token(key, kid, FIXTURE_ISSUER);

	json_decref(run.claims);
	memset(&run, 0, sizeof(run));
	start(token);
	assert_int_equal(run.probe.done, 0);
	fake_loop_run_pending();
	assert_int_equal(run.probe.done, 1);
}

static void
push_keys(EVP_PKEY *key, const char *kid)
{
	struct secret set _cleanup_(secret_clear) = SECRET_INIT;

	maker_set(&set, maker_jwk(key, kid), NULL, NULL);
	fake_http_push_json_for("/jwks", 200, secret_reveal(&set));
}

static void
expect_alice(void)
{
	assert_string_equal(run.err.msg, "");
	assert_non_null(run.claims);
	assert_string_equal(json_string_value(
	    json_object_get(run.claims, "sub")), "alice");
}

static void
expect_error(enum tb_errc code, const char *text)
{
	assert_null(run.claims);
	if (!strstr(run.err.msg, text))
		fail_msg("'%s' is not in '%s'", text, run.err.msg);
	assert_int_equal(run.err.code, code);
}

/* The contract, with the longest way: the kid is not in the first set. */

static void
on_contract_done(void *arg, json_t *claims, const struct tb_error *err)
{
	op_probe_done(arg, err);
}

static void
contract_start(struct op_probe *p)
{
	struct secret t _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *token = id_token(key2, "k2", FIXTURE_ISSUER);

	secret_set_str(&t, token);
	p->op = identity_start(fixture.loop, fixture.http, fixture.idp, &t,
	    IDENTITY_FRESH,
	    on_contract_done, p);
}

static void
contract_cancel(struct op_probe *p)
{
	struct identity *i = p->op;

	identity_cancel(&i);
	p->op = i;
}

static void
contract_script(void)
{
	push_keys(key1, "k1");
	push_keys(key2, "k2");
}

static void
contract_spoil(void)
{
	str_set(&fixture.idp->jwks_uri, "not a url");
}

static const struct op_contract op_contract = { contract_start,
	contract_cancel, contract_script, contract_spoil };

static void
test_verified(void **state)
{
	push_keys(key1, "k1");
	verify(key1, "k1");
	expect_alice();
	assert_int_equal(fake_http_requests(), 1);
	/* keys are known now */
	verify(key1, "k1");
	expect_alice();
	assert_int_equal(fake_http_requests(), 1);
}

static void
test_unseen_kid_is_fetched_once_more(void **state)
{
	push_keys(key1, "k1");
	verify(key1, "k1");
	push_keys(key2, "k2");
	verify(key2, "k2");
	expect_alice();
	assert_int_equal(fake_http_requests(), 2);
}

static void
test_kid_that_never_comes(void **state)
{
	push_keys(key1, "k1");
	verify(key1, "k1");
	push_keys(key1, "k1");
	verify(key2, "k2");
	expect_error(TB_E_PROTO, "the id token: the token names a key that the "
				 "provider does not publish");
	assert_int_equal(fake_http_requests(), 2);
}

static void
test_rotation_without_kids(void **state)
{
	push_keys(key1, NULL);
	verify(key1, NULL);
	expect_alice();
	push_keys(key2, NULL);
	verify(key2, NULL);
	expect_alice();
	assert_int_equal(fake_http_requests(), 2);
}

static void
test_forged(void **state)
{
	push_keys(key1, "k1");
	verify(key2, "k1");
	expect_error(TB_E_PROTO,
	    "the id token: the signature of the token is not good");
	assert_int_equal(fake_http_requests(), 1);
}

static void
test_keys_not_to_be_had(void **state)
{
	fake_http_push_error(TB_E_UNREACHED, "no route");
	verify(key1, "k1");
	expect_error(TB_E_UNREACHED, "the provider's keys: no route");
	push_keys(key1, "k1");
	fake_http_push_json(503, "");
	verify(key2, "k2");
	expect_error(TB_E_TRANSIENT, "the provider's keys: HTTP 503");
}

static void
test_issuer_as_published(void **state)
{
	_cleanup_free_ char *token = id_token(key1, "k1",
	    FIXTURE_ISSUER "/");

	/* what discovery finds at auth0 */
	str_set(&fixture.idp->issuer, FIXTURE_ISSUER "/");
	push_keys(key1, "k1");
	start(token);
	fake_loop_run_pending();
	expect_alice();
	verify(key1, "k1");
	expect_error(TB_E_PROTO, "the token's issuer is not '");
}

static void
test_no_issuer(void **state)
{
	str_set(&fixture.idp->issuer, NULL);
	push_keys(key1, "k1");
	verify(key1, "k1");
	expect_error(TB_E_CONFIG, "no issuer is configured");
}

static void
test_times_with_leeway(void **state)
{
	_cleanup_free_ char *token = id_token(key1, "k1", FIXTURE_ISSUER);

	push_keys(key1, "k1");
	fake_loop_advance((300 + 59) * 1000);
	start(token);
	fake_loop_run_pending();
	expect_alice();
	json_decref(run.claims);
	memset(&run, 0, sizeof(run));
	fake_loop_advance(1000);
	start(token);
	fake_loop_run_pending();
	expect_error(TB_E_PROTO, "the id token: the token expired 60 s ago");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OP_CONTRACT_TESTS,
		T(test_verified),
		T(test_unseen_kid_is_fetched_once_more),
		T(test_kid_that_never_comes),
		T(test_rotation_without_kids),
		T(test_forged),
		T(test_keys_not_to_be_had),
		T(test_issuer_as_published),
		T(test_no_issuer),
		T(test_times_with_leeway),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
