/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state that may be an older one, or in use elsewhere: what is valid is
 * served, and not one request goes out that would use up or take away
 * anything, until an operator says adopt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker_world.h"
#include "lib/jsonx.h"

#define HOUR_MS (3600 * INT64_C(1000))

static void
seed_generation(const char *record, const char *state, int64_t expires_at)
{
	char *text = xasprintf("{\"v\":1,\"generation\":%s,\"state\":\"%s\","
	    "\"value\":\"apiv1_%s\",\"id\":\"id-%s\",\"backend\":\"prod\","
	    "\"recipe\":\"prod kind=0 write:metrics\",\"minted_at\":"
	    "1795360000,\"expires_at\":%lld}", strchr(record, '.') + 1, state,
	    record, record, (long long)expires_at);

	fake_state_seed("generation", record, text);
	free(text);
}

/* A grant whose access token is stale, a value that lives, one that is to be
 * revoked, a mint that nobody knows the end of. */
static int
setup(void **state)
{
	struct world *w = xnew(struct world);

	fake_state_reset();
	fake_state_seed("login", "ops", WORLD_GRANT(1795368001));
	seed_generation("db.2", "ready", WORLD_LATER);
	seed_generation("db.1", "revoking", WORLD_LATER);
	fake_state_seed("intent", "db.3", "{\"v\":1,\"nonce\":"
	    "\"00112233445566778899aabbccddeeff\",\"generation\":3,"
	    "\"backend\":\"prod\",\"created_at\":1795368000,"
	    "\"expires_at\":1795999999}");
	fake_state_hold_back("it is older than it was");
	fake_state_quarantine(1);
	world_start(w, world_conf);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	world_stop(*state);
	free(*state);
	return 0;
}

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	struct tb_error *out = arg;

	*out = err ? *err : (struct tb_error){ .code = TB_OK, .msg = "done" };
}

static void
assert_held(struct world *w, const struct tb_error *err)
{
	assert_int_equal(err->code, TB_E_QUARANTINE);
	assert_non_null(strstr(err->msg, "tokenbrokerctl adopt"));
	assert_int_equal(fake_http_requests(), 0);
}

/* What status says of it; NULL: nothing. Owned by the status. */
static const char *
quarantine_in(const json_t *status)
{
	return json_string_value(json_object_get(json_object_get(status,
	    "state"), "quarantine"));
}

static void
test_nothing_goes_out(void **state)
{
	struct world *w = *state;
	struct heard db = { .answers = 0 }, access = { .answers = 0 };
	struct broker_view view;

	/* what is valid is served */
	world_ask(w, "db", &db);
	world_ask(w, "access", &access);
	fake_loop_run_pending();
	assert_string_equal(db.value, "apiv1_db.2");
	assert_int_equal(access.answers, 1);
	assert_held(w, &access.err);
	/* days: renewals, keep-alive, settling, revocation, all are due */
	fake_loop_advance(72 * HOUR_MS);
	assert_int_equal(fake_http_requests(), 0);
	assert_true(broker_get(w->broker, "db", 0, &view));
	/* past the end of the value: told at once, and told what to do */
	fake_loop_advance(200 * HOUR_MS);
	assert_false(broker_get(w->broker, "db", 0, &view));
	memset(&db, 0, sizeof(db));
	world_ask(w, "db", &db);
	fake_loop_run_pending();
	assert_held(w, &db.err);
}

static void
test_operators_are_refused(void **state)
{
	static const struct broker_login_request req = { .name = "ops" };
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;

	assert_null(broker_login_start(w->broker, &req, NULL, NULL, &err));
	assert_held(w, &err);
	broker_rotate(w->broker, "db", on_job, &err);
	fake_loop_run_pending();
	assert_held(w, &err);
	err.code = TB_OK;
	broker_revoke(w->broker, "db", 0, on_job, &err);
	fake_loop_run_pending();
	assert_held(w, &err);
	err.code = TB_OK;
	broker_logout(w->broker, "ops", false, on_job, &err);
	fake_loop_run_pending();
	assert_held(w, &err);
	err.code = TB_OK;
	broker_logout(w->broker, "ops", true, on_job, &err);
	fake_loop_run_pending();
	assert_held(w, &err);
	assert_non_null(fake_state_record("generation", "db.2"));
}

static void
test_it_is_told(void **state)
{
	struct world *w = *state;
	json_t *o _cleanup_json_ = broker_status(w->broker);
	const json_t *s = json_object_get(o, "state");

	assert_string_equal(quarantine_in(o), "it is older than it was");
	s = json_array_get(json_object_get(s, "trouble"), 0);
	assert_string_equal(json_string_value(json_object_get(s, "record")),
	    "login/lost");
	/* the record, and the whole */
	assert_int_equal(fake_state_audits(AUDIT_QUARANTINED), 2);
}

static void
test_adopted(void **state)
{
	struct world *w = *state;
	struct heard access = { .answers = 0 };
	struct tb_error err = TB_ERROR_INIT;
	json_t *status _cleanup_json_ = NULL;

	world_push_refresh("at2", "rt2");
	fake_http_push_json_for("/tokens", 200, "{}"); /* revoke db.1 */
	for (int i = 0; i < 40; i++)
		fake_http_push_json_for("/tokens", 200, "[]");
	fake_loop_advance(HOUR_MS);
	assert_int_equal(fake_http_requests(), 0);
	broker_adopt(w->broker, on_job, &err);
	fake_loop_advance(1000);
	assert_string_equal(err.msg, "done");
	status = broker_status(w->broker);
	assert_null(quarantine_in(status));
	assert_int_equal(fake_state_audits(AUDIT_ADOPTED), 1);
	/* what was held back goes on without being asked */
	assert_int_equal(world_count("POST", "/token"), 1);
	assert_int_equal(world_count("DELETE", "/tokens/id-db.1"), 1);
	assert_null(fake_state_record("generation", "db.1"));
	world_ask(w, "access", &access);
	fake_loop_run_pending();
	assert_string_equal(access.value, "at2");
	fake_loop_advance(5 * 60000);
	assert_true(world_count("GET", "/tokens") >= 1);
	assert_null(fake_state_record("intent", "db.3"));
}

/* Both write-aheads say that what comes of them can be stored. */
static void
test_write_aheads(void **state)
{
	struct world *w = *state;
	struct heard db = { .answers = 0 };
	struct tb_error err = TB_ERROR_INIT;

	fake_state_hold_back(NULL);
	broker_adopt(w->broker, on_job, &err);
	world_push_refresh("at2", "rt2");
	fake_http_push_json_for("/tokens", 200, "{}");
	fake_loop_advance(1000);
	assert_int_equal(fake_state_aheads(), 1);
	world_push_mint("id-4", "apiv1_four");
	broker_rotate(w->broker, "db", on_job, &err);
	world_ask(w, "db", &db);
	fake_loop_run_pending();
	assert_int_equal(fake_state_aheads(), 2);
	heard_clear(&db);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_nothing_goes_out),
		T(test_operators_are_refused),
		T(test_it_is_told),
		T(test_adopted),
		T(test_write_aheads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
