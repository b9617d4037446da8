/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lines of the audit log are events, that each is told once it is
 * durable, and that who was away finds all of them in the files.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "fake_disk.h"
#include "fake_loop.h"
#include "state/eventlog.h"
#include "trail_fixture.h"

#define TIME "\"time\":\"2026-11-22T17:20:00.000Z\""
#define BOOT ",\"boot\":\"01234567-89ab-cdef\""

static struct strbuf told = STRBUF_INIT;
static unsigned n_told;

static void
on_events(void *arg, const char *lines, size_t len)
{
	n_told++;
	strbuf_add(&told, lines, len);
}

static int
setup(void **state)
{
	if (state_setup(state) != 0)
		return -1;
	strbuf_clear(&told);
	n_told = 0;
	return 0;
}

static int
teardown(void **state)
{
	strbuf_clear(&told);
	return state_teardown(state);
}

/* ------------------------------------------------------------------- lines */

static void
test_which_lines(void **state)
{
	static const struct {
		const char *line;
		bool is_event;
		uint64_t seq;
	} table[] = {
		{ "{\"seq\":7," TIME BOOT ",\"event\":\"human_needed\","
		    "\"login\":\"ops\"}", true, 7 },
		{ "{\"seq\":18446744073709551615," TIME
		    ",\"event\":\"denied\"}\n", true, UINT64_MAX },
		{ "{\"seq\":8," TIME BOOT ",\"event\":\"sent\"}", false, 8 },
		/* the beginning of a name is not the name, nor is more */
		{ "{\"seq\":8," TIME ",\"event\":\"denie\"}", false, 8 },
		{ "{\"seq\":8," TIME ",\"event\":\"denied_\"}", false, 8 },
		{ "{\"seq\":8," TIME ",\"event\":\"denied}", false, 8 },
		/* what somebody wrote into a record is none */
		{ "{\"seq\":8," TIME ",\"event\":\"sent\",\"reason\":\""
		    ",\\\"event\\\":\\\"denied\\\"\"}", false, 8 },
		{ "{\"seq\":8,\"event\":\"denied\"}", false, 8 },
		{ "{\"seq\":x," TIME ",\"event\":\"denied\"}", true, 0 },
		{ "{\"seq\":8", false, 0 },
		{ "{\"sequence\":8,", false, 0 },
		{ "", false, 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		size_t len = strlen(table[i].line);
		char *copy = xstrndup(table[i].line, len);

		/* not a byte behind it */
		if (eventlog_is_event(copy, len) != table[i].is_event ||
		    eventlog_seq(copy, len) != table[i].seq)
			fail_msg("line %zu: %s", i, table[i].line);
		free(copy);
	}
}

/* -------------------------------------------------------------------- told */

static void
put_event(struct state_fixture *f, const char *event, unsigned n,
    bool durable)
{
	_cleanup_free_ char *text = xasprintf("{" TIME BOOT ",\"event\":\"%s\","
	    "\"login\":\"l%u\"}", event, n);

	writer_put_line(f->writer, text, strlen(text), durable,
	    durable ? state_done : NULL, (void *)(uintptr_t)"e");
	if (durable)
		assert_true(state_wait_done(f, 1));
}

static void
test_told_in_order(void **state)
{
	struct state_fixture *f = *state;
	uint64_t before = writer_events_seq(f->writer);

	writer_watch_events(f->writer, on_events, NULL);
	put_event(f, "authorised", 1, true);
	put_event(f, "human_needed", 2, true);
	put_event(f, "denied", 3, false);
	put_event(f, "revoked", 4, true);
	state_barrier(f);
	assert_non_null(strstr(strbuf_str(&told), "\"l2\""));
	assert_true(strstr(strbuf_str(&told), "\"l2\"") <
	    strstr(strbuf_str(&told), "\"l3\""));
	assert_true(strstr(strbuf_str(&told), "\"l3\"") <
	    strstr(strbuf_str(&told), "\"l4\""));
	assert_null(strstr(strbuf_str(&told), "\"l1\""));
	assert_int_equal(writer_events_seq(f->writer), before + 5);
	writer_watch_events(f->writer, NULL, NULL);
}

static void
test_not_told_before_it_is_durable(void **state)
{
	struct state_fixture *f = *state;
	uint64_t before, seq;
	size_t early;
	unsigned i;

	writer_watch_events(f->writer, on_events, NULL);
	state_barrier(f);
	fake_disk_reset();
	before = writer_events_seq(f->writer);
	fake_disk_hold_syncs("audit.jsonl");
	put_event(f, "human_needed", 1, false);
	/* written, and its sync hangs */
	for (i = 0; i < 5000 && !fake_disk_count(FAKE_DISK_FDATASYNC, NULL);
	     i++)
		usleep(1000);
	assert_int_equal(state_count_lines(f, "human_needed"), 1);
	fake_loop_wait_wake(50); /* nobody should */
	early = told.len;
	seq = writer_events_seq(f->writer);
	fake_disk_release();
	assert_int_equal(early, 0);
	assert_int_equal(seq, before);
	state_barrier(f);
	assert_non_null(strstr(strbuf_str(&told), "\"l1\""));
	writer_watch_events(f->writer, NULL, NULL);
}

static void
test_told_when_the_disk_fails(void **state)
{
	struct state_fixture *f = *state;
	struct tb_error err = TB_ERROR_INIT;

	writer_watch_events(f->writer, on_events, NULL);
	fake_disk_fail(FAKE_DISK_FDATASYNC, "audit", EIO, 0, -1);
	fake_disk_fail(FAKE_DISK_OPEN, "audit", EIO, 0, -1);
	put_event(f, "human_needed", 1, true);
	assert_int_equal(writer_health(f->writer, &err), -1);
	assert_true(n_told > 0);
	assert_string_equal(strbuf_str(&told), "");
	fake_disk_reset();
	writer_watch_events(f->writer, NULL, NULL);
}

/* ------------------------------------------------------------------- older */

struct found {
	struct strbuf names; /* "l1 l2 " */
	unsigned slices, gaps;
	uint64_t last_gap;
	bool done;
	struct eventlog_slice *slice;
};

static void
add_names(struct found *found, const char *lines)
{
	const char *p = lines;

	while ((p = strstr(p, "\"login\":\""))) {
		p += strlen("\"login\":\"");
		strbuf_add(&found->names, p, strcspn(p, "\""));
		strbuf_addc(&found->names, ' ');
	}
}

static uint64_t seen_to;

static void
on_read(void *arg, const struct tb_error *err)
{
	struct found *found = arg;

	assert_null(err);
	add_names(found, strbuf_str(&found->slice->lines));
	found->slices++;
	if (found->slice->gap_to) {
		found->gaps++;
		found->last_gap = found->slice->gap_to;
	}
	seen_to = found->slice->seen;
	found->done = true;
	state_done((void *)(uintptr_t)"read", NULL);
}

/* All behind line `after`, slice by slice. */
static void
read_all(struct state_fixture *f, uint64_t after, struct found *found)
{
	uint64_t until = writer_events_seq(f->writer);

	*found = (struct found){ .names = STRBUF_INIT };
	while (after < until) {
		found->slice = xnew(struct eventlog_slice);
		found->slice->after = after;
		found->done = false;
		writer_put_read(f->writer, found->slice, on_read, found);
		assert_true(state_wait_done(f, 1));
		assert_true(found->done && seen_to > after);
		after = seen_to;
	}
}

static unsigned
count(const char *s, const char *part)
{
	unsigned n = 0;

	for (; (s = strstr(s, part)); s++)
		n++;
	return n;
}

static void
fill(struct state_fixture *f, unsigned n)
{
	unsigned i;

	for (i = 1; i <= n; i++) {
		put_event(f, "authorised", 1000 + i, i % 7 == 0);
		put_event(f, "login_failed", i, i % 5 == 0);
	}
	state_barrier(f);
}

static void
test_all_is_found_in_the_files(void **state)
{
	struct state_fixture *f = *state;
	struct strbuf want _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct found found;
	unsigned i;

	trail_small_files(f, 8192, 0);
	fill(f, 200);
	assert_true(trail_count_files(f) > 4);
	state_restart(f); /* from the files, whoever wrote them */
	for (i = 1; i <= 200; i++)
		strbuf_addf(&want, "l%u ", i);
	read_all(f, 0, &found);
	assert_string_equal(strbuf_str(&found.names), strbuf_str(&want));
	assert_int_equal(found.gaps, 0);
	assert_true(found.slices >= 200 / EVENTLOG_SLICE_EVENTS);
	strbuf_clear(&found.names);
	/* from anywhere, and never twice */
	for (i = 1; i < 400; i += 13) {
		_cleanup_free_ char *all = trail_read_all(f);
		_cleanup_free_ char *line = xasprintf("{\"seq\":%u,", i + 1);
		struct found rest;

		read_all(f, i, &rest);
		assert_int_equal(rest.gaps, 0);
		assert_string_equal(strbuf_str(&rest.names), strbuf_str(&want)
		    + want.len - rest.names.len);
		assert_int_equal(count(strbuf_str(&rest.names), "l"),
		    count(strstr(all, line), "\"login_failed\""));
		strbuf_clear(&rest.names);
	}
}

static void
test_one_large_file(void **state)
{
	struct state_fixture *f = *state;
	struct found found;
	uint64_t end;
	unsigned i;

	for (i = 1; i <= 6000; i++)
		put_event(f, "authorised", i, i % 1000 == 0);
	put_event(f, "denied", 1, true);
	end = writer_events_seq(f->writer);
	read_all(f, 0, &found);
	assert_string_equal(strbuf_str(&found.names), "l1 ");
	assert_true(found.slices > 2);
	strbuf_clear(&found.names);
	/* it is looked for, not walked to */
	read_all(f, end - 10, &found);
	assert_string_equal(strbuf_str(&found.names), "l1 ");
	assert_int_equal(found.slices, 1);
	strbuf_clear(&found.names);
}

static void
test_what_is_gone_is_a_gap(void **state)
{
	struct state_fixture *f = *state;
	struct found all, found;

	trail_small_files(f, 8192, 0);
	fill(f, 100);
	read_all(f, 0, &all);
	state_move_older(f);
	read_all(f, 5, &found);
	assert_int_equal(found.gaps, 1);
	assert_true(found.last_gap > 5);
	/* what is left is the end of what there was */
	assert_true(found.names.len < all.names.len);
	assert_string_equal(strbuf_str(&found.names), strbuf_str(&all.names) +
	    all.names.len - found.names.len);
	strbuf_clear(&found.names);
	state_move_back(f);
	read_all(f, 0, &found);
	assert_string_equal(strbuf_str(&found.names), strbuf_str(&all.names));
	strbuf_clear(&found.names);
	strbuf_clear(&all.names);
}

static void
test_forgotten_while_it_reads(void **state)
{
	struct state_fixture *f = *state;
	struct eventlog_slice *slice = xnew(struct eventlog_slice);
	struct found found = { .slices = 0 };
	struct writer_item *item;

	fill(f, 10);
	item = writer_put_read(f->writer, slice, on_read, &found);
	writer_forget(&item);
	state_barrier(f);
	assert_int_equal(found.slices, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_lines),
		T(test_told_in_order),
		T(test_not_told_before_it_is_durable),
		T(test_told_when_the_disk_fails),
		T(test_all_is_found_in_the_files),
		T(test_one_large_file),
		T(test_what_is_gone_is_a_gap),
		T(test_forgotten_while_it_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
