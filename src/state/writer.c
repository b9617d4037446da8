/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer - see the header.
 *
 *	loop thread                           writer thread
 *	writer_put --> queue (under lock) --> takes all of it: a group
 *	                                      writes it in order, syncs
 *	on_woken   <-- finished (under lock) <-- and wakes the loop
 *
 * An item belongs to the loop thread but for the time between put and wake,
 * when the writer reads all of it save `done`, which stays the loop thread's:
 * that is why forgetting needs no lock. An item nobody waits for
 * (`anonymous`) is freed by the writer and wakes nobody.
 *
 * Consecutive lines are one write and, if one of them must be durable, one
 * sync. Records are synced one by one, but their directory only once, and in
 * any case before a durable line that was put after them: nothing is durable
 * before what was put earlier.
 *
 * Lines that nobody waits for are left alone for a moment (LINGER_MS), so
 * that a busy loop does not pay a wake-up of this thread for each of them.
 */
#include "state/writer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/tb_error.h"
#include "lib/loop.h"
#include "state/recfile.h"
#include "state/segment.h"

#define LINGER_MS 20
#define LINGER_BYTES ((size_t)256 << 10)
#define IDLE_SYNC_MS 250

enum item_kind { ITEM_RECORD, ITEM_DELETE, ITEM_LINE, ITEM_ERROR };

struct writer_item {
	struct writer_item *next;
	enum item_kind kind;
	bool durable, anonymous;
	char *name;
	unsigned char *bytes; /* owned, or the end of this allocation */
	size_t len;
	struct tb_error *err; /* owned; NULL: all went well */
	writer_done_fn *done; /* the loop thread's */
	void *arg;
};

struct item_list {
	struct writer_item *head, **end;
};

enum writer_state { WRITER_BUSY, WRITER_IDLE, WRITER_LINGERING };

struct writer {
	int state_dirfd, log_dirfd;
	struct loop_waker *waker;
	pthread_t thread;
	bool started, delivering;
	bool repaired;

	/* the writer thread's */
	struct segment *segment;
	struct tb_error line_err, record_err; /* how it went last */
	uint64_t failed, lost_in_group;

	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* under lock */
	enum writer_state state;
	struct item_list queue, finished;
	size_t queue_bytes;
	bool urgent, stop;
	struct writer_stats stats;
	struct tb_error health;
	char head[65];
};

static void
list_init(struct item_list *l)
{
	l->head = NULL;
	l->end = &l->head;
}

static void
list_append(struct item_list *l, struct writer_item *it)
{
	it->next = NULL;
	*l->end = it;
	l->end = &it->next;
}

static void
item_free(struct writer_item *it)
{
	free(it->name);
	if (it->bytes != (unsigned char *)(it + 1))
		free(it->bytes);
	free(it->err);
	free(it);
}

static void
list_free(struct item_list *l)
{
	struct writer_item *it;

	while ((it = l->head)) {
		l->head = it->next;
		item_free(it);
	}
	list_init(l);
}

static void
item_fail(struct writer_item *it, const struct tb_error *err)
{
	if (it->err)
		return;
	it->err = xnew(struct tb_error);
	*it->err = *err;
}

/* ---------------------------------------------------- on the writer thread */

/* The run of lines that begins at `it`. Returns what follows it. */
static struct writer_item *
run_lines(struct writer *w, struct writer_item *it, bool durable)
{
	struct writer_item *first = it;
	struct tb_error err = TB_ERROR_INIT;

	for (; it && it->kind == ITEM_LINE; it = it->next)
		segment_add(w->segment, (const char *)it->bytes, it->len);
	if (segment_flush(w->segment, durable, &err) < 0) {
		for (; first != it; first = first->next) {
			item_fail(first, &err);
			w->failed++;
			w->lost_in_group++;
		}
	}
	w->line_err = err;
	return it;
}

static bool
run_is_durable(const struct writer_item *it)
{
	for (; it && it->kind == ITEM_LINE; it = it->next)
		if (it->durable)
			return true;
	return false;
}

/* What one item does to a file of the state directory. True: the directory
 * has changed. */
static bool
run_record(struct writer *w, struct writer_item *it)
{
	struct tb_error err = TB_ERROR_INIT;
	int r = -1;

	switch (it->kind) {
	case ITEM_RECORD:
		r = recfile_replace(w->state_dirfd, it->name, it->bytes,
		    it->len, &err);
		break;
	case ITEM_DELETE:
		r = recfile_delete(w->state_dirfd, it->name, &err);
		break;
	case ITEM_ERROR:
	case ITEM_LINE:
		return false;
	}
	w->record_err = err;
	if (r == 0)
		return true;
	w->failed++;
	item_fail(it, &err);
	return false;
}

/* Makes the changes of the items from `it` to `end` durable. */
static void
sync_records(struct writer *w, struct writer_item *it,
    const struct writer_item *end)
{
	struct tb_error err = TB_ERROR_INIT;

	if (recfile_sync_dir(w->state_dirfd, &err) == 0)
		return;
	w->record_err = err;
	for (; it != end; it = it->next) {
		if (it->kind == ITEM_LINE || it->err)
			continue;
		w->failed++;
		item_fail(it, &err);
	}
}

static void
run_group(struct writer *w, struct writer_item *it)
{
	struct writer_item *since = NULL; /* first not covered by a sync */
	bool durable;

	while (it) {
		if (it->kind != ITEM_LINE) {
			if (run_record(w, it) && !since)
				since = it;
			it = it->next;
			continue;
		}
		durable = run_is_durable(it);
		if (since && durable) {
			sync_records(w, since, it);
			since = NULL;
		}
		it = run_lines(w, it, durable);
	}
	if (since)
		sync_records(w, since, NULL);
}

/* Hands back what somebody waits for. True: there was something. */
static bool
finish_group(struct writer *w, struct item_list *group)
{
	struct item_list waited, forgotten;
	struct writer_item *it, *next;
	uint64_t items = 0;

	list_init(&waited);
	list_init(&forgotten);
	for (it = group->head; it; it = next) {
		next = it->next;
		items++;
		list_append(it->anonymous ? &forgotten : &waited, it);
	}
	list_free(&forgotten);

	pthread_mutex_lock(&w->lock);
	if (waited.head) {
		*w->finished.end = waited.head;
		w->finished.end = waited.end;
	}
	w->stats.items += items;
	w->stats.queued -= items;
	w->stats.groups += items > 0;
	w->stats.syncs = segment_syncs(w->segment);
	w->stats.errors += w->failed;
	w->stats.lost += w->lost_in_group;
	w->failed = w->lost_in_group = 0;
	w->health = w->line_err.code ? w->line_err : w->record_err;
	memcpy(w->head, segment_end(w->segment)->hash, sizeof(w->head));
	pthread_mutex_unlock(&w->lock);
	return waited.head != NULL;
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

/* Waits for work and takes all there is; nothing when the log wants a sync or
 * when it is time to stop (*stop). */
static void
take_group(struct writer *w, struct item_list *group, bool *stop)
{
	list_init(group);
	pthread_mutex_lock(&w->lock);
	while (!w->queue.head && !w->stop)
		if (!wait_signal(w, WRITER_IDLE,
			segment_is_dirty(w->segment) ? IDLE_SYNC_MS : 0))
			break;
	while (w->queue.head && !w->urgent && !w->stop &&
	    w->queue_bytes < LINGER_BYTES)
		if (!wait_signal(w, WRITER_LINGERING, LINGER_MS))
			break;
	if (w->queue.head) {
		*group = w->queue;
		list_init(&w->queue);
	}
	w->queue_bytes = 0;
	w->urgent = false;
	*stop = w->stop && !group->head;
	pthread_mutex_unlock(&w->lock);
}

static void *
writer_main(void *arg)
{
	struct writer *w = arg;
	struct tb_error err = TB_ERROR_INIT;
	struct item_list group;
	bool stop;

	for (;;) {
		take_group(w, &group, &stop);
		if (stop)
			break;
		if (group.head) {
			run_group(w, group.head);
		} else if (segment_is_dirty(w->segment)) {
			segment_flush(w->segment, true, &err);
			w->line_err = err;
		}
		if (finish_group(w, &group))
			loop_wake(w->waker);
	}
	return NULL;
}

/* ------------------------------------------------------ on the loop thread */

static void
writer_on_woken(void *arg)
{
	struct writer *w = arg;
	struct item_list done;
	struct writer_item *it;

	list_init(&done);
	pthread_mutex_lock(&w->lock);
	done.head = w->finished.head;
	list_init(&w->finished);
	pthread_mutex_unlock(&w->lock);

	w->delivering = true;
	while ((it = done.head)) {
		if (it->done)
			it->done(it->arg, it->err);
		done.head = it->next;
		item_free(it);
	}
	w->delivering = false;
}

static struct writer_item *
put_item(struct writer *w, struct writer_item *it, writer_done_fn *done,
    void *arg)
{
	bool lazy = it->kind == ITEM_LINE && !it->durable && !done;
	bool wake;

	it->done = done;
	it->arg = arg;
	it->anonymous = !done;

	pthread_mutex_lock(&w->lock);
	if (lazy && w->queue_bytes + it->len > WRITER_BACKLOG_MAX) {
		w->stats.lost++;
		pthread_mutex_unlock(&w->lock);
		item_free(it);
		return NULL;
	}
	list_append(&w->queue, it);
	w->queue_bytes += it->len;
	w->urgent |= !lazy;
	w->stats.queued++;
	wake = w->state == WRITER_IDLE ||
	    (w->state == WRITER_LINGERING &&
		(w->urgent || w->queue_bytes >= LINGER_BYTES));
	if (wake)
		w->state = WRITER_BUSY; /* one signal is enough */
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->cond);
	return done ? it : NULL;
}

struct writer_item *
writer_put(struct writer *w, struct writer_rec *rec, writer_done_fn *done,
    void *arg)
{
	static const enum item_kind kinds[] = {
		[WRITER_RECORD] = ITEM_RECORD,
		[WRITER_DELETE] = ITEM_DELETE,
		[WRITER_LINE] = ITEM_LINE,
	};
	struct writer_item *it = xnew(struct writer_item);

	it->kind = kinds[rec->kind];
	assert(it->kind == ITEM_LINE || rec->name);
	it->durable = rec->durable;
	it->name = STEAL(rec->name);
	it->bytes = STEAL(rec->bytes);
	it->len = rec->len;
	return put_item(w, it, done, arg);
}

struct writer_item *
writer_put_line(struct writer *w, const char *text, size_t len, bool durable,
    writer_done_fn *done, void *arg)
{
	struct writer_item *it = xcalloc(1, sizeof(*it) + len);

	it->kind = ITEM_LINE;
	it->durable = durable;
	it->bytes = (unsigned char *)(it + 1);
	it->len = len;
	memcpy(it->bytes, text, len);
	return put_item(w, it, done, arg);
}

struct writer_item *
writer_put_error(struct writer *w, const struct tb_error *why,
    writer_done_fn *done, void *arg)
{
	struct writer_item *it = xnew(struct writer_item);

	it->kind = ITEM_ERROR;
	item_fail(it, why);
	return put_item(w, it, done, arg);
}

void
writer_forget(struct writer_item **item)
{
	if (*item)
		(*item)->done = NULL;
	*item = NULL;
}

static void
writer_free(struct writer *w)
{
	segment_close(w->segment);
	loop_waker_free(w->waker);
	list_free(&w->finished);
	if (w->log_dirfd >= 0)
		close(w->log_dirfd);
	if (w->state_dirfd >= 0)
		close(w->state_dirfd);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void
writer_stop(struct writer *w)
{
	if (!w)
		return;
	assert(!w->delivering);
	if (w->started) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_mutex_unlock(&w->lock);
		pthread_cond_signal(&w->cond);
		pthread_join(w->thread, NULL);
	}
	writer_free(w);
}

static void
writer_stopp(struct writer **w)
{
	writer_stop(*w);
}

static struct writer *
writer_new(void)
{
	struct writer *w = xnew(struct writer);
	pthread_condattr_t attr;

	w->state_dirfd = w->log_dirfd = -1;
	list_init(&w->queue);
	list_init(&w->finished);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
	return w;
}

static int
writer_start_thread(struct writer *w, struct tb_error *err)
{
	sigset_t all, old;
	int r;

	/* signals are the loop's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, writer_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return tb_error_errno(err, TB_E_LIMIT, r,
		    "cannot start the writer thread");
	w->started = true;
	pthread_setname_np(w->thread, "writer");
	return 0;
}

struct writer *
writer_start(struct loop *loop, const struct writer_env *env,
    struct tb_error *err)
{
	struct writer *w _cleanup_(writer_stopp) = writer_new();

	w->state_dirfd = fs_open_dir(env->state_dir, 0700, 0077, err);
	if (w->state_dirfd < 0)
		return NULL;
	/* two daemons on one state would redeem one refresh token twice */
	if (flock(w->state_dirfd, LOCK_EX | LOCK_NB) < 0) {
		tb_error_errno(err, TB_E_IO, errno, "%s is in use by another "
		    "tokenbrokerd", env->state_dir);
		return NULL;
	}
	w->log_dirfd = fs_open_dir(env->log_dir, 0750, 0027, err);
	if (w->log_dirfd < 0)
		return NULL;
	w->segment = segment_open(w->log_dirfd, err);
	if (!w->segment) {
		tb_error_wrap(err, "%s", env->log_dir);
		return NULL;
	}
	w->repaired = segment_was_repaired(w->segment);
	memcpy(w->head, segment_end(w->segment)->hash, sizeof(w->head));
	w->waker = loop_waker_new(loop, writer_on_woken, w, err);
	if (!w->waker || writer_start_thread(w, err) < 0)
		return NULL;
	return STEAL(w);
}

int
writer_health(const struct writer *w, struct tb_error *err)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&w->lock;

	pthread_mutex_lock(lock);
	*err = w->health;
	pthread_mutex_unlock(lock);
	return err->code ? -1 : 0;
}

void
writer_get_stats(const struct writer *w, struct writer_stats *out)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&w->lock;

	pthread_mutex_lock(lock);
	*out = w->stats;
	pthread_mutex_unlock(lock);
}

int
writer_state_dirfd(const struct writer *w)
{
	return w->state_dirfd;
}

bool
writer_was_repaired(const struct writer *w)
{
	return w->repaired;
}

void
writer_chain_head(const struct writer *w, char out[65])
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&w->lock;

	pthread_mutex_lock(lock);
	memcpy(out, w->head, sizeof(w->head));
	pthread_mutex_unlock(lock);
}
