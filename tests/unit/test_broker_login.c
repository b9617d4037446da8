/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a login: one refresh for all who ask, written ahead, stored
 * before use, retried once when its answer was lost; what a human must do is
 * said at once; a grant never goes where it was not given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker_world.h"

static int
setup_stale(void **state)
{
	return world_setup(state, WORLD_GRANT(1795368001));
}

static int
setup_empty(void **state)
{
	return world_setup(state, NULL);
}

static bool
record_has(const char *text)
{
	return strstr(fake_state_record("login", "ops"), text) != NULL;
}

static json_t *
login_state(struct world *w)
{
	json_t *all = broker_status_logins(w->broker);
	json_t *one = json_incref(json_array_get(all, 0));

	json_decref(all);
	return one;
}

static void
assert_state(struct world *w, const char *want)
{
	json_t *s = login_state(w);

	assert_string_equal(json_string_value(json_object_get(s, "state")),
	    want);
	json_decref(s);
}

static void
on_job(void *arg, json_t *detail, const struct tb_error *err)
{
	json_t **out = arg;

	assert_null(err);
	*out = json_incref(detail);
}

/* P3: the attempt is durable before the request leaves. */
static void
test_write_ahead(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_state_hold(true);
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_int_equal(fake_http_requests(), 0);
	fake_state_hold(false);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	assert_true(record_has("\"redeeming\":1"));
	assert_true(record_has("rt1"));
	heard_clear(&h);
}

/* An access token that is over by the time it is on disk: told, backed off, and
 * not renewed again at once. */
static void
test_over_before_it_is_stored(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "access", &h);
	fake_loop_run_pending();
	fake_state_hold(true);
	for (int i = 0; i < 9; i++)
		fake_http_push_json_for("idp.test/token", 200,
		    "{\"access_token\":\"brief\",\"token_type\":\"Bearer\","
		    "\"expires_in\":1}");
	fake_loop_advance(2000);
	fake_state_hold(false);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	assert_state(w, "granted");
	fake_loop_advance(2000);
	assert_string_equal(h.value, "brief");
	heard_clear(&h);
}

/* P3: the rotated token is durable before what came with it is used. */
static void
test_stored_before_use(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	fake_state_hold(true);
	world_push_refresh("at2", "rt2");
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 0);
	fake_state_hold(false);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 1);
	assert_true(record_has("rt2"));
	assert_false(record_has("rt1"));
	assert_false(record_has("redeeming\":1"));
	heard_clear(&h);
}

static void
test_two_askers_one_refresh(void **state)
{
	struct world *w = *state;
	struct heard a = { .answers = 0 }, b = { .answers = 0 };

	world_ask(w, "access", &a);
	world_ask(w, "db", &b);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	world_push_refresh("at2", "rt2");
	world_push_mint("id-1", "apiv1_one");
	fake_loop_run_pending();
	assert_string_equal(a.value, "at2");
	assert_string_equal(b.value, "apiv1_one");
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
}

static void
test_no_new_refresh_token_keeps_the_old(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_push_refresh("at2", NULL);
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "at2");
	assert_true(record_has("rt1"));
}

static void
test_invalid_grant_needs_a_human(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_json(400, "{\"error\":\"invalid_grant\"}");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_non_null(strstr(h.err.msg, "tokenbrokerctl login ops"));
	assert_state(w, "human_needed");
	assert_int_equal(fake_state_audits(AUDIT_HUMAN_NEEDED), 1);
	/* latched: nobody asks the provider again, over a restart, too */
	heard_clear(&h);
	world_crash(w);
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_int_equal(fake_http_requests(), 1);
}

/* Glewlwyd's way of saying invalid_grant. */
static void
test_empty_400_needs_a_human(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct fake_http_reply empty = { .status = 400, .content_type = "" };

	fake_http_push(&empty);
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_state(w, "human_needed");
}

/* The reply was lost: one recorded retry, and only once the provider is seen
 * to answer. */
static void
test_lost_reply_one_recorded_retry(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_error(TB_E_TRANSIENT, "lost");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_true(record_has("\"redeeming\":1"));
	/* a provider that hangs is not given the second one */
	fake_http_push_error(TB_E_TRANSIENT, "time-out");
	fake_loop_advance(9000); /* not at once */
	assert_int_equal(fake_http_requests(), 1);
	fake_loop_advance(1100);
	assert_int_equal(world_count("GET", "idp.test/token"), 1);
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	assert_state(w, "granted");
	fake_http_push_json(405, "{}");
	fake_http_push_error(TB_E_TRANSIENT, "lost again");
	fake_loop_advance(12000);
	assert_int_equal(world_count("POST", "idp.test/token"), 2);
	assert_true(record_has("\"redeeming\":2"));
	/* and never a third */
	fake_loop_advance(600000);
	assert_int_equal(world_count("POST", "idp.test/token"), 2);
	assert_state(w, "human_needed");
	heard_clear(&h);
}

static void
test_retry_after_lost_reply_can_succeed(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_http_push_error(TB_E_TRANSIENT, "lost");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	fake_http_push_json(405, "{}");
	world_push_refresh("at2", "rt2");
	fake_loop_advance(40000);
	assert_string_equal(h.value, "at2");
	assert_state(w, "granted");
}

/* Killed while a redemption was open: the same rule after the restart. */
static void
test_crash_in_refresh(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_true(record_has("\"redeeming\":1"));
	world_crash(w);
	heard_clear(&h);
	fake_http_push_json(405, "{}");
	world_push_refresh("at2", "rt2");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "at2");
	assert_int_equal(world_count("POST", "idp.test/token"), 2);
	assert_false(record_has("redeeming\":"));
}

/* Answered with "not now": not spent, any number of attempts. */
static void
test_outage_of_the_provider(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct fake_http_reply down = {
		.status = 503, .content_type = "text/html", .body = "<html>",
	};

	for (int i = 0; i < 300; i++)
		fake_http_push(&down);
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	fake_loop_advance(3600 * 1000);
	assert_in_range(world_count("POST", "idp.test/token"), 10, 60);
	assert_state(w, "granted");
	fake_http_reset();
	world_push_refresh("at2", "rt2");
	fake_loop_advance(301000);
	heard_clear(&h);
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "at2");
}

static void
test_full_disk_spends_nothing(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	fake_state_fail(1);
	world_push_refresh("at2", "rt2");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_int_equal(fake_http_requests(), 0);
	fake_loop_advance(10000);
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	assert_string_equal(h.value, "at2");
}

/* The rotated token cannot be stored: nothing of it is used until it is. */
static void
test_full_disk_after_rotation(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "access", &h);
	fake_loop_run_pending();
	fake_state_fail(3);
	world_push_refresh("at2", "rt2");
	fake_loop_run_pending();
	assert_int_equal(h.answers, 0);
	fake_loop_advance(10000);
	assert_string_equal(h.value, "at2");
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	assert_true(record_has("rt2"));
}

/* P9: an edited configuration cannot send the grant elsewhere. */
static void
test_edited_issuer_needs_a_human(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char *text = xstrdup(world_conf), *at;

	while ((at = strstr(text, "idp.test")))
		memcpy(at, "bad.test", 8);
	world_reload(w, text);
	assert_state(w, "human_needed");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_int_equal(fake_http_requests(), 0);
	free(text);
}

/* Nor does a logout hand it back to somebody who did not give it. */
static void
test_edited_issuer_is_not_handed_the_grant(void **state)
{
	struct world *w = *state;
	char *text = xstrdup(world_conf), *at;
	json_t *detail = NULL;

	while ((at = strstr(text, "idp.test")))
		memcpy(at, "bad.test", 8);
	world_reconfigure(w, world_load(text));
	broker_logout(w->broker, "ops", false, on_job, &detail);
	fake_loop_run_pending();
	assert_non_null(detail);
	assert_true(json_is_false(json_object_get(detail, "grant_revoked")));
	json_decref(detail);
	assert_int_equal(fake_http_requests(), 0);
	assert_state(w, "empty");
	assert_false(record_has("rt1"));
	free(text);
}

static const char server_conf[] =
    "[login ops]\n"
    "influxdb3_url = https://srv.test\n"
    "identity = unverified\n"
    "[backend self]\n"
    "type = oauth\n"
    "login = ops\n"
    "[token access]\n"
    "backend = self\n"
    "allow_full_access = yes\n"
    "[client all]\n"
    "user = *\n"
    "tokens = *\n";

/* An InfluxDB 3 server named who gave the grant: it holds over a restart, and
 * not for a server of another address. */
static void
test_edited_server_needs_a_human(void **state)
{
	struct world *w = xnew(struct world);
	struct heard h = { .answers = 0 };
	char *text = xstrdup(server_conf);

	world_teardown(state);
	fake_state_reset();
	fake_state_seed("login", "ops", "{\"v\":1,\"issuer\":"
	    "\"https://idp.test\",\"client_id\":\"cli\",\"server\":"
	    "\"https://srv.test\",\"origins\":\"https://idp.test\","
	    "\"refresh_token\":\"rt1\",\"access_token\":\"at1\","
	    "\"access_expires_at\":1795999999}");
	world_start(w, text);
	*state = w;
	assert_state(w, "granted");
	memcpy(strstr(text, "srv.test"), "bad.test", 8);
	world_reload(w, text);
	assert_state(w, "human_needed");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_int_equal(fake_http_requests(), 0);
	free(text);
}

static void
test_edited_endpoint_needs_a_human(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	char *text = xstrdup(world_conf), *at;

	at = strstr(text, "idp.test/token");
	memcpy(at, "bad", 3);
	world_reconfigure(w, world_load(text));
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_int_equal(fake_http_requests(), 0);
	free(text);
}

static void
test_nobody_logged_in(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	assert_non_null(strstr(h.err.msg, "nobody has logged in"));
	assert_int_equal(fake_http_requests(), 0);
}

/* ------------------------------------------------------------- attempts */

struct attempt {
	int codes, dones, failures;
	char user_code[32];
	struct tb_error err;
};

static void
on_news(void *arg, const struct broker_login_news *n)
{
	struct attempt *a = arg;

	switch (n->what) {
	case BROKER_LOGIN_CODE:
		a->codes++;
		snprintf(a->user_code, sizeof(a->user_code), "%s",
		    n->user_code);
		break;
	case BROKER_LOGIN_CONFIRM:
		break;
	case BROKER_LOGIN_DONE:
		a->dones++;
		break;
	case BROKER_LOGIN_FAILED:
		a->failures++;
		a->err = *n->err;
		break;
	}
}

#define CODE_REPLY "{\"device_code\":\"dc\",\"user_code\":\"AB-CD\"," \
	"\"verification_uri\":\"https://idp.test/d\",\"expires_in\":600}"

static struct broker_login_watch *
begin(struct world *w, struct attempt *a)
{
	struct broker_login_request req = { .name = "ops" };
	struct tb_error err = TB_ERROR_INIT;
	struct broker_login_watch *watch;

	fake_http_push_json_for("/device", 200, CODE_REPLY);
	watch = broker_login_start(w->broker, &req, on_news, a, &err);
	assert_non_null(watch);
	fake_loop_run_pending();
	assert_int_equal(a->codes, 1);
	assert_string_equal(a->user_code, "AB-CD");
	return watch;
}

static void
test_login_then_mint(void **state)
{
	struct world *w = *state;
	struct attempt a = { .codes = 0 };
	struct heard h = { .answers = 0 };

	begin(w, &a);
	assert_state(w, "waiting");
	fake_http_push_json_for("/token", 400,
	    "{\"error\":\"authorization_pending\"}");
	world_push_refresh("at1", "rt1");
	fake_loop_advance(11000);
	assert_int_equal(a.dones, 1);
	assert_state(w, "granted");
	assert_true(record_has("rt1"));
	assert_true(record_has("\"origins\":\"https://idp.test\""));
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "apiv1_one");
}

static void
test_one_pending_login_per_name(void **state)
{
	struct world *w = *state;
	struct attempt a = { .codes = 0 };
	struct broker_login_request req = { .name = "ops" };
	struct broker_login_watch *watch = begin(w, &a);
	struct tb_error err = TB_ERROR_INIT;

	assert_null(broker_login_start(w->broker, &req, on_news, &a, &err));
	assert_int_equal(err.code, TB_E_BADREQ);
	broker_login_cancel(&watch);
	assert_null(watch);
	assert_state(w, "empty");
}

static void
test_denied(void **state)
{
	struct world *w = *state;
	struct attempt a = { .codes = 0 };

	begin(w, &a);
	fake_http_push_json_for("/token", 400, "{\"error\":\"access_denied\"}");
	fake_loop_advance(6000);
	assert_int_equal(a.failures, 1);
	assert_state(w, "empty");
}

/* A failed attempt does not harm the grant that is there. */
static void
test_failed_attempt_keeps_the_old_grant(void **state)
{
	struct world *w = *state;
	struct attempt a = { .codes = 0 };
	struct heard h = { .answers = 0 };

	begin(w, &a);
	fake_http_push_json_for("/token", 400, "{\"error\":\"access_denied\"}");
	fake_loop_advance(6000);
	assert_int_equal(a.failures, 1);
	assert_state(w, "granted");
	world_push_refresh("at2", "rt2");
	world_ask(w, "access", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "at2");
}

/* The new grant cannot be stored: it is handed back, the old one stays. */
static void
test_new_grant_that_cannot_be_stored(void **state)
{
	struct world *w = *state;
	struct attempt a = { .codes = 0 };

	begin(w, &a);
	fake_state_fail(1);
	world_push_refresh("at9", "rt9");
	fake_http_push_json_for("/revoke", 200, "");
	fake_http_push_json_for("/revoke", 200, "");
	fake_loop_advance(6000);
	assert_int_equal(a.failures, 1);
	assert_true(world_count("POST", "/revoke") >= 1);
	assert_true(record_has("rt1"));
	assert_false(record_has("rt9"));
	assert_state(w, "granted");
}

static void
test_human_needed_ends_with_a_login(void **state)
{
	struct world *w = *state;
	struct attempt a = { .codes = 0 };
	struct heard h = { .answers = 0 };

	fake_http_push_json(400, "{\"error\":\"invalid_grant\"}");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	heard_clear(&h);
	begin(w, &a);
	world_push_refresh("at3", "rt3");
	fake_loop_advance(6000);
	assert_int_equal(a.dones, 1);
	assert_state(w, "granted");
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "apiv1_one");
}

/* Tokens first, the grant last. */
static void
test_logout_revokes_in_order(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	json_t *detail = NULL;
	size_t first = 0;

	world_push_refresh("at2", "rt2");
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	first = fake_http_requests();
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_http_push_json_for("/revoke", 200, "");
	fake_http_push_json_for("/revoke", 200, "");
	broker_logout(w->broker, "ops", false, on_job, &detail);
	fake_loop_run_pending();
	assert_non_null(detail);
	assert_int_equal(json_integer_value(json_object_get(detail,
	    "revoked")), 1);
	json_decref(detail);
	assert_string_equal(fake_http_request(first)->method, "DELETE");
	assert_non_null(strstr(fake_http_request(first + 1)->url, "/revoke"));
	assert_state(w, "empty");
	assert_false(record_has("rt2"));
}

/* A logout whose record the disk refuses so many times; what it said. */
static json_t *
logout_unwritten(struct world *w, int times)
{
	json_t *detail = NULL;

	fake_http_push_json_for("/revoke", 200, "");
	fake_http_push_json_for("/revoke", 200, "");
	fake_state_fail(times);
	broker_logout(w->broker, "ops", true, on_job, &detail);
	fake_loop_run_pending();
	assert_non_null(detail);
	return detail;
}

/* The disk refuses: the operator hears it, it is written until it is there,
 * and then no restart brings the grant back. */
static void
test_logout_on_a_full_disk(void **state)
{
	struct world *w = *state;
	json_t *detail = logout_unwritten(w, 3);

	assert_true(json_is_true(json_object_get(detail, "grant_revoked")));
	assert_true(json_is_false(json_object_get(detail, "on_disk")));
	json_decref(detail);
	assert_state(w, "empty");
	assert_true(record_has("rt1"));
	fake_loop_advance(5000);
	assert_false(record_has("rt1"));
	world_crash(w);
	assert_state(w, "empty");
	assert_int_equal(world_count("POST", "/revoke"), 2);
}

/* A login while the logout before it waits for the disk: it counts. */
static void
test_login_over_an_unwritten_logout(void **state)
{
	struct world *w = *state;
	struct attempt a = { .codes = 0 };

	json_decref(logout_unwritten(w, 1000));
	fake_loop_advance(10000);
	begin(w, &a);
	fake_state_fail(0);
	world_push_refresh("at3", "rt3");
	fake_loop_advance(10000);
	assert_int_equal(a.dones, 1);
	assert_state(w, "granted");
	assert_false(record_has("rt1"));
	world_crash(w);
	assert_state(w, "granted");
}

/* A login that fails while the logout is on its way to a slow disk: it is not
 * sent there a second time, whose end nobody would wait for. */
static void
test_failed_login_over_an_unwritten_logout(void **state)
{
	struct world *w = *state;
	struct attempt a = { .codes = 0 };

	json_decref(logout_unwritten(w, 1));
	fake_state_hold(true);
	fake_loop_advance(5000);
	begin(w, &a);
	fake_http_push_json_for("idp.test/token", 400,
	    "{\"error\":\"access_denied\"}");
	fake_loop_advance(10000);
	assert_int_equal(a.failures, 1);
	fake_state_hold(false);
	world_restart(w);
	assert_state(w, "empty");
	assert_false(record_has("rt1"));
}

/* What is asked for while tokens are being revoked is not minted: it would
 * outlive the logout. */
static void
test_nothing_is_minted_during_a_logout(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	json_t *detail = NULL;

	world_push_refresh("at2", "rt2");
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	heard_clear(&h);
	broker_logout(w->broker, "ops", false, on_job, &detail);
	fake_loop_run_pending();
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.err.code, TB_E_LOGIN);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_http_push_json_for("/revoke", 200, "");
	fake_http_push_json_for("/revoke", 200, "");
	fake_loop_run_pending();
	assert_non_null(detail);
	json_decref(detail);
	assert_int_equal(world_count("POST", "/tokens"), 1);
	assert_state(w, "empty");
}

static void
assert_refresh_at(struct world *w, const char *at)
{
	json_t *o = login_state(w);
	const char *s = json_string_value(json_object_get(o, "refresh_at"));

	if (at)
		assert_memory_equal(s, at, strlen(at));
	else
		assert_null(s);
	json_decref(o);
}

#define HOUR_MS (3600 * INT64_C(1000))

/* What the daemon does by itself next, also after a failure. */
static void
test_the_next_refresh_is_told(void **state)
{
	struct world *w = *state;

	assert_refresh_at(w, "2026-11-23T05:20:00Z");
	fake_loop_advance(HOUR_MS);
	assert_refresh_at(w, "2026-11-23T05:20:00Z");
	fake_http_push_json(503, "{}");
	fake_loop_advance(11 * HOUR_MS);
	assert_refresh_at(w, "2026-11-23T05:20:0"); /* with jitter */
	fake_http_push_json(400, "{\"error\":\"invalid_grant\"}");
	fake_loop_advance(HOUR_MS);
	assert_state(w, "human_needed");
	assert_refresh_at(w, NULL);
}

/* Providers drop refresh tokens that idle: ours is used now and then. */
static void
test_keep_alive_renews_an_idle_grant(void **state)
{
	world_push_refresh("at2", "rt2");
	fake_loop_advance(13 * 3600 * INT64_C(1000));
	assert_int_equal(world_count("POST", "idp.test/token"), 1);
	assert_true(record_has("rt2"));
}

int
main(void)
{
#define STALE(f) cmocka_unit_test_setup_teardown(f, setup_stale, world_teardown)
#define EMPTY(f) cmocka_unit_test_setup_teardown(f, setup_empty, world_teardown)
	const struct CMUnitTest tests[] = {
		STALE(test_over_before_it_is_stored),
		STALE(test_write_ahead),
		STALE(test_stored_before_use),
		STALE(test_two_askers_one_refresh),
		STALE(test_no_new_refresh_token_keeps_the_old),
		STALE(test_invalid_grant_needs_a_human),
		STALE(test_empty_400_needs_a_human),
		STALE(test_lost_reply_one_recorded_retry),
		STALE(test_retry_after_lost_reply_can_succeed),
		STALE(test_crash_in_refresh),
		STALE(test_outage_of_the_provider),
		STALE(test_full_disk_spends_nothing),
		STALE(test_full_disk_after_rotation),
		STALE(test_edited_issuer_needs_a_human),
		STALE(test_edited_issuer_is_not_handed_the_grant),
		STALE(test_edited_server_needs_a_human),
		STALE(test_edited_endpoint_needs_a_human),
		EMPTY(test_nobody_logged_in),
		EMPTY(test_login_then_mint),
		EMPTY(test_one_pending_login_per_name),
		EMPTY(test_denied),
		STALE(test_failed_attempt_keeps_the_old_grant),
		STALE(test_new_grant_that_cannot_be_stored),
		STALE(test_human_needed_ends_with_a_login),
		STALE(test_logout_revokes_in_order),
		STALE(test_logout_on_a_full_disk),
		STALE(test_login_over_an_unwritten_logout),
		STALE(test_failed_login_over_an_unwritten_logout),
		STALE(test_nothing_is_minted_during_a_logout),
		STALE(test_keep_alive_renews_an_idle_grant),
		STALE(test_the_next_refresh_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
