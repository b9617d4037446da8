/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log as files, seen through the writer: faults, and starts.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_disk.h"
#include "state_fixture.h"

static struct writer_item *
put_record(struct state_fixture *f, const char *name, const char *bytes)
{
	struct writer_rec rec = { .kind = WRITER_RECORD,
		.name = xstrdup(name),
		.bytes = (unsigned char *)xstrdup(bytes),
		.len = strlen(bytes) };

	return writer_put(f->writer, &rec, state_done, (void *)name);
}

/* One fault, and a new file can be made: nobody notices but the directory. */
static void
test_condemned_segment_is_rewritten(void **state)
{
	static const struct {
		enum fake_disk_op op;
		int error;
		bool cut_fails;
	} table[] = {
		{ FAKE_DISK_FDATASYNC, EIO, false },
		{ FAKE_DISK_WRITE, ENOSPC, false },
		{ FAKE_DISK_FDATASYNC, EIO, true },
	};
	struct state_fixture *f = *state;
	unsigned total = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		fake_disk_reset();
		state_done_log[0] = '\0';
		state_put_line(f, "durable", true);
		assert_true(state_wait_done(f, 1));
		/* written, reported, not synced: must survive as well */
		state_put_line(f, "buffered", false);
		assert_true(state_wait_done(f, 1));
		fake_disk_fail(table[i].op, "audit.jsonl", table[i].error, 0,
		    1);
		if (table[i].cut_fails)
			fake_disk_fail(FAKE_DISK_FTRUNCATE, NULL, EIO, 0, -1);
		state_put_line(f, "rescued", true);
		assert_true(state_wait_done(f, 1));
		assert_string_equal(state_done_log,
		    "durable buffered rescued");
		total += 3;
		assert_int_equal(state_verify_chain(f, table[i].cut_fails),
		    total);
		state_assert_healthy(f);
	}
	state_assert_listing(f->log_dir, "audit-00000000000000000001.jsonl "
	    "audit-00000000000000000004.jsonl "
	    "audit-00000000000000000007.jsonl audit.jsonl");
	state_restart(f);
	state_put_line(f, "after", true);
	assert_true(state_wait_done(f, 1));
	assert_int_equal(state_verify_chain(f, true), total + 1);
}

static void
test_short_write_then_full(void **state)
{
	struct state_fixture *f = *state;

	state_put_line(f, "a", true);
	assert_true(state_wait_done(f, 1));
	fake_disk_short_write("audit.jsonl", 10);
	state_put_line(f, "b", true); /* goes on where it stopped */
	assert_true(state_wait_done(f, 1));
	state_assert_listing(f->log_dir, "audit.jsonl");
	fake_disk_reset();
	fake_disk_short_write("audit.jsonl", 10);
	fake_disk_fail(FAKE_DISK_WRITE, "audit.jsonl", ENOSPC, 0, -1);
	state_put_line(f, "c", true);
	assert_true(state_wait_done(f, 1));
	assert_string_equal(state_done_log, "a b c!");
	assert_string_equal(state_done_error.msg,
	    "cannot write the audit log: No space left on device");
	fake_disk_reset();
	state_put_line(f, "d", true);
	assert_true(state_wait_done(f, 1));
	assert_int_equal(state_verify_chain(f, false), 3);
	assert_int_equal(state_count_lines(f, "\"c\""), 0);
}

/* While the disk refuses, each waiter is told; later everything goes on, in
 * one chain without a gap, and nothing that was reported durable is missing. */
static void
test_refusing_disk_and_recovery(void **state)
{
	static const struct {
		enum fake_disk_op op;
		const char *part;
		int error;
	} table[] = {
		{ FAKE_DISK_WRITE, "audit", ENOSPC },
		{ FAKE_DISK_FSYNC, "audit.jsonl", EIO },
		{ FAKE_DISK_OPEN, "audit", EROFS },
		{ FAKE_DISK_LINK, "audit", EIO },
		{ FAKE_DISK_RENAME, "audit", EIO },
		{ FAKE_DISK_FSYNC, "/log$", EIO },
	};
	struct state_fixture *f = *state;
	struct tb_error err = TB_ERROR_INIT;
	struct writer_stats stats;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		fake_disk_reset();
		state_put_line(f, "ok", true);
		state_put_line(f, "buffered", false);
		assert_true(state_wait_done(f, 2));
		fake_disk_fail(FAKE_DISK_FDATASYNC, "audit", EIO, 0, -1);
		fake_disk_fail(table[i].op, table[i].part, table[i].error, 0,
		    -1);
		for (j = 0; j < 3; j++) {
			state_done_log[0] = '\0';
			state_put_line(f, "lost", true);
			put_record(f, "r.tbr", "fine");
			state_put_line(f, "lost", false);
			assert_true(state_wait_done(f, 3));
			assert_string_equal(state_done_log,
			    "lost! r.tbr lost!");
			assert_int_equal(writer_health(f->writer, &err), -1);
			assert_non_null(strstr(err.msg,
			    "cannot write the audit log: "));
		}
		fake_disk_reset();
		state_done_log[0] = '\0';
		state_put_line(f, "ok", true);
		assert_true(state_wait_done(f, 1));
		assert_string_equal(state_done_log, "ok");
		state_assert_healthy(f);
		assert_int_equal(state_verify_chain(f, true), 3 * (i + 1));
		assert_int_equal(state_count_lines(f, "lost"), 0);
		assert_int_equal(state_count_lines(f, "buffered"), i + 1);
	}
	writer_get_stats(f->writer, &stats);
	assert_int_equal(stats.lost, 6 * ARRAY_SIZE(table));
	assert_int_equal(stats.errors, 6 * ARRAY_SIZE(table));
}

/* Buffered lines are rescued by themselves once the disk is well. */
static void
test_buffered_lines_are_retried_when_idle(void **state)
{
	struct state_fixture *f = *state;
	struct tb_error err = TB_ERROR_INIT;
	int i;

	state_put_line(f, "buffered", false);
	assert_true(state_wait_done(f, 1));
	fake_disk_fail(FAKE_DISK_FDATASYNC, "audit", EIO, 0, -1);
	fake_disk_fail(FAKE_DISK_LINK, "audit", EIO, 0, -1);
	fake_disk_fail(FAKE_DISK_OPEN, "audit", EIO, 0, -1);
	state_put_line(f, "x", true);
	assert_true(state_wait_done(f, 1));
	assert_int_equal(writer_health(f->writer, &err), -1);
	fake_disk_reset();
	for (i = 0; i < 3000 && writer_health(f->writer, &err) < 0; i++)
		usleep(1000);
	state_assert_healthy(f);
	assert_int_equal(state_verify_chain(f, false), 1);
}

static void
test_torn_line_is_cut_off(void **state)
{
	static const struct {
		const char *tail, *torn;
	} table[] = {
		{ "{\"seq\":3,\"event\":\"x", "{\"seq\":3,\"event\":\"x\n" },
		{ "{\"seq\":3,\"event\":\"x\"}\n",
		    "{\"seq\":3,\"event\":\"x\"}\n\n" },
		{ "\n", "\n\n" },
		{ "garbage\n{\"seq\":9,\n\n", "garbage\n{\"seq\":9,\n\n\n" },
	};
	struct state_fixture *f = *state;
	unsigned lines = 2;
	uint64_t behind;
	size_t i;

	state_put_line(f, "a", true);
	state_put_line(f, "b", true);
	assert_true(state_wait_done(f, 2));
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		_cleanup_free_ char *good = state_read(f->log_dir,
		    "audit.jsonl");
		_cleanup_free_ char *bad = xasprintf("%s%s", good,
		    table[i].tail);
		_cleanup_free_ char *torn = xasprintf("%s/audit.jsonl.torn",
		    f->log_dir);

		state_write(f->log_dir, "audit.jsonl", bad);
		unlink(torn);
		state_restart(f);
		assert_int_equal(writer_torn(f->writer, &behind),
		    strlen(table[i].tail));
		assert_int_equal(behind, lines);
		state_assert_file(f->log_dir, "audit.jsonl", good);
		state_assert_file(f->log_dir, "audit.jsonl.torn", table[i].torn);
		state_put_line(f, "c", true);
		assert_true(state_wait_done(f, 1));
		assert_int_equal(state_verify_chain(f, false), ++lines);
	}
}

/* A power cut right after a disk that had stalled: more is lost than what is
 * looked at first, and the daemon starts all the same. */
static void
test_long_torn_end(void **state)
{
	static const size_t bytes = (size_t)5 << 20;
	struct state_fixture *f = *state;
	_cleanup_free_ char *path = xasprintf("%s/audit.jsonl", f->log_dir);
	struct stat st;
	uint64_t behind;

	state_put_line(f, "a", true);
	assert_true(state_wait_done(f, 1));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size + (off_t)bytes), 0);
	state_restart(f);
	assert_int_equal(writer_torn(f->writer, &behind), bytes);
	assert_int_equal(behind, 1);
	state_put_line(f, "b", true);
	assert_true(state_wait_done(f, 1));
	assert_int_equal(state_verify_chain(f, false), 2);
}

/* The crash came after the condemned file got its name, or the current one
 * was removed: the chain goes on from the newest file that has a line. */
static void
test_head_from_an_older_file(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *from = xasprintf("%s/audit.jsonl", f->log_dir);
	_cleanup_free_ char *to = xasprintf("%s/audit-%020d.jsonl",
	    f->log_dir, 2);

	state_put_line(f, "a", true);
	state_put_line(f, "b", true);
	assert_true(state_wait_done(f, 2));
	assert_int_equal(rename(from, to), 0);
	state_write(f->log_dir, "audit.jsonl.new", "left over");
	state_write(f->log_dir, "audit-1.jsonl", "not one of ours");
	state_restart(f);
	state_put_line(f, "c", true);
	assert_true(state_wait_done(f, 1));
	state_assert_file(f->log_dir, "audit.jsonl.new", NULL);
	_cleanup_free_ char *other = xasprintf("%s/audit-1.jsonl", f->log_dir);

	unlink(other);
	assert_int_equal(state_verify_chain(f, false), 3);
}

/* Somebody moved the file away while it was being written, and then the disk
 * failed: still no dead end. */
static void
test_file_moved_away(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *from = xasprintf("%s/audit.jsonl", f->log_dir);
	_cleanup_free_ char *to = xasprintf("%s/audit-%020d.jsonl",
	    f->log_dir, 1);

	state_put_line(f, "a", true);
	assert_true(state_wait_done(f, 1));
	assert_int_equal(rename(from, to), 0);
	fake_disk_fail(FAKE_DISK_FDATASYNC, "audit", EIO, 0, 1);
	state_put_line(f, "b", true);
	assert_true(state_wait_done(f, 1));
	assert_string_equal(state_done_log, "a b");
	assert_int_equal(state_verify_chain(f, false), 2);
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
		T(test_condemned_segment_is_rewritten),
		T(test_short_write_then_full),
		T(test_refusing_disk_and_recovery),
		T(test_buffered_lines_are_retried_when_idle),
		T(test_torn_line_is_cut_off),
		T(test_long_torn_end),
		T(test_head_from_an_older_file),
		T(test_file_moved_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
