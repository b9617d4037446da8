/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * reader - a file as lines, however large it is: one buffer, and what is
 * longer than any line of ours is skipped and said so. A file that grows can
 * be asked again after its end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
	int fd; /* borrowed */
	char *buf;
	size_t start, end;
	bool skipping; /* the rest of a line that was too long */
};

enum reader_got {
	READER_LINE,
	READER_LONG,  /* a whole line, too long to be looked at */
	READER_END,   /* nothing more, now */
	READER_FAILED /* errno */
};

void reader_init(struct reader *r, int fd);
void reader_clear(struct reader *r);

/* The next line without its newline, until the next call. */
enum reader_got reader_next(struct reader *r, const char **line, size_t *len);
/* At the end: bytes behind the last newline. */
size_t reader_rest(const struct reader *r);
/* Gives them back to the file, which must be seekable: what stands there may
 * be cut off, and be written anew. */
void reader_unread(struct reader *r);
