/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - see the header. Sealing happens here, on the loop thread; what the
 * writer gets is ciphertext.
 *
 * One counter gives all versions: it starts above the highest found on disk,
 * so each record only ever goes up, without a memory of the records that were
 * deleted.
 *
 * The names of all records are kept sorted, to tell a new one from a change:
 * there are thousands at most, and each change costs a disk write anyway.
 */
#include "state/store.h"

#include <assert.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "lib/seal.h"
#include "state/recfile.h"
#include "state/store_int.h"
#include "state/writer.h"

#define KIND_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"

/* ---------------------------------------------------------- table of names */

/* The place of name, or where it belongs. */
static size_t
names_find(const struct store *s, const char *name, bool *found)
{
	size_t low = 0, high = s->n_names, mid;
	int c;

	*found = false;
	while (low < high) {
		mid = low + (high - low) / 2;
		c = strcmp(s->names[mid], name);
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void
store_add_name(struct store *s, const char *name)
{
	bool found;
	size_t at = names_find(s, name, &found);

	if (found)
		return;
	if (s->n_names == s->names_cap) {
		s->names_cap = s->names_cap ? 2 * s->names_cap : 64;
		s->names = xreallocarray(s->names, s->names_cap,
		    sizeof(s->names[0]));
	}
	memmove(&s->names[at + 1], &s->names[at],
	    (s->n_names - at) * sizeof(s->names[0]));
	s->names[at] = xstrdup(name);
	s->n_names++;
}

static void
names_remove(struct store *s, const char *name)
{
	bool found;
	size_t at = names_find(s, name, &found);

	if (!found)
		return;
	free(s->names[at]);
	s->n_names--;
	memmove(&s->names[at], &s->names[at + 1],
	    (s->n_names - at) * sizeof(s->names[0]));
}

/* ------------------------------------------------------------------ names */

char *
store_record_name(const char *kind, const char *name)
{
	return xasprintf("%s/%s", kind, name);
}

char *
store_file_name(const char *kind, const char *name)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&b, kind);
	strbuf_addc(&b, '.');
	strbuf_add_percent(&b, name);
	strbuf_adds(&b, STORE_SUFFIX);
	return strbuf_steal(&b);
}

bool
store_is_kind(const char *kind)
{
	return kind[0] && !kind[strspn(kind, KIND_CHARS)];
}

/* ------------------------------------------------------------------- life */

struct store *
store_open(struct writer *writer, struct seal *seal, store_found_fn *found,
    void *arg, struct tb_error *err)
{
	struct store *s = xnew(struct store);

	s->writer = writer;
	s->seal = seal;
	if (store_load(s, found, arg, err) < 0) {
		store_close(s);
		return NULL;
	}
	return s;
}

void
store_close(struct store *s)
{
	if (!s)
		return;
	while (s->n_names)
		free(s->names[--s->n_names]);
	free(s->names);
	free(s);
}

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
	return seal_close(s->seal, record, s->version + 1, plain, &rec->bytes,
	    &rec->len, err);
}

struct writer_item *
store_put(struct store *s, const char *kind, const char *name,
    struct secret *plain, store_done_fn *done, void *arg)
{
	struct secret mine _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *record = store_record_name(kind, name);
	struct writer_rec rec = { .kind = WRITER_RECORD };
	struct tb_error err = TB_ERROR_INIT;

	assert(store_is_kind(kind) && name[0]);
	secret_move(&mine, plain);
	rec.name = store_file_name(kind, name);
	if (store_seal(s, record, rec.name, &mine, &rec, &err) < 0) {
		free(rec.name);
		return writer_put_error(s->writer, &err, done, arg);
	}
	s->version++;
	store_add_name(s, record);
	return writer_put(s->writer, &rec, done, arg);
}

struct writer_item *
store_delete(struct store *s, const char *kind, const char *name,
    store_done_fn *done, void *arg)
{
	_cleanup_free_ char *record = store_record_name(kind, name);
	struct writer_rec rec = { .kind = WRITER_DELETE };
	struct tb_error err = TB_ERROR_INIT;

	assert(store_is_kind(kind) && name[0]);
	rec.name = store_file_name(kind, name);
	if (strlen(rec.name) > RECFILE_NAME_MAX) {
		free(rec.name);
		tb_error_set(&err, TB_E_LIMIT,
		    "the name of record '%.64s...' is too long", record);
		return writer_put_error(s->writer, &err, done, arg);
	}
	names_remove(s, record);
	return writer_put(s->writer, &rec, done, arg);
}

void
store_get_stats(const struct store *s, struct store_stats *out)
{
	out->records = s->n_names;
	out->quarantined = s->quarantined;
}
