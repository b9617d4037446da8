/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks that are set, machines that sleep, and machines that wake up in 1970:
 * nothing valid is dropped, nothing storms, no human is called for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/fs.h"
#include "broker_world.h"

#define HOUR_MS (3600 * INT64_C(1000))

static int
setup(void **state)
{
	return world_setup(state, WORLD_GRANT(1795999999));
}

static void
step(int64_t ms)
{
	fake_now_step_wall(ms);
	fake_loop_clock_step();
	fake_loop_run_pending();
}

/* Six hours of life, two of them for the renewal. */
static void
get_first(struct world *w)
{
	struct heard h = { .answers = 0 };
	struct broker_view view;

	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "apiv1_one");
	assert_true(broker_get(w->broker, "db", 0, &view));
}

static void
assert_value(struct world *w, const char *want)
{
	struct broker_view view;

	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_string_equal(secret_reveal(view.value), want);
}

static void
fail_upstream(int n)
{
	while (n-- > 0)
		fake_http_push_json_for("/tokens", 503, "{}");
}

/* An hour forward and back, nothing due: nobody is asked for anything. */
static void
test_small_steps_ask_nobody(void **state)
{
	static const int64_t steps[] = { HOUR_MS, -HOUR_MS, -HOUR_MS,
		HOUR_MS, 1000, -1000 };
	struct world *w = *state;
	size_t before;

	get_first(w);
	before = fake_http_requests();
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		step(steps[i]);
		assert_value(w, "apiv1_one");
		fake_loop_advance(60000);
	}
	assert_int_equal(fake_http_requests(), before);
}

/* The wall clock says the value is over, the machine's own says it is not:
 * it is served while the service is away, and replaced as soon as it is back.
 * Its record stays, so that it is served after a restart, too, once the clock
 * is right again. */
static void
test_forward_step_drops_nothing(void **state)
{
	struct world *w = *state;
	struct broker_view view;
	size_t before;

	get_first(w);
	before = world_count("POST", "/tokens");
	fail_upstream(100);
	step(7 * HOUR_MS);
	assert_value(w, "apiv1_one");
	assert_true(broker_get(w->broker, "db", 0, &view));
	/* told by the clock that its reader has */
	assert_in_range(view.expires_at - now_real_s(), 6 * 3600 - 60,
	    6 * 3600);
	fake_loop_advance(HOUR_MS);
	assert_value(w, "apiv1_one");
	assert_non_null(fake_state_record("generation", "db.1"));
	assert_in_range(world_count("POST", "/tokens") - before, 5, 40);
	fake_http_drop_scripted();
	world_push_mint("id-2", "apiv1_two");
	fake_loop_advance(10 * 60 * 1000);
	assert_value(w, "apiv1_two");
}

/* And when both clocks agree that it is over, it is. */
static void
test_over_by_both_is_over(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	get_first(w);
	fail_upstream(400);
	step(7 * HOUR_MS);
	fake_loop_advance(6 * HOUR_MS);
	assert_false(broker_get(w->broker, "db", 0, &view));
	assert_null(fake_state_record("generation", "db.1"));
}

/* A clock set back does not put off a renewal: the service goes by its own. */
static void
test_backward_step_renews_in_time(void **state)
{
	struct world *w = *state;

	get_first(w);
	step(-24 * HOUR_MS);
	assert_value(w, "apiv1_one");
	world_push_mint("id-2", "apiv1_two");
	fake_loop_advance(4 * HOUR_MS + 1000);
	assert_int_equal(world_count("POST", "/tokens"), 2);
	assert_value(w, "apiv1_two");
}

/* What was minted under a clock that is an hour ahead is not renewed again
 * and again when it is set right. */
static void
test_no_storm_after_a_correction(void **state)
{
	struct world *w = *state;

	step(HOUR_MS);
	get_first(w);
	step(-HOUR_MS);
	for (int i = 0; i < 10; i++)
		world_push_mint("id-n", "apiv1_next");
	fake_loop_advance(3 * HOUR_MS);
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

/* A start with the clock at 1970: what is stored is served, and right again
 * when the clock is. */
static void
test_boot_in_1970(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	get_first(w);
	fake_now_step_wall(-FAKE_NOW_REAL_S * 1000);
	world_crash(w);
	assert_value(w, "apiv1_one");
	fail_upstream(50);
	fake_loop_advance(60000);
	step(FAKE_NOW_REAL_S * 1000);
	assert_value(w, "apiv1_one");
	assert_int_equal(world_count("POST", "/tokens"), 1);
	/* a wrong clock at the start is no reason to believe it for long */
	step(7 * HOUR_MS);
	assert_false(broker_get(w->broker, "db", 0, &view));
}

/* Nine hours asleep: the value is over, and one call gets another. */
static void
test_suspend(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct broker_view view;

	get_first(w);
	fake_now_advance(9 * HOUR_MS);
	fake_loop_clock_step();
	fake_loop_run_pending();
	assert_false(broker_get(w->broker, "db", 0, &view));
	world_push_mint("id-2", "apiv1_two");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "apiv1_two");
	assert_in_range(world_count("POST", "/tokens"), 2, 2);
}

/* By our clock the refresh token is over; only the provider may say so. */
static void
test_our_clock_ends_no_grant(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	json_t *all;

	world_stop(w);
	fake_state_reset();
	fake_state_seed("login", "ops", "{\"v\":1,\"issuer\":\"https://idp.test"
	    "\",\"client_id\":\"cli\",\"origins\":\"https://idp.test\","
	    "\"refresh_token\":\"rt1\",\"access_token\":\"at1\","
	    "\"access_expires_at\":1795368300,"
	    "\"refresh_expires_at\":1795369800}");
	world_start(w, world_conf);
	step(HOUR_MS);
	world_push_refresh("at2", "rt2");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "at2");
	all = broker_status_logins(w->broker);
	assert_string_equal(json_string_value(json_object_get(
	    json_array_get(all, 0), "state")), "granted");
	json_decref(all);
}

/* A mint whose answer was lost is looked for, whatever the clock says. */
static void
test_forward_step_forgets_no_intent(void **state)
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
	step(7 * HOUR_MS);
	list = xasprintf("[{\"id\":\"mine\",\"description\":\"%s\","
	    "\"permissions\":[],\"createdAt\":\"2026-11-22T17:20:01Z\"}]",
	    nonce);
	fake_http_push_json_for("/tokens", 200, list);
	fake_http_push_json_for("/tokens/mine", 204, "");
	fake_loop_advance(5000);
	assert_int_equal(world_count("DELETE", "/tokens/mine"), 1);
	free(list);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_small_steps_ask_nobody),
		T(test_forward_step_drops_nothing),
		T(test_over_by_both_is_over),
		T(test_backward_step_renews_in_time),
		T(test_no_storm_after_a_correction),
		T(test_boot_in_1970),
		T(test_suspend),
		T(test_our_clock_ends_no_grant),
		T(test_forward_step_forgets_no_intent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
