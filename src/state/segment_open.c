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

/* More than is unsynced as a rule, and so more than a crash can tear; and more
 * than is when a disk has stalled (WRITER_BACKLOG_MAX). */
#define TAIL_BYTES ((size_t)4 << 20)
#define TORN_BYTES ((size_t)64 << 20)

static void
closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* The last bytes of fd, at most max; *at is where they begin. */
static char *
read_tail(int fd, size_t size, size_t max, size_t *at, size_t *len,
    struct tb_error *err)
{
	_cleanup_free_ char *buf = NULL;
	size_t want = MIN2(size, max), got = 0;
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

/* How much of buf ends with the last whole line of ours that is none behind
 * line `last`; 0: there is none. */
static size_t
find_last_line(const char *buf, size_t len, uint64_t last,
    struct chain_pos *end)
{
	struct chain_pos pos;
	size_t start;

	while ((len = behind_newline(buf, len)) > 0) {
		start = behind_newline(buf, len - 1);
		if (chain_parse(buf + start, len - 1 - start, &pos) &&
		    pos.seq <= last) {
			*end = pos;
			return len;
		}
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

/* A tail with the last line in it, as far as there is one: *good bytes of it
 * end there. */
static char *
find_tail(int fd, size_t size, size_t *at, size_t *len, size_t *good,
    struct chain_pos *end, struct tb_error *err)
{
	size_t max = TAIL_BYTES;
	char *tail;

	for (;;) {
		tail = read_tail(fd, size, max, at, len, err);
		if (!tail)
			return NULL;
		*good = find_last_line(tail, *len, UINT64_MAX, end);
		if (*good || *at == 0 || max == TORN_BYTES)
			return tail;
		free(tail);
		max = TORN_BYTES;
	}
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
	tail = find_tail(fd, (size_t)st.st_size, &at, &tail_len, &good, end,
	    err);
	if (!tail)
		return -1;
	if (good == 0 && tail_len >= TAIL_BYTES)
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

/* --------------------------------------------------------- older files */

#define OLDER_HEAD "audit-"
#define OLDER_TAIL ".jsonl"
#define OLDER_DIGITS 20

/* False: not the name of an older file. */
static bool
parse_older_name(const char *name, uint64_t *seq)
{
	const char *digits = name + sizeof(OLDER_HEAD) - 1;
	size_t i;

	if (strncmp(name, OLDER_HEAD, sizeof(OLDER_HEAD) - 1) != 0 ||
	    strspn(digits, "0123456789") != OLDER_DIGITS ||
	    strcmp(digits + OLDER_DIGITS, OLDER_TAIL) != 0)
		return false;
	for (*seq = 0, i = 0; i < OLDER_DIGITS; i++)
		*seq = 10 * *seq + (uint64_t)(digits[i] - '0');
	return true;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int
segment_list(int dirfd, char ***names, size_t *n, struct tb_error *err)
{
	int list = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d _cleanup_(closedirp) = list < 0 ? NULL : fdopendir(list);
	const struct dirent *e;
	uint64_t seq;

	*names = NULL;
	*n = 0;
	if (!d) {
		tb_error_errno(err, TB_E_IO, errno, "cannot list the log "
		    "directory");
		if (list >= 0)
			close(list);
		return -1;
	}
	while ((e = readdir(d))) {
		if (!parse_older_name(e->d_name, &seq))
			continue;
		*names = xreallocarray(*names, *n + 1, sizeof(**names));
		(*names)[(*n)++] = xstrdup(e->d_name);
	}
	if (*n)
		qsort(*names, *n, sizeof(**names), compare_names);
	return 0;
}

void
segment_list_free(char **names, size_t n)
{
	while (n > 0)
		free(names[--n]);
	free(names);
}

/* The tail of a file by its name; NULL: it cannot be read, or is empty. */
static char *
read_file_tail(int dirfd, const char *name, size_t *at, size_t *len)
{
	_cleanup_close_ int fd = openat(dirfd, name,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct tb_error err = TB_ERROR_INIT;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size == 0)
		return NULL;
	return read_tail(fd, (size_t)st.st_size, TAIL_BYTES, at, len, &err);
}

bool
segment_list_end(int dirfd, const char *name, struct chain_pos *end)
{
	_cleanup_free_ char *tail = NULL;
	size_t at, len;
	uint64_t seq;

	if (!parse_older_name(name, &seq))
		return false;
	tail = read_file_tail(dirfd, name, &at, &len);
	/* lines behind it are a copy of the next file's */
	return tail && find_last_line(tail, len, seq, end) > 0;
}

int
segment_find_older(int dirfd, struct chain_pos *end, struct tb_error *err)
{
	char **names;
	size_t n, i;

	if (segment_list(dirfd, &names, &n, err) < 0)
		return -1;
	for (i = n; i > 0 && !segment_list_end(dirfd, names[i - 1], end); i--)
		log_warn("audit", "%s has no line that could be read",
		    names[i - 1]);
	segment_list_free(names, n);
	return 0;
}

/* ------------------------------------------- a rotation cut short by a crash */

/* The older name that fd has too: its SEQ, or 0. */
static uint64_t
find_second_name(int dirfd, int fd, char *const *names, size_t n,
    const char **name)
{
	struct stat ours, there;
	uint64_t seq;
	size_t i;

	if (fstat(fd, &ours) < 0 || ours.st_nlink < 2)
		return 0;
	for (i = n; i > 0; i--)
		if (fstatat(dirfd, names[i - 1], &there,
			AT_SYMLINK_NOFOLLOW) == 0 &&
		    there.st_ino == ours.st_ino &&
		    there.st_dev == ours.st_dev &&
		    parse_older_name(names[i - 1], &seq)) {
			*name = names[i - 1];
			return seq;
		}
	return 0;
}

static int
split_at(int dirfd, int fd, size_t len, const char *name, uint64_t seq,
    struct chain_pos *end, size_t *at, char **rest, struct tb_error *err)
{
	_cleanup_free_ char *tail = NULL;
	struct chain_pos pos = chain_start;
	size_t begin, n, good;

	tail = read_tail(fd, len, TORN_BYTES, &begin, &n, err);
	if (!tail)
		return -1;
	good = find_last_line(tail, n, seq, &pos);
	if (good == 0 || pos.seq != seq) {
		log_warn("audit", "%s is not what its name says; it loses "
		    "that name and goes on as %s", name, SEGMENT_FILE);
		if (disk_unlinkat(dirfd, name) < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot remove the name %s", name);
		return 0;
	}
	*end = pos;
	*at = begin + good;
	*rest = xcalloc(1, n - good + 1);
	memcpy(*rest, tail + good, n - good);
	return 1;
}

int
segment_find_half(int dirfd, int fd, size_t len, struct chain_pos *end,
    size_t *at, char **rest, struct tb_error *err)
{
	const char *name = NULL;
	char **names;
	uint64_t seq;
	size_t n;
	int r = 0;

	if (segment_list(dirfd, &names, &n, err) < 0)
		return -1;
	seq = find_second_name(dirfd, fd, names, n, &name);
	if (seq)
		r = split_at(dirfd, fd, len, name, seq, end, at, rest, err);
	segment_list_free(names, n);
	return r;
}

/* ------------------------------------------------------------- looking back */

/* The last line of buf with text in it. Else *first is the seq of the first
 * whole line, when there is one. */
static char *
find_line_with(const char *buf, size_t len, const char *text, uint64_t *seq,
    uint64_t *first)
{
	struct chain_pos pos;
	size_t start;

	while ((len = behind_newline(buf, len)) > 0) {
		start = behind_newline(buf, len - 1);
		if (chain_parse(buf + start, len - 1 - start, &pos)) {
			*first = pos.seq;
			if (memmem(buf + start, len - 1 - start, text,
				strlen(text))) {
				*seq = pos.seq;
				return xstrndup(buf + start, len - 1 - start);
			}
		}
		len = start;
	}
	return NULL;
}

/* In one file. True: no need to look at an older one. */
static bool
find_in_file(int dirfd, const char *name, const char *text, char **line,
    uint64_t *seq, uint64_t *first)
{
	size_t at = 0, len = 0;
	_cleanup_free_ char *tail = read_file_tail(dirfd, name, &at, &len);

	if (tail)
		*line = find_line_with(tail, len, text, seq, first);
	return *line || at > 0;
}

int
segment_find(int dirfd, const char *text, char **line, uint64_t *seq,
    struct tb_error *err)
{
	uint64_t first = 0;
	char **names;
	size_t n, i;

	*line = NULL;
	*seq = 0;
	if (segment_list(dirfd, &names, &n, err) < 0)
		return -1;
	if (!find_in_file(dirfd, SEGMENT_FILE, text, line, seq, &first))
		for (i = n; i > 0; i--)
			if (find_in_file(dirfd, names[i - 1], text, line, seq,
				&first))
				break;
	segment_list_free(names, n);
	if (!*line && first > 0)
		*seq = first - 1;
	return 0;
}
