/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin door: who may do what, jobs, explain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/tb_error.h"
#include "base/util.h"
#include "fake_audit.h"
#include "fake_broker.h"
#include "fake_evloop.h"
#include "serve/admin.h"
#include "serve/api.h"
#include "serve_world.h"

#define NOBODY 65534
#define ADMINS 4001
#define AUDITORS 4002

static void
assert_has(const struct answer *a, const char *part)
{
	if (!strstr(a->text, part))
		fail_msg("no %s in: %s", part, a->text);
}

/* -------------------------------------------------------------------- roles */

static void
every_row_has_a_role(void **state)
{
	static const struct door *const doors[] = { &api_door, &admin_door };
	size_t d, i;

	for (d = 0; d < ARRAY_SIZE(doors); d++) {
		assert_true(doors[d]->n_routes > 0);
		for (i = 0; i < doors[d]->n_routes; i++) {
			const struct route *r = &doors[d]->routes[i];

			assert_non_null(r->fn);
			assert_non_null(r->path);
			assert_true(r->role >= ROUTE_ANYBODY &&
			    r->role <= ROUTE_OPERATOR);
			/* what changes something is the operators', and
			 * nothing on the admin door is everybody's */
			if (doors[d] != &admin_door)
				continue;
			assert_int_equal(r->role, r->method == HTTP1_GET ?
			    ROUTE_AUDITOR : ROUTE_OPERATOR);
		}
	}
}

/* Asks as somebody else; the child does nothing but sockets. Returns the
 * status of the answer. */
static int
ask_as(struct world *w, uid_t uid, gid_t gid, gid_t extra,
    const char *request)
{
	int status, ready[2], tries;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		char text[4096];
		int fd, code = 0;
		ssize_t n;

		if (setgroups(extra ? 1 : 0, &extra) < 0 || setgid(gid) < 0 ||
		    setuid(uid) < 0)
			_exit(255);
		fd = world_connect(w, "admin");
		world_send(fd, request, NULL, NULL);
		(void)!write(ready[1], "x", 1);
		while ((n = recv(fd, text, sizeof(text) - 1, 0)) < 0)
			usleep(1000);
		text[n] = '\0';
		sscanf(text, "HTTP/1.1 %d", &code);
		_exit(code % 255);
	}
	assert_int_equal(read(ready[0], &status, 1), 1);
	for (tries = 0; waitpid(pid, &status, WNOHANG) == 0; tries++) {
		assert_true(tries < 5000);
		fake_evloop_run();
		usleep(1000);
	}
	close(ready[0]);
	close(ready[1]);
	return WEXITSTATUS(status);
}

static void
gives_each_role_its_own(void **state)
{
	static const struct {
		uid_t uid;
		gid_t gid, extra;
		int look, act; /* 403 % 255 is 148, 202 and 200 stay */
	} cases[] = {
		{ 0, 0, 0, 200, 200 },
		{ NOBODY, NOBODY, 0, 148, 148 },
		{ NOBODY, ADMINS, 0, 200, 200 },
		{ NOBODY, NOBODY, ADMINS, 200, 200 },
		{ NOBODY, AUDITORS, 0, 200, 148 },
		{ NOBODY, NOBODY, AUDITORS, 200, 148 },
	};
	struct world *w = *state;
	size_t i;

	if (getuid() != 0)
		skip();
	w->conf.admin_group = (char *)(uintptr_t)"4001";
	w->conf.auditor_group = (char *)(uintptr_t)"4002";
	serve_reconfigure(w->serve, &w->conf);
	assert_int_equal(chmod(w->dir, 0755), 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_audit_take();
		assert_int_equal(ask_as(w, cases[i].uid, cases[i].gid,
		    cases[i].extra, "GET status"), cases[i].look);
		if (cases[i].look != 200)
			assert_string_equal(fake_audit_take(),
			    "denied: neither operator nor auditor\n");
		assert_int_equal(ask_as(w, cases[i].uid, cases[i].gid,
		    cases[i].extra, "POST reload"), cases[i].act);
		assert_string_equal(fake_audit_take(), cases[i].act == 200 ?
		    "admin: reload\n" : "denied: not an operator\n");
	}
	/* groups that do not exist have no members */
	w->conf.admin_group = (char *)(uintptr_t)"no-such-group";
	serve_reconfigure(w->serve, &w->conf);
	assert_int_equal(ask_as(w, NOBODY, (gid_t)ADMINS, 0, "GET status"),
	    148);
}

/* -------------------------------------------------------------------- looks */

static void
tells_its_health(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct answer a;

	a = world_ask(w, fd, "GET health", NULL, NULL);
	assert_string_equal(answer_body(&a), "{\"ok\":true}\n");
	fake_broker_disk(w->broker, false);
	a = world_ask(w, fd, "GET health", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.disk");
	assert_has(&a, "\"detail\":\"disk full\"");
	serve_stop_accepting(w->serve);
	a = world_ask(w, fd, "GET health", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.stopping");
	close(fd);
}

static void
tells_the_status(void **state)
{
	struct world *w = *state;
	struct answer a;

	a = world_once(w, "admin", "GET status", NULL, NULL);
	assert_has(&a, "{\"disk\":{\"ok\":true}}");
	a = world_once(w, "admin", "GET logins", NULL, NULL);
	assert_has(&a, "{\"logins\":[{\"name\":\"ops\"");
	a = world_once(w, "admin", "GET tokens", NULL, NULL);
	assert_has(&a, "{\"tokens\":[{\"name\":\"t1\"},{\"name\":\"t2\"}]}");
	a = world_once(w, "admin", "GET logins/ops", NULL, NULL);
	assert_has(&a, "{\"name\":\"ops\",\"state\":\"granted\"}");
	a = world_once(w, "admin", "GET logins/nope", NULL, NULL);
	answer_must_be(&a, 404, "denied.unknown");
}

static void
never_tells_a_value(void **state)
{
	static const char *const looks[] = { "GET status", "GET tokens",
		"GET explain?self=1", "GET health", "GET logins",
		"GET audit" };
	struct world *w = *state;
	struct answer a;
	size_t i;

	world_ready(w);
	a = world_once(w, "admin", "GET tokens/t1", NULL, NULL);
	answer_must_be(&a, 404, "denied.route");
	for (i = 0; i < ARRAY_SIZE(looks); i++) {
		a = world_once(w, "admin", looks[i], NULL, NULL);
		assert_int_equal(a.status, 200);
		assert_null(strstr(a.text, "the-value"));
	}
}

static void
reloads(void **state)
{
	struct world *w = *state;
	struct answer a;

	a = world_once(w, "admin", "POST reload", NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_int_equal(w->reloads, 1);
	w->reload_error = "/etc/x.conf:12: unknown key 'tokns'";
	a = world_once(w, "admin", "POST reload", NULL, NULL);
	answer_must_be(&a, 422, "denied.configuration");
	assert_has(&a, "/etc/x.conf:12: unknown key 'tokns'");
	assert_string_equal(fake_audit_take(),
	    "admin: reload\nadmin: reload, refused\n");
}

static void
explains(void **state)
{
	struct world *w = *state;
	char request[64], want[64];
	struct answer a;

	world_ready(w);
	a = world_once(w, "admin", "GET explain?self=1", NULL, NULL);
	snprintf(want, sizeof(want), "\"uid\":%u", getuid());
	assert_has(&a, want);
	assert_has(&a, "{\"token\":\"t1\",\"allow\":true,\"where\":\"c:1\","
	    "\"reason\":\"allowed by rule\"}");
	assert_has(&a, "{\"token\":\"t2\",\"allow\":false,"
	    "\"reason\":\"no rule matches\"}");
	snprintf(request, sizeof(request), "GET explain?pid=%d&token=t%%31"
	    "&door=api", getpid());
	a = world_once(w, "admin", request, NULL, NULL);
	snprintf(want, sizeof(want), "\"pid\":%d", getpid());
	assert_has(&a, want);
	assert_has(&a, "\"token\":\"t1\",\"allow\":true");
	assert_null(strstr(a.text, "t2"));
	a = world_once(w, "admin", "GET explain?self=1&token=t9", NULL, NULL);
	assert_has(&a, "\"token\":\"t9\",\"allow\":false");
	/* 2^22 is above what a Linux system gives out */
	a = world_once(w, "admin", "GET explain?pid=4194305", NULL, NULL);
	answer_must_be(&a, 404, "denied.unknown");
	a = world_once(w, "admin", "GET explain", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	a = world_once(w, "admin", "GET explain?self=1&pid=1", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	a = world_once(w, "admin", "GET explain?pid=0", NULL, NULL);
	answer_must_be(&a, 400, "denied.bad_request");
	a = world_once(w, "admin", "GET explain?self=1&door=back", NULL,
	    NULL);
	answer_must_be(&a, 400, "denied.bad_request");
}

/* As systemd would ask for it, whether it runs or not. */
static void
explains_units(void **state)
{
	static char *units[] = { (char *)(uintptr_t)"a*.service" };
	static char *ids[] = { (char *)(uintptr_t)"influx" };
	static char *tokens[] = { (char *)(uintptr_t)"t1" };
	static const char *const bad[] = { "unit=a", "unit=", "unit=a.slice",
		"unit=a%2Fb.service", "unit=a.service&pid=1",
		"unit=a.service&self=1", "unit=a.service&door=api" };
	struct world *w = *state;
	struct acl_rule *r = world_rule(w, 998, "t1", false);
	struct answer a;
	char request[128];
	size_t i;

	r->units = units;
	r->n_units = 1;
	r->credential_ids = ids;
	r->credential_tokens = tokens;
	r->n_credentials = 1;
	a = world_once(w, "admin", "GET explain?unit=a-1.service&token=influx",
	    NULL, NULL);
	assert_has(&a, "\"unit\":\"a-1.service\"");
	assert_has(&a, "{\"token\":\"t1\",\"allow\":true,\"where\":\"c:1\"");
	a = world_once(w, "admin", "GET explain?unit=b.service&token=influx"
	    "&door=credential", NULL, NULL);
	assert_has(&a, "{\"token\":\"influx\",\"allow\":false,"
	    "\"reason\":\"no rule matches\"}");
	/* of a process, its unit */
	a = world_once(w, "admin", "GET explain?self=1&token=t1"
	    "&door=credential", NULL, NULL);
	assert_has(&a, "\"allow\":false");
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(request, sizeof(request), "GET explain?%s", bad[i]);
		a = world_once(w, "admin", request, NULL, NULL);
		answer_must_be(&a, 400, "denied.bad_request");
	}
}

/* -------------------------------------------------------------------- audit */

static void
tells_of_the_audit_log(void **state)
{
	struct world *w = *state;
	struct answer a;
	char hash[65] = { 0 }, want[1024];

	memset(hash, 'a', 64);
	snprintf(want, sizeof(want), "{\"head\":{\"seq\":7,\"hash\":\"%s\"},"
	    "\"keys\":[{\"key\":\"0123456789abcdef\",\"public_key\":\"UFVC\","
	    "\"since\":\"2026-11-22T17:20:00Z\"},{\"key\":"
	    "\"fedcba9876543210\",\"public_key\":\"S0VZ\"}],"
	    "\"files\":[\"audit-00000000000000000003.jsonl\","
	    "\"audit.jsonl\"],\"lost\":4,\"journal_dropped\":2}\n", hash);
	a = world_once(w, "admin", "GET audit", NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_body(&a), want);
	fake_audit_checkpoint("{\"seq\":5,\"hash\":\"b\"}");
	a = world_once(w, "admin", "GET audit", NULL, NULL);
	assert_has(&a, "\"checkpoint\":"
	    "\"{\\\"seq\\\":5,\\\"hash\\\":\\\"b\\\"}\"");
	fake_audit_checkpoint(NULL);
}

static void
makes_a_checkpoint(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct answer a;

	fake_audit_take();
	fake_audit_checkpoint("{\"seq\":8}");
	fake_audit_hold(true);
	a = world_ask(w, fd, "POST audit/checkpoint", NULL, NULL);
	assert_int_equal(a.status, 0); /* not before it is durable */
	assert_string_equal(fake_audit_take(),
	    "admin: checkpoint\ncheckpoint\n");
	fake_audit_hold(false);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_body(&a),
	    "{\"checkpoint\":\"{\\\"seq\\\":8}\"}\n");
	fake_audit_fail();
	a = world_ask(w, fd, "POST audit/checkpoint", NULL, NULL);
	answer_must_be(&a, 503, "unavailable.audit");
	assert_has(&a, "no space left on device");
	/* who asked has gone */
	fake_audit_hold(true);
	world_ask(w, fd, "POST audit/checkpoint", NULL, NULL);
	close(fd);
	fake_evloop_run();
	assert_int_equal(fake_audit_pending(), 0);
	fake_audit_hold(false);
	/* it takes too long */
	fd = world_connect(w, "admin");
	fake_audit_hold(true);
	world_ask(w, fd, "POST audit/checkpoint", NULL, NULL);
	serve_stop_accepting(w->serve);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.stopping");
	assert_int_equal(fake_audit_pending(), 0);
	fake_audit_hold(false);
	fake_audit_checkpoint(NULL);
	close(fd);
}

/* --------------------------------------------------------------------- jobs */

static void
does_jobs(void **state)
{
	static const struct {
		const char *request, *body, *job, *audit;
	} cases[] = {
		{ "DELETE logins/ops", NULL, "logout ops",
		    "admin ops: logout\n" },
		{ "DELETE logins/ops?keep_tokens=yes", NULL,
		    "logout ops keep", "admin ops: logout, tokens kept\n" },
		{ "POST tokens/t1/rotate", NULL, "rotate t1",
		    "admin t1: rotate\n" },
		{ "POST tokens/t1/revoke", NULL, "revoke t1 0",
		    "admin t1: revoke\n" },
		{ "POST tokens/t1/revoke", "{}", "revoke t1 0",
		    "admin t1: revoke\n" },
		{ "POST tokens/t1/revoke", "{\"generation\":3}",
		    "revoke t1 3", "admin t1: revoke\n" },
		{ "POST tokens/t1/import", "{\"token\":\"secret\","
		    "\"token_id\":\"i\",\"expires_at\":"
		    "\"2026-11-22T17:20:01Z\"}", "import t1 6 i 1795368001",
		    "admin t1: import\n" },
		{ "POST tokens/t1/import", "{\"token\":\"secret\","
		    "\"expires_at\":\"2026-11-22T17:20:01Z\"}",
		    "import t1 6 - 1795368001", "admin t1: import\n" },
		{ "POST reconcile", NULL, "reconcile all",
		    "admin: reconcile\n" },
		{ "POST reconcile", "{\"backend\":\"prod\"}",
		    "reconcile prod", "admin: reconcile\n" },
	};
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct tb_error err = TB_ERROR_INIT;
	struct answer a;
	size_t i;

	tb_error_set(&err, TB_E_BADREQ, "it cannot be done");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		a = world_ask(w, fd, cases[i].request, NULL, cases[i].body);
		assert_int_equal(a.status, 0);
		assert_string_equal(fake_broker_job(w->broker), cases[i].job);
		assert_string_equal(fake_audit_take(), cases[i].audit);
		assert_true(fake_broker_job_end(w->broker,
		    json_pack("{s:i}", "revoked", 2), NULL));
		a = world_read(w, fd);
		assert_int_equal(a.status, 200);
		assert_string_equal(answer_body(&a), "{\"revoked\":2}\n");
		world_ask(w, fd, cases[i].request, NULL, cases[i].body);
		assert_true(fake_broker_job_end(w->broker, NULL, &err));
		a = world_read(w, fd);
		answer_must_be(&a, 409, "denied.conflict");
		assert_has(&a, "it cannot be done");
		fake_audit_take();
	}
	close(fd);
}

static void
refuses_odd_jobs(void **state)
{
	static const struct {
		const char *request, *body;
		int status;
		const char *code;
	} cases[] = {
		{ "DELETE logins/nope", NULL, 404, "denied.unknown" },
		{ "DELETE logins/ops?keep_tokens=no", NULL, 400,
		    "denied.bad_request" },
		{ "POST tokens/t9/rotate", NULL, 404, "denied.unknown" },
		{ "POST tokens/t9/revoke", NULL, 404, "denied.unknown" },
		{ "POST tokens/t9/import", "{}", 404, "denied.unknown" },
		{ "POST tokens/t1/rotate", "{}", 400, "denied.bad_request" },
		{ "POST tokens/t1/revoke", "{\"generation\":0}", 400,
		    "denied.bad_request" },
		{ "POST tokens/t1/revoke", "{\"generation\":-1}", 400,
		    "denied.bad_request" },
		{ "POST tokens/t1/revoke", "{\"generation\":\"all\"}", 400,
		    "denied.bad_request" },
		{ "POST tokens/t1/import", NULL, 400, "denied.bad_request" },
		{ "POST tokens/t1/import", "{\"token\":\"a b\",\"expires_at\":"
		    "\"2026-11-22T17:20:01Z\"}", 400, "denied.bad_request" },
		{ "POST tokens/t1/import", "{\"token\":\"canary\","
		    "\"expires_at\":\"tomorrow\"}", 400,
		    "denied.bad_request" },
		{ "POST tokens/t1/import", "{\"token\":\"canary\"}", 400,
		    "denied.bad_request" },
		{ "POST tokens/t1/import", "canary", 400,
		    "denied.bad_request" },
		{ "POST reconcile", "{\"backend\":\"canary\"}", 404,
		    "denied.unknown" },
		{ "POST reconcile", "{\"backend\":1}", 400,
		    "denied.bad_request" },
	};
	struct world *w = *state;
	struct answer a;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		a = world_once(w, "admin", cases[i].request, NULL,
		    cases[i].body);
		answer_must_be(&a, cases[i].status, cases[i].code);
		assert_null(strstr(a.text, "canary"));
		assert_string_equal(fake_broker_job(w->broker), "");
	}
	assert_string_equal(fake_audit_take(), "");
}

static void
does_not_wait_for_ever(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct answer a;

	world_ask(w, fd, "POST tokens/t1/rotate", NULL, NULL);
	fake_evloop_advance(32000);
	a = world_read(w, fd);
	assert_int_equal(a.status, 202);
	assert_has(&a, "\"state\":\"working\"");
	assert_false(fake_broker_job_end(w->broker, NULL, NULL));
	/* an operator who does not wait */
	world_ask(w, fd, "POST tokens/t1/rotate", NULL, NULL);
	close(fd);
	fake_evloop_run();
	assert_false(fake_broker_job_end(w->broker, NULL, NULL));
	fd = world_connect(w, "admin");
	world_ask(w, fd, "POST tokens/t1/rotate", NULL, NULL);
	serve_stop_accepting(w->serve);
	a = world_read(w, fd);
	answer_must_be(&a, 503, "unavailable.stopping");
	close(fd);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_has_a_role),
		T(gives_each_role_its_own),
		T(tells_its_health),
		T(tells_the_status),
		T(never_tells_a_value),
		T(reloads),
		T(explains),
		T(explains_units),
		T(tells_of_the_audit_log),
		T(makes_a_checkpoint),
		T(does_jobs),
		T(refuses_odd_jobs),
		T(does_not_wait_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
