/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store on a disk that goes away between any two calls, and on one that is
 * full at the worst moment.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_disk.h"
#include "fake_loop.h"
#include "store_world.h"

static void
queue(struct world *w, const char *kind, const char *name, const char *text)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&plain, text);
	store_put(w->store, kind, name, &plain, state_done, (void *)name);
}

static void
ahead(struct world *w, const char *kind, const char *name, const char *next,
    size_t room)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&plain, "ahead");
	store_put_ahead(w->store, kind, name, &plain, next, room, state_done,
	    (void *)name);
	assert_true(state_wait_done(w->f, 1));
}

static void
del(struct world *w, const char *kind, const char *name)
{
	store_delete(w->store, kind, name, state_done, (void *)name);
}

/* A kill does not wait for a stop: whatever is queued is lost as well. */
static void
kill_and_restart(struct world *w)
{
	fake_disk_die_after(0);
	store_close(w->store);
	w->store = NULL;
	writer_stop(w->f->writer);
	w->f->writer = NULL;
	fake_disk_reset();
	state_restart(w->f);
	use_key(w, w->key);
}

/* ------------------------------------------------------- killed anywhere */

static void
start_of_life(struct world *w)
{
	open_store(w, NULL);
	put(w, "login", "ops", "old");
	put(w, "generation", "db.1", "old");
	put(w, "intent", "db.2", "old");
	fake_loop_advance(1500);
	state_barrier(w->f);
}

/* All that can happen: a change, a new one, a deletion, the same name again,
 * single and several at once. */
static void
some_life(struct world *w)
{
	queue(w, "login", "ops", "new");
	queue(w, "generation", "db.2", "new");
	state_wait_done(w->f, 2);
	del(w, "intent", "db.2");
	state_wait_done(w->f, 1);
	queue(w, "intent", "db.3", "new");
	del(w, "generation", "db.1");
	queue(w, "generation", "db.1", "new");
	del(w, "intent", "db.3");
	state_wait_done(w->f, 4);
	fake_loop_advance(1500);
}

static void
test_killed_anywhere(void **state)
{
	struct world *w = *state;
	unsigned calls, i;

	start_of_life(w);
	fake_disk_reset();
	some_life(w);
	state_barrier(w->f);
	for (calls = 0, i = 0; i < FAKE_DISK_OPS; i++)
		calls += fake_disk_count((enum fake_disk_op)i, NULL);
	assert_true(calls > 40);
	kill_and_restart(w);
	for (i = 0; i <= calls; i++) {
		const char *found;

		sh("rm -rf %s/* %s/.store* %s/private %s/state-mark",
		    w->f->state_dir, w->f->state_dir, w->f->dir,
		    w->f->log_dir);
		start_of_life(w);
		fake_disk_reset();
		fake_disk_die_after(i);
		some_life(w);
		kill_and_restart(w);
		open_store(w, NULL);
		found = strbuf_str(&w->found);
		if (store_get_trouble(w->store, 0) ||
		    store_is_quarantined(w->store))
			fail_msg("killed at %u of %u: %s", i, calls, found);
		assert_non_null(strstr(found, "login/ops="));
		close_store(w);
	}
}

/* --------------------------------------------------------------- full disk */

static void
disk_is_full(void)
{
	fake_disk_reset();
	fake_disk_fail(FAKE_DISK_OPEN, ".tmp$", ENOSPC, 0, -1);
	fake_disk_fail(FAKE_DISK_WRITE, ".tmp$", ENOSPC, 0, -1);
	fake_disk_fail(FAKE_DISK_ALLOCATE, "", ENOSPC, 0, -1);
}

static void
test_room_for_what_comes(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *room = path_of(w, ".login.ops.tbr.room");

	open_store(w, NULL);
	put(w, "login", "ops", "old");
	ahead(w, "login", "ops", "login", 1 << 16);
	assert_string_equal(state_done_log, "ops ops");
	assert_int_equal(access(room, F_OK), 0);
	disk_is_full();
	put(w, "login", "dev", "has no room");
	put(w, "login", "ops", "the rotated token");
	assert_string_equal(state_done_log, "ops ops dev! ops");
	assert_int_not_equal(access(room, F_OK), 0);
	/* and no second time */
	put(w, "login", "ops", "another");
	assert_string_equal(state_done_log, "ops ops dev! ops ops!");
	fake_disk_reset();
	reopen(w);
	assert_string_equal(strbuf_str(&w->found),
	    "login/ops=the rotated token\n");
	assert_no_trouble(w);
}

static void
test_nothing_begins_without_room(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "login", "ops", "old");
	fake_disk_reset();
	fake_disk_fail(FAKE_DISK_ALLOCATE, ".login.ops.tbr.room$", ENOSPC, 0,
	    -1);
	ahead(w, "login", "ops", "login", 1 << 16);
	assert_string_equal(state_done_log, "ops ops!");
	assert_non_null(strstr(state_done_error.msg, "cannot set aside 65536 "
	    "bytes for the record login.ops.tbr to come"));
	/* what is on disk does not say that it began */
	reopen(w);
	assert_string_equal(strbuf_str(&w->found), "login/ops=old\n");
}

static void
test_room_is_given_back(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	ahead(w, "intent", "db.1", "generation", 4096);
	assert_listing(w, ".", ".generation.db.1.tbr.room intent.db.1.tbr");
	ahead(w, "intent", "db.1", "generation", 8192); /* again: once */
	put(w, "generation", "db.1", "value");
	assert_listing(w, ".", "generation.db.1.tbr intent.db.1.tbr");
	/* the call failed: its intent goes, and the room */
	ahead(w, "intent", "db.2", "generation", 4096);
	del(w, "intent", "db.2");
	assert_true(state_wait_done(w->f, 1));
	assert_listing(w, ".", "generation.db.1.tbr intent.db.1.tbr");
	/* it did not say so, and the daemon stops */
	ahead(w, "login", "ops", "login", 4096);
	close_store(w);
	assert_listing(w, ".", "generation.db.1.tbr intent.db.1.tbr "
	    "login.ops.tbr");
	/* or is killed */
	open_store(w, NULL);
	ahead(w, "login", "ops", "login", 4096);
	kill_and_restart(w);
	assert_listing(w, ".", ".login.ops.tbr.room generation.db.1.tbr "
	    "intent.db.1.tbr login.ops.tbr");
	open_store(w, NULL);
	assert_listing(w, ".", "generation.db.1.tbr intent.db.1.tbr "
	    "login.ops.tbr");
}

/* Deleting is what makes space, so the list it needs has room of its own. */
static void
test_deleting_on_a_full_disk(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "k", "a", "x");
	put(w, "k", "b", "x");
	disk_is_full();
	del(w, "k", "a");
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "a b a");
	/* its room is used up: the next one waits for space, and says so */
	del(w, "k", "b");
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "a b a b!");
	fake_disk_reset();
	reopen(w);
	assert_no_trouble(w);
	assert_string_equal(strbuf_str(&w->found), "");
}

/* The list that says a file is gone is on disk before the file is gone. */
static void
test_list_leads(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *trace = NULL;
	const char *list, *gone;

	open_store(w, NULL);
	put(w, "k", "a", "x");
	fake_disk_reset();
	del(w, "k", "a");
	assert_true(state_wait_done(w->f, 1));
	trace = fake_disk_trace();
	list = strstr(trace, "rename store.list.tbr");
	gone = strstr(trace, "unlink k.a.tbr");
	assert_non_null(list);
	assert_non_null(gone);
	assert_true(list < gone);
	/* a list that fails keeps the file */
	put(w, "k", "b", "x");
	fake_disk_fail(FAKE_DISK_RENAME, "store.list.tbr", EIO, 0, -1);
	del(w, "k", "b");
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "a a b b!");
	assert_listing(w, ".", "k.b.tbr");
}

/* Many at once cost one list. */
static void
test_one_list_for_many(void **state)
{
	struct world *w = *state;
	char name[8];
	int i;

	open_store(w, NULL);
	for (i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		put(w, "k", name, "x");
	}
	state_barrier(w->f);
	fake_disk_reset();
	fake_disk_hold_syncs("audit.jsonl");
	state_put_line(w->f, "park", true);
	while (!fake_disk_count(FAKE_DISK_FDATASYNC, NULL))
		usleep(1000);
	for (i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		store_delete(w->store, "k", name, NULL, NULL);
	}
	fake_disk_release();
	state_barrier(w->f);
	assert_int_equal(fake_disk_count(FAKE_DISK_RENAME, "store.list"), 1);
	assert_listing(w, ".", "");
	reopen(w);
	assert_no_trouble(w);
}

static int
setup(void **state)
{
	fake_disk_reset();
	return store_world_setup(state);
}

#define T(fn) \
	cmocka_unit_test_setup_teardown(fn, setup, store_world_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_killed_anywhere),
		T(test_room_for_what_comes),
		T(test_nothing_begins_without_room),
		T(test_room_is_given_back),
		T(test_deleting_on_a_full_disk),
		T(test_list_leads),
		T(test_one_list_for_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
