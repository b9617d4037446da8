/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device - the whole of RFC 8628 on fake time. Requests are told apart by
 * their path: /device asks for the code, /token polls.
 */
#include "op_contract.h"

#include "fake_now.h"
#include "ops/device.h"

#define CODE \
	"{\"device_code\":\"dc-1\",\"user_code\":\"WDJB-MJHT\"," \
	"\"verification_uri\":\"https://idp.example/d\"," \
	"\"verification_uri_complete\":\"https://idp.example/d?c=WDJB-MJHT\"," \
	"\"expires_in\":600,\"interval\":5}"
#define GRANT \
	"{\"access_token\":\"at-1\",\"refresh_token\":\"rt-1\"," \
	"\"token_type\":\"Bearer\",\"expires_in\":300}"
#define PENDING "{\"error\":\"authorization_pending\"}"
#define SLOW "{\"error\":\"slow_down\"}"

static struct run {
	struct op_probe probe;
	unsigned prompts;
	bool cancel_in_prompt;
	char *user_code, *uri, *complete;
	int64_t expires_in_s, interval_s;
	char *access, *refresh;
	struct tb_error err;
} run;

static void
on_prompt(void *arg, const struct device_prompt *prompt)
{
	struct device *d = run.probe.op;

	assert_non_null(d);
	run.prompts++;
	if (run.cancel_in_prompt) {
		device_cancel(&d);
		run.probe.op = NULL;
	}
	/* borrowed for the whole call, cancelled or not */
	str_set(&run.user_code, prompt->user_code);
	str_set(&run.uri, prompt->verification_uri);
	str_set(&run.complete, prompt->verification_uri_complete);
	run.expires_in_s = prompt->expires_in_s;
	run.interval_s = prompt->interval_s;
}

static void
on_done(void *arg, struct oauth_grant *grant, const struct tb_error *err)
{
	op_probe_done(&run.probe, err);
	assert_true((grant == NULL) == (err != NULL));
	if (err) {
		run.err = *err;
	} else {
		str_set(&run.access, secret_reveal(&grant->access_token));
		str_set(&run.refresh, secret_reveal(&grant->refresh_token));
	}
}

static void
start(void)
{
	run.probe.op = device_start(fixture.loop, fixture.http, fixture.idp,
	    on_prompt, on_done, &run);
}

static void
cancel(void)
{
	struct device *d = run.probe.op;

	device_cancel(&d);
	assert_null(d);
	run.probe.op = NULL;
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
	free(run.user_code);
	free(run.uri);
	free(run.complete);
	free(run.access);
	free(run.refresh);
	return idp_fixture_teardown(state);
}

/* To the prompt: the first thing of most tests. */
static void
start_and_get_code(void)
{
	fake_http_push_json_for("/device", 200, CODE);
	start();
	fake_loop_run_pending();
	assert_int_equal(run.prompts, 1);
	assert_int_equal(fake_http_requests(), 1);
}

static void
poll_answer(int status, const char *body)
{
	fake_http_push_json_for("/token", status, body);
}

/* Milliseconds from the start to the i-th request. */
static int64_t
at(size_t i)
{
	return fake_http_request(i)->at_ms - FAKE_NOW_BOOT_MS;
}

static void
expect_error(enum tb_errc code, const char *text)
{
	assert_int_equal(run.probe.done, 1);
	if (!strstr(run.err.msg, text))
		fail_msg("'%s' is not in '%s'", text, run.err.msg);
	assert_int_equal(run.err.code, code);
}

/* The contract. */

static void
on_contract_prompt(void *arg, const struct device_prompt *prompt)
{
}

static void
on_contract_done(void *arg, struct oauth_grant *grant,
    const struct tb_error *err)
{
	op_probe_done(arg, err);
}

static void
contract_start(struct op_probe *p)
{
	p->op = device_start(fixture.loop, fixture.http, fixture.idp,
	    on_contract_prompt, on_contract_done, p);
}

static void
contract_cancel(struct op_probe *p)
{
	struct device *d = p->op;

	device_cancel(&d);
	p->op = d;
}

static void
contract_script(void)
{
	fake_http_push_json_for("/device", 200, CODE);
	poll_answer(400, PENDING);
	poll_answer(200, GRANT);
}

static void
contract_spoil(void)
{
	str_set(&fixture.idp->device_endpoint, "not a url");
}

static const struct op_contract op_contract = { contract_start,
	contract_cancel, contract_script, contract_spoil };

/* The way it should go. */

static void
test_pending_slow_down_granted(void **state)
{
	poll_answer(400, PENDING);
	poll_answer(400, SLOW);
	poll_answer(400, PENDING);
	poll_answer(200, GRANT);
	start_and_get_code();
	assert_string_equal(run.user_code, "WDJB-MJHT");
	assert_string_equal(run.uri, "https://idp.example/d");
	assert_string_equal(run.complete, "https://idp.example/d?c=WDJB-MJHT");
	assert_true(run.expires_in_s == 600);
	assert_true(run.interval_s == 5);
	fake_loop_advance(3600 * 1000);
	assert_int_equal(run.probe.done, 1);
	assert_int_equal(run.err.code, TB_OK);
	assert_string_equal(run.access, "at-1");
	assert_string_equal(run.refresh, "rt-1");
	assert_int_equal(run.prompts, 1);
	/* first poll after one interval; 5 s more for good after slow_down */
	assert_int_equal(fake_http_requests(), 5);
	assert_int_equal(at(1), 5000);
	assert_int_equal(at(2), 10000);
	assert_int_equal(at(3), 20000);
	assert_int_equal(at(4), 30000);
}

static void
test_what_is_sent(void **state)
{
	poll_answer(200, GRANT);
	start_and_get_code();
	fake_loop_advance(5000);
	assert_string_equal(fake_http_request(0)->url, FIXTURE_DEVICE);
	assert_string_equal(fake_http_request(0)->body,
	    "scope=openid%20offline_access&client_id=broker");
	assert_string_equal(fake_http_request(1)->url, FIXTURE_TOKEN);
	assert_string_equal(fake_http_request(1)->body,
	    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"
	    "&device_code=dc-1&client_id=broker");
}

static void
test_every_slow_down_counts(void **state)
{
	poll_answer(400, SLOW);
	poll_answer(429, SLOW);
	poll_answer(400, PENDING);
	poll_answer(200, GRANT);
	start_and_get_code();
	fake_loop_advance(600 * 1000);
	assert_string_equal(run.access, "at-1");
	assert_int_equal(at(2) - at(1), 10000);
	assert_int_equal(at(3) - at(2), 15000);
	assert_int_equal(at(4) - at(3), 15000);
}

static void
test_default_interval(void **state)
{
	fake_http_push_json_for("/device", 200,
	    "{\"device_code\":\"d\",\"user_code\":\"U\",\"expires_in\":\"60\","
	    "\"verification_uri\":\"https://idp.example/d\"}");
	poll_answer(200, GRANT);
	start();
	fake_loop_advance(4999);
	assert_int_equal(fake_http_requests(), 1);
	assert_true(run.interval_s == 5);
	assert_true(run.expires_in_s == 60);
	assert_null(run.complete);
	fake_loop_advance(1);
	assert_int_equal(fake_http_requests(), 2);
	assert_int_equal(run.probe.done, 1);
}

static void
test_retry_after(void **state)
{
	const struct fake_http_reply pending = { .status = 400,
		.body = PENDING, .retry_after_ms = 30000 };
	const struct fake_http_reply slow = { .status = 429, .body = SLOW,
		.retry_after_ms = 1000 };

	fake_http_push_for("/token", &pending);
	fake_http_push_for("/token", &slow);
	poll_answer(200, GRANT);
	start_and_get_code();
	fake_loop_advance(600 * 1000);
	assert_int_equal(at(2) - at(1), 30000);
	/* a short one does not undo slow_down */
	assert_int_equal(at(3) - at(2), 10000);
	assert_string_equal(run.access, "at-1");
}

static void
test_slow_replies_do_not_overlap(void **state)
{
	const struct fake_http_reply slow = { .status = 400, .body = PENDING,
		.delay_ms = 12000 };

	fake_http_push_for("/token", &slow);
	poll_answer(200, GRANT);
	start_and_get_code();
	fake_loop_advance(16999);
	assert_int_equal(fake_http_requests(), 2);
	fake_loop_advance(600 * 1000);
	/* the interval is from the reply on */
	assert_int_equal(at(2), 5000 + 12000 + 5000);
}

/* Ends. */

static void
ends_after_one_poll(int status, const char *body, enum tb_errc code,
    const char *text)
{
	poll_answer(status, body);
	start_and_get_code();
	fake_loop_advance(3600 * 1000);
	expect_error(code, text);
	assert_int_equal(fake_http_requests(), 2);
}

static void
test_denied(void **state)
{
	ends_after_one_poll(400, "{\"error\":\"access_denied\"}", TB_E_LOGIN,
	    "the login was refused: access_denied");
}

static void
test_declined_by_entra(void **state)
{
	ends_after_one_poll(400, "{\"error\":\"authorization_declined\"}",
	    TB_E_LOGIN, "the login was refused: authorization_declined");
}

static void
test_expired_token(void **state)
{
	ends_after_one_poll(400, "{\"error\":\"expired_token\"}", TB_E_LOGIN,
	    "nobody confirmed the code in time");
}

static void
test_refused(void **state)
{
	ends_after_one_poll(401, "{\"error\":\"invalid_client\"}",
	    TB_E_UPSTREAM, "refused the poll: invalid_client");
}

static void
test_invalid_grant_out_of_the_blue(void **state)
{
	ends_after_one_poll(400, "{\"error\":\"invalid_grant\"}", TB_E_LOGIN,
	    "does not know the code any more");
}

static void
test_unusable_200_is_never_polled_again(void **state)
{
	ends_after_one_poll(200, "<html>welcome</html>", TB_E_PROTO,
	    "the provider's tokens: ");
}

static void
test_200_without_a_token(void **state)
{
	ends_after_one_poll(200, PENDING, TB_E_PROTO, "'access_token'");
}

static void
test_body_over_cap_may_have_been_the_grant(void **state)
{
	fake_http_push_error_for("/token", TB_E_PROTO, "body over its cap");
	start_and_get_code();
	fake_loop_advance(3600 * 1000);
	expect_error(TB_E_PROTO, "body over its cap");
	assert_int_equal(fake_http_requests(), 2);
}

static void
test_nobody_confirms(void **state)
{
	for (int i = 0; i < 119; i++)
		poll_answer(400, PENDING);
	start_and_get_code();
	fake_loop_advance(600 * 1000 - 1);
	assert_int_equal(run.probe.done, 0);
	fake_loop_advance(1);
	expect_error(TB_E_LOGIN, "nobody confirmed the code in time");
	/* 5 .. 595 s; none at the end itself */
	assert_int_equal(fake_http_requests(), 1 + 119);
}

static void
test_wait_ends_with_the_code(void **state)
{
	const struct fake_http_reply later = { .status = 400, .body = PENDING,
		.retry_after_ms = 3600 * 1000 };

	fake_http_push_for("/token", &later);
	start_and_get_code();
	fake_loop_advance(600 * 1000 - 1);
	assert_int_equal(run.probe.done, 0);
	fake_loop_advance(1);
	expect_error(TB_E_LOGIN, "nobody confirmed the code in time");
}

static void
test_grant_that_arrives_after_the_end(void **state)
{
	const struct fake_http_reply late = { .body = GRANT,
		.delay_ms = 10000 };

	for (int i = 0; i < 118; i++)
		poll_answer(400, PENDING);
	fake_http_push_for("/token", &late);
	start_and_get_code();
	fake_loop_advance(604 * 1000);
	assert_int_equal(run.probe.done, 0);
	fake_loop_advance(1000);
	assert_int_equal(run.probe.done, 1);
	assert_string_equal(run.access, "at-1");
}

/* Trouble on the way. */

static void
test_outage_is_outlasted(void **state)
{
	fake_http_push_error_for("/token", TB_E_TRANSIENT, "timed out");
	fake_http_push_error_for("/token", TB_E_UNREACHED, "no route");
	poll_answer(502, "<html>Bad Gateway</html>");
	poll_answer(403, "<html>maintenance</html>");
	poll_answer(500, "{\"error\":\"server_error\"}");
	poll_answer(400, PENDING);
	poll_answer(200, GRANT);
	start_and_get_code();
	fake_loop_advance(600 * 1000);
	assert_int_equal(run.probe.done, 1);
	assert_string_equal(run.access, "at-1");
	assert_int_equal(fake_http_requests(), 8);
	/* waits grow: uniform in [ceiling/2, ceiling] of 10, 20, 40, 60 s */
	assert_in_range(at(2) - at(1), 5000, 10000);
	assert_in_range(at(3) - at(2), 10000, 20000);
	assert_in_range(at(4) - at(3), 20000, 40000);
	assert_in_range(at(5) - at(4), 30000, 60000);
	assert_in_range(at(6) - at(5), 30000, 60000);
	/* and one answer ends that */
	assert_int_equal(at(7) - at(6), 5000);
}

static void
test_second_outage_begins_anew(void **state)
{
	fake_http_push_error_for("/token", TB_E_UNREACHED, "down");
	fake_http_push_error_for("/token", TB_E_UNREACHED, "down");
	fake_http_push_error_for("/token", TB_E_UNREACHED, "down");
	poll_answer(400, PENDING);
	fake_http_push_error_for("/token", TB_E_UNREACHED, "down");
	poll_answer(200, GRANT);
	start_and_get_code();
	fake_loop_advance(600 * 1000);
	assert_string_equal(run.access, "at-1");
	assert_in_range(at(6) - at(5), 5000, 10000);
}

static void
test_outage_to_the_end(void **state)
{
	for (int i = 0; i < 100; i++)
		fake_http_push_error_for("/token", TB_E_UNREACHED, "down");
	start_and_get_code();
	fake_loop_advance(600 * 1000);
	expect_error(TB_E_LOGIN, "nobody confirmed the code in time");
	assert_in_range(fake_http_requests(), 8, 30);
	fake_http_reset();
}

static void
test_silence_times_out(void **state)
{
	fake_http_push_silence("/token");
	poll_answer(200, GRANT);
	start_and_get_code();
	fake_loop_advance(600 * 1000);
	assert_string_equal(run.access, "at-1");
	/* the configured 20 s, then the back-off */
	assert_in_range(at(2) - at(1), 25000, 30000);
}

static void
test_retry_after_of_an_outage(void **state)
{
	const struct fake_http_reply busy = { .status = 503,
		.retry_after_ms = 90000 };

	fake_http_push_for("/token", &busy);
	poll_answer(200, GRANT);
	start_and_get_code();
	fake_loop_advance(600 * 1000);
	assert_in_range(at(2) - at(1), 90000, 90000 + 10000);
}

static void
lost_then_invalid_grant(const char *text)
{
	poll_answer(400, "{\"error\":\"invalid_grant\"}");
	start_and_get_code();
	fake_loop_advance(600 * 1000);
	expect_error(TB_E_LOGIN, text);
	assert_int_equal(fake_http_requests(), 3);
}

static void
test_lost_reply_was_the_grant(void **state)
{
	fake_http_push_error_for("/token", TB_E_TRANSIENT, "timed out");
	lost_then_invalid_grant("the reply that carried the login was lost; "
				"start again");
}

static void
test_gateway_ate_the_grant(void **state)
{
	poll_answer(504, "<html>");
	lost_then_invalid_grant("the reply that carried the login was lost; "
				"start again");
}

static void
test_never_reached_is_not_lost(void **state)
{
	fake_http_push_error_for("/token", TB_E_UNREACHED, "no route");
	lost_then_invalid_grant("does not know the code any more");
}

/* No code. */

static void
test_asking_fails(void **state)
{
	static const struct {
		int status; /* 0: no reply, with this code */
		const char *body;
		enum tb_errc code;
	} rows[] = {
		{ 0, "timed out", TB_E_TRANSIENT },
		{ 0, "no route", TB_E_UNREACHED },
		{ 503, "", TB_E_TRANSIENT },
		{ 401, "{\"error\":\"invalid_client\"}", TB_E_UPSTREAM },
		{ 404, "<html>", TB_E_UPSTREAM },
		{ 200, "<html>", TB_E_PROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(&run, 0, sizeof(run));
		fake_http_reset();
		if (rows[i].status)
			fake_http_push_json(rows[i].status, rows[i].body);
		else
			fake_http_push_error(rows[i].code, rows[i].body);
		start();
		assert_int_equal(run.probe.done, 0);
		fake_loop_advance(600 * 1000);
		expect_error(rows[i].code, "");
		assert_int_equal(run.prompts, 0);
		assert_int_equal(fake_http_requests(), 1);
	}
}

static void
test_endpoint_not_known(void **state)
{
	str_set(&fixture.idp->device_endpoint, NULL);
	start();
	assert_int_equal(run.probe.done, 0);
	fake_loop_run_pending();
	expect_error(TB_E_CONFIG,
	    "publishes no device_authorization_endpoint");
	assert_int_equal(fake_http_requests(), 0);
}

/* Cancel in each state. */

static void
expect_silence(void)
{
	op_expect_idle();
	fake_loop_advance(3600 * 1000);
	assert_int_equal(run.probe.done, 0);
	fake_http_reset();
}

static void
test_cancel_before_it_can_say_no(void **state)
{
	str_set(&fixture.idp->device_endpoint, NULL);
	start();
	cancel();
	expect_silence();
}

static void
test_cancel_while_asking(void **state)
{
	fake_http_push_json_for("/device", 200, CODE);
	start();
	cancel();
	expect_silence();
	assert_int_equal(run.prompts, 0);
}

static void
test_cancel_while_waiting(void **state)
{
	start_and_get_code();
	cancel();
	expect_silence();
}

static void
test_cancel_while_polling(void **state)
{
	start_and_get_code();
	fake_loop_advance(5000);
	assert_int_equal(fake_http_pending(), 1);
	cancel();
	assert_int_equal(fake_http_cancelled(), 1);
	expect_silence();
}

static void
test_cancel_in_prompt(void **state)
{
	run.cancel_in_prompt = true;
	fake_http_push_json_for("/device", 200, CODE);
	start();
	fake_loop_run_pending();
	assert_string_equal(run.user_code, "WDJB-MJHT");
	expect_silence();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OP_CONTRACT_TESTS,
		T(test_pending_slow_down_granted),
		T(test_what_is_sent),
		T(test_every_slow_down_counts),
		T(test_default_interval),
		T(test_retry_after),
		T(test_slow_replies_do_not_overlap),
		T(test_denied),
		T(test_declined_by_entra),
		T(test_expired_token),
		T(test_refused),
		T(test_invalid_grant_out_of_the_blue),
		T(test_unusable_200_is_never_polled_again),
		T(test_200_without_a_token),
		T(test_body_over_cap_may_have_been_the_grant),
		T(test_nobody_confirms),
		T(test_wait_ends_with_the_code),
		T(test_grant_that_arrives_after_the_end),
		T(test_outage_is_outlasted),
		T(test_second_outage_begins_anew),
		T(test_outage_to_the_end),
		T(test_silence_times_out),
		T(test_retry_after_of_an_outage),
		T(test_lost_reply_was_the_grant),
		T(test_gateway_ate_the_grant),
		T(test_never_reached_is_not_lost),
		T(test_asking_fails),
		T(test_endpoint_not_known),
		T(test_cancel_before_it_can_say_no),
		T(test_cancel_while_asking),
		T(test_cancel_while_waiting),
		T(test_cancel_while_polling),
		T(test_cancel_in_prompt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
