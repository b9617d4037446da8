/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader - see the header.
 */
#include "audit/reader.h"

#include <errno.h>

#include "audit/scan.h"
#include "base/util.h"

#define BUFFER_BYTES ((size_t)1 << 20)

void
reader_init(struct reader *r, int fd)
{
	*r = (struct reader){ .fd = fd, .buf = xcalloc(1, BUFFER_BYTES) };
}

void
reader_clear(struct reader *r)
{
	free(r->buf);
	r->buf = NULL;
}

/* More bytes behind what is there; 0 at the end. */
static ssize_t
reader_fill(struct reader *r)
{
	ssize_t n;

	if (r->start > 0) {
		memmove(r->buf, r->buf + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	do {
		n = read(r->fd, r->buf + r->end, BUFFER_BYTES - r->end);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		r->end += (size_t)n;
	return n;
}

enum reader_got
reader_next(struct reader *r, const char **line, size_t *len)
{
	size_t seen = 0, there;
	const char *newline;
	ssize_t n;

	for (;;) {
		there = r->end - r->start;
		newline = memchr(r->buf + r->start + seen, '\n', there - seen);
		if (newline) {
			*line = r->buf + r->start;
			*len = (size_t)(newline - *line);
			r->start += *len + 1;
			if (!r->skipping && *len <= SCAN_LINE_MAX)
				return READER_LINE;
			r->skipping = false;
			return READER_LONG;
		}
		if (there > SCAN_LINE_MAX) {
			r->skipping = true;
			r->start = r->end = there = 0;
		}
		seen = there;
		n = reader_fill(r);
		if (n < 0)
			return READER_FAILED;
		if (n == 0)
			return READER_END;
	}
}

size_t
reader_rest(const struct reader *r)
{
	return r->skipping ? SCAN_LINE_MAX + 1 : r->end - r->start;
}

void
reader_unread(struct reader *r)
{
	if (lseek(r->fd, -(off_t)(r->end - r->start), SEEK_CUR) >= 0)
		r->start = r->end = 0;
}
