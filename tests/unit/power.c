/* SPDX-License-Identifier: Apache-2.0 */
#include "power.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_disk.h"

struct power {
	struct image *image;
	struct fake_disk_watcher watcher;
	pthread_mutex_t lock; /* calls may come from two threads */
	char dir[80];
};

static void
fd_path(int fd, char out[64])
{
	snprintf(out, 64, "/proc/self/fd/%d", fd);
}

static void
on_sync_begin(void *arg, int fd)
{
	struct power *p = arg;
	char path[64];

	fd_path(fd, path);
	pthread_mutex_lock(&p->lock);
	image_sync_begin(p->image, gettid(), path);
	pthread_mutex_unlock(&p->lock);
}

static void
on_sync_end(void *arg, int fd, bool ok)
{
	struct power *p = arg;

	(void)fd;
	pthread_mutex_lock(&p->lock);
	image_sync_end(p->image, gettid(), ok);
	pthread_mutex_unlock(&p->lock);
}

static void
on_made(void *arg, int fd)
{
	struct power *p = arg;
	char path[64];

	fd_path(fd, path);
	pthread_mutex_lock(&p->lock);
	image_created(p->image, path);
	pthread_mutex_unlock(&p->lock);
}

struct power *
power_on(const struct state_fixture *f)
{
	const char *const trees[] = { f->state_dir, f->log_dir };
	struct power *p = xnew(struct power);

	pthread_mutex_init(&p->lock, NULL);
	snprintf(p->dir, sizeof(p->dir), "%s/power-XXXXXX", f->dir);
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(rmdir(p->dir), 0); /* image_new makes it */
	p->image = image_new(p->dir, trees, ARRAY_SIZE(trees));
	p->watcher = (struct fake_disk_watcher){ on_sync_begin, on_sync_end,
		on_made, p };
	fake_disk_watch(&p->watcher);
	return p;
}

/* What is in `from` becomes all that is in `to`. */
static void
replace_files(const char *from, const char *to)
{
	_cleanup_free_ char *old = state_list(to), *new = state_list(from);
	char *save = NULL, *name;

	for (name = strtok_r(old, " ", &save); name;
	    name = strtok_r(NULL, " ", &save)) {
		_cleanup_free_ char *path = xasprintf("%s/%s", to, name);

		assert_int_equal(unlink(path), 0);
	}
	for (name = strtok_r(new, " ", &save); name;
	    name = strtok_r(NULL, " ", &save)) {
		_cleanup_free_ char *a = xasprintf("%s/%s", from, name);
		_cleanup_free_ char *b = xasprintf("%s/%s", to, name);

		assert_int_equal(rename(a, b), 0);
	}
}

void
power_cut(struct power *p)
{
	unsigned what;

	fake_disk_watch(NULL);
	fake_disk_reset();
	for (what = 0; what < IMAGE_WHATS; what++) {
		_cleanup_free_ char *out = xasprintf("%s/%u", p->dir, what);

		image_write(p->image, out, (enum image_what)what);
	}
}

void
power_restore(struct power *p, struct state_fixture *f, enum image_what what)
{
	_cleanup_free_ char *state = xasprintf("%s/%u/state", p->dir, what);
	_cleanup_free_ char *log = xasprintf("%s/%u/log", p->dir, what);

	replace_files(state, f->state_dir);
	replace_files(log, f->log_dir);
}

void
power_free(struct power *p)
{
	fake_disk_watch(NULL);
	image_free(p->image);
	state_remove_tree(p->dir);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
