/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eventlog - see the header. A line begins with seq, time and boot, none of
 * which holds free text, so the event's name is found by hopping over three
 * members: it costs next to nothing beside the hash of the line.
 */
#include "state/eventlog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/tb_error.h"
#include "state/audit_line.h"
#include "state/segment.h"

#define FIRST "{\"seq\":"
#define BISECT_BYTES ((size_t)8 << 10)

static const enum audit_event events[] = {
	AUDIT_HUMAN_NEEDED, AUDIT_LOGIN_STARTED, AUDIT_LOGIN_GRANTED,
	AUDIT_LOGIN_FAILED, AUDIT_LOGOUT, AUDIT_RENEWED, AUDIT_UPDATED,
	AUDIT_REVOKED,
	AUDIT_DENIED, AUDIT_EXPIRING, AUDIT_UNSETTLED, AUDIT_SETTLED,
	AUDIT_ORPHAN, AUDIT_MISSING, AUDIT_QUARANTINED, AUDIT_ADOPTED,
	AUDIT_DISK_FAILED, AUDIT_DISK_RECOVERED, AUDIT_LOST,
};

uint64_t
eventlog_seq(const char *line, size_t len)
{
	size_t i = sizeof(FIRST) - 1, end = MIN2(len, i + 21);
	uint64_t seq = 0;

	if (len <= i || memcmp(line, FIRST, i) != 0)
		return 0;
	for (; i < end && line[i] >= '0' && line[i] <= '9'; i++)
		seq = seq * 10 + (uint64_t)(line[i] - '0');
	return i < end && line[i] == ',' ? seq : 0;
}

/* Behind the string member that begins here, when it is this one. */
static const char *
hop(const char *p, const char *end, const char *head)
{
	size_t n = strlen(head);
	const char *quote;

	if ((size_t)(end - p) <= n || memcmp(p, head, n) != 0)
		return NULL;
	quote = memchr(p + n, '"', (size_t)(end - p) - n);
	return quote ? quote + 1 : NULL;
}

bool
eventlog_is_event(const char *line, size_t len)
{
	static const char head[] = ",\"event\":\"";
	const char *end = line + len, *p, *name, *behind;
	size_t i;

	if (len <= sizeof(FIRST) || memcmp(line, FIRST, sizeof(FIRST) - 1))
		return false;
	p = memchr(line, ',', MIN2(len, (size_t)32));
	p = p ? hop(p, end, ",\"time\":\"") : NULL;
	if (!p)
		return false;
	behind = hop(p, end, ",\"boot\":\"");
	p = behind ? behind : p;
	behind = hop(p, end, head);
	if (!behind)
		return false;
	name = p + sizeof(head) - 1;
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		const char *known = audit_line_event_name(events[i]);

		if (strncmp(name, known, strlen(known)) == 0 &&
		    name + strlen(known) + 1 == behind)
			return true;
	}
	return false;
}

void
eventlog_pick(const char *text, size_t len, struct strbuf *out)
{
	const char *end = text + len, *eol;

	for (; text < end; text = eol + 1) {
		eol = memchr(text, '\n', (size_t)(end - text));
		if (!eol)
			break;
		if (eventlog_is_event(text, (size_t)(eol - text)))
			strbuf_add(out, text, (size_t)(eol - text) + 1);
	}
}

/* ------------------------------------------------------------ older lines */

static ssize_t
read_at(int fd, char *buf, size_t want, off_t at)
{
	size_t got = 0;
	ssize_t n;

	while (got < want) {
		n = pread(fd, buf + got, want - got, at + (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* A place in the file at or before the first line behind `after`, at the
 * beginning of a line. The numbers only grow within a file. */
static off_t
find_start(int fd, off_t size, uint64_t after)
{
	char buf[BISECT_BYTES];
	off_t lo = 0, hi = size, mid;
	const char *eol;
	uint64_t seq;
	ssize_t n;

	while (hi - lo > (off_t)sizeof(buf)) {
		mid = lo + (hi - lo) / 2;
		n = read_at(fd, buf, sizeof(buf), mid);
		eol = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;
		seq = eol ? eventlog_seq(eol + 1, (size_t)(buf + n - eol - 1)) :
		    0;
		if (seq && seq <= after)
			lo = mid + (eol + 1 - buf);
		else
			hi = mid; /* or nothing to be read there: the long way */
	}
	return lo;
}

/* The whole lines of buf. `last`: of this file. True: there may be more. */
static bool
take_lines(struct eventlog_slice *s, const char *buf, size_t len,
    uint64_t last)
{
	const char *end = buf + len, *eol;
	uint64_t seq;

	for (; buf < end; buf = eol + 1) {
		eol = memchr(buf, '\n', (size_t)(end - buf));
		if (!eol)
			return true;
		seq = eventlog_seq(buf, (size_t)(eol - buf));
		if (seq <= s->seen)
			continue;
		if (seq > last)
			return false; /* a copy of the next file's beginning */
		if (seq > s->seen + 1)
			s->gap_to = seq - 1;
		if (eventlog_is_event(buf, (size_t)(eol - buf))) {
			strbuf_add(&s->lines, buf, (size_t)(eol - buf) + 1);
			s->n++;
		}
		s->seen = seq;
		if (s->n == EVENTLOG_SLICE_EVENTS)
			return true;
	}
	return true;
}

/* From one file, which holds lines up to `last`. */
static int
read_file(int dirfd, const char *name, uint64_t last,
    struct eventlog_slice *s, struct tb_error *err)
{
	_cleanup_close_ int fd = openat(dirfd, name,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *buf = NULL;
	struct stat st;
	off_t at;
	ssize_t n;

	if (fd < 0 && errno == ENOENT) {
		s->gap_to = s->seen = last;
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot read %s",
		    name);
	at = find_start(fd, st.st_size, s->after);
	buf = xcalloc(1, EVENTLOG_SLICE_BYTES);
	n = read_at(fd, buf, EVENTLOG_SLICE_BYTES, at);
	if (n < 0)
		return tb_error_errno(err, TB_E_IO, errno, "cannot read %s",
		    name);
	if (take_lines(s, buf, (size_t)n, last) &&
	    n == (ssize_t)EVENTLOG_SLICE_BYTES && s->seen > s->after)
		return 0; /* the next slice goes on */
	if (s->n < EVENTLOG_SLICE_EVENTS && s->seen < last) {
		/* to its end, and the line it should end with is not there */
		s->gap_to = last;
		s->seen = last;
	}
	return 0;
}

int
eventlog_read(int dirfd, uint64_t until, struct eventlog_slice *s,
    struct tb_error *err)
{
	const char *name = SEGMENT_FILE;
	uint64_t last = until, seq;
	char **names;
	size_t n, i;
	int r;

	s->seen = s->after;
	if (s->after >= until)
		return 0;
	if (segment_list(dirfd, &names, &n, err) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		seq = strtoull(names[i] + strlen("audit-"), NULL, 10);
		if (seq > s->after) {
			name = names[i];
			last = MIN2(seq, until);
			break;
		}
	}
	r = read_file(dirfd, name, last, s, err);
	segment_list_free(names, n);
	return r;
}
