/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation and checkpoints with a crash, or a disk that fails, at each call
 * they make; a clean run says how many there are.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_disk.h"
#include "trail_fixture.h"

#define LINES 24
static const char *const names[LINES] = { "l00", "l01", "l02", "l03", "l04",
	"l05", "l06", "l07", "l08", "l09", "l10", "l11", "l12", "l13", "l14",
	"l15", "l16", "l17", "l18", "l19", "l20", "l21", "l22", "l23" };

/* Puts the lines one by one; ok[i]: it was reported durable. */
static void
run_lines(struct state_fixture *f, bool ok[LINES])
{
	char what[32];
	int i;

	for (i = 0; i < LINES; i++) {
		state_done_log[0] = '\0';
		state_put_line(f, names[i], true);
		assert_true(state_wait_done(f, 1));
		snprintf(what, sizeof(what), "%s!", names[i]);
		ok[i] = !streq(state_done_log, what);
	}
}

static void
assert_all_there(struct state_fixture *f, const bool ok[LINES])
{
	_cleanup_free_ char *all = trail_read_all(f);
	char text[32];
	int i;

	for (i = 0; i < LINES; i++) {
		snprintf(text, sizeof(text), "\"event\":\"%s\"", names[i]);
		if (ok[i] && !strstr(all, text))
			fail_msg("%s was durable and is not there", names[i]);
	}
}

/* How many calls a clean run makes. */
static unsigned
clean_run(void)
{
	struct state_fixture *f;
	bool ok[LINES];
	unsigned n;

	fake_disk_reset();
	state_setup((void **)&f);
	trail_small_files(f, 800, 0);
	state_barrier(f);
	fake_disk_reset();
	run_lines(f, ok);
	n = fake_disk_calls();
	assert_true(trail_count_files(f) >= 1);
	assert_true(fake_disk_count(FAKE_DISK_LINK, NULL) >= 2);
	state_teardown((void **)&f);
	return n;
}

/* Nothing gets to the disk any more from one call on, as when the process is
 * killed in front of it: rotations included, the next start finds one chain
 * and all that was ever reported. */
static void
test_crash_at_every_call(void **state)
{
	unsigned n = clean_run(), i, killed = 0;
	struct state_fixture *f;

	for (i = 0; i < n; i++) {
		bool ok[LINES];

		fake_disk_reset();
		state_setup((void **)&f);
		trail_small_files(f, 800, 0);
		state_barrier(f);
		fake_disk_reset();
		fake_disk_fail_call(EIO, (int)i, -1);
		run_lines(f, ok);
		killed += !ok[LINES - 1];
		state_stop(f);
		fake_disk_reset();
		state_restart(f);
		trail_verify(f, NULL);
		assert_all_there(f, ok);
		trail_give_key(f, 'a');
		trail_put(f, "after");
		trail_verify(f, NULL);
		state_teardown((void **)&f);
	}
	print_message("crash points: %u found, %u killed\n", n, killed);
	assert_true(killed >= n - 4); /* the last line may have been through */
}

static void
fault_at(unsigned at, int error, int times, bool *failed)
{
	struct state_fixture *f;
	bool ok[LINES];
	int i;

	fake_disk_reset();
	state_setup((void **)&f);
	fake_disk_lose_pages();
	trail_small_files(f, 800, 0);
	trail_put(f, "first");
	fake_disk_fail_call(error, (int)at, times);
	run_lines(f, ok);
	*failed = false;
	for (i = 0; i < LINES; i++)
		*failed |= !ok[i];
	if (times < 0) {
		fake_disk_reset();
		trail_put(f, "after");
		assert_non_null(strstr(state_done_log, "after"));
		assert_null(strstr(state_done_log, "after!"));
	}
	assert_true(ok[LINES - 1] || times < 0);
	state_assert_healthy(f);
	trail_verify(f, NULL);
	assert_all_there(f, ok);
	state_restart(f);
	trail_verify(f, NULL);
	assert_all_there(f, ok);
	state_teardown((void **)&f);
}

/* One call fails, whichever, and a failed sync drops the pages: the next sync
 * of that file would lie. */
static void
test_one_fault_at_every_call(void **state)
{
	static const int errors[] = { ENOSPC, EIO };
	unsigned n = clean_run(), i, told = 0;
	size_t e;
	bool failed;

	for (e = 0; e < ARRAY_SIZE(errors); e++)
		for (i = 0; i < n; i++) {
			fault_at(i, errors[e], 1, &failed);
			told += failed;
		}
	print_message("faults: %u found, %u told\n", 2 * n, told);
	assert_true(told < n); /* most are made good for, nobody notices */
}

static void
test_disk_that_stays_away_from_every_call(void **state)
{
	unsigned n = clean_run(), i;
	bool failed;

	for (i = 0; i < n; i++) {
		fault_at(i, i % 2 ? EIO : ENOSPC, -1, &failed);
		assert_true(failed || i + 4 > n);
	}
}

/* A crash between the two names, made by hand: what stands behind the line
 * that the older name speaks of belongs into the new file. */
static void
test_file_with_two_names(void **state)
{
	static const struct {
		unsigned seq;
		const char *listing;
	} table[] = {
		{ 3, "audit-00000000000000000003.jsonl audit.jsonl" },
		{ 2, "audit-00000000000000000002.jsonl audit.jsonl" },
		{ 7, "audit.jsonl" }, /* it cannot be that file */
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		struct state_fixture *f;
		_cleanup_free_ char *from = NULL, *to = NULL, *text = NULL;
		char want[32];

		state_setup((void **)&f);
		trail_put(f, "a");
		trail_put(f, "b");
		trail_put(f, "c");
		state_stop(f);
		from = xasprintf("%s/audit.jsonl", f->log_dir);
		to = xasprintf("%s/audit-%020u.jsonl", f->log_dir,
		    table[i].seq);
		assert_int_equal(link(from, to), 0);
		state_restart(f);
		state_assert_listing(f->log_dir, table[i].listing);
		trail_put(f, "d");
		assert_int_equal(state_verify_chain(f, false), 4);
		text = state_read(f->log_dir, "audit.jsonl");
		snprintf(want, sizeof(want), "{\"seq\":%u,",
		    table[i].seq == 7 ? 1 : table[i].seq + 1);
		assert_ptr_equal(strstr(text, want), text);
		state_teardown((void **)&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash_at_every_call),
		cmocka_unit_test(test_one_fault_at_every_call),
		cmocka_unit_test(test_disk_that_stays_away_from_every_call),
		cmocka_unit_test(test_file_with_two_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
