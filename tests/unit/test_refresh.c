/* SPDX-License-Identifier: Apache-2.0 */
#include "op_contract.h"

#include "ops/refresh.h"

#define GRANT \
	"{\"access_token\":\"at-2\",\"refresh_token\":\"rt-2\"," \
	"\"token_type\":\"Bearer\",\"expires_in\":300}"

struct run {
	struct op_probe probe;
	struct oauth_grant grant;
	struct tb_error err;
};

static void
on_done(void *arg, struct oauth_grant *grant, const struct tb_error *err)
{
	struct run *r = container_of(arg, struct run, probe);

	op_probe_done(arg, err);
	assert_true((grant == NULL) == (err != NULL));
	if (err) {
		r->err = *err;
	} else {
		r->grant = *grant;
		*grant = (struct oauth_grant)OAUTH_GRANT_INIT;
	}
}

static void
start_run(struct run *r)
{
	struct secret token _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&token, "rt-1");
	r->probe.op = refresh_start(fixture.loop, fixture.http, fixture.idp,
	    &token, on_done, &r->probe);
}

/* The contract's probe has no room for a grant. */
static void
on_contract_done(void *arg, struct oauth_grant *grant,
    const struct tb_error *err)
{
	op_probe_done(arg, err);
}

static void
contract_start(struct op_probe *p)
{
	struct secret token _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&token, "rt-1");
	p->op = refresh_start(fixture.loop, fixture.http, fixture.idp, &token,
	    on_contract_done, p);
}

static void
contract_cancel(struct op_probe *p)
{
	struct refresh *r = p->op;

	refresh_cancel(&r);
	p->op = r;
}

static void
contract_script(void)
{
	fake_http_push_json_for("/token", 200, GRANT);
}

static void
contract_spoil(void)
{
	str_set(&fixture.idp->token_endpoint, "not a url");
}

static const struct op_contract op_contract = { contract_start,
	contract_cancel, contract_script, contract_spoil };

static void
test_granted(void **state)
{
	struct run r = { .err = TB_ERROR_INIT };

	contract_script();
	start_run(&r);
	fake_loop_run_pending();
	assert_int_equal(r.probe.done, 1);
	assert_int_equal(r.err.code, TB_OK);
	assert_string_equal(secret_reveal(&r.grant.access_token), "at-2");
	assert_string_equal(secret_reveal(&r.grant.refresh_token), "rt-2");
	assert_true(r.grant.expires_in == 300);
	assert_int_equal(fake_http_requests(), 1);
	assert_string_equal(fake_http_last()->url, FIXTURE_TOKEN);
	assert_string_equal(fake_http_last()->method, "POST");
	assert_string_equal(fake_http_last()->body,
	    "grant_type=refresh_token&refresh_token=rt-1&client_id=broker");
	oauth_grant_clear(&r.grant);
}

static void
test_without_rotation(void **state)
{
	struct run r = { .err = TB_ERROR_INIT };

	fake_http_push_json(200, "{\"access_token\":\"at-2\"}");
	start_run(&r);
	fake_loop_run_pending();
	assert_true(secret_is_empty(&r.grant.refresh_token));
	oauth_grant_clear(&r.grant);
}

/* Whatever happens: one request. */
static void
test_errors_and_no_retry(void **state)
{
	static const struct {
		int status; /* 0: no reply, with this code */
		const char *body;
		enum tb_errc code;
	} rows[] = {
		{ 400, "{\"error\":\"invalid_grant\"}", TB_E_LOGIN },
		{ 400, "", TB_E_LOGIN },
		{ 503, "", TB_E_BUSY },
		{ 502, "<html>", TB_E_TRANSIENT },
		{ 401, "{\"error\":\"invalid_client\"}", TB_E_UPSTREAM },
		{ 200, "<html>", TB_E_PROTO },
		{ 0, "no link", TB_E_UNREACHED },
		{ 0, "reply lost", TB_E_TRANSIENT },
		{ 0, "certificate", TB_E_PROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct run r = { .err = TB_ERROR_INIT };

		fake_http_reset();
		if (rows[i].status)
			fake_http_push_json(rows[i].status, rows[i].body);
		else
			fake_http_push_error(rows[i].code, rows[i].body);
		start_run(&r);
		fake_loop_advance(3600 * 1000);
		assert_int_equal(r.probe.done, 1);
		assert_int_equal(r.err.code, rows[i].code);
		assert_int_equal(fake_http_requests(), 1);
		oauth_grant_clear(&r.grant);
	}
}

static void
test_endpoint_not_known(void **state)
{
	struct run r = { .err = TB_ERROR_INIT };

	str_set(&fixture.idp->token_endpoint, NULL);
	start_run(&r);
	assert_int_equal(r.probe.done, 0);
	fake_loop_run_pending();
	assert_int_equal(r.err.code, TB_E_CONFIG);
	assert_string_equal(r.err.msg,
	    "the provider's token endpoint is not known");
	assert_int_equal(fake_http_requests(), 0);
}

static void
test_cancel_before_it_can_say_no(void **state)
{
	struct run r = { .err = TB_ERROR_INIT };
	struct refresh *op;

	str_set(&fixture.idp->token_endpoint, NULL);
	start_run(&r);
	op = r.probe.op;
	refresh_cancel(&op);
	assert_null(op);
	op_expect_idle();
	fake_loop_run_pending();
	assert_int_equal(r.probe.done, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OP_CONTRACT_TESTS,
		OP_TEST(test_granted),
		OP_TEST(test_without_rotation),
		OP_TEST(test_errors_and_no_retry),
		OP_TEST(test_endpoint_not_known),
		OP_TEST(test_cancel_before_it_can_say_no),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
