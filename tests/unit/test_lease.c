/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases on the api door: bound to their connection, and to nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "serve_world.h"

static char *
name_of(unsigned number)
{
	static char name[64];

	snprintf(name, sizeof(name), "t1@lease:%u:uid:%u", number,
	    (unsigned)getuid());
	return name;
}

static void
assert_job(struct world *w, const char *verb, unsigned number)
{
	char want[96];

	snprintf(want, sizeof(want), "%s %s", verb, name_of(number));
	assert_string_equal(fake_broker_job(w->broker), want);
}

/* A connection with a lease of t1. */
static int
leased(struct world *w)
{
	int fd = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	a = world_ask(w, fd, "POST tokens/t1/lease", NULL, NULL);
	assert_int_equal(a.status, 201);
	assert_non_null(strstr(answer_body(&a), "\"lease\":1"));
	assert_string_equal(fake_broker_job(w->broker), "lease t1 0");
	return fd;
}

static void
releases_a_value_of_its_own(void **state)
{
	struct world *w = *state;
	int fd = leased(w);
	struct answer a;
	char want[192];

	fake_broker_set(w->broker, name_of(1), "own-value", 1,
	    now_real_s() + 7200);
	a = world_ask(w, fd, "GET tokens/t1/lease",
	    "Accept: text/plain\r\nX-Tokenbroker-Delivery: memfd\r\n", NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_body(&a), "own-value");
	snprintf(want, sizeof(want), "authorised %s/1 c:1 by memfd\n"
	    "sent %s/1 by memfd\n", name_of(1), name_of(1));
	assert_string_equal(fake_audit_take(), want);
	/* and everybody's is everybody's still */
	a = world_ask(w, fd, "GET tokens/t1", "Accept: text/plain\r\n", NULL);
	assert_string_equal(answer_body(&a), "the-value-1");
	close(fd);
}

/* Never, while it is made, everybody's value in its place. */
static void
waits_for_its_own(void **state)
{
	struct world *w = *state;
	int fd = leased(w);

	world_send(fd, "GET tokens/t1/lease", "Accept: text/plain\r\n", NULL);
	assert_int_equal(world_read(w, fd).status, 0);
	fake_broker_set(w->broker, name_of(1), "own-value", 1,
	    now_real_s() + 7200);
	fake_audit_take();
	assert_string_equal(answer_body(&(struct answer[]){
	    world_read(w, fd) }[0]), "own-value");
	close(fd);
}

static void
ends_with_its_connection(void **state)
{
	struct world *w = *state;
	int fd = leased(w);

	close(fd);
	fake_evloop_advance(10);
	assert_job(w, "end", 1);
	assert_false(fake_broker_job_end(w->broker, NULL, NULL));
}

/* ... and not because nothing is asked for a day. */
static void
does_not_end_because_it_is_quiet(void **state)
{
	struct world *w = *state;
	int fd = leased(w), other = world_connect(w, "api");

	fake_evloop_advance(24 * 3600 * 1000);
	assert_true(world_is_closed(w, other));
	assert_int_equal(world_ask(w, fd, "GET self", NULL, NULL).status, 200);
	assert_string_equal(fake_broker_job(w->broker), "lease t1 0");
	close(other);
	close(fd);
}

static void
is_not_over_because_the_daemon_stops(void **state)
{
	struct world *w = *state;
	int fd = leased(w);

	world_restart(w);
	assert_string_equal(fake_broker_job(w->broker), "lease t1 0");
	close(fd);
	fd = world_connect(w, "api");
	assert_int_equal(world_ask(w, fd, "POST tokens/t1/lease?resume=1",
	    NULL, NULL).status, 200);
	assert_string_equal(fake_broker_job(w->broker), "lease t1 1");
	close(fd);
	fake_evloop_advance(10);
	assert_job(w, "end", 1);
	fake_broker_job_end(w->broker, NULL, NULL);
}

static void
tells_how_its_end_went(void **state)
{
	struct world *w = *state;
	int fd = leased(w);
	struct answer a;

	world_send(fd, "DELETE tokens/t1/lease", NULL, NULL);
	assert_int_equal(world_read(w, fd).status, 0);
	assert_job(w, "end", 1);
	assert_true(fake_broker_job_end(w->broker,
	    json_pack("{s:i,s:i}", "revoked", 1, "failed", 0), NULL));
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(answer_body(&a), "\"revoked\":1"));
	/* it is over: the end of the connection says nothing more */
	a = world_ask(w, fd, "POST tokens/t1/lease", NULL, NULL);
	assert_int_equal(a.status, 201);
	close(fd);
}

/* The work is the daemon's; whoever waited for it may go. */
static void
ends_though_nobody_waits(void **state)
{
	struct world *w = *state;
	int fd = leased(w);

	world_send(fd, "DELETE tokens/t1/lease", NULL, NULL);
	world_read(w, fd);
	close(fd);
	fake_evloop_advance(10);
	assert_job(w, "end", 1);
	assert_false(fake_broker_job_end(w->broker, json_object(), NULL));
}

static void
takes_long_to_end(void **state)
{
	struct world *w = *state;
	int fd = leased(w);
	struct answer a;

	world_send(fd, "DELETE tokens/t1/lease", NULL, NULL);
	fake_evloop_advance(31000);
	a = world_read(w, fd);
	assert_int_equal(a.status, 202);
	assert_false(fake_broker_job_end(w->broker, json_object(), NULL));
	close(fd);
}

static void
refuses(void **state)
{
	static const struct {
		const char *request, *fields;
		int status;
		const char *code;
	} cases[] = {
		{ "GET tokens/t1/lease", NULL, 409, "denied.conflict" },
		{ "DELETE tokens/t1/lease", NULL, 409, "denied.conflict" },
		{ "POST tokens/t2/lease", NULL, 403, "denied.token" },
		{ "POST tokens/t1@lease:1:uid:0/lease", NULL, 403,
		    "denied.token" },
		{ "POST tokens/t1/lease?resume=0", NULL, 400,
		    "denied.bad_request" },
		{ "POST tokens/t1/lease?resume=x", NULL, 400,
		    "denied.bad_request" },
		{ "POST tokens/t1/lease?resume=100001", NULL, 400,
		    "denied.bad_request" },
		{ "POST tokens/t1/lease", "Connection: close\r\n", 400,
		    "denied.bad_request" },
	};
	struct world *w = *state;
	struct answer a;
	char job[96];

	world_ready(w);
	snprintf(job, sizeof(job), "%s", fake_broker_job(w->broker));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		a = world_once(w, "api", cases[i].request, cases[i].fields,
		    NULL);
		answer_must_be(&a, cases[i].status, cases[i].code);
	}
	assert_string_equal(fake_broker_job(w->broker), job);
}

static void
has_one_of_one_token(void **state)
{
	struct world *w = *state;
	int fd = leased(w);
	struct answer a;

	a = world_ask(w, fd, "POST tokens/t1/lease", NULL, NULL);
	answer_must_be(&a, 409, "denied.conflict");
	a = world_ask(w, fd, "GET tokens/t2/lease", NULL, NULL);
	answer_must_be(&a, 409, "denied.conflict");
	a = world_ask(w, fd, "DELETE tokens/t2/lease", NULL, NULL);
	answer_must_be(&a, 409, "denied.conflict");
	close(fd);
}

static void
says_why_there_is_none(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");
	struct answer a;

	world_ready(w);
	fake_broker_refuse_lease(w->broker, TB_E_LIMIT, "all are taken");
	a = world_ask(w, fd, "POST tokens/t1/lease", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.limit");
	fake_broker_refuse_lease(w->broker, TB_E_BADREQ, "it has none");
	a = world_ask(w, fd, "POST tokens/t1/lease", NULL, NULL);
	answer_must_be(&a, 409, "denied.conflict");
	close(fd);
	fake_evloop_advance(10);
	assert_string_equal(fake_broker_job(w->broker), "lease t1 0");
}

/* Whoever may not have the token any more gets no value, but its end is
 * still due. */
static void
obeys_the_rules_of_now(void **state)
{
	struct world *w = *state;
	int fd = leased(w);
	struct answer a;

	fake_broker_set(w->broker, name_of(1), "own-value", 1,
	    now_real_s() + 7200);
	world_no_rules(w);
	a = world_ask(w, fd, "GET tokens/t1/lease", NULL, NULL);
	answer_must_be(&a, 403, "denied.token");
	close(fd);
	fake_evloop_advance(10);
	assert_job(w, "end", 1);
	fake_broker_job_end(w->broker, NULL, NULL);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, \
	world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(releases_a_value_of_its_own),
		TEST(waits_for_its_own),
		TEST(ends_with_its_connection),
		TEST(does_not_end_because_it_is_quiet),
		TEST(is_not_over_because_the_daemon_stops),
		TEST(tells_how_its_end_went),
		TEST(ends_though_nobody_waits),
		TEST(takes_long_to_end),
		TEST(refuses),
		TEST(has_one_of_one_token),
		TEST(says_why_there_is_none),
		TEST(obeys_the_rules_of_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
