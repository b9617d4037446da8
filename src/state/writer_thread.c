/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer_thread - the half of the writer that waits for disks: takes what is
 * queued as a group, writes it in order, and hands it back.
 */
#include <errno.h>
#include <time.h>

#include "base/now.h"
#include "lib/loop.h"
#include "state/chain.h"
#include "state/eventlog.h"
#include "state/mono.h"
#include "state/recfile.h"
#include "state/textfile.h"
#include "state/writer_int.h"

#define LINGER_MS 20
#define PROBE_MS 500

static void
add_lines(struct writer *w, const struct writer_item *it)
{
	const char *s = (const char *)it->bytes, *end = s + it->len, *eol;

	if (!it->is_batch) {
		trail_add(w->trail, s, it->len);
		return;
	}
	for (; s < end; s = eol + 1) {
		eol = memchr(s, '\n', (size_t)(end - s));
		trail_add(w->trail, s, (size_t)(eol - s));
	}
}

/* The run of lines that begins at `it`. Returns what follows it. */
static struct writer_item *
run_lines(struct writer *w, struct writer_item *it, bool durable)
{
	struct writer_item *first = it;
	struct tb_error err = TB_ERROR_INIT;

	trail_begin(w->trail);
	for (; it && it->kind == ITEM_LINE; it = it->next)
		add_lines(w, it);
	if (trail_flush(w->trail, durable, &err) < 0) {
		for (; first != it; first = first->next) {
			writer_item_fail(first, &err);
			w->failed += first->lines;
			w->lost_in_group += first->lines;
		}
	}
	w->line_err = err;
	return it;
}

/* Signs the end of the chain. */
static void
run_checkpoint(struct writer *w, struct writer_item *it)
{
	struct tb_error err = TB_ERROR_INIT;

	if (trail_checkpoint(w->trail, &err) == 0) {
		w->line_err = err;
		return;
	}
	writer_item_fail(it, &err);
	if (err.code == TB_E_IO)
		w->line_err = err;
}

static bool
run_is_durable(const struct writer_item *it)
{
	for (; it && it->kind == ITEM_LINE; it = it->next)
		if (it->durable)
			return true;
	return false;
}

/* What one item that is no line does. True: the state directory has
 * changed. */
static bool
run_record(struct writer *w, struct writer_item *it)
{
	struct records_put put = {
		.name = it->name,
		.bytes = it->bytes,
		.len = it->len,
		.version = it->rec.version,
		.room_for = it->rec.room_for,
		.room = it->rec.room,
		.is_list = it->rec.is_list,
	};
	struct tb_error err = TB_ERROR_INIT;
	int r = -1;

	switch (it->kind) {
	case ITEM_RECORD:
		if (it->bytes)
			r = records_put(w->records, &put, &err);
		else /* a list that was written in another's place */
			records_list_error(w->records, &err);
		break;
	case ITEM_DELETE:
		r = records_delete(w->records, it->name, &err);
		break;
	case ITEM_CHANGE:
		r = records_change(w->records, it->name, it->rec.change,
		    it->rec.change_arg, &err);
		break;
	case ITEM_TEXT:
		if (textfile_replace(it->name, it->bytes, it->len, &err) < 0)
			writer_item_fail(it, &err);
		return false;
	case ITEM_KEY:
		trail_set_key(w->trail, STEAL(it->key));
		return false;
	case ITEM_READ: /* says nothing about the disk's health */
		if (eventlog_read(w->log_dirfd, trail_synced(w->trail),
			it->slice, &err) < 0)
			writer_item_fail(it, &err);
		return false;
	case ITEM_ERROR:
	case ITEM_LINE:
	case ITEM_CHECKPOINT:
		return false;
	}
	w->record_err = err;
	if (!err.code)
		return r == 0;
	w->failed++;
	writer_item_fail(it, &err);
	return false;
}

/* Makes the changes of the items from `it` to `end` durable. */
static void
sync_records(struct writer *w, struct writer_item *it,
    const struct writer_item *end)
{
	struct tb_error err = TB_ERROR_INIT;

	if (records_sync(w->records, &err) == 0)
		return;
	w->record_err = err;
	for (; it != end; it = it->next) {
		if ((it->kind != ITEM_RECORD && it->kind != ITEM_DELETE &&
			it->kind != ITEM_CHANGE) || it->err)
			continue;
		w->failed++;
		writer_item_fail(it, &err);
	}
}

/* The last list of the group goes to the place of the first; what is left has
 * no bytes. */
static void
lead_with_list(struct writer_item *it)
{
	struct writer_item *first = NULL;

	for (; it; it = it->next) {
		if (it->kind != ITEM_RECORD || !it->rec.is_list)
			continue;
		if (!first) {
			first = it;
			continue;
		}
		free(first->bytes);
		first->bytes = STEAL(it->bytes);
		first->len = it->len;
		first->rec.version = it->rec.version;
		first->rec.room = it->rec.room;
	}
}

static void
run_group(struct writer *w, struct writer_item *it)
{
	struct writer_item *since = NULL; /* first not covered by a sync */
	bool durable;

	lead_with_list(it);

	while (it) {
		if (it->kind != ITEM_LINE && it->kind != ITEM_CHECKPOINT) {
			if (run_record(w, it) && !since)
				since = it;
			it = it->next;
			continue;
		}
		durable = it->kind == ITEM_CHECKPOINT || run_is_durable(it);
		if (since && durable) {
			sync_records(w, since, it);
			since = NULL;
		}
		if (it->kind == ITEM_LINE) {
			it = run_lines(w, it, durable);
		} else {
			run_checkpoint(w, it);
			it = it->next;
		}
	}
	if (since)
		sync_records(w, since, NULL);
}

/* Under lock. True: the health has changed. */
static bool
update_health(struct writer *w)
{
	bool failing;

	w->health = w->line_err.code ? w->line_err : w->record_err;
	failing = w->health.code != TB_OK;
	if (failing == w->stats.failing)
		return false;
	w->stats.failing = failing;
	if (failing) {
		w->stats.outages++;
		w->stats.failed_since = now_real_s();
	} else {
		w->stats.recovered_at = now_real_s();
	}
	return true;
}

void
writer_show_trail(struct writer *w)
{
	struct writer_trail *shown = &w->shown;
	struct trail_view view;

	shown->seq = trail_end(w->trail)->seq;
	memcpy(shown->hash, trail_end(w->trail)->hash, sizeof(shown->hash));
	shown->journal_dropped = trail_dropped(w->trail);
	w->synced_seq = trail_synced(w->trail);
	trail_take_events(w->trail, &w->events);
	trail_get_view(w->trail, &view);
	if (view.version == w->view_version)
		return;
	w->view_version = view.version;
	str_set(&shown->checkpoint, view.checkpoint);
	str_set(&shown->keys, view.keys);
	str_set(&shown->files, view.files);
}

/* There is more to show than what is shown. */
static bool
is_news(const struct writer *w)
{
	struct trail_view view;

	trail_get_view(w->trail, &view);
	return view.version != w->view_version;
}

/* What nobody waits for. Under lock; what is not kept to be filled again stays
 * in the list. */
static void
keep_spares(struct writer *w, struct item_list *forgotten)
{
	struct writer_item *it;

	while ((it = forgotten->head) && it->is_batch &&
	    it->len <= WRITER_BATCH_BYTES && w->n_spare < WRITER_SPARE_MAX) {
		forgotten->head = it->next;
		free(STEAL(it->err));
		it->next = w->spare;
		w->spare = it;
		w->n_spare++;
	}
}

/* Hands back what somebody waits for, and says how things stand. True: the
 * loop has something to do. */
static bool
finish_group(struct writer *w, struct item_list *group)
{
	struct item_list waited, forgotten;
	struct writer_item *it, *next;
	uint64_t items = 0;
	bool changed, events;

	writer_list_init(&waited);
	writer_list_init(&forgotten);
	for (it = group->head; it; it = next) {
		next = it->next;
		items += it->lines;
		writer_list_append(it->anonymous ? &forgotten : &waited, it);
	}

	pthread_mutex_lock(&w->lock);
	keep_spares(w, &forgotten);
	if (waited.head) {
		*w->finished.end = waited.head;
		w->finished.end = waited.end;
	}
	w->stats.items += items;
	w->stats.queued -= items;
	w->stats.groups += items > 0;
	w->stats.syncs = trail_syncs(w->trail);
	w->stats.errors += w->failed;
	w->stats.lost += w->lost_in_group;
	w->failed = w->lost_in_group = 0;
	changed = update_health(w);
	w->health_changed |= changed;
	writer_show_trail(w);
	events = w->events.len > 0;
	pthread_mutex_unlock(&w->lock);
	writer_list_free(&forgotten);
	return waited.head || changed || events;
}

/* Waits for a signal, or ms milliseconds (0: for ever). False: time is up. */
static bool
wait_signal(struct writer *w, enum writer_state state, int ms)
{
	struct timespec until;
	int r;

	w->state = state;
	if (ms) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += ms / 1000;
		until.tv_nsec += ms % 1000 * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		r = pthread_cond_timedwait(&w->cond, &w->lock, &until);
	} else {
		r = pthread_cond_wait(&w->cond, &w->lock);
	}
	w->state = WRITER_BUSY;
	return r != ETIMEDOUT;
}

/* How long there is nothing to do by itself; 0: for ever. */
static int
sleep_ms(const struct writer *w)
{
	int ms = trail_wait_ms(w->trail);

	return w->record_err.code && (!ms || ms > PROBE_MS) ? PROBE_MS : ms;
}

/* Waits for work and takes all there is; nothing when time has brought some
 * (trail_tick), or when it is time to stop (*stop). */
static void
take_group(struct writer *w, struct item_list *group, bool *stop)
{
	int ms = sleep_ms(w);

	writer_list_init(group);
	pthread_mutex_lock(&w->lock);
	while (!w->queue.head && !w->stop)
		if (!wait_signal(w, WRITER_IDLE, ms))
			break;
	while (w->queue.head && !w->urgent && !w->stop &&
	    w->queue_bytes < WRITER_LINGER_BYTES)
		if (!wait_signal(w, WRITER_LINGERING, LINGER_MS))
			break;
	if (w->queue.head) {
		*group = w->queue;
		writer_list_init(&w->queue);
		w->batch = NULL;
	}
	w->queue_bytes = 0;
	w->urgent = false;
	*stop = w->stop && !group->head;
	pthread_mutex_unlock(&w->lock);
}

/* A record that failed leaves the directory under suspicion until something
 * could be written there again, and nobody may have a reason to try; lines in
 * plenty are no such reason. */
static bool
probe_records(struct writer *w)
{
	struct tb_error err = TB_ERROR_INIT;
	int64_t now;

	if (!w->record_err.code) {
		w->probe_ms = 0;
		return false;
	}
	now = mono_ms();
	if (!w->probe_ms)
		w->probe_ms = now + PROBE_MS;
	if (now < w->probe_ms)
		return false;
	w->probe_ms = now + PROBE_MS;
	recfile_probe(w->state_dirfd, &err);
	w->record_err = err;
	return true;
}

void *
writer_main(void *arg)
{
	struct writer *w = arg;
	struct tb_error err = TB_ERROR_INIT;
	struct item_list group, none;
	bool stop, idle, wrote, probed;

	writer_list_init(&none);
	for (;;) {
		take_group(w, &group, &stop);
		if (stop)
			break;
		idle = !group.head;
		if (!idle) {
			run_group(w, group.head);
			if (finish_group(w, &group))
				loop_wake(w->waker);
		}
		wrote = trail_tick(w->trail, idle, &err);
		if (wrote)
			w->line_err = err;
		probed = probe_records(w);
		if (probed || wrote || is_news(w))
			if (finish_group(w, &none))
				loop_wake(w->waker);
		trail_mirror(w->trail);
	}
	return NULL;
}
