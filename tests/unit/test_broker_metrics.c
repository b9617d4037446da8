/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker in numbers: how long the outside may be away, when a human is
 * needed, and what was counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/now.h"
#include "base/openmetrics.h"
#include "broker/login.h"
#include "broker_world.h"

#define HOUR_S 3600
#define HOUR_MS (HOUR_S * INT64_C(1000))

/* A grant whose refresh token ends a week after the fake now. */
#define GRANT_WITH_END \
	"{\"v\":1,\"issuer\":\"https://idp.test\",\"client_id\":\"cli\"," \
	"\"origins\":\"https://idp.test\",\"refresh_token\":\"rt1\"," \
	"\"access_token\":\"at1\",\"access_expires_at\":1795999999," \
	"\"refresh_expires_at\":1796000777}"

static struct world *
start(const char *grant)
{
	struct world *w = xnew(struct world);

	fake_state_reset();
	if (grant)
		fake_state_seed("login", "ops", grant);
	world_start(w, world_conf);
	return w;
}

static int
setup(void **state)
{
	*state = start(WORLD_GRANT(1795999999));
	return 0;
}

static int
setup_empty(void **state)
{
	*state = start(NULL);
	return 0;
}

static int
setup_with_end(void **state)
{
	*state = start(GRANT_WITH_END);
	return 0;
}

static int
teardown(void **state)
{
	world_stop(*state);
	free(*state);
	return 0;
}

static int64_t
budget(struct world *w, const char *token)
{
	char *name = xasprintf("tokenbroker_outage_budget_seconds{"
	    "token=\"%s\"}", token);
	int64_t v = world_sample(w, name);

	free(name);
	return v;
}

static int64_t
least(struct world *w)
{
	return world_sample(w, "tokenbroker_outage_budget_minimum_seconds");
}

static void
get_first(struct world *w)
{
	struct heard h = { .answers = 0 };

	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
}

/* Six hours of life: all of them while clients take any value, and less what
 * they want it to be valid for. */
static void
test_outage_budget(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	assert_int_equal(budget(w, "db"), 0);
	assert_int_equal(least(w), INT64_MIN); /* nobody asked yet */
	get_first(w);
	assert_int_equal(budget(w, "db"), 6 * HOUR_S);
	assert_int_equal(least(w), 6 * HOUR_S);
	fake_loop_advance(HOUR_MS);
	assert_int_equal(budget(w, "db"), 5 * HOUR_S);
	assert_true(broker_get(w->broker, "db", HOUR_S, &view));
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_int_equal(budget(w, "db"), 4 * HOUR_S);
	/* the wish is remembered over one renewal, and then forgotten */
	for (int i = 0; i < 100; i++)
		fake_http_push_json_for("/tokens", 503, "{}");
	fake_loop_advance(3 * HOUR_MS);
	assert_int_equal(budget(w, "db"), HOUR_S);
	fake_http_drop_scripted();
	world_push_mint("id-2", "apiv1_two");
	fake_loop_advance(400000);
	assert_true(broker_get(w->broker, "db", 0, &view));
	assert_int_equal(view.generation > 1, 1);
	assert_in_range(budget(w, "db"), 5 * HOUR_S - 400, 5 * HOUR_S);
}

/* A token that was asked for and has no value: nothing may fail. */
static void
test_cold_token_has_no_budget(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	get_first(w);
	world_ask(w, "db2", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	assert_int_equal(budget(w, "db2"), 0);
	assert_int_equal(least(w), 0);
}

static json_t *
summary(struct world *w, const char *key)
{
	json_t *status = broker_status(w->broker);
	json_t *o = json_incref(json_object_get(status, key));

	json_decref(status);
	return o;
}

static void
import_mgmt(struct world *w)
{
	struct secret value = SECRET_INIT;

	secret_set_str(&value, "M.V1.secret");
	broker_import(w->broker, "mgmt", &value, NULL, now_real_s() +
	    80 * 86400, NULL, NULL);
	fake_loop_run_pending();
}

static void
test_status_has_both(void **state)
{
	struct world *w = *state;
	json_t *o;

	get_first(w);
	o = summary(w, "outage_budget");
	assert_int_equal(json_integer_value(json_object_get(o, "seconds")),
	    6 * HOUR_S);
	assert_string_equal(json_string_value(json_object_get(o, "token")),
	    "db");
	json_decref(o);
	/* what pays and was never imported, then what the provider says */
	o = summary(w, "human_needed");
	assert_string_equal(json_string_value(json_object_get(o, "import")),
	    "mgmt");
	assert_string_equal(json_string_value(json_object_get(o, "at")),
	    "2026-11-22T17:20:00Z");
	json_decref(o);
	import_mgmt(w);
	o = summary(w, "human_needed");
	assert_string_equal(json_string_value(json_object_get(o, "login")),
	    "ops");
	assert_string_equal(json_string_value(json_object_get(o, "at")),
	    "2026-11-30T01:06:17Z");
	json_decref(o);
}

#define HUMAN_AT "tokenbroker_human_needed_timestamp_seconds{login=\"ops\"}"
#define HUMAN "tokenbroker_human_needed{login=\"ops\"}"

static void
test_human_needed_when_the_provider_says(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_sample(w, HUMAN), 0);
	assert_int_equal(world_sample(w, HUMAN_AT), 1796000777);
}

static void
test_human_needed_is_not_known(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	assert_int_equal(world_sample(w, HUMAN_AT), INT64_MIN);
	/* and then the provider refuses the refresh token */
	fake_now_step_wall(8 * 86400 * INT64_C(1000));
	fake_http_push_json(400, "{\"error\":\"invalid_grant\"}");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	assert_int_equal(world_sample(w, HUMAN), 1);
	assert_int_equal(world_sample(w, HUMAN_AT), now_real_s());
	assert_int_equal(world_sample(w, "tokenbroker_refreshes_total{"
	    "login=\"ops\",outcome=\"failed\"}"), 1);
}

static void
test_nobody_logged_in(void **state)
{
	struct world *w = *state;
	char *line;

	assert_int_equal(world_sample(w, HUMAN), 1);
	assert_int_equal(world_sample(w, HUMAN_AT), now_real_s());
	line = broker_status_line(w->broker);
	assert_string_equal(line, "0 of 4 tokens ready; 1 login needs a "
	    "human");
	free(line);
}

static void
test_counters(void **state)
{
	struct world *w = *state;
	struct broker_view view;

	get_first(w);
	assert_int_equal(world_sample(w, "tokenbroker_mints_total{token=\"db\","
	    "outcome=\"made\"}"), 1);
	broker_count_release(w->broker, "db", 0, BROKER_UNAVAILABLE);
	broker_count_release(w->broker, "nothing", 0, BROKER_SENT);
	assert_true(broker_get(w->broker, "db", 0, &view));
	view.releases->n[1][BROKER_SENT] += 3;
	assert_int_equal(world_sample(w, "tokenbroker_releases_total{door=\"api\","
	    "token=\"db\",outcome=\"unavailable\"}"), 1);
	assert_int_equal(world_sample(w, "tokenbroker_releases_total{"
	    "door=\"credential\",token=\"db\",outcome=\"sent\"}"), 3);
	assert_int_equal(world_sample(w, "tokenbroker_releases_total{door=\"api\","
	    "token=\"db\",outcome=\"sent\"}"), 0);
	fake_http_push_error_for("/tokens", TB_E_TRANSIENT, "lost");
	world_push_mint("id-3", "apiv1_three");
	(void)broker_rotate(w->broker, "db", NULL, NULL);
	fake_loop_advance(1900);
	assert_int_equal(world_sample(w, "tokenbroker_mints_total{token=\"db\","
	    "outcome=\"uncertain\"}"), 1);
	assert_int_equal(world_sample(w, "tokenbroker_mints_settling{"
	    "token=\"db\"}"), 1);
	assert_int_equal(world_sample(w, "tokenbroker_mints_unsettled{"
	    "token=\"db\"}"), 0);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	(void)broker_revoke(w->broker, "db", 1, NULL, NULL);
	fake_loop_run_pending();
	assert_int_equal(world_sample(w, "tokenbroker_revocations_total{"
	    "token=\"db\",outcome=\"revoked\"}"), 1);
	assert_int_equal(world_sample(w, "tokenbroker_disk_ok"), 1);
	assert_true(world_sample(w, "tokenbroker_records") >= 2);
}

int
main(void)
{
#define T(fn, how) cmocka_unit_test_setup_teardown(fn, how, teardown)
	const struct CMUnitTest tests[] = {
		T(test_outage_budget, setup),
		T(test_cold_token_has_no_budget, setup),
		T(test_status_has_both, setup_with_end),
		T(test_human_needed_when_the_provider_says, setup_with_end),
		T(test_human_needed_is_not_known, setup),
		T(test_nobody_logged_in, setup_empty),
		T(test_counters, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
