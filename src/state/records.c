/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records - see the header.
 *
 * Marks are written in place with one write of fixed length, and only when
 * what they say is durable: one that is behind notices less, one that is ahead
 * would be a false alarm.
 */
#include "state/records.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/queue.h>

#include "base/tb_error.h"
#include "state/disk.h"
#include "state/recfile.h"

#define MARK_SIZE 128
/* Far more than any record may have. */
#define CHANGE_MAX ((size_t)4 << 20)

struct room {
	LIST_ENTRY(room) link;
	char *owner, *name; /* files */
};

struct records {
	int dirfd;
	LIST_HEAD(, room) rooms;
	struct tb_error list_err; /* TB_OK: the newest list is written */
	uint64_t list, highest;   /* written */

	pthread_mutex_t lock; /* of the mark, which the loop thread sets */
	char *run_path, *log_path; /* NULL: none, or written */
	char *state;
	int run_fd; /* -1: not opened yet */
	uint64_t marked_list, marked_highest;
};

struct records *
records_new(int dirfd)
{
	struct records *r = xnew(struct records);

	r->dirfd = dirfd;
	r->run_fd = -1;
	pthread_mutex_init(&r->lock, NULL);
	LIST_INIT(&r->rooms);
	return r;
}

static void
room_free(struct room *m)
{
	LIST_REMOVE(m, link);
	free(m->owner);
	free(m->name);
	free(m);
}

static void
room_drop(struct records *r, struct room *m)
{
	recfile_drop_room(r->dirfd, m->name);
	room_free(m);
}

void
records_free(struct records *r)
{
	if (!r)
		return;
	while (!LIST_EMPTY(&r->rooms))
		room_drop(r, LIST_FIRST(&r->rooms));
	if (r->run_fd >= 0)
		close(r->run_fd);
	pthread_mutex_destroy(&r->lock);
	free(r->run_path);
	free(r->log_path);
	free(r->state);
	free(r);
}

static struct room *
room_for(struct records *r, const char *name)
{
	struct room *m;

	LIST_FOREACH(m, &r->rooms, link)
		if (streq(m->name, name))
			return m;
	return NULL;
}

static int
room_hold(struct records *r, const struct records_put *put,
    struct tb_error *err)
{
	struct room *m;

	if (recfile_hold_room(r->dirfd, put->room_for, put->room, err) < 0)
		return -1;
	if (room_for(r, put->room_for))
		return 0;
	m = xnew(struct room);
	m->owner = xstrdup(put->name);
	m->name = xstrdup(put->room_for);
	LIST_INSERT_HEAD(&r->rooms, m, link);
	return 0;
}

/* What the file `owner` was set aside for will not come now. */
static void
room_release(struct records *r, const char *owner)
{
	struct room *m, *next;

	for (m = LIST_FIRST(&r->rooms); m; m = next) {
		next = LIST_NEXT(m, link);
		if (streq(m->owner, owner))
			room_drop(r, m);
	}
}

int
records_put(struct records *r, const struct records_put *put,
    struct tb_error *err)
{
	struct room *m = room_for(r, put->name);
	int result = -1;

	/* What goes ahead of something leaves the room for that. The list is
	 * both: the next one needs as much. */
	if (!put->room_for || put->is_list || room_hold(r, put, err) == 0)
		result = recfile_replace(r->dirfd, put->name, put->bytes,
		    put->len, m && (!put->room_for || put->is_list), err);
	if (put->is_list)
		r->list_err = *err;
	if (result < 0)
		return -1;
	if (!put->room_for || put->is_list) {
		if (m)
			room_drop(r, m);
		room_release(r, put->name);
	}
	if (put->is_list) {
		struct tb_error later = TB_ERROR_INIT;

		r->list = put->version;
		room_hold(r, put, &later); /* or with the next list */
	}
	r->highest = MAX2(r->highest, put->version);
	return 0;
}

int
records_delete(struct records *r, const char *name, struct tb_error *err)
{
	if (r->list_err.code) {
		*err = r->list_err;
		return -1;
	}
	room_release(r, name);
	return recfile_delete(r->dirfd, name, err);
}

int
records_change(struct records *r, const char *name, records_change_fn *fn,
    void *arg, struct tb_error *err)
{
	_cleanup_free_ unsigned char *old = NULL, *fresh = NULL;
	size_t len, fresh_len = 0;

	if (recfile_read(r->dirfd, name, CHANGE_MAX, &old, &len, err) < 0)
		return -1;
	if (!old)
		return 0;
	if (fn(arg, name, old, len, &fresh, &fresh_len, err) < 0)
		return -1;
	return fresh ? recfile_replace(r->dirfd, name, fresh, fresh_len, false,
	    err) : 0;
}

static int
open_mark(const char *path)
{
	return disk_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW, 0600);
}

static bool
write_mark(const struct records *r, int fd, uint64_t list, uint64_t highest)
{
	char text[MARK_SIZE];
	int n = snprintf(text, sizeof(text), "%s %020" PRIu64 " %020" PRIu64
	    "\n", r->state, list, highest);

	assert(n > 0 && n < MARK_SIZE);
	return disk_pwrite(fd, text, (size_t)n, 0) == n;
}

/* Under lock. What cannot be written now is tried at the next sync. */
static void
move_marks(struct records *r)
{
	uint64_t list = MAX2(r->list, r->marked_list);
	uint64_t highest = MAX2(r->highest, r->marked_highest);
	int fd;

	if (!r->state || (list == r->marked_list && highest ==
		r->marked_highest))
		return;
	if (r->log_path && (fd = open_mark(r->log_path)) >= 0) {
		if (write_mark(r, fd, list, highest) && disk_fsync(fd) == 0)
			free(STEAL(r->log_path));
		close(fd);
	}
	if (r->run_path && r->run_fd < 0)
		r->run_fd = open_mark(r->run_path);
	if (r->run_fd >= 0 && !write_mark(r, r->run_fd, list, highest))
		return;
	r->marked_list = list;
	r->marked_highest = highest;
}

int
records_sync(struct records *r, struct tb_error *err)
{
	if (recfile_sync_dir(r->dirfd, err) < 0)
		return -1;
	pthread_mutex_lock(&r->lock);
	move_marks(r);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

void
records_list_error(const struct records *r, struct tb_error *err)
{
	*err = r->list_err;
}

void
records_set_mark(struct records *r, const char *run_path,
    const char *log_path, const char *state, uint64_t list, uint64_t highest)
{
	pthread_mutex_lock(&r->lock);
	str_set(&r->run_path, run_path);
	str_set(&r->log_path, log_path);
	str_set(&r->state, state);
	if (r->run_fd >= 0)
		close(r->run_fd);
	r->run_fd = -1;
	r->marked_list = list;
	r->marked_highest = highest;
	pthread_mutex_unlock(&r->lock);
}
