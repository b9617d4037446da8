/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_rekey - another master key, while everything goes on.
 *
 *	KEYS FILE --durable--> every record, one by one --> WAITING --the daemon
 *	                                              has the new key--> (over)
 *
 * The keys file holds the new key sealed with the old one, and the old key
 * sealed with the new one, and is written whole or not at all. So from the
 * moment that it is there until it goes, either key opens both, whatever each
 * record is sealed with, and a start with either goes on where the last one
 * was stopped. It goes when every record is under the new key and the daemon
 * has been given that: then nothing is left for the old one to open.
 *
 * Records are sealed anew on the writer thread, with the version they have.
 * Those that 0.1.0 left in its format go the same way, under the same key.
 */
#include <stdatomic.h>

#include "base/log.h"
#include "lib/seal.h"
#include "state/store_int.h"
#include "state/writer.h"

#define NAME_TO STORE_KIND "/rekey-to"
#define NAME_FROM STORE_KIND "/rekey-from"

/* What the writer thread needs; of the store and of each item. */
struct reseal {
	atomic_uint refs;
	struct seal *seal;   /* the writer thread's */
	struct store *store; /* the loop thread's; NULL: it is closed */
};

struct rekey {
	enum store_rekey_state state;
	bool is_configured; /* the daemon was given the new key */
	bool ending;
	char *key, *old_key; /* ids; both NULL: only the format is new */
	store_done_fn *done; /* NULL: nobody waits */
	void *arg;
	struct tb_error last;
	size_t open, failed, records;
	struct reseal *reseal;      /* the round under way */
	struct writer_item *keys;   /* the keys file comes or goes */
};

static void rekey_end(struct store *s);

/* -------------------------------------------------- on the writer thread */

static void
reseal_unref(void *arg)
{
	struct reseal *r = arg;

	if (atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	seal_free(r->seal);
	free(r);
}

static int
reseal(void *arg, const char *file, const unsigned char *bytes, size_t len,
    unsigned char **out, size_t *out_len, struct tb_error *err)
{
	struct reseal *r = arg;
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *kind = NULL, *name = NULL, *record = NULL;
	struct seal_info info;

	if (!store_parse_file(file, &kind, &name))
		return 0;
	record = store_record_name(kind, name);
	if (seal_open(r->seal, record, bytes, len, &info, &plain, err) !=
	    SEAL_OK)
		return -1;
	if (!info.other_key && info.format == SEAL_FORMAT)
		return 0;
	return seal_close(r->seal, record, info.version, &plain, out, out_len,
	    err);
}

/* ---------------------------------------------------- on the loop thread */

static void
rekey_set_ids(struct store *s)
{
	str_set(&s->rekey->key, seal_key_id(s->seal));
	str_set(&s->rekey->old_key, seal_other_key_id(s->seal));
}

/* Its items are on their own. */
static void
reseal_drop(struct rekey *k)
{
	struct reseal *r = STEAL(k->reseal);

	if (!r)
		return;
	r->store = NULL;
	reseal_unref(r);
}

void
store_rekey_free(struct store *s)
{
	struct rekey *k = STEAL(s->rekey);

	if (!k)
		return;
	writer_forget(&k->keys);
	reseal_drop(k);
	free(k->key);
	free(k->old_key);
	free(k);
}

static void
forget_stale(struct store *s)
{
	while (s->n_stale)
		free(s->stale[--s->n_stale]);
}

static void
rekey_tell(struct rekey *k, const struct tb_error *err)
{
	store_done_fn *done = k->done;

	k->done = NULL;
	if (done)
		done(k->arg, err);
}

/* Every record has been tried. */
static void
rekey_all_tried(struct store *s)
{
	struct rekey *k = s->rekey;

	if (k->failed) {
		k->state = STORE_REKEY_FAILED;
		log_error("store", "%zu of %zu records could not be sealed "
		    "anew: %s; run the same tokenbrokerctl rekey again, or "
		    "restart: both keys are still known", k->failed,
		    k->records, k->last.msg);
		tb_error_wrap(&k->last, "%zu records could not be sealed with "
		    "the new key yet", k->failed);
		rekey_tell(k, &k->last);
		return;
	}
	forget_stale(s);
	if (!k->key) { /* only the format was an old one */
		store_rekey_free(s);
		return;
	}
	k->state = STORE_REKEY_WAITING;
	if (k->is_configured)
		rekey_end(s);
	else
		log_warn("store", "every record is sealed with master key %s "
		    "now; the daemon was started with %s, which opens the "
		    "state only until it is given the new one: put that in "
		    "its place and restart (or reload, where it is a file)",
		    k->key, k->old_key);
	rekey_tell(k, NULL);
}

static void
resealed_one(struct store *s, const struct tb_error *err)
{
	struct rekey *k = s->rekey;

	if (err) {
		k->failed++;
		k->last = *err;
	}
	if (--k->open > 0)
		return;
	reseal_drop(k);
	rekey_all_tried(s);
}

static void
on_resealed(void *arg, const struct tb_error *err)
{
	const struct reseal *r = arg;

	if (r->store)
		resealed_one(r->store, err);
}

/* All files in s->stale. */
static void
reseal_all(struct store *s)
{
	struct rekey *k = s->rekey;
	struct reseal *r = k->reseal = xnew(struct reseal);

	atomic_init(&r->refs, 1);
	r->store = s;
	k->failed = 0;
	k->records = s->n_stale;
	k->state = STORE_REKEY_RUNNING;
	r->seal = seal_clone(s->seal, &k->last);
	if (!r->seal) {
		k->failed = k->records;
		reseal_drop(k);
		rekey_all_tried(s);
		return;
	}
	k->open = 1;
	for (size_t i = 0; i < s->n_stale; i++) {
		struct writer_rec rec = {
			.kind = WRITER_CHANGE,
			.name = xstrdup(s->stale[i]),
			.change = reseal,
			.change_arg = r,
			.change_release = reseal_unref,
		};

		atomic_fetch_add(&r->refs, 1);
		k->open++;
		writer_put(s->writer, &rec, on_resealed, r);
	}
	resealed_one(s, NULL);
}

static void
make_all_stale(struct store *s)
{
	forget_stale(s);
	s->stale = xreallocarray(s->stale, s->table.n, sizeof(s->stale[0]));
	for (size_t i = 0; i < s->table.n; i++)
		s->stale[s->n_stale++] = xstrdup(s->table.e[i].file);
}

/* ------------------------------------------------------------------ start */

/* Both halves have the same length. */
static enum seal_verdict
open_half(struct store *s, const char *name, const unsigned char *bytes,
    size_t len, struct secret *key)
{
	struct tb_error ignored = TB_ERROR_INIT;
	struct seal_info info;

	return seal_open(s->seal, name, bytes, len, &info, key, &ignored);
}

int
store_rekey_load(struct store *s, const unsigned char *bytes, size_t len,
    bool *foreign, struct tb_error *err)
{
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	size_t half = len / 2;
	bool is_new;

	*foreign = false;
	if (!bytes)
		return 0;
	is_new = open_half(s, NAME_FROM, bytes + half, half, &key) == SEAL_OK;
	if (!is_new && open_half(s, NAME_TO, bytes, half, &key) != SEAL_OK) {
		*foreign = true;
		return 0;
	}
	if (seal_add_key(s->seal, &key, err) < 0)
		return -1;
	if (!is_new)
		seal_swap_keys(s->seal);
	s->rekey = xnew(struct rekey);
	s->rekey->is_configured = is_new;
	rekey_set_ids(s);
	return 0;
}

void
store_rekey_begin(struct store *s)
{
	if (!s->rekey && s->n_stale == 0)
		return;
	if (!s->rekey) {
		s->rekey = xnew(struct rekey);
		log_info("store", "%zu records have the format of version "
		    "0.1.0 and are written in the present one", s->n_stale);
	} else {
		log_info("store", "the change of the master key from %s to %s "
		    "goes on: %zu records are left", s->rekey->old_key,
		    s->rekey->key, s->n_stale);
	}
	reseal_all(s);
}

/* -------------------------------------------------------------------- end */

static void
on_keys_gone(void *arg, const struct tb_error *err)
{
	struct store *s = arg;

	s->rekey->keys = NULL;
	if (err) {
		s->rekey->ending = false;
		log_warn("store", "the change of the master key cannot be "
		    "ended yet: %s; it is tried again at the next start or "
		    "reload", err->msg);
		return;
	}
	log_info("store", "the change of the master key is over: %s opens "
	    "nothing here any more", s->rekey->old_key);
	seal_drop_other_key(s->seal);
	store_rekey_free(s);
}

/* The list is under the new key before what opens it with the old one goes. */
static void
rekey_end(struct store *s)
{
	struct writer_rec rec = {
		.kind = WRITER_DELETE,
		.name = xstrdup(STORE_KEYS_FILE),
	};

	s->rekey->ending = true;
	store_list_put(s);
	s->rekey->keys = writer_put(s->writer, &rec, on_keys_gone, s);
}

bool
store_key_is_configured(struct store *s, const char *key_id)
{
	struct rekey *k = s->rekey;

	if (!streq(key_id, seal_key_id(s->seal)))
		return false;
	if (!k || !k->key)
		return true;
	k->is_configured = true;
	if (k->state == STORE_REKEY_WAITING && !k->ending)
		rekey_end(s);
	return true;
}

/* ------------------------------------------------------------------ rekey */

static void
on_keys_written(void *arg, const struct tb_error *err)
{
	struct store *s = arg;
	struct tb_error why;

	s->rekey->keys = NULL;
	if (err) {
		why = *err;
		tb_error_wrap(&why, "the master key was not changed");
		seal_drop_other_key(s->seal);
		rekey_tell(s->rekey, &why);
		store_rekey_free(s);
		return;
	}
	seal_swap_keys(s->seal);
	log_info("store", "the master key is being changed from %s to %s",
	    s->rekey->old_key, s->rekey->key);
	store_list_put(s);
	make_all_stale(s);
	reseal_all(s);
}

/* Seals a copy of one key with the other, behind what is in rec. */
static int
add_half(struct store *s, const char *name, bool other, struct writer_rec *rec,
    struct tb_error *err)
{
	struct secret key _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ unsigned char *half = NULL;
	size_t len;

	seal_export_key(s->seal, other, &key);
	if (seal_close(s->seal, name, s->version, &key, &half, &len, err) < 0)
		return -1;
	rec->bytes = xreallocarray(rec->bytes, rec->len + len, 1);
	memcpy(rec->bytes + rec->len, half, len);
	rec->len += len;
	return 0;
}

/* The new key is the other one now. */
static int
make_keys(struct store *s, struct writer_rec *rec, struct tb_error *err)
{
	int r = add_half(s, NAME_TO, true, rec, err);

	if (r == 0) {
		seal_swap_keys(s->seal);
		r = add_half(s, NAME_FROM, true, rec, err);
		seal_swap_keys(s->seal);
	}
	if (r < 0)
		free(STEAL(rec->bytes));
	return r;
}

/* The key that is being changed to already, or that is in use. */
static int
rekey_again(struct store *s, const char *id, store_done_fn *done, void *arg,
    struct tb_error *err)
{
	struct rekey *k = s->rekey;

	if (!k || !k->key)
		return tb_error_set(err, TB_E_BADREQ, k ? "the records are "
		    "being written in the present format; try again in a "
		    "moment" : "this is the master key that is in use");
	if (k->state == STORE_REKEY_RUNNING || k->ending)
		return tb_error_set(err, TB_E_BADREQ,
		    "the master key is being changed already");
	if (!streq(id, k->key))
		return tb_error_set(err, TB_E_BADREQ, "the change to master "
		    "key %s is not over: give the daemon that key and restart "
		    "it, then change to another", k->key);
	k->done = done;
	k->arg = arg;
	make_all_stale(s); /* those that are new already are left alone */
	reseal_all(s);
	return 0;
}

int
store_rekey(struct store *s, const struct secret *key, store_done_fn *done,
    void *arg, struct tb_error *err)
{
	struct writer_rec rec = { .kind = WRITER_RECORD };
	struct seal *fresh = seal_new(key, err);
	_cleanup_free_ char *id = fresh ? xstrdup(seal_key_id(fresh)) : NULL;

	seal_free(fresh);
	if (!id) {
		err->code = TB_E_BADREQ;
		return -1;
	}
	if (s->rekey && !s->rekey->key && s->rekey->state ==
	    STORE_REKEY_FAILED) /* what an old format is left is done here */
		store_rekey_free(s);
	if (s->rekey || streq(id, seal_key_id(s->seal)))
		return rekey_again(s, id, done, arg, err);
	if (seal_add_key(s->seal, key, err) < 0)
		return -1;
	if (make_keys(s, &rec, err) < 0) {
		seal_drop_other_key(s->seal);
		return -1;
	}
	s->rekey = xnew(struct rekey);
	s->rekey->state = STORE_REKEY_RUNNING;
	s->rekey->key = xstrdup(id);
	s->rekey->old_key = xstrdup(seal_key_id(s->seal));
	s->rekey->done = done;
	s->rekey->arg = arg;
	rec.name = xstrdup(STORE_KEYS_FILE);
	s->rekey->keys = writer_put(s->writer, &rec, on_keys_written, s);
	return 0;
}

void
store_get_rekey(const struct store *s, struct store_rekey_status *out)
{
	const struct rekey *k = s->rekey;

	*out = (struct store_rekey_status){ .key = seal_key_id(s->seal) };
	if (!k || !k->key)
		return;
	out->state = k->state;
	out->key = k->key;
	out->old_key = k->old_key;
	out->records = k->records;
	out->left = k->state == STORE_REKEY_RUNNING ? k->open : k->failed;
}
