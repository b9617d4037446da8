/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET events, and what each record is told as.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "fake_audit.h"
#include "fake_evloop.h"
#include "serve/event.h"
#include "serve/events.h"
#include "serve_world.h"

#define LINE(seq, event, rest) "{\"seq\":" #seq \
	",\"time\":\"2026-11-22T17:20:00.000Z\",\"event\":\"" event "\"" rest \
	",\"hash\":\"0123456789abcdef0123456789abcdef0123456789abcdef01234567" \
	"89ab" #seq "\"}\n"
#define HUMAN(seq) LINE(seq, "human_needed", ",\"login\":\"ops\"," \
	"\"reason\":\"the grant is gone\"")
#define DENIED(seq) LINE(seq, "denied", ",\"uid\":1000,\"token\":\"t1\"," \
	"\"reason\":\"no rule matches\"")
#define GRANTED(seq) LINE(seq, "login_granted", ",\"login\":\"ops\"")

static void
assert_has(const struct answer *a, const char *part)
{
	if (!strstr(a->text, part))
		fail_msg("no %s in: %s", part, a->text);
}

static void
assert_hasnt(const struct answer *a, const char *part)
{
	if (strstr(a->text, part))
		fail_msg("%s in: %s", part, a->text);
}

/* --------------------------------------------------------------- sentences */

static void
tells_each_record(void **state)
{
	static const struct {
		const char *line, *type, *subject, *text, *condition, *ends;
	} table[] = {
		{ HUMAN(1), "human_needed", "login ops", "Login 'ops' needs a "
		    "human: the grant is gone.", "human_needed/ops", NULL },
		{ LINE(1, "human_needed", ",\"token\":\"m\",\"reason\":"
		    "\"'prod' refuses it\""), "human_needed", "token m",
		    "Token 'm', which pays, needs a human: 'prod' refuses it.",
		    NULL, NULL },
		{ LINE(1, "login_started", ",\"login\":\"ops\""),
		    "login_pending", "login ops", "A login of 'ops' has begun; "
		    "a human has to approve it.", NULL, NULL },
		{ GRANTED(1), "login_granted", "login ops",
		    "Login 'ops' was approved.", NULL, "human_needed/ops" },
		{ LINE(1, "logout", ",\"login\":\"ops\""), "logout",
		    "login ops", "Login 'ops' was logged out.", NULL,
		    "human_needed/ops" },
		{ LINE(1, "renewed", ",\"token\":\"t1\",\"generation\":7"),
		    "rotated", "token t1", "Token 't1', generation 7, is "
		    "released from now on.", NULL, "expiring/t1" },
		{ LINE(1, "updated", ",\"token\":\"t1\",\"generation\":7,"
		    "\"reason\":\"permissions changed\""), "updated",
		    "token t1", "Token 't1', generation 7, is another now: "
		    "permissions changed.", NULL, NULL },
		{ LINE(1, "revoked", ",\"token\":\"t1\",\"generation\":7,"
		    "\"token_id\":\"x\",\"nonce\":\"n1\""), "revoked",
		    "token t1", "Token 't1', generation 7, was revoked.",
		    NULL, "orphan/n1/x" },
		{ DENIED(1), "denied", "uid 1000", "Uid 1000 was refused "
		    "token 't1': no rule matches.", NULL, NULL },
		{ LINE(1, "denied", ",\"uid\":7,\"unit\":\"a.service\","
		    "\"count\":1"), "denied", "uid 7", "Unit a.service (uid "
		    "7) was refused, 1 more time in a minute.", NULL, NULL },
		{ LINE(1, "expiring", ",\"token\":\"t1\",\"generation\":7,"
		    "\"expires_at\":\"2026-11-22T18:00:00Z\""), "expiring",
		    "token t1", "Token 't1', generation 7, ends at "
		    "2026-11-22T18:00:00Z, and nothing newer is ready.",
		    "expiring/t1", NULL },
		{ LINE(1, "unsettled", ",\"token\":\"t1\",\"generation\":7,"
		    "\"backend\":\"b\",\"nonce\":\"n\""), "unsettled",
		    "token t1", "Token 't1', generation 7, may exist at 'b' "
		    "without anybody holding it.", "unsettled/n", NULL },
		{ LINE(1, "settled", ",\"token\":\"t1\",\"generation\":7,"
		    "\"nonce\":\"n\""), "settled", "token t1", "Token 't1', "
		    "generation 7: it is known now what became of it.", NULL,
		    "unsettled/n" },
		{ LINE(1, "orphan", ",\"backend\":\"b\",\"token_id\":\"x\","
		    "\"nonce\":\"n1\""),
		    "orphan", "backend b", "Backend 'b' lists a token x that "
		    "was made here and that nobody here knows.", "orphan/n1/x",
		    NULL },
		{ LINE(1, "quarantined", ",\"record\":\"all\""),
		    "quarantined", "record all", "The whole state is "
		    "quarantined; nothing is refreshed, minted or revoked.",
		    "quarantined/all", NULL },
		{ LINE(1, "adopted", ",\"record\":\"all\""), "adopted",
		    "record all", "An operator adopted the quarantined state; "
		    "it is used again.", NULL, "quarantined/all" },
		{ LINE(1, "disk_failed", ",\"since\":\"2026-11-22T17:00:00Z\""
		    ), "audit_degraded", "audit", "The disk refuses what must "
		    "be recorded since 2026-11-22T17:00:00Z; nothing "
		    "unrecorded is released.", "audit_degraded", NULL },
		{ LINE(1, "disk_recovered", ",\"count\":1,\"since\":\"A\","
		    "\"until\":\"B\""), "audit_recovered", "audit", "The disk "
		    "works again; it failed from A until B, and 1 line of the "
		    "audit log is missing.", NULL, "audit_degraded" },
		{ LINE(1, "lost", ",\"count\":3"), "audit_degraded", "audit",
		    "3 lines of the audit log could not be written.", NULL,
		    NULL },
	};
	struct event ev;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		const char *line = table[i].line;

		assert_true(event_from_line(line, strlen(line) - 1, "h", &ev));
#define GET(key) json_string_value(json_object_get(ev.json, key))
		assert_string_equal(GET("type"), table[i].type);
		assert_string_equal(GET("subject"), table[i].subject);
		assert_string_equal(GET("text"), table[i].text);
		assert_true(streq(GET("condition"), table[i].condition));
		assert_true(streq(GET("ends"), table[i].ends));
		assert_string_equal(GET("host"), "h");
		assert_int_equal(ev.seq, 1);
		json_decref(ev.json);
	}
	assert_false(event_from_line("{}", 2, "h", &ev));
	assert_false(event_from_line("nothing", 7, "h", &ev));
	assert_false(event_from_line(LINE(1, "sent", ""),
	    strlen(LINE(1, "sent", "")), "h", &ev));
}

static void
knows_its_types(void **state)
{
	unsigned i, all = 0;

	for (i = 0; i < EVENT_TYPES; i++) {
		const char *name = event_type_name(i);

		assert_int_equal(event_types(name, strlen(name)), 1u << i);
		all |= 1u << i;
	}
	assert_int_equal(all, (1u << EVENT_TYPES) - 1);
	assert_int_equal(event_types("denied,orphan", 13),
	    1u << EVENT_DENIED | 1u << EVENT_ORPHAN);
	assert_int_equal(event_types("denied,", 7), 0);
	assert_int_equal(event_types("", 0), 0);
	assert_int_equal(event_types("deny", 4), 0);
}

/* ----------------------------------------------------------------- the door */

static struct answer
ask(struct world *w, const char *query)
{
	_cleanup_free_ char *rq = xasprintf("GET events%s", query);

	return world_once(w, "admin", rq, NULL, NULL);
}

static void
tells_what_is_behind_a_cursor(void **state)
{
	struct world *w = *state;
	struct answer a = ask(w, "");

	assert_int_equal(a.status, 200);
	assert_has(&a, "\"events\":[],\"cursor\":\"0\"");
	fake_audit_events(5, HUMAN(3) DENIED(5));
	a = ask(w, "");
	assert_has(&a, "\"events\":[],\"cursor\":\"5\"");
	a = ask(w, "?after=0");
	assert_has(&a, "\"cursor\":\"3\"");
	assert_has(&a, "\"denied\"");
	assert_has(&a, "],\"cursor\":\"5\"}");
	a = ask(w, "?after=3");
	assert_hasnt(&a, "human_needed");
	assert_has(&a, "\"denied\"");
	/* of a type, or what ends one */
	fake_audit_events(6, GRANTED(6));
	a = ask(w, "?after=0&types=human_needed");
	assert_has(&a, "\"login_granted\"");
	assert_has(&a, "\"type\":\"human_needed\"");
	assert_hasnt(&a, "denied");
	a = ask(w, "?after=6");
	assert_has(&a, "\"events\":[]");
}

static void
waits_for_more(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin"), other = world_connect(w, "admin");
	struct answer a;

	a = world_ask(w, fd, "GET events?wait=60", NULL, NULL);
	assert_int_equal(a.status, 0);
	world_ask(w, other, "GET events?wait=60&types=denied", NULL, NULL);
	fake_audit_events(3, HUMAN(3));
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_has(&a, "human_needed");
	assert_int_equal(world_read(w, other).status, 0);
	fake_evloop_advance(61000);
	a = world_read(w, other);
	/* it need not be shown that line again */
	assert_has(&a, "\"events\":[],\"cursor\":\"3\"");
	/* who goes away waits no more */
	world_ask(w, fd, "GET events?after=3&wait=60", NULL, NULL);
	close(fd);
	fake_evloop_run();
	fake_audit_events(4, HUMAN(4));
	world_ask(w, other, "GET events?after=4&wait=60", NULL, NULL);
	serve_stop_accepting(w->serve);
	a = world_read(w, other);
	assert_int_equal(a.status, 200);
	close(other);
}

static void
reads_older_ones(void **state)
{
	struct world *w = *state;
	struct answer a;

	fake_audit_events(9, "");
	world_restart(w); /* nothing in memory, and the log goes to line 9 */
	fake_audit_older(HUMAN(3) DENIED(5), 0);
	a = ask(w, "?after=1");
	assert_has(&a, "human_needed");
	assert_has(&a, "],\"cursor\":\"9\"}");
	assert_hasnt(&a, "\"gap\"");
	fake_audit_older(DENIED(5), 4);
	a = ask(w, "?after=1");
	assert_has(&a, "\"gap\":{\"after\":1,\"until\":4}");
	assert_has(&a, "\"denied\"");
	/* who wants all that there is does not miss what never was his */
	a = ask(w, "?after=0");
	assert_hasnt(&a, "\"gap\"");
	/* a longer log than this */
	fake_audit_older(DENIED(5), 0);
	a = ask(w, "?after=77");
	assert_has(&a, "\"gap\":{\"after\":9,\"until\":77}");
	assert_has(&a, "\"denied\"");
	/* a disk that does not answer */
	fake_audit_fail();
	a = ask(w, "?after=1");
	answer_must_be(&a, 503, "unavailable.audit");
	fake_audit_hold(true);
	int fd = world_connect(w, "admin");
	world_ask(w, fd, "GET events?after=1", NULL, NULL);
	fake_evloop_advance(21000);
	a = world_read(w, fd);
	assert_int_equal(a.status, 200);
	assert_has(&a, "\"events\":[],\"cursor\":\"1\"");
	close(fd);
	fake_audit_hold(false);
}

static void
tells_of_a_disk_that_cannot_be_written(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w, "admin");
	struct answer a;

	world_ask(w, fd, "GET events?wait=60", NULL, NULL);
	fake_audit_failing(1795368000);
	a = world_read(w, fd);
	assert_has(&a, "\"type\":\"audit_degraded\"");
	assert_has(&a, "no space left on device");
	assert_hasnt(&a, "\"seq\"");
	assert_has(&a, "],\"cursor\":\"0.1795368000\"}");
	/* once */
	a = ask(w, "?after=0.1795368000");
	assert_has(&a, "\"events\":[]");
	a = ask(w, "?after=0&types=denied");
	assert_has(&a, "\"events\":[]");
	/* the record of it is the same thing, that it is over is not */
	fake_audit_failing(0);
	fake_audit_events(2, LINE(1, "disk_failed",
	    ",\"since\":\"2026-11-22T17:20:00Z\"")
	    LINE(2, "disk_recovered", ",\"since\":\"2026-11-22T17:20:00Z\","
	    "\"until\":\"2026-11-22T17:30:00Z\""));
	a = ask(w, "?after=0.1795368000");
	assert_hasnt(&a, "\"type\":\"audit_degraded\"");
	assert_has(&a, "\"type\":\"audit_recovered\"");
	/* another outage is another matter */
	a = ask(w, "?after=0.1795360000");
	assert_has(&a, "\"type\":\"audit_degraded\"");
	close(fd);
}

static void
keeps_the_newest(void **state)
{
	struct world *w = *state;
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct answer a;
	unsigned i;

	for (i = 1; i <= EVENTS_KEPT + 10; i++)
		strbuf_addf(&b, "{\"seq\":%u,\"time\":\"x\",\"event\":"
		    "\"denied\",\"hash\":\"%032u\"}\n", i, i);
	fake_audit_events(i - 1, strbuf_str(&b));
	/* those that fell out are in the log: it is asked */
	fake_audit_older("{\"seq\":2,\"time\":\"x\",\"event\":\"orphan\","
	    "\"hash\":\"f\"}\n", 0);
	a = ask(w, "?after=9");
	assert_has(&a, "\"orphan\"");
	a = ask(w, "?after=10");
	assert_hasnt(&a, "\"orphan\"");
	assert_has(&a, "\"seq\":11,");
	/* bounded */
	assert_hasnt(&a, "\"seq\":76,");
	assert_has(&a, "],\"cursor\":\"74\"}");
}

static void
refuses_nonsense(void **state)
{
	static const char *const bad[] = { "?after=x", "?after=", "?after=1.",
		"?after=1.x", "?after=.1", "?after=-1", "?wait=301", "?wait=x",
		"?types=", "?types=a", "?types=denied,a",
		"?after=99999999999999999999", "?more=1", "?wait=1&wait=2" };
	struct world *w = *state;
	struct answer a;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		a = ask(w, bad[i]);
		answer_must_be(&a, 400, "denied.bad_request");
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_each_record),
		cmocka_unit_test(knows_its_types),
		T(tells_what_is_behind_a_cursor),
		T(waits_for_more),
		T(reads_older_ones),
		T(tells_of_a_disk_that_cannot_be_written),
		T(keeps_the_newest),
		T(refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
