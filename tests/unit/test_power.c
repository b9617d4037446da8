/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store and audit log through a power cut at every call to the disk, and
 * through a second one while the first is recovered from. Held to what was
 * reported: a record is what it was when its last `done` ran, or something
 * that was put later; a durable line is there, once, and what was put before
 * it is there too; nothing is damaged; the log is one chain.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/util.h"
#include "fake_disk.h"
#include "lib/seal.h"
#include "power.h"
#include "state/disk.h"
#include "store_world.h"
#include "trail_fixture.h"

/* p: put a record, d: delete it, L: a durable line, l: one that need not be,
 * k: the key for checkpoints is known from now on. Then whether all that is open is waited for: else it shares a group
 * with what follows. The lines are long enough for several rotations. */
static const struct step {
	char what;
	const char *kind, *name, *text;
	bool wait;
} steps[] = {
	{ 'p', "login", "a", "1", true },
	{ 'l', NULL, NULL, "s01", false },
	{ 'p', "intent", "t.1", "1", true },
	{ 'l', NULL, NULL, "s03", false },
	{ 'p', "generation", "t.1", "1", false },
	{ 'd', "intent", "t.1", NULL, true },
	{ 'L', NULL, NULL, "s06", true },
	{ 'k', NULL, NULL, "", false },
	{ 'p', "login", "a", "2", false },
	{ 'L', NULL, NULL, "s08", false },
	{ 'p', "login", "a", "3", true },
	{ 'L', NULL, NULL, "s10", true },
	{ 'l', NULL, NULL, "s11", false },
	{ 'L', NULL, NULL, "s12", false },
	{ 'L', NULL, NULL, "s13", true },
	{ 'd', "generation", "t.1", NULL, true },
	{ 'p', "generation", "t.2", "1", false },
	{ 'p', "generation", "t.2", "2", false },
	{ 'L', NULL, NULL, "s17", true },
	{ 'p', "login", "b", "1", false },
	{ 'd', "login", "b", NULL, true },
	{ 'L', NULL, NULL, "s20", true },
};
#define STEPS ARRAY_SIZE(steps)

enum outcome { OPEN, FAILED, REPORTED };

struct dark {
	struct state_fixture *f;
	struct seal *seal;
	struct store *store;
	unsigned boot;
	enum outcome out[STEPS];
	size_t durable; /* steps in front of this one were seen on disk */
	char *found[STEPS]; /* the record's text, at its first step */
};

static char doing[128];

/* ---------------------------------------------------------------- the work */

static void
on_done(void *arg, const struct tb_error *err)
{
	*(enum outcome *)arg = err ? FAILED : REPORTED;
	state_done((void *)"", err);
}

static void
do_step(struct dark *w, size_t i)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *line = NULL;
	const struct step *s = &steps[i];

	switch (s->what) {
	case 'p':
		secret_set_str(&plain, s->text);
		store_put(w->store, s->kind, s->name, &plain, on_done,
		    &w->out[i]);
		break;
	case 'd':
		store_delete(w->store, s->kind, s->name, on_done,
		    &w->out[i]);
		break;
	case 'k':
		trail_give_key(w->f, 'a');
		break;
	default:
		line = xasprintf("{\"event\":\"%s\",\"filler\":\"%080d\"}",
		    s->text, 0);
		writer_put_line(w->f->writer, line, strlen(line),
		    s->what == 'L', on_done, &w->out[i]);
	}
}

static void
do_all(struct dark *w)
{
	unsigned open = 0;
	size_t i;

	for (i = 0; i < STEPS; i++) {
		do_step(w, i);
		open += steps[i].what != 'k';
		if (steps[i].wait) {
			assert_true(state_wait_done(w->f, open));
			open = 0;
		}
	}
}

/* -------------------------------------------------------------- the checks */

/* The step that put this record first. */
static size_t
first_step_of(const char *kind, const char *name)
{
	size_t i;

	for (i = 0; i < STEPS; i++)
		if (steps[i].kind && streq(steps[i].kind, kind) &&
		    streq(steps[i].name, name))
			return i;
	fail_msg("%s: no such record was ever put: %s/%s", doing, kind, name);
	return 0;
}

static void
on_found(void *arg, const char *kind, const char *name, struct secret *plain)
{
	struct dark *w = arg;
	size_t i = first_step_of(kind, name);

	free(w->found[i]);
	w->found[i] = xasprintf("%.8s", secret_reveal(plain));
}

static void
forget_found(struct dark *w)
{
	size_t i;

	for (i = 0; i < STEPS; i++) {
		free(w->found[i]);
		w->found[i] = NULL;
	}
}

/* Whether the record of step `first` may be text (NULL: missing): what it was
 * last reported to be, or anything that was put later. */
static bool
may_be(const struct dark *w, size_t first, const char *text)
{
	bool fits = text == NULL; /* before its first step */
	size_t i;

	for (i = first; i < STEPS; i++) {
		if (!steps[i].kind ||
		    first_step_of(steps[i].kind, steps[i].name) != first)
			continue;
		if (w->out[i] == REPORTED || i < w->durable)
			fits = false;
		fits |= steps[i].what == 'd' ? text == NULL :
		    text && streq(text, steps[i].text);
	}
	return fits;
}

static void
check_records(const struct dark *w)
{
	const struct store_trouble *t = store_get_trouble(w->store, 0);
	size_t i;

	if (t)
		fail_msg("%s: %s: %s", doing, t->record, t->why);
	if (store_is_quarantined(w->store))
		fail_msg("%s: the state is quarantined: %s", doing,
		    store_quarantine(w->store));
	for (i = 0; i < STEPS; i++) {
		if (!steps[i].kind ||
		    first_step_of(steps[i].kind, steps[i].name) != i)
			continue;
		if (!may_be(w, i, w->found[i]))
			fail_msg("%s: %s/%s is %s", doing, steps[i].kind,
			    steps[i].name, w->found[i] ? w->found[i] : "gone");
	}
}

static void
check_lines(struct dark *w)
{
	_cleanup_free_ char *all = trail_read_all(w->f);
	char text[32];
	const char *at;
	size_t i;

	for (i = 0; i < STEPS; i++) {
		if (steps[i].kind || steps[i].what == 'k')
			continue;
		snprintf(text, sizeof(text), "\"event\":\"%s\"",
		    steps[i].text);
		at = strstr(all, text);
		if (!at && steps[i].what == 'L' && w->out[i] == REPORTED)
			fail_msg("%s: line %s was durable and is gone", doing,
			    steps[i].text);
		if (at && steps[i].what == 'L')
			w->durable = i;
		if (at && strstr(at + 1, text))
			fail_msg("%s: line %s is there twice", doing,
			    steps[i].text);
	}
	trail_verify(w->f, NULL);
}

/* --------------------------------------------------------------- the lights */

/* Nothing on disk yet. */
static void
setup_world(struct dark *w)
{
	*w = (struct dark){ 0 };
	fake_disk_reset();
	state_setup((void **)&w->f);
	state_stop(w->f);
	state_remove_tree(w->f->state_dir);
	state_remove_tree(w->f->log_dir);
	assert_int_equal(mkdir(w->f->state_dir, 0700), 0);
	assert_int_equal(mkdir(w->f->log_dir, 0750), 0);
	w->f->env.audit_max_size = 700;
}

static void
teardown_world(struct dark *w)
{
	store_close(w->store);
	forget_found(w);
	state_teardown((void **)&w->f);
	seal_free(w->seal);
}

/* False, with the reason: it does not start, which is right in the dark. */
static bool
start_world(struct dark *w, struct tb_error *err)
{
	_cleanup_free_ char *boot = xasprintf("boot-%u", w->boot);
	struct store_env env = { .loop = w->f->loop, .run_dir = w->f->dir,
		.log_dir = w->f->log_dir, .machine_id = "m",
		.boot_id = boot };

	forget_found(w);
	w->f->writer = writer_start(w->f->loop, &w->f->env, err);
	if (!w->f->writer)
		return false;
	seal_free(w->seal); /* it knows the state */
	w->seal = seal_of(KEY_A);
	env.writer = w->f->writer;
	env.seal = w->seal;
	w->store = store_open(&env, on_found, w, err);
	if (w->store)
		store_begin(w->store);
	return w->store;
}

/* A reboot. */
static void
lose_memory(struct dark *w)
{
	_cleanup_free_ char *private = xasprintf("%s/private", w->f->dir);

	state_remove_tree(private);
	w->boot++;
}

static void
stop_world(struct dark *w)
{
	store_close(w->store);
	w->store = NULL;
	state_stop(w->f);
}

/* A start, and maybe the work, with the lights going out after so many calls.
 * What may be left of it comes back. */
static struct power *
work_and_die(struct dark *w, bool work, unsigned calls)
{
	struct power *p = power_on(w->f);
	struct tb_error err = TB_ERROR_INIT;

	fake_disk_die_after(calls);
	if (!start_world(w, &err)) {
		if (err.code != TB_E_IO)
			fail_msg("%s: %s", doing, err.msg);
	} else if (work) {
		do_all(w);
	} else {
		trail_give_key(w->f, 'a');
	}
	stop_world(w);
	power_cut(p);
	lose_memory(w);
	return p;
}

static void
start_and_check(struct dark *w)
{
	struct tb_error err = TB_ERROR_INIT;

	if (!start_world(w, &err))
		fail_msg("%s: %s", doing, err.msg);
	w->durable = 0;
	trail_give_key(w->f, 'a');
	trail_put(w->f, "after"); /* the key is known by then */
	check_lines(w);
	check_records(w);
	state_assert_healthy(w->f);
}

static unsigned
clean_run(unsigned *n_start)
{
	struct tb_error err = TB_ERROR_INIT;
	struct dark w;
	unsigned n;

	setup_world(&w);
	assert_true(start_world(&w, &err));
	do_all(&w);
	n = fake_disk_calls();
	stop_world(&w);
	fake_disk_reset();
	start_and_check(&w);
	*n_start = fake_disk_calls();
	assert_true(trail_count_files(w.f) >= 2); /* it did rotate */
	teardown_world(&w);
	return n;
}

/* One way in which the disk may be after the first cut; with a second cut
 * while that is recovered from, or (second < 0) without. */
static void
recover(struct dark *w, struct power *first, enum image_what what, int second)
{
	struct power *p;

	power_restore(first, w->f, what);
	if (second >= 0) {
		p = work_and_die(w, false, (unsigned)second);
		power_restore(p, w->f, (enum image_what)(second %
		    IMAGE_WHATS));
		power_free(p);
	}
	start_and_check(w);
	stop_world(w);
	lose_memory(w);
}

static void
test_power_cut_at_every_call(void **state)
{
	static const char *const words[] = { "synced", "names", "torn",
		"old names" };
	unsigned n_start, n = clean_run(&n_start), i, what, cuts = 0;
	struct power *first;
	struct dark w;
	int second;

	for (i = 0; i < n; i++) {
		setup_world(&w);
		snprintf(doing, sizeof(doing), "cut after %u calls of %u", i,
		    n);
		first = work_and_die(&w, true, i);
		for (what = 0; what < IMAGE_WHATS; what++) {
			/* spread over all the calls of a start */
			second = i % IMAGE_WHATS == what ?
			    (int)(i * 7 % (n_start + 1)) : -1;
			snprintf(doing, sizeof(doing), "cut after %u calls of "
			    "%u (%s), then after %d of %u", i, n, words[what],
			    second, n_start);
			recover(&w, first, (enum image_what)what, second);
			cuts += 1 + (second >= 0);
		}
		power_free(first);
		teardown_world(&w);
	}
	print_message("power cuts: %u calls found, the lights went out %u "
	    "times\n", n, cuts);
}

/* The image itself: what it keeps and what it loses. */
static void
test_what_a_power_cut_leaves(void **state)
{
	static const struct {
		enum image_what what;
		const char *a, *b, *log;
	} table[] = {
		{ IMAGE_SYNCED, "old", NULL, "synced\n" },
		{ IMAGE_NAMES, "new", "", "synced\n" },
		{ IMAGE_TORN, "new", "", "synced\nlost" },
		{ IMAGE_OLD_NAMES, "new", NULL, "synced\n" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		struct tb_error err = TB_ERROR_INIT;
		struct dark w;
		struct power *p;
		int dir, fd;

		setup_world(&w);
		assert_true(start_world(&w, &err));
		state_barrier(w.f);
		dir = writer_state_dirfd(w.f->writer);
		state_write(w.f->state_dir, "a.tbr", "old");
		state_write(w.f->log_dir, "x", "synced\n");
		p = power_on(w.f);
		fd = disk_openat(dir, "tmp", O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_int_equal(disk_write_all(fd, "new", 3), 0);
		assert_int_equal(disk_fsync(fd), 0);
		close(fd);
		assert_int_equal(disk_renameat(dir, "tmp", "a.tbr"), 0);
		fd = disk_openat(dir, "b.tbr", O_WRONLY | O_CREAT | O_EXCL,
		    0600);
		close(fd);
		state_append(w.f->log_dir, "x", "lost it\n");
		fake_disk_die_after(0); /* a stop writes */
		stop_world(&w);
		power_cut(p);
		power_restore(p, w.f, table[i].what);
		power_free(p);
		state_assert_file(w.f->state_dir, "a.tbr", table[i].a);
		state_assert_file(w.f->state_dir, "b.tbr", table[i].b);
		state_assert_file(w.f->log_dir, "x", table[i].log);
		teardown_world(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_power_cut_leaves),
		cmocka_unit_test(test_power_cut_at_every_call),
	};

	log_set_level(LOG_L_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
