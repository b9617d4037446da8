/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_disk.h"
#include "fake_loop.h"
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

static struct writer_item *
put_delete(struct state_fixture *f, const char *name)
{
	struct writer_rec rec = { .kind = WRITER_DELETE,
		.name = xstrdup(name) };

	return writer_put(f->writer, &rec, state_done, (void *)name);
}

/* Parks the writer in the sync of a line, so that what the test puts next is
 * one group. */
static void
park(struct state_fixture *f)
{
	unsigned i;

	state_barrier(f);
	fake_disk_reset();
	fake_disk_hold_syncs("audit.jsonl");
	state_put_line(f, "park", true);
	for (i = 0; i < 5000 &&
	    !fake_disk_count(FAKE_DISK_FDATASYNC, NULL); i++)
		usleep(1000);
	assert_int_equal(fake_disk_count(FAKE_DISK_FDATASYNC, NULL), 1);
}

static void
test_everything_lands_in_order(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *log = NULL;

	put_record(f, "a.1.tbr", "one");
	state_put_line(f, "l1", true);
	put_record(f, "a.2.tbr", "two");
	state_put_line(f, "l2", false);
	put_record(f, "a.1.tbr", "three");
	put_delete(f, "a.2.tbr");
	put_delete(f, "never.there.tbr");
	assert_string_equal(state_done_log, ""); /* never before it returns */
	assert_true(state_wait_done(f, 7));
	assert_string_equal(state_done_log, "a.1.tbr l1 a.2.tbr l2 a.1.tbr "
	    "a.2.tbr never.there.tbr");
	state_assert_file(f->state_dir, "a.1.tbr", "three");
	state_assert_listing(f->state_dir, "a.1.tbr");
	state_assert_listing(f->log_dir, "audit.jsonl");
	assert_int_equal(state_verify_chain(f, false), 2);
	log = state_read(f->log_dir, "audit.jsonl");
	assert_ptr_equal(strstr(log, "{\"seq\":1,\"event\":\"l1\",\"hash\":\""),
	    log);
	assert_non_null(strstr(log, "\n{\"seq\":2,\"event\":\"l2\",\"hash\""));
	state_assert_healthy(f);
}

static void
test_modes(void **state)
{
	struct state_fixture *f = *state;
	static const struct {
		bool log;
		const char *name;
		mode_t mode;
	} table[] = {
		{ false, ".", 0700 }, { true, ".", 0750 },
		{ false, "a.1.tbr", 0600 }, { true, "audit.jsonl", 0640 },
	};
	struct stat st;
	size_t i;

	put_record(f, "a.1.tbr", "x");
	assert_true(state_wait_done(f, 1));
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", table[i].log ?
		    f->log_dir : f->state_dir, table[i].name);

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, table[i].mode);
	}
}

static void
test_a_group_is_one_write_and_one_sync(void **state)
{
	struct state_fixture *f = *state;
	struct writer_stats before, after;
	_cleanup_free_ char *trace = NULL;
	int i;

	park(f);
	writer_get_stats(f->writer, &before);
	for (i = 0; i < 100; i++)
		state_put_line(f, "x", i % 2);
	fake_disk_release();
	assert_true(state_wait_done(f, 101));
	writer_get_stats(f->writer, &after);
	assert_int_equal(after.groups - before.groups, 2);
	assert_int_equal(after.items - before.items, 101);
	assert_int_equal(after.syncs - before.syncs, 2);
	assert_int_equal(after.queued, 0);
	trace = fake_disk_trace();
	assert_string_equal(trace, "write audit.jsonl\n"
	    "fdatasync audit.jsonl\nwrite audit.jsonl\n"
	    "fdatasync audit.jsonl\n");
	assert_int_equal(state_verify_chain(f, false), 102);
}

static void
test_records_share_a_directory_sync(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *trace = NULL;

	park(f);
	put_record(f, "a.tbr", "1");
	put_record(f, "b.tbr", "2");
	put_delete(f, "a.tbr");
	fake_disk_release();
	assert_true(state_wait_done(f, 4));
	trace = fake_disk_trace();
	assert_string_equal(strstr(trace, "unlink"),
	    "unlink .a.tbr.tmp\nopen .a.tbr.tmp\nwrite .a.tbr.tmp\n"
	    "fsync .a.tbr.tmp\nrename a.tbr\n"
	    "unlink .b.tbr.tmp\nopen .b.tbr.tmp\nwrite .b.tbr.tmp\n"
	    "fsync .b.tbr.tmp\nrename b.tbr\n"
	    "unlink a.tbr\nfsync state\n");
}

/* A durable line is not on disk before the record that was put earlier; a
 * buffered one does not ask for the sync. */
static void
test_a_record_is_durable_before_a_later_line(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *trace = NULL;

	park(f);
	put_record(f, "a.tbr", "1");
	state_put_line(f, "buffered", false);
	put_record(f, "b.tbr", "1");
	state_put_line(f, "durable", true);
	fake_disk_release();
	assert_true(state_wait_done(f, 5));
	trace = fake_disk_trace();
	assert_string_equal(strstr(trace, "rename a.tbr"),
	    "rename a.tbr\nwrite audit.jsonl\n"
	    "unlink .b.tbr.tmp\nopen .b.tbr.tmp\nwrite .b.tbr.tmp\n"
	    "fsync .b.tbr.tmp\nrename b.tbr\n"
	    "fsync state\nwrite audit.jsonl\nfdatasync audit.jsonl\n");
}

static void
test_done_waits_for_the_sync(void **state)
{
	struct state_fixture *f = *state;

	park(f);
	assert_false(fake_loop_wait_wake(50));
	assert_string_equal(state_done_log, "");
	fake_disk_release();
	assert_true(state_wait_done(f, 1));
	assert_string_equal(state_done_log, "park");
}

static void
test_forgotten_is_written_and_not_called(void **state)
{
	struct state_fixture *f = *state;
	struct writer_item *line, *record, *none = NULL;

	park(f);
	line = state_put_line(f, "forgotten", true);
	record = put_record(f, "a.tbr", "x");
	state_put_line(f, "kept", true);
	writer_forget(&line);
	writer_forget(&record);
	writer_forget(&none);
	assert_null(line);
	fake_disk_release();
	assert_true(state_wait_done(f, 2));
	assert_string_equal(state_done_log, "park kept");
	state_assert_file(f->state_dir, "a.tbr", "x");
	assert_int_equal(state_count_lines(f, "forgotten"), 1);
}

static struct writer_item *later;

static void
forget_later(void *arg, const struct tb_error *err)
{
	writer_forget(&later);
	state_done(arg, err);
}

/* A done may forget one that is finished as well, and put a new one. */
static void
test_forget_from_a_done(void **state)
{
	struct state_fixture *f = *state;

	park(f);
	writer_put_line(f->writer, "{\"a\":1}", 7, true, forget_later,
	    (void *)"first");
	later = state_put_line(f, "later", true);
	state_put_line(f, "last", true);
	fake_disk_release();
	assert_true(state_wait_done(f, 3));
	assert_string_equal(state_done_log, "park first last");
}

static void
test_stop_writes_all_and_calls_nobody(void **state)
{
	struct state_fixture *f = *state;
	int i;

	for (i = 0; i < 50; i++)
		state_put_line(f, "x", false);
	writer_put_line(f->writer, "{\"event\":\"lazy\"}", 16, false, NULL,
	    NULL);
	put_record(f, "a.tbr", "x");
	state_restart(f);
	assert_string_equal(state_done_log, "");
	state_assert_file(f->state_dir, "a.tbr", "x");
	assert_int_equal(state_verify_chain(f, false), 51);
}

static void
test_chain_goes_on_after_a_restart(void **state)
{
	struct state_fixture *f = *state;
	struct writer_trail before, after;
	uint64_t behind;

	writer_get_trail(f->writer, &before);
	assert_int_equal(before.seq, 0);
	assert_int_equal(strspn(before.hash, "0"), 64);
	writer_trail_clear(&before);
	state_put_line(f, "a", true);
	assert_true(state_wait_done(f, 1));
	writer_get_trail(f->writer, &before);
	state_restart(f);
	writer_get_trail(f->writer, &after);
	assert_int_equal(after.seq, 1);
	assert_string_equal(before.hash, after.hash);
	assert_int_equal(writer_torn(f->writer, &behind), 0);
	writer_trail_clear(&before);
	writer_trail_clear(&after);
	state_put_line(f, "b", true);
	assert_true(state_wait_done(f, 1));
	assert_int_equal(state_verify_chain(f, false), 2);
}

/* Lines that nobody waits for wake nobody, and are synced by themselves. */
static void
test_lazy_lines(void **state)
{
	struct state_fixture *f = *state;
	struct writer_stats stats;
	int i;

	fake_disk_reset();
	for (i = 0; i < 1000; i++)
		assert_null(writer_put_line(f->writer, "{\"a\":1}", 7, false,
		    NULL, NULL));
	for (i = 0; i < 3000; i++) {
		writer_get_stats(f->writer, &stats);
		if (stats.syncs)
			break;
		usleep(1000);
	}
	assert_int_equal(stats.syncs, 1);
	assert_true(stats.groups < 50);
	assert_int_equal(stats.items, 1000);
	assert_false(fake_loop_wait_wake(1));
	assert_int_equal(state_verify_chain(f, false), 1000);
}

static void
test_backlog_is_bounded(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *big = xcalloc(1, 1 << 20);
	struct writer_stats stats;
	int i;

	memset(big, 'x', 1 << 20);
	memcpy(big, "{\"a\":\"", 6);
	memcpy(big + (1 << 20) - 2, "\"}", 2);
	park(f);
	assert_false(writer_is_behind(f->writer));
	for (i = 0; i < 40; i++)
		writer_put_line(f->writer, big, 1 << 20, false, NULL, NULL);
	assert_true(writer_is_behind(f->writer));
	state_put_line(f, "waited-for", true);
	writer_get_stats(f->writer, &stats);
	assert_int_equal(stats.lost, 8);
	fake_disk_release();
	assert_true(state_wait_done(f, 2));
	assert_string_equal(state_done_log, "park waited-for");
	assert_false(writer_is_behind(f->writer));
	assert_int_equal(state_count_lines(f, "xxx"), 32);
}

/* ---------------------------------------------------------------- faults */

static void
test_failing_record(void **state)
{
	static const struct {
		enum fake_disk_op op;
		const char *part;
		int error;
		const char *msg;
	} table[] = {
		{ FAKE_DISK_OPEN, "b.tbr", EACCES,
		    "cannot make .b.tbr.tmp: Permission denied" },
		{ FAKE_DISK_WRITE, "b.tbr", ENOSPC,
		    "cannot write .b.tbr.tmp: No space left on device" },
		{ FAKE_DISK_FSYNC, "b.tbr", EIO,
		    "cannot write .b.tbr.tmp: Input/output error" },
		{ FAKE_DISK_RENAME, "b.tbr", EROFS,
		    "cannot rename .b.tbr.tmp to b.tbr: "
		    "Read-only file system" },
	};
	struct state_fixture *f = *state;
	struct tb_error err = TB_ERROR_INIT;
	size_t i;

	put_record(f, "b.tbr", "old");
	assert_true(state_wait_done(f, 1));
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		fake_disk_reset();
		state_done_log[0] = '\0';
		fake_disk_fail(table[i].op, table[i].part, table[i].error, 0,
		    -1);
		put_record(f, "a.tbr", "fine");
		put_record(f, "b.tbr", "new");
		assert_true(state_wait_done(f, 2));
		assert_string_equal(state_done_log, "a.tbr b.tbr!");
		assert_int_equal(state_done_error.code, TB_E_IO);
		assert_string_equal(state_done_error.msg, table[i].msg);
		assert_int_equal(writer_health(f->writer, &err), -1);
		assert_string_equal(err.msg, table[i].msg);
		state_assert_file(f->state_dir, "b.tbr", "old");
		state_assert_listing(f->state_dir, "a.tbr b.tbr");
		fake_disk_reset();
		put_record(f, "b.tbr", "old");
		assert_true(state_wait_done(f, 1));
		state_assert_healthy(f);
	}
}

/* The state directory is looked at again by itself, however busy the audit log
 * keeps the writer. */
static void
test_failing_record_heals_under_load(void **state)
{
	struct state_fixture *f = *state;
	struct tb_error err = TB_ERROR_INIT;
	unsigned i;

	fake_disk_fail(FAKE_DISK_OPEN, "b.tbr", EACCES, 0, -1);
	put_record(f, "b.tbr", "x");
	assert_true(state_wait_done(f, 1));
	assert_int_equal(writer_health(f->writer, &err), -1);
	for (i = 0; i < 300 && writer_health(f->writer, &err) < 0; i++) {
		state_barrier(f);
		usleep(5000);
	}
	state_assert_healthy(f);
}

static void
test_failing_directory_sync(void **state)
{
	struct state_fixture *f = *state;

	park(f);
	fake_disk_fail(FAKE_DISK_FSYNC, "/state", EIO, 2, 1);
	put_record(f, "a.tbr", "1");
	put_record(f, "b.tbr", "2");
	state_put_line(f, "l", true);
	put_record(f, "c.tbr", "3");
	fake_disk_release();
	assert_true(state_wait_done(f, 5));
	assert_string_equal(state_done_log, "park a.tbr! b.tbr! l c.tbr");
	assert_string_equal(state_done_error.msg,
	    "cannot sync the state directory: Input/output error");
}

static void
test_failing_delete(void **state)
{
	struct state_fixture *f = *state;

	put_record(f, "a.tbr", "x");
	assert_true(state_wait_done(f, 1));
	fake_disk_fail(FAKE_DISK_UNLINK, "a.tbr", EROFS, 0, -1);
	put_delete(f, "a.tbr");
	assert_true(state_wait_done(f, 1));
	assert_string_equal(state_done_log, "a.tbr a.tbr!");
	assert_string_equal(state_done_error.msg,
	    "cannot remove a.tbr: Read-only file system");
}

static void
test_put_error_keeps_its_place(void **state)
{
	struct state_fixture *f = *state;
	struct tb_error why = TB_ERROR_INIT;

	tb_error_set(&why, TB_E_LIMIT, "too big");
	state_put_line(f, "a", true);
	writer_put_error(f->writer, &why, state_done, (void *)"b");
	state_put_line(f, "c", true);
	assert_true(state_wait_done(f, 3));
	assert_string_equal(state_done_log, "a b! c");
	assert_int_equal(state_done_error.code, TB_E_LIMIT);
	assert_string_equal(state_done_error.msg, "too big");
	state_assert_healthy(f);
}

/* ----------------------------------------------------------------- start */

static void
assert_no_start(struct state_fixture *f, const char *state_dir,
    const char *log_dir, const char *msg)
{
	struct writer_env env = { .state_dir = state_dir,
		.log_dir = log_dir };
	struct tb_error err = TB_ERROR_INIT;

	assert_null(writer_start(f->loop, &env, &err));
	assert_int_equal(err.code, TB_E_IO);
	if (!strstr(err.msg, msg))
		fail_msg("'%s' does not say '%s'", err.msg, msg);
}

static void
test_refuses_to_start(void **state)
{
	struct state_fixture *f = *state;
	_cleanup_free_ char *open_dir = xasprintf("%s/open", f->dir);
	_cleanup_free_ char *other = xasprintf("%s/other", f->dir);
	_cleanup_free_ char *log = xasprintf("%s/log2", f->dir);
	_cleanup_free_ char *file = xasprintf("%s/file", f->dir);
	_cleanup_free_ char *big_log = xasprintf("%s/audit.jsonl", log);
	_cleanup_free_ char *big = xcalloc(1, (5 << 20) + 1);

	assert_no_start(f, f->state_dir, f->log_dir,
	    "is in use by another tokenbrokerd");
	assert_int_equal(mkdir(open_dir, 0755), 0);
	assert_no_start(f, open_dir, f->log_dir, open_dir);
	assert_no_start(f, other, open_dir, open_dir);
	state_write(f->dir, "file", "");
	assert_no_start(f, file, f->log_dir, file);

	assert_int_equal(mkdir(log, 0750), 0);
	memset(big, 'x', 5 << 20);
	state_write(log, "audit.jsonl", big);
	assert_no_start(f, other, log, "hold no line of ours");
	unlink(big_log);
	fake_disk_fail(FAKE_DISK_OPEN, "audit.jsonl", EROFS, 0, -1);
	assert_no_start(f, other, log, "cannot open the audit log "
	    "audit.jsonl: Read-only file system");
	fake_disk_reset();
	fake_disk_fail(FAKE_DISK_FSYNC, "audit.jsonl", EIO, 0, -1);
	assert_no_start(f, other, log, "cannot sync the audit log "
	    "audit.jsonl: Input/output error");
}

static void
put_text(struct state_fixture *f, const char *path, const char *bytes)
{
	struct writer_rec rec = { .kind = WRITER_TEXT,
		.name = xstrdup(path),
		.bytes = (unsigned char *)xstrdup(bytes),
		.len = strlen(bytes) };

	writer_put(f->writer, &rec, state_done, (void *)(uintptr_t)"text");
}

/* For others to read: readable whatever the umask, never half, not synced; and
 * when it cannot be written the disk is well all the same. */
static void
test_text_for_others(void **state)
{
	struct state_fixture *f = *state;
	char *path _cleanup_free_ = xasprintf("%s/x.prom", f->log_dir);
	char *link _cleanup_free_ = xasprintf("%s/.x.prom.tmp", f->log_dir);
	char *victim _cleanup_free_ = xasprintf("%s/victim", f->log_dir);
	mode_t mask = umask(077);
	struct stat st;

	state_barrier(f);
	fake_disk_reset();
	put_text(f, path, "one\n");
	assert_true(state_wait_done(f, 1));
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(fake_disk_count(FAKE_DISK_FSYNC, NULL), 0);
	/* another's link in the place of the temporary file is not followed */
	state_write(f->log_dir, "victim", "untouched");
	assert_int_equal(symlink(victim, link), 0);
	put_text(f, path, "two\n");
	assert_true(state_wait_done(f, 1));
	state_assert_file(f->log_dir, "x.prom", "two\n");
	state_assert_file(f->log_dir, "victim", "untouched");
	put_text(f, "/nonexistent/directory/x.prom", "three\n");
	assert_true(state_wait_done(f, 1));
	assert_non_null(strstr(state_done_log, "text!"));
	assert_non_null(strstr(state_done_error.msg, "/nonexistent/"));
	state_assert_healthy(f);
	fake_disk_fail(FAKE_DISK_RENAME, NULL, ENOSPC, 0, 1);
	put_text(f, path, "four\n");
	assert_true(state_wait_done(f, 1));
	state_assert_file(f->log_dir, "x.prom", "two\n");
	state_assert_healthy(f);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(victim), 0);
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
		T(test_everything_lands_in_order),
		T(test_modes),
		T(test_a_group_is_one_write_and_one_sync),
		T(test_records_share_a_directory_sync),
		T(test_a_record_is_durable_before_a_later_line),
		T(test_done_waits_for_the_sync),
		T(test_forgotten_is_written_and_not_called),
		T(test_forget_from_a_done),
		T(test_stop_writes_all_and_calls_nobody),
		T(test_chain_goes_on_after_a_restart),
		T(test_lazy_lines),
		T(test_backlog_is_bounded),
		T(test_failing_record),
		T(test_failing_record_heals_under_load),
		T(test_failing_directory_sync),
		T(test_failing_delete),
		T(test_put_error_keeps_its_place),
		T(test_text_for_others),
		T(test_refuses_to_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
