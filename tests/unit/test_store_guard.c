/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_loop.h"
#include "store_world.h"

/* Everything of the state but the marks, to DIR/NAME. */
static void
back_up(struct world *w, const char *name)
{
	sh("rm -rf %s/%s && cp -a %s %s/%s", w->f->dir, name, w->f->state_dir,
	    w->f->dir, name);
}

static void
restore(struct world *w, const char *name)
{
	sh("rm -rf %s/* %s/.store* && cp -a %s/%s/* %s/", w->f->state_dir,
	    w->f->state_dir, w->f->dir, name, w->f->state_dir);
}

static void
restore_one(struct world *w, const char *name, const char *file)
{
	sh("cp -a %s/%s/%s %s/", w->f->dir, name, file, w->f->state_dir);
}

static void
reboot(struct world *w)
{
	w->boot = "boot-2";
	sh("rm -rf %s/private", w->f->dir);
}

static void
assert_quarantined(struct world *w, const char *why)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_true(store_is_quarantined(w->store));
	if (!strstr(store_quarantine(w->store), why))
		fail_msg("'%s' does not say '%s'", store_quarantine(w->store),
		    why);
	assert_int_equal(store_why_quarantined(w->store, &err), -1);
	assert_int_equal(err.code, TB_E_QUARANTINE);
	assert_non_null(strstr(err.msg, why));
	assert_non_null(strstr(err.msg, "tokenbrokerctl adopt"));
}

static void
adopt(struct world *w)
{
	state_done_log[0] = '\0';
	store_adopt(w->store, state_done, (void *)"adopted");
	assert_true(store_is_quarantined(w->store)); /* not before it is durable */
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "adopted");
	assert_false(store_is_quarantined(w->store));
}

/* -------------------------------------------------------- single records */

static void
test_older_record(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "login", "ops", "token 1");
	put(w, "login", "dev", "other");
	back_up(w, "old");
	put(w, "login", "ops", "token 2");
	close_store(w);
	restore_one(w, "old", "login.ops.tbr");
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "login/dev=other\n");
	assert_stats(w, 1, 1);
	assert_trouble(w, "login/ops", "it is older than it was: version");
	assert_listing(w, "quarantine", "login.ops.tbr");
	assert_false(store_is_quarantined(w->store)); /* only this one */
	/* the next one is above both */
	put(w, "login", "ops", "token 3");
	reopen(w);
	assert_no_trouble(w);
	assert_string_equal(strbuf_str(&w->found),
	    "login/dev=other\nlogin/ops=token 3\n");
	close_store(w);
	restore_one(w, "old", "login.ops.tbr");
	open_store(w, NULL);
	assert_trouble(w, "login/ops", "older");
}

/* The list that a running daemon leaves is tight after a second. */
static void
test_older_record_after_a_kill(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "login", "ops", "token 1");
	back_up(w, "old");
	put(w, "login", "ops", "token 2");
	fake_loop_advance(1500);
	state_barrier(w->f);
	back_up(w, "killed"); /* what a SIGKILL leaves */
	close_store(w);
	restore(w, "killed");
	restore_one(w, "old", "login.ops.tbr");
	sh("rm %s/private/state-mark %s/state-mark", w->f->dir,
	    w->f->log_dir);
	open_store(w, NULL);
	assert_trouble(w, "login/ops", "older");
}

static void
test_missing_record(void **state)
{
	struct world *w = *state;
	struct store_stats st;

	open_store(w, NULL);
	put(w, "generation", "db.1", "one");
	put(w, "intent", "db.2", "two");
	put(w, "k", "a", "x");
	store_delete(w->store, "k", "a", state_done, (void *)"d");
	assert_true(state_wait_done(w->f, 1));
	reopen(w); /* deleted by us: nothing to say */
	assert_no_trouble(w);
	close_store(w);
	sh("rm %s/intent.db.2.tbr", w->f->state_dir);
	open_store(w, NULL);
	assert_stats(w, 1, 0);
	store_get_stats(w->store, &st);
	assert_int_equal(st.missing, 1);
	assert_trouble(w, "intent/db.2", "the file is gone");
	assert_null(store_get_trouble(w->store, 0)->kept);
	reopen(w); /* said once */
	assert_no_trouble(w);
}

static void
test_deleted_record_is_back(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "intent", "db.1", "was settled");
	back_up(w, "old");
	store_delete(w->store, "intent", "db.1", state_done, (void *)"d");
	assert_true(state_wait_done(w->f, 1));
	close_store(w);
	restore_one(w, "old", "intent.db.1.tbr");
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "");
	assert_trouble(w, "intent/db.1", "as if it was deleted and put back");
}

static void
test_swapped_records(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "login", "a", "grant of a");
	put(w, "login", "b", "grant of b");
	put(w, "login", "c", "grant of c");
	close_store(w);
	sh("cd %s && mv login.a.tbr x && mv login.b.tbr login.a.tbr && "
	    "mv x login.b.tbr", w->f->state_dir);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "login/c=grant of c\n");
	assert_trouble(w, "login/a", "damaged, altered or renamed");
	assert_trouble(w, "login/b", "damaged, altered or renamed");
}

/* --------------------------------------------------------- whole states */

static void
test_older_state_in_one_boot(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "login", "ops", "token 1");
	close_store(w);
	back_up(w, "backup");
	open_store(w, NULL);
	put(w, "login", "ops", "token 2");
	close_store(w);
	restore(w, "backup");
	open_store(w, NULL);
	/* it is read: what is valid is served */
	assert_string_equal(strbuf_str(&w->found), "login/ops=token 1\n");
	assert_quarantined(w, "it is older than the state that this host had "
	    "since it was booted");

	/* what is written meanwhile does not hide it */
	for (int i = 0; i < 20; i++)
		put(w, "k", "a", "x");
	reopen(w);
	assert_quarantined(w, "older");
	reboot(w);
	reopen(w);
	assert_quarantined(w, "older");

	adopt(w);
	reopen(w);
	assert_no_trouble(w);
	store_adopt(w->store, state_done, (void *)"again");
	assert_true(state_wait_done(w->f, 1));
	assert_int_equal(state_done_error.code, TB_E_BADREQ);
	assert_non_null(strstr(state_done_error.msg, "nothing to adopt"));
	close_store(w);
	/* and the same backup once more */
	restore(w, "backup");
	open_store(w, NULL);
	assert_quarantined(w, "older");
}

static void
test_older_state_after_a_reboot(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "login", "ops", "token 1");
	close_store(w);
	back_up(w, "backup");
	open_store(w, NULL);
	put(w, "login", "ops", "token 2");
	reopen(w); /* the mark that lasts is made at start */
	close_store(w);
	restore(w, "backup");
	reboot(w);
	open_store(w, NULL);
	assert_quarantined(w, "it is older than the state that this host had "
	    "at its last start");
	adopt(w);
	reopen(w);
	assert_no_trouble(w);
}

static void
test_other_machine(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "login", "ops", "token");
	close_store(w);
	w->machine = "aaaaaaaabbbbbbbbccccccccdddddddd";
	reboot(w);
	sh("rm %s/state-mark", w->f->log_dir);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "login/ops=token\n");
	assert_quarantined(w, "it is another machine's: its machine id begins "
	    "with 11111111, ours with aaaaaaaa");
	adopt(w);
	reopen(w);
	assert_no_trouble(w);
	w->machine = "11111111222222223333333344444444";
	reopen(w);
	assert_quarantined(w, "another machine's");
	/* a host without an id can tell nothing */
	w->machine = "";
	adopt(w);
	reopen(w);
	assert_no_trouble(w);
}

static void
test_other_state(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "login", "ops", "of the first");
	close_store(w);
	back_up(w, "first");
	sh("rm -rf %s/* %s/.store*", w->f->state_dir, w->f->state_dir);
	open_store(w, NULL); /* emptied on purpose */
	assert_no_trouble(w);
	put(w, "login", "ops", "of the second");
	reopen(w);
	assert_no_trouble(w);
	close_store(w);
	restore(w, "first");
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found),
	    "login/ops=of the first\n");
	assert_quarantined(w, "this host used another state since it was "
	    "booted");
	adopt(w);
	reopen(w);
	assert_no_trouble(w);
	reopen(w);
	assert_no_trouble(w);
}

static void
test_without_its_own_records(void **state)
{
	static const struct {
		const char *spoil, *why;
	} table[] = {
		{ "rm store.list.tbr", "its list of records is gone" },
		{ "echo x >>store.list.tbr", "its list of records cannot "
		    "be used" },
		{ "rm store.origin.tbr", "origin is gone or cannot" },
		{ "echo x >>store.origin.tbr", "origin is gone or cannot" },
		{ "rm store.origin.tbr store.list.tbr",
		    "its list of records is gone" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		open_store(w, NULL);
		put(w, "login", "ops", "token");
		close_store(w);
		sh("cd %s && %s", w->f->state_dir, table[i].spoil);
		open_store(w, NULL);
		assert_string_equal(strbuf_str(&w->found),
		    "login/ops=token\n");
		assert_quarantined(w, table[i].why);
		adopt(w);
		reopen(w);
		assert_no_trouble(w);
		close_store(w);
	}
}

/* The fingerprint of a value outlives the loss of nothing else. */
static void
test_fingerprint_key_is_kept(void **state)
{
	struct world *w = *state;
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	struct secret kept _cleanup_(secret_clear) = SECRET_INIT;

	open_store(w, NULL);
	seal_get_fingerprint_key(w->seal, &key);
	reopen(w);
	seal_get_fingerprint_key(w->seal, &kept);
	assert_true(secret_equal(&key, &kept));
	assert_int_equal(access(path_of_static(w, "store.fingerprint.tbr"),
	    F_OK), 0);
}

/* ------------------------------------------------------------ the directory */

static void
start_writer(struct world *w, const char *msg)
{
	struct writer_env env = { .state_dir = w->f->state_dir,
		.log_dir = w->f->log_dir };
	struct tb_error err = TB_ERROR_INIT;

	w->f->writer = writer_start(w->f->loop, &env, &err);
	if (!msg) {
		assert_non_null(w->f->writer);
		return;
	}
	assert_null(w->f->writer);
	if (!strstr(err.msg, msg) || !strstr(err.msg, "state"))
		fail_msg("'%s' does not say '%s'", err.msg, msg);
}

static void
test_directory(void **state)
{
	struct world *w = *state;
	const char *dir = w->f->state_dir;
	_cleanup_free_ char *real = xasprintf("%s/real", w->f->dir);

	writer_stop(w->f->writer);
	assert_int_equal(chmod(dir, 0750), 0);
	start_writer(w, "its mode 0750 lets others in: chmod 0700");
	assert_int_equal(chmod(dir, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(dir, 12345, 0), 0);
		start_writer(w, "it belongs to uid 12345, not to uid 0 or "
		    "root: chown it");
		assert_int_equal(chown(dir, 0, 0), 0);
	}
	/* a link is followed, and what it leads to is looked at */
	assert_int_equal(rename(dir, real), 0);
	assert_int_equal(symlink(real, dir), 0);
	assert_int_equal(chmod(real, 0777), 0);
	start_writer(w, "its mode 0777 lets others in");
	assert_int_equal(chmod(real, 0700), 0);
	start_writer(w, NULL);
	writer_stop(w->f->writer);
	assert_int_equal(unlink(dir), 0);
	state_write(w->f->dir, "state", "a file");
	start_writer(w, "open it");
	assert_int_equal(unlink(dir), 0);
	assert_int_equal(symlink("nowhere", dir), 0);
	start_writer(w, "");
	assert_int_equal(unlink(dir), 0);
	start_writer(w, NULL); /* made */
}

#define T(fn) \
	cmocka_unit_test_setup_teardown(fn, store_world_setup, \
	    store_world_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_older_record),
		T(test_older_record_after_a_kill),
		T(test_missing_record),
		T(test_deleted_record_is_back),
		T(test_swapped_records),
		T(test_older_state_in_one_boot),
		T(test_older_state_after_a_reboot),
		T(test_other_machine),
		T(test_other_state),
		T(test_without_its_own_records),
		T(test_fingerprint_key_is_kept),
		T(test_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
