/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another master key while everything goes on, and records of an older format:
 * both are sealed anew, and either may be stopped anywhere.
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

static int
start_rekey(struct world *w, const char *hex, struct tb_error *err)
{
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&key, hex);
	return store_rekey(w->store, &key, state_done, (void *)"rekeyed",
	    err);
}

static void
rekey(struct world *w, const char *hex)
{
	struct tb_error err = TB_ERROR_INIT;

	state_done_log[0] = '\0';
	if (start_rekey(w, hex, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(state_done_log, "");
	assert_true(state_wait_done(w->f, 1));
}

static enum store_rekey_state
rekey_state(struct world *w)
{
	struct store_rekey_status st;

	store_get_rekey(w->store, &st);
	return st.state;
}

static void
killed(struct world *w)
{
	fake_disk_die_after(0);
	store_close(w->store);
	w->store = NULL;
	writer_stop(w->f->writer);
	w->f->writer = NULL;
	fake_disk_reset();
	state_restart(w->f);
}

static void
wipe(struct world *w)
{
	sh("rm -rf %s/* %s/.store* %s/private %s/state-mark",
	    w->f->state_dir, w->f->state_dir, w->f->dir, w->f->log_dir);
}

/* No byte of a record is under this key any more. */
static void
assert_nothing_under(struct world *w, const char *hex)
{
	struct seal *s = seal_of(hex);

	sh("! grep -rlaP '^TBR.\\x%.2s\\x%.2s\\x%.2s\\x%.2s' %s", seal_key_id(s),
	    seal_key_id(s) + 2, seal_key_id(s) + 4, seal_key_id(s) + 6,
	    w->f->state_dir);
	seal_free(s);
}

static void
test_rekey(void **state)
{
	struct world *w = *state;
	struct secret v _cleanup_(secret_clear) = SECRET_INIT;
	struct store_rekey_status st;
	char before[17], after[17];

	open_store(w, NULL);
	put(w, "login", "ops", "grant");
	put(w, "audit", "signing-key", "seed");
	put(w, "generation", "db.1", "value");
	store_get_rekey(w->store, &st);
	assert_int_equal(st.state, STORE_REKEY_NONE);
	secret_set_str(&v, "value");
	seal_fingerprint(w->seal, &v, before);

	rekey(w, KEY_B);
	assert_string_equal(state_done_log, "rekeyed");
	store_get_rekey(w->store, &st);
	assert_int_equal(st.state, STORE_REKEY_WAITING);
	assert_int_equal(st.left, 0);
	assert_int_equal(st.records, 5); /* with the store's own */
	assert_string_equal(st.old_key, "15e8e9310f28ab52");
	put(w, "login", "ops", "grant 2"); /* goes on under the new one */

	/* started with the old key: all is there, and it waits */
	reopen(w);
	assert_no_trouble(w);
	assert_string_equal(strbuf_str(&w->found), "audit/signing-key=seed\n"
	    "generation/db.1=value\nlogin/ops=grant 2\n");
	assert_int_equal(rekey_state(w), STORE_REKEY_WAITING);
	put(w, "login", "ops", "grant 3");

	/* with the new one it is over */
	close_store(w);
	use_key(w, KEY_B);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "audit/signing-key=seed\n"
	    "generation/db.1=value\nlogin/ops=grant 3\n");
	assert_no_trouble(w);
	state_barrier(w->f);
	assert_int_equal(rekey_state(w), STORE_REKEY_NONE);
	assert_int_not_equal(access(path_of_static(w, "rekey.tbr"), F_OK), 0);
	assert_nothing_under(w, KEY_A);
	seal_fingerprint(w->seal, &v, after);
	assert_string_equal(before, after);

	close_store(w);
	use_key(w, KEY_A);
	open_store(w, "wrong master key");
	use_key(w, KEY_B);
	open_store(w, NULL);
	assert_no_trouble(w);
}

static void
test_given_without_a_restart(void **state)
{
	struct world *w = *state;
	struct seal *b = seal_of(KEY_B), *a = seal_of(KEY_A);

	open_store(w, NULL);
	put(w, "k", "a", "x");
	assert_true(store_key_is_configured(w->store, seal_key_id(a)));
	assert_false(store_key_is_configured(w->store, seal_key_id(b)));
	rekey(w, KEY_B);
	assert_false(store_key_is_configured(w->store, seal_key_id(a)));
	assert_int_equal(rekey_state(w), STORE_REKEY_WAITING);
	assert_true(store_key_is_configured(w->store, seal_key_id(b)));
	state_barrier(w->f);
	assert_int_equal(rekey_state(w), STORE_REKEY_NONE);
	assert_nothing_under(w, KEY_A);
	assert_null(seal_other_key_id(w->seal));
	close_store(w);
	use_key(w, KEY_B);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "k/a=x\n");
	seal_free(a);
	seal_free(b);
}

static void
assert_refused(struct world *w, const char *hex, const char *why)
{
	struct tb_error err = TB_ERROR_INIT;

	assert_int_equal(start_rekey(w, hex, &err), -1);
	assert_int_equal(err.code, TB_E_BADREQ);
	if (!strstr(err.msg, why))
		fail_msg("'%s' does not say '%s'", err.msg, why);
}

static void
test_refused(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;

	open_store(w, NULL);
	put(w, "k", "a", "x");
	assert_refused(w, KEY_A, "this is the master key that is in use");
	assert_refused(w, "short", "must be 32 bytes or 64 hexadecimal");
	assert_int_equal(start_rekey(w, KEY_B, &err), 0);
	assert_refused(w, KEY_B, "is being changed already");
	assert_true(state_wait_done(w->f, 1));
	assert_refused(w, "cc" "0102030405060708090a0b0c0d0e0f1011121314151617"
	    "18191a1b1c1d1e1f", "is not over: give the daemon that key");
	rekey(w, KEY_B); /* again: done */
	assert_int_equal(rekey_state(w), STORE_REKEY_WAITING);
}

static void
test_disk_fails(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "k", "a", "x");
	put(w, "k", "b", "y");
	/* at the keys: nothing has happened */
	fake_disk_fail(FAKE_DISK_RENAME, "rekey.tbr", ENOSPC, 0, -1);
	rekey(w, KEY_B);
	assert_string_equal(state_done_log, "rekeyed!");
	assert_non_null(strstr(state_done_error.msg,
	    "the master key was not changed"));
	assert_int_equal(rekey_state(w), STORE_REKEY_NONE);
	assert_null(seal_other_key_id(w->seal));
	/* in the middle: it goes on when asked again */
	fake_disk_reset();
	fake_disk_fail(FAKE_DISK_RENAME, "k.b.tbr", ENOSPC, 0, -1);
	rekey(w, KEY_B);
	assert_string_equal(state_done_log, "rekeyed!");
	assert_non_null(strstr(state_done_error.msg, "1 records could not be "
	    "sealed with the new key yet"));
	assert_int_equal(rekey_state(w), STORE_REKEY_FAILED);
	fake_disk_reset();
	rekey(w, KEY_B);
	assert_string_equal(state_done_log, "rekeyed");
	assert_int_equal(rekey_state(w), STORE_REKEY_WAITING);
	close_store(w);
	use_key(w, KEY_B);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "k/a=x\nk/b=y\n");
}

/* What is put and deleted while the key changes is not lost in it. */
static void
test_puts_meanwhile(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	open_store(w, NULL);
	put(w, "k", "a", "1");
	put(w, "k", "b", "1");
	put(w, "k", "c", "1");
	assert_int_equal(start_rekey(w, KEY_B, &err), 0);
	secret_set_str(&plain, "2");
	store_put(w->store, "k", "a", &plain, state_done, (void *)"a");
	store_delete(w->store, "k", "b", state_done, (void *)"b");
	secret_set_str(&plain, "2");
	store_put(w->store, "k", "d", &plain, state_done, (void *)"d");
	assert_true(state_wait_done(w->f, 4));
	assert_null(strchr(state_done_log, '!'));
	close_store(w);
	use_key(w, KEY_B);
	open_store(w, NULL);
	assert_no_trouble(w);
	assert_string_equal(strbuf_str(&w->found), "k/a=2\nk/c=1\nk/d=2\n");
}

/* Killed after each call to the disk, then started with the old key, then with
 * the new one; and with the new one at once. */
static void
test_killed_anywhere(void **state)
{
	struct world *w = *state;
	struct tb_error err = TB_ERROR_INIT;
	unsigned n, calls = 200, begun = 0;

	for (n = 0; n <= 2 * calls; n++) {
		bool new_first = n % 2, with_new;

		wipe(w);
		use_key(w, KEY_A);
		open_store(w, NULL);
		put(w, "login", "ops", "grant");
		put(w, "k", "a", "1");
		fake_loop_advance(1500);
		state_barrier(w->f);
		state_done_log[0] = '\0';
		fake_disk_reset();
		fake_disk_die_after(n / 2);
		assert_int_equal(start_rekey(w, KEY_B, &err), 0);
		assert_true(state_wait_done(w->f, 1));
		if (!strchr(state_done_log, '!') && calls == 200)
			calls = n / 2 + 1; /* nothing is left to kill */
		killed(w);
		with_new = access(path_of_static(w, "rekey.tbr"), F_OK) == 0;
		begun += with_new;
		use_key(w, new_first ? KEY_B : KEY_A);
		if (new_first && !with_new) {
			/* it had not begun: the old one is the key, and
			 * nothing was changed by the attempt */
			open_store(w, "wrong master key");
			use_key(w, KEY_A);
		}
		open_store(w, NULL);
		if (!streq(strbuf_str(&w->found), "k/a=1\nlogin/ops=grant\n") ||
		    store_get_trouble(w->store, 0) ||
		    store_is_quarantined(w->store))
			fail_msg("killed at %u: %s", n / 2,
			    strbuf_str(&w->found));
		put(w, "k", "a", "1");
		close_store(w);
		if (!with_new)
			continue;
		use_key(w, KEY_B);
		open_store(w, NULL);
		assert_no_trouble(w);
		assert_string_equal(strbuf_str(&w->found),
		    "k/a=1\nlogin/ops=grant\n");
		state_barrier(w->f);
		assert_int_equal(rekey_state(w), STORE_REKEY_NONE);
		close_store(w);
		if (n / 2 + 3 > calls)
			assert_nothing_under(w, KEY_A);
	}
	assert_true(calls > 20 && calls < 200);
	assert_true(begun > calls);
}

/* A file with keys of another change, which nothing needs. */
static void
test_strange_keys(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "k", "a", "x");
	close_store(w);
	state_write(w->f->state_dir, "rekey.tbr", "something else");
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "k/a=x\n");
	assert_trouble(w, "rekey.tbr", "another change of the master key");
	assert_listing(w, "quarantine", "rekey.tbr");
}

/* ------------------------------------------------------- older formats */

#define OLD_KEY \
	"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"

static void
assert_formats(struct world *w, const char *pattern, int n)
{
	sh("test $(head -qc4 %s/*.tbr | grep -ao '%s' | wc -l) = %d",
	    w->f->state_dir, pattern, n);
}

static void
use_0_1_0(struct world *w)
{
	wipe(w);
	sh("cp %s/*.tbr %s/ && chmod 600 %s/*.tbr", STATE_0_1_0,
	    w->f->state_dir, w->f->state_dir);
	use_key(w, OLD_KEY);
}

static void
assert_0_1_0(struct world *w)
{
	const char *found = strbuf_str(&w->found);

	assert_non_null(strstr(found, "generation/db.1={"));
	assert_non_null(strstr(found, "generation/pasted.1={"));
	assert_non_null(strstr(found, "login/ops={"));
	assert_no_trouble(w);
	assert_stats(w, 3, 0);
}

static void
test_state_of_0_1_0(void **state)
{
	struct world *w = *state;
	struct secret v _cleanup_(secret_clear) = SECRET_INIT;
	char fingerprint[17];

	use_0_1_0(w);
	assert_formats(w, "TBR1", 3);
	open_store(w, NULL);
	assert_0_1_0(w);
	secret_set_str(&v, "made-by-hand-1");
	seal_fingerprint(w->seal, &v, fingerprint);
	assert_string_equal(fingerprint, "367e6e699d54c12a"); /* as then */
	state_barrier(w->f);
	assert_formats(w, "TBR1", 0);
	assert_formats(w, "TBR2", 6);
	reopen(w);
	assert_0_1_0(w);
	close_store(w);
	/* an old record is not taken for one of now */
	sh("cp %s/login.ops.tbr %s/login.ops.tbr && "
	    "cp %s/login.ops.tbr %s/login.dev.tbr", STATE_0_1_0,
	    w->f->state_dir, STATE_0_1_0, w->f->state_dir);
	open_store(w, NULL);
	assert_trouble(w, "login/dev", "renamed");
	put(w, "login", "ops", "newer");
	close_store(w);
	sh("cp %s/login.ops.tbr %s/login.ops.tbr", STATE_0_1_0,
	    w->f->state_dir);
	open_store(w, NULL);
	assert_trouble(w, "login/ops", "older");
	/* nor an old state put back as a whole */
	close_store(w);
	sh("rm -rf %s/* %s/.store* && cp %s/*.tbr %s/", w->f->state_dir,
	    w->f->state_dir, STATE_0_1_0, w->f->state_dir);
	open_store(w, NULL);
	assert_true(store_is_quarantined(w->store));
	assert_stats(w, 3, 0);
}

static void
test_upgrade_killed_anywhere(void **state)
{
	struct world *w = *state;
	unsigned n, calls = 200;

	for (n = 0; n <= calls; n++) {
		struct tb_error err = TB_ERROR_INIT;

		use_0_1_0(w);
		state_done_log[0] = '\0';
		fake_disk_reset();
		fake_disk_die_after(n);
		w->store = try_open(w, &err);
		if (w->store) {
			store_begin(w->store);
			state_put_line(w->f, "end", true);
			assert_true(state_wait_done(w->f, 1));
			if (!strchr(state_done_log, '!') && calls == 200)
				calls = n;
		}
		killed(w);
		use_key(w, OLD_KEY);
		open_store(w, NULL);
		assert_0_1_0(w);
		close_store(w);
		assert_formats(w, "TBR1", 0);
	}
	assert_true(calls > 20 && calls < 200);
}

/* Of a later version: not a file is touched. */
static void
test_newer_state(void **state)
{
	static const char *const spoils[] = {
		"printf TBR3newer >login.new.tbr",
		"for i in *.tbr; do printf TBR4 | dd of=$i conv=notrunc "
		"status=none; printf x >>$i; done",
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
		wipe(w);
		use_key(w, KEY_A);
		open_store(w, NULL);
		put(w, "login", "ops", "grant");
		close_store(w);
		sh("cd %s && %s", w->f->state_dir, spoils[i]);
		/* one that is damaged as well stays where it is */
		sh("cd %s && printf junk >k.junk.tbr && touch .k.a.tbr.tmp",
		    w->f->state_dir);
		sh("cd %s && ls -lA --time-style=full-iso >../before && "
		    "cat *.tbr | md5sum >>../before", w->f->state_dir);
		open_store(w, "of a later version of tokenbroker; this one "
		    "reads TBR1 and TBR2");
		sh("cd %s && ls -lA --time-style=full-iso >../after && "
		    "cat *.tbr | md5sum >>../after && cmp ../before ../after",
		    w->f->state_dir);
		sh("rm -f %s/.k.a.tbr.tmp", w->f->state_dir);
	}
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
		T(test_rekey),
		T(test_given_without_a_restart),
		T(test_refused),
		T(test_disk_fails),
		T(test_puts_meanwhile),
		T(test_killed_anywhere),
		T(test_strange_keys),
		T(test_state_of_0_1_0),
		T(test_upgrade_killed_anywhere),
		T(test_newer_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
