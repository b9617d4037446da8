/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fake_audit.h.
 */
#include "fake_audit.h"

#include <inttypes.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "lib/loop.h"
#include "state/acl.h"
#include "state/eventlog.h"

struct writer_item {
	struct writer_item *next;
	struct audit *audit;
	writer_done_fn *done; /* NULL: forgotten */
	void *arg;
	bool fails;
	struct eventlog_slice *slice; /* NULL: it is no read */
};

struct audit {
	bool strict;
	struct loop_task task;
};

static struct {
	struct strbuf text, taken;
	struct writer_item *first, **end;
	bool hold, behind;
	unsigned fail; /* the record that fails, counted down to 1 */
	char last_request[32];
	uint64_t last_same;
	const char *checkpoint;
	struct audit *audit; /* the newest */
	char *file, *file_text;
	writer_events_fn *events_fn;
	void *events_arg;
	uint64_t events_seq, events_gap;
	const char *older;
	int64_t failing_since;
} fake = { .end = &fake.first };

static const char *
event_name(enum audit_event e)
{
	switch ((int)e) {
	case AUDIT_AUTHORISED:
		return "authorised";
	case AUDIT_SENT:
		return "sent";
	case AUDIT_WITHHELD:
		return "withheld";
	case AUDIT_DENIED:
		return "denied";
	case AUDIT_REJECTED:
		return "rejected";
	case AUDIT_ADMIN:
		return "admin";
	case AUDIT_CHECKPOINT:
		return "checkpoint";
	default:
		return "other";
	}
}

static void
note(const struct audit_rec *rec)
{
	strbuf_adds(&fake.text, event_name(rec->event));
	if (rec->token)
		strbuf_addf(&fake.text, " %s", rec->token);
	if (rec->login && rec->event == AUDIT_ADMIN)
		strbuf_addf(&fake.text, " %s", rec->login);
	if (rec->generation)
		strbuf_addf(&fake.text, "/%" PRIu64, rec->generation);
	if (rec->rule)
		strbuf_addf(&fake.text, " %s", rec->rule->where);
	if (rec->delivery)
		strbuf_addf(&fake.text, " by %s", rec->delivery);
	if (rec->reason)
		strbuf_addf(&fake.text, ": %s", rec->reason);
	strbuf_addc(&fake.text, '\n');
	fake.last_same = rec->same;
	snprintf(fake.last_request, sizeof(fake.last_request), "%s",
	    rec->request_id ? rec->request_id : "");
}

static void
run_done(void *arg)
{
	struct tb_error err = TB_ERROR_INIT;
	struct writer_item *i;

	tb_error_set(&err, TB_E_IO, "no space left on device");
	while (!fake.hold && (i = fake.first)) {
		fake.first = i->next;
		if (!fake.first)
			fake.end = &fake.first;
		if (i->done)
			i->done(i->arg, i->fails ? &err : NULL);
		if (i->slice)
			strbuf_clear(&i->slice->lines);
		free(i->slice);
		free(i);
	}
}

struct audit *
audit_new(struct loop *loop, struct writer *writer, bool strict,
    struct tb_error *err)
{
	struct audit *a = xnew(struct audit);

	a->strict = strict;
	loop_task_init(&a->task, loop, run_done, a);
	fake.audit = a;
	return a;
}

void
audit_free(struct audit *a)
{
	if (!a)
		return;
	fake.hold = false;
	run_done(a);
	loop_task_cancel(&a->task);
	strbuf_clear(&fake.text);
	strbuf_clear(&fake.taken);
	str_set(&fake.file, NULL);
	str_set(&fake.file_text, NULL);
	fake.fail = 0;
	fake.events_seq = fake.events_gap = 0;
	fake.older = NULL;
	fake.failing_since = 0;
	free(a);
}

void
fake_audit_strict(struct audit *a, bool strict)
{
	a->strict = strict;
}

bool
audit_is_strict(const struct audit *a)
{
	return a->strict;
}

static struct writer_item *
put(struct audit *a, writer_done_fn *done, void *arg)
{
	struct writer_item *i = xnew(struct writer_item);

	i->audit = a;
	i->done = done;
	i->arg = arg;
	i->fails = fake.fail == 1;
	fake.fail -= fake.fail > 0;
	*fake.end = i;
	fake.end = &i->next;
	loop_task_post(&a->task);
	return i;
}

/* Of a file for others only. */
struct writer_item *
writer_put(struct writer *w, struct writer_rec *rec, writer_done_fn *done,
    void *arg)
{
	if (rec->kind != WRITER_TEXT)
		abort();
	free(fake.file);
	fake.file = STEAL(rec->name);
	free(fake.file_text);
	fake.file_text = xstrndup((char *)rec->bytes, rec->len);
	free(STEAL(rec->bytes));
	return put(fake.audit, done, arg);
}

const char *
fake_audit_file(const char **text)
{
	*text = fake.file_text;
	return fake.file;
}

struct writer_item *
audit_durable(struct audit *a, const struct audit_rec *rec,
    writer_done_fn *done, void *arg)
{
	note(rec);
	return put(a, done, arg);
}

void
fake_audit_behind(bool behind)
{
	fake.behind = behind;
}

bool
audit_is_behind(const struct audit *a)
{
	return fake.behind;
}

struct writer_item *
audit_before(struct audit *a, const struct audit_rec *rec,
    writer_done_fn *done, void *arg)
{
	if (a->strict)
		return audit_durable(a, rec, done, arg);
	note(rec);
	return NULL;
}

struct writer_item *
audit_checkpoint(struct audit *a, writer_done_fn *done, void *arg)
{
	struct audit_rec rec = { .event = AUDIT_CHECKPOINT };

	return audit_durable(a, &rec, done, arg);
}

void
audit_get_trail(const struct audit *a, struct writer_trail *out,
    uint64_t *lost)
{
	*out = (struct writer_trail){
		.seq = 7,
		.checkpoint = xstrdup0(fake.checkpoint),
		.keys = xstrdup("0123456789abcdef UFVC 2026-11-22T17:20:00Z\n"
		    "fedcba9876543210 S0VZ\n"),
		.files = xstrdup("audit-00000000000000000003.jsonl\n"
		    "audit.jsonl\n"),
		.journal_dropped = 2,
	};
	memset(out->hash, 'a', 64);
	*lost = 4;
}

void
writer_trail_clear(struct writer_trail *t)
{
	free(t->checkpoint);
	free(t->keys);
	free(t->files);
}

void
fake_audit_checkpoint(const char *line)
{
	fake.checkpoint = line;
}

void
audit_watch_events(struct audit *a, writer_events_fn *fn, void *arg)
{
	fake.events_fn = fn;
	fake.events_arg = arg;
}

uint64_t
audit_events_seq(const struct audit *a)
{
	return fake.events_seq;
}

struct writer_item *
audit_read_events(struct audit *a, struct eventlog_slice *slice,
    writer_done_fn *done, void *arg)
{
	struct writer_item *i = put(a, done, arg);

	i->slice = slice;
	slice->seen = fake.events_seq;
	slice->gap_to = fake.events_gap;
	strbuf_adds(&slice->lines, fake.older ? fake.older : "");
	return i;
}

int64_t
audit_failing_since(const struct audit *a, struct tb_error *err)
{
	if (fake.failing_since)
		tb_error_set(err, TB_E_IO, "no space left on device");
	return fake.failing_since;
}

void
fake_audit_events(uint64_t seq, const char *lines)
{
	fake.events_seq = seq;
	fake.events_fn(fake.events_arg, lines, strlen(lines));
}

void
fake_audit_older(const char *lines, uint64_t gap_to)
{
	fake.older = lines;
	fake.events_gap = gap_to;
}

void
fake_audit_failing(int64_t since)
{
	fake.failing_since = since;
	fake.events_fn(fake.events_arg, "", 0);
}

void
audit_note(struct audit *a, const struct audit_rec *rec)
{
	note(rec);
}

void
audit_denied(struct audit *a, const struct audit_rec *rec)
{
	note(rec);
}

void
writer_forget(struct writer_item **item)
{
	if (*item)
		(*item)->done = NULL;
	*item = NULL;
}

const char *
fake_audit_take(void)
{
	struct strbuf swap = fake.taken;

	fake.taken = fake.text;
	fake.text = swap;
	strbuf_reset(&fake.text);
	return strbuf_str(&fake.taken);
}

void
fake_audit_hold(bool hold)
{
	fake.hold = hold;
	if (!hold && fake.first)
		loop_task_post(&fake.first->audit->task);
}

void
fake_audit_fail(void)
{
	fake.fail = 1;
}

void
fake_audit_fail_second(void)
{
	fake.fail = 2;
}

unsigned
fake_audit_pending(void)
{
	struct writer_item *i;
	unsigned n = 0;

	for (i = fake.first; i; i = i->next)
		n += i->done != NULL;
	return n;
}

const char *
fake_audit_last_request(void)
{
	return fake.last_request;
}

uint64_t
fake_audit_last_same(void)
{
	return fake.last_same;
}
