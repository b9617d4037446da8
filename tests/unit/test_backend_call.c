/* SPDX-License-Identifier: Apache-2.0 */
/* The driver: the contract of lib/http.h in each state, and what it adds to
 * the steps of a type. */
#include "backend_fixture.h"

static struct backend_recipe recipe = { .kind = BACKEND_KIND_CUSTOM };

/* A type whose steps the test writes: n_sends requests, then the end. */
static unsigned n_steps, n_sends;
static enum backend_next last_step;

static enum backend_next
counting_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	assert_int_equal(reply != NULL, n_steps > 0);
	if (n_steps++ < n_sends) {
		request->url = xasprintf("https://x.example/%u", n_steps);
		return BACKEND_SEND;
	}
	if (last_step == BACKEND_FAILED)
		tb_error_set(err, TB_E_UPSTREAM, "said '%s'",
		    secret_reveal(&run->bearer));
	return last_step;
}

static unsigned
counting_caps(const struct backend_conf *c, const struct backend_recipe *r)
{
	return BACKEND_NEEDS_PAYER;
}

static const struct backend_ops counting_ops = {
	.type = "counting",
	.caps = counting_caps,
	.step = counting_step,
};

static struct backend_conf
counting_conf(unsigned sends, enum backend_next last)
{
	struct backend_conf c = { .name = LIT("c"), .ops = &counting_ops };

	n_steps = 0;
	n_sends = sends;
	last_step = last;
	return c;
}

/* ---------------------------------------------------------------- contract */

static void
test_never_before_start_returns(void **state)
{
	struct backend_conf c = counting_conf(0, BACKEND_DONE);
	struct backend_run run = fix_run(&c, &recipe, BACKEND_MINT);
	struct backend_call *call;

	fix_start(&run, &call);
	assert_null(run.conf); /* taken */
	assert_true(secret_is_empty(&run.bearer));
	assert_null(run.description);
	assert_int_equal(n_steps, 0);
	fake_loop_run_pending();
	assert_int_equal(fix.done, 1);
	assert_int_equal(fix.err.code, TB_OK);
}

static void
test_bad_url_arrives_later(void **state)
{
	struct backend_conf c = fix_http();

	c.mint.url = LIT("ftp://x/");
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_E_PROTO);
}

static void
test_cancel_before_begin(void **state)
{
	struct backend_conf c = counting_conf(1, BACKEND_DONE);
	struct backend_run run = fix_run(&c, &recipe, BACKEND_MINT);
	struct backend_call *call;

	fix_start(&run, &call);
	backend_call_cancel(&call);
	assert_null(call);
	backend_call_cancel(&call); /* nothing left: fine */
	fake_loop_run_pending();
	assert_int_equal(fix.done, 0);
	assert_int_equal(n_steps, 0);
	assert_int_equal(fake_http_requests(), 0);
}

static void
test_cancel_in_flight(void **state)
{
	/* sent and unanswered; answered and not delivered; second request */
	for (unsigned at = 0; at < 3; at++) {
		struct backend_conf c = counting_conf(2, BACKEND_DONE);
		struct backend_run run = fix_run(&c, &recipe, BACKEND_MINT);
		struct backend_call *call;

		fix_start(&run, &call);
		if (at == 1)
			fake_http_hold(true);
		if (at == 0)
			fake_http_push_silence(NULL);
		else
			fake_http_push_json(200, "{}");
		if (at == 2)
			fake_http_push_silence(NULL);
		fake_loop_run_pending();
		assert_int_equal(n_steps, at == 2 ? 2 : 1);
		backend_call_cancel(&call);
		assert_null(call);
		fake_http_hold(false);
		fake_loop_advance(100000);
		assert_int_equal(fix.done, 0);
		assert_int_equal(fake_http_pending(), 0);
	}
	assert_int_equal(fake_http_cancelled(), 3);
}

static struct backend_call *victim;

static void
cancelling_done(void *arg, struct backend_run *run, const struct tb_error *err)
{
	*(struct backend_call **)arg = NULL;
	backend_call_cancel(&victim);
}

static void
test_cancel_from_another_done(void **state)
{
	struct backend_conf c = fix_http();
	struct backend_run a = fix_run(&c, &recipe, BACKEND_PROBE);
	struct backend_run b = fix_run(&c, &recipe, BACKEND_PROBE);
	struct backend_call *first;

	fake_http_push_json(200, "{}");
	fake_http_push_json(200, "{}");
	first = backend_call_start(fix.loop, fix.http, &a, cancelling_done,
	    &first);
	fix_start(&b, &victim);
	fake_loop_run_pending();
	assert_null(first);
	assert_null(victim);
	assert_int_equal(fix.done, 0);
}

/* From its own done a new call may be started. */
static void
restarting_done(void *arg, struct backend_run *run, const struct tb_error *err)
{
	struct backend_call **call = arg;
	struct backend_run again = fix_run(run->conf, run->recipe, run->verb);

	*call = NULL;
	fix_start(&again, call);
}

static void
test_start_from_done(void **state)
{
	struct backend_conf c = fix_http();
	struct backend_run run = fix_run(&c, &recipe, BACKEND_PROBE);
	struct backend_call *call;

	fake_http_push_json(200, "{}");
	fake_http_push_json(401, "{}");
	call = backend_call_start(fix.loop, fix.http, &run, restarting_done,
	    &call);
	fake_loop_run_pending();
	assert_int_equal(fix.done, 1);
	assert_int_equal(fix.run.probe, BACKEND_PROBE_NOT_YET);
}

/* ---------------------------------------------------------- what it adds */

static void
test_step_cap(void **state)
{
	struct backend_conf c = counting_conf(1000, BACKEND_DONE);

	for (unsigned i = 0; i < 64; i++)
		fake_http_push_json(200, "{}");
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_E_PROTO);
	assert_string_equal(fix.err.msg, "mint: no end after 64 requests");
	assert_true(fix.run.uncertain);
	assert_int_equal(fake_http_requests(), 64);
}

static void
test_many_steps(void **state)
{
	struct backend_conf c = counting_conf(64, BACKEND_DONE);

	for (unsigned i = 0; i < 64; i++)
		fake_http_push_json(500, "");
	fix_call(&c, &recipe, BACKEND_MINT);
	assert_int_equal(fix.err.code, TB_OK);
	assert_string_equal(fake_http_last()->url, "https://x.example/64");
}

static void
test_lost(void **state)
{
	static const struct {
		enum backend_verb verb;
		enum tb_errc code;
		bool uncertain;
	} rows[] = {
		{ BACKEND_MINT, TB_E_TRANSIENT, true },
		{ BACKEND_MINT, TB_E_PROTO, true }, /* body over its cap */
		{ BACKEND_MINT, TB_E_UNREACHED, false },
		{ BACKEND_LIST, TB_E_TRANSIENT, false },
		{ BACKEND_REVOKE, TB_E_TRANSIENT, false },
		{ BACKEND_PROBE, TB_E_TRANSIENT, false },
	};
	struct backend_conf c = fix_http();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_http_push_error(rows[i].code, "line cut");
		fix_call(&c, &recipe, rows[i].verb);
		assert_int_equal(fix.err.code, rows[i].code);
		assert_contains(fix.err.msg, ": line cut");
		assert_int_equal(fix.run.uncertain, rows[i].uncertain);
		assert_false(fix.run.unauthorized);
		assert_int_equal(fix.run.probe, BACKEND_PROBE_UNCLEAR);
	}
}

static void
test_time_out(void **state)
{
	struct backend_conf c = fix_http();
	struct backend_run run = fix_run(&c, &recipe, BACKEND_MINT);
	struct backend_call *call;

	fake_http_push_silence(NULL);
	fix_start(&run, &call);
	fake_loop_advance(4999);
	assert_int_equal(fix.done, 0);
	fake_loop_advance(2);
	assert_int_equal(fix.done, 1);
	assert_true(fix.run.uncertain);
}

static void
test_transport_options(void **state)
{
	struct backend_conf c = fix_http();
	const struct fake_http_request *q;

	c.base_url = LIT("http://127.0.0.1:9/v1");
	c.allow_insecure_loopback = true;
	c.ca_file = LIT("/ca.pem");
	c.tls_cert_file = LIT("/cert.pem");
	c.tls_key_file = LIT("/key.pem");
	c.tls_insecure = true;
	c.timeout_ms = 1234;
	fake_http_push_json(200, "{}");
	fix_call(&c, &recipe, BACKEND_PROBE);
	q = fake_http_last();
	assert_string_equal(q->tls_ca_file, "/ca.pem");
	assert_string_equal(q->tls_cert_file, "/cert.pem");
	assert_string_equal(q->tls_key_file, "/key.pem");
	assert_true(q->tls_insecure);
	assert_true(q->allow_loopback_http);
	assert_int_equal(q->timeout_ms, 1234);
}

static void
test_refused_before_sending(void **state)
{
	static const struct {
		enum backend_verb verb;
		const char *error;
	} rows[] = {
		{ BACKEND_LIST, "backend 'gw' cannot list" },
		{ BACKEND_REVOKE, "backend 'gw' cannot revoke" },
		{ BACKEND_PROBE, "backend 'gw' cannot probe" },
		{ BACKEND_MINT, "backend 'gw' cannot mint without a payer" },
	};
	struct backend_conf c = fix_http();
	struct backend_run run;

	c.list.url = c.revoke.url = c.probe.url = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		run = fix_run(&c, &recipe, rows[i].verb);
		secret_clear(&run.bearer);
		fix_call_run(&run);
		assert_int_equal(fix.err.code, TB_E_BADREQ);
		assert_string_equal(fix.err.msg, rows[i].error);
		assert_false(fix.run.uncertain);
	}
	c = fix_http();
	run = fix_run(&c, &recipe, BACKEND_PROBE);
	secret_clear(&run.value);
	fix_call_run(&run);
	assert_string_equal(fix.err.msg, "there is no value to probe");
	assert_int_equal(fake_http_requests(), 0);
}

/* Short secrets pass the cleaning of others' words; the driver compares. */
static void
test_no_secret_in_error(void **state)
{
	struct backend_conf c = counting_conf(0, BACKEND_FAILED);
	struct backend_conf gw = fix_http();
	struct backend_run run;

	fix_call(&c, &recipe, BACKEND_MINT);
	assert_string_equal(fix.err.msg,
	    "mint: refused, in words that hold a secret");
	assert_int_equal(fix.err.code, TB_E_UPSTREAM);

	run = fix_run(&gw, &recipe, BACKEND_MINT);
	secret_set_str(&run.bearer, "s3cret");
	fake_http_push_json(403, "{\"message\":\"bad token s3cret!\"}");
	fix_call_run(&run);
	assert_null(strstr(fix.err.msg, "s3cret"));

	fake_http_push_json(403, "{\"message\":\"not a key\"}");
	fix_call(&gw, &recipe, BACKEND_MINT);
	assert_string_equal(fix.err.msg, "mint: HTTP 403: not a key; "
	    "login 'ops', which pays, may not do that, or look at mint_url and "
	    "mint_method of [backend gw]");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)
		T(test_never_before_start_returns),
		T(test_bad_url_arrives_later),
		T(test_cancel_before_begin),
		T(test_cancel_in_flight),
		T(test_cancel_from_another_done),
		T(test_start_from_done),
		T(test_step_cap),
		T(test_many_steps),
		T(test_lost),
		T(test_time_out),
		T(test_transport_options),
		T(test_refused_before_sending),
		T(test_no_secret_in_error),
	};

	return cmocka_run_group_tests_name("backend/call", tests, NULL, NULL);
}
