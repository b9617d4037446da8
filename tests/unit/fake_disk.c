/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor's path is asked of /proc/self/fd, so no table of open files is
 * needed.
 */
#include "fake_disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULES 16
#define CALLS 65536

struct rule {
	enum fake_disk_op op;
	char part[64];
	int error, skip, times;
	bool cut;
	size_t bytes;
};

struct call {
	enum fake_disk_op op;
	char name[64];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static struct rule rules[RULES];
static size_t n_rules;
static struct call *calls;
static size_t n_calls;
static char held[64];
static bool holding, losing;
static struct {
	dev_t dev;
	ino_t ino;
	off_t size;
} synced[64]; /* files, as of their last sync */
static size_t n_synced;
static int lives = -1; /* calls that are left; -1: any number */
static const struct fake_disk_watcher *watcher;

static const char *const op_names[] = {
	"open", "write", "fsync", "fdatasync", "ftruncate", "rename", "link",
	"unlink", "allocate", "pwrite",
};

static void
add_rule(struct rule r, const char *part)
{
	snprintf(r.part, sizeof(r.part), "%s", part ? part : "");
	pthread_mutex_lock(&lock);
	assert(n_rules < RULES);
	rules[n_rules++] = r;
	pthread_mutex_unlock(&lock);
}

void
fake_disk_fail(enum fake_disk_op op, const char *part, int error, int skip,
    int times)
{
	add_rule((struct rule){ .op = op, .error = error, .skip = skip,
	    .times = times }, part);
}

void
fake_disk_fail_call(int error, int skip, int times)
{
	add_rule((struct rule){ .op = FAKE_DISK_OPS, .error = error,
	    .skip = skip, .times = times }, NULL);
}

void
fake_disk_lose_pages(void)
{
	pthread_mutex_lock(&lock);
	losing = true;
	pthread_mutex_unlock(&lock);
}

void
fake_disk_watch(const struct fake_disk_watcher *w)
{
	watcher = w;
}

void
fake_disk_short_write(const char *part, size_t bytes)
{
	add_rule((struct rule){ .op = FAKE_DISK_WRITE, .cut = true,
	    .bytes = bytes, .times = 1 }, part);
}

void
fake_disk_hold_syncs(const char *part)
{
	pthread_mutex_lock(&lock);
	snprintf(held, sizeof(held), "%s", part);
	holding = true;
	pthread_mutex_unlock(&lock);
}

void
fake_disk_die_after(unsigned n)
{
	pthread_mutex_lock(&lock);
	lives = (int)n;
	pthread_mutex_unlock(&lock);
}

void
fake_disk_release(void)
{
	pthread_mutex_lock(&lock);
	holding = false;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
}

void
fake_disk_reset(void)
{
	fake_disk_release();
	pthread_mutex_lock(&lock);
	n_rules = n_calls = n_synced = 0;
	losing = false;
	lives = -1;
	free(calls);
	calls = NULL;
	pthread_mutex_unlock(&lock);
}

unsigned
fake_disk_count(enum fake_disk_op op, const char *part)
{
	unsigned n = 0;
	size_t i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < n_calls; i++)
		n += calls[i].op == op &&
		    (!part || strstr(calls[i].name, part));
	pthread_mutex_unlock(&lock);
	return n;
}

unsigned
fake_disk_calls(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = (unsigned)n_calls;
	pthread_mutex_unlock(&lock);
	return n;
}

char *
fake_disk_trace(void)
{
	char *text;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	pthread_mutex_lock(&lock);
	for (i = 0; i < n_calls; i++)
		fprintf(f, "%s %s\n", op_names[calls[i].op], calls[i].name);
	pthread_mutex_unlock(&lock);
	fclose(f);
	return text;
}

static bool
path_fits(const char *path, const char *part)
{
	size_t n = strlen(path), m = strlen(part);

	if (m == 0 || part[m - 1] != '$')
		return strstr(path, part) != NULL;
	m--;
	return n >= m && strncmp(path + n - m, part, m) == 0;
}

/* Records the call. The error it must fail with, or 0; *len may be cut. */
static int
decide(enum fake_disk_op op, const char *path, size_t *len)
{
	const char *base = strrchr(path, '/');
	int error = 0;
	size_t i;

	pthread_mutex_lock(&lock);
	if (!calls)
		calls = calloc(CALLS, sizeof(calls[0]));
	if (n_calls < CALLS) {
		calls[n_calls].op = op;
		snprintf(calls[n_calls++].name, sizeof(calls[0].name), "%.63s",
		    base ? base + 1 : path);
	}
	while (holding && (op == FAKE_DISK_FSYNC ||
	    op == FAKE_DISK_FDATASYNC) && strstr(path, held))
		pthread_cond_wait(&cond, &lock);
	if (lives == 0)
		error = EIO;
	else if (lives > 0)
		lives--;
	for (i = 0; !error && i < n_rules; i++) {
		if ((rules[i].op != op && rules[i].op != FAKE_DISK_OPS) ||
		    !path_fits(path, rules[i].part) || rules[i].times == 0)
			continue;
		if (rules[i].skip > 0) {
			rules[i].skip--;
			break;
		}
		if (rules[i].times > 0)
			rules[i].times--;
		error = rules[i].error;
		if (rules[i].cut && len && *len > rules[i].bytes)
			*len = rules[i].bytes;
		break;
	}
	pthread_mutex_unlock(&lock);
	errno = error;
	return error;
}

static int
decide_fd(enum fake_disk_op op, int fd, size_t *len)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return decide(op, path, len);
}

int
disk_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	int fd;

	if (decide(FAKE_DISK_OPEN, name, NULL))
		return -1;
	fd = openat(dirfd, name, flags, mode);
	if (fd >= 0 && watcher && (flags & O_CREAT) && (flags & O_EXCL))
		watcher->made(watcher->arg, fd);
	return fd;
}

ssize_t
disk_write(int fd, const void *bytes, size_t len)
{
	return decide_fd(FAKE_DISK_WRITE, fd, &len) ? -1 :
	    write(fd, bytes, len);
}

int
disk_write_all(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		n = disk_write(fd, p, len);
		if (n < 0)
			return -1;
	}
	return 0;
}

/* What of the file was synced is remembered; what was not is lost when a sync
 * fails. */
static void
track_sync(int fd, bool ok)
{
	char path[64], zero[512] = { 0 };
	struct stat st;
	off_t at;
	size_t i;
	int other;

	if (!losing || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	for (i = 0; i < n_synced; i++)
		if (synced[i].ino == st.st_ino && synced[i].dev == st.st_dev)
			break;
	assert(i < sizeof(synced) / sizeof(synced[0]));
	if (i == n_synced) {
		synced[i].dev = st.st_dev;
		synced[i].ino = st.st_ino;
		synced[n_synced++].size = 0;
	}
	if (!ok) {
		/* fd itself may be O_APPEND */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		other = open(path, O_WRONLY);
		for (at = synced[i].size; other >= 0 && at < st.st_size;
		     at += (off_t)sizeof(zero))
			(void)!pwrite(other, zero, (size_t)(st.st_size - at <
			    (off_t)sizeof(zero) ? st.st_size - at :
			    (off_t)sizeof(zero)), at);
		close(other);
	}
	synced[i].size = st.st_size;
}

static int
sync_with(enum fake_disk_op op, int fd, int (*sync)(int fd))
{
	int error = decide_fd(op, fd, NULL);

	pthread_mutex_lock(&lock);
	track_sync(fd, error == 0);
	pthread_mutex_unlock(&lock);
	errno = error;
	if (error)
		return -1;
	if (watcher)
		watcher->sync_begin(watcher->arg, fd);
	error = sync(fd);
	if (watcher)
		watcher->sync_end(watcher->arg, fd, error == 0);
	return error;
}

int
disk_fsync(int fd)
{
	return sync_with(FAKE_DISK_FSYNC, fd, fsync);
}

int
disk_fdatasync(int fd)
{
	return sync_with(FAKE_DISK_FDATASYNC, fd, fdatasync);
}

int
disk_ftruncate(int fd, off_t len)
{
	return decide_fd(FAKE_DISK_FTRUNCATE, fd, NULL) ? -1 :
	    ftruncate(fd, len);
}

int
disk_allocate(int fd, off_t len)
{
	return decide_fd(FAKE_DISK_ALLOCATE, fd, NULL) ? -1 :
	    fallocate(fd, 0, 0, len);
}

ssize_t
disk_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return decide_fd(FAKE_DISK_PWRITE, fd, NULL) ? -1 :
	    pwrite(fd, bytes, len, at);
}

int
disk_renameat(int dirfd, const char *from, const char *to)
{
	return decide(FAKE_DISK_RENAME, to, NULL) ? -1 :
	    renameat(dirfd, from, dirfd, to);
}

int
disk_linkat(int dirfd, const char *from, const char *to)
{
	return decide(FAKE_DISK_LINK, to, NULL) ? -1 :
	    linkat(dirfd, from, dirfd, to, 0);
}

int
disk_unlinkat(int dirfd, const char *name)
{
	return decide(FAKE_DISK_UNLINK, name, NULL) ? -1 :
	    unlinkat(dirfd, name, 0);
}
