/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the signing key comes from: the real store and writer on a disk with
 * faults.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_disk.h"
#include "fake_loop.h"
#include "lib/seal.h"
#include "state/signer.h"
#include "state/store.h"
#include "state_fixture.h"

struct world {
	struct state_fixture *f;
	struct seal *seal;
	struct store *store;
	struct signer *signer;
	struct secret found;
};

static void
on_found(void *arg, const char *kind, const char *name, struct secret *plain)
{
	struct world *w = arg;

	assert_string_equal(kind, SIGNER_RECORD_KIND);
	assert_string_equal(name, SIGNER_RECORD_NAME);
	secret_move(&w->found, plain);
}

static void
up(struct world *w)
{
	const struct store_env env = {
		.loop = w->f->loop,
		.writer = w->f->writer,
		.seal = w->seal,
	};
	struct tb_error err = TB_ERROR_INIT;

	w->store = store_open(&env, on_found, w, &err);
	assert_non_null(w->store);
	store_begin(w->store);
	w->signer = signer_new(w->f->loop, w->f->writer, w->store, &w->found);
}

static void
down(struct world *w)
{
	signer_free(w->signer);
	store_close(w->store);
}

static void
restart(struct world *w)
{
	down(w);
	state_restart(w->f);
	up(w);
}

/* The loop runs until the log has n checkpoints; the key's id, to be freed. */
static char *
wait_key(struct world *w)
{
	struct writer_trail t;
	char *id = NULL;
	int i;

	for (i = 0; i < 200 && !id; i++) {
		fake_loop_wait_wake(10);
		writer_get_trail(w->f->writer, &t);
		if (t.keys[0])
			id = xstrndup(t.keys, 16);
		writer_trail_clear(&t);
	}
	assert_non_null(id);
	return id;
}

static void
test_made_once(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *first = NULL, *second = NULL, *record = NULL;

	up(w);
	first = wait_key(w);
	record = state_read(w->f->state_dir, "audit.signing-key.tbr");
	assert_non_null(record);
	restart(w);
	second = wait_key(w);
	assert_string_equal(first, second);
	assert_int_equal(state_count_lines(w->f, "audit_key"), 1);
	down(w);
}

/* Not used before it is durable: the next start would not have it. */
static void
test_durable_before_first_use(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *id = NULL;
	struct writer_trail t;
	int i;

	fake_disk_fail(FAKE_DISK_FSYNC, "signing-key", EIO, 0, 2);
	up(w);
	for (i = 0; i < 20; i++)
		fake_loop_wait_wake(5);
	writer_get_trail(w->f->writer, &t);
	assert_null(t.checkpoint);
	writer_trail_clear(&t);
	assert_int_equal(state_count_lines(w->f, "audit_key"), 0);
	assert_true(fake_loop_timers() > 0);
	fake_loop_advance(10000); /* fails once more */
	for (i = 0; i < 20; i++)
		fake_loop_wait_wake(5);
	assert_int_equal(state_count_lines(w->f, "audit_key"), 0);
	fake_loop_advance(10000);
	id = wait_key(w);
	assert_int_equal(state_count_lines(w->f, id), 2);
	fake_loop_advance(2000); /* the store's list of records */
	assert_int_equal(fake_loop_timers(), 0);
	down(w);
}

static void
test_gone_before_it_is_stored(void **state)
{
	struct world *w = *state;

	up(w);
	down(w);
	state_barrier(w->f);
	fake_loop_wait_wake(20);
	assert_int_equal(state_count_lines(w->f, "audit_key"), 0);
}

static void
test_lost_key_is_replaced(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *first = NULL, *second = NULL, *path = NULL;
	struct secret odd = SECRET_INIT;
	struct writer_trail t;
	int i;

	up(w);
	first = wait_key(w);
	path = xasprintf("%s/audit.signing-key.tbr", w->f->state_dir);
	assert_int_equal(unlink(path), 0);
	restart(w);
	for (i = 0; i < 200 &&
	    state_count_lines(w->f, "the key before was lost") == 0; i++)
		fake_loop_wait_wake(10);
	state_barrier(w->f);
	writer_get_trail(w->f->writer, &t);
	assert_ptr_equal(strstr(t.keys, first), t.keys);
	second = xstrndup(strchr(t.keys, '\n') + 1, 16);
	assert_non_null(strstr(t.checkpoint, second));
	assert_string_not_equal(first, second);
	writer_trail_clear(&t);
	/* what is in the record is no key */
	secret_set_str(&odd, "odd");
	store_put(w->store, SIGNER_RECORD_KIND, SIGNER_RECORD_NAME, &odd,
	    NULL, NULL);
	restart(w);
	for (i = 0; i < 200 &&
	    state_count_lines(w->f, "the key before was lost") < 2; i++)
		fake_loop_wait_wake(10);
	assert_int_equal(state_count_lines(w->f, "the key before was lost"),
	    2);
	down(w);
}

static int
setup(void **state)
{
	struct world *w = xnew(struct world);
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	fake_disk_reset();
	state_setup((void **)&w->f);
	memset(secret_alloc(&key, SEAL_KEY_BYTES), 'k', SEAL_KEY_BYTES);
	w->seal = seal_new(&key, &err);
	assert_non_null(w->seal);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	fake_disk_reset();
	seal_free(w->seal);
	secret_clear(&w->found);
	state_teardown((void **)&w->f);
	free(w);
	return 0;
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_made_once),
		T(test_durable_before_first_use),
		T(test_gone_before_it_is_stored),
		T(test_lost_key_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
