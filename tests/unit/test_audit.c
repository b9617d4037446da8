/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/principal.h"
#include "base/util.h"
#include "fake_disk.h"
#include "fake_loop.h"
#include "fake_now.h"
#include "state/acl.h"
#include "state/audit.h"
#include "state/audit_line.h"
#include "state_fixture.h"

struct world {
	struct state_fixture *f;
	struct audit *audit;
};

static struct acl_rule rule = { .name = (char *)"telegraf",
	.where = (char *)"/etc/tokenbroker/tokenbroker.conf:12" };
static struct principal telegraf = { .uid = 998, .gid = 997, .pid = 77,
	.unit = (char *)"telegraf.service",
	.invocation = (char *)"4f1e0c9a7b3d42558e6a1c2b3d4e5f60",
	.strength = PRINCIPAL_STRONG };

static void
add_event(const char *line, struct strbuf *out)
{
	const char *event = strstr(line, "\"event\":\"") + 9;
	const char *count = strstr(line, "\"count\":");

	if (out->len)
		strbuf_addc(out, ' ');
	strbuf_add(out, event, strcspn(event, "\""));
	if (count)
		strbuf_addf(out, "*%d", atoi(count + 8));
}

/* "denied denied*4 ...": the events written so far, without barriers. either:
 * another order that is as good, where two threads decide; or NULL. */
static void
assert_events_either(struct world *w, const char *expected, const char *either)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	_cleanup_free_ char *text = NULL;
	char *save = NULL, *line;

	state_barrier(w->f);
	state_verify_chain(w->f, true);
	text = state_read(w->f->log_dir, "audit.jsonl");
	for (line = strtok_r(text, "\n", &save); line;
	    line = strtok_r(NULL, "\n", &save))
		if (!strstr(line, "\"barrier\""))
			add_event(line, &b);
	if (!either || !streq(strbuf_str(&b), either))
		assert_string_equal(strbuf_str(&b), expected);
}

static void
assert_events(struct world *w, const char *expected)
{
	assert_events_either(w, expected, NULL);
}

/* ------------------------------------------------------------------- text */

#define BOOT "5b6d7c1e-0f1a-4d55-9d0a-7f3c8a1b2c3d"
#define HEAD "{\"time\":\"2026-11-22T17:20:00.042Z\",\"boot\":\"" BOOT "\""

static void
assert_line(const struct audit_rec *rec, const char *expected)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct audit_line l;

	audit_line_init(&l);
	assert_int_equal(l.boot_len, strlen(",\"boot\":\"" BOOT "\""));
	strcpy(l.boot, ",\"boot\":\"" BOOT "\"");
	audit_line_build(&l, rec, FAKE_NOW_REAL_S * 1000 + 42, &b);
	assert_string_equal(strbuf_str(&b), expected);
	audit_line_clear(&l);
}

static void
test_line_with_everything(void **state)
{
	struct audit_rec rec = { .event = AUDIT_AUTHORISED, .door = "api",
		.who = &telegraf, .rule = &rule, .verdict = "allow",
		.reason = "allowed by rule", .token = "telegraf-write",
		.generation = 18446744073709551615U, .token_id = "id-1",
		.fingerprint = "00112233aabbccdd", .backend = "prod",
		.login = "ops", .human = "https://idp sub-1",
		.request_id = "r1", .nonce = "n0", .delivery = "static",
		.expires_at = FAKE_NOW_REAL_S + 3600, .count = 10,
		.since = FAKE_NOW_REAL_S, .until = FAKE_NOW_REAL_S + 1 };

	assert_line(&rec, HEAD ",\"event\":\"authorised\",\"door\":\"api\","
	    "\"uid\":998,\"gid\":997,\"unit\":\"telegraf.service\","
	    "\"invocation\":\"4f1e0c9a7b3d42558e6a1c2b3d4e5f60\","
	    "\"strength\":\"strong\",\"pid\":77,"
	    "\"rule\":\"/etc/tokenbroker/tokenbroker.conf:12\","
	    "\"verdict\":\"allow\",\"token\":\"telegraf-write\","
	    "\"generation\":18446744073709551615,\"token_id\":\"id-1\","
	    "\"fingerprint\":\"00112233aabbccdd\",\"backend\":\"prod\","
	    "\"login\":\"ops\",\"human\":\"https://idp sub-1\","
	    "\"expires_at\":\"2026-11-22T18:20:00Z\","
	    "\"request_id\":\"r1\",\"nonce\":\"n0\",\"count\":10,"
	    "\"since\":\"2026-11-22T17:20:00Z\","
	    "\"until\":\"2026-11-22T17:20:01Z\","
	    "\"delivery\":\"static\",\"reason\":\"allowed by rule\"}");
}

static void
test_line_with_little(void **state)
{
	struct principal box = { .uid = 0, .gid = 0, .container = true,
		.unit = (char *)"docker-1.scope" };
	struct principal weak = { .uid = 4294967294U, .gid = 1,
		.unit = (char *)"a\\x2db.service",
		.strength = PRINCIPAL_WEAK };
	struct audit_rec rec = { .event = AUDIT_STOPPED };

	assert_line(&rec, HEAD ",\"event\":\"stopped\"}");
	rec.who = &box;
	assert_line(&rec, HEAD ",\"event\":\"stopped\",\"uid\":0,\"gid\":0,"
	    "\"container\":true}");
	rec.who = &weak;
	assert_line(&rec, HEAD ",\"event\":\"stopped\",\"uid\":4294967294,"
	    "\"gid\":1,\"unit\":\"a\\\\x2db.service\","
	    "\"strength\":\"weak\"}");
}

/* A token's name may be what a stranger asked for. */
static void
test_line_does_not_repeat_strangers(void **state)
{
	static const struct {
		const char *name;
		bool repeated;
	} table[] = {
		{ "telegraf-write", true }, { "a.b_C@1:x", true },
		{ "", false }, { "a b", false }, { "a\"},{\"", false },
		{ "a\nb", false }, { "\xc3\xbc", false }, { "../x", false },
		/* the longest that a holder's token is called by */
		{ "db@unit:uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
		  "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
		  "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
		  "uuuuuuuuuuuu", true },
		{ "db@unit:uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
		  "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
		  "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
		  "uuuuuuuuuuuuu", false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		struct audit_rec rec = { .event = AUDIT_DENIED,
			.token = table[i].name };
		_cleanup_free_ char *expected = xasprintf(HEAD
		    ",\"event\":\"denied\",\"token\":\"%s\"}",
		    table[i].repeated ? table[i].name : "(no name)");

		assert_line(&rec, expected);
	}
}

/* Units are called so whose names have a dash in them; each of their tokens is
 * on record by its own name. */
static void
test_line_names_a_holders_token(void **state)
{
	struct audit_rec rec = { .event = AUDIT_MINTED,
		.token = "db@unit:a\\x2db.service" };

	assert_line(&rec, HEAD ",\"event\":\"minted\","
	    "\"token\":\"db@unit:a\\\\x2db.service\"}");
}

/* The short cut for plain text finds what is not, wherever it stands. */
static void
test_line_escapes(void **state)
{
	static const struct {
		const char *c, *escaped;
	} table[] = {
		{ "\"", "\\\"" }, { "\\", "\\\\" }, { "\n", "\\n" },
		{ "\x1f", "\\u001f" }, { "\x01", "\\u0001" },
		{ "\x7f", "\\u007f" }, { "\xff", "\xef\xbf\xbd" },
		{ "\xc3\xbc", "\xc3\xbc" }, { " ", " " }, { "~", "~" },
		{ "!", "!" }, { "#", "#" }, { "[", "[" }, { "]", "]" },
	};
	size_t i, before, after;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		for (before = 0; before < 18; before++)
			for (after = 0; after < 10; after++) {
				_cleanup_free_ char *text = xasprintf(
				    "%.*s%s%.*s", (int)before,
				    "abcdefghijklmnopqrst", table[i].c,
				    (int)after, "ABCDEFGHIJKLM");
				_cleanup_free_ char *expected = xasprintf(
				    HEAD ",\"event\":\"admin\","
				    "\"human\":\"%.*s%s%.*s\"}",
				    (int)before, "abcdefghijklmnopqrst",
				    table[i].escaped, (int)after,
				    "ABCDEFGHIJKLM");
				struct audit_rec rec = {
					.event = AUDIT_ADMIN, .human = text };

				assert_line(&rec, expected);
			}
}

static void
test_every_event_has_a_name(void **state)
{
	const char *a, *b;
	int i, j;

	for (i = 0; i < AUDIT_EVENTS; i++) {
		a = audit_line_event_name((enum audit_event)i);
		assert_non_null(a);
		assert_int_equal(a[strspn(a, "abcdefghijklmnopqrstuvwxyz_")],
		    0);
		for (j = 0; j < i; j++) {
			b = audit_line_event_name((enum audit_event)j);
			assert_string_not_equal(a, b);
		}
	}
}

/* The kept text is that of its number and event, and of nothing else. */
static void
test_common_text_is_kept(void **state)
{
	static const struct {
		uint64_t same, says;
		enum audit_event event;
	} table[] = {
		{ 1, 1, AUDIT_AUTHORISED }, { 1, 1, AUDIT_SENT },
		{ 2, 2, AUDIT_AUTHORISED }, { 1, 1, AUDIT_AUTHORISED },
		/* told that it is the same, it does not look */
		{ 1, 9, AUDIT_AUTHORISED }, { 1, 9, AUDIT_SENT },
		{ 0, 3, AUDIT_AUTHORISED }, { 0, 4, AUDIT_AUTHORISED },
		/* in the same place */
		{ 1 + AUDIT_LINE_KEPT, 5, AUDIT_AUTHORISED },
		{ 1, 6, AUDIT_AUTHORISED }, { 1, 6, AUDIT_WITHHELD },
	};
	static const uint64_t said[] = { 1, 1, 2, 1, 1, 1, 3, 4, 5, 6, 6 };
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct audit_line l;
	size_t i;

	audit_line_init(&l);
	l.boot_len = 0;
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		char id[8];
		struct audit_rec rec = { .event = table[i].event,
			.generation = table[i].says, .same = table[i].same,
			.request_id = id };
		_cleanup_free_ char *expected = NULL;

		snprintf(id, sizeof(id), "r%zu", i);
		expected = xasprintf("{\"time\":\"2026-11-22T17:20:00.000Z\","
		    "\"event\":\"%s\",\"generation\":%d,"
		    "\"request_id\":\"%s\"}",
		    audit_line_event_name(rec.event), (int)said[i], id);
		strbuf_reset(&b);
		audit_line_build(&l, &rec, FAKE_NOW_REAL_S * 1000, &b);
		assert_string_equal(strbuf_str(&b), expected);
	}
	audit_line_clear(&l);
}

static void
test_times_follow_the_clock(void **state)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	static const struct {
		int64_t ms;
		const char *text;
	} table[] = {
		{ 1795368000000, "{\"time\":\"2026-11-22T17:20:00.000Z\"}" },
		{ 1795368000999, "{\"time\":\"2026-11-22T17:20:00.999Z\"}" },
		{ 1795368001000, "{\"time\":\"2026-11-22T17:20:01.000Z\"}" },
		{ 1795368000007, "{\"time\":\"2026-11-22T17:20:00.007Z\"}" },
	};
	struct audit_line l;
	size_t i;

	audit_line_init(&l);
	l.boot_len = 0;
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		strbuf_reset(&b);
		audit_line_open(&l, table[i].ms, &b);
		audit_line_close(&b);
		assert_string_equal(strbuf_str(&b), table[i].text);
	}
}

/* ------------------------------------------------------------------ modes */

static void
test_strict_waits_and_relaxed_does_not(void **state)
{
	struct world *w = *state;
	struct audit_rec rec = { .event = AUDIT_AUTHORISED };
	struct tb_error err = TB_ERROR_INIT;
	struct writer_item *item;

	assert_true(audit_is_strict(w->audit));
	item = audit_before(w->audit, &rec, state_done, (void *)"strict");
	assert_non_null(item);
	assert_string_equal(state_done_log, "");
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "strict");

	item = audit_before(w->audit, &rec, state_done, (void *)"gone");
	writer_forget(&item);
	audit_free(w->audit);
	w->audit = audit_new(w->f->loop, w->f->writer, false, &err);
	assert_non_null(w->audit);
	assert_false(audit_is_strict(w->audit));
	item = audit_before(w->audit, &rec, state_done, (void *)"relaxed");
	assert_null(item);
	rec.event = AUDIT_MINTED;
	item = audit_durable(w->audit, &rec, state_done, (void *)"durable");
	assert_non_null(item);
	rec.event = AUDIT_SENT;
	audit_note(w->audit, &rec);
	rec.event = AUDIT_REVOKED;
	assert_null(audit_durable(w->audit, &rec, NULL, NULL));
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "strict durable");
	assert_events(w, "authorised authorised authorised minted sent "
	    "revoked");
}

/* Strict: the record is on disk when done runs. */
static void
test_strict_is_durable(void **state)
{
	struct world *w = *state;
	struct audit_rec rec = { .event = AUDIT_AUTHORISED };

	fake_disk_reset();
	audit_before(w->audit, &rec, state_done, (void *)"a");
	assert_true(state_wait_done(w->f, 1));
	assert_int_equal(fake_disk_count(FAKE_DISK_FDATASYNC, "audit.jsonl"),
	    1);
}

static void
test_repair_is_told(void **state)
{
	struct world *w = *state;
	struct audit_rec rec = { .event = AUDIT_STARTED };
	struct tb_error err = TB_ERROR_INIT;

	audit_note(w->audit, &rec);
	state_barrier(w->f);
	assert_int_equal(state_count_lines(w->f, "torn"), 0);
	audit_free(w->audit);
	writer_stop(w->f->writer);
	w->f->writer = NULL;
	_cleanup_free_ char *text = state_read(w->f->log_dir, "audit.jsonl");
	_cleanup_free_ char *torn = xasprintf("%s{\"seq", text);
	state_write(w->f->log_dir, "audit.jsonl", torn);
	state_restart(w->f);
	w->audit = audit_new(w->f->loop, w->f->writer, true, &err);
	audit_note(w->audit, &rec);
	rec.event = AUDIT_RELOADED;
	audit_note(w->audit, &rec);
	state_barrier(w->f);
	assert_int_equal(state_count_lines(w->f, "\"event\":\"started\","
	    "\"reason\":\"torn line repaired: 5 bytes behind line 2 are in "
	    "audit.jsonl.torn\""), 1);
	assert_int_equal(state_count_lines(w->f, "torn"), 1);
}

/* ---------------------------------------------------------------- denials */

static void
deny(struct world *w, uid_t uid, const char *token, const char *request)
{
	struct principal who = telegraf;
	struct audit_rec rec = { .event = AUDIT_DENIED, .door = "api",
		.who = &who, .rule = &rule, .verdict = "deny",
		.token = token, .reason = "denied by rule",
		.request_id = request };

	who.uid = uid;
	who.pid = (pid_t)strlen(request) + 1;
	audit_denied(w->audit, &rec);
}

static void
test_denials_are_counted(void **state)
{
	struct world *w = *state;
	int i;

	for (i = 0; i < 100; i++)
		deny(w, 998, "a", i % 2 ? "r1" : "r22");
	deny(w, 998, "b", "r3");
	deny(w, 999, "a", "r4");
	assert_events(w, "denied denied denied");
	fake_loop_advance(59999);
	assert_events(w, "denied denied denied");
	fake_loop_advance(1);
	assert_events(w, "denied denied denied denied*99");
	assert_int_equal(state_count_lines(w->f, "\"event\":\"denied\","
	    "\"door\":\"api\",\"uid\":998,\"gid\":997,"
	    "\"unit\":\"telegraf.service\",\"strength\":\"strong\","
	    "\"rule\":\"/etc/tokenbroker/tokenbroker.conf:12\","
	    "\"verdict\":\"deny\",\"token\":\"a\",\"count\":99,"
	    "\"reason\":\"denied by rule\",\"hash\""), 1);
	/* the first one has what the count cannot have */
	assert_int_equal(state_count_lines(w->f, "\"pid\":4,"), 1);
	assert_int_equal(state_count_lines(w->f, "\"request_id\":\"r22\""),
	    1);
	/* the next minute begins anew, and an idle one says nothing */
	fake_loop_advance(120000);
	assert_int_equal(fake_loop_timers(), 0);
	deny(w, 998, "a", "r");
	assert_events(w, "denied denied denied denied*99 denied");
}

static void
test_denials_are_written_at_the_end(void **state)
{
	struct world *w = *state;

	deny(w, 998, "a", "r");
	deny(w, 998, "a", "r");
	deny(w, 998, "a", "r");
	audit_free(w->audit);
	w->audit = NULL;
	assert_events(w, "denied denied*2");
	assert_int_equal(fake_loop_timers(), 0);
}

/* Who guesses names makes no more lines than the quota, takes no room from
 * others, and is still counted. */
static void
test_denials_have_a_quota(void **state)
{
	struct world *w = *state;
	char name[32];
	int i;

	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "guess-%d", i);
		deny(w, 1000, name, "r");
	}
	deny(w, 998, "a", "r");
	deny(w, 998, "a", "r");
	state_barrier(w->f);
	assert_int_equal(state_count_lines(w->f, "\"uid\":1000,"), 16);
	fake_loop_advance(60000);
	state_barrier(w->f);
	assert_int_equal(state_count_lines(w->f, "\"uid\":1000,"), 17);
	assert_int_equal(state_count_lines(w->f, "\"event\":\"denied\","
	    "\"uid\":1000,\"verdict\":\"deny\",\"count\":4984,"
	    "\"reason\":\"further denials of this uid\""), 1);
	assert_int_equal(state_count_lines(w->f, "\"uid\":998,"), 2);
}

static void
test_denials_of_very_many_users(void **state)
{
	struct world *w = *state;
	uid_t uid;

	for (uid = 1; uid <= 2000; uid++)
		deny(w, uid, "a", "r");
	for (uid = 1; uid <= 2000; uid++)
		deny(w, uid, "a", "r");
	fake_loop_advance(60000);
	state_barrier(w->f);
	/* 256 at once, 256 counts, 256 uids of the rest, one sum */
	assert_int_equal(state_count_lines(w->f, "denied"), 3 * 256 + 1);
	assert_int_equal(state_count_lines(w->f, "\"event\":\"denied\","
	    "\"verdict\":\"deny\",\"count\":2976,"
	    "\"reason\":\"further denials of further uids\""), 1);
}

static void
test_denial_without_a_principal(void **state)
{
	struct world *w = *state;
	struct audit_rec rec = { .event = AUDIT_DENIED,
		.reason = "who is it" };

	audit_denied(w->audit, &rec);
	audit_denied(w->audit, &rec);
	fake_loop_advance(60000);
	assert_events(w, "denied denied*1");
}

/* ------------------------------------------------------------- lost lines */

/* Time passes, and what it makes the audit write is dealt with. */
static void
pass(struct world *w, int64_t ms)
{
	struct writer_stats stats;
	int i;

	fake_loop_advance(ms);
	for (i = 0; i < 5000; i++) {
		writer_get_stats(w->f->writer, &stats);
		if (!stats.queued)
			break;
		usleep(1000);
	}
	fake_loop_wait_wake(20);
}

/* One record says all of it, once: since when, until when, how many. */
static void
test_failed_disk_is_confessed(void **state)
{
	struct world *w = *state;
	struct audit_rec rec = { .event = AUDIT_AUTHORISED };
	int i;

	fake_disk_fail(FAKE_DISK_WRITE, "audit", ENOSPC, 0, -1);
	for (i = 0; i < 3; i++)
		audit_before(w->audit, &rec, state_done, (void *)"x");
	assert_true(state_wait_done(w->f, 3));
	assert_string_equal(state_done_log, "x! x! x!");
	assert_int_equal(state_done_error.code, TB_E_IO);
	for (i = 0; i < 4; i++)
		pass(w, 5000); /* tried, and fails as well */
	fake_disk_reset();
	pass(w, 5000);
	pass(w, 0);
	assert_events(w, "disk_failed disk_recovered*3");
	assert_int_equal(state_count_lines(w->f, "\"event\":\"disk_failed\","
	    "\"since\":\"2026-11-22T17:20:00Z\","
	    "\"reason\":\"what must be recorded first is refused\""), 1);
	assert_int_equal(state_count_lines(w->f, "\"event\":"
	    "\"disk_recovered\",\"count\":3,"
	    "\"since\":\"2026-11-22T17:20:00Z\","
	    "\"until\":\"2026-11-22T17:20:25Z\","), 1);
	fake_loop_advance(600000);
	assert_int_equal(fake_loop_timers(), 0);
	assert_events(w, "disk_failed disk_recovered*3");
}

/* Well again before anybody looked. */
static void
test_short_failure_is_confessed(void **state)
{
	struct world *w = *state;
	struct audit_rec rec = { .event = AUDIT_AUTHORISED };

	fake_disk_fail(FAKE_DISK_WRITE, "audit.jsonl", ENOSPC, 0, 2);
	audit_before(w->audit, &rec, state_done, (void *)"x");
	assert_true(state_wait_done(w->f, 1));
	audit_before(w->audit, &rec, state_done, (void *)"y");
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "x! y");
	pass(w, 5000);
	pass(w, 0);
	assert_events_either(w, "disk_failed authorised disk_recovered*1",
	    "disk_failed disk_recovered*1 authorised");
}

/* The failure comes long after the line: it is found all the same. */
static void
test_late_failure_is_confessed(void **state)
{
	struct world *w = *state;
	struct audit_rec rec = { .event = AUDIT_AUTHORISED };

	fake_disk_hold_syncs("audit.jsonl");
	fake_disk_fail(FAKE_DISK_FDATASYNC, "audit.jsonl", EIO, 0, 1);
	fake_disk_fail(FAKE_DISK_OPEN, "audit.jsonl", EIO, 0, 1);
	audit_before(w->audit, &rec, state_done, (void *)"x");
	fake_loop_advance(20000);
	fake_disk_release();
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "x!");
	pass(w, 5000);
	pass(w, 0);
	assert_events(w, "disk_failed disk_recovered*1");
}

/* The state directory alone: its failure is on record while it lasts, and the
 * end of it is found without anybody writing there. */
static void
test_failed_state_directory(void **state)
{
	struct world *w = *state;
	struct writer_rec rec = { .kind = WRITER_RECORD,
		.name = xstrdup("r.tbr"),
		.bytes = (unsigned char *)xstrdup("x"), .len = 1 };
	struct tb_error err = TB_ERROR_INIT;
	int i;

	fake_disk_fail(FAKE_DISK_OPEN, ".tmp", ENOSPC, 0, 1);
	writer_put(w->f->writer, &rec, state_done, (void *)"r");
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "r!");
	for (i = 0; i < 3000 && writer_health(w->f->writer, &err) < 0; i++)
		usleep(1000);
	state_assert_healthy(w->f);
	state_assert_listing(w->f->state_dir, "");
	pass(w, 0);
	pass(w, 0);
	assert_events(w, "disk_failed disk_recovered");
}

/* A disk that stalls and then goes on has not failed, and yet lines are lost:
 * those that nobody waits for, when too many wait. */
static void
test_stalled_disk_loses_lines(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *text = xcalloc(1, 1 << 20);
	int i;

	memset(text, 'x', 1 << 20);
	memcpy(text, "{\"event\":\"", 10);
	memcpy(text + (1 << 20) - 2, "\"}", 2);
	fake_disk_hold_syncs("audit.jsonl");
	state_put_line(w->f, "park", true);
	for (i = 0; i < 5000 &&
	    !fake_disk_count(FAKE_DISK_FDATASYNC, NULL); i++)
		usleep(1000);
	for (i = 0; i < 35; i++)
		writer_put_line(w->f->writer, text, 1 << 20, false, NULL,
		    NULL);
	audit_note(w->audit, &(struct audit_rec){ .event = AUDIT_SENT });
	fake_disk_release();
	assert_true(state_wait_done(w->f, 1));
	pass(w, 5000);
	pass(w, 5000);
	state_barrier(w->f);
	assert_int_equal(state_count_lines(w->f, "\"event\":\"lost\","
	    "\"count\":4,\"reason\":\"could not be written\""), 1);
}

static void
test_checkpoint_and_trail(void **state)
{
	struct world *w = *state;
	struct writer_trail t;
	uint64_t lost = 1;

	audit_checkpoint(w->audit, state_done, (void *)"c");
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "c!");
	audit_note(w->audit, &(struct audit_rec){ .event = AUDIT_SENT });
	state_barrier(w->f);
	audit_get_trail(w->audit, &t, &lost);
	assert_int_equal(t.seq, 2);
	assert_int_equal(lost, 0);
	assert_string_equal(t.files, "audit.jsonl\n");
	writer_trail_clear(&t);
}

static int
setup(void **state)
{
	struct world *w = xnew(struct world);
	struct tb_error err = TB_ERROR_INIT;

	fake_disk_reset();
	state_setup((void **)&w->f);
	w->audit = audit_new(w->f->loop, w->f->writer, true, &err);
	assert_non_null(w->audit);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	fake_disk_reset();
	audit_free(w->audit);
	state_teardown((void **)&w->f);
	free(w);
	return 0;
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_with_everything),
		cmocka_unit_test(test_line_with_little),
		cmocka_unit_test(test_line_does_not_repeat_strangers),
		cmocka_unit_test(test_line_names_a_holders_token),
		cmocka_unit_test(test_line_escapes),
		cmocka_unit_test(test_every_event_has_a_name),
		cmocka_unit_test(test_common_text_is_kept),
		cmocka_unit_test(test_times_follow_the_clock),
		T(test_strict_waits_and_relaxed_does_not),
		T(test_strict_is_durable),
		T(test_repair_is_told),
		T(test_denials_are_counted),
		T(test_denials_are_written_at_the_end),
		T(test_denials_have_a_quota),
		T(test_denials_of_very_many_users),
		T(test_denial_without_a_principal),
		T(test_failed_disk_is_confessed),
		T(test_short_failure_is_confessed),
		T(test_late_failure_is_confessed),
		T(test_failed_state_directory),
		T(test_stalled_disk_loses_lines),
		T(test_checkpoint_and_trail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
