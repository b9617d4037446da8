/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trail - see the header.
 *
 * A line of our own (a checkpoint, a key's announcement) is chained like any
 * other and fails like any other: with its batch. So `signed_seq`, the last
 * line that is a checkpoint, has a twin that says where to go back to.
 *
 * A checkpoint is shown to others only when it is durable: who keeps one
 * elsewhere must not be told of a line that a power cut takes back.
 */
#include "state/trail.h"


#include "base/log.h"
#include "base/now.h"
#include "base/tb_error.h"
#include "state/audit_line.h"
#include "state/checkpoint.h"
#include "state/eventlog.h"
#include "state/journal.h"
#include "state/mono.h"
#include "state/segment.h"
#include "state/trail_int.h"

#define CHECKPOINT_RECORDS 1024
#define CHECKPOINT_MS 60000
#define RETRY_MS 5000
#define IDLE_SYNC_MS 250
#define CHECKPOINT_TEXT ",\"event\":\"checkpoint\","

/* ------------------------------------------------------------ up and down */

static void
trail_free(struct trail *t)
{
	segment_close(t->segment);
	checkpoint_key_free(t->key);
	journal_free(t->journal);
	strbuf_clear(&t->buf);
	strbuf_clear(&t->mirror);
	strbuf_clear(&t->events);
	strbuf_clear(&t->keys);
	strbuf_clear(&t->files);
	free(t->made);
	free(t->shown);
	free(t);
}

static void
trail_freep(struct trail **t)
{
	if (*t)
		trail_free(*t);
}

struct trail *
trail_open(const struct trail_env *env, struct tb_error *err)
{
	struct trail *t _cleanup_(trail_freep) = xnew(struct trail);

	t->env = *env;
	t->env.journal = NULL; /* not kept: it is the caller's */
	t->version = 1;
	if (!t->env.checkpoint_records)
		t->env.checkpoint_records = CHECKPOINT_RECORDS;
	if (!t->env.checkpoint_ms)
		t->env.checkpoint_ms = CHECKPOINT_MS;
	audit_line_init(&t->line);
	t->segment = segment_open(env->dirfd, err);
	if (!t->segment || segment_find(env->dirfd, CHECKPOINT_TEXT,
		&t->shown, &t->signed_seq, err) < 0)
		return NULL;
	t->flushed_signed_seq = t->signed_seq;
	if (env->journal) {
		t->journal = journal_new(env->journal, err);
		if (!t->journal)
			return NULL;
	}
	trail_list_files(t);
	return STEAL(t);
}

/* Lines behind the last checkpoint. */
static bool
trail_has_news(const struct trail *t)
{
	return segment_added(t->segment)->seq > t->signed_seq;
}

static bool
trail_can_sign(const struct trail *t)
{
	return t->key && t->announced;
}

void
trail_close(struct trail *t)
{
	struct tb_error err = TB_ERROR_INIT;

	if (!t)
		return;
	if (trail_can_sign(t) && trail_has_news(t)) {
		trail_add_checkpoint(t, "stop");
		if (trail_flush(t, true, &err) < 0)
			log_error("audit", "no checkpoint at the end of the "
			    "audit log: %s", err.msg);
	}
	trail_mirror(t);
	trail_free(t);
}

/* ----------------------------------------------------------- lines of ours */

void
trail_begin_line(struct trail *t, enum audit_event event)
{
	strbuf_reset(&t->buf);
	audit_line_open(&t->line, now_real_ms(), &t->buf);
	strbuf_addf(&t->buf, ",\"event\":\"%s\"",
	    audit_line_event_name(event));
}

void
trail_add_checkpoint(struct trail *t, const char *reason)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct chain_pos *before = segment_added(t->segment);
	const char *line;
	size_t len;

	trail_begin_line(t, AUDIT_CHECKPOINT);
	strbuf_addf(&t->buf, ",\"reason\":\"%s\"", reason);
	checkpoint_build(t->key, before, strbuf_str(&t->buf),
	    before->seq - t->signed_seq, &text);
	segment_add(t->segment, text.s, text.len);
	t->signed_seq = segment_added(t->segment)->seq;
	line = segment_last_line(t->segment, &len);
	free(t->made);
	t->made = xstrndup(line, len - 1);
	t->made_seq = t->signed_seq;
}

/* ----------------------------------------------------------------- batches */

void
trail_begin(struct trail *t)
{
	struct tb_error err = TB_ERROR_INIT;
	int64_t now;

	if (!t->env.max_size || segment_size(t->segment) < t->env.max_size)
		return;
	now = mono_ms();
	if (now < t->rotate_ms)
		return;
	t->rotate_ms = now + RETRY_MS;
	/* the old file ends with a checkpoint, and all of it is durable */
	if (trail_can_sign(t) && trail_has_news(t))
		trail_add_checkpoint(t, "rotation");
	if (trail_flush(t, true, &err) == 0 &&
	    segment_size(t->segment) >= t->env.max_size)
		segment_turn(t->segment);
}

void
trail_add(struct trail *t, const char *text, size_t len)
{
	segment_add(t->segment, text, len);
	if (!t->due_ms)
		t->due_ms = mono_ms() + t->env.checkpoint_ms;
	if (trail_can_sign(t) && segment_added(t->segment)->seq -
	    t->signed_seq >= t->env.checkpoint_records)
		trail_add_checkpoint(t, "records");
}

/* The batch is in the file. */
static void
trail_flushed(struct trail *t)
{
	const char *batch;
	size_t len;

	batch = segment_batch(t->segment, &len);
	eventlog_pick(batch, len, &t->events);
	if (t->journal)
		strbuf_add(&t->mirror, batch, len);
	if (t->signed_seq != t->flushed_signed_seq) {
		t->flushed_signed_seq = t->signed_seq;
		t->due_ms = trail_has_news(t) ?
		    mono_ms() + t->env.checkpoint_ms : 0;
	}
	if (t->made && segment_synced(t->segment)->seq >= t->made_seq) {
		free(t->shown);
		t->shown = STEAL(t->made);
		t->version++;
	}
	if (t->seen_files != segment_files(t->segment)) {
		t->seen_files = segment_files(t->segment);
		t->rotate_ms = 0;
		t->tidy = true;
	}
}

int
trail_flush(struct trail *t, bool durable, struct tb_error *err)
{
	if (segment_flush(t->segment, durable, err) == 0) {
		trail_flushed(t);
		return 0;
	}
	t->signed_seq = t->flushed_signed_seq;
	if (t->made && t->made_seq > segment_end(t->segment)->seq) {
		free(t->made);
		t->made = NULL;
	}
	t->due_ms = mono_ms() + RETRY_MS;
	return -1;
}

int
trail_checkpoint(struct trail *t, struct tb_error *err)
{
	if (!trail_can_sign(t))
		return tb_error_set(err, TB_E_TRANSIENT, "there is no key to "
		    "sign a checkpoint with yet");
	trail_add_checkpoint(t, "asked");
	return trail_flush(t, true, err);
}

/* -------------------------------------------------------------------- time */

/* When is there something to do, of what waits for a time; 0: there is not. */
static int64_t
trail_due(const struct trail *t)
{
	if (!t->key || (t->announced && !trail_has_news(t)))
		return 0;
	return t->due_ms;
}

int
trail_wait_ms(const struct trail *t)
{
	int64_t due = trail_due(t), wait = 0;

	if (t->tidy)
		return 1;
	if (due) {
		wait = due - mono_ms();
		wait = wait < 1 ? 1 : wait;
	}
	if (segment_is_dirty(t->segment) && (!wait || wait > IDLE_SYNC_MS))
		wait = IDLE_SYNC_MS;
	return (int)wait;
}

bool
trail_tick(struct trail *t, bool idle, struct tb_error *err)
{
	int64_t due = trail_due(t);

	if (t->tidy) {
		t->tidy = false;
		return trail_tidy(t, err);
	}
	if (due && due <= mono_ms()) {
		if (!t->announced) {
			trail_announce(t, err);
		} else {
			trail_add_checkpoint(t, "time");
			trail_flush(t, true, err);
			if (!t->published)
				trail_publish(t);
		}
		trail_list_files(t);
		return true;
	}
	if (!idle || !segment_is_dirty(t->segment))
		return false;
	trail_flush(t, true, err);
	return true;
}

void
trail_mirror(struct trail *t)
{
	if (t->mirror.len == 0)
		return;
	journal_send(t->journal, t->mirror.s, t->mirror.len);
	strbuf_reset(&t->mirror);
}

/* -------------------------------------------------------------------- views */

const struct chain_pos *
trail_end(const struct trail *t)
{
	return segment_end(t->segment);
}

size_t
trail_torn(const struct trail *t)
{
	return segment_torn(t->segment);
}

uint64_t
trail_syncs(const struct trail *t)
{
	return segment_syncs(t->segment);
}

uint64_t
trail_dropped(const struct trail *t)
{
	return t->journal ? journal_dropped(t->journal) : 0;
}

uint64_t
trail_synced(const struct trail *t)
{
	return segment_synced(t->segment)->seq;
}

void
trail_take_events(struct trail *t, struct strbuf *out)
{
	uint64_t synced = trail_synced(t);
	const char *s = t->events.s, *eol;
	size_t taken = 0;

	while (taken < t->events.len) {
		eol = memchr(s + taken, '\n', t->events.len - taken);
		if (eventlog_seq(s + taken, (size_t)(eol - s) - taken) > synced)
			break;
		taken = (size_t)(eol - s) + 1;
	}
	if (taken == 0)
		return;
	strbuf_add(out, s, taken);
	t->events.len -= taken;
	memmove(t->events.s, s + taken, t->events.len);
}

void
trail_get_view(const struct trail *t, struct trail_view *out)
{
	out->version = t->version;
	out->checkpoint = t->shown;
	out->keys = strbuf_str(&t->keys);
	out->files = strbuf_str(&t->files);
}
