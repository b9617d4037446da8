/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * eventlog - the lines of the audit log that are events: what somebody may
 * want to be told, and not only look up. Finds them in what is written and,
 * for who was away, in the files. Of the writer thread, and pure but for the
 * reading, which is in slices of a bounded size: nobody waits long behind one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct tb_error;

#define EVENTLOG_SLICE_BYTES ((size_t)256 << 10)
#define EVENTLOG_SLICE_EVENTS 32

struct eventlog_slice {
	uint64_t after; /* the caller's: what is behind this line */
	/* the answer */
	struct strbuf lines; /* those that are events, each with its newline */
	size_t n;
	uint64_t seen;   /* every line up to this one was looked at */
	uint64_t gap_to; /* lines up to this one are not there; 0: all are */
};

/* Does this line (its newline may follow) record an event? Its seq. */
bool eventlog_is_event(const char *line, size_t len);
/* 0: that is no line of ours. */
uint64_t eventlog_seq(const char *line, size_t len);

/* Appends those of text (whole lines) that are events. */
void eventlog_pick(const char *text, size_t len, struct strbuf *out);

/* Fills s from the files in dirfd, of which line `until` is the last that is
 * durable. s->seen is beyond s->after when there was anything. */
int eventlog_read(int dirfd, uint64_t until, struct eventlog_slice *s,
    struct tb_error *err);
