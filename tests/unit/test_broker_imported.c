/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that nobody renews. Their end is told before it comes, at each
 * distance once, over restarts too; and what was made by hand is looked for in
 * the service's list by its id, or by the beginning of its value, so that one
 * that was revoked there is not handed out for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/backoff.h"
#include "broker_world.h"

#define HOUR_MS (60 * 60 * INT64_C(1000))
#define DAY_MS (24 * HOUR_MS)
#define VALUE "M.V1.+5JkSecretOfTheAdminUi"
#define PREFIX "M.V1.+5Jk"

static const char by_hand[] =
    "[backend prod]\n"
    "type = influxdb-dedicated\n"
    "account_id = a\n"
    "cluster_id = c\n"
    "base_url = https://influx.test\n"
    "management_token = mgmt\n"
    "list_url = /mgmt\n"
    "reconcile_interval = 6h\n"
    "[token mgmt]\n"
    "backend = prod\n"
    "kind = management\n"
    "allow_full_access = yes\n"
    "%s"
    "[client all]\n"
    "user = *\n"
    "tokens = *\n";

static uint64_t
no_jitter(void)
{
	return 0;
}

static struct world *
start(const char *more)
{
	struct world *w = xnew(struct world);
	char *text = xasprintf(by_hand, more);

	backoff_set_source(no_jitter);
	fake_state_reset();
	world_start(w, text);
	free(text);
	return w;
}

static int
setup(void **state)
{
	*state = start("");
	return 0;
}

static int
setup_none(void **state)
{
	*state = start("announce_expiry = none\n");
	return 0;
}

static int
setup_login(void **state)
{
	backoff_set_source(no_jitter);
	return world_setup(state, WORLD_GRANT(1795999999));
}

static int
teardown(void **state)
{
	fake_http_drop_scripted();
	world_stop(*state);
	free(*state);
	backoff_set_source(NULL);
	return 0;
}

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	bool *ok = arg;

	*ok = !err;
}

static void
import(struct world *w, const char *id, int64_t life_s)
{
	struct secret value = SECRET_INIT;
	bool ok = false;

	secret_set_str(&value, VALUE);
	broker_import(w->broker, "mgmt", &value, id, FAKE_NOW_REAL_S + life_s,
	    on_job, &ok);
	fake_loop_run_pending();
	assert_true(ok);
}

/* The text of a member of the status of a token; "" when it has none. */
static const char *
said(struct world *w, const char *token, const char *member)
{
	static char text[256];
	json_t *status = broker_status(w->broker), *one;
	size_t i;

	text[0] = '\0';
	json_array_foreach(json_object_get(status, "tokens"), i, one) {
		const char *s = json_string_value(json_object_get(one,
		    member));

		if (streq(json_string_value(json_object_get(one, "name")),
			token) && s)
			snprintf(text, sizeof(text), "%s", s);
	}
	json_decref(status);
	return text;
}

/* An item of the list of management tokens, as influxctl prints it: times as
 * numbers of seconds, absent ones absent. */
static void
push_list(const char *id, const char *prefix, const char *more)
{
	char *body = xasprintf("[{\"id\":\"other\",\"token_prefix\":"
	    "\"M.V1.zzzz\",\"description\":\"\"},{\"id\":\"%s\","
	    "\"token_prefix\":\"%s\",\"description\":\"by hand\","
	    "\"created_at\":{\"seconds\":1700000000}%s}]", id, prefix, more);

	fake_http_push_json_for("/mgmt", 200, body);
	free(body);
}

/* ---------------------------------------------------------------- the end */

static void
test_each_distance_is_told_once(void **state)
{
	struct world *w = *state;

	import(w, "m-1", 30 * 86400);
	fake_loop_advance(15 * DAY_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 0);
	assert_string_equal(said(w, "mgmt", "expiring"), "");
	fake_loop_advance(DAY_MS + HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 1);
	assert_string_equal(said(w, "mgmt", "expiring"),
	    "it is made by hand");
	assert_string_equal(said(w, "mgmt", "expiring_advice"),
	    "tokenbrokerctl import mgmt");
	fake_loop_advance(9 * DAY_MS);
	world_crash(w);
	fake_loop_advance(HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 1);
	fake_loop_advance(2 * DAY_MS); /* 3d */
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 2);
	fake_loop_advance(2 * DAY_MS); /* 1d */
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 3);
	fake_loop_advance(2 * DAY_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 3);
}

/* The machine was off when two of them passed: the nearest is told. */
static void
test_passed_distances_are_one(void **state)
{
	struct world *w = *state;

	import(w, "m-1", 30 * 86400);
	fake_now_advance(28 * DAY_MS);
	world_crash(w);
	fake_loop_advance(1000);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 1);
	fake_loop_advance(HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 1);
}

/* Where every distance is longer than the life: a third of it. */
static void
test_short_life(void **state)
{
	struct world *w = *state;

	import(w, "m-1", 3 * 3600);
	fake_loop_advance(HOUR_MS + HOUR_MS / 2);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 0);
	fake_loop_advance(HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 1);
}

static void
test_a_new_one_ends_the_alarm(void **state)
{
	struct world *w = *state;

	import(w, "m-1", 2 * 86400);
	fake_loop_advance(30 * HOUR_MS);
	assert_string_not_equal(said(w, "mgmt", "expiring"), "");
	import(w, "m-2", 60 * 86400);
	assert_string_equal(said(w, "mgmt", "expiring"), "");
	fake_loop_advance(30 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 1);
}

static void
test_none_is_none(void **state)
{
	struct world *w = *state;

	import(w, "m-1", 2 * 86400);
	fake_loop_advance(3 * DAY_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 0);
}

/* A lost login ends what it paid; a login that works does not. */
/* ------------------------------------------------- what pays is refused */

#define DB "[token db]\nbackend = prod\npermissions = read:x\n" \
	"lifetime = 6h\nprobe = none\n"

static int
setup_db(void **state)
{
	*state = start(DB);
	return 0;
}

static void
push_refusals(void)
{
	for (int i = 0; i < 2; i++) /* asked with another one, if there is */
		fake_http_push_json_for("/tokens", 401,
		    "{\"message\":\"no such token\"}");
}

/* It is told once, to whom it stops and to whoever looks; and a human ends it.
 */
static void
test_refused_payer_needs_a_human(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	import(w, NULL, 80 * 86400);
	push_refusals();
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_non_null(strstr(h.err.msg, "token 'mgmt', which pays, is "
	    "refused"));
	assert_non_null(strstr(h.err.msg, "no such token"));
	assert_non_null(strstr(h.err.msg, "tokenbrokerctl import mgmt"));
	assert_string_equal(said(w, "mgmt", "state"), "refused");
	assert_non_null(strstr(said(w, "mgmt", "last_error"),
	    "tokenbrokerctl import mgmt"));
	assert_int_equal(fake_state_audits(AUDIT_HUMAN_NEEDED), 1);
	push_refusals();
	fake_loop_advance(HOUR_MS);
	heard_clear(&h);
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(fake_state_audits(AUDIT_HUMAN_NEEDED), 1);
	heard_clear(&h);
	fake_http_drop_scripted();
	import(w, NULL, 80 * 86400);
	assert_string_equal(said(w, "mgmt", "state"), "ready");
	assert_string_equal(said(w, "mgmt", "last_error"), "");
	world_push_mint("id-1", "apiv1_one");
	fake_loop_advance(HOUR_MS);
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "apiv1_one");
}

/* A gateway in front of the service had a bad minute. */
static void
test_refused_payer_is_taken_again(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	import(w, NULL, 80 * 86400);
	push_refusals();
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_string_equal(said(w, "mgmt", "state"), "refused");
	heard_clear(&h);
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_advance(HOUR_MS);
	assert_string_equal(h.value, "apiv1_one");
	assert_string_equal(said(w, "mgmt", "state"), "ready");
	assert_string_equal(said(w, "mgmt", "last_error"), "");
}

static void
test_lost_login_is_told(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	/* the renewal: the service refuses the bearer, and the provider says
	 * that the grant is gone */
	fake_http_push_json_for("/tokens", 401, "{\"code\":401,"
	    "\"message\":\"no\"}");
	fake_http_push_json_for("idp.test/token", 400,
	    "{\"error\":\"invalid_grant\"}");
	fake_loop_advance(3 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 0);
	fake_loop_advance(2 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_HUMAN_NEEDED), 1);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 1);
	assert_string_equal(said(w, "db", "expiring"),
	    "its login needs a human");
	assert_string_equal(said(w, "db", "expiring_advice"),
	    "tokenbrokerctl login ops");
}

/* ---------------------------------------------------------------- the list */

static bool
has_value(struct world *w)
{
	struct broker_view view;

	return broker_get(w->broker, "mgmt", 0, &view);
}

static void
test_found_by_its_prefix(void **state)
{
	struct world *w = *state;

	import(w, NULL, 30 * 86400);
	push_list("m-7", PREFIX, "");
	fake_loop_advance(2000);
	assert_int_equal(world_count("GET", "influx.test/mgmt"), 1);
	assert_non_null(strstr(fake_state_record("generation", "mgmt.1"),
	    "\"id\":\"m-7\""));
	assert_int_equal(fake_state_audits(AUDIT_UPDATED), 1);
	assert_int_equal(fake_state_audits(AUDIT_MISSING), 0);
}

/* A beginning that all values share tells nothing. */
static void
test_short_prefix_is_none(void **state)
{
	struct world *w = *state;

	import(w, NULL, 30 * 86400);
	push_list("m-7", "M.V1.", "");
	fake_loop_advance(2000);
	assert_null(strstr(fake_state_record("generation", "mgmt.1"),
	    "\"id\":\"m-7\""));
}

static void
test_an_earlier_end_is_believed(void **state)
{
	struct world *w = *state;
	char more[64];

	import(w, "m-1", 30 * 86400);
	snprintf(more, sizeof(more), ",\"expires_at\":{\"seconds\":%lld}",
	    (long long)FAKE_NOW_REAL_S + 2 * 86400);
	push_list("m-1", PREFIX, more);
	fake_loop_advance(2000);
	assert_true(has_value(w));
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 0);
	fake_loop_advance(30 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 1);
	assert_true(has_value(w));
	fake_loop_advance(DAY_MS);
	assert_false(has_value(w));
}

static void
test_listed_as_revoked(void **state)
{
	struct world *w = *state;

	import(w, "m-1", 30 * 86400);
	push_list("m-1", PREFIX, ",\"revoked_at\":{\"seconds\":1795000000,"
	    "\"nanos\":5}");
	fake_loop_advance(2000);
	assert_int_equal(fake_state_audits(AUDIT_REJECTED), 1);
	assert_false(has_value(w));
	assert_non_null(strstr(said(w, "mgmt", "last_error"),
	    "tokenbrokerctl import mgmt"));
	world_crash(w);
	assert_false(has_value(w));
}

/* The list is complete as far as we know, and has it not: told after two
 * looks, not dropped. */
static void
test_not_listed_any_more(void **state)
{
	struct world *w = *state;

	import(w, "m-1", 30 * 86400);
	push_list("m-2", "M.V1.aaaa", "");
	fake_loop_advance(2000);
	assert_int_equal(fake_state_audits(AUDIT_MISSING), 0);
	push_list("m-2", "M.V1.aaaa", "");
	fake_loop_advance(11 * 60 * 1000);
	assert_int_equal(world_count("GET", "influx.test/mgmt"), 2);
	assert_int_equal(fake_state_audits(AUDIT_MISSING), 1);
	assert_true(has_value(w));
	push_list("m-1", PREFIX, "");
	fake_loop_advance(7 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_MISSING), 1);
}

int
main(void)
{
#define T(fn, setup_fn) \
	cmocka_unit_test_setup_teardown(fn, setup_fn, teardown)
	const struct CMUnitTest tests[] = {
		T(test_each_distance_is_told_once, setup),
		T(test_passed_distances_are_one, setup),
		T(test_short_life, setup),
		T(test_a_new_one_ends_the_alarm, setup),
		T(test_none_is_none, setup_none),
		T(test_refused_payer_needs_a_human, setup_db),
		T(test_refused_payer_is_taken_again, setup_db),
		T(test_lost_login_is_told, setup_login),
		T(test_found_by_its_prefix, setup),
		T(test_short_prefix_is_none, setup),
		T(test_an_earlier_end_is_believed, setup),
		T(test_listed_as_revoked, setup),
		T(test_not_listed_any_more, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
