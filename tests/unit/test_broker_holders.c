/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds what, over restarts; and that a superseded generation is revoked
 * before its time only when nobody can be using it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "base/principal.h"
#include "broker/holders.h"
#include "broker_world.h"
#include "lib/jsonx.h"

#define GRANT WORLD_GRANT(1795999999)
#define MINUTES(n) ((n) * 60 * INT64_C(1000))
#define WHEN_MOVED "revoke_superseded = when_moved\noverlap = 30m\n"

enum { API, CREDENTIAL };

static const struct principal unit_a = { .uid = 990, .unit =
	    (char *)"a.service", .strength = PRINCIPAL_STRONG,
	.invocation = (char *)"run-a1" };
static const struct principal unit_a_again = { .uid = 990, .unit =
	    (char *)"a.service", .strength = PRINCIPAL_STRONG,
	.invocation = (char *)"run-a2" };
static const struct principal user = { .uid = 1000 };

/* world_conf with more keys for token db, and its first generation. */
static void
start(struct world *w, bool strict, const char *keys)
{
	_cleanup_free_ char *text = world_conf_db(keys, "");
	struct heard h = { .answers = 0 };

	fake_state_reset();
	fake_state_strict(strict);
	fake_state_seed("login", "ops", GRANT);
	world_start(w, text);
	world_push_mint("id-1", "apiv1_one");
	world_ask(w, "db", &h);
	fake_loop_run_pending();
	assert_int_equal(h.generation, 1);
}

static void
hold(struct world *w, const struct principal *who, unsigned door,
    const char *delivery)
{
	struct broker_view view;

	assert_true(broker_get(w->broker, "db", 0, &view));
	broker_hold(w->broker, &view, who, door, delivery);
	fake_loop_run_pending();
}

static void
on_rotated(void *arg, json_t *detail, const struct tb_error *err)
{
	assert_null(err);
	*(bool *)arg = true;
}

static void
rotate(struct world *w, const char *id, const char *value)
{
	bool done = false;

	world_push_mint(id, value);
	broker_rotate(w->broker, "db", on_rotated, &done);
	fake_loop_run_pending();
	assert_true(done);
}

/* How often generation 1 was revoked at its service. */
static size_t
revoked(void)
{
	return world_count("DELETE", "/tokens/id-1");
}

/* The service agrees to whatever is deleted. */
static void
pass(int64_t ms)
{
	fake_http_push_json_for("/tokens/id-1", 204, "");
	fake_loop_advance(ms);
	fake_loop_run_pending();
}

static const json_t *
find(const json_t *list, const char *key, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		if (streq(json_string_value(json_object_get(o, key)), name))
			return o;
	}
	return NULL;
}

/* Of token db in the inventory, owned by the caller. */
static json_t *
inventory(struct world *w)
{
	json_t *list = broker_status_tokens(w->broker);
	json_t *o = json_incref((json_t *)(uintptr_t)find(list, "name",
	    "db"));

	json_decref(list);
	assert_non_null(o);
	return o;
}

static const json_t *
generation(const json_t *token, uint64_t number)
{
	const json_t *list = json_object_get(token, "generations"), *o;

	for (size_t i = 0; i < json_array_size(list); i++) {
		o = json_array_get(list, i);
		if (json_integer_value(json_object_get(o, "generation")) ==
		    (json_int_t)number)
			return o;
	}
	return NULL;
}

/* Why generation 1 is kept has this in it; NULL: it is not there any more. */
static void
assert_kept(struct world *w, const char *text)
{
	json_t *o _cleanup_json_ = inventory(w);
	const json_t *g = generation(o, 1);
	const char *why = json_string_value(json_object_get(g,
	    "kept_because"));

	if (!text) {
		assert_null(g);
		return;
	}
	assert_non_null(why);
	if (!strstr(why, text))
		fail_msg("\"%s\" has no \"%s\"", why, text);
}

/* ------------------------------------------------- early, and when it is not */

/* One who was not given the newer one is enough. */
static void
test_when_all_have_moved(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, API, NULL);
	hold(&w, &user, API, "vault"); /* reads again, as it is told to */
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(31));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "uid:1000 has not asked");
	hold(&w, &user, API, NULL);
	pass(MINUTES(2));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "unit:a.service has not asked");
	hold(&w, &unit_a, API, NULL);
	pass(1000);
	assert_int_equal(revoked(), 1);
	assert_kept(&w, NULL);
	world_stop(&w);
}

static void
test_not_before_overlap(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, API, NULL);
	rotate(&w, "id-2", "apiv1_two");
	hold(&w, &unit_a, API, NULL);
	pass(MINUTES(30) - 1000);
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "overlap is not over");
	pass(2000);
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

/* Each by its own, though one is looked at every minute. */
static void
test_overlap_of_each(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &user, API, NULL);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(31));
	rotate(&w, "id-3", "apiv1_three");
	pass(MINUTES(5));
	assert_int_equal(world_count("DELETE", "/tokens/id-2"), 0);
	fake_http_push_json_for("/tokens/id-2", 204, "");
	pass(MINUTES(26));
	assert_int_equal(world_count("DELETE", "/tokens/id-2"), 1);
	assert_int_equal(revoked(), 0);
	world_stop(&w);
}

static void
test_nobody_had_it(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(31));
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

static void
test_never_by_default(void **state)
{
	struct world w;

	start(&w, true, "");
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(60));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "revoke_superseded = never");
	world_stop(&w);
}

static void
test_hard_overlap(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED "hard_overlap = yes\n");
	hold(&w, &unit_a, CREDENTIAL, "static");
	hold(&w, &user, API, NULL);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(30) - 1000);
	assert_int_equal(revoked(), 0);
	pass(2000);
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

/* What has a newer one, but was started with this. */
static void
test_static_counts_for_the_run(void **state)
{
	static const char *const words[] = { "static", "environment",
		"memfd", "stdout", "secrets" };
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		start(&w, true, WHEN_MOVED);
		hold(&w, &unit_a, CREDENTIAL, words[i]);
		rotate(&w, "id-2", "apiv1_two");
		hold(&w, &unit_a, API, NULL);
		pass(MINUTES(40));
		assert_int_equal(revoked(), 0);
		assert_kept(&w, "was started with it");
		world_run_is_over("run-a1");
		pass(MINUTES(1));
		assert_int_equal(revoked(), 1);
		world_stop(&w);
	}
}

/* ... and what it was started with before is gone with that run. */
static void
test_static_of_an_earlier_run(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, CREDENTIAL, "static");
	hold(&w, &unit_a_again, API, NULL);
	rotate(&w, "id-2", "apiv1_two");
	hold(&w, &unit_a_again, API, NULL);
	pass(MINUTES(31));
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

/* A file outlives everything; so may what we know no word for. */
static void
test_kept_counts_for_ever(void **state)
{
	static const char *const words[] = { "file", "other" };
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		start(&w, true, WHEN_MOVED);
		hold(&w, &unit_a, API, words[i]);
		rotate(&w, "id-2", "apiv1_two");
		hold(&w, &unit_a, API, words[i]);
		world_run_is_over("run-a1");
		pass(MINUTES(60));
		assert_int_equal(revoked(), 0);
		assert_kept(&w, "in a file");
		world_stop(&w);
	}
}

/* Without a newer one, but it is not there any more. */
static void
test_run_that_is_over(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, API, NULL);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(40));
	assert_int_equal(revoked(), 0);
	world_run_is_over("run-a1");
	pass(MINUTES(1));
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

/* A uid has no runs: whatever it was told of one. */
static void
test_uid_is_never_over(void **state)
{
	struct principal weak = unit_a;
	struct world w;

	weak.strength = PRINCIPAL_WEAK;
	start(&w, true, WHEN_MOVED);
	hold(&w, &weak, API, "memfd");
	weak.invocation = (char *)"run-a2";
	hold(&w, &weak, API, NULL);
	rotate(&w, "id-2", "apiv1_two");
	hold(&w, &weak, API, NULL);
	world_run_is_over("run-a2");
	pass(MINUTES(60));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "uid:990 was started with it");
	world_stop(&w);
}

static void
test_more_than_are_kept_in_mind(void **state)
{
	struct principal p = { .uid = 5000 };
	json_t *o;
	struct world w;

	start(&w, true, WHEN_MOVED);
	for (size_t i = 0; i < HOLDERS_MAX + 3; i++) {
		p.uid++;
		hold(&w, &p, API, NULL);
	}
	o = inventory(&w);
	assert_int_equal(json_array_size(json_object_get(generation(o, 1),
	    "holders")), HOLDERS_MAX);
	assert_int_equal(json_integer_value(json_object_get(generation(o, 1),
	    "more_holders")), 3);
	json_decref(o);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(31));
	assert_kept(&w, "more holders than");
	assert_int_equal(revoked(), 0);
	world_stop(&w);
}

/* Units that are gone make room. */
static void
test_room_for_who_lives(void **state)
{
	struct principal p = unit_a;
	char unit[32];
	json_t *o;
	struct world w;

	start(&w, true, WHEN_MOVED);
	p.unit = unit;
	for (size_t i = 0; i < HOLDERS_MAX; i++) {
		snprintf(unit, sizeof(unit), "run-u%zu.service", i);
		hold(&w, &p, API, NULL);
	}
	world_run_is_over("run-a1");
	hold(&w, &user, API, NULL);
	o = inventory(&w);
	assert_int_equal(json_array_size(json_object_get(generation(o, 1),
	    "holders")), 1);
	assert_null(json_object_get(generation(o, 1), "more_holders"));
	json_decref(o);
	world_stop(&w);
}

static void
test_not_while_quarantined(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	rotate(&w, "id-2", "apiv1_two");
	fake_state_hold_back("a test");
	pass(MINUTES(31));
	assert_int_equal(revoked(), 0);
	assert_non_null(fake_state_record("generation", "db.1"));
	fake_state_hold_back(NULL);
	pass(MINUTES(2));
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

/* --------------------------------------------------------------- restarts */

static void
test_restart_remembers(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, API, NULL);
	hold(&w, &user, API, NULL);
	rotate(&w, "id-2", "apiv1_two");
	hold(&w, &unit_a, API, NULL);
	pass(MINUTES(20));
	world_restart(&w);
	assert_kept(&w, "overlap is not over");
	/* the time before it counts */
	pass(MINUTES(11));
	assert_kept(&w, "uid:1000 has not asked");
	assert_int_equal(revoked(), 0);
	world_restart(&w);
	hold(&w, &user, API, NULL);
	pass(MINUTES(1));
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

/* Before somebody is given it the record says that it is not complete. */
static void
test_record_goes_ahead(void **state)
{
	struct world w;
	const char *record;
	size_t puts;
	struct broker_view view;

	start(&w, true, WHEN_MOVED);
	fake_loop_advance(6000);
	record = fake_state_record("holders", "db");
	assert_non_null(strstr(record, "\"complete\":true"));
	puts = fake_state_puts();
	assert_true(broker_get(w.broker, "db", 0, &view));
	broker_hold(w.broker, &view, &user, API, NULL);
	assert_int_equal(fake_state_puts(), puts + 1);
	/* more of it, and the same again, can wait */
	broker_hold(w.broker, &view, &unit_a, API, NULL);
	broker_hold(w.broker, &view, &unit_a, API, NULL);
	assert_int_equal(fake_state_puts(), puts + 1);
	fake_loop_run_pending();
	record = fake_state_record("holders", "db");
	assert_non_null(strstr(record, "\"complete\":false"));
	assert_non_null(strstr(record, "uid:1000"));
	fake_loop_advance(6000);
	record = fake_state_record("holders", "db");
	assert_non_null(strstr(record, "\"complete\":true"));
	assert_non_null(strstr(record, "unit:a.service"));
	world_stop(&w);
}

static void
test_crash_behind_a_release(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, API, NULL);
	world_crash(&w);
	assert_non_null(fake_state_record("holders", "db"));
	rotate(&w, "id-2", "apiv1_two");
	hold(&w, &unit_a, API, NULL);
	pass(MINUTES(60));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "not everybody who was given it is known");
	/* nor does an orderly restart make it known */
	world_restart(&w);
	pass(MINUTES(1));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "not everybody who was given it is known");
	world_stop(&w);
}

/* All was written down by then. */
static void
test_crash_later(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, API, NULL);
	fake_loop_advance(6000);
	world_crash(&w);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(31));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "unit:a.service has not asked");
	hold(&w, &unit_a, API, NULL);
	pass(MINUTES(1));
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

/* Where no release waits for a record, a crash is never sure. */
static void
test_crash_when_relaxed(void **state)
{
	struct world w;

	start(&w, false, WHEN_MOVED);
	fake_loop_advance(6000);
	world_crash(&w);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(60));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "not everybody who was given it is known");
	world_stop(&w);
	/* ... an orderly stop is */
	start(&w, false, WHEN_MOVED);
	fake_loop_advance(6000);
	world_restart(&w);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(60));
	assert_int_equal(revoked(), 1);
	world_stop(&w);
}

/* The state of a version that did not keep it, or a record that is lost. */
static void
test_no_record(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	world_crash(&w);
	assert_null(fake_state_record("holders", "db"));
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(60));
	assert_kept(&w, "not everybody who was given it is known");
	assert_int_equal(revoked(), 0);
	world_stop(&w);
}

static void
test_damaged_record(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	world_restart(&w);
	fake_state_seed("holders", "db", "{\"v\":1,\"complete\":true,"
	    "\"holders\":[{\"name\":7}]}");
	world_crash(&w);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(60));
	assert_kept(&w, "not everybody who was given it is known");
	assert_int_equal(revoked(), 0);
	world_stop(&w);
}

/* An older state says what an older truth was. */
static void
test_state_that_was_put_back(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	fake_loop_advance(6000);
	fake_state_hold_back("it is an older one");
	world_restart(&w);
	fake_state_hold_back(NULL);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(60));
	assert_kept(&w, "not everybody who was given it is known");
	assert_int_equal(revoked(), 0);
	world_stop(&w);
}

/* What ran ended with it; a file did not. */
static void
test_reboot(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, CREDENTIAL, "static");
	hold(&w, &user, API, "environment");
	fake_loop_advance(6000);
	fake_state_boot("boot2");
	world_crash(&w);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(31));
	assert_int_equal(revoked(), 1);
	world_stop(&w);
	start(&w, true, WHEN_MOVED);
	hold(&w, &user, API, "file");
	fake_loop_advance(6000);
	fake_state_boot("boot3");
	world_crash(&w);
	rotate(&w, "id-2", "apiv1_two");
	pass(MINUTES(31));
	assert_int_equal(revoked(), 0);
	assert_kept(&w, "in a file");
	world_stop(&w);
}

static void
test_disk_that_fails(void **state)
{
	struct world w;

	start(&w, true, WHEN_MOVED);
	fake_loop_advance(6000);
	fake_state_fail(1);
	hold(&w, &user, API, NULL);
	assert_null(strstr(fake_state_record("holders", "db"), "uid:1000"));
	fake_loop_advance(6000);
	assert_non_null(strstr(fake_state_record("holders", "db"),
	    "uid:1000"));
	world_stop(&w);
}

/* Nothing new: nothing is written. */
static void
test_quiet_restart(void **state)
{
	struct world w;
	size_t puts;

	start(&w, true, WHEN_MOVED);
	hold(&w, &user, API, NULL);
	rotate(&w, "id-2", "apiv1_two");
	fake_loop_advance(6000);
	puts = fake_state_puts();
	world_restart(&w);
	fake_loop_advance(10000);
	hold(&w, &user, API, NULL); /* of which it has not heard yet */
	assert_int_equal(fake_state_puts(), puts + 1);
	world_stop(&w);
}

/* With its last generation goes the record. */
static void
test_record_goes(void **state)
{
	struct world w;
	bool done = false;

	start(&w, true, WHEN_MOVED);
	hold(&w, &user, API, NULL);
	assert_non_null(fake_state_record("holders", "db"));
	fake_http_push_json_for("/tokens/id-1", 204, "");
	broker_revoke(w.broker, "db", 0, on_rotated, &done);
	fake_loop_run_pending();
	assert_true(done);
	fake_loop_advance(10000);
	assert_null(fake_state_record("holders", "db"));
	world_stop(&w);
}

/* --------------------------------------------------------------- inventory */

static void
test_inventory(void **state)
{
	json_t *o;
	const json_t *g, *h;
	struct world w;

	start(&w, true, WHEN_MOVED);
	hold(&w, &unit_a, API, NULL);
	hold(&w, &unit_a, CREDENTIAL, "static");
	rotate(&w, "id-2", "apiv1_two");
	hold(&w, &unit_a, API, NULL);
	world_run_is_over("run-a1");
	o = inventory(&w);
	g = generation(o, 1);
	assert_non_null(json_object_get(g, "superseded_at"));
	assert_non_null(json_object_get(g, "overlap_until"));
	h = find(json_object_get(g, "holders"), "holder", "unit:a.service");
	assert_non_null(h);
	assert_int_equal(json_array_size(json_object_get(h, "doors")), 2);
	assert_string_equal(json_string_value(json_object_get(h,
	    "keeps_it")), "run");
	assert_int_equal(json_integer_value(json_object_get(h,
	    "has_newer")), 2);
	assert_true(json_is_true(json_object_get(h, "over")));
	g = generation(o, 2);
	assert_null(json_object_get(g, "superseded_at"));
	h = find(json_object_get(g, "holders"), "holder", "unit:a.service");
	assert_string_equal(json_string_value(json_object_get(h,
	    "keeps_it")), "fetched");
	assert_null(json_object_get(h, "has_newer"));
	h = json_object_get(o, "depends_on");
	assert_string_equal(json_string_value(json_object_get(h, "login")),
	    "ops");
	/* nobody knows when the grant ends; what clients have is known */
	assert_null(json_object_get(h, "needed_at"));
	assert_string_equal(json_string_value(json_object_get(h,
	    "not_needed_before")), json_string_value(json_object_get(g,
	    "expires_at")));
	assert_null(json_object_get(o, "last_rejection"));
	json_decref(o);
	world_stop(&w);
}

/* ... and what nobody's login pays for hangs on who imported it. */
static void
test_depends_on_an_import(void **state)
{
	json_t *list;
	const json_t *h;
	struct world w;

	start(&w, true, "");
	list = broker_status_tokens(w.broker);
	h = json_object_get(find(list, "name", "db2"), "depends_on");
	assert_string_equal(json_string_value(json_object_get(h, "import")),
	    "mgmt");
	assert_non_null(json_object_get(h, "needed_at"));
	json_decref(list);
	world_stop(&w);
}

static void
assert_rejection(struct world *w, const char *outcome)
{
	json_t *o _cleanup_json_ = inventory(w);
	const json_t *r = json_object_get(o, "last_rejection");

	assert_string_equal(json_string_value(json_object_get(r, "by")),
	    "unit:a.service");
	assert_int_equal(json_integer_value(json_object_get(r,
	    "generation")), 1);
	assert_string_equal(json_string_value(json_object_get(r, "outcome")),
	    outcome);
}

static void
test_rejection_is_remembered(void **state)
{
	unsigned char sha[32];
	struct world w;

	start(&w, true, "");
	SHA256((const unsigned char *)"apiv1_one", 9, sha);
	assert_true(broker_rejected(w.broker, "db", 1, sha, &unit_a));
	assert_rejection(&w, "not_probed"); /* prod has no probe */
	world_restart(&w);
	assert_rejection(&w, "not_probed");
	world_stop(&w);
}

#define T(fn) cmocka_unit_test(fn)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_when_all_have_moved),
		T(test_not_before_overlap),
		T(test_overlap_of_each),
		T(test_nobody_had_it),
		T(test_never_by_default),
		T(test_hard_overlap),
		T(test_static_counts_for_the_run),
		T(test_static_of_an_earlier_run),
		T(test_kept_counts_for_ever),
		T(test_run_that_is_over),
		T(test_uid_is_never_over),
		T(test_more_than_are_kept_in_mind),
		T(test_room_for_who_lives),
		T(test_not_while_quarantined),
		T(test_restart_remembers),
		T(test_record_goes_ahead),
		T(test_crash_behind_a_release),
		T(test_crash_later),
		T(test_crash_when_relaxed),
		T(test_no_record),
		T(test_damaged_record),
		T(test_state_that_was_put_back),
		T(test_reboot),
		T(test_disk_that_fails),
		T(test_quiet_restart),
		T(test_record_goes),
		T(test_inventory),
		T(test_depends_on_an_import),
		T(test_rejection_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
