/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>

#include "base/tb_error.h"
#include "fake_disk.h"
#include "state/audit_line.h"
#include "state/journal.h"
#include "state_fixture.h"

static void
assert_entry(const char *line, const char *fields, const char *message,
    enum audit_event event, int priority)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	_cleanup_free_ char *expected = xasprintf("%sMESSAGE=%s\n"
	    "MESSAGE_ID=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=tokenbrokerd\n",
	    fields, message, journal_message_id(event), priority);

	assert_true(journal_entry(line, strlen(line), &b));
	assert_string_equal(b.s, expected);
}

static void
test_every_member_is_a_field(void **state)
{
	assert_entry("{\"seq\":12,\"time\":\"2026-11-22T17:20:00.042Z\","
	    "\"event\":\"authorised\",\"door\":\"api\",\"uid\":998,"
	    "\"unit\":\"telegraf.service\",\"container\":true,"
	    "\"token\":\"t-1\",\"generation\":18446744073709551615,"
	    "\"login\":\"ops\",\"reason\":\"allowed by rule\","
	    "\"hash\":\"00ff\"}",
	    "TOKENBROKER_SEQ=12\n"
	    "TOKENBROKER_TIME=2026-11-22T17:20:00.042Z\n"
	    "TOKENBROKER_EVENT=authorised\nTOKENBROKER_DOOR=api\n"
	    "TOKENBROKER_UID=998\nTOKENBROKER_UNIT=telegraf.service\n"
	    "TOKENBROKER_CONTAINER=true\nTOKENBROKER_TOKEN=t-1\n"
	    "TOKENBROKER_GENERATION=18446744073709551615\n"
	    "TOKENBROKER_LOGIN=ops\nTOKENBROKER_REASON=allowed by rule\n"
	    "TOKENBROKER_HASH=00ff\n",
	    "authorised uid=998 unit=telegraf.service "
	    "token=t-1/18446744073709551615 login=ops: allowed by rule",
	    AUDIT_AUTHORISED, 6);
	assert_entry("{\"event\":\"stopped\"}", "TOKENBROKER_EVENT=stopped\n",
	    "stopped", AUDIT_STOPPED, 5);
	assert_entry("{\"event\":\"lost\",\"count\":3}",
	    "TOKENBROKER_EVENT=lost\nTOKENBROKER_COUNT=3\n", "lost count=3",
	    AUDIT_LOST, 3);
}

/* A value cannot make a field of its own. */
static void
test_values_stay_values(void **state)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	static const char line[] = "{\"event\":\"admin\","
	    "\"human\":\"a\\nPRIORITY=0\\u0007\\\"\\\\\\/\xc3\xbc\\u00fc\"}";
	static const char field[] = "TOKENBROKER_HUMAN\n"
	    "\x13\0\0\0\0\0\0\0" "a\nPRIORITY=0\a\"\\/\xc3\xbc?\n";

	assert_true(journal_entry(line, sizeof(line) - 1, &b));
	assert_non_null(memmem(b.s, b.len, field, sizeof(field) - 1));
}

static void
test_what_is_no_line_of_ours(void **state)
{
	static const char *const lines[] = { "", "{", "{}", "x",
		"{\"event\":\"nonsense\"}", "{\"seq\":1}",
		"{\"event\":\"admin\"", "{\"event\":\"admin\"}x",
		"{\"event\":\"admin\",}", "{\"EVENT\":\"admin\"}",
		"{\"event\":\"admin\",\"a\":{}}",
		"{\"event\":\"admin\",\"a\":}",
		"{\"event\":\"admin\",\"a\":\"\\x\"}",
		"{\"event\":\"admin\",\"a\":\"\\u12\"}",
		"{\"event\":\"admin\",\"a\":\"", "{\"event\":\"admin\",\"a\":\"\\",
		"{\"event\":\"admin\",\"\":1}", "{\"event\":1}",
		"{\"event\":\"admin\",\"abcdefghijklmnopqrstuvwxyzabcdefg\":1}" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

		if (journal_entry(lines[i], strlen(lines[i]), &b))
			fail_msg("taken: %s", lines[i]);
	}
}

static void
test_every_event_has_an_id(void **state)
{
	int i, j;

	for (i = 0; i < AUDIT_EVENTS; i++) {
		const char *id = journal_message_id((enum audit_event)i);

		assert_non_null(id);
		assert_int_equal(strlen(id), 32);
		assert_int_equal(strspn(id, "0123456789abcdef"), 32);
		for (j = 0; j < i; j++)
			assert_string_not_equal(id,
			    journal_message_id((enum audit_event)j));
	}
}

/* ------------------------------------------------------- through the writer */

/* A journal with room for little. */
static int
listen_at(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = 5 };

	assert_true(strlen(path) < sizeof(a.sun_path));
	strcpy(a.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static void
assert_receives(int fd, const char *part)
{
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

	assert_true(n > 0);
	buf[n] = '\0';
	if (!strstr(buf, part))
		fail_msg("no %s in %s", part, buf);
}

static uint64_t
dropped(struct state_fixture *f)
{
	struct writer_trail t;
	uint64_t n;

	writer_get_trail(f->writer, &t);
	n = t.journal_dropped;
	writer_trail_clear(&t);
	return n;
}

static void
test_lines_are_mirrored(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *path = xasprintf("%s/journal", f->dir);
	_cleanup_close_ int fd = listen_at(path);
	unsigned i;

	state_stop(f);
	f->env.journal = path;
	state_restart(f);
	writer_put_line(f->writer, "{\"event\":\"admin\",\"token\":\"a\"}",
	    29, true, state_done, (void *)"a");
	writer_put_line(f->writer, "{\"event\":\"sent\",\"token\":\"b\"}", 28,
	    false, state_done, (void *)"b");
	assert_true(state_wait_done(f, 2));
	assert_receives(fd, "TOKENBROKER_SEQ=1\nTOKENBROKER_EVENT=admin\n"
	    "TOKENBROKER_TOKEN=a\nTOKENBROKER_HASH=");
	assert_receives(fd, "TOKENBROKER_SEQ=2\nTOKENBROKER_EVENT=sent\n");
	/* it is the log that says what was written: a line that failed is in
	 * neither */
	fake_disk_fail(FAKE_DISK_WRITE, "audit.jsonl", ENOSPC, 0, -1);
	writer_put_line(f->writer, "{\"event\":\"sent\"}", 16, true,
	    state_done, (void *)"c");
	assert_true(state_wait_done(f, 1));
	assert_string_equal(state_done_log, "a b c!");
	fake_disk_reset();
	writer_put_line(f->writer, "{\"event\":\"stopped\"}", 19, true,
	    state_done, (void *)"d");
	assert_true(state_wait_done(f, 1));
	assert_receives(fd, "TOKENBROKER_SEQ=3\nTOKENBROKER_EVENT=stopped\n");
	assert_int_equal(dropped(f), 0);
	/* a journal that reads nothing stops nobody */
	for (i = 0; i < 2000; i++)
		writer_put_line(f->writer, "{\"event\":\"sent\"}", 16, false,
		    NULL, NULL);
	state_barrier(f);
	state_barrier(f);
	assert_true(dropped(f) > 0);
	assert_int_equal(state_count_lines(f, "\"event\":\"sent\""), 2001);
}

static void
test_no_journal_there(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *path = xasprintf("%s/journal", f->dir);
	struct journal *j;
	struct tb_error err = TB_ERROR_INIT;
	char long_path[200];

	state_stop(f);
	f->env.journal = path;
	state_restart(f);
	writer_put_line(f->writer, "{\"event\":\"sent\"}", 16, true,
	    state_done, (void *)"a");
	assert_true(state_wait_done(f, 1));
	state_barrier(f);
	state_barrier(f);
	assert_true(dropped(f) >= 1);
	/* it comes up: no restart of ours is needed */
	_cleanup_close_ int fd = listen_at(path);
	writer_put_line(f->writer, "{\"event\":\"stopped\"}", 19, true,
	    state_done, (void *)"b");
	assert_true(state_wait_done(f, 1));
	assert_receives(fd, "TOKENBROKER_EVENT=stopped\n");

	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	j = journal_new(long_path, &err);
	assert_null(j);
	assert_int_equal(err.code, TB_E_CONFIG);
}

static int
setup(void **state)
{
	fake_disk_reset();
	return state_setup(state);
}

static int
teardown(void **state)
{
	fake_disk_reset();
	return state_teardown(state);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_member_is_a_field),
		cmocka_unit_test(test_values_stay_values),
		cmocka_unit_test(test_what_is_no_line_of_ours),
		cmocka_unit_test(test_every_event_has_an_id),
		T(test_lines_are_mirrored),
		T(test_no_journal_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
