/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_open - where the chain ends when the daemon starts.
 *
 * A crash leaves at most a torn end: bytes of a line without the rest, or a
 * stretch that the file system had no time to fill. What stands behind the
 * last line that can be read is moved to audit.jsonl.torn and never thrown
 * away, because it may as well be what somebody left who edited the log; and
 * it is said aloud. No hash is checked here: that is the verifier's work, and
 * a log that fails it must go on growing all the same.
 */
#include "state/segment_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/tb_error.h"
#include "state/disk.h"

/* More than is ever unsynced, and so more than a crash can tear, save by a
 * group of many long lines. */
#define TAIL_BYTES ((size_t)4 << 20)

static void
closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* The last bytes of fd, at most TAIL_BYTES; *at is where they begin. */
static char *
read_tail(int fd, size_t size, size_t *at, size_t *len, struct tb_error *err)
{
	_cleanup_free_ char *buf = NULL;
	size_t want = MIN2(size, TAIL_BYTES), got = 0;
	ssize_t n;

	*at = size - want;
	buf = xcalloc(1, want + 1);
	while (got < want) {
		n = pread(fd, buf + got, want - got, (off_t)(*at + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			tb_error_errno(err, TB_E_IO, n < 0 ? errno : EIO,
			    "cannot read the audit log");
			return NULL;
		}
		got += (size_t)n;
	}
	*len = got;
	return STEAL(buf);
}

/* Behind the last newline of buf; 0: there is none. */
static size_t
behind_newline(const char *buf, size_t len)
{
	while (len > 0 && buf[len - 1] != '\n')
		len--;
	return len;
}

/* How much of buf ends with the last whole line of ours; 0: there is none. */
static size_t
find_last_line(const char *buf, size_t len, struct chain_pos *end)
{
	size_t start;

	while ((len = behind_newline(buf, len)) > 0) {
		start = behind_newline(buf, len - 1);
		if (chain_parse(buf + start, len - 1 - start, end))
			return len;
		len = start;
	}
	return 0;
}

static int
save_torn(int dirfd, const char *bytes, size_t len, struct tb_error *err)
{
	_cleanup_close_ int fd = disk_openat(dirfd, SEGMENT_TORN_FILE,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0 || disk_write_all(fd, bytes, len) < 0 ||
	    disk_write_all(fd, "\n", 1) < 0 || disk_fsync(fd) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot move the torn end of the audit log to %s",
		    SEGMENT_TORN_FILE);
	return 0;
}

int
segment_repair(int dirfd, int fd, struct chain_pos *end, size_t *len,
    size_t *cut, struct tb_error *err)
{
	_cleanup_free_ char *tail = NULL;
	size_t at, tail_len, good;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot look at the audit log");
	if (!S_ISREG(st.st_mode))
		return tb_error_set(err, TB_E_IO,
		    "the audit log %s is not a regular file", SEGMENT_FILE);
	tail = read_tail(fd, (size_t)st.st_size, &at, &tail_len, err);
	if (!tail)
		return -1;
	good = find_last_line(tail, tail_len, end);
	if (good == 0 && at > 0)
		return tb_error_set(err, TB_E_IO, "the last %zu bytes of %s "
		    "hold no line of ours: move that file away", tail_len,
		    SEGMENT_FILE);
	*len = at + good;
	*cut = tail_len - good;
	if (*cut == 0)
		return 0;
	if (save_torn(dirfd, tail + good, *cut, err) < 0)
		return -1;
	if (disk_ftruncate(fd, (off_t)*len) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot cut the torn end off the audit log");
	log_warn("audit", "the last %zu bytes of %s were not a whole line "
	    "(a crash?): moved to %s; line %" PRIu64 " is the last one",
	    *cut, SEGMENT_FILE, SEGMENT_TORN_FILE, end->seq);
	return 0;
}

static bool
is_older_name(const char *name)
{
	static const char head[] = "audit-", tail[] = ".jsonl";
	const size_t n = sizeof(head) - 1;

	return strncmp(name, head, n) == 0 &&
	    strspn(name + n, "0123456789") == 20 &&
	    strcmp(name + n + 20, tail) == 0;
}

int
segment_find_older(int dirfd, struct chain_pos *end, struct tb_error *err)
{
	_cleanup_close_ int fd = -1;
	int list = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d _cleanup_(closedirp) = list < 0 ? NULL : fdopendir(list);
	_cleanup_free_ char *newest = NULL, *tail = NULL;
	const struct dirent *e;
	size_t at, len;
	struct stat st;

	if (!d) {
		tb_error_errno(err, TB_E_IO, errno, "cannot list the log "
		    "directory");
		if (list >= 0)
			close(list);
		return -1;
	}
	while ((e = readdir(d)))
		if (is_older_name(e->d_name) &&
		    (!newest || strcmp(e->d_name, newest) > 0))
			str_set(&newest, e->d_name);
	if (!newest)
		return 0;
	fd = openat(dirfd, newest, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot read %s",
		    newest);
	tail = read_tail(fd, (size_t)st.st_size, &at, &len, err);
	if (!tail)
		return tb_error_wrap(err, "%s", newest);
	find_last_line(tail, len, end);
	return 0;
}
