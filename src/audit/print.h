/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * print - lines of the log for people (a table, a row a line, 80 columns on a
 * terminal), for spreadsheets (RFC 4180), or as they are.
 */
#include <stdbool.h>
#include <stddef.h>

#include "ctl/term.h"

struct scan;

enum print_format { PRINT_JSON, PRINT_TABLE, PRINT_CSV };

struct print {
	enum print_format format;
	bool local; /* times of a table in this host's zone, not in UTC */
	bool headed;
	struct term term;
};

void print_init(struct print *p, enum print_format format, bool local);
/* The heading, if there is one and it was not printed yet. */
void print_heading(struct print *p);
void print_line(struct print *p, const char *line, size_t len,
    const struct scan *scan);

/* "2026-11-22 17:20:33Z", or local without the Z; "-" for 0. Returns buf. */
#define PRINT_TIME_SIZE 32
const char *print_time(int64_t epoch_s, bool local, char *buf);
