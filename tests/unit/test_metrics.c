/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the doors count, how it is shown, the file for others, and whether the
 * daemon is well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "fake_now.h"
#include "serve/counts.h"
#include "serve_world.h"

#define LATER (FAKE_NOW_REAL_S + 3600)

static struct answer
metrics(struct world *w)
{
	return world_once(w, "admin", "GET metrics", NULL, NULL);
}

/* -1: there is no such line. */
static long
value(struct world *w, const char *name)
{
	static struct answer a;
	char *want = xasprintf("\n%s ", name);
	const char *at;
	long v = -1;

	a = metrics(w);
	assert_int_equal(a.status, 200);
	at = strstr(a.text, want);
	if (at)
		v = strtol(at + strlen(want), NULL, 10);
	free(want);
	return v;
}

static void
shows_metrics(void **state)
{
	struct world *w = *state;
	struct answer a = metrics(w);

	assert_int_equal(a.status, 200);
	assert_string_equal(answer_field(&a, "Content-Type"),
	    "application/openmetrics-text; version=1.0.0; charset=utf-8");
	assert_non_null(strstr(a.text, "\ntokenbroker_build_info{"
	    "version=\"1.2.3\"} 1\n"));
	assert_non_null(strstr(a.text, "\ntokenbroker_fake 2\n"));
	assert_string_equal(a.text + a.len - 6, "# EOF\n");
	a = world_once(w, "api", "GET metrics", NULL, NULL);
	answer_must_be(&a, 404, "denied.route");
}

static void
counts_releases(void **state)
{
	struct world *w = *state;
	struct answer a;

	world_ready(w);
	a = world_once(w, "api", "GET tokens/t1", NULL, NULL);
	assert_int_equal(a.status, 200);
	a = world_once(w, "api", "GET tokens/t1", NULL, NULL);
	assert_int_equal(a.status, 200);
	a = world_once(w, "api", "GET tokens/t1", "If-None-Match: \"1\"\r\n",
	    NULL);
	assert_int_equal(a.status, 304);
	a = world_once(w, "api", "GET tokens/t2", NULL, NULL);
	answer_must_be(&a, 403, "denied.token");
	assert_int_equal(fake_broker_released(w->broker, "t1", 0,
	    BROKER_SENT), 2);
	assert_int_equal(fake_broker_released(w->broker, "t1", 0,
	    BROKER_NOT_MODIFIED), 1);
	assert_int_equal(value(w, "tokenbroker_denials_total{door=\"api\"}"),
	    1);
	/* strict, and the record fails: withheld */
	fake_audit_strict(w->audit, true);
	fake_audit_fail();
	a = world_once(w, "api", "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.audit");
	assert_int_equal(fake_broker_released(w->broker, "t1", 0,
	    BROKER_WITHHELD), 1);
	/* allowed, and nothing there */
	fake_broker_unset(w->broker, "t1");
	a = world_once(w, "api", "GET tokens/t1", "Prefer: wait=0\r\n", NULL);
	answer_must_be(&a, 503, "unavailable.timeout");
	assert_int_equal(fake_broker_released(w->broker, "t1", 0,
	    BROKER_UNAVAILABLE), 1);
}

static void
counts_connections_and_watches(void **state)
{
	struct world *w = *state;
	int idle = world_connect(w, "api"), watch = world_connect(w, "api");

	world_ready(w);
	world_send(watch, "GET tokens/t1", "If-None-Match: \"1\"\r\n"
	    "Prefer: wait=600\r\n", NULL);
	assert_int_equal(world_read(w, watch).status, 0);
	assert_int_equal(value(w, "tokenbroker_connections{door=\"api\"}"), 2);
	assert_int_equal(value(w, "tokenbroker_connections{door=\"admin\"}"),
	    1);
	assert_int_equal(value(w, "tokenbroker_watches"), 1);
	fake_broker_set(w->broker, "t1", "apiv1_two", 2, LATER);
	assert_int_equal(world_read(w, watch).status, 200);
	assert_int_equal(value(w, "tokenbroker_watches"), 0);
	/* one that is left is over, too */
	world_send(watch, "GET tokens/t1", "If-None-Match: \"2\"\r\n"
	    "Prefer: wait=600\r\n", NULL);
	assert_int_equal(world_read(w, watch).status, 0);
	assert_int_equal(value(w, "tokenbroker_watches"), 1);
	close(watch);
	close(idle);
	fake_evloop_run();
	assert_int_equal(value(w, "tokenbroker_watches"), 0);
	assert_int_equal(value(w, "tokenbroker_connections{door=\"api\"}"), 0);
}

#define TOOK "tokenbroker_request_duration_seconds"

/* At once counts as nothing, what waited as long as it took, and a watch not
 * at all. */
static void
times_requests(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "api");

	world_ready(w);
	world_ask(w, fd, "GET self", NULL, NULL);
	assert_int_equal(value(w, TOOK "_bucket{door=\"api\",le=\"0.001\"}"),
	    1);
	fake_broker_unset(w->broker, "t1");
	world_send(fd, "GET tokens/t1", NULL, NULL);
	assert_int_equal(world_read(w, fd).status, 0);
	fake_evloop_advance(3000);
	fake_broker_set(w->broker, "t1", "apiv1_two", 2, LATER);
	assert_int_equal(world_read(w, fd).status, 200);
	assert_int_equal(value(w, TOOK "_bucket{door=\"api\",le=\"2.5\"}"), 1);
	assert_int_equal(value(w, TOOK "_bucket{door=\"api\",le=\"5.0\"}"), 2);
	assert_int_equal(value(w, TOOK "_sum{door=\"api\"}"), 3);
	world_send(fd, "GET tokens/t1", "If-None-Match: \"2\"\r\n"
	    "Prefer: wait=600\r\n", NULL);
	fake_evloop_advance(7000);
	fake_broker_set(w->broker, "t1", "apiv1_three", 3, LATER);
	assert_int_equal(world_read(w, fd).status, 200);
	assert_int_equal(value(w, TOOK "_count{door=\"api\"}"), 2);
	/* the next one is timed again */
	world_ask(w, fd, "GET self", NULL, NULL);
	assert_int_equal(value(w, TOOK "_count{door=\"api\"}"), 3);
	close(fd);
}

static void
sorts_times(void **state)
{
	struct counts_door d = { .took_ms = 0 };

	counts_took(&d, 0);
	counts_took(&d, 1);
	counts_took(&d, 2);
	counts_took(&d, 60000);
	counts_took(&d, 60001);
	counts_took(&d, 3600000);
	assert_int_equal(d.took[0], 2);
	assert_int_equal(d.took[1], 1);
	assert_int_equal(d.took[COUNTS_BOUNDS - 1], 1);
	assert_int_equal(d.took[COUNTS_BOUNDS], 2);
	assert_int_equal(d.took_ms, 0 + 1 + 2 + 60000 + 60001 + 3600000);
	assert_int_equal(counts_index(ACL_DOOR_API), 0);
	assert_int_equal(counts_index(ACL_DOOR_CREDENTIAL), 1);
	assert_int_equal(counts_index(ACL_DOOR_ADMIN), 2);
}

/* One file at a time: while the disk stalls, no queue grows. */
static void
writes_the_file(void **state)
{
	struct world *w = *state;
	char path[] = "/nowhere/tokenbroker.prom";
	const char *text;

	assert_null(fake_audit_file(&text));
	w->conf.metrics_file = path;
	w->conf.metrics_interval_ms = 15000;
	serve_reconfigure(w->serve, &w->conf);
	fake_evloop_advance(100);
	assert_string_equal(fake_audit_file(&text), path);
	assert_non_null(strstr(text, "# TYPE tokenbroker_denials_total counter"
	    "\n"));
	assert_null(strstr(text, "EOF"));
	fake_audit_hold(true);
	fake_evloop_advance(20000);
	assert_int_equal(fake_audit_pending(), 1);
	fake_evloop_advance(60000);
	assert_int_equal(fake_audit_pending(), 1);
	fake_audit_hold(false);
	fake_evloop_run();
	fake_audit_fail();
	fake_evloop_advance(40000);
	/* a reload without it ends it */
	w->conf.metrics_file = NULL;
	serve_reconfigure(w->serve, &w->conf);
	fake_audit_hold(true);
	fake_evloop_advance(60000);
	assert_int_equal(fake_audit_pending(), 0);
	fake_audit_hold(false);
}

static void
tells_its_health(void **state)
{
	struct world *w = *state;
	struct answer a;

	a = world_once(w, "api", "GET health", NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_body(&a), "{\"ok\":true}\n");
	assert_int_equal(value(w, "tokenbroker_ready"), 1);
	fake_broker_disk(w->broker, false);
	a = world_once(w, "api", "GET health", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.disk");
	assert_null(strstr(a.text, "disk full"));
	a = world_once(w, "admin", "GET health", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.disk");
	assert_non_null(strstr(a.text, "disk full"));
	a = world_once(w, "api", "GET health?live=1", NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(value(w, "tokenbroker_ready"), 0);
	a = world_once(w, "api", "GET health?live=2", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		T(shows_metrics),
		T(counts_releases),
		T(counts_connections_and_watches),
		T(times_requests),
		cmocka_unit_test(sorts_times),
		T(writes_the_file),
		T(tells_its_health),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
