/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of a run's own: made for it, not renewed, revoked when it is over, and
 * kept over a restart of the daemon for a run that comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/principal.h"
#include "broker_world.h"

#define HOUR_MS (3600 * INT64_C(1000))
#define NAME_1 "db@lease:1:uid:1000"

static const struct principal user = { .uid = 1000, .gid = 1 };
static const struct principal other = { .uid = 1001, .gid = 1 };

static int
setup(void **state)
{
	world_setup(state, WORLD_GRANT(1795999999));
	world_reload_db(*state, "leases = 2\n", "");
	return 0;
}

struct lease {
	unsigned number; /* to take again; 0: a new one */
	char name[BROKER_NAME_SIZE];
	struct tb_error err;
};

/* TB_OK, and name and number are set. */
static enum tb_errc
take(struct world *w, const struct principal *who, struct lease *l)
{
	l->err = (struct tb_error)TB_ERROR_INIT;
	broker_lease_take(w->broker, "db", who, &l->number, l->name, &l->err);
	return l->err.code;
}

/* A new one with a value; returns its number. */
static unsigned
lease(struct world *w, const struct principal *who, const char *id,
    const char *value)
{
	struct heard h = { .answers = 0 };
	struct lease l = { .number = 0 };

	assert_int_equal(take(w, who, &l), TB_OK);
	world_push_mint(id, value);
	world_ask(w, l.name, &h);
	fake_loop_run_pending();
	assert_int_equal(h.answers, 1);
	assert_string_equal(h.value, value);
	return l.number;
}

static unsigned revoked, failed;

static void
on_end(void *arg, json_t *detail, const struct tb_error *err)
{
	(void)arg;
	assert_null(err);
	revoked = (unsigned)json_integer_value(json_object_get(detail,
	    "revoked"));
	failed = (unsigned)json_integer_value(json_object_get(detail,
	    "failed"));
}

static void
end(struct world *w, const char *name, const char *id)
{
	char path[64];

	snprintf(path, sizeof(path), "/tokens/%s", id);
	fake_http_push_json_for(path, 204, "");
	broker_lease_end(w->broker, name, on_end, NULL);
	fake_loop_run_pending();
}

static bool
has(struct world *w, const char *name)
{
	struct broker_view view;

	return broker_get(w->broker, name, 0, &view);
}

/* -------------------------------------------------------------- one's own */

static void
test_each_run_has_its_own(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	assert_int_equal(lease(w, &user, "id-1", "apiv1_one"), 1);
	assert_int_equal(lease(w, &user, "id-2", "apiv1_two"), 2);
	world_push_mint("id-3", "apiv1_three");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_string_equal(h.value, "apiv1_three");
	assert_int_equal(world_count("POST", "/tokens"), 3);
	end(w, NAME_1, "id-1");
	assert_int_equal(revoked, 1);
	assert_int_equal(world_count("DELETE", "/tokens/"), 1);
	assert_false(has(w, NAME_1));
	assert_true(has(w, "db@lease:2:uid:1000"));
	assert_true(has(w, "db"));
	assert_null(fake_state_record("generation", NAME_1 ".1"));
}

static void
test_numbers_are_used_again(void **state)
{
	struct world *w = *state;

	assert_int_equal(lease(w, &user, "id-1", "apiv1_one"), 1);
	end(w, NAME_1, "id-1");
	assert_int_equal(lease(w, &user, "id-2", "apiv1_two"), 1);
}

static void
test_so_many_and_no_more(void **state)
{
	struct world *w = *state;
	struct lease l = { .number = 0 };

	lease(w, &user, "id-1", "apiv1_one");
	lease(w, &other, "id-2", "apiv1_two"); /* those of all count */
	assert_int_equal(take(w, &user, &l), TB_E_LIMIT);
	assert_non_null(strstr(l.err.msg, "leases = 2 of [token db]"));
	assert_true(l.err.retry_after_ms > 0);
	end(w, NAME_1, "id-1");
	assert_int_equal(lease(w, &other, "id-3", "apiv1_three"), 2);
}

static void
test_a_token_without(void **state)
{
	struct world *w = *state;
	struct lease l = { .number = 0 };

	world_reload_db(w, "", "");
	assert_int_equal(take(w, &user, &l), TB_E_BADREQ);
	assert_non_null(strstr(l.err.msg, "leases = N"));
}

/* Its run has one value, which another could not reach. */
static void
test_it_is_not_renewed(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	lease(w, &user, "id-1", "apiv1_one");
	world_ask(w, NAME_1, &h); /* it is used */
	fake_loop_advance(5 * HOUR_MS);
	assert_true(has(w, NAME_1));
	fake_loop_advance(2 * HOUR_MS);
	assert_false(has(w, NAME_1));
	assert_int_equal(world_count("POST", "/tokens"), 1);
	assert_int_equal(fake_state_audits(AUDIT_EXPIRING), 0);
	/* the number stays its own until its connection ends */
	fake_loop_advance(HOUR_MS);
	assert_non_null(broker_token(w->broker, NAME_1));
	broker_lease_end(w->broker, NAME_1, on_end, NULL);
	fake_loop_advance(61000);
	assert_null(broker_token(w->broker, NAME_1));
}

/* ------------------------------------------------------------ ends at once */

static void
test_it_ends_while_it_is_made(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };
	struct lease l = { .number = 0 };

	take(w, &user, &l);
	world_ask(w, l.name, &h);
	fake_loop_run_pending();
	assert_int_equal(world_count("POST", "/tokens"), 1);
	heard_clear(&h);
	broker_lease_end(w->broker, l.name, on_end, NULL);
	/* the number is not given away while its value is on the way */
	l.number = 0;
	take(w, &user, &l);
	assert_int_equal(l.number, 2);
	fake_http_push_json_for("/tokens/id-1", 204, "");
	world_push_mint("id-1", "apiv1_one");
	fake_loop_run_pending();
	assert_int_equal(world_count("DELETE", "/tokens/id-1"), 1);
	assert_int_equal(revoked, 1);
}

static void
test_the_service_is_away_at_the_end(void **state)
{
	struct world *w = *state;

	lease(w, &user, "id-1", "apiv1_one");
	fake_http_push_json_for("/tokens/id-1", 503, "{}");
	broker_lease_end(w->broker, NAME_1, on_end, NULL);
	fake_loop_run_pending();
	assert_int_equal(failed, 1);
	assert_false(has(w, NAME_1));
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_loop_advance(HOUR_MS);
	assert_int_equal(world_count("DELETE", "/tokens/id-1"), 2);
	assert_null(fake_state_record("generation", NAME_1 ".1"));
}

static void
test_an_operator_ends_all(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	lease(w, &user, "id-1", "apiv1_one");
	world_push_mint("id-2", "apiv1_two");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_http_push_json_for("/tokens/id-2", 204, "");
	broker_revoke(w->broker, "db", 0, on_end, NULL);
	fake_loop_run_pending();
	assert_int_equal(revoked, 2);
	assert_int_equal(world_count("DELETE", "/tokens/id-1"), 1);
	assert_int_equal(world_count("DELETE", "/tokens/id-2"), 1);
}

static void
test_one_generation_is_the_tokens(void **state)
{
	struct world *w = *state;
	struct heard h = { .answers = 0 };

	lease(w, &user, "id-1", "apiv1_one");
	world_push_mint("id-2", "apiv1_two");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	fake_http_push_json_for("/tokens/id-2", 204, "");
	broker_revoke(w->broker, "db", h.generation, on_end, NULL);
	fake_loop_run_pending();
	assert_true(has(w, NAME_1));
	assert_false(has(w, "db"));
}

static void
on_refused(void *arg, json_t *detail, const struct tb_error *err)
{
	(void)detail;
	*(struct tb_error *)arg = *err;
}

static void
test_a_rotation_is_not_for_it(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;

	lease(w, &user, "id-1", "apiv1_one");
	broker_rotate(w->broker, NAME_1, on_refused, &err);
	fake_loop_run_pending();
	assert_int_equal(err.code, TB_E_BADREQ);
	/* with per = holder as well: all but it */
	world_reload_db(w, "leases = 2\nper = holder\n", "");
	broker_rotate(w->broker, "db", on_refused, &err);
	fake_loop_run_pending();
	assert_non_null(strstr(err.msg, "no holder has one yet"));
	assert_int_equal(world_count("POST", "/tokens"), 1);
}

/* ------------------------------------------------------- restart, reload */

static void
test_it_comes_back_after_a_restart(void **state)
{
	struct world *w = *state;
	struct lease l = { .number = lease(w, &user, "id-1", "apiv1_one") };

	world_restart(w);
	fake_loop_advance(50000);
	assert_int_equal(take(w, &other, &l), TB_E_BADREQ);
	assert_int_equal(take(w, &user, &l), TB_OK);
	assert_string_equal(l.name, NAME_1);
	assert_int_equal(take(w, &user, &l), TB_E_BADREQ);
	assert_non_null(strstr(l.err.msg, "has a connection"));
	fake_loop_advance(HOUR_MS);
	assert_true(has(w, NAME_1));
	end(w, NAME_1, "id-1");
	assert_int_equal(revoked, 1);
	assert_int_equal(take(w, &user, &l), TB_E_BADREQ);
}

static void
test_it_does_not_come_back(void **state)
{
	struct world *w = *state;

	lease(w, &user, "id-1", "apiv1_one");
	world_crash(w);
	fake_loop_advance(50000);
	assert_true(has(w, NAME_1));
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_loop_advance(80000);
	assert_false(has(w, NAME_1));
	assert_int_equal(world_count("DELETE", "/tokens/id-1"), 1);
}

/* A reload takes no value away, nor is its end forgotten. */
static void
test_reload_without_leases(void **state)
{
	struct world *w = *state;

	lease(w, &user, "id-1", "apiv1_one");
	world_reload_db(w, "", "");
	assert_true(has(w, NAME_1));
	world_restart(w);
	assert_true(has(w, NAME_1));
	end(w, NAME_1, "id-1");
	assert_int_equal(revoked, 1);
}

/* Nor when the token itself is gone. */
static void
test_reload_without_the_token(void **state)
{
	struct world *w = *state;
	char *text = world_conf_db("", "");
	char *from = strstr(text, "[token db]"), *to = strstr(text,
	    "[token db2]");

	lease(w, &user, "id-1", "apiv1_one");
	memmove(from, to, strlen(to) + 1);
	world_reload(w, text);
	free(text);
	assert_false(has(w, NAME_1));
	end(w, NAME_1, "id-1");
	assert_int_equal(revoked, 1);
}

/* What is made anyway for one run does not tell how long the outside may be
 * away. */
static void
test_it_is_no_outage_budget(void **state)
{
	struct world *w = *state;
	const char *token = NULL;

	lease(w, &user, "id-1", "apiv1_one");
	assert_int_equal(broker_outage_budget_s(w->broker, &token), -1);
}

static void
test_numbers(void **state)
{
	struct world *w = *state;

	lease(w, &user, "id-1", "apiv1_one");
	lease(w, &other, "id-2", "apiv1_two");
	assert_int_equal(world_sample(w, "tokenbroker_leases_taken{"
	    "token=\"db\"}"), 2);
	assert_int_equal(world_sample(w, "tokenbroker_leases_limit{"
	    "token=\"db\"}"), 2);
	/* an alarm on these would ring for each */
	assert_int_equal(world_sample(w, "tokenbroker_outage_budget_seconds{"
	    "token=\"" NAME_1 "\"}"), INT64_MIN);
	assert_int_equal(world_sample(w, "tokenbroker_token_expiring{token=\""
	    NAME_1 "\"}"), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_each_run_has_its_own),
		TEST(test_numbers_are_used_again),
		TEST(test_so_many_and_no_more),
		TEST(test_a_token_without),
		TEST(test_it_is_not_renewed),
		TEST(test_it_ends_while_it_is_made),
		TEST(test_the_service_is_away_at_the_end),
		TEST(test_an_operator_ends_all),
		TEST(test_one_generation_is_the_tokens),
		TEST(test_a_rotation_is_not_for_it),
		TEST(test_it_comes_back_after_a_restart),
		TEST(test_it_does_not_come_back),
		TEST(test_reload_without_leases),
		TEST(test_reload_without_the_token),
		TEST(test_it_is_no_outage_budget),
		TEST(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
