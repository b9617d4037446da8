/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs - see the header. A file is replaced by rename(2) from a temporary one
 * with a random name: two writers of one name each leave a whole file. A crash
 * in between leaves a ".NAME.RANDOM.tmp" behind; who lists such a directory
 * skips names that begin with a dot.
 */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "base/util.h"

static int
fs_fail(struct tb_error *err, const char *path, const char *what)
{
	return tb_error_errno(err, TB_E_IO, errno, "%.200s: cannot %s", path,
	    what);
}

static ssize_t
read_some(int fd, void *buf, size_t n)
{
	ssize_t r;

	do
		r = read(fd, buf, n);
	while (r < 0 && errno == EINTR);
	return r;
}

int
fs_read_secret(const char *path, size_t cap, struct secret *out,
    struct tb_error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_(secret_clear) struct secret piece = SECRET_INIT;
	_cleanup_(secret_clear) struct secret all = SECRET_INIT;
	unsigned char *buf;
	ssize_t n;

	/* Not blocking: a fifo in the file's place must not stop the start. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return fs_fail(err, path, "open it");
	buf = secret_alloc(&piece, 4096);
	for (;;) {
		n = read_some(fd, buf, piece.len);
		if (n < 0)
			return fs_fail(err, path, "read it");
		if (n == 0)
			break;
		if ((size_t)n > cap - all.len)
			return tb_error_set(err, TB_E_LIMIT,
			    "%.200s: it is larger than %zu bytes", path, cap);
		secret_append(&all, buf, (size_t)n);
	}
	secret_move(out, &all);
	return 0;
}

int
fs_read_text(const char *path, size_t cap, char **out, struct tb_error *err)
{
	_cleanup_(secret_clear) struct secret s = SECRET_INIT;

	if (fs_read_secret(path, cap, &s, err) < 0)
		return -1;
	if (memchr(secret_reveal(&s), '\0', s.len))
		return tb_error_set(err, TB_E_IO,
		    "%.200s: it is not text: it holds a NUL byte", path);
	*out = xstrndup(secret_reveal(&s), s.len);
	return 0;
}

static int
write_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The temporary file, complete and on disk. On failure it is still there. */
static int
write_tmp(int dirfd, const char *tmp, const char *name, mode_t mode,
    const void *bytes, size_t len, struct tb_error *err)
{
	_cleanup_close_ int fd = openat(dirfd, tmp,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return fs_fail(err, name, "create its temporary file");
	if (fchmod(fd, mode) < 0)
		return fs_fail(err, name, "set its mode");
	if (write_all(fd, bytes, len) < 0)
		return fs_fail(err, name, "write it");
	if (fsync(fd) < 0)
		return fs_fail(err, name, "sync it");
	return 0;
}

int
fs_write_atomic(int dirfd, const char *name, mode_t mode, const void *bytes,
    size_t len, struct tb_error *err)
{
	_cleanup_free_ char *tmp = NULL;
	unsigned char random[8];
	char hex[2 * sizeof(random) + 1];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return fs_fail(err, name, "get random bytes");
	tmp = xasprintf(".%s.%s.tmp", name,
	    hex_encode(random, sizeof(random), hex));
	if (write_tmp(dirfd, tmp, name, mode, bytes, len, err) < 0) {
		unlinkat(dirfd, tmp, 0);
		return -1;
	}
	if (renameat(dirfd, tmp, dirfd, name) < 0) {
		fs_fail(err, name, "replace it");
		unlinkat(dirfd, tmp, 0);
		return -1;
	}
	if (fsync(dirfd) < 0)
		return fs_fail(err, name, "sync its directory");
	return 0;
}

/* mkdir with exactly this mode, whatever the umask; there already is fine. */
static int
make_dir(const char *path, mode_t mode, struct tb_error *err)
{
	if (mkdir(path, mode) == 0) {
		if (chmod(path, mode) < 0)
			return fs_fail(err, path, "set its mode");
		return 0;
	}
	return errno == EEXIST ? 0 : fs_fail(err, path, "create it");
}

static int
make_dirs(const char *path, mode_t mode, struct tb_error *err)
{
	_cleanup_free_ char *part = xstrdup(path);
	struct stat st;
	char *p;

	if (stat(path, &st) == 0)
		return 0;
	for (p = part + strspn(part, "/"); (p = strchr(p, '/')); p++) {
		*p = '\0';
		/* A parent that exists may be read-only to us: stat first. */
		if (stat(part, &st) < 0 && make_dir(part, mode, err) < 0)
			return -1;
		*p = '/';
	}
	return make_dir(path, mode, err);
}

static int
check_owner_and_mode(const char *path, const struct stat *st, mode_t forbidden,
    struct tb_error *err)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return tb_error_set(err, TB_E_IO,
		    "%.200s: it belongs to uid %lu, not to uid %lu or root: "
		    "chown it", path, (unsigned long)st->st_uid,
		    (unsigned long)geteuid());
	if (st->st_mode & forbidden)
		return tb_error_set(err, TB_E_IO,
		    "%.200s: its mode %04o lets others in: chmod %04o", path,
		    st->st_mode & 07777, st->st_mode & 07777 & ~forbidden);
	return 0;
}

int
fs_open_dir(const char *path, mode_t mode, mode_t forbidden,
    struct tb_error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int result;

	if (make_dirs(path, mode, err) < 0)
		return -1;
	/* Links are followed: with DynamicUser=, systemd makes one. */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fs_fail(err, path, "open it");
	if (fstat(fd, &st) < 0)
		return fs_fail(err, path, "look at it");
	if (check_owner_and_mode(path, &st, forbidden, err) < 0)
		return -1;
	result = fd;
	fd = -1;
	return result;
}

int
fs_check_private(const char *path, mode_t forbidden, struct tb_error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return fs_fail(err, path, "look at it");
	if (!S_ISREG(st.st_mode))
		return tb_error_set(err, TB_E_IO,
		    "%.200s: it is not a regular file", path);
	return check_owner_and_mode(path, &st, forbidden, err);
}
