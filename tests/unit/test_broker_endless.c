/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that a service never ends by itself: their lifetime is kept by us,
 * over outages and restarts, and nothing is forgotten before it is over there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker_world.h"

#define ID "0d0d0d0d0d0d0d01"
#define HOUR (60 * 60 * 1000)
#define MINUTE (60 * 1000)
#define ONE "/authorizations/" ID

static const char v2_conf[] =
    "[backend hand]\n"
    "type = import\n"
    "[backend v2]\n"
    "type = influxdb-v2\n"
    "management_token = parent\n"
    "base_url = https://v2.test\n"
    "org = 0a1b2c3d4e5f6071\n"
    "reconcile_interval = 0\n"
    "[backend other]\n"
    "type = influxdb-v2\n"
    "management_token = parent\n"
    "base_url = https://other.test\n"
    "org = 0a1b2c3d4e5f6071\n"
    "reconcile_interval = 0\n"
    "[token parent]\n"
    "backend = hand\n"
    "kind = management\n"
    "allow_full_access = yes\n"
    "[client all]\n"
    "user = *\n"
    "tokens = *\n"
    "[token t]\n"
    "permissions = read-buckets\n"
    "lifetime = 1h\n"
    "probe = none\n";

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	json_t **out = arg;

	*out = err ? json_pack("{s:s}", "error", err->msg) :
	    json_incref(detail);
}

/* The generation's record has it. */
static void
assert_contains_record(const char *part)
{
	const char *record = fake_state_record("generation", "t.1");

	assert_non_null(record);
	assert_non_null(strstr(record, part));
}

static struct conf *
load(const char *backend)
{
	char *text = xasprintf("%sbackend = %s\n", v2_conf, backend);
	struct conf *c = world_load(text);

	free(text);
	return c;
}

static int
setup(void **state)
{
	struct world *w = xnew(struct world);
	struct secret value = SECRET_INIT;
	char *text = xasprintf("%sbackend = v2\n", v2_conf);
	json_t *detail = NULL;

	fake_state_reset();
	world_start(w, text);
	free(text);
	secret_set_str(&value, "PARENT");
	broker_import(w->broker, "parent", &value, "p-1",
	    FAKE_NOW_REAL_S + 86400, on_job, &detail);
	fake_loop_run_pending();
	json_decref(detail);
	*state = w;
	return 0;
}

static void
get(struct world *w)
{
	struct heard h = { .answers = 0 };

	fake_http_push_json_for("/api/v2/authorizations", 201,
	    "{\"id\":\"" ID "\",\"token\":\"v2-one\"}");
	world_ask(w, "t", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "v2-one");
	assert_contains_record("\"endless\":true");
}

/* The service answers nothing else, so no other generation comes up. */
static const struct fake_http_request *
find(const char *method, const char *url_part)
{
	for (size_t i = 0; i < fake_http_requests(); i++) {
		const struct fake_http_request *r = fake_http_request(i);

		if (streq(r->method, method) && strstr(r->url, url_part))
			return r;
	}
	return NULL;
}

static bool
is_released(struct world *w)
{
	struct broker_view view;

	return broker_get(w->broker, "t", 0, &view);
}

static void
test_inactive_then_deleted(void **state)
{
	struct world *w = *state;

	get(w);
	fake_loop_advance(HOUR - 1000);
	assert_int_equal(world_count("PATCH", ONE), 0);
	assert_true(is_released(w));
	fake_http_push_json_for(ONE, 503, "{}");
	fake_http_push_json_for(ONE, 200, "{}");
	fake_loop_advance(20000);
	assert_false(is_released(w));
	assert_int_equal(world_count("PATCH", ONE), 2);
	assert_string_equal(find("PATCH", ONE)->body,
	    "{\"status\":\"inactive\"}");
	assert_string_equal(fake_http_header(find("PATCH", ONE),
	    "Authorization"), "Token PARENT");
	assert_contains_record("\"state\":\"revoking\"");
	assert_contains_record("\"disabled_at\":");

	/* the grace: nothing for 10 minutes, over a restart, too */
	fake_loop_advance(5 * MINUTE);
	world_crash(w);
	fake_loop_advance(4 * MINUTE);
	assert_false(is_released(w));
	assert_int_equal(world_count("DELETE", ONE), 0);
	fake_http_push_json_for(ONE, 500, "{}");
	fake_http_push_json_for(ONE, 204, "");
	fake_loop_advance(2 * MINUTE);
	assert_int_equal(world_count("PATCH", ONE), 2);
	assert_int_equal(world_count("DELETE", ONE), 2);
	assert_null(fake_state_record("generation", "t.1"));
	assert_int_equal(fake_state_audits(AUDIT_REVOKED), 1);
}

/* Its end came while nobody was there. */
static void
test_caught_up_at_start(void **state)
{
	struct world *w = *state;

	get(w);
	broker_free(w->broker);
	fake_now_advance(3 * HOUR);
	w->broker = NULL;
	fake_http_push_json_for(ONE, 200, "{}");
	world_crash(w);
	fake_loop_advance(1000);
	assert_false(is_released(w));
	assert_int_equal(world_count("PATCH", ONE), 1);
	fake_http_push_json_for(ONE, 404, "{}"); /* somebody was faster */
	fake_loop_advance(11 * MINUTE);
	assert_int_equal(world_count("DELETE", ONE), 1);
	assert_null(fake_state_record("generation", "t.1"));
}

/* Who asks for a revocation gets one, at any time. */
static void
test_revoked_at_once(void **state)
{
	struct world *w = *state;
	json_t *detail = NULL;

	get(w);
	fake_http_push_json_for(ONE, 200, "{}");
	fake_loop_advance(HOUR + 1000);
	assert_int_equal(world_count("PATCH", ONE), 1);
	fake_http_push_json_for(ONE, 204, "");
	broker_revoke(w->broker, "t", 0, on_job, &detail);
	fake_loop_run_pending();
	assert_int_equal(world_count("DELETE", ONE), 1);
	/* a renewal may be under way: what it brings is waited for */
	for (int s = 0; !detail && s < 60; s++)
		fake_loop_advance(1000);
	assert_int_equal(json_integer_value(json_object_get(detail,
	    "revoked")), 1);
	json_decref(detail);
	assert_null(fake_state_record("generation", "t.1"));
}

static void
test_revoked_before_its_end(void **state)
{
	struct world *w = *state;
	json_t *detail = NULL;

	get(w);
	fake_http_push_json_for(ONE, 204, "");
	broker_revoke(w->broker, "t", 0, on_job, &detail);
	fake_loop_run_pending();
	json_decref(detail);
	assert_int_equal(world_count("PATCH", ONE), 0);
	assert_int_equal(world_count("DELETE", ONE), 1);
	assert_null(fake_state_record("generation", "t.1"));
}

static void
reconfigure(struct world *w, struct conf *next)
{
	world_reconfigure(w, next);
	fake_loop_run_pending();
}

/* The token is made elsewhere now; what is over is over where it was made. */
static void
test_ended_where_it_was_made(void **state)
{
	struct world *w = *state;

	get(w);
	reconfigure(w, load("other"));
	fake_http_push_json_for("v2.test", 200, "{}");
	fake_http_push_json_for("v2.test", 204, "");
	fake_loop_advance(HOUR + 11 * MINUTE);
	assert_int_equal(world_count("PATCH", "https://v2.test"), 1);
	assert_int_equal(world_count("DELETE", "https://v2.test"), 1);
	assert_int_equal(world_count("PATCH", "https://other.test"), 0);
	assert_null(fake_state_record("generation", "t.1"));
}

/* P2: what a lost reply may have left does not expire, so neither does the
 * intent that knows of it. */
static void
test_intent_outlives_the_lifetime(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_error_for("/api/v2/authorizations", TB_E_TRANSIENT,
	    "lost");
	world_ask(w, "t", &h);
	fake_loop_run_pending();
	assert_non_null(strstr(fake_state_record("intent", "t.1"),
	    "\"endless\":true"));
	heard_clear(&h);
	/* nobody can look: its backend is not this token's any more */
	reconfigure(w, load("other"));
	fake_loop_advance(5 * HOUR);
	assert_non_null(fake_state_record("intent", "t.1"));
	world_crash(w);
	fake_loop_advance(5 * HOUR);
	assert_non_null(fake_state_record("intent", "t.1"));
	/* back again, and looked at */
	for (int i = 0; i < 2000; i++)
		fake_http_push_json_for("/api/v2/authorizations?orgID", 200,
		    "{\"authorizations\":[]}");
	reconfigure(w, load("v2"));
	fake_loop_advance(15 * MINUTE);
	assert_null(fake_state_record("intent", "t.1"));
	fake_http_drop_scripted();
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_inactive_then_deleted),
		T(test_caught_up_at_start),
		T(test_revoked_at_once),
		T(test_revoked_before_its_end),
		T(test_ended_where_it_was_made),
		T(test_intent_outlives_the_lifetime),
	};

	return cmocka_run_group_tests_name("broker/endless", tests, NULL,
	    NULL);
}
