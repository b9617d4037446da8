/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator is told when a service does not do what it should: one line
 * says what is wrong, where, and what to do next, and it is not said again
 * before it is something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker_world.h"
#include "caught_stderr.h"

#define HOUR (60 * 60 * 1000)

/* ------------------------------------------------------------- the log */

static void
assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
}

static void
assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' is in: %s", part, text);
}

/* ---------------------------------------------------------- the scaffold */

static int
setup(void **state)
{
	if (caught_stderr_begin() < 0)
		return -1;
	return world_setup(state, WORLD_GRANT(1795999999));
}

static int
teardown(void **state)
{
	int r = world_teardown(state);

	caught_stderr_end();
	return r;
}

/* ------------------------------------------------------------- the tests */

static void
test_pauses_are_for_humans(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	const char *text;

	fake_http_push(&(struct fake_http_reply){ .status = 429,
	    .body = "{}", .retry_after_ms = HOUR });
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	text = caught();
	assert_has(text, "next attempt in 1h\n");
	assert_lacks(text, " ms");
	heard_clear(&h);
}

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	if (err)
		fail_msg("%s", err->msg);
}

static void
on_any_job(void *arg, json_t *detail, const struct tb_error *err)
{
}

/* `db2` is minted, and its probe has not been answered yet. */
static void
mint_db2(struct world *w, struct heard *h)
{
	struct secret value = SECRET_INIT;

	secret_set_str(&value, "MGMT");
	broker_import(w->broker, "mgmt", &value, "m-1",
	    FAKE_NOW_REAL_S + 86400, on_job, NULL);
	fake_loop_run_pending();
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db2", h);
	fake_loop_run_pending();
	assert_int_equal(h->answers, 0);
	caught();
}

static void
answer_probe(int status, unsigned times)
{
	while (times--)
		fake_http_push_json_for("/probe", status, "{}");
}

/* A member of the status of db2; the text is valid until the next call. */
static const char *
status_of_db2(struct world *w, const char *member)
{
	static char buf[512];
	json_t *all = broker_status(w->broker);
	json_t *one, *v = NULL;
	size_t i;

	json_array_foreach(json_object_get(all, "tokens"), i, one) {
		if (streq(json_string_value(json_object_get(one, "name")),
			"db2"))
			v = json_object_get(one, member);
	}
	buf[0] = '\0';
	if (json_is_string(v))
		snprintf(buf, sizeof(buf), "%s", json_string_value(v));
	else if (v)
		buf[json_dumpb(v, buf, sizeof(buf) - 1, JSON_COMPACT)] = '\0';
	json_decref(all);
	return buf;
}

static void
test_a_wrong_probe_is_told_once(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	const char *text;

	mint_db2(w, &h);
	answer_probe(404, 1);
	fake_loop_run_pending();
	text = caught();
	assert_has(text, "db2: generation 1 is not released: its probe of "
	    "https://paid.test/probe answers HTTP 404; look at probe_url of "
	    "[backend paid] (/tmp/");
	assert_has(text, "or set probe = none and activate_after");
	assert_int_equal(h.answers, 1);
	assert_int_equal(h.err.code, TB_E_UPSTREAM);
	assert_has(h.err.msg, "HTTP 404");
	assert_has(status_of_db2(w, "last_error"), "look at probe_url");
	assert_has(status_of_db2(w, "probe"), "\"status\":404");
	assert_has(status_of_db2(w, "probe"),
	    "\"url\":\"https://paid.test/probe\"");
	/* who comes now is told at once */
	heard_clear(&h);
	world_ask(w, "db2", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	answer_probe(404, 10);
	fake_loop_advance(60000);
	assert_lacks(caught(), "not released");
	/* and it goes on by itself when that is mended */
	fake_http_drop_scripted();
	answer_probe(200, 1);
	fake_loop_advance(60000);
	assert_string_equal(status_of_db2(w, "state"), "ready");
	assert_string_equal(status_of_db2(w, "last_error"), "");
	assert_string_equal(status_of_db2(w, "probe"), "");
	heard_clear(&h);
}

static void
test_activation_is_no_news(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	mint_db2(w, &h);
	answer_probe(401, 200);
	fake_loop_advance(9 * 60000);
	assert_int_equal(h.answers, 0);
	assert_lacks(caught(), "not released");
	assert_string_equal(status_of_db2(w, "last_error"), "");
	assert_has(status_of_db2(w, "probe"), "\"status\":401");
	fake_loop_advance(2 * 60000);
	assert_has(caught(), "https://paid.test/probe does not know it yet "
	    "(HTTP 401)");
	fake_loop_advance(5 * 60000);
	assert_lacks(caught(), "not released");
	fake_http_drop_scripted();
	heard_clear(&h);
}

/* It may be how a service says "not yet", so nobody is sent away for it. */
static void
test_a_forbidden_probe_is_told_and_waited_for(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	mint_db2(w, &h);
	answer_probe(403, 2);
	fake_loop_advance(1000);
	assert_has(caught(), "answers HTTP 403; let probe_url of [backend "
	    "paid] (");
	assert_int_equal(h.answers, 0);
	fake_http_drop_scripted();
	answer_probe(200, 1);
	fake_loop_advance(5000);
	assert_int_equal(h.answers, 1);
	assert_string_equal(h.value, "apiv1_one");
	heard_clear(&h);
}

static void
assert_human_needed(struct world *w, const char *what)
{
	char *human _cleanup_free_ = broker_human_needed(w->broker);

	if (what) {
		assert_non_null(human);
		assert_string_equal(human, what);
	} else {
		assert_null(human);
	}
}

/* Whoever pays, the command that helps is in the one line there is. */
static void
test_a_refused_payer_names_the_command(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	assert_human_needed(w, "tokenbrokerctl import mgmt");
	fake_http_push_json_for("influx.test", 401, "{}");
	world_push_refresh("at2", "rt2");
	fake_http_push_json_for("influx.test", 401, "{}");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_has(caught(), "login 'ops' pays: look at its audience and "
	    "scopes, or log in as somebody whom the service knows: "
	    "tokenbrokerctl login ops");
	heard_clear(&h);

	mint_db2(w, &h);
	assert_human_needed(w, NULL);
	fake_http_drop_scripted();
	answer_probe(200, 1);
	fake_loop_advance(31000);
	heard_clear(&h);
	fake_http_push_json_for("paid.test/api", 401, "{}");
	fake_http_push_json_for("paid.test/api", 401, "{}");
	broker_rotate(w->broker, "db2", on_any_job, NULL);
	fake_loop_run_pending();
	assert_has(caught(), "tokenbrokerctl import mgmt");
	assert_human_needed(w, "tokenbrokerctl import mgmt");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pauses_are_for_humans,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_wrong_probe_is_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_activation_is_no_news,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_refused_payer_names_the_command, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_forbidden_probe_is_told_and_waited_for, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
