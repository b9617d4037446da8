/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several values in one answer: each with its own verdict and record, and none
 * before all records are durable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/now.h"
#include "base/util.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "serve_world.h"

#define VALUE_1 "the-value-1"
#define BOTH "{\"t1\":\"the-value-1\",\"t2\":\"other \\\"2\\\"\"}\n"

/* t1 and t2 have a value, and this process may have both. */
static void
both_ready(struct world *w)
{
	world_ready(w);
	world_rule(w, getuid(), "t2", false);
	fake_broker_set(w->broker, "t2", "other \"2\"", 5,
	    now_real_s() + 7200);
}

static void
body_is(const struct answer *a, const char *want)
{
	if (a->status != 200)
		fail_msg("not 200: %s", a->text);
	assert_string_equal(answer_body(a), want);
	assert_int_equal(atoi(answer_field(a, "Content-Length")),
	    strlen(want));
	assert_string_equal(answer_field(a, "Cache-Control"), "no-store");
}

static void
gives_what_one_may_have(void **state)
{
	struct world *w = *state;
	struct answer a;

	a = world_once(w, "api", "GET secrets", NULL, NULL);
	body_is(&a, "{}\n");
	assert_string_equal(fake_audit_take(), "");
	world_ready(w);
	fake_broker_set(w->broker, "t2", "denied", 1, now_real_s() + 60);
	a = world_once(w, "api", "GET secrets", NULL, NULL);
	body_is(&a, "{\"t1\":\"" VALUE_1 "\"}\n");
	assert_string_equal(fake_audit_take(),
	    "authorised t1/1 c:1 by secrets\nsent t1/1 by secrets\n");
	both_ready(w);
	a = world_once(w, "api", "GET secrets", NULL, NULL);
	body_is(&a, BOTH);
	assert_string_equal(fake_audit_take(),
	    "authorised t1/1 c:1 by secrets\nauthorised t2/5 c:3 by secrets\n"
	    "sent t1/1 by secrets\nsent t2/5 by secrets\n");
	assert_int_equal(fake_broker_released(w->broker, "t2", 0,
	    BROKER_SENT), 1);
}

static void
gives_what_is_named(void **state)
{
	struct world *w = *state;
	struct answer a;

	both_ready(w);
	a = world_once(w, "api", "GET secrets?tokens=t2", NULL, NULL);
	body_is(&a, "{\"t2\":\"other \\\"2\\\"\"}\n");
	a = world_once(w, "api", "GET secrets?tokens=t1,t2", NULL, NULL);
	body_is(&a, BOTH);
	fake_audit_take();
	/* all or nothing */
	world_no_rules(w);
	world_ready(w);
	a = world_once(w, "api", "GET secrets?tokens=t1,t2", NULL, NULL);
	answer_must_be(&a, 403, "denied.token");
	assert_string_equal(fake_audit_take(), "denied t2: no rule matches\n");
	a = world_once(w, "api", "GET secrets?tokens=t1,t9", NULL, NULL);
	answer_must_be(&a, 403, "denied.token");
	a = world_once(w, "api", "GET secrets?tokens=t1,t1", NULL, NULL);
	answer_must_be(&a, 409, "denied.conflict");
	a = world_once(w, "api", "GET secrets?tokens=a%2Fb", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
}

static void
names_are_what_telegraf_takes(void **state)
{
	struct world *w = *state;
	struct answer a;

	world_rule(w, getuid(), "*", false);
	fake_broker_add(w->broker, "a-b.c");
	fake_broker_set(w->broker, "a-b.c", "v", 1, now_real_s() + 60);
	a = world_once(w, "api", "GET secrets?tokens=a-b.c", NULL, NULL);
	body_is(&a, "{\"a_b_c\":\"v\"}\n");
	fake_broker_add(w->broker, "a_b-c");
	fake_broker_set(w->broker, "a_b-c", "u", 1, now_real_s() + 60);
	fake_audit_take();
	a = world_once(w, "api", "GET secrets", NULL, NULL);
	answer_must_be(&a, 409, "denied.conflict");
	assert_non_null(strstr(a.text, "a_b_c"));
	assert_string_equal(fake_audit_take(), "");
}

/* ------------------------------------------------------------- no value yet */

static void
waits_for_all_of_them(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	both_ready(w);
	fake_broker_unset(w->broker, "t1");
	fake_broker_unset(w->broker, "t2");
	a = world_ask(w, fd, "GET secrets", NULL, NULL);
	assert_int_equal(a.status, 0);
	assert_int_equal(fake_broker_waiters(w->broker), 2);
	fake_broker_set(w->broker, "t2", "other \"2\"", 5,
	    now_real_s() + 7200);
	assert_int_equal(world_read(w, fd).status, 0);
	fake_broker_set(w->broker, "t1", VALUE_1, 1, now_real_s() + 7200);
	a = world_read(w, fd);
	body_is(&a, BOTH);
	close(fd);
}

/* What was allowed when it was asked for may be denied when it is there. */
static void
judges_again_behind_a_wait(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	both_ready(w);
	fake_broker_unset(w->broker, "t1");
	world_ask(w, fd, "GET secrets", NULL, NULL);
	world_no_rules(w);
	world_rule(w, getuid(), "t1", false);
	fake_broker_set(w->broker, "t1", VALUE_1, 1, now_real_s() + 7200);
	a = world_read(w, fd);
	body_is(&a, "{\"t1\":\"" VALUE_1 "\"}\n");
	fake_broker_unset(w->broker, "t1");
	world_ask(w, fd, "GET secrets?tokens=t1", NULL, NULL);
	world_no_rules(w);
	fake_broker_set(w->broker, "t1", VALUE_1, 2, now_real_s() + 7200);
	a = world_read(w, fd);
	answer_must_be(&a, 403, "denied.token");
	close(fd);
}

/* One that nobody named keeps the others from nobody. */
static void
leaves_out_what_is_not_there(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	both_ready(w);
	fake_broker_unset(w->broker, "t2");
	world_ask(w, fd, "GET secrets", NULL, NULL);
	fake_broker_fail(w->broker, "t2", TB_E_LOGIN, "log in", 0);
	a = world_read(w, fd);
	body_is(&a, "{\"t1\":\"" VALUE_1 "\"}\n");
	fake_broker_fail(w->broker, "t2", TB_OK, "", 0);
	fake_audit_take();
	/* also when it takes too long */
	world_ask(w, fd, "GET secrets", NULL, NULL);
	fake_evloop_advance(20500);
	a = world_read(w, fd);
	body_is(&a, "{\"t1\":\"" VALUE_1 "\"}\n");
	assert_int_equal(fake_broker_waiters(w->broker), 0);
	/* named, it is missed */
	world_ask(w, fd, "GET secrets?tokens=t1,t2", NULL, NULL);
	fake_broker_fail(w->broker, "t2", TB_E_LOGIN, "log in", 0);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "human_needed.login");
	assert_null(strstr(a.text, VALUE_1));
	close(fd);
}

static void
says_when_there_is_nothing_at_all(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	fake_broker_unset(w->broker, "t1");
	world_ask(w, fd, "GET secrets", NULL, NULL);
	fake_evloop_advance(20500);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.timeout");
	world_ask(w, fd, "GET secrets", NULL, NULL);
	serve_stop_accepting(w->serve);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.stopping");
	close(fd);
}

static void
forgets_who_went_away(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");

	both_ready(w);
	fake_broker_unset(w->broker, "t1");
	world_ask(w, fd, "GET secrets", NULL, NULL);
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_broker_waiters(w->broker), 0);
	assert_string_equal(fake_audit_take(), "");
}

static void
counts_the_rate(void **state)
{
	struct world *w = *state;
	struct answer a;

	both_ready(w);
	w->rule_list[0]->rate_count = 2;
	w->rule_list[1]->rate_count = 1;
	w->rule_list[0]->rate_period_s = w->rule_list[1]->rate_period_s = 60;
	a = world_once(w, "api", "GET secrets", NULL, NULL);
	body_is(&a, BOTH);
	fake_audit_take();
	a = world_once(w, "api", "GET secrets", NULL, NULL);
	answer_must_be(&a, 429, "unavailable.rate");
	assert_string_equal(fake_audit_take(), "");
	/* who was refused has used up nothing of the other rule */
	w->rule_list[1]->rate_count = 0;
	a = world_once(w, "api", "GET secrets", NULL, NULL);
	body_is(&a, BOTH);
}

/* It would never be given. */
static void
says_that_a_rate_is_too_small(void **state)
{
	struct world *w = *state;
	struct acl_rule *r;
	struct answer a;

	both_ready(w);
	world_no_rules(w);
	r = world_rule(w, getuid(), "t*", false);
	r->rate_count = 1;
	r->rate_period_s = 60;
	a = world_once(w, "api", "GET secrets", NULL, NULL);
	answer_must_be(&a, 429, "unavailable.rate");
	assert_non_null(strstr(a.text, "more tokens come with each answer"));
	a = world_once(w, "api", "GET tokens/t1", NULL, NULL);
	assert_int_equal(a.status, 200);
	a = world_once(w, "api", "GET secrets", NULL, NULL);
	assert_non_null(strstr(a.text, "more tokens come with each answer"));
}

/* ------------------------------------------------------------------ records */

static void
waits_for_every_record(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	both_ready(w);
	fake_audit_strict(w->audit, true);
	fake_audit_hold(true);
	a = world_ask(w, fd, "GET secrets", NULL, NULL);
	assert_int_equal(a.status, 0);
	assert_int_equal(fake_audit_pending(), 2);
	fake_audit_hold(false);
	a = world_read(w, fd);
	body_is(&a, BOTH);
	/* one record that fails is enough */
	fake_audit_take();
	fake_audit_fail_second();
	a = world_ask(w, fd, "GET secrets", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.audit");
	assert_string_equal(fake_audit_take(),
	    "authorised t1/1 c:1 by secrets\nauthorised t2/5 c:2 by secrets\n"
	    "withheld t1/1: no durable record\n"
	    "withheld t2/5: no durable record\n");
	fake_audit_behind(true);
	a = world_ask(w, fd, "GET secrets", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.audit");
	fake_audit_behind(false);
	close(fd);
}

/* While the disk is waited for, the world moves on. */
static void
looks_again_behind_the_disk(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	both_ready(w);
	fake_audit_strict(w->audit, true);
	fake_audit_hold(true);
	world_ask(w, fd, "GET secrets", NULL, NULL);
	fake_broker_set(w->broker, "t1", "the-value-2", 2,
	    now_real_s() + 7200);
	fake_audit_hold(false);
	a = world_read(w, fd);
	body_is(&a, "{\"t1\":\"the-value-2\",\"t2\":\"other \\\"2\\\"\"}\n");
	assert_string_equal(fake_audit_take(),
	    "authorised t1/1 c:1 by secrets\nauthorised t2/5 c:2 by secrets\n"
	    "withheld t1/1: superseded\nwithheld t2/5: superseded\n"
	    "authorised t1/2 c:1 by secrets\nauthorised t2/5 c:2 by secrets\n"
	    "sent t1/2 by secrets\nsent t2/5 by secrets\n");
	/* and the rules */
	fake_audit_hold(true);
	world_ask(w, fd, "GET secrets", NULL, NULL);
	world_no_rules(w);
	world_rule(w, getuid(), "t1", false);
	fake_audit_take();
	fake_audit_hold(false);
	a = world_read(w, fd);
	body_is(&a, "{\"t1\":\"the-value-2\"}\n");
	assert_string_equal(fake_audit_take(),
	    "withheld t1/2: rule changed\nwithheld t2/5: rule changed\n"
	    "authorised t1/2 c:1 by secrets\nsent t1/2 by secrets\n");
	close(fd);
}

/* The client does not read: nothing counts as sent before it left. */
static void
notes_what_did_not_leave(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api"), i;
	const char *audit = NULL;

	both_ready(w);
	fake_evloop_run();
	for (i = 0; i < 20000; i++) {
		fake_audit_take();
		world_send(fd, "GET secrets", NULL, NULL);
		fake_evloop_run();
		audit = fake_audit_take();
		if (!strstr(audit, "sent"))
			break;
	}
	assert_string_equal(audit, "authorised t1/1 c:1 by secrets\n"
	    "authorised t2/5 c:2 by secrets\n");
	fake_evloop_advance(12000);
	assert_string_equal(fake_audit_take(),
	    "withheld t1/1: client does not read\n"
	    "withheld t2/5: client does not read\n");
	close(fd);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(gives_what_one_may_have),
		T(gives_what_is_named),
		T(names_are_what_telegraf_takes),
		T(waits_for_all_of_them),
		T(judges_again_behind_a_wait),
		T(leaves_out_what_is_not_there),
		T(says_when_there_is_nothing_at_all),
		T(forgets_who_went_away),
		T(counts_the_rate),
		T(says_that_a_rate_is_too_small),
		T(waits_for_every_record),
		T(looks_again_behind_the_disk),
		T(notes_what_did_not_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
