/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a token may cost and whom it belongs to: one of each holder's own, so
 * many holders, so many mints an hour, a life that is worth a mint, and what
 * a lost grant takes along.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/principal.h"
#include "broker_world.h"

#define HOUR_MS (3600 * INT64_C(1000))
#define OWN "per = holder\n"

static int
setup(void **state)
{
	return world_setup(state, WORLD_GRANT(1795999999));
}

/* What the uid's is called. Static, two at a time. */
static const char *
name_of(struct world *w, uid_t uid)
{
	static char buf[2][BROKER_NAME_SIZE];
	static unsigned turn;
	const struct principal who = { .uid = uid, .gid = 1 };

	return broker_name_for(w->broker, "db", &who, buf[turn++ % 2]);
}

static void
ask_as(struct world *w, uid_t uid, struct heard *h)
{
	heard_clear(h);
	world_ask(w, name_of(w, uid), h);
	fake_loop_run_pending();
}

static void
get_as(struct world *w, uid_t uid, const char *id, const char *value)
{
	struct heard h = { .answers = 0 };

	world_push_mint(id, value);
	ask_as(w, uid, &h);
	assert_int_equal(h.answers, 1);
	assert_string_equal(h.value, value);
}

static void
assert_has(struct world *w, uid_t uid, const char *value)
{
	struct broker_view view;

	assert_true(broker_get(w->broker, name_of(w, uid), 0, &view));
	assert_string_equal(secret_reveal(view.value), value);
}

static void
two_holders(struct world *w)
{
	world_reload_db(w, OWN, "");
	get_as(w, 1000, "id-1", "apiv1_one");
	get_as(w, 1001, "id-2", "apiv1_two");
}

/* ----------------------------------------------------------- one for each */

static void
test_each_has_its_own(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	two_holders(w);
	assert_string_equal(name_of(w, 1000), "db@uid:1000");
	assert_has(w, 1000, "apiv1_one");
	assert_has(w, 1001, "apiv1_two");
	assert_non_null(fake_state_record("generation", "db@uid:1000.1"));
	assert_non_null(fake_state_record("generation", "db@uid:1001.1"));
	assert_non_null(strstr(fake_http_last()->body, "db@uid:1001 #1 "));
	assert_false(broker_get(w->broker, "db", 0, &view));
	assert_int_equal(world_count("POST", "/tokens"), 2);
}

static void
test_a_herd_of_one_holder_makes_one_call(void **state)
{
	struct world *w = *state;
	struct heard a = { .answers = 0 }, b = { .answers = 0 };

	world_reload_db(w, OWN, "");
	world_ask(w, name_of(w, 1000), &a);
	world_ask(w, name_of(w, 1000), &b);
	world_push_mint("id-1", "apiv1_one");
	fake_loop_run_pending();
	assert_string_equal(a.value, "apiv1_one");
	assert_string_equal(b.value, "apiv1_one");
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

static void
test_revoking_one_harms_nobody_else(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	two_holders(w);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	broker_revoke(w->broker, "db@uid:1000", 0, NULL, NULL);
	fake_loop_run_pending();
	assert_int_equal(world_count("DELETE", "/tokens/id-1"), 1);
	assert_int_equal(world_count("DELETE", "/tokens/id-2"), 0);
	assert_false(broker_get(w->broker, name_of(w, 1000), 0, &view));
	assert_has(w, 1001, "apiv1_two");
}

static void
test_the_recipes_name_means_all(void **state)
{
	struct world *w = *state;

	two_holders(w);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_http_push_json_for("/tokens/id-2", 204, "");
	broker_revoke(w->broker, "db", 0, NULL, NULL);
	fake_loop_run_pending();
	assert_int_equal(world_count("DELETE", "/tokens/id-"), 2);
}

static void
test_restart_and_crash_keep_them(void **state)
{
	struct world *w = *state;

	two_holders(w);
	world_restart(w);
	assert_has(w, 1000, "apiv1_one");
	world_crash(w);
	assert_has(w, 1001, "apiv1_two");
	assert_int_equal(world_count("POST", "/tokens"), 2);
}

static void
test_interrupted_mint_is_looked_for(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_reload_db(w, OWN, "");
	ask_as(w, 1000, &h);
	assert_non_null(fake_state_record("intent", "db@uid:1000.1"));
	world_crash(w);
	fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(2100);
	assert_int_equal(world_count("GET", "/tokens"), 1);
	heard_clear(&h);
}

/* Parked: not released, not forgotten. */
static void
test_reload_takes_and_gives_back(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	two_holders(w);
	world_reload_db(w, "", "");
	assert_false(broker_get(w->broker, "db@uid:1000", 0, &view));
	assert_string_equal(name_of(w, 1000), "db");
	world_reload_db(w, OWN, "");
	assert_has(w, 1000, "apiv1_one");
	assert_int_equal(world_count("POST", "/tokens"), 2);
}

static void
test_unused_is_not_renewed_and_forgotten(void **state)
{
	struct world *w = *state;

	world_reload_db(w, OWN, "");
	get_as(w, 1000, "id-1", "apiv1_one");
	world_push_mint("id-2", "apiv1_two"); /* one renewal: it was used */
	fake_loop_advance(9 * HOUR_MS);
	assert_non_null(broker_token(w->broker, "db@uid:1000"));
	fake_loop_advance(3 * HOUR_MS);
	assert_null(broker_token(w->broker, "db@uid:1000"));
	assert_null(fake_state_record("generation", "db@uid:1000.1"));
	assert_null(fake_state_record("generation", "db@uid:1000.2"));
	assert_int_equal(world_count("POST", "/tokens"), 2);
	assert_non_null(broker_token(w->broker, "db"));
}

/* Whoever comes back says which generation it has, and must not hear that
 * another value under the same number is no news. */
static void
test_who_comes_back_gets_another_number(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	world_reload_db(w, OWN, "");
	get_as(w, 1000, "id-1", "apiv1_one");
	world_push_mint("id-2", "apiv1_two");
	world_push_refresh("at2", "rt2"); /* every 12 hours */
	fake_loop_advance(12 * HOUR_MS);
	assert_null(broker_token(w->broker, "db@uid:1000"));
	get_as(w, 1000, "id-3", "apiv1_three");
	assert_true(broker_get(w->broker, name_of(w, 1000), 0, &view));
	assert_int_equal(view.generation, 3);
}

/* Of any token: what was revoked is gone from the disk, not from the minds of
 * those who know its number. */
static void
test_a_number_is_given_once(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.generation, 1);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	broker_revoke(w->broker, "db", 0, NULL, NULL);
	fake_loop_run_pending();
	assert_null(fake_state_record("generation", "db.1"));
	world_restart(w);
	world_push_mint("id-2", "apiv1_two");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 2);
	assert_int_equal(h.generation, 2);
	world_crash(w);
	assert_non_null(fake_state_record("numbers", "highest"));
}

/* The numbers of a former life. */
static void
test_a_watch_from_before_the_restart(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_push_mint("id-1", "apiv1_one");
	world_watch(w, "db", 17, &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	assert_int_equal(h.generation, 1);
}

static void
test_so_many_holders_and_no_more(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_reload_db(w, OWN "max_holders = 1\n", "");
	get_as(w, 1000, "id-1", "apiv1_one");
	ask_as(w, 1001, &h);
	assert_int_equal(h.answers, 1);
	assert_int_equal(h.err.code, TB_E_LIMIT);
	assert_non_null(strstr(h.err.msg, "max_holders = 1"));
	assert_true(h.err.retry_after_ms > 0);
	assert_has(w, 1000, "apiv1_one");
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

/* ----------------------------------------------------------------- quotas */

static void
test_quota_of_one_recipe(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_reload_db(w, OWN "mints_per_hour = 1\n", "");
	get_as(w, 1000, "id-1", "apiv1_one");
	ask_as(w, 1001, &h);
	assert_non_null(strstr(h.err.msg, "mints_per_hour = 1 of [token db]"));
	assert_int_equal(h.err.code, TB_E_LIMIT);
	assert_int_equal(world_count("POST", "/tokens"), 1);
	assert_int_equal(world_sample(w, "tokenbroker_mint_quota_refusals_"
	    "total{token=\"db\",quota=\"token\"}"), 1);
	fake_loop_advance(2 * HOUR_MS);
	get_as(w, 1001, "id-2", "apiv1_two");
}

/* One token's quota is not another's. */
static void
test_quota_leaves_others_alone(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;

	world_reload_db(w, "mints_per_hour = 1\n", "");
	assert_int_equal(broker_may_mint(w->broker,
	    broker_token(w->broker, "db"), &err), 0);
	assert_int_equal(broker_may_mint(w->broker,
	    broker_token(w->broker, "db"), &err), -1);
	assert_int_equal(broker_may_mint(w->broker,
	    broker_token(w->broker, "db2"), &err), 0);
	broker_did_not_mint(w->broker, "db");
	assert_int_equal(broker_may_mint(w->broker,
	    broker_token(w->broker, "db"), &err), 0);
}

/* A value that ends at once is handed back, and no storm follows. */
static void
test_less_life_than_the_least(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_reload_db(w, "", "[broker]\nmin_lifetime = 1h\n");
	for (int i = 0; i < 50; i++) {
		fake_http_push_json_for("/tokens", 200,
		    "{\"id\":\"id-1\",\"accessToken\":\"apiv1_one\","
		    "\"description\":\"x\",\"permissions\":[],"
		    "\"createdAt\":\"2026-11-22T17:20:00Z\","
		    "\"expiresAt\":\"2026-11-22T17:21:00Z\"}");
		fake_http_push_json_for("/tokens/id-1", 204, "");
	}
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	assert_non_null(strstr(h.err.msg, "min_lifetime"));
	fake_loop_advance(30000);
	assert_int_equal(world_count("DELETE", "/tokens/id-1"), 1);
	assert_in_range(world_count("POST", "/tokens"), 1, 6);
	assert_null(fake_state_record("generation", "db.1"));
}

/* ------------------------------------------------------------- grant lost */

static void
lose(struct world *w, const char *keys)
{
	struct heard h = { .answers = 0 };

	world_reload_db(w, keys, "");
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	fake_http_push_json_for("/tokens", 401,
	    "{\"code\":401,\"message\":\"no\"}");
	fake_http_push_json_for("idp.test/token", 400,
	    "{\"error\":\"invalid_grant\"}");
	fake_loop_advance(5 * HOUR_MS);
	assert_int_equal(fake_state_audits(AUDIT_HUMAN_NEEDED), 1);
}

static void
test_lost_grant_serves(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	lose(w, "");
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_int_equal(fake_state_audits(AUDIT_WITHHELD), 0);
}

static void
test_lost_grant_revokes(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	lose(w, "on_grant_loss = revoke\n");
	assert_false(broker_get(w->broker, "db", 0, &view));
	assert_int_equal(fake_state_audits(AUDIT_WITHHELD), 1);
	assert_non_null(strstr(fake_state_record("generation", "db.1"),
	    "revok"));
}

/* The provider has to say that it is over. */
static void
test_outage_is_no_loss(void **state)
{
	struct world *w = *state;
	struct broker_view view;
	struct heard h = { .answers = 0 };

	world_reload_db(w, "on_grant_loss = revoke\n", "");
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	for (int i = 0; i < 200; i++) {
		fake_http_push_json_for("/tokens", 401,
		    "{\"code\":401,\"message\":\"no\"}");
		fake_http_push_json_for("idp.test/token", 503, "{}");
	}
	fake_loop_advance(5 * HOUR_MS);
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_int_equal(fake_state_audits(AUDIT_WITHHELD), 0);
}

/* Nor does who mistypes a client_id take everybody's value away. */
static void
test_changed_login_is_no_loss(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char *text, *at;

	world_reload_db(w, "on_grant_loss = revoke\n", "");
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	text = world_conf_db("on_grant_loss = revoke\n", "");
	at = strstr(text, "client_id = cli");
	assert_non_null(at);
	memcpy(at, "client_id = clj", strlen("client_id = clj"));
	world_reload(w, text);
	free(text);
	assert_int_equal(fake_state_audits(AUDIT_HUMAN_NEEDED), 1);
	assert_int_equal(fake_state_audits(AUDIT_WITHHELD), 0);
	assert_null(strstr(fake_state_record("generation", "db.1"),
	    "revoking"));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_each_has_its_own),
		TEST(test_a_herd_of_one_holder_makes_one_call),
		TEST(test_revoking_one_harms_nobody_else),
		TEST(test_the_recipes_name_means_all),
		TEST(test_restart_and_crash_keep_them),
		TEST(test_interrupted_mint_is_looked_for),
		TEST(test_reload_takes_and_gives_back),
		TEST(test_unused_is_not_renewed_and_forgotten),
		TEST(test_who_comes_back_gets_another_number),
		TEST(test_a_number_is_given_once),
		TEST(test_a_watch_from_before_the_restart),
		TEST(test_so_many_holders_and_no_more),
		TEST(test_quota_of_one_recipe),
		TEST(test_quota_leaves_others_alone),
		TEST(test_less_life_than_the_least),
		TEST(test_lost_grant_serves),
		TEST(test_lost_grant_revokes),
		TEST(test_outage_is_no_loss),
		TEST(test_changed_login_is_no_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
