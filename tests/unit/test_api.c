/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The api door: which value leaves, in which form, and who hears what instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/now.h"
#include "base/util.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "serve_world.h"

#define VALUE_1 "the-value-1"
#define VALUE_2 "the-value-2"

static void
assert_audit(const char *want)
{
	assert_string_equal(fake_audit_take(), want);
}

static void
set_2(struct world *w)
{
	fake_broker_set(w->broker, "t1", VALUE_2, 2, now_real_s() + 7200);
}

static void
releases_a_ready_value(void **state)
{
	struct world *w = *state;
	struct answer a;
	json_t *o;

	world_ready(w);
	a = world_once(w, "api", "GET tokens/t1", NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_field(&a, "Content-Type"),
	    "application/json");
	assert_string_equal(answer_field(&a, "Cache-Control"), "no-store");
	assert_string_equal(answer_field(&a, "ETag"), "\"1\"");
	assert_int_equal(atoi(answer_field(&a, "Content-Length")),
	    strlen(answer_body(&a)));
	o = json_loads(answer_body(&a), 0, NULL);
	assert_non_null(o);
	assert_int_equal(json_object_size(o), 7);
	assert_string_equal(json_string_value(json_object_get(o, "token")),
	    VALUE_1);
	assert_string_equal(json_string_value(json_object_get(o,
	    "token_type")), "Bearer");
	assert_string_equal(json_string_value(json_object_get(o,
	    "expires_at")), "2026-11-22T19:20:00Z");
	assert_int_equal(json_integer_value(json_object_get(o,
	    "expires_in")), 7200);
	assert_int_equal(json_integer_value(json_object_get(o,
	    "generation")), 1);
	assert_string_equal(json_string_value(json_object_get(o,
	    "token_id")), "id-1");
	assert_string_equal(json_string_value(json_object_get(o,
	    "request_id")), fake_audit_last_request());
	json_decref(o);
	assert_audit("authorised t1/1 c:1\nsent t1/1\n");
}

static void
tells_the_seconds_that_are_left(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	fake_evloop_advance(61000);
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_non_null(strstr(a.text, "\"expires_in\":      7139,"));
	set_2(w);
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_non_null(strstr(a.text, VALUE_2));
	assert_non_null(strstr(a.text, "\"expires_in\":      7200,"));
	close(fd);
}

static void
gives_the_bare_value(void **state)
{
	static const struct {
		const char *accept;
		bool text;
	} cases[] = {
		{ "Accept: text/plain\r\n", true },
		{ "Accept: text/plain;q=0.9, */*\r\n", true },
		{ "Accept: application/json, text/plain\r\n", false },
		{ "Accept: */*\r\n", false },
		{ "Accept: text/html\r\n", false },
		{ NULL, false },
	};
	struct world *w = *state;
	struct answer a;
	size_t i;

	world_ready(w);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		a = world_once(w, "api", "GET tokens/t1", cases[i].accept,
		    NULL);
		assert_int_equal(a.status, 200);
		assert_int_equal(strcmp(answer_body(&a), VALUE_1) == 0,
		    cases[i].text);
		if (!cases[i].text)
			continue;
		assert_string_equal(answer_field(&a, "Content-Type"),
		    "text/plain");
		assert_string_equal(answer_field(&a, "X-Request-Id"),
		    fake_audit_last_request());
		assert_string_equal(answer_field(&a, "ETag"), "\"1\"");
	}
}

static void
notes_the_delivery(void **state)
{
	struct world *w = *state;

	world_ready(w);
	world_once(w, "api", "GET tokens/t1",
	    "X-Tokenbroker-Delivery: environment\r\n", NULL);
	assert_audit("authorised t1/1 c:1 by environment\n"
	    "sent t1/1 by environment\n");
	/* no free text gets into the log */
	world_once(w, "api", "GET tokens/t1",
	    "X-Tokenbroker-Delivery: \"}{\r\n", NULL);
	assert_audit("authorised t1/1 c:1 by other\nsent t1/1 by other\n");
}

/* ------------------------------------------------------------------- denied */

static void
hide_request_id(char *text)
{
	char *id = strstr(text, "\"request_id\":\"");

	assert_non_null(id);
	memset(id + 14, 'x', 16);
}

static void
tells_nobody_what_exists(void **state)
{
	static struct answer unknown, denied;
	struct world *w = *state;

	world_ready(w);
	denied = world_once(w, "api", "GET tokens/t2", NULL, NULL);
	unknown = world_once(w, "api", "GET tokens/t9", NULL, NULL);
	answer_must_be(&denied, 403, "denied.token");
	hide_request_id(denied.text);
	hide_request_id(unknown.text);
	assert_string_equal(denied.text, unknown.text);
	assert_audit("denied t2: no rule matches\n"
	    "denied t9: no rule matches\n");
	/* a rule for any token does not make one */
	world_no_rules(w);
	world_rule(w, getuid(), "*", false);
	unknown = world_once(w, "api", "GET tokens/t9", NULL, NULL);
	hide_request_id(unknown.text);
	assert_string_equal(denied.text, unknown.text);
	assert_audit("denied t9 c:1: no such token\n");
	/* nor does asking in any other way */
	unknown = world_once(w, "api", "GET tokens/t9?min_valid=999999",
	    "If-None-Match: \"1\"\r\nPrefer: wait=60\r\n", NULL);
	hide_request_id(unknown.text);
	assert_string_equal(denied.text, unknown.text);
	unknown = world_once(w, "api", "POST tokens/t9/rejected", NULL,
	    "not even JSON");
	hide_request_id(unknown.text);
	assert_string_equal(denied.text, unknown.text);
	fake_audit_take();
}

static void
obeys_the_first_rule(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_rule(w, getuid() + 1, "*", false);
	world_rule(w, getuid(), "t1", true);
	world_rule(w, getuid(), "*", false);
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 403, "denied.token");
	assert_audit("denied t1 c:2: denied by rule\n");
	/* rules count from the reload on, on living connections too */
	world_no_rules(w);
	world_ready(w);
	assert_int_equal(world_ask(w, fd, "GET tokens/t1", NULL, NULL).status,
	    200);
	world_no_rules(w);
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 403, "denied.token");
	close(fd);
}

static void
lists_what_one_may_have(void **state)
{
	struct world *w = *state;
	struct answer a;

	world_ready(w);
	a = world_once(w, "api", "GET tokens", NULL, NULL);
	assert_string_equal(answer_body(&a), "{\"tokens\":[\"t1\"]}\n");
	world_no_rules(w);
	a = world_once(w, "api", "GET tokens", NULL, NULL);
	assert_string_equal(answer_body(&a), "{\"tokens\":[]}\n");
	a = world_once(w, "api", "GET self", NULL, NULL);
	assert_non_null(strstr(a.text, "\"principal\":{\"uid\":"));
	assert_non_null(strstr(a.text, "\"tokens\":[]"));
}

static void
counts_the_rate(void **state)
{
	struct world *w = *state;
	struct acl_rule *r;
	struct answer a;

	world_ready(w);
	r = w->rule_list[0];
	r->rate_count = 2;
	r->rate_period_s = 60;
	world_once(w, "api", "GET tokens/t1", NULL, NULL);
	fake_evloop_advance(20000);
	a = world_once(w, "api", "GET tokens/t1", NULL, NULL);
	assert_int_equal(a.status, 200);
	fake_audit_take();
	a = world_once(w, "api", "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 429, "unavailable.rate");
	assert_string_equal(answer_field(&a, "Retry-After"), "40");
	assert_audit("");
	fake_evloop_advance(40000);
	a = world_once(w, "api", "GET tokens/t1", NULL, NULL);
	assert_int_equal(a.status, 200);
}

/* -------------------------------------------------------------- conditional */

static void
answers_304_when_nothing_is_new(void **state)
{
	static const struct {
		const char *field;
		int status;
	} cases[] = {
		{ "If-None-Match: \"1\"\r\n", 304 },
		{ "If-None-Match: W/\"1\"\r\n", 304 },
		{ "If-None-Match: \"x\", \"1\"\r\n", 304 },
		{ "If-None-Match: \"0\"\r\n", 200 },
		{ "If-None-Match: \"2\"\r\n", 200 },
		{ "If-None-Match: 1\r\n", 200 },
		{ "If-None-Match: \"\"\r\n", 200 },
		{ "If-None-Match: *\r\n", 200 },
		{ "If-None-Match: \"1\"\r\nPrefer: wait=0\r\n", 304 },
	};
	struct world *w = *state;
	struct answer a;
	size_t i;

	world_ready(w);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		a = world_once(w, "api", "GET tokens/t1", cases[i].field,
		    NULL);
		if (a.status != cases[i].status)
			fail_msg("case %zu: %d", i, a.status);
		if (a.status == 304) {
			assert_string_equal(answer_field(&a, "ETag"),
			    "\"1\"");
			assert_string_equal(answer_body(&a), "");
			assert_audit("");
		}
		fake_audit_take();
	}
}

static void
watches(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	static const char fields[] = "If-None-Match: \"1\"\r\n"
	    "Prefer: wait=60\r\n";
	struct answer a;

	world_ready(w);
	assert_int_equal(world_ask(w, fd, "GET tokens/t1", fields,
	    NULL).status, 0);
	fake_evloop_advance(59000);
	assert_int_equal(world_read(w, fd).status, 0);
	fake_evloop_advance(1500);
	a = world_read(w, fd);
	assert_int_equal(a.status, 304);
	assert_audit("");
	/* again, and now there is news */
	assert_int_equal(world_ask(w, fd, "GET tokens/t1", fields,
	    NULL).status, 0);
	assert_int_equal(fake_broker_waiters(w->broker), 1);
	set_2(w);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, VALUE_2));
	assert_audit("authorised t1/2 c:1\nsent t1/2\n");
	/* a watch starts no mint */
	assert_int_equal(fake_broker_cold(w->broker), 0);
	/* the client goes away */
	assert_int_equal(world_ask(w, fd, "GET tokens/t1",
	    "If-None-Match: \"2\"\r\nPrefer: wait=60\r\n", NULL).status, 0);
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_broker_waiters(w->broker), 0);
}

static void
judges_a_watch_again(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	world_ask(w, fd, "GET tokens/t1", "If-None-Match: \"1\"\r\n"
	    "Prefer: wait=60\r\n", NULL);
	/* a reload ends it; what may be had is judged when it asks again */
	world_no_rules(w);
	a = world_read(w, fd);
	assert_int_equal(a.status, 304);
	set_2(w);
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 403, "denied.token");
	close(fd);
}

/* --------------------------------------------------------------------- cold */

static void
waits_for_a_cold_mint(void **state)
{
	struct world *w = *state;
	int a_fd = world_connect(w, "api"), b_fd = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	fake_broker_unset(w->broker, "t1");
	world_send(a_fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(world_ask(w, b_fd, "GET tokens/t1", NULL,
	    NULL).status, 0);
	assert_int_equal(fake_broker_waiters(w->broker), 2);
	fake_evloop_advance(19000);
	set_2(w);
	a = world_read(w, a_fd);
	assert_int_equal(a.status, 200);
	a = world_read(w, b_fd);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, VALUE_2));
	assert_audit("authorised t1/2 c:1\nsent t1/2\n"
	    "authorised t1/2 c:1\nsent t1/2\n");
	close(a_fd);
	close(b_fd);
}

/* After a restart numbers may begin again: the client's value is over, and this
 * is another one. */
static void
sends_what_was_made_under_a_known_number(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_rule(w, getuid(), "t2", false);
	assert_int_equal(world_ask(w, fd, "GET tokens/t2",
	    "If-None-Match: \"1\"\r\n", NULL).status, 0);
	fake_broker_set(w->broker, "t2", VALUE_2, 1, now_real_s() + 7200);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, VALUE_2));
	close(fd);
}

static void
gives_up_on_a_cold_mint(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	fake_broker_unset(w->broker, "t1");
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	fake_evloop_advance(19000);
	assert_int_equal(world_read(w, fd).status, 0);
	fake_evloop_advance(1500);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.timeout");
	assert_string_equal(answer_field(&a, "Retry-After"), "5");
	assert_int_equal(fake_broker_waiters(w->broker), 0);
	/* the client is less patient */
	world_ask(w, fd, "GET tokens/t1", "Prefer: wait=2\r\n", NULL);
	fake_evloop_advance(2200);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.timeout");
	close(fd);
}

static void
tells_why_there_is_no_value(void **state)
{
	static const struct {
		enum tb_errc code;
		int64_t retry_ms;
		int status;
		const char *problem, *retry;
	} cases[] = {
		{ TB_E_LOGIN, 0, 503, "human_needed.login", "" },
		{ TB_E_TRANSIENT, 7500, 503, "unavailable.upstream", "8" },
		{ TB_E_UNREACHED, 0, 503, "unavailable.upstream", "5" },
		{ TB_E_BUSY, 30000, 503, "unavailable.upstream", "30" },
		{ TB_E_UPSTREAM, 0, 503, "unavailable.upstream", "5" },
		{ TB_E_PROTO, 0, 503, "unavailable.upstream", "5" },
		{ TB_E_LIMIT, 60000, 503, "unavailable.limit", "60" },
		{ TB_E_IO, 0, 503, "unavailable.disk", "5" },
		{ TB_E_CANCELLED, 0, 503, "unavailable.stopping", "1" },
		{ TB_E_BADREQ, 0, 403, "denied.token", "" },
	};
	struct world *w = *state;
	struct answer a;
	size_t i;

	world_ready(w);
	fake_broker_unset(w->broker, "t1");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = world_connect(w, "api");

		world_ask(w, fd, "GET tokens/t1", NULL, NULL);
		fake_broker_fail(w->broker, "t1", cases[i].code, "so \"it\" is",
		    cases[i].retry_ms);
		a = world_read(w, fd);
		answer_must_be(&a, cases[i].status, cases[i].problem);
		assert_string_equal(answer_field(&a, "Retry-After"),
		    cases[i].retry);
		if (cases[i].status == 503)
			assert_non_null(strstr(a.text,
			    "\"detail\":\"so \\\"it\\\" is\""));
		assert_int_equal(strstr(a.text, "\"login\":\"ops\"") != NULL,
		    cases[i].code == TB_E_LOGIN);
		fake_broker_fail(w->broker, "t1", TB_OK, "", 0);
		close(fd);
		fake_evloop_run();
	}
}

static void
bounds_min_valid(void **state)
{
	struct world *w = *state;
	struct answer a;

	world_ready(w);
	a = world_once(w, "api", "GET tokens/t1?min_valid=3600", NULL, NULL);
	assert_int_equal(a.status, 200);
	a = world_once(w, "api", "GET tokens/t1?min_valid=3601", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	assert_non_null(strstr(a.text, "renew_before"));
	a = world_once(w, "api", "GET tokens/t1?min_valid=x", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	a = world_once(w, "api", "GET tokens/t1?min_valid=", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	/* the value is too old for this asker: a new one is waited for */
	fake_evloop_advance(5000000);
	a = world_once(w, "api", "GET tokens/t1?min_valid=3600", NULL, NULL);
	assert_int_equal(a.status, 0);
	assert_int_equal(fake_broker_cold(w->broker), 1);
}

static void
stops(void **state)
{
	struct world *w = *state;
	int cold = world_connect(w, "api"), watch = world_connect(w, "api");
	int idle = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	world_rule(w, getuid(), "t2", false);
	world_ask(w, cold, "GET tokens/t2", NULL, NULL);
	world_ask(w, watch, "GET tokens/t1", "If-None-Match: \"1\"\r\n"
	    "Prefer: wait=60\r\n", NULL);
	world_ask(w, idle, "GET tokens/t1", NULL, NULL);
	serve_stop_accepting(w->serve);
	a = world_read(w, cold);
	answer_must_be(&a, 503, "unavailable.stopping");
	a = world_read(w, watch);
	assert_int_equal(a.status, 304);
	/* what comes until the end is served, and is the last */
	a = world_ask(w, idle, "GET tokens/t1", NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_field(&a, "Connection"), "close");
	assert_true(world_is_closed(w, idle));
	close(cold);
	close(watch);
	close(idle);
}

/* ----------------------------------------------------------------- rejected */

static void
hears_of_rejected_values(void **state)
{
	static const char hash[] = "0123456789abcdef0123456789abcdef"
	    "0123456789abcdef0123456789ABCDEF";
	struct world *w = *state;
	char body[256];
	struct answer a;
	static const char *const bad[] = { "{}", "[]", "x",
		"{\"generation\":1}", "{\"generation\":0,\"sha256\":\"0\"}",
		"{\"generation\":1,\"sha256\":\"zz\"}" };
	size_t i;

	world_ready(w);
	snprintf(body, sizeof(body), "{\"generation\":7,\"sha256\":\"%s\"}",
	    hash);
	fake_broker_accept(w->broker, true);
	a = world_once(w, "api", "POST tokens/t1/rejected", NULL, body);
	assert_int_equal(a.status, 202);
	assert_int_equal(fake_broker_rejected_generation(w->broker), 7);
	assert_audit("rejected t1/7 c:1: told by a holder\n");
	fake_broker_accept(w->broker, false);
	a = world_once(w, "api", "POST tokens/t1/rejected", NULL, body);
	answer_must_be(&a, 409, "denied.generation");
	assert_audit("");
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		a = world_once(w, "api", "POST tokens/t1/rejected", NULL,
		    bad[i]);
		answer_must_be(&a, 400, "denied.bad_request");
	}
	a = world_once(w, "api", "POST tokens/t2/rejected", NULL, body);
	answer_must_be(&a, 403, "denied.token");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(releases_a_ready_value),
		T(tells_the_seconds_that_are_left),
		T(gives_the_bare_value),
		T(notes_the_delivery),
		T(tells_nobody_what_exists),
		T(obeys_the_first_rule),
		T(lists_what_one_may_have),
		T(counts_the_rate),
		T(answers_304_when_nothing_is_new),
		T(watches),
		T(judges_a_watch_again),
		T(waits_for_a_cold_mint),
		T(sends_what_was_made_under_a_known_number),
		T(gives_up_on_a_cold_mint),
		T(tells_why_there_is_no_value),
		T(bounds_min_valid),
		T(stops),
		T(hears_of_rejected_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
