/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * verify - is this log the one that was written? Fed with lines, in order;
 * constant memory. Goes on after a break, so that all of them are found.
 *
 * What is checked: the form of each line, that its number is one more than
 * that of the line before, that its hash follows from that line's hash and its
 * own bytes, the signature of each checkpoint, and that each anchor is there.
 * A line's number says where it belongs; so an edited line (the number goes
 * on, the hash does not fit), a dropped one (the number jumps), a moved and a
 * duplicated one (it goes back) are told from each other. A window of the
 * last VERIFY_WINDOW lines is remembered for that.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/finding.h"
#include "audit/scan.h"

struct anchors;
struct keys;
struct tb_error;
struct verify;

#define VERIFY_WINDOW 32768u

enum verify_status {
	VERIFY_GOOD = 0,
	VERIFY_BROKEN = 1,
	VERIFY_USAGE = 2, /* here for the commands' exit status */
	VERIFY_UNKNOWN = 3,
};

struct verify_sum {
	uint64_t files, lines, bytes;
	uint64_t first_seq, last_seq;
	uint64_t ignored;     /* behind the end of a condemned file */
	uint64_t checkpoints, good;
	uint64_t unchecked;   /* checkpoints: no key, or no line before */
	uint64_t signed_seq;  /* the last good checkpoint; 0: none */
	uint64_t lost;        /* records the daemon says it could not write */
	uint64_t torn_bytes;  /* behind the last line of the last file */
	uint64_t anchors, anchors_found, anchors_older;
	char key[17];         /* of the last good checkpoint */
	bool first_unchecked; /* the line before the first one is not here */
};

/* keys and anchors (may be NULL) are borrowed. */
struct verify *verify_new(struct keys *keys, struct anchors *anchors,
    struct tb_error *err);
void verify_free(struct verify *v);

/* The next file; name is borrowed. last_seq: see files.h. */
void verify_file(struct verify *v, const char *name, uint64_t last_seq);

enum verify_line {
	VERIFY_COUNTS,  /* scan holds it */
	VERIFY_IGNORED, /* behind the end of a condemned file */
	VERIFY_NO_LINE,
};
/* len over SCAN_LINE_MAX: line is not looked at. */
enum verify_line verify_line(struct verify *v, const char *line, size_t len,
    struct scan *scan);
/* The file ended with bytes that are no whole line; last: of the last file,
 * where that is nothing bad. */
void verify_rest(struct verify *v, size_t bytes, bool last);
/* This very line was seen, not too long ago. */
bool verify_knows(struct verify *v, const struct scan *scan);
/* No more lines: what only the end can tell. */
void verify_end(struct verify *v);

const struct verify_sum *verify_sum(const struct verify *v);
const struct findings *verify_findings(const struct verify *v);
/* After verify_end. */
enum verify_status verify_status(const struct verify *v);
