/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - see the header. Which records wait for the disk, which are counted
 * instead of written, and the confession when some could not be written.
 *
 * Lines that failed are not kept for later: whoever needed one durable was
 * told and let nothing out. But the log must say itself that it is not
 * complete. So when the disk begins to refuse, a `disk_failed` record is put
 * again and again: on a disk that fails only in part it says so, and on one
 * that fails altogether it finds out that the disk is well again. Then
 * `disk_recovered` says since when, until when, and how many lines are
 * missing. Lines lost without a failure (a disk that stalled for too long) are
 * a `lost` record. Each lost line is counted in one of the two, once; the
 * attempts themselves in none.
 */
#include "state/audit.h"

#include <inttypes.h>

#include "base/now.h"
#include "base/principal.h"
#include "base/tb_error.h"
#include "lib/loop.h"
#include "state/audit_line.h"
#include "state/denials.h"

#define DENIALS_MS 60000
#define LOST_CHECK_MS 5000

struct audit {
	struct writer *writer;
	bool strict;
	struct audit_line line;
	struct strbuf buf; /* used again for each line */
	struct denials *denials;
	struct loop_timer denials_timer;
	struct loop_timer lost_timer;
	/* what is being told, and what has been */
	struct writer_item *telling;
	enum audit_event telling_what;
	uint64_t lost_telling, outages_telling;
	uint64_t lost_told, outages_told;
	bool failure_told;    /* ... of the outage that goes on */
	int64_t failed_since; /* the first that is not told; 0: none */
};

static loop_fn audit_flush_denials, audit_check_lost;

struct audit *
audit_new(struct loop *loop, struct writer *writer, bool strict,
    struct tb_error *err)
{
	struct audit *a = xnew(struct audit);

	a->writer = writer;
	a->strict = strict;
	audit_line_init(&a->line);
	a->denials = denials_new();
	loop_timer_init(&a->denials_timer, loop, audit_flush_denials, a);
	loop_timer_init(&a->lost_timer, loop, audit_check_lost, a);
	writer_watch(writer, audit_check_lost, a);
	return a;
}

void
audit_free(struct audit *a)
{
	if (!a)
		return;
	audit_flush_denials(a);
	loop_timer_stop(&a->denials_timer);
	loop_timer_stop(&a->lost_timer);
	writer_watch(a->writer, NULL, NULL);
	writer_forget(&a->telling);
	denials_free(a->denials);
	strbuf_clear(&a->buf);
	audit_line_clear(&a->line);
	free(a);
}

bool
audit_is_strict(const struct audit *a)
{
	return a->strict;
}

/* Queues what is in buf. */
static struct writer_item *
audit_put(struct audit *a, bool durable, writer_done_fn *done, void *arg)
{
	if (!loop_timer_is_set(&a->lost_timer))
		loop_timer_set(&a->lost_timer, LOST_CHECK_MS);
	return writer_put_line(a->writer, a->buf.s, a->buf.len, durable, done,
	    arg);
}

/* The first line after a crash says what the crash did to the log. */
static const char *
torn_text(const struct audit *a, char *buf, size_t size)
{
	uint64_t behind;
	size_t n = writer_torn(a->writer, &behind);

	if (n == 0)
		return NULL;
	snprintf(buf, size, "torn line repaired: %zu bytes behind line %"
	    PRIu64 " are in " WRITER_TORN_FILE, n, behind);
	return buf;
}

static struct writer_item *
audit_write(struct audit *a, const struct audit_rec *rec, bool durable,
    writer_done_fn *done, void *arg)
{
	struct audit_rec copy;
	char text[128];

	if (rec->event == AUDIT_STARTED && !rec->reason) {
		copy = *rec;
		copy.reason = torn_text(a, text, sizeof(text));
		rec = &copy;
	}
	strbuf_reset(&a->buf);
	audit_line_build(&a->line, rec, now_real_ms(), &a->buf);
	return audit_put(a, durable, done, arg);
}

struct writer_item *
audit_before(struct audit *a, const struct audit_rec *rec,
    writer_done_fn *done, void *arg)
{
	if (a->strict)
		return audit_write(a, rec, true, done, arg);
	audit_write(a, rec, false, NULL, NULL);
	return NULL;
}

bool
audit_is_behind(const struct audit *a)
{
	return writer_is_behind(a->writer);
}

struct writer_item *
audit_durable(struct audit *a, const struct audit_rec *rec,
    writer_done_fn *done, void *arg)
{
	return audit_write(a, rec, true, done, arg);
}

void
audit_note(struct audit *a, const struct audit_rec *rec)
{
	audit_write(a, rec, false, NULL, NULL);
}

/* ------------------------------------------------------------- denials */

void
audit_denied(struct audit *a, const struct audit_rec *rec)
{
	struct audit_rec kind = *rec;
	struct principal who;
	size_t split;

	/* what differs from one to the next does not make a kind */
	kind.event = AUDIT_DENIED;
	kind.request_id = NULL;
	if (rec->who) {
		who = *rec->who; /* borrowed, as rec is */
		who.pid = 0;
		who.invocation = NULL; /* a unit in a restart loop */
		kind.who = &who;
	}
	strbuf_reset(&a->buf);
	audit_line_head(&a->line, &kind, &a->buf);
	split = a->buf.len;
	audit_line_tail(&kind, &a->buf);
	if (!loop_timer_is_set(&a->denials_timer))
		loop_timer_set(&a->denials_timer, DENIALS_MS);
	if (!denials_add(a->denials, rec->who ? rec->who->uid : (uid_t)-1,
		a->buf.s, a->buf.len, split))
		return;
	kind.request_id = rec->request_id;
	kind.who = rec->who;
	audit_write(a, &kind, false, NULL, NULL);
}

static void
audit_write_count(void *arg, const char *text, size_t len, size_t split,
    uid_t uid, bool other_uids, uint64_t count)
{
	struct audit *a = arg;

	strbuf_reset(&a->buf);
	audit_line_open(&a->line, now_real_ms(), &a->buf);
	if (text) {
		strbuf_add(&a->buf, text, split);
		audit_line_count(count, &a->buf);
		strbuf_add(&a->buf, text + split, len - split);
	} else {
		audit_line_denied_rest(other_uids ? NULL : &uid, count,
		    &a->buf);
	}
	audit_line_close(&a->buf);
	audit_put(a, false, NULL, NULL);
}

static void
audit_flush_denials(void *arg)
{
	struct audit *a = arg;

	denials_flush(a->denials, audit_write_count, a);
}

struct writer_item *
audit_checkpoint(struct audit *a, writer_done_fn *done, void *arg)
{
	return writer_put_checkpoint(a->writer, done, arg);
}

void
audit_get_trail(const struct audit *a, struct writer_trail *out,
    uint64_t *lost)
{
	struct writer_stats stats;

	writer_get_trail(a->writer, out);
	writer_get_stats(a->writer, &stats);
	*lost = stats.lost;
}

/* ------------------------------------------------------------------ events */

void
audit_watch_events(struct audit *a, writer_events_fn *fn, void *arg)
{
	writer_watch_events(a->writer, fn, arg);
}

uint64_t
audit_events_seq(const struct audit *a)
{
	return writer_events_seq(a->writer);
}

struct writer_item *
audit_read_events(struct audit *a, struct eventlog_slice *slice,
    writer_done_fn *done, void *arg)
{
	return writer_put_read(a->writer, slice, done, arg);
}

int64_t
audit_failing_since(const struct audit *a, struct tb_error *err)
{
	struct writer_stats stats;

	writer_get_stats(a->writer, &stats);
	if (!stats.failing || writer_health(a->writer, err) == 0)
		return 0;
	return stats.failed_since;
}

/* ------------------------------------------- a disk that failed, lost lines */

static void
audit_on_told(void *arg, const struct tb_error *err)
{
	struct audit *a = arg;

	a->telling = NULL;
	if (err) {
		a->lost_told++; /* itself: it is not what was asked about */
		if (!loop_timer_is_set(&a->lost_timer))
			loop_timer_set(&a->lost_timer, LOST_CHECK_MS);
		return;
	}
	if (a->telling_what == AUDIT_DISK_FAILED) {
		a->failure_told = true;
	} else {
		a->lost_told = a->lost_telling;
		a->outages_told = a->outages_telling;
		a->failure_told = false;
		a->failed_since = 0;
	}
	audit_check_lost(a); /* there may be more by now */
}

static void
audit_tell(struct audit *a, const struct audit_rec *rec,
    const struct writer_stats *stats)
{
	a->telling_what = rec->event;
	a->lost_telling = stats->lost;
	a->outages_telling = stats->outages;
	a->telling = audit_durable(a, rec, audit_on_told, a);
}

static void
audit_check_lost(void *arg)
{
	struct audit *a = arg;
	struct writer_stats stats;
	struct audit_rec rec = { .event = AUDIT_EVENTS };

	if (a->telling)
		return; /* audit_on_told goes on */
	writer_get_stats(a->writer, &stats);
	if (stats.outages > a->outages_told && !a->failed_since)
		a->failed_since = stats.failed_since;
	rec.since = a->failed_since;
	if (stats.failing && !a->failure_told) {
		rec.event = AUDIT_DISK_FAILED;
		rec.reason = "what must be recorded first is refused";
	} else if (!stats.failing && stats.outages > a->outages_told) {
		rec.event = AUDIT_DISK_RECOVERED;
		rec.until = stats.recovered_at;
		rec.count = stats.lost - a->lost_told;
	} else if (!stats.failing && stats.lost > a->lost_told) {
		rec.event = AUDIT_LOST;
		rec.count = stats.lost - a->lost_told;
		rec.reason = "could not be written";
	}
	if (rec.event != AUDIT_EVENTS)
		audit_tell(a, &rec, &stats);
	else if (stats.queued)
		loop_timer_set(&a->lost_timer, LOST_CHECK_MS);
}
