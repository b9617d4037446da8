/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anchor - see the header.
 */
#include "audit/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "audit/files.h"
#include "audit/reader.h"
#include "audit/scan.h"
#include "base/tb_error.h"

#define ANCHORS_MAX 65536

struct anchors {
	struct anchor *anchor;
	size_t n;
};

struct anchors *
anchors_new(void)
{
	return xnew(struct anchors);
}

void
anchors_free(struct anchors *a)
{
	size_t i;

	if (!a)
		return;
	for (i = 0; i < a->n; i++) {
		free(a->anchor[i].line);
		free(a->anchor[i].where);
	}
	free(a->anchor);
	free(a);
}

static int
anchors_add(struct anchors *a, const char *line, size_t len, const char *path,
    uint64_t number, struct tb_error *err)
{
	struct anchor *one;
	const char *wrong;
	struct scan s;

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--; /* mail and clipboards */
	if (len == 0 || line[0] == '#')
		return 0;
	wrong = scan_line(line, len, &s);
	if (!wrong && !scan_is(&s, SCAN_EVENT, "checkpoint"))
		wrong = "it is another event";
	if (wrong)
		return tb_error_set(err, TB_E_BADREQ, "%s:%" PRIu64 ": no "
		    "checkpoint line ('tokenbrokerctl audit checkpoint' prints "
		    "one): %s", path, number, wrong);
	if (a->n == ANCHORS_MAX)
		return tb_error_set(err, TB_E_LIMIT, "%s: more than %d "
		    "anchors", path, ANCHORS_MAX);
	a->anchor = xreallocarray(a->anchor, a->n + 1, sizeof(a->anchor[0]));
	one = &a->anchor[a->n++];
	*one = (struct anchor){ .seq = s.seq, .len = len,
		.line = xstrndup(line, len),
		.where = xasprintf("%s:%" PRIu64, path, number) };
	return 0;
}

static int
by_seq(const void *a, const void *b)
{
	const struct anchor *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int
read_all(struct anchors *a, struct reader *r, const char *path,
    struct tb_error *err)
{
	uint64_t number = 0;
	enum reader_got got;
	const char *line;
	size_t len;

	while ((got = reader_next(r, &line, &len)) == READER_LINE)
		if (anchors_add(a, line, len, path, ++number, err) < 0)
			return -1;
	if (got == READER_FAILED)
		return tb_error_errno(err, TB_E_IO, errno, "cannot read %s",
		    path);
	if (got == READER_LONG || reader_rest(r) > SCAN_LINE_MAX)
		return tb_error_set(err, TB_E_BADREQ, "%s:%" PRIu64 ": no "
		    "checkpoint line: too long", path, number + 1);
	/* the last line may lack its end */
	return anchors_add(a, r->buf + r->start, reader_rest(r), path,
	    number + 1, err);
}

int
anchors_load(struct anchors *a, const char *path, struct tb_error *err)
{
	bool in = strcmp(path, "-") == 0;
	_cleanup_close_ int fd = in ? dup(STDIN_FILENO) :
	    open(path, O_RDONLY | O_CLOEXEC);
	size_t before = a->n;
	struct reader r;
	int failed;

	if (fd < 0)
		return files_fail(path, errno, err);
	reader_init(&r, fd);
	failed = read_all(a, &r, in ? "standard input" : path, err);
	reader_clear(&r);
	if (failed)
		return -1;
	if (a->n == before)
		return tb_error_set(err, TB_E_BADREQ, "%s: no checkpoint "
		    "line in it", in ? "standard input" : path);
	qsort(a->anchor, a->n, sizeof(a->anchor[0]), by_seq);
	return 0;
}

size_t
anchors_count(const struct anchors *a)
{
	return a->n;
}

struct anchor *
anchors_at(struct anchors *a, size_t i)
{
	return &a->anchor[i];
}

struct anchor *
anchors_find(struct anchors *a, uint64_t seq)
{
	size_t low = 0, high = a->n, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (a->anchor[mid].seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low < a->n && a->anchor[low].seq == seq ? &a->anchor[low] :
	    NULL;
}

const char *
anchor_hash(const struct anchor *a)
{
	return a->line + a->len - 2 - SCAN_HEX;
}
