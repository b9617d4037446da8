/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * term - what the terminal can do, text that is safe to show on it, and
 * questions to the person before it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/secret.h"
#include "base/strbuf.h"

struct tb_error;

enum term_colour {
	TERM_PLAIN,
	TERM_BOLD,
	TERM_DIM,
	TERM_GREEN,
	TERM_YELLOW,
	TERM_RED,
};

struct term {
	bool is_terminal;
	bool moves;  /* a terminal, not "dumb": knows escape sequences */
	bool colour; /* it does, and NO_COLOR is not set */
	bool utf8;
	unsigned columns, rows; /* 80 and 24 when nobody says */
};

/* Of the file behind fd. */
void term_init(struct term *t, int fd);
/* What setlocale(3) would find, but also right on hosts where the locale that
 * ssh carried over is not installed: the terminal is UTF-8 all the same. */
bool term_is_utf8(const char *lc_all, const char *lc_ctype, const char *lang);

/* s with all that could move the cursor or reorder text made harmless. s may
 * come from anywhere and must be UTF-8; what is not becomes '?'. */
void term_add_clean(struct strbuf *b, const char *s, bool utf8);
/* Cleaned text, broken at spaces so that it stays within the columns, of which
 * `used` are taken on its first line; the next ones begin behind `indent`. */
void term_add_folded(struct strbuf *b, const char *text, unsigned columns,
    unsigned used, unsigned indent);
/* Columns that cleaned text takes: code points. */
size_t term_width(const char *s);

/* Escape sequences, "" without colour. */
const char *term_on(const struct term *t, enum term_colour c);
const char *term_off(const struct term *t);

/* A person can be asked: standard input is a terminal. */
bool term_can_ask(void);
/* "question [y/N] " on stderr; only "y" and "yes" are a yes. */
bool term_ask(const char *question);
bool term_answer_is_yes(const char *line);

/* One secret from standard input; on a terminal after the prompt and without
 * echo. One line end at its end is dropped. */
int term_read_secret(const char *prompt, size_t cap, struct secret *out,
    struct tb_error *err);
