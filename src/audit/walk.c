/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk - see the header.
 */
#include "audit/walk.h"

#include <errno.h>

#include "audit/reader.h"
#include "audit/verify.h"
#include "base/util.h"

static enum reader_got
walk_lines(struct reader *r, struct verify *v, walk_fn *fn, void *arg)
{
	enum reader_got got;
	const char *line;
	struct scan scan;
	size_t len;

	while ((got = reader_next(r, &line, &len)) == READER_LINE ||
	    got == READER_LONG) {
		if (got == READER_LONG)
			len = SCAN_LINE_MAX + 1;
		if (verify_line(v, line, len, &scan) == VERIFY_COUNTS && fn)
			fn(arg, line, len, &scan);
	}
	return got;
}

int
walk_files(struct files *f, struct verify *v, walk_fn *fn, void *arg,
    struct tb_error *err)
{
	enum reader_got got;
	struct reader r;
	size_t i;
	int fd;

	for (i = 0; i < f->n; i++) {
		fd = files_open(f, i, err);
		if (fd < 0)
			return -1;
		verify_file(v, f->file[i].path, f->file[i].last_seq);
		reader_init(&r, fd);
		got = walk_lines(&r, v, fn, arg);
		if (got == READER_END)
			verify_rest(v, reader_rest(&r), i + 1 == f->n);
		else
			files_fail(f->file[i].path, errno, err);
		reader_clear(&r);
		files_close(f, i);
		if (got != READER_END)
			return -1;
	}
	return 0;
}
