/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - see the header. Sealing happens here, on the loop thread; what the
 * writer gets is ciphertext.
 *
 * One counter gives all versions: it starts above the highest that was ever
 * seen, so each record only ever goes up, without a memory of the records that
 * were deleted. What a start accepts as a record's version is said by the list
 * of all records (store_list.c); the table here is what the next list says.
 */
#include "state/store.h"

#include <assert.h>

#include "lib/seal.h"
#include "state/recfile.h"
#include "state/store_int.h"
#include "state/writer.h"

/* What has become of what was put. */
static void
store_on_seen(void *arg, const struct writer_seen *what,
    const struct tb_error *err)
{
	struct store *s = arg;
	struct store_entry *e = store_find(&s->table, what->name);

	if (what->is_list) {
		store_list_written(s, err);
		return;
	}
	store_list_touch(s);
	if (!e || err) /* what is on disk now, nobody knows */
		return;
	if (!what->is_delete)
		e->low = MAX2(e->low, what->version);
	else if (e->dead && e->last == what->version)
		store_remove(&s->table, what->name);
}

/* ------------------------------------------------------------------- life */

struct store *
store_open(const struct store_env *env, store_found_fn *found, void *arg,
    struct tb_error *err)
{
	struct store *s = xnew(struct store);

	s->loop = env->loop;
	s->writer = env->writer;
	s->seal = env->seal;
	writer_keep_books(s->writer, store_on_seen, s);
	store_list_init(s);
	store_origin_init(s, env);
	if (store_load(s, found, arg, err) < 0) {
		s->list_is_behind = false;
		store_close(s);
		return NULL;
	}
	return s;
}

/* The list goes first: it says what may be there from now on. */
void
store_begin(struct store *s)
{
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *file = store_file_name(STORE_KIND,
	    STORE_FINGERPRINT);

	store_origin_begin(s);
	store_list_put(s);
	if (store_origin_is_due(s))
		store_origin_put(s, NULL, NULL);
	if (!store_find(&s->table, file)) {
		seal_get_fingerprint_key(s->seal, &key);
		store_put_own(s, STORE_FINGERPRINT, &key, NULL, NULL);
	}
	store_rekey_begin(s);
}

void
store_close(struct store *s)
{
	if (!s)
		return;
	if (s->list_is_behind)
		store_list_put(s);
	writer_keep_books(s->writer, NULL, NULL);
	loop_timer_stop(&s->list_timer);
	store_rekey_free(s);
	store_origin_clear(s);
	while (s->n_trouble) {
		struct store_trouble *t = &s->trouble[--s->n_trouble];

		free(t->record);
		free(t->kept);
		free(t->why);
	}
	free(s->trouble);
	while (s->n_stale)
		free(s->stale[--s->n_stale]);
	free(s->stale);
	store_table_clear(&s->table);
	free(s);
}

/* ------------------------------------------------------------------- puts */

static int
store_seal(struct store *s, const char *record, const char *file,
    const struct secret *plain, struct writer_rec *rec, struct tb_error *err)
{
	if (strlen(file) > RECFILE_NAME_MAX)
		return tb_error_set(err, TB_E_LIMIT,
		    "the name of record '%.64s...' is too long", record);
	if (plain->len > STORE_RECORD_MAX)
		return tb_error_set(err, TB_E_LIMIT, "record '%s' has %zu "
		    "bytes, the limit is %zu", record, plain->len,
		    STORE_RECORD_MAX);
	rec->version = s->version + 1;
	return seal_close(s->seal, record, rec->version, plain, &rec->bytes,
	    &rec->len, err);
}

/* rec: what was decided already; name and plain are taken. */
static struct writer_item *
store_put_rec(struct store *s, const char *kind, const char *name,
    struct secret *plain, struct writer_rec *rec, store_done_fn *done,
    void *arg)
{
	struct secret mine _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *record = store_record_name(kind, name);
	struct tb_error err = TB_ERROR_INIT;
	struct store_entry *e;

	assert(store_is_kind(kind) && name[0]);
	secret_move(&mine, plain);
	rec->kind = WRITER_RECORD;
	rec->name = store_file_name(kind, name);
	if (store_seal(s, record, rec->name, &mine, rec, &err) < 0) {
		free(rec->name);
		free(rec->room_for);
		return writer_put_error(s->writer, &err, done, arg);
	}
	s->version = rec->version;
	e = store_add(&s->table, rec->name);
	e->high = e->last = rec->version;
	e->dead = false;
	rec->seen = true;
	s->list_is_behind = true;
	return writer_put(s->writer, rec, done, arg);
}

struct writer_item *
store_put(struct store *s, const char *kind, const char *name,
    struct secret *plain, store_done_fn *done, void *arg)
{
	struct writer_rec rec = { .room = 0 };

	return store_put_rec(s, kind, name, plain, &rec, done, arg);
}

struct writer_item *
store_put_ahead(struct store *s, const char *kind, const char *name,
    struct secret *plain, const char *next_kind, size_t room,
    store_done_fn *done, void *arg)
{
	struct writer_rec rec = {
		.room_for = store_file_name(next_kind, name),
		.room = room,
	};

	return store_put_rec(s, kind, name, plain, &rec, done, arg);
}

struct writer_item *
store_put_own(struct store *s, const char *name, struct secret *plain,
    store_done_fn *done, void *arg)
{
	return store_put(s, STORE_KIND, name, plain, done, arg);
}

struct writer_item *
store_delete(struct store *s, const char *kind, const char *name,
    store_done_fn *done, void *arg)
{
	_cleanup_free_ char *record = store_record_name(kind, name);
	struct writer_rec rec = { .kind = WRITER_DELETE };
	struct tb_error err = TB_ERROR_INIT;
	struct store_entry *e;

	assert(store_is_kind(kind) && name[0]);
	rec.name = store_file_name(kind, name);
	if (strlen(rec.name) > RECFILE_NAME_MAX) {
		free(rec.name);
		tb_error_set(&err, TB_E_LIMIT,
		    "the name of record '%.64s...' is too long", record);
		return writer_put_error(s->writer, &err, done, arg);
	}
	e = store_find(&s->table, rec.name);
	if (e) {
		rec.version = e->last = ++s->version;
		e->low = 0;
		e->dead = true;
		rec.seen = true;
		store_list_put(s); /* before its file goes */
	}
	return writer_put(s->writer, &rec, done, arg);
}

/* ------------------------------------------------------------------ looks */

void
store_get_stats(const struct store *s, struct store_stats *out)
{
	*out = (struct store_stats){ .quarantined = s->quarantined,
		.missing = s->missing, .kept = s->kept };
	for (size_t i = 0; i < s->table.n; i++)
		out->records += !s->table.e[i].dead &&
		    !store_is_own_file(s->table.e[i].file);
}

const struct store_trouble *
store_get_trouble(const struct store *s, size_t i)
{
	return i < s->n_trouble ? &s->trouble[i] : NULL;
}
