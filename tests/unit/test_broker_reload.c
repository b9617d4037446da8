/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is under way when the world changes: a reload that removes or renames
 * what pays, an operator who revokes or goes away, a stop in the middle.
 * Nothing is lost sight of, nobody waits for ever, nothing touches what is
 * gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "broker_world.h"

#define HOUR_MS (3600 * INT64_C(1000))

static int
setup(void **state)
{
	return world_setup(state, WORLD_GRANT(1795999999));
}

/* Every `from` becomes `to`; owned by the caller. */
static char *
replaced(const char *text, const char *from, const char *to)
{
	struct strbuf b = STRBUF_INIT;
	const char *at;

	while ((at = strstr(text, from))) {
		strbuf_add(&b, text, (size_t)(at - text));
		strbuf_adds(&b, to);
		text = at + strlen(from);
	}
	strbuf_adds(&b, text);
	return strbuf_steal(&b);
}

static void
reload(struct world *w, const char *from, const char *to)
{
	char *text _cleanup_free_ = replaced(world_conf, from, to);

	world_reload(w, text);
}

#define TOKEN_DB \
	"[token db]\n" \
	"backend = prod\n" \
	"permissions = write:metrics\n" \
	"lifetime = 6h\n" \
	"renew_before = 2h\n" \
	"probe = none\n"

static void
get_first(struct world *w, struct heard *h)
{
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", h);
	fake_loop_run_pending();
	assert_string_equal(h->value, "apiv1_one");
	heard_clear(h);
}

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	json_t **out = arg;

	*out = err ? json_pack("{s:s}", "error", err->msg) :
	    json_incref(detail);
}

/* An orphan is looked for with a login that a reload renames. */
static void
test_payer_renamed_while_settling(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_error_for("/tokens", TB_E_TRANSIENT, "lost");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	assert_non_null(fake_state_record("intent", "db.1"));
	reload(w, "ops", "ops2");
	fake_loop_advance(HOUR_MS);
	assert_non_null(fake_state_record("intent", "db.1"));
	/* it is back: the search goes on */
	reload(w, "ops", "ops");
	for (int i = 0; i < 20; i++)
		fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(HOUR_MS);
	assert_null(fake_state_record("intent", "db.1"));
}

static void
test_mint_across_a_reload_keeps_its_recipe(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 1);
	reload(w, "write:metrics", "read:metrics");
	world_push_mint("id-1", "apiv1_old_permissions");
	world_push_mint("id-2", "apiv1_new");
	fake_loop_advance(1000);
	assert_int_equal(world_count("POST", "/tokens"), 2);
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_string_equal(secret_reveal(view.value), "apiv1_new");
}

/* on_change = update: the values that live are changed, none is made. */
static void
test_permissions_are_updated_in_place(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	get_first(w, &h);
	fake_http_push_json_for("/tokens/id-1", 503, "{\"code\":503,"
	    "\"message\":\"later\"}");
	fake_http_push_json_for("/tokens/id-1", 200, "{\"id\":\"id-1\"}");
	reload(w, "write:metrics\n", "read:metrics\non_change = update\n");
	fake_loop_advance(5000);
	assert_int_equal(world_count("PATCH", "/tokens/id-1"), 2);
	assert_int_equal(world_count("POST", "/tokens"), 1);
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_string_equal(secret_reveal(view.value), "apiv1_one");
	assert_int_equal(fake_state_audits(AUDIT_UPDATED), 1);
	world_crash(w);
	fake_loop_advance(HOUR_MS);
	assert_int_equal(world_count("PATCH", "/tokens"), 2);
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

/* Cut off before the answer was here: done again by the next run. */
static void
test_update_is_repeated_after_a_crash(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	get_first(w, &h);
	reload(w, "write:metrics\n", "read:metrics\non_change = update\n");
	fake_loop_advance(1);
	assert_int_equal(world_count("PATCH", "/tokens/id-1"), 1);
	world_crash(w);
	fake_http_push_json_for("/tokens/id-1", 200, "{\"id\":\"id-1\"}");
	fake_loop_advance(1000);
	assert_int_equal(world_count("PATCH", "/tokens/id-1"), 2);
	assert_int_equal(fake_state_audits(AUDIT_UPDATED), 1);
	fake_loop_advance(HOUR_MS);
	assert_int_equal(world_count("PATCH", "/tokens/id-1"), 2);
}

/* What the service will not change is replaced. */
static void
test_update_that_is_refused_mints(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	get_first(w, &h);
	fake_http_push_json_for("/tokens/id-1", 405, "{\"code\":405,"
	    "\"message\":\"no\"}");
	world_push_mint("id-2", "apiv1_two");
	reload(w, "write:metrics\n", "read:metrics\non_change = update\n");
	fake_loop_advance(2000);
	assert_int_equal(world_count("PATCH", "/tokens/id-1"), 1);
	assert_int_equal(fake_state_audits(AUDIT_UPDATED), 0);
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_string_equal(secret_reveal(view.value), "apiv1_two");
	fake_loop_advance(HOUR_MS);
	assert_int_equal(world_count("PATCH", "/tokens"), 1);
}

static void
test_mint_of_another_backend_is_not_released(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	reload(w, "prod", "prod2");
	world_push_mint("id-1", "apiv1_other_service");
	world_push_mint("id-2", "apiv1_new");
	fake_loop_advance(1000);
	assert_string_equal(h.value, "apiv1_new");
}

/* P2: its reply is lost after the reload, and it is looked for where it was
 * asked for. */
static void
test_mint_of_another_backend_is_settled(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	reload(w, "prod", "prod2");
	fake_http_push_error_for("/tokens", TB_E_TRANSIENT, "lost");
	for (int i = 0; i < 20; i++)
		fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(HOUR_MS);
	assert_true(world_count("GET", "/tokens") > 3);
	assert_null(fake_state_record("intent", "db.1"));
}

/* P2: a token leaves the configuration while its mint is under way. */
static void
test_removed_while_minting_is_settled(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	reload(w, TOKEN_DB, "");
	assert_int_equal(h.err.code, TB_E_BADREQ);
	assert_non_null(fake_state_record("intent", "db.1"));
	for (int i = 0; i < 20; i++)
		fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(HOUR_MS);
	assert_true(world_count("GET", "/tokens") > 3);
	assert_null(fake_state_record("intent", "db.1"));
}

/* A value that is upstream and not yet stored is not forgotten either. */
static void
test_removed_while_storing_comes_back(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	fake_state_fail(2);
	world_push_mint("id-1", "apiv1_one");
	fake_loop_run_pending();
	reload(w, TOKEN_DB, "");
	fake_loop_advance(5000);
	assert_non_null(fake_state_record("generation", "db.1"));
	assert_null(fake_state_record("intent", "db.1"));
	reload(w, TOKEN_DB, TOKEN_DB);
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_string_equal(secret_reveal(view.value), "apiv1_one");
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

static void
test_removed_while_revoking_is_answered(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	json_t *detail = NULL;

	get_first(w, &h);
	broker_revoke(w->broker, "db", 0, on_job, &detail);
	fake_loop_run_pending();
	assert_null(detail);
	reload(w, TOKEN_DB, "");
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_loop_run_pending();
	assert_non_null(detail);
	assert_int_equal(json_integer_value(json_object_get(detail,
	    "revoked")), 1);
	json_decref(detail);
	assert_null(fake_state_record("generation", "db.1"));
}

/* Stopped between the outcome and the news of it. */
static void
test_stop_with_an_outcome_untold(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	json_t *detail = NULL;

	get_first(w, &h);
	fake_http_push_json_for("/tokens/id-1", 503, "{}");
	broker_revoke(w->broker, "db", 0, on_job, &detail);
	do
		fake_loop_turn();
	while (!streq(fake_http_last()->method, "DELETE") ||
	    !fake_http_last()->done);
	assert_null(detail);
	world_crash(w);
	fake_loop_run_pending();
	assert_null(detail);
}

/* All are revoked, one more is under way: it does not get away. */
static void
test_logout_takes_what_is_being_minted(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;
	json_t *detail = NULL;

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	broker_logout(w->broker, "ops", false, on_job, &detail);
	fake_loop_run_pending();
	assert_null(detail);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_http_push_json_for("/revoke", 200, "");
	fake_http_push_json_for("/revoke", 200, "");
	world_push_mint("id-1", "apiv1_one");
	fake_loop_run_pending();
	assert_non_null(detail);
	assert_int_equal(json_integer_value(json_object_get(detail,
	    "revoked")), 1);
	json_decref(detail);
	assert_false(broker_get(w->broker, "db", 0, &view));
	assert_int_equal(world_count("DELETE", "/tokens/id-1"), 1);
}

/* Two operators log out at once: each is answered. */
static void
test_two_logouts(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	json_t *one = NULL, *two = NULL;

	get_first(w, &h);
	broker_logout(w->broker, "ops", false, on_job, &one);
	broker_logout(w->broker, "ops", true, on_job, &two);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	for (int i = 0; i < 4; i++)
		fake_http_push_json_for("/revoke", 200, "");
	fake_loop_run_pending();
	assert_non_null(one);
	assert_non_null(two);
	json_decref(one);
	json_decref(two);
}

static void
on_news(void *arg, const struct broker_login_news *n)
{
	*(int *)arg |= 1 << n->what;
}

/* The operator goes away and the broker stops while an approved grant is
 * being written: world_teardown is the test. */
static void
test_stop_while_a_login_is_stored(void **state)
{
	struct world *w = *state;
	struct broker_login_request req = { .name = "ops" };
	struct tb_error err = TB_ERROR_INIT;
	struct broker_login_watch *watch;
	int news = 0;

	fake_http_push_json_for("/device", 200, "{\"device_code\":\"dc\","
	    "\"user_code\":\"AB-CD\",\"expires_in\":600,"
	    "\"verification_uri\":\"https://idp.test/d\"}");
	watch = broker_login_start(w->broker, &req, on_news, &news, &err);
	fake_loop_run_pending();
	world_push_refresh("at9", "rt9");
	fake_state_hold(true);
	fake_loop_advance(6000);
	assert_int_equal(news, 1 << BROKER_LOGIN_CODE);
	broker_login_cancel(&watch);
}

/* P3: an answered refusal does not make an earlier silence undone. */
static void
test_unanswered_attempts_add_up(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_job *job;

	world_ask(w, "access", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	for (int i = 0; i < 6; i++) {
		/* a refresh, a harmless GET before each retry */
		fake_http_push_error_for("/token", TB_E_TRANSIENT, "lost");
		fake_http_push_json_for("/token", 405, "{}");
		fake_http_push_json_for("/token", 503, "{}");
		fake_http_push_json_for("/token", 405, "{}");
	}
	job = broker_rotate(w->broker, "access", NULL, NULL);
	broker_job_forget(&job);
	for (int i = 0; i < 60; i++) {
		job = broker_rotate(w->broker, "access", NULL, NULL);
		broker_job_forget(&job);
		fake_loop_advance(60000);
	}
	assert_int_equal(world_count("POST", "idp.test/token"), 3);
	assert_non_null(strstr(fake_state_record("login", "ops"),
	    "human_needed"));
}

/* What was revoked after the last look must be seen gone. */
static void
test_late_orphan_is_seen_gone(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char *list, nonce[33] = "";

	fake_http_push_error_for("/tokens", TB_E_TRANSIENT, "lost");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	assert_int_equal(sscanf(strstr(fake_state_record("intent", "db.1"),
	    "\"nonce\":") + 9, "%32s", nonce), 1);
	for (int i = 0; i < 100; i++)
		fake_http_push_error_for("/tokens", TB_E_UNREACHED, "down");
	fake_loop_advance(HOUR_MS);
	assert_non_null(fake_state_record("intent", "db.1"));
	fake_http_reset();
	list = xasprintf("[{\"id\":\"late\",\"description\":\"%s\","
	    "\"permissions\":[],\"createdAt\":\"2026-11-22T17:20:30Z\"}]",
	    nonce);
	fake_http_push_json_for("/tokens", 200, list);
	fake_http_push_json_for("/tokens/late", 204, "");
	fake_http_push_json_for("/tokens", 200, list);
	fake_http_push_json_for("/tokens/late", 204, "");
	fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(HOUR_MS);
	assert_int_equal(world_count("DELETE", "/tokens/late"), 2);
	assert_null(fake_state_record("intent", "db.1"));
	free(list);
}

/* A mint that nobody pays for costs the service nothing, so it is not counted
 * against the other tokens. */
static void
test_unpaid_mints_cost_no_quota(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	for (int i = 0; i < 100; i++) {
		world_ask(w, "db2", &h);
		fake_loop_run_pending();
		assert_int_equal(h.err.code, TB_E_LOGIN);
		heard_clear(&h);
	}
	get_first(w, &h);
}

static void
test_late_use_is_renewed(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	get_first(w, &h);
	world_push_mint("id-2", "apiv1_two");
	assert_true(broker_get(w->broker, "db", 0, &view));
	fake_loop_advance(4 * HOUR_MS + 1000);
	assert_int_equal(world_count("POST", "/tokens"), 2);
	/* unused until its renewal is overdue, then asked for */
	fake_loop_advance(5 * HOUR_MS);
	assert_int_equal(world_count("POST", "/tokens"), 2);
	world_push_mint("id-3", "apiv1_three");
	assert_true(broker_get(w->broker, "db", 0, &view));
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 3);
}

static void
test_watch_of_a_lapsed_value_makes_one(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_push_mint("id-1", "apiv1_one");
	world_watch(w, "db", 7, &h); /* from before a lost disk, say */
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 1);
	heard_clear(&h);
}

static void
test_withhold_by_reload(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;
	json_t *detail = NULL;

	get_first(w, &h);
	fake_http_push_json_for("/revoke", 200, "");
	fake_http_push_json_for("/revoke", 200, "");
	broker_logout(w->broker, "ops", true, on_job, &detail);
	fake_loop_run_pending();
	json_decref(detail);
	assert_true(broker_get(w->broker, "db", 0, &view));
	reload(w, "probe = none\n", "probe = none\non_grant_loss = withhold\n");
	assert_false(broker_get(w->broker, "db", 0, &view));
	reload(w, "ops", "ops");
	assert_true(broker_get(w->broker, "db", 0, &view));
}

/* Who wants more time than the grant has left does not spoil it for those
 * who want a moment. */
static void
test_a_valid_access_token_pays_in_an_outage(void **state)
{
	struct world *w = *state;
	struct heard access = { .answers = 0 }, db = { .answers = 0 };
	struct broker_job *job;

	world_ask(w, "access", &access);
	fake_loop_run_pending();
	heard_clear(&access);
	fake_http_push_error_for("idp.test/token", TB_E_UNREACHED, "down");
	job = broker_rotate(w->broker, "access", NULL, NULL);
	broker_job_forget(&job);
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &db);
	fake_loop_run_pending();
	assert_string_equal(db.value, "apiv1_one");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_payer_renamed_while_settling),
		T(test_mint_across_a_reload_keeps_its_recipe),
		T(test_permissions_are_updated_in_place),
		T(test_update_is_repeated_after_a_crash),
		T(test_update_that_is_refused_mints),
		T(test_mint_of_another_backend_is_not_released),
		T(test_mint_of_another_backend_is_settled),
		T(test_removed_while_minting_is_settled),
		T(test_removed_while_storing_comes_back),
		T(test_removed_while_revoking_is_answered),
		T(test_stop_with_an_outcome_untold),
		T(test_logout_takes_what_is_being_minted),
		T(test_two_logouts),
		T(test_stop_while_a_login_is_stored),
		T(test_unanswered_attempts_add_up),
		T(test_late_orphan_is_seen_gone),
		T(test_unpaid_mints_cost_no_quota),
		T(test_late_use_is_renewed),
		T(test_watch_of_a_lapsed_value_makes_one),
		T(test_withhold_by_reload),
		T(test_a_valid_access_token_pays_in_an_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
