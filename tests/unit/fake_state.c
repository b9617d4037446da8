/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fake_state.h. Order is kept: results come in the order of the puts.
 */
#include "fake_state.h"

#include <sys/queue.h>

#include "base/tb_error.h"
#include "state/signer.h"

struct fake_record {
	char *kind, *name, *plain;
};

struct writer_item {
	TAILQ_ENTRY(writer_item) link;
	store_done_fn *done;
	void *arg;
	bool fails;
	bool deletes;
	struct fake_record rec;
};

static struct {
	TAILQ_HEAD(, writer_item) open;
	struct loop_task task;
	bool hold, ready;
	unsigned fail;
	size_t puts;
	struct fake_record recs[64];
	size_t n_recs;
	size_t audits[AUDIT_EVENTS];
	bool strict;
	size_t quarantined, aheads;
	const char *hold_back, *boot;
} fake;

struct store {
	int dummy;
};

static void
record_free(struct fake_record *r)
{
	free(r->kind);
	free(r->name);
	free(r->plain);
}

static struct fake_record *
record_find(const char *kind, const char *name)
{
	for (size_t i = 0; i < fake.n_recs; i++) {
		if (streq(fake.recs[i].kind, kind) &&
		    streq(fake.recs[i].name, name))
			return &fake.recs[i];
	}
	return NULL;
}

static void
record_drop(const char *kind, const char *name)
{
	struct fake_record *r = record_find(kind, name);

	if (!r)
		return;
	record_free(r);
	*r = fake.recs[--fake.n_recs];
}

static void
record_set(const char *kind, const char *name, const char *plain)
{
	record_drop(kind, name);
	if (fake.n_recs == ARRAY_SIZE(fake.recs))
		abort();
	fake.recs[fake.n_recs++] = (struct fake_record){ xstrdup(kind),
		xstrdup(name), xstrdup(plain) };
}

static void
on_task(void *arg)
{
	struct tb_error err = TB_ERROR_INIT;
	struct writer_item *item;

	while (!fake.hold && (item = TAILQ_FIRST(&fake.open))) {
		TAILQ_REMOVE(&fake.open, item, link);
		if (item->fails)
			tb_error_set(&err, TB_E_IO, "no space left on device");
		else if (item->deletes)
			record_drop(item->rec.kind, item->rec.name);
		else
			record_set(item->rec.kind, item->rec.name,
			    item->rec.plain);
		if (item->done)
			item->done(item->arg, item->fails ? &err : NULL);
		record_free(&item->rec);
		free(item);
	}
}

void
fake_state_init(struct loop *loop)
{
	TAILQ_INIT(&fake.open);
	loop_task_init(&fake.task, loop, on_task, NULL);
	fake.ready = true;
}

void
fake_state_reset(void)
{
	struct writer_item *item;

	while (fake.ready && (item = TAILQ_FIRST(&fake.open))) {
		TAILQ_REMOVE(&fake.open, item, link);
		record_free(&item->rec);
		free(item);
	}
	for (size_t i = 0; i < fake.n_recs; i++)
		record_free(&fake.recs[i]);
	if (fake.ready)
		loop_task_cancel(&fake.task);
	memset(&fake, 0, sizeof(fake));
}

void
fake_state_seed(const char *kind, const char *name, const char *plain)
{
	record_set(kind, name, plain);
}

const char *
fake_state_record(const char *kind, const char *name)
{
	struct fake_record *r = record_find(kind, name);

	return r ? r->plain : NULL;
}

size_t
fake_state_puts(void)
{
	return fake.puts;
}

void
fake_state_fail(unsigned n)
{
	fake.fail = n;
}

void
fake_state_hold(bool hold)
{
	fake.hold = hold;
	if (!hold)
		loop_task_post(&fake.task);
}

void
fake_state_quarantine(size_t n)
{
	fake.quarantined = n;
}

void
fake_state_hold_back(const char *why)
{
	fake.hold_back = why;
}

size_t
fake_state_aheads(void)
{
	return fake.aheads;
}

size_t
fake_state_audits(enum audit_event event)
{
	return fake.audits[event];
}

static struct writer_item *
put(const char *kind, const char *name, const char *plain, bool deletes,
    store_done_fn *done, void *arg)
{
	struct writer_item *item = xnew(struct writer_item);

	item->done = done;
	item->arg = arg;
	item->deletes = deletes;
	if (fake.fail > 0 && !deletes) {
		fake.fail--;
		item->fails = true;
	}
	item->rec = (struct fake_record){ xstrdup(kind), xstrdup(name),
		xstrdup(plain) };
	TAILQ_INSERT_TAIL(&fake.open, item, link);
	loop_task_post(&fake.task);
	return item;
}

/* ------------------------------------------------------- state/store.h */

struct store *
store_open(const struct store_env *env, store_found_fn *found, void *arg,
    struct tb_error *err)
{
	struct secret plain = SECRET_INIT;

	for (size_t i = 0; i < fake.n_recs; i++) {
		secret_set_str(&plain, fake.recs[i].plain);
		found(arg, fake.recs[i].kind, fake.recs[i].name, &plain);
		secret_clear(&plain);
	}
	return xnew(struct store);
}

void
store_close(struct store *s)
{
	free(s);
}

struct writer_item *
store_put(struct store *s, const char *kind, const char *name,
    struct secret *plain, store_done_fn *done, void *arg)
{
	struct writer_item *item = put(kind, name, secret_reveal(plain), false,
	    done, arg);

	fake.puts++;
	secret_clear(plain);
	return item;
}

struct writer_item *
store_put_ahead(struct store *s, const char *kind, const char *name,
    struct secret *plain, const char *next_kind, size_t room,
    store_done_fn *done, void *arg)
{
	fake.aheads++;
	return store_put(s, kind, name, plain, done, arg);
}

void
store_begin(struct store *s)
{
}

bool
store_is_quarantined(const struct store *s)
{
	return fake.hold_back != NULL;
}

const char *
store_quarantine(const struct store *s)
{
	return fake.hold_back;
}

void
fake_state_boot(const char *id)
{
	fake.boot = id;
}

void
fake_state_strict(bool strict)
{
	fake.strict = strict;
}

const char *
store_boot_id(const struct store *s)
{
	return fake.boot ? fake.boot : "boot1";
}

int
store_why_quarantined(const struct store *s, struct tb_error *err)
{
	return tb_error_set(err, TB_E_QUARANTINE, "the state is quarantined "
	    "(%s); an operator has to decide: tokenbrokerctl adopt",
	    fake.hold_back);
}

void
store_adopt(struct store *s, store_done_fn *done, void *arg)
{
	fake.hold_back = NULL;
	put("store", "origin", "", false, done, arg);
}

const struct store_trouble *
store_get_trouble(const struct store *s, size_t i)
{
	static const struct store_trouble t = {
		.record = (char *)"login/lost", .why = (char *)"damaged",
	};

	return i < fake.quarantined ? &t : NULL;
}

void
store_get_rekey(const struct store *s, struct store_rekey_status *out)
{
	*out = (struct store_rekey_status){ .key = "0123456789abcdef" };
}

int
store_rekey(struct store *s, const struct secret *key, store_done_fn *done,
    void *arg, struct tb_error *err)
{
	put("store", "rekey", "", false, done, arg);
	return 0;
}

bool
store_key_is_configured(struct store *s, const char *key_id)
{
	return streq(key_id, "0123456789abcdef");
}

struct writer_item *
store_delete(struct store *s, const char *kind, const char *name,
    store_done_fn *done, void *arg)
{
	return put(kind, name, "", true, done, arg);
}

void
store_get_stats(const struct store *s, struct store_stats *out)
{
	*out = (struct store_stats){ .records = fake.n_recs,
		.quarantined = fake.quarantined };
}

/* ------------------------------------------------------ state/signer.h */

struct signer {
	char unused;
};

struct signer *
signer_new(struct loop *loop, struct writer *writer, struct store *store,
    struct secret *found)
{
	secret_clear(found);
	return xnew(struct signer);
}

void
signer_free(struct signer *s)
{
	free(s);
}

/* ------------------------------------------------------ state/writer.h */

void
writer_forget(struct writer_item **item)
{
	if (*item)
		(*item)->done = NULL;
	*item = NULL;
}

int
writer_health(const struct writer *w, struct tb_error *err)
{
	return 0;
}

void
writer_get_stats(const struct writer *w, struct writer_stats *out)
{
	*out = (struct writer_stats){ .items = 0 };
}

/* ------------------------------------------------------- state/audit.h */

bool
audit_is_strict(const struct audit *a)
{
	return fake.strict;
}

struct writer_item *
audit_before(struct audit *a, const struct audit_rec *rec,
    writer_done_fn *done, void *arg)
{
	fake.audits[rec->event]++;
	return fake.strict ? put("audit", "", "", true, done, arg) : NULL;
}

struct writer_item *
audit_durable(struct audit *a, const struct audit_rec *rec,
    writer_done_fn *done, void *arg)
{
	fake.audits[rec->event]++;
	return done ? put("audit", "", "", true, done, arg) : NULL;
}

void
audit_note(struct audit *a, const struct audit_rec *rec)
{
	fake.audits[rec->event]++;
}

void
audit_denied(struct audit *a, const struct audit_rec *rec)
{
	fake.audits[rec->event]++;
}
