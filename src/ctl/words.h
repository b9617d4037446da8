/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * words - a command line as words, and a file of options as a command line,
 * without a shell: nothing is expanded, substituted or executed.
 */
#include <stddef.h>

struct tb_error;

struct words {
	char **v; /* ends with NULL */
	size_t n;
};

#define WORDS_INIT { NULL, 0 }

void words_clear(struct words *w);
void words_add(struct words *w, const char *word);

/* Blanks separate; '...' and "..." keep them, \ keeps the next character (not
 * in '...'). TB_E_BADREQ: a quote without its end, or no word at all. */
int words_split(const char *line, struct words *out, struct tb_error *err);

/* "option = value" per line, # and ; begin comments, "option = yes" is a flag
 * of that name, "option = no" nothing. Appends --option=value or --option.
 * file is for errors. */
int words_from_options(const char *file, const char *text, struct words *out,
    struct tb_error *err);
