/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Releases and their records: nothing before its record, every one judged
 * again behind it, and what did not leave is not noted as sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
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
#define VALUE_2 "the-value-2"

static void
assert_audit(const char *want)
{
	assert_string_equal(fake_audit_take(), want);
}

static void
set_2(struct world *w)
{
	fake_broker_set(w->broker, "t1", VALUE_2, 2, now_real_s() + 7200);
}

static void
releases_nothing_before_its_record(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	fake_audit_strict(w->audit, true);
	world_ready(w);
	fake_audit_hold(true);
	assert_int_equal(world_ask(w, fd, "GET tokens/t1", NULL, NULL).status,
	    0);
	assert_audit("authorised t1/1 c:1\n");
	fake_evloop_advance(5000);
	assert_int_equal(world_read(w, fd).status, 0);
	fake_audit_hold(false);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, VALUE_1));
	assert_audit("sent t1/1\n");
	close(fd);
}

static void
withholds_without_a_record(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	fake_audit_strict(w->audit, true);
	world_ready(w);
	fake_audit_fail();
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.audit");
	assert_null(strstr(a.text, VALUE_1));
	assert_audit("authorised t1/1 c:1\n"
	    "withheld t1/1: no durable record\n");
	/* a disk that does not answer */
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	fake_evloop_advance(32000);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.audit");
	assert_audit("authorised t1/1 c:1\n"
	    "withheld t1/1: no durable record in time\n");
	fake_audit_hold(false);
	fake_evloop_run();
	assert_int_equal(world_read(w, fd).status, 0);
	close(fd);
}

/* Or who asks and goes away, again and again, fills the memory with records. */
static void
lets_nobody_wait_for_a_disk_that_is_behind(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	fake_audit_strict(w->audit, true);
	world_ready(w);
	fake_audit_behind(true);
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.audit");
	assert_audit("");
	fake_audit_behind(false);
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_audit("authorised t1/1 c:1\nsent t1/1\n");
	close(fd);
}

static void
withholds_from_who_went_away(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");

	fake_audit_strict(w->audit, true);
	world_ready(w);
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	close(fd);
	fake_evloop_run();
	assert_audit("authorised t1/1 c:1\n"
	    "withheld t1/1: client went away\n");
	assert_int_equal(fake_audit_pending(), 0);
	fake_audit_hold(false);
	fake_evloop_run();
	assert_audit("");
	/* at the end of the daemon as well */
	fd = world_connect(w, "api");
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	serve_stop_accepting(w->serve);
	serve_free(w->serve);
	w->serve = NULL;
	assert_audit("authorised t1/1 c:1\n"
	    "withheld t1/1: client went away\n");
	close(fd);
}

static void
answers_who_only_closed_its_writing_side(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	fake_audit_strict(w->audit, true);
	world_ready(w);
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	shutdown(fd, SHUT_WR);
	fake_evloop_run();
	fake_audit_hold(false);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_field(&a, "Connection"), "close");
	assert_true(world_is_closed(w, fd));
	close(fd);
	/* and when it goes away then, that is noticed */
	fd = world_connect(w, "api");
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	shutdown(fd, SHUT_WR);
	fake_evloop_run();
	assert_int_equal(fake_audit_pending(), 1);
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_audit_pending(), 0);
}

static void
judges_again_at_the_last_gate(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	fake_audit_strict(w->audit, true);
	world_ready(w);
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	world_no_rules(w);
	fake_audit_hold(false);
	a = world_read(w, fd);
	answer_must_be(&a, 403, "denied.token");
	assert_audit("authorised t1/1 c:1\nwithheld t1/1: rule changed\n"
	    "denied t1: no rule matches\n");
	/* a newer value needs a record of its own, and is the same request */
	world_ready(w);
	w->rule_list[0]->rate_count = 1;
	w->rule_list[0]->rate_period_s = 60;
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	set_2(w);
	fake_audit_hold(false);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, VALUE_2));
	assert_audit("authorised t1/1 c:1\nwithheld t1/1: superseded\n"
	    "authorised t1/2 c:1\nsent t1/2\n");
	w->rule_list[0]->rate_count = 0;
	/* revoked meanwhile */
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	fake_broker_unset(w->broker, "t1");
	fake_audit_hold(false);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.timeout");
	assert_audit("authorised t1/2 c:1\n"
	    "withheld t1/2: no longer valid\n");
	close(fd);
}

static void
refuses_pipelining_while_it_waits(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	fake_audit_strict(w->audit, true);
	world_ready(w);
	fake_audit_hold(true);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	a = world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	assert_audit("authorised t1/1 c:1\n"
	    "withheld t1/1: client went away\n");
	fake_audit_hold(false);
	fake_evloop_run();
	assert_true(world_is_closed(w, fd));
	close(fd);
}

/* The client does not read: nothing counts as sent before it left. */
static void
notes_what_did_not_leave(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api"), i, small = 1;
	const char *audit, *last;

	world_ready(w);
	fake_evloop_run();
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (i = 0; i < 20000; i++) {
		fake_audit_take();
		world_send(fd, "GET tokens/t1", NULL, NULL);
		fake_evloop_run();
		audit = fake_audit_take();
		if (!strstr(audit, "sent"))
			break;
	}
	assert_string_equal(audit, "authorised t1/1 c:1\n");
	fake_evloop_advance(12000);
	last = fake_audit_take();
	assert_string_equal(last, "withheld t1/1: client does not read\n");
	close(fd);
}

/* Records are told to be the same only while they are: the audit does not look
 * at them again. */
static void
numbers_records_that_are_the_same(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api"), other = world_connect(w, "api");
	uint64_t first, second;

	world_ready(w);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(fake_audit_last_same(), 0);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	first = fake_audit_last_same();
	assert_int_not_equal(first, 0);
	/* one process, one peer */
	world_ask(w, other, "GET tokens/t1", NULL, NULL);
	assert_int_equal(fake_audit_last_same(), first);
	set_2(w);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(fake_audit_last_same(), 0);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	second = fake_audit_last_same();
	assert_int_not_equal(second, 0);
	assert_int_not_equal(second, first);
	/* nor is its end the same by a clock that was set */
	fake_broker_shift(w->broker, "t1", now_real_s() + 10800);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(fake_audit_last_same(), 0);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_not_equal(fake_audit_last_same(), second);
	second = fake_audit_last_same();
	assert_int_not_equal(second, 0);
	/* the rules may be others */
	serve_reconfigure(w->serve, &w->conf);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(fake_audit_last_same(), 0);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_not_equal(fake_audit_last_same(), second);
	close(fd);
	close(other);
}

static void
nothing_is_recorded_yet(void)
{
	assert_int_equal(fake_audit_pending(), 0);
}

/* What is written down of a new holder comes before the record that the
 * release waits for. */
static void
tells_of_a_holder_before_its_record(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	const char *last;
	char want[128];

	fake_audit_strict(w->audit, true);
	world_ready(w);
	fake_audit_hold(true);
	fake_broker_on_hold(w->broker, nothing_is_recorded_yet);
	world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(fake_audit_pending(), 1);
	assert_int_equal(fake_broker_holds(w->broker, &last), 1);
	snprintf(want, sizeof(want), "t1 1 uid=%lu door=0",
	    (unsigned long)getuid());
	assert_string_equal(last, want);
	fake_audit_hold(false);
	assert_int_equal(world_read(w, fd).status, 200);
	assert_int_equal(fake_broker_holds(w->broker, NULL), 1);
	close(fd);
}

/* Once for a client and a generation, however often it asks; and whenever it
 * says what it does with it. */
static void
tells_of_a_holder_once(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	const char *last;

	world_ready(w);
	for (int i = 0; i < 5; i++)
		assert_int_equal(world_ask(w, fd, "GET tokens/t1", NULL,
		    NULL).status, 200);
	assert_int_equal(fake_broker_holds(w->broker, NULL), 1);
	set_2(w);
	for (int i = 0; i < 5; i++)
		world_ask(w, fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(fake_broker_holds(w->broker, &last), 2);
	assert_non_null(strstr(last, "t1 2 "));
	world_ask(w, fd, "GET tokens/t1",
	    "X-Tokenbroker-Delivery: stdout\r\n", NULL);
	assert_int_equal(fake_broker_holds(w->broker, &last), 3);
	assert_non_null(strstr(last, "door=0 stdout"));
	close(fd);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(releases_nothing_before_its_record),
		T(withholds_without_a_record),
		T(lets_nobody_wait_for_a_disk_that_is_behind),
		T(withholds_from_who_went_away),
		T(answers_who_only_closed_its_writing_side),
		T(judges_again_at_the_last_gate),
		T(refuses_pipelining_while_it_waits),
		T(notes_what_did_not_leave),
		T(numbers_records_that_are_the_same),
		T(tells_of_a_holder_before_its_record),
		T(tells_of_a_holder_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
