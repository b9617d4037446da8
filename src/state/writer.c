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
 * that a busy loop does not pay a wake-up of this thread for each of them; and
 * those that follow each other share one item, a batch, which is used again:
 * the hot path allocates nothing, and nothing it made is freed by another
 * thread.
 */
#include "state/writer_int.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/file.h>

#include "base/fs.h"
#include "lib/loop.h"
#include "state/chain.h"
#include "state/checkpoint.h"
#include "state/eventlog.h"

void
writer_list_init(struct item_list *l)
{
	l->head = NULL;
	l->end = &l->head;
}

void
writer_list_append(struct item_list *l, struct writer_item *it)
{
	it->next = NULL;
	*l->end = it;
	l->end = &it->next;
}

static void
item_free(struct writer_item *it)
{
	free(it->name);
	free(it->rec.room_for);
	if (it->rec.change_release)
		it->rec.change_release(it->rec.change_arg);
	if (it->bytes != (unsigned char *)(it + 1))
		free(it->bytes);
	checkpoint_key_free(it->key);
	if (it->slice)
		strbuf_clear(&it->slice->lines);
	free(it->slice);
	free(it->err);
	free(it);
}

void
writer_list_free(struct item_list *l)
{
	struct writer_item *it;

	while ((it = l->head)) {
		l->head = it->next;
		item_free(it);
	}
	writer_list_init(l);
}

void
writer_item_fail(struct writer_item *it, const struct tb_error *err)
{
	if (it->err)
		return;
	it->err = xnew(struct tb_error);
	*it->err = *err;
}

static void
tell_books(struct writer *w, const struct writer_item *it)
{
	const struct writer_seen what = {
		.name = it->name,
		.version = it->rec.version,
		.is_list = it->rec.is_list,
		.is_delete = it->kind == ITEM_DELETE,
	};

	if (w->seen)
		w->seen(w->seen_arg, &what, it->err);
}

static void
tell_events(struct writer *w, const struct strbuf *events, bool changed)
{
	if (w->events_fn && (events->len || changed))
		w->events_fn(w->events_arg, strbuf_str(events), events->len);
}

static void
writer_on_woken(void *arg)
{
	struct writer *w = arg;
	struct strbuf events _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct item_list done;
	struct writer_item *it;
	bool changed;

	writer_list_init(&done);
	pthread_mutex_lock(&w->lock);
	done.head = w->finished.head;
	writer_list_init(&w->finished);
	changed = w->health_changed;
	w->health_changed = false;
	events = w->events; /* moved */
	w->events = (struct strbuf)STRBUF_INIT;
	w->events_told = w->synced_seq;
	pthread_mutex_unlock(&w->lock);

	w->delivering = true;
	while ((it = done.head)) {
		if (it->rec.seen)
			tell_books(w, it);
		if (it->done)
			it->done(it->arg, it->err);
		done.head = it->next;
		item_free(it);
	}
	w->delivering = false;
	if (changed && w->watch)
		w->watch(w->watch_arg);
	tell_events(w, &events, changed);
}

/* Under lock, which is given back: len more bytes are queued. */
static void
unlock_queued(struct writer *w, size_t len, bool urgent)
{
	bool wake;

	w->queue_bytes += len;
	w->urgent |= urgent;
	w->stats.queued++;
	wake = w->state == WRITER_IDLE ||
	    (w->state == WRITER_LINGERING &&
		(w->urgent || w->queue_bytes >= WRITER_LINGER_BYTES));
	if (wake)
		w->state = WRITER_BUSY; /* one signal is enough */
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->cond);
}

static struct writer_item *
put_item(struct writer *w, struct writer_item *it, writer_done_fn *done,
    void *arg)
{
	it->done = done;
	it->arg = arg;
	it->anonymous = !done && !it->rec.seen;
	it->lines = 1;

	pthread_mutex_lock(&w->lock);
	writer_list_append(&w->queue, it);
	w->batch = NULL;
	unlock_queued(w, it->len, true);
	return done ? it : NULL;
}

/* The batch at the end of the queue, with room for len bytes. Under lock. */
static struct writer_item *
batch_for(struct writer *w, size_t len)
{
	struct writer_item *it = w->batch;

	if (it && it->len + len <= WRITER_BATCH_BYTES)
		return it;
	it = w->spare;
	if (it && len <= WRITER_BATCH_BYTES) {
		w->spare = it->next;
		w->n_spare--;
	} else {
		it = xreallocarray(NULL, 1, sizeof(*it) + MAX2(len,
		    WRITER_BATCH_BYTES));
	}
	*it = (struct writer_item){
		.kind = ITEM_LINE,
		.anonymous = true,
		.is_batch = true,
		.bytes = (unsigned char *)(it + 1),
	};
	writer_list_append(&w->queue, it);
	w->batch = it;
	return it;
}

/* A line that neither is durable nor has a done. */
static void
put_lazy(struct writer *w, const char *text, size_t len)
{
	struct writer_item *it;

	pthread_mutex_lock(&w->lock);
	if (w->queue_bytes + len > WRITER_BACKLOG_MAX) {
		w->stats.lost++;
		pthread_mutex_unlock(&w->lock);
		return;
	}
	it = batch_for(w, len + 1);
	memcpy(it->bytes + it->len, text, len);
	it->bytes[it->len + len] = '\n';
	it->len += len + 1;
	it->lines++;
	unlock_queued(w, len, false);
}

struct writer_item *
writer_put(struct writer *w, struct writer_rec *rec, writer_done_fn *done,
    void *arg)
{
	static const enum item_kind kinds[] = {
		[WRITER_RECORD] = ITEM_RECORD,
		[WRITER_DELETE] = ITEM_DELETE,
		[WRITER_TEXT] = ITEM_TEXT,
		[WRITER_CHANGE] = ITEM_CHANGE,
		[WRITER_LINE] = ITEM_LINE,
	};
	struct writer_item *it = xnew(struct writer_item);

	it->kind = kinds[rec->kind];
	assert(it->kind == ITEM_LINE || rec->name);
	it->durable = rec->durable;
	it->name = STEAL(rec->name);
	it->bytes = STEAL(rec->bytes);
	it->len = rec->len;
	it->rec = (struct item_record){ .version = rec->version,
		.room_for = STEAL(rec->room_for), .room = rec->room,
		.is_list = rec->is_list, .change = rec->change,
		.change_arg = rec->change_arg,
		.change_release = rec->change_release, .seen = rec->seen };
	return put_item(w, it, done, arg);
}

struct writer_item *
writer_put_line(struct writer *w, const char *text, size_t len, bool durable,
    writer_done_fn *done, void *arg)
{
	struct writer_item *it;

	if (!durable && !done) {
		put_lazy(w, text, len);
		return NULL;
	}
	it = xcalloc(1, sizeof(*it) + len);
	it->kind = ITEM_LINE;
	it->durable = durable;
	it->bytes = (unsigned char *)(it + 1);
	it->len = len;
	memcpy(it->bytes, text, len);
	return put_item(w, it, done, arg);
}

bool
writer_is_behind(const struct writer *w)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&w->lock;
	bool r;

	pthread_mutex_lock(lock);
	r = w->queue_bytes > WRITER_BACKLOG_MAX / 2;
	pthread_mutex_unlock(lock);
	return r;
}

struct writer_item *
writer_put_error(struct writer *w, const struct tb_error *why,
    writer_done_fn *done, void *arg)
{
	struct writer_item *it = xnew(struct writer_item);

	it->kind = ITEM_ERROR;
	writer_item_fail(it, why);
	return put_item(w, it, done, arg);
}

void
writer_put_key(struct writer *w, struct checkpoint_key *key)
{
	struct writer_item *it = xnew(struct writer_item);

	it->kind = ITEM_KEY;
	it->key = key;
	put_item(w, it, NULL, NULL);
}

struct writer_item *
writer_put_checkpoint(struct writer *w, writer_done_fn *done, void *arg)
{
	struct writer_item *it = xnew(struct writer_item);

	it->kind = ITEM_CHECKPOINT;
	it->durable = true;
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
	struct writer_item *it;

	trail_close(w->trail);
	writer_trail_clear(&w->shown);
	strbuf_clear(&w->events);
	loop_waker_free(w->waker);
	writer_list_free(&w->finished);
	while ((it = w->spare)) {
		w->spare = it->next;
		item_free(it);
	}
	records_free(w->records);
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
	writer_list_init(&w->queue);
	writer_list_init(&w->finished);
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

static int
writer_open_trail(struct writer *w, const struct writer_env *env,
    struct tb_error *err)
{
	struct trail_env tenv = {
		.dirfd = w->log_dirfd,
		.max_size = env->audit_max_size,
		.keep_files = env->audit_keep_files,
		.journal = env->journal,
		.checkpoint_records = env->checkpoint_records,
		.checkpoint_ms = env->checkpoint_ms,
	};

	w->trail = trail_open(&tenv, err);
	if (!w->trail)
		return tb_error_wrap(err, "%s", env->log_dir);
	w->torn = trail_torn(w->trail);
	w->torn_behind = trail_end(w->trail)->seq;
	writer_show_trail(w);
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
	w->records = records_new(w->state_dirfd);
	w->log_dirfd = fs_open_dir(env->log_dir, 0750, 0027, err);
	if (w->log_dirfd < 0)
		return NULL;
	if (writer_open_trail(w, env, err) < 0)
		return NULL;
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

void
writer_keep_books(struct writer *w, writer_seen_fn *fn, void *arg)
{
	w->seen = fn;
	w->seen_arg = arg;
}

int
writer_state_dirfd(const struct writer *w)
{
	return w->state_dirfd;
}

void
writer_set_mark(struct writer *w, const char *run_path, const char *log_path,
    const char *state, uint64_t list, uint64_t highest)
{
	records_set_mark(w->records, run_path, log_path, state, list, highest);
}

size_t
writer_torn(const struct writer *w, uint64_t *behind_seq)
{
	*behind_seq = w->torn_behind;
	return w->torn;
}

void
writer_watch(struct writer *w, void (*fn)(void *arg), void *arg)
{
	w->watch = fn;
	w->watch_arg = arg;
}

void
writer_watch_events(struct writer *w, writer_events_fn *fn, void *arg)
{
	w->events_fn = fn;
	w->events_arg = arg;
}

uint64_t
writer_events_seq(const struct writer *w)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&w->lock;
	uint64_t seq;

	pthread_mutex_lock(lock);
	seq = w->events.len ? w->events_told : w->synced_seq;
	pthread_mutex_unlock(lock);
	return seq;
}

struct writer_item *
writer_put_read(struct writer *w, struct eventlog_slice *slice,
    writer_done_fn *done, void *arg)
{
	struct writer_item *it = xnew(struct writer_item);

	it->kind = ITEM_READ;
	it->slice = slice;
	return put_item(w, it, done, arg);
}

void
writer_get_trail(const struct writer *w, struct writer_trail *out)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&w->lock;

	pthread_mutex_lock(lock);
	*out = w->shown;
	out->checkpoint = xstrdup0(w->shown.checkpoint);
	out->keys = xstrdup0(w->shown.keys);
	out->files = xstrdup0(w->shown.files);
	pthread_mutex_unlock(lock);
}

void
writer_trail_clear(struct writer_trail *t)
{
	free(t->checkpoint);
	free(t->keys);
	free(t->files);
	*t = (struct writer_trail){ .seq = 0 };
}
