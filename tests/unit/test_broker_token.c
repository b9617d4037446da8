/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a token: one mint for all who ask, nothing released before it
 * is on disk, nothing valid dropped in an outage, no unknown token left alive.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "broker_world.h"

#define GRANT WORLD_GRANT(1795999999)

static int
setup(void **state)
{
	return world_setup(state, GRANT);
}

static void
get_first(struct world *w, struct heard *h)
{
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", h);
	fake_loop_run_pending();
	assert_int_equal(h->answers, 1);
	assert_string_equal(h->value, "apiv1_one");
}

/* P4 */
static void
test_cold_herd_makes_one_call(void **state)
{
	struct world *w = *state;
	static struct heard h[1000];

	memset(h, 0, sizeof(h));
	for (size_t i = 0; i < ARRAY_SIZE(h); i++)
		world_ask(w, "db", &h[i]);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 1);
	world_push_mint("id-1", "apiv1_one");
	fake_loop_run_pending();
	for (size_t i = 0; i < ARRAY_SIZE(h); i++) {
		assert_int_equal(h[i].answers, 1);
		assert_string_equal(h[i].value, "apiv1_one");
	}
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

/* P2: the intent is durable before the call. */
static void
test_intent_before_call(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_state_hold(true);
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 0);
	fake_state_hold(false);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 1);
	assert_int_equal(h.answers, 1);
	assert_null(fake_state_record("intent", "db.1"));
	assert_non_null(fake_state_record("generation", "db.1"));
}

static void
test_description_holds_the_nonce(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	const struct fake_http_request *r;
	const char *record;
	char nonce[33] = "";

	fake_state_hold(true);
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	fake_state_hold(false);
	fake_loop_run_pending();
	record = fake_state_record("intent", "db.1");
	assert_non_null(record);
	assert_int_equal(sscanf(strstr(record, "\"nonce\":") + 9, "%32s",
	    nonce), 1);
	r = fake_http_last();
	assert_non_null(strstr(r->body, nonce));
	heard_clear(&h);
}

/* P1's cousin: a value is not released before it is on disk. */
static void
test_no_release_before_record(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	fake_state_hold(true);
	world_push_mint("id-1", "apiv1_one");
	fake_loop_run_pending();
	assert_int_equal(h.answers, 0);
	assert_false(broker_get(w->broker, "db", 0, &view));
	fake_state_hold(false);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	assert_true(broker_get(w->broker, "db", 0, &view));
}

static void
test_full_disk_mints_nothing(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_state_fail(1);
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 0);
	fake_loop_advance(2000); /* space is back: tried again */
	assert_int_equal(world_count("POST", "/tokens"), 1);
	assert_string_equal(h.value, "apiv1_one");
}

/* The value is upstream already, and the disk refuses: kept, not released,
 * written again, and no second mint. */
static void
test_full_disk_after_mint(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	fake_state_fail(2);
	world_push_mint("id-1", "apiv1_one");
	fake_loop_run_pending();
	assert_int_equal(h.answers, 0);
	fake_loop_advance(5000);
	assert_int_equal(h.answers, 1);
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

/* P2: after a lost reply the orphan is looked for by its nonce and revoked. */
static void
test_lost_reply_is_settled(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char *list, nonce[33] = "";

	fake_http_push_error_for("/tokens", TB_E_TRANSIENT, "lost");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_non_null(fake_state_record("intent", "db.1"));
	assert_int_equal(sscanf(strstr(fake_state_record("intent", "db.1"),
	    "\"nonce\":") + 9, "%32s", nonce), 1);
	list = xasprintf("[{\"id\":\"mine\",\"description\":\"x %s]\","
	    "\"permissions\":[],\"createdAt\":\"2026-11-22T17:20:01Z\"},"
	    "{\"id\":\"other\",\"description\":\"y\",\"permissions\":[],"
	    "\"createdAt\":\"2026-11-22T17:20:01Z\"}]", nonce);
	world_push_mint("id-2", "apiv1_two"); /* the second attempt */
	fake_loop_advance(1100);
	assert_string_equal(h.value, "apiv1_two");
	fake_http_push_json_for("/tokens", 200, list);
	fake_http_push_json_for("/tokens/mine", 204, "");
	fake_loop_advance(3000);
	assert_int_equal(world_count("DELETE", "/tokens/mine"), 1);
	assert_int_equal(world_count("DELETE", "/tokens/other"), 0);
	assert_int_equal(fake_state_audits(AUDIT_REVOKED), 1);
	/* looked at again until settle_time (10 min) has passed */
	assert_non_null(fake_state_record("intent", "db.1"));
	for (int i = 0; i < 20; i++)
		fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(15 * 60 * 1000);
	assert_null(fake_state_record("intent", "db.1"));
	assert_true(world_count("GET", "/tokens") >= 4);
	free(list);
}

/* A service that commits after our first look is caught by a later one. */
static void
test_late_commit_is_settled(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char *list, nonce[33] = "";

	fake_http_push_error_for("/tokens", TB_E_TRANSIENT, "lost");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(sscanf(strstr(fake_state_record("intent", "db.1"),
	    "\"nonce\":") + 9, "%32s", nonce), 1);
	world_push_mint("id-2", "apiv1_two");
	fake_loop_advance(1100);
	fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(3000);
	list = xasprintf("[{\"id\":\"late\",\"description\":\"%s\","
	    "\"permissions\":[],\"createdAt\":\"2026-11-22T17:20:30Z\"}]",
	    nonce);
	fake_http_push_json_for("/tokens", 200, list);
	fake_http_push_json_for("/tokens/late", 204, "");
	fake_loop_advance(60000);
	assert_int_equal(world_count("DELETE", "/tokens/late"), 1);
	free(list);
	heard_clear(&h);
}

/* An intent on disk at start: killed between call and record. */
static void
test_crash_leaves_intent_that_is_settled(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 1);
	world_crash(w);
	heard_clear(&h);
	assert_non_null(fake_state_record("intent", "db.1"));
	fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(2100);
	assert_int_equal(world_count("GET", "/tokens"), 1);
	/* and numbers are not used twice */
	world_push_mint("id-2", "apiv1_two");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.generation, 2);
}

static void
test_certain_failure_leaves_no_intent(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_json_for("/tokens", 403,
	    "{\"code\":403,\"message\":\"no\"}");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	assert_int_equal(h.err.code, TB_E_UPSTREAM);
	assert_true(h.err.retry_after_ms > 0);
	assert_null(fake_state_record("intent", "db.1"));
}

/* P5 */
static void
test_outage_at_renewal_is_invisible(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	get_first(w, &h);
	/* 6 h life, renewal from 2 h (and a spread) before the end */
	for (int i = 0; i < 200; i++)
		fake_http_push_json_for("/tokens", 503, "{}");
	fake_loop_advance(5 * 3600 * INT64_C(1000));
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_string_equal(secret_reveal(view.value), "apiv1_one");
	/* backed off, capped: far fewer than one per second */
	assert_in_range(world_count("POST", "/tokens"), 5, 60);
	/* and at its own end it is not released any more */
	fake_loop_advance(3600 * 1000 + 1000);
	assert_false(broker_get(w->broker, "db", 0, &view));
}

/* A login that is renewed for each attempt is no reason to hurry. */
static void
test_renewed_login_does_not_end_the_back_off(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	size_t before;

	world_stop(w);
	fake_state_reset();
	fake_state_seed("login", "ops", WORLD_GRANT(1795368001));
	world_start(w, world_conf);
	world_push_refresh("at2", "rt2");
	get_first(w, &h);
	before = world_count("POST", "/tokens");
	for (int i = 0; i < 400; i++) {
		fake_http_push_json_for("idp.test/token", 200,
		    "{\"access_token\":\"short\",\"token_type\":\"Bearer\","
		    "\"expires_in\":1}");
		fake_http_push_json_for("/tokens", 503, "{}");
	}
	fake_loop_advance(5 * 3600 * 1000);
	assert_in_range(world_count("POST", "/tokens") - before, 5, 60);
	assert_true(world_count("POST", "idp.test/token") >= 3);
}

static void
test_renewed_before_expiry_and_old_lives_on(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	get_first(w, &h);
	assert_true(broker_get(w->broker, "db", 0, &view));
	world_push_mint("id-2", "apiv1_two");
	fake_loop_advance(3 * 3600 * INT64_C(1000));
	assert_int_equal(world_count("POST", "/tokens"), 1);
	fake_loop_advance(3600 * 1000 + 1000);
	assert_int_equal(world_count("POST", "/tokens"), 2);
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_string_equal(secret_reveal(view.value), "apiv1_two");
	assert_non_null(fake_state_record("generation", "db.1"));
	assert_int_equal(world_count("DELETE", "/tokens"), 0);
	fake_loop_advance(2 * 3600 * 1000);
	assert_null(fake_state_record("generation", "db.1"));
}

static void
test_unused_is_not_renewed(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	get_first(w, &h);
	world_push_mint("id-2", "apiv1_two");
	assert_true(broker_get(w->broker, "db", 0, &view));
	fake_loop_advance(4 * 3600 * 1000 + 1000);
	assert_int_equal(world_count("POST", "/tokens"), 2);
	/* nobody asks for generation 2: it lapses */
	fake_loop_advance(12 * 3600 * 1000);
	assert_int_equal(world_count("POST", "/tokens"), 2);
}

static void
test_min_valid_makes_a_new_one(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	get_first(w, &h);
	fake_loop_advance(3600 * 1000);
	assert_true(broker_get(w->broker, "db", 3600, &view));
	assert_false(broker_get(w->broker, "db", 5 * 3600 + 1, &view));
	assert_int_equal(broker_max_min_valid(w->broker, "db"), 7200);
}

static void
test_restart_needs_no_network(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;
	size_t before;

	get_first(w, &h);
	before = fake_http_requests();
	world_crash(w);
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_string_equal(secret_reveal(view.value), "apiv1_one");
	assert_int_equal(view.generation, 1);
	assert_int_equal(fake_http_requests(), before);
}

static void
test_watch_is_told_and_starts_nothing(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 }, watch = { .answers = 0 };
	struct broker_job *job;

	get_first(w, &h);
	world_watch(w, "db", 1, &watch);
	fake_loop_run_pending();
	assert_int_equal(watch.answers, 0);
	assert_int_equal(world_count("POST", "/tokens"), 1);
	world_push_mint("id-2", "apiv1_two");
	job = broker_rotate(w->broker, "db", NULL, NULL);
	broker_job_forget(&job);
	fake_loop_run_pending();
	assert_int_equal(watch.answers, 1);
	assert_string_equal(watch.value, "apiv1_two");
}

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	json_t **out = arg;

	*out = err ? json_pack("{s:s}", "error", err->msg) :
	    json_incref(detail);
}

static void
test_revoke_is_not_released_and_retried(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;
	json_t *detail = NULL;

	get_first(w, &h);
	fake_http_push_json_for("/tokens/id-1", 503, "{}");
	broker_revoke(w->broker, "db", 0, on_job, &detail);
	assert_false(broker_get(w->broker, "db", 0, &view));
	fake_loop_run_pending();
	assert_non_null(detail);
	assert_int_equal(json_integer_value(json_object_get(detail,
	    "failed")), 1);
	json_decref(detail);
	/* over a restart, too */
	world_crash(w);
	assert_false(broker_get(w->broker, "db", 0, &view));
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_loop_advance(10000);
	assert_int_equal(world_count("DELETE", "/tokens/id-1"), 2);
	assert_null(fake_state_record("generation", "db.1"));
}

static void
import_mgmt(struct world *w)
{
	struct secret value = SECRET_INIT;
	json_t *detail = NULL;

	secret_set_str(&value, "M.V1.secret");
	broker_import(w->broker, "mgmt", &value, "m-1",
	    FAKE_NOW_REAL_S + 86400, on_job, &detail);
	fake_loop_run_pending();
	assert_non_null(detail);
	assert_int_equal(json_integer_value(json_object_get(detail,
	    "generation")), 1);
	json_decref(detail);
}

static void
test_imported_token_pays(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	import_mgmt(w);
	world_push_mint("id-1", "apiv1_paid");
	fake_http_push_json_for("/probe", 200, "{}");
	world_ask(w, "db2", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "apiv1_paid");
	assert_string_equal(fake_http_header(fake_http_request(0),
	    "Authorization"), "Bearer M.V1.secret");
}

static void
test_without_import_a_human_is_needed(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "db2", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_non_null(strstr(h.err.msg, "tokenbrokerctl import mgmt"));
	assert_int_equal(fake_http_requests(), 0);
}

/* Not released until the service takes it. */
static void
test_probe_before_release(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	import_mgmt(w);
	world_push_mint("id-1", "apiv1_paid");
	fake_http_push_json_for("/probe", 401, "{}");
	fake_http_push_json_for("/probe", 401, "{}");
	world_ask(w, "db2", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 0);
	fake_loop_advance(5000);
	assert_int_equal(h.answers, 0);
	assert_int_equal(world_count("GET", "/probe"), 3);
	fake_http_push_json_for("/probe", 200, "{}");
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
}

static void
test_rejected_is_checked_by_us(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;
	unsigned char sha[32];

	import_mgmt(w);
	world_push_mint("id-1", "apiv1_paid");
	fake_http_push_json_for("/probe", 200, "{}");
	world_ask(w, "db2", &h);
	fake_loop_run_pending();
	SHA256((const unsigned char *)"apiv1_paid", 10, sha);
	/* inconclusive: nothing changes */
	fake_http_push_json_for("/probe", 500, "{}");
	assert_true(broker_rejected(w->broker, "db2", 1, sha, NULL));
	fake_loop_run_pending();
	assert_true(broker_get(w->broker, "db2", 0, &view));
	/* not looked at again within the minute */
	assert_true(broker_rejected(w->broker, "db2", 1, sha, NULL));
	fake_loop_run_pending();
	assert_int_equal(world_count("GET", "/probe"), 2);
	/* our own 401 counts */
	fake_loop_advance(61000);
	fake_http_push_json_for("/probe", 401, "{}");
	assert_true(broker_rejected(w->broker, "db2", 1, sha, NULL));
	fake_loop_run_pending();
	assert_false(broker_get(w->broker, "db2", 0, &view));
	sha[0] ^= 1;
	assert_false(broker_rejected(w->broker, "db2", 1, sha, NULL));
}

static void
test_reload_keeps_what_is_valid(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;
	struct tb_error err = TB_ERROR_INIT;
	struct conf *next;

	get_first(w, &h);
	next = world_load(world_conf);
	assert_int_equal(broker_reconfigure(w->broker, next, &err), 0);
	conf_unref(w->conf);
	w->conf = next;
	fake_loop_run_pending();
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

static void
test_a_payer_401_is_refreshed_once(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_json_for("/tokens", 401,
	    "{\"code\":401,\"message\":\"expired\"}");
	world_push_refresh("at2", "rt2");
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "apiv1_one");
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	assert_string_equal(fake_http_header(fake_http_last(),
	    "Authorization"), "Bearer at2");
}

static void
test_access_token_itself(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "at1");
	assert_int_equal(fake_http_requests(), 0);
}

/* However fresh the grant is, another generation is another value. */
static void
test_rotating_the_access_token_refreshes(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 }, next = { .answers = 0 };
	struct broker_job *job;

	world_ask(w, "access", &h);
	fake_loop_run_pending();
	world_watch(w, "access", 1, &next);
	world_push_refresh("at2", "rt2");
	job = broker_rotate(w->broker, "access", NULL, NULL);
	broker_job_forget(&job);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	assert_string_equal(next.value, "at2");
	/* and once more, with a provider that gives less time than before */
	heard_clear(&next);
	world_watch(w, "access", 2, &next);
	fake_http_push_json_for("idp.test/token", 200,
	    "{\"access_token\":\"at3\",\"token_type\":\"Bearer\","
	    "\"expires_in\":60}");
	job = broker_rotate(w->broker, "access", NULL, NULL);
	broker_job_forget(&job);
	fake_loop_run_pending();
	assert_string_equal(next.value, "at3");
	assert_int_equal(world_count("POST", "idp.test/token"), 2);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_cold_herd_makes_one_call),
		T(test_intent_before_call),
		T(test_description_holds_the_nonce),
		T(test_no_release_before_record),
		T(test_full_disk_mints_nothing),
		T(test_full_disk_after_mint),
		T(test_lost_reply_is_settled),
		T(test_late_commit_is_settled),
		T(test_crash_leaves_intent_that_is_settled),
		T(test_certain_failure_leaves_no_intent),
		T(test_outage_at_renewal_is_invisible),
		T(test_renewed_login_does_not_end_the_back_off),
		T(test_renewed_before_expiry_and_old_lives_on),
		T(test_unused_is_not_renewed),
		T(test_min_valid_makes_a_new_one),
		T(test_restart_needs_no_network),
		T(test_watch_is_told_and_starts_nothing),
		T(test_revoke_is_not_released_and_retried),
		T(test_imported_token_pays),
		T(test_without_import_a_human_is_needed),
		T(test_probe_before_release),
		T(test_rejected_is_checked_by_us),
		T(test_reload_keeps_what_is_valid),
		T(test_a_payer_401_is_refreshed_once),
		T(test_access_token_itself),
		T(test_rotating_the_access_token_refreshes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
