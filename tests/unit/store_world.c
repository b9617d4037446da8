/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See store_world.h.
 */
#include "store_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_loop.h"

static void
on_found(void *arg, const char *kind, const char *name, struct secret *plain)
{
	struct world *w = arg;
	struct secret mine _cleanup_(secret_clear) = SECRET_INIT;

	secret_move(&mine, plain); /* it may be moved */
	strbuf_addf(&w->found, "%s/%s=%.20s\n", kind, name,
	    secret_reveal(&mine));
}

struct seal *
seal_of(const char *hex)
{
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct seal *s;

	secret_set_str(&key, hex);
	s = seal_new(&key, &err);
	assert_non_null(s);
	return s;
}

struct store *
try_open(struct world *w, struct tb_error *err)
{
	const struct store_env env = {
		.loop = w->f->loop,
		.writer = w->f->writer,
		.seal = w->seal,
		.run_dir = w->f->dir,
		.log_dir = w->f->log_dir,
		.machine_id = w->machine,
		.boot_id = w->boot,
	};

	strbuf_reset(&w->found);
	return store_open(&env, on_found, w, err);
}

void
open_store(struct world *w, const char *msg)
{
	struct tb_error err = TB_ERROR_INIT;

	w->store = try_open(w, &err);
	if (!msg && !w->store)
		fail_msg("%s", err.msg);
	if (!msg) {
		store_begin(w->store);
		state_barrier(w->f);
		return;
	}
	assert_null(w->store);
	if (!strstr(err.msg, msg))
		fail_msg("'%s' does not say '%s'", err.msg, msg);
}

void
close_store(struct world *w)
{
	store_close(w->store);
	w->store = NULL;
	state_restart(w->f);
	seal_free(w->seal); /* it knows the state, and maybe two keys */
	w->seal = seal_of(w->key);
}

void
reopen(struct world *w)
{
	close_store(w);
	open_store(w, NULL);
}

void
use_key(struct world *w, const char *hex)
{
	w->key = hex;
	seal_free(w->seal);
	w->seal = seal_of(hex);
}

void
put(struct world *w, const char *kind, const char *name, const char *text)
{
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;

	secret_set_str(&plain, text);
	store_put(w->store, kind, name, &plain, state_done, (void *)name);
	assert_true(secret_is_empty(&plain));
	assert_true(state_wait_done(w->f, 1));
}

void
assert_stats(struct world *w, size_t records, size_t quarantined)
{
	struct store_stats st;

	store_get_stats(w->store, &st);
	assert_int_equal(st.records, records);
	assert_int_equal(st.quarantined, quarantined);
}

char *
path_of(struct world *w, const char *file)
{
	return xasprintf("%s/%s", w->f->state_dir, file);
}

const char *
path_of_static(struct world *w, const char *file)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", w->f->state_dir, file);
	return path;
}

void
assert_trouble(struct world *w, const char *record, const char *why)
{
	const struct store_trouble *t;

	for (size_t i = 0; (t = store_get_trouble(w->store, i)); i++)
		if (streq(t->record, record)) {
			if (!strstr(t->why, why))
				fail_msg("'%s' does not say '%s'", t->why,
				    why);
			return;
		}
	fail_msg("nothing is said about %s", record);
}

void
assert_listing(struct world *w, const char *sub, const char *expected)
{
	_cleanup_free_ char *dir = path_of(w, sub);
	_cleanup_free_ char *list = state_list(dir);
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	char *name, *save = NULL;

	/* the store's own are always there */
	for (name = strtok_r(list, " ", &save); name;
	    name = strtok_r(NULL, " ", &save))
		if (strncmp(name, "store.", 6) != 0 &&
		    strncmp(name, ".store.", 7) != 0)
			strbuf_addf(&b, "%s%s", b.len ? " " : "", name);
	assert_string_equal(strbuf_str(&b), expected);
}

void
assert_no_trouble(struct world *w)
{
	const struct store_trouble *t = store_get_trouble(w->store, 0);

	if (t)
		fail_msg("%s: %s", t->record, t->why);
	if (store_is_quarantined(w->store))
		fail_msg("quarantined: %s", store_quarantine(w->store));
}

void
sh(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&text, fmt, ap) > 0);
	va_end(ap);
	if (system(text) != 0)
		fail_msg("%s", text);
	free(text);
}

int
store_world_setup(void **state)
{
	struct world *w = xnew(struct world);

	state_setup((void **)&w->f);
	w->key = KEY_A;
	w->machine = "11111111222222223333333344444444";
	w->boot = "boot-1";
	w->seal = seal_of(KEY_A);
	*state = w;
	return 0;
}

int
store_world_teardown(void **state)
{
	struct world *w = *state;

	store_close(w->store);
	state_teardown((void **)&w->f);
	seal_free(w->seal);
	strbuf_clear(&w->found);
	free(w);
	return 0;
}
