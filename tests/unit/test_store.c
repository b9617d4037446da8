/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/secret.h"
#include "base/util.h"
#include "fake_loop.h"
#include "store_world.h"

static void
test_round_trip(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	assert_stats(w, 0, 0);
	put(w, "login", "ops", "grant");
	put(w, "generation", "telegraf.10", "ten");
	put(w, "generation", "telegraf.3", "three");
	put(w, "generation", "telegraf.3", "three again");
	assert_stats(w, 3, 0);
	assert_listing(w, ".", "generation.telegraf.10.tbr "
	    "generation.telegraf.3.tbr login.ops.tbr");
	reopen(w);
	assert_string_equal(strbuf_str(&w->found),
	    "generation/telegraf.10=ten\n"
	    "generation/telegraf.3=three again\nlogin/ops=grant\n");
	assert_stats(w, 3, 0);

	store_delete(w->store, "login", "ops", state_done, (void *)"del");
	store_delete(w->store, "login", "none", state_done, (void *)"none");
	assert_true(state_wait_done(w->f, 2));
	assert_stats(w, 2, 0);
	reopen(w);
	assert_stats(w, 2, 0);
	assert_null(strstr(strbuf_str(&w->found), "login"));
	assert_null(strchr(state_done_log, '!'));
}

static void
test_names_are_encoded(void **state)
{
	static const struct {
		const char *name, *file;
	} table[] = {
		{ "plain-name_1.2~", "k.plain-name_1.2~.tbr" },
		{ "../../etc/passwd", "k...%2F..%2Fetc%2Fpasswd.tbr" },
		{ "a b%\n", "k.a%20b%25%0A.tbr" },
		{ "\xc3\xbc", "k.%C3%BC.tbr" },
		{ ".", "k...tbr" },
		{ "x.tbr", "k.x.tbr.tbr" },
		{ "x.tbr.tmp", "k.x.tbr.tmp.tbr" },
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		_cleanup_free_ char *line = xasprintf("k/%s=v\n",
		    table[i].name);

		open_store(w, NULL);
		put(w, "k", table[i].name, "v");
		assert_listing(w, ".", table[i].file);
		reopen(w);
		assert_string_equal(strbuf_str(&w->found), line);
		store_delete(w->store, "k", table[i].name, state_done,
		    (void *)"d");
		assert_true(state_wait_done(w->f, 1));
		assert_listing(w, ".", "");
		close_store(w);
	}
}

static void
test_versions_go_up(void **state)
{
	struct world *w = *state;
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	uint64_t last = 0;
	struct seal_info info;
	struct stat st;
	char buf[512];
	FILE *f;
	int i;

	open_store(w, NULL);
	for (i = 0; i < 6; i++) {
		_cleanup_free_ char *path = path_of(w, "k.a.tbr");

		put(w, "k", i % 2 ? "b" : "a", "x");
		put(w, "k", "a", "x");
		assert_int_equal(stat(path, &st), 0);
		f = fopen(path, "r");
		assert_int_equal(fread(buf, 1, sizeof(buf), f), st.st_size);
		fclose(f);
		assert_int_equal(seal_open(w->seal, "k/a",
				     (unsigned char *)buf, (size_t)st.st_size,
				     &info, &plain, &err), SEAL_OK);
		assert_true(info.version > last);
		last = info.version;
		if (i % 2)
			reopen(w);
	}
}

static void
test_sealed_on_disk(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *path = path_of(w, "login.ops.tbr");
	struct stat st;
	char buf[512];
	size_t n;
	FILE *f;

	open_store(w, NULL);
	put(w, "login", "ops", "canary-canary-canary");
	f = fopen(path, "r");
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	assert_true(n > 64);
	assert_null(memmem(buf, n, "canary", 6));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
spoil_truncate(struct world *w, const char *path)
{
	assert_int_equal(truncate(path, 70), 0);
}

static void
spoil_empty(struct world *w, const char *path)
{
	assert_int_equal(truncate(path, 0), 0);
}

static void
spoil_bit(struct world *w, const char *path)
{
	FILE *f = fopen(path, "r+");
	int c;

	fseek(f, -3, SEEK_END);
	c = fgetc(f);
	fseek(f, -3, SEEK_END);
	fputc(c ^ 1, f);
	fclose(f);
}

static void
spoil_huge(struct world *w, const char *path)
{
	assert_int_equal(truncate(path, 3 << 20), 0);
}

static void
spoil_directory(struct world *w, const char *path)
{
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void
spoil_symlink(struct world *w, const char *path)
{
	_cleanup_free_ char *other = path_of(w, "k.good.tbr");

	unlink(path);
	assert_int_equal(symlink(other, path), 0);
}

static void
spoil_swap(struct world *w, const char *path)
{
	_cleanup_free_ char *other = path_of(w, "k.good.tbr");
	_cleanup_free_ char *copy = xasprintf("cp %s %s", other, path);

	assert_int_equal(system(copy), 0);
}

static void
test_spoiled_is_quarantined(void **state)
{
	static void (*const table[])(struct world *, const char *) = {
		spoil_truncate, spoil_empty, spoil_bit, spoil_huge,
		spoil_directory, spoil_symlink, spoil_swap,
	};
	struct world *w = *state;
	_cleanup_free_ char *path = path_of(w, "k.bad.tbr");
	_cleanup_free_ char *expected = xstrdup("");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		char *more = i ? xasprintf("%s k.bad.tbr.%zu", expected, i) :
		    xstrdup("k.bad.tbr");

		free(expected);
		expected = more;
		open_store(w, NULL);
		put(w, "k", "bad", "secret");
		put(w, "k", "good", "fine");
		close_store(w);
		table[i](w, path);
		open_store(w, NULL);
		assert_string_equal(strbuf_str(&w->found), "k/good=fine\n");
		assert_stats(w, 1, 1);
		assert_listing(w, ".", "k.good.tbr quarantine");
		assert_listing(w, "quarantine", expected);
		/* and it can be put again */
		put(w, "k", "bad", "new");
		reopen(w);
		assert_stats(w, 2, 0);
		close_store(w);
	}
}

static void
test_bad_names_are_quarantined(void **state)
{
	static const char *const names[] = {
		"k.b%2.tbr", "k.b%zz.tbr", "k.b%00.tbr", "k.b%61.tbr",
		"k.b%2f.tbr", "k.%61.tbr", "k.b c.tbr", "K.b.tbr", "k.tbr", "k..tbr",
	};
	struct world *w = *state;
	_cleanup_free_ char *from = path_of(w, "k.a.tbr");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *to = path_of(w, names[i]);

		open_store(w, NULL);
		put(w, "k", "a", "x");
		put(w, "k", "z", "x");
		close_store(w);
		assert_int_equal(rename(from, to), 0);
		open_store(w, NULL);
		assert_string_equal(strbuf_str(&w->found), "k/z=x\n");
		assert_stats(w, 1, 1);
		assert_int_not_equal(access(to, F_OK), 0);
		close_store(w);
	}
}

static void
test_renamed_is_quarantined(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *from = path_of(w, "login.ops.tbr");
	_cleanup_free_ char *to = path_of(w, "login.dev.tbr");

	open_store(w, NULL);
	put(w, "login", "ops", "grant");
	close_store(w);
	assert_int_equal(rename(from, to), 0);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "");
	assert_stats(w, 0, 1);
	assert_listing(w, ".", "quarantine");
	assert_listing(w, "quarantine", "login.dev.tbr");
}

static void
test_wrong_key(void **state)
{
	struct world *w = *state;

	open_store(w, NULL);
	put(w, "k", "old", "x");
	close_store(w);
	use_key(w, KEY_B);
	open_store(w, "wrong master key, or a state directory of another "
	    "installation; nothing was changed; put that key back from its "
	    "copy, or, if it is lost, move the state directory away and log "
	    "in again: record 'store/origin' is sealed with master key ");
	assert_listing(w, ".", "k.old.tbr"); /* nothing was moved */
	use_key(w, KEY_A);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "k/old=x\n");
	assert_false(store_is_quarantined(w->store));
}

static void
test_foreign_record_among_ours(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *from = path_of(w, "k.old.tbr");
	_cleanup_free_ char *aside = xasprintf("%s/aside", w->f->dir);
	_cleanup_free_ char *wipe = xasprintf("rm -rf %s/* %s/.store* "
	    "%s/private %s/state-mark", w->f->state_dir, w->f->state_dir,
	    w->f->dir, w->f->log_dir);

	open_store(w, NULL);
	put(w, "k", "old", "x");
	close_store(w);
	assert_int_equal(rename(from, aside), 0);
	assert_int_equal(system(wipe), 0);
	use_key(w, KEY_B);
	open_store(w, NULL);
	put(w, "k", "new", "y");
	close_store(w);
	assert_int_equal(rename(aside, from), 0);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "k/new=y\n");
	assert_stats(w, 1, 1);
	assert_listing(w, "quarantine", "k.old.tbr");
	assert_trouble(w, "k/old", "is sealed with master key");

	/* of another state directory under the same key */
	close_store(w);
	assert_int_equal(system(wipe), 0);
	open_store(w, NULL);
	put(w, "k", "new", "z");
	close_store(w);
	assert_int_equal(rename(path_of_static(w, "k.new.tbr"), aside), 0);
	assert_int_equal(system(wipe), 0);
	open_store(w, NULL);
	put(w, "k", "other", "z");
	close_store(w);
	assert_int_equal(rename(aside, path_of_static(w, "k.new.tbr")), 0);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "k/other=z\n");
	assert_trouble(w, "k/new", "belongs to another state directory");
	assert_false(store_is_quarantined(w->store));
}

static void
test_permissions(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *path = path_of(w, "k.a.tbr");
	struct writer_env env = { .state_dir = w->f->state_dir,
		.log_dir = w->f->log_dir };
	struct tb_error err = TB_ERROR_INIT;
	struct stat st;

	open_store(w, NULL);
	put(w, "k", "a", "x");
	close_store(w);
	assert_int_equal(chmod(path, 0644), 0);
	open_store(w, NULL);
	assert_string_equal(strbuf_str(&w->found), "k/a=x\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	/* the directory is another matter */
	store_close(w->store);
	w->store = NULL;
	writer_stop(w->f->writer);
	assert_int_equal(chmod(w->f->state_dir, 0755), 0);
	w->f->writer = writer_start(w->f->loop, &env, &err);
	assert_null(w->f->writer);
	assert_non_null(strstr(err.msg, w->f->state_dir));
}

static void
test_leftovers_are_removed(void **state)
{
	struct world *w = *state;

	state_write(w->f->state_dir, ".k.a.tbr.tmp", "half");
	state_write(w->f->state_dir, ".hidden", "not ours");
	state_write(w->f->state_dir, "README", "not ours");
	open_store(w, NULL);
	assert_stats(w, 0, 0);
	assert_listing(w, ".", ".hidden README");
}

static void
test_refused_puts(void **state)
{
	struct world *w = *state;
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	char name[240];

	open_store(w, NULL);
	secret_alloc(&plain, (1 << 20) + 1);
	store_put(w->store, "k", "big", &plain, state_done, (void *)"big");
	assert_true(secret_is_empty(&plain));
	assert_string_equal(state_done_log, "");
	assert_true(state_wait_done(w->f, 1));
	assert_string_equal(state_done_log, "big!");
	assert_int_equal(state_done_error.code, TB_E_LIMIT);
	assert_string_equal(state_done_error.msg,
	    "record 'k/big' has 1048577 bytes, the limit is 1048576");

	memset(name, ' ', sizeof(name) - 1); /* three bytes each */
	name[sizeof(name) - 1] = '\0';
	secret_set_str(&plain, "x");
	store_put(w->store, "k", name, &plain, state_done, (void *)"long");
	store_delete(w->store, "k", name, state_done, (void *)"long");
	assert_true(state_wait_done(w->f, 2));
	assert_string_equal(state_done_log, "big! long! long!");
	assert_non_null(strstr(state_done_error.msg, "is too long"));
	assert_stats(w, 0, 0);

	secret_alloc(&plain, 1 << 20);
	store_put(w->store, "k", "fits", &plain, state_done, (void *)"fits");
	assert_true(state_wait_done(w->f, 1));
	reopen(w);
	assert_stats(w, 1, 0);
}

static void
test_many(void **state)
{
	struct world *w = *state;
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	char name[32];
	int i;

	open_store(w, NULL);
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%d", i * 7919 % 300);
		secret_set_str(&plain, name);
		store_put(w->store, "k", name, &plain, NULL, NULL);
	}
	for (i = 0; i < 300; i += 3) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_null(store_delete(w->store, "k", name, NULL, NULL));
	}
	assert_stats(w, 200, 0);
	reopen(w);
	assert_stats(w, 200, 0);
}

#define T(fn) \
	cmocka_unit_test_setup_teardown(fn, store_world_setup, \
	    store_world_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_round_trip),
		T(test_names_are_encoded),
		T(test_versions_go_up),
		T(test_sealed_on_disk),
		T(test_spoiled_is_quarantined),
		T(test_bad_names_are_quarantined),
		T(test_renamed_is_quarantined),
		T(test_wrong_key),
		T(test_foreign_record_among_ours),
		T(test_permissions),
		T(test_leftovers_are_removed),
		T(test_refused_puts),
		T(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
