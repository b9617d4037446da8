/* SPDX-License-Identifier: Apache-2.0 */
/*
 * home - see the header. All paths below a home are walked by descriptor, so
 * that a link that influxctl left in a kept home leads nowhere.
 */
#include "influxctl/home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "influxctl/helper.h"

/* Where a file speaks of its home: backend/influxctl_say.c. */
#define HOME_WORD "@HOME@"
#define FRESH_PREFIX "run-"
#define DEPTH_MAX 32
#define LOCK_TICK_MS 50

char *
home_fresh_path(const struct helper *h, pid_t pid)
{
	return xasprintf("%s/" FRESH_PREFIX "%d", h->run_dir, (int)pid);
}

char *
home_kept_path(const struct helper *h, const char *name)
{
	return xasprintf("%s/%s", h->state_dir, name);
}

int
home_open(const char *path, struct tb_error *err)
{
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return tb_error_errno(err, TB_E_IO, errno, "%s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s", path);
	return fd;
}

/* ------------------------------------------------------------------- files */

/* The directory that the last step of path is in; *last is that step. */
static int
open_parent(int home, const char *path, const char **last,
    struct tb_error *err)
{
	int dir = fcntl(home, F_DUPFD_CLOEXEC, 3);

	for (*last = path; dir >= 0; *last += strcspn(*last, "/") + 1) {
		size_t n = strcspn(*last, "/");
		char *step _cleanup_free_ = xstrndup(*last, n);
		int next;

		if (!(*last)[n])
			return dir;
		if (mkdirat(dir, step, 0700) < 0 && errno != EEXIST)
			break;
		next = openat(dir, step, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
		    O_CLOEXEC);
		if (next < 0)
			break;
		close(dir);
		dir = next;
	}
	tb_error_errno(err, TB_E_IO, errno, "%s", path);
	if (dir >= 0)
		close(dir);
	return -1;
}

static void
expand(const char *text, const char *home, struct secret *out)
{
	const char *hit;

	while ((hit = strstr(text, HOME_WORD))) {
		secret_append(out, text, (size_t)(hit - text));
		secret_append_str(out, home);
		text = hit + strlen(HOME_WORD);
	}
	secret_append_str(out, text);
}

static int
write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A new file each time: an old one may be open, or a link. */
static int
fill_one(int home, const char *path, const struct secret *text,
    struct tb_error *err)
{
	const char *name;
	_cleanup_close_ int dir = open_parent(home, path, &name, err);
	_cleanup_close_ int fd = -1;

	if (dir < 0)
		return -1;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return tb_error_errno(err, TB_E_IO, errno, "%s", path);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, 0600);
	if (fd < 0 || write_all(fd, secret_reveal(text), text->len) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s", path);
	return 0;
}

int
home_fill(int home, const char *path, const json_t *files,
    struct tb_error *err)
{
	size_t i;
	json_t *file;

	json_array_foreach(files, i, file) {
		struct secret text _cleanup_(secret_clear) = SECRET_INIT;
		const char *given = json_string_value(
		    json_object_get(file, "text"));

		if (json_is_true(json_object_get(file, "expand")))
			expand(given, path, &text);
		else
			secret_set_str(&text, given);
		if (fill_one(home, json_string_value(json_object_get(file,
		    "path")), &text, err) < 0)
			return -1;
	}
	return 0;
}

/* -------------------------------------------------------------------- wipe */

static void
wipe_file(int dir, const char *name)
{
	static const char zeroes[4096];
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_NOFOLLOW |
	    O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(zeroes)) {
		size_t n = (size_t)MIN2(st.st_size - at,
		    (off_t)sizeof(zeroes));

		if (pwrite(fd, zeroes, n, at) < 0)
			return;
	}
}

static void
wipe_below(int fd, unsigned depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;

	if (!d) {
		close(fd);
		return;
	}
	while ((e = readdir(d))) {
		int sub;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY |
		    O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0 && depth < DEPTH_MAX) {
			wipe_below(sub, depth + 1);
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
			continue;
		}
		if (sub >= 0)
			close(sub);
		wipe_file(dirfd(d), e->d_name);
		unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
}

void
home_wipe(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	wipe_below(fd, 0);
	if (rmdir(path) < 0)
		log_warn("home", "%s could not be removed: %s", path,
		    strerror(errno));
}

void
home_wipe_leftovers(const struct helper *h)
{
	DIR *d = opendir(h->run_dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		char *path _cleanup_free_ = xasprintf("%s/%s", h->run_dir,
		    e->d_name);

		if (strncmp(e->d_name, FRESH_PREFIX, strlen(FRESH_PREFIX)))
			continue;
		log_info("home", "%s was left by a helper that was killed: "
		    "wiped", path);
		home_wipe(path);
	}
	closedir(d);
}

/* -------------------------------------------------------------------- dirs */

int
home_check_dirs(const struct helper *h, struct tb_error *err)
{
	_cleanup_close_ int run = fs_open_dir(h->run_dir, 0700, 0077, err);
	_cleanup_close_ int state = -1;
	struct statfs st;

	if (run < 0)
		return -1;
	if (fstatfs(run, &st) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s", h->run_dir);
	if (st.f_type != TMPFS_MAGIC && st.f_type != RAMFS_MAGIC &&
	    !h->allow_disk)
		return tb_error_set(err, TB_E_CONFIG, "%s is not in memory "
		    "(tmpfs), and a login would stand in it: name another "
		    "--run-dir, or give --allow-disk", h->run_dir);
	state = fs_open_dir(h->state_dir, 0700, 0077, err);
	return state < 0 ? -1 : 0;
}

int
home_lock(const struct helper *h, const char *name, int wait_ms,
    struct tb_error *err)
{
	const struct timespec tick = { 0, LOCK_TICK_MS * 1000000L };
	char *path _cleanup_free_ = xasprintf("%s/%s.lock", h->run_dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return tb_error_errno(err, TB_E_IO, errno, "%s", path);
	for (; flock(fd, LOCK_EX | LOCK_NB) < 0; wait_ms -= LOCK_TICK_MS) {
		if (errno == EWOULDBLOCK && wait_ms > 0) {
			nanosleep(&tick, NULL);
			continue;
		}
		tb_error_set(err, TB_E_BUSY, "another run for '%s' is not "
		    "over yet", name);
		close(fd);
		return -1;
	}
	return fd;
}
