/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * finding - what is wrong with a log, where, and in words. Those that are
 * alike and follow each other are one finding with a range. Bounded: of very
 * many only the number is kept.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf;

#define FINDINGS_MAX 1000

enum finding_kind {
	FINDING_MALFORMED,     /* detail: why it is no line of the log */
	FINDING_EDITED,        /* the hash does not fit */
	FINDING_HASH_ALTERED,  /* ... and the line after it says what it was */
	FINDING_MISSING,       /* seq..seq_to, in front of the line */
	FINDING_CUT,           /* the same, at the end of a file; the next one
	                        * or the file's name tells */
	FINDING_FILE_MISSING,  /* the same, in front of the first line */
	FINDING_MOVED,         /* not in its place */
	FINDING_DUPLICATE,     /* the same line again; other: the first one */
	FINDING_SECOND,        /* another line of this number; other: that */
	FINDING_REPEATED,      /* a number that was passed long ago */
	FINDING_REWRITTEN,     /* numbers are missing and the hashes fit */
	FINDING_BAD_SIGNATURE, /* other_seq: the last good checkpoint */
	FINDING_UNKNOWN_KEY,   /* detail: its id */
	FINDING_BAD_CHECKPOINT, /* detail: what is wrong with its form */
	FINDING_ANCHOR_CUT,    /* detail: where the anchor is from */
	FINDING_ANCHOR_DIFFERS,
	FINDING_ANCHOR_MISSING,
	FINDING_KINDS
};

struct finding {
	enum finding_kind kind;
	const char *file; /* borrowed: paths outlive findings */
	uint64_t line, line_to;
	uint64_t seq, seq_to;
	uint64_t n;   /* lines, or checkpoints, of this kind */
	bool gone;    /* explained by others: does not count */
	const char *other_file;
	uint64_t other_line, other_seq;
	char detail[96];
};

struct findings {
	struct finding *list;
	size_t n;
	uint64_t more; /* not kept */
};

void findings_clear(struct findings *f);
/* A copy of one, or the newest one extended by it. NULL: there are too many,
 * it was counted only. The pointer is good until the next call. */
struct finding *findings_add(struct findings *f, const struct finding *one);
/* How many count. */
uint64_t findings_count(const struct findings *f);

/* "edited" */
const char *finding_name(enum finding_kind kind);
/* "FILE:LINE: seq N: ...", without a line end. */
void finding_add_text(const struct finding *one, struct strbuf *out);
void finding_add_json(const struct finding *one, struct strbuf *out);
