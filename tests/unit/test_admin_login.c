/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device logins over the admin door.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "serve_world.h"

static void
assert_has(const struct answer *a, const char *part)
{
	if (!strstr(a->text, part))
		fail_msg("no %s in: %s", part, a->text);
}

static void
send_code(struct world *w)
{
	struct broker_login_news news = {
		.what = BROKER_LOGIN_CODE,
		.user_code = "WDJB-MJHT",
		.verification_uri = "https://sso/device",
		.verification_uri_complete = "https://sso/device?c=WDJB-MJHT",
		.expires_in_s = 600,
		.interval_s = 5,
	};

	fake_broker_news(w->broker, &news);
}

static void
send_claims(struct world *w, enum broker_login_what what)
{
	json_t *claims = json_pack("{s:s}", "sub", "alice");
	struct broker_login_news news = { .what = what, .claims = claims };

	fake_broker_news(w->broker, &news);
	json_decref(claims);
}

static void
send_failure(struct world *w, enum tb_errc code, const char *msg)
{
	struct tb_error err = TB_ERROR_INIT;
	struct broker_login_news news = { .what = BROKER_LOGIN_FAILED,
		.err = &err };

	tb_error_set(&err, code, "%s", msg);
	fake_broker_news(w->broker, &news);
}

static void
logs_in(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct answer a;

	a = world_ask(w, fd, "POST logins/ops", NULL,
	    "{\"expect\":\"email=a@b\",\"repin\":true}");
	assert_int_equal(a.status, 0);
	assert_string_equal(fake_broker_login(w->broker), "ops email=a@b 1");
	send_code(w);
	a = world_read(w, fd);
	assert_int_equal(a.status, 202);
	assert_has(&a, "\"state\":\"waiting\"");
	assert_has(&a, "\"user_code\":\"WDJB-MJHT\"");
	assert_has(&a, "\"verification_uri\":\"https://sso/device\"");
	assert_has(&a, "\"expires_in\":600");
	assert_has(&a, "\"interval\":5");
	/* nobody else sees the code */
	a = world_once(w, "admin", "GET logins/ops", NULL, NULL);
	assert_null(strstr(a.text, "WDJB"));
	/* nothing new yet */
	a = world_ask(w, fd, "GET logins/ops", "Prefer: wait=2\r\n", NULL);
	assert_int_equal(a.status, 0);
	fake_evloop_advance(2500);
	a = world_read(w, fd);
	assert_has(&a, "\"state\":\"waiting\"");
	/* news that come while somebody waits, and before */
	world_ask(w, fd, "GET logins/ops", "Prefer: wait=20\r\n", NULL);
	send_claims(w, BROKER_LOGIN_CONFIRM);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_has(&a, "\"state\":\"confirm\"");
	assert_has(&a, "\"claims\":{\"sub\":\"alice\"}");
	a = world_ask(w, fd, "POST logins/ops/confirm", NULL,
	    "{\"confirm\":true}");
	assert_int_equal(a.status, 202);
	assert_int_equal(fake_broker_confirmed(w->broker), 1);
	send_claims(w, BROKER_LOGIN_DONE);
	a = world_ask(w, fd, "GET logins/ops", "Prefer: wait=20\r\n", NULL);
	assert_int_equal(a.status, 200);
	assert_has(&a, "\"state\":\"granted\"");
	assert_has(&a, "\"claims\":{\"sub\":\"alice\"}");
	/* it is told; now it is a login like any other */
	a = world_ask(w, fd, "GET logins/ops", NULL, NULL);
	assert_has(&a, "\"name\":\"ops\"");
	assert_string_equal(fake_audit_take(),
	    "admin ops: login, new account allowed\n"
	    "admin ops: login confirmed\n");
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_broker_cancelled(w->broker), 0);
}

static void
cancels_with_the_connection(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin");

	/* before the code, after it, and while news are waited for */
	world_ask(w, fd, "POST logins/ops", NULL, NULL);
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_broker_cancelled(w->broker), 1);
	fd = world_connect(w, "admin");
	world_ask(w, fd, "POST logins/ops", NULL, NULL);
	send_code(w);
	world_read(w, fd);
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_broker_cancelled(w->broker), 2);
	fd = world_connect(w, "admin");
	world_ask(w, fd, "POST logins/ops", NULL, NULL);
	send_code(w);
	world_read(w, fd);
	world_ask(w, fd, "GET logins/ops", "Prefer: wait=20\r\n", NULL);
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_broker_cancelled(w->broker), 3);
}

static void
tells_why_a_login_failed(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct answer a;

	/* no code: the POST itself fails */
	world_ask(w, fd, "POST logins/ops", NULL, NULL);
	send_failure(w, TB_E_UNREACHED, "cannot reach sso");
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.upstream");
	assert_has(&a, "cannot reach sso");
	/* later */
	world_ask(w, fd, "POST logins/ops", NULL, NULL);
	send_code(w);
	world_read(w, fd);
	send_failure(w, TB_E_LOGIN, "somebody said no");
	a = world_ask(w, fd, "GET logins/ops", NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_has(&a, "\"state\":\"failed\"");
	assert_has(&a, "\"detail\":\"somebody said no\"");
	assert_has(&a, "\"code\":\"human_needed.login\"");
	/* the provider does not answer at all */
	world_ask(w, fd, "POST logins/ops", NULL, NULL);
	fake_evloop_advance(32000);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.timeout");
	assert_int_equal(fake_broker_cancelled(w->broker), 1);
	/* the broker refuses to begin */
	fake_broker_refuse_login(w->broker, "one is pending already");
	a = world_ask(w, fd, "POST logins/ops", NULL, NULL);
	answer_must_be(&a, 409, "denied.conflict");
	assert_has(&a, "one is pending already");
	close(fd);
}

static void
refuses_odd_logins(void **state)
{
	static const struct {
		const char *request, *body;
		int status;
		const char *code;
	} cases[] = {
		{ "POST logins/nope", NULL, 404, "denied.unknown" },
		{ "POST logins/ops", "[]", 400, "denied.bad_request" },
		{ "POST logins/ops", "{\"expect\":1}", 400,
		    "denied.bad_request" },
		{ "POST logins/ops", "{\"expect\":\"x\"}", 400,
		    "denied.bad_request" },
		{ "POST logins/ops", "{\"expect\":\"=x\"}", 400,
		    "denied.bad_request" },
		{ "POST logins/ops", "{\"expect\":\"x=\"}", 400,
		    "denied.bad_request" },
		{ "POST logins/ops", "{\"repin\":\"yes\"}", 400,
		    "denied.bad_request" },
		{ "POST logins/ops/confirm", "{}", 400, "denied.bad_request" },
		{ "POST logins/ops/confirm", "{\"confirm\":1}", 400,
		    "denied.bad_request" },
		{ "POST logins/ops/confirm", "{\"confirm\":true}", 409,
		    "denied.conflict" },
		{ "POST logins/nope/confirm", "{\"confirm\":true}", 404,
		    "denied.unknown" },
	};
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct answer a;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		a = world_ask(w, fd, cases[i].request, NULL, cases[i].body);
		answer_must_be(&a, cases[i].status, cases[i].code);
		assert_null(fake_broker_login(w->broker));
	}
	/* one at a time on a connection */
	world_ask(w, fd, "POST logins/ops", NULL, NULL);
	send_code(w);
	world_read(w, fd);
	a = world_ask(w, fd, "POST logins/ops", NULL, NULL);
	answer_must_be(&a, 409, "denied.conflict");
	/* and another connection has no say in it */
	send_claims(w, BROKER_LOGIN_CONFIRM);
	a = world_once(w, "admin", "POST logins/ops/confirm", NULL,
	    "{\"confirm\":true}");
	answer_must_be(&a, 409, "denied.conflict");
	assert_int_equal(fake_broker_confirmed(w->broker), -1);
	close(fd);
}

static void
stops_while_somebody_logs_in(void **state)
{
	struct world *w = *state;
	int asking = world_connect(w, "admin");
	struct answer a;

	world_ask(w, asking, "POST logins/ops", NULL, NULL);
	serve_stop_accepting(w->serve);
	a = world_read(w, asking);
	answer_must_be(&a, 503, "unavailable.stopping");
	assert_int_equal(fake_broker_cancelled(w->broker), 1);
	close(asking);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(logs_in),
		T(cancels_with_the_connection),
		T(tells_why_a_login_failed),
		T(refuses_odd_logins),
		T(stops_while_somebody_logs_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
