/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints and rotation, seen through the writer.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_disk.h"
#include "trail_fixture.h"

/* ----------------------------------------------------------------- the key */

static void
test_first_key_is_announced(void **state)
{
	struct state_fixture *f = *state;
	struct checkpoint_key *k = trail_make_key('a');
	_cleanup_free_ char *want = xasprintf("\"event\":\"audit_key\","
	    "\"reason\":\"first\",\"key\":\"%s\",\"public_key\":\"%s\","
	    "\"hash\":", checkpoint_key_id(k), checkpoint_key_public(k));
	_cleanup_free_ char *keys = xasprintf("%s %s 2026-11-22T17:20:00Z\n",
	    checkpoint_key_id(k), checkpoint_key_public(k));
	struct writer_trail t;

	trail_put(f, "before");
	trail_give_key(f, 'a');
	trail_put(f, "after");
	assert_int_equal(state_count_lines(f, want), 1);
	trail_assert_reasons(f, "started");
	writer_get_trail(f->writer, &t);
	assert_int_equal(t.seq, 4);
	assert_string_equal(t.keys, keys);
	assert_string_equal(t.files, "audit.jsonl\n");
	_cleanup_free_ char *text = state_read(f->log_dir, "audit.jsonl");
	assert_non_null(strstr(text, t.checkpoint));
	assert_non_null(strstr(t.checkpoint, "\"records\":2,"));
	writer_trail_clear(&t);
	/* known from now on */
	state_restart(f);
	writer_get_trail(f->writer, &t);
	assert_non_null(strstr(t.checkpoint, "\"reason\":\"stop\""));
	writer_trail_clear(&t);
	trail_give_key(f, 'a');
	state_barrier(f);
	assert_int_equal(state_count_lines(f, "audit_key"), 1);
	trail_assert_reasons(f, "started stop started");
	checkpoint_key_free(k);
}

static void
test_another_key_is_told(void **state)
{
	static const struct {
		char key;
		bool no_pub;
		const char *reason;
	} table[] = {
		{ 'a', false, "first" },
		{ 'b', false, "the key before was lost" },
		{ 'b', true, "it was not in audit.pub" },
		{ 'c', true, "the key before was lost" },
	};
	struct state_fixture *f = *state;
	_cleanup_free_ char *pub = xasprintf("%s/audit.pub", f->log_dir);
	struct writer_trail t;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		_cleanup_free_ char *want = xasprintf("\"event\":\"audit_key\","
		    "\"reason\":\"%s\",", table[i].reason);
		_cleanup_free_ char *before = state_read(f->log_dir,
		    "audit.pub");
		unsigned n = state_count_lines(f, want);

		if (table[i].no_pub)
			unlink(pub);
		trail_give_key(f, table[i].key);
		trail_put(f, "x");
		assert_int_equal(state_count_lines(f, want), n + 1);
		writer_get_trail(f->writer, &t);
		assert_int_equal(strlen(t.keys) > 100, i == 1);
		writer_trail_clear(&t);
		if (table[i].no_pub)
			/* for the check: all keys there were */
			state_append(f->log_dir, "audit.pub", before);
		state_restart(f);
	}
	trail_assert_reasons(f, "started stop started stop started stop started "
	    "stop");
}

/* The disk refuses while the key is announced: later. */
static void
test_announcement_is_tried_again(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *pub = xasprintf("%s/audit.pub", f->log_dir);
	int i;

	trail_put(f, "a");
	fake_disk_fail(FAKE_DISK_FDATASYNC, "audit.jsonl", EIO, 0, -1);
	fake_disk_fail(FAKE_DISK_OPEN, "audit.jsonl", EIO, 0, -1);
	trail_give_key(f, 'a');
	trail_put(f, "lost");
	assert_string_equal(state_done_log, "a lost!");
	state_assert_file(f->log_dir, "audit.pub", NULL);
	fake_disk_reset();
	state_stop(f);
	f->env.checkpoint_ms = 1;
	state_restart(f);
	/* audit.pub alone fails: the log has the key, and the file follows */
	fake_disk_fail(FAKE_DISK_RENAME, "audit.pub", ENOSPC, 0, 1);
	trail_give_key(f, 'a');
	trail_put(f, "b");
	trail_put(f, "c");
	for (i = 0; i < 3000 && access(pub, F_OK) < 0; i++)
		usleep(1000);
	assert_int_equal(state_count_lines(f, "\"event\":\"audit_key\""), 1);
	assert_true(trail_verify(f, NULL) >= 2);
}

static void
test_no_checkpoint_without_a_key(void **state)
{
	struct state_fixture *f = *state;
	struct writer_trail t;

	writer_put_checkpoint(f->writer, state_done, (void *)"asked");
	assert_true(state_wait_done(f, 1));
	assert_string_equal(state_done_log, "asked!");
	assert_string_equal(state_done_error.msg, "there is no key to sign a "
	    "checkpoint with yet");
	state_assert_healthy(f);
	writer_get_trail(f->writer, &t);
	assert_null(t.checkpoint);
	assert_string_equal(t.keys, "");
	writer_trail_clear(&t);
	trail_assert_reasons(f, "");
}

/* ------------------------------------------------------------- checkpoints */

static void
test_asked_for(void **state)
{
	struct state_fixture *f = *state;
	struct writer_trail t;

	trail_give_key(f, 'a');
	state_put_line(f, "a", true);
	fake_disk_reset();
	writer_put_checkpoint(f->writer, state_done, (void *)"asked");
	assert_true(state_wait_done(f, 2));
	assert_true(fake_disk_count(FAKE_DISK_FDATASYNC, "audit.jsonl") > 0);
	writer_get_trail(f->writer, &t);
	assert_non_null(strstr(t.checkpoint, "\"event\":\"checkpoint\","
	    "\"reason\":\"asked\",\"records\":1,"));
	writer_trail_clear(&t);
	assert_string_equal(state_done_log, "a asked");
	fake_disk_fail(FAKE_DISK_FDATASYNC, "audit.jsonl", EIO, 0, -1);
	fake_disk_fail(FAKE_DISK_OPEN, "audit.jsonl", EIO, 0, -1);
	writer_put_checkpoint(f->writer, state_done, (void *)"asked");
	assert_true(state_wait_done(f, 1));
	assert_string_equal(state_done_log, "a asked asked!");
	assert_int_equal(writer_health(f->writer, &state_done_error), -1);
	fake_disk_reset();
	/* the count begins where the last one is that there is */
	writer_put_checkpoint(f->writer, state_done, (void *)"asked");
	assert_true(state_wait_done(f, 1));
	state_assert_healthy(f);
	trail_assert_reasons(f, "started asked asked");
}

static void
test_every_so_many_lines(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *reasons = NULL;
	int i;

	state_stop(f);
	f->env.checkpoint_records = 10;
	state_restart(f);
	trail_give_key(f, 'a');
	for (i = 0; i < 35; i++) /* some groups, whatever their size */
		state_put_line(f, "x", i % 7 == 0);
	assert_true(state_wait_done(f, 35));
	trail_assert_reasons(f, "started records records records");
	/* what is in no checkpoint yet counts over a restart */
	f->env.checkpoint_records = 6;
	state_restart(f);
	assert_int_equal(trail_verify(f, &reasons), 5);
	assert_string_equal(reasons,
	    "started records records records stop");
}

static void
test_after_a_while_with_news(void **state)
{
	struct state_fixture *f = *state;
	unsigned n = 0;
	int i;

	state_stop(f);
	f->env.checkpoint_ms = 20;
	state_restart(f);
	trail_give_key(f, 'a');
	state_put_line(f, "x", false);
	assert_true(state_wait_done(f, 1));
	for (i = 0; i < 3000 && n < 2; i++) {
		usleep(1000);
		n = state_count_lines(f, "\"event\":\"checkpoint\"");
	}
	trail_assert_reasons(f, "started time");
	usleep(60000); /* nothing is new */
	trail_assert_reasons(f, "started time");
	state_restart(f);
	trail_assert_reasons(f, "started time");
}

/* One that could be lost is not shown. */
static void
test_shown_when_durable(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *first = NULL;
	struct writer_trail t;
	int i;

	state_stop(f);
	f->env.checkpoint_records = 3;
	state_restart(f);
	trail_give_key(f, 'a');
	state_barrier(f);
	writer_get_trail(f->writer, &t);
	first = xstrdup(t.checkpoint);
	writer_trail_clear(&t);
	fake_disk_hold_syncs("audit.jsonl");
	for (i = 0; i < 3; i++)
		state_put_line(f, "x", false);
	assert_true(state_wait_done(f, 3));
	for (i = 0; i < 3000 &&
	    !state_count_lines(f, "\"reason\":\"records\""); i++)
		usleep(1000);
	writer_get_trail(f->writer, &t);
	assert_string_equal(t.checkpoint, first);
	writer_trail_clear(&t);
	fake_disk_release();
	state_barrier(f);
	writer_get_trail(f->writer, &t);
	assert_non_null(strstr(t.checkpoint, "\"reason\":\"records\""));
	writer_trail_clear(&t);
}

/* ---------------------------------------------------------------- rotation */

static void
test_rotation(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *reasons = NULL;
	_cleanup_free_ char *text = NULL;
	struct writer_trail t;
	char *files, *save = NULL, *name;
	unsigned i, n = 0;

	trail_small_files(f, 1500, 0);
	for (i = 0; i < 60; i++)
		trail_put(f, "x");
	assert_true(trail_count_files(f) >= 3);
	trail_verify(f, &reasons);
	assert_non_null(strstr(reasons, "started rotation rotation"));
	/* each older file ends with a checkpoint, and is named after it */
	writer_get_trail(f->writer, &t);
	files = t.files;
	for (name = strtok_r(files, "\n", &save); name;
	    name = strtok_r(NULL, "\n", &save), n++) {
		unsigned long long seq;
		_cleanup_free_ char *part = state_read(f->log_dir, name);
		_cleanup_free_ char *want = NULL;
		const char *last = part;

		if (sscanf(name, "audit-%llu.jsonl", &seq) != 1) {
			assert_string_equal(name, "audit.jsonl");
			continue;
		}
		assert_in_range(strlen(part), 1500, 3000);
		while (strchr(last, '\n')[1])
			last = strchr(last, '\n') + 1;
		want = xasprintf("{\"seq\":%llu,", seq);
		assert_ptr_equal(strstr(last, want), last);
		assert_non_null(strstr(last, "\"reason\":\"rotation\""));
	}
	assert_int_equal(n, trail_count_files(f) + 1);
	writer_trail_clear(&t);
	state_restart(f);
	trail_put(f, "y");
	trail_verify(f, NULL);
	/* an audit.jsonl that nobody has written to since is never left */
	text = state_read(f->log_dir, "audit.jsonl");
	assert_non_null(strstr(text, "\"seq\":"));
}

/* No key, no checkpoint; the files are rotated all the same. */
static void
test_rotation_without_a_key(void **state)
{
	struct state_fixture *f = *state;
	int i;

	state_stop(f);
	f->env.audit_max_size = 1000;
	state_restart(f);
	for (i = 0; i < 30; i++)
		trail_put(f, "x");
	assert_true(trail_count_files(f) >= 2);
	assert_int_equal(state_verify_chain(f, false), 30);
}

static void
test_older_files_may_be_moved_away(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *kept = NULL, *again = NULL;
	unsigned long long seq, before;
	int i;

	trail_small_files(f, 1500, 0);
	for (i = 0; i < 40; i++)
		trail_put(f, "x");
	state_move_older(f);
	assert_int_equal(trail_count_files(f), 0);
	kept = state_read(f->log_dir, "audit.jsonl");
	assert_int_equal(sscanf(kept, "{\"seq\":%llu,", &before), 1);
	assert_true(before > 1);
	for (i = 0; i < 40; i++)
		trail_put(f, "y");
	state_restart(f);
	state_move_older(f);
	state_restart(f);
	trail_give_key(f, 'a');
	trail_put(f, "z");
	again = state_read(f->log_dir, "audit.jsonl");
	assert_int_equal(sscanf(again, "{\"seq\":%llu,", &seq), 1);
	assert_true(seq > before);
	/* with the files back in place it is one chain */
	state_move_back(f);
	trail_verify(f, NULL);
	assert_int_equal(state_count_lines(f, "\"event\":\"y\""), 40);
}

static void
test_files_that_stay(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *all = NULL, *want = NULL;
	unsigned long long first = 0, seq = 0;
	const char *p, *hash;
	int i;

	trail_small_files(f, 1500, 2);
	for (i = 0; i < 80; i++)
		trail_put(f, "x");
	/* the last rotation is tidied up behind the line's back */
	for (i = 0; i < 3000 && trail_count_files(f) > 2; i++)
		usleep(1000);
	assert_int_equal(trail_count_files(f), 2);
	all = trail_read_all(f);
	sscanf(all, "{\"seq\":%llu,", &first);
	for (p = all; (p = strstr(p, "\"event\":\"files_removed\"")); p++)
		assert_int_equal(sscanf(p, "\"event\":\"files_removed\","
		    "\"file\":\"audit-%llu.jsonl\"", &seq), 1);
	/* the newest record leads to the first line that is left: its hash
	 * follows from the one in there */
	assert_int_equal(seq + 1, first);
	want = xasprintf("\"file\":\"audit-%020llu.jsonl\",\"last_hash\":\"",
	    seq);
	p = strstr(all, want);
	assert_non_null(p);
	hash = p + strlen(want);
	assert_true(state_follows(hash, all));
}

/* The record comes first, and where it cannot be written nothing goes. */
static void
test_nothing_is_removed_unrecorded(void **state)
{
	struct state_fixture *f = *state;
	unsigned i, n;

	trail_small_files(f, 1500, 1);
	fake_disk_fail(FAKE_DISK_UNLINK, "audit-", EIO, 0, -1);
	for (i = 0; i < 60; i++)
		trail_put(f, "x");
	n = (unsigned)trail_count_files(f);
	assert_true(n > 2);
	assert_true(state_count_lines(f, "files_removed") > 0);
	trail_verify(f, NULL);
	fake_disk_reset();
	for (i = 0; i < 60 && trail_count_files(f) > 1; i++)
		trail_put(f, "y");
	usleep(20000);
	assert_int_equal(trail_count_files(f), 1);
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
		T(test_first_key_is_announced),
		T(test_another_key_is_told),
		T(test_announcement_is_tried_again),
		T(test_no_checkpoint_without_a_key),
		T(test_asked_for),
		T(test_every_so_many_lines),
		T(test_after_a_while_with_news),
		T(test_shown_when_durable),
		T(test_rotation),
		T(test_rotation_without_a_key),
		T(test_older_files_may_be_moved_away),
		T(test_files_that_stay),
		T(test_nothing_is_removed_unrecorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
