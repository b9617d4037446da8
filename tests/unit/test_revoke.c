/* SPDX-License-Identifier: Apache-2.0 */
#include "op_contract.h"

#include "ops/revoke.h"

static struct tb_error last;

static void
on_done(void *arg, const struct tb_error *err)
{
	op_probe_done(arg, err);
	last = err ? *err : (struct tb_error)TB_ERROR_INIT;
}

static void
start(struct op_probe *p, const char *refresh, const char *access)
{
	struct secret r _cleanup_(secret_clear) = SECRET_INIT;
	struct secret a _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&r, refresh);
	secret_set_str(&a, access);
	p->op = revoke_start(fixture.loop, fixture.http, fixture.idp, &r, &a,
	    on_done, p);
}

static void
contract_start(struct op_probe *p)
{
	start(p, "rt-1", "at-1");
}

static void
contract_cancel(struct op_probe *p)
{
	struct revoke *r = p->op;

	revoke_cancel(&r);
	p->op = r;
}

static void
contract_script(void)
{
	fake_http_push_json_for("/revoke", 200, "");
	fake_http_push_json_for("/revoke", 200, "");
}

static void
contract_spoil(void)
{
	str_set(&fixture.idp->revocation_endpoint, "not a url");
}

static const struct op_contract op_contract = { contract_start,
	contract_cancel, contract_script, contract_spoil };

static void
test_refresh_token_goes_first(void **state)
{
	struct op_probe p = { .op = NULL };

	contract_script();
	start(&p, "rt-1", "at-1");
	fake_loop_run_pending();
	assert_int_equal(p.done, 1);
	assert_int_equal(p.code, TB_OK);
	assert_int_equal(fake_http_requests(), 2);
	assert_string_equal(fake_http_request(0)->body,
	    "token=rt-1&token_type_hint=refresh_token&client_id=broker");
	assert_string_equal(fake_http_request(1)->body,
	    "token=at-1&token_type_hint=access_token&client_id=broker");
}

static void
test_only_what_is_there(void **state)
{
	struct op_probe p = { .op = NULL };

	fake_http_push_json(200, "");
	start(&p, "", "at-1");
	fake_loop_run_pending();
	assert_int_equal(p.code, TB_OK);
	assert_int_equal(fake_http_requests(), 1);
	assert_non_null(strstr(fake_http_last()->body, "token=at-1&"));

	start(&p, "", "");
	assert_int_equal(p.done, 1);
	fake_loop_run_pending();
	assert_int_equal(p.done, 2);
	assert_int_equal(p.code, TB_OK);
	assert_int_equal(fake_http_requests(), 1);
}

static void
test_jwt_access_token_is_fine(void **state)
{
	struct op_probe p = { .op = NULL };

	fake_http_push_json(200, "");
	fake_http_push_json(400, "{\"error\":\"unsupported_token_type\"}");
	start(&p, "rt-1", "at-1");
	fake_loop_run_pending();
	assert_int_equal(p.code, TB_OK);
}

static void
test_first_error_is_told_and_both_are_tried(void **state)
{
	struct op_probe p = { .op = NULL };

	fake_http_push_json(401, "{\"error\":\"invalid_client\"}");
	fake_http_push_error(TB_E_TRANSIENT, "lost");
	start(&p, "rt-1", "at-1");
	fake_loop_run_pending();
	assert_int_equal(fake_http_requests(), 2);
	assert_int_equal(p.code, TB_E_UPSTREAM);
	assert_string_equal(last.msg,
	    "the provider refused to revoke: invalid_client");
}

static void
test_second_error_is_told(void **state)
{
	struct op_probe p = { .op = NULL };

	fake_http_push_json(200, "");
	fake_http_push_json(503, "");
	start(&p, "rt-1", "at-1");
	fake_loop_run_pending();
	assert_int_equal(p.code, TB_E_TRANSIENT);
}

static void
test_no_endpoint(void **state)
{
	struct op_probe p = { .op = NULL };

	str_set(&fixture.idp->revocation_endpoint, NULL);
	start(&p, "rt-1", "at-1");
	assert_int_equal(p.done, 0);
	fake_loop_run_pending();
	assert_int_equal(p.code, TB_E_UPSTREAM);
	assert_non_null(strstr(last.msg, "no revocation endpoint"));
	assert_int_equal(fake_http_requests(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OP_CONTRACT_TESTS,
		OP_TEST(test_refresh_token_goes_first),
		OP_TEST(test_only_what_is_there),
		OP_TEST(test_jwt_access_token_is_fine),
		OP_TEST(test_first_error_is_told_and_both_are_tried),
		OP_TEST(test_second_error_is_told),
		OP_TEST(test_no_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
