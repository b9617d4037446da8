/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * complete - what a command line can go on with, from the same tables that are
 * used to read it. The shells' own files (completions/) only pass words in and
 * lines out:
 *
 *	WORD <tab> DESCRIPTION     a candidate for the last word, whole
 *	:files                     names of files, too
 *	:commands                  names of programs
 *
 * Pure but for the names of tokens and logins, which the caller knows.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "ctl/opt.h"

enum complete_what {
	COMPLETE_NOTHING,
	COMPLETE_FILES,
	COMPLETE_TOKENS,       /* those that we may have */
	COMPLETE_ALL_TOKENS,   /* as an operator sees them */
	COMPLETE_LOGINS,
	COMPLETE_TEMPLATES,
	COMPLETE_VARIABLES,    /* VARIABLE=TOKEN */
};

struct complete_row {
	const char *name, *summary;
	const struct opt_spec *opts;
	size_t n_opts;
	enum complete_what args;
	bool splits; /* what stands behind "--" is a command */
	bool raw;    /* what stands behind the name is another program's */
};

/* Adds every name with complete_add(). run_dir: of --run-dir, or NULL. */
typedef void complete_names_fn(enum complete_what what, const char *run_dir,
    const char *before, const char *word, struct strbuf *out);

struct complete {
	const struct complete_row *rows;
	size_t n_rows;
	const struct opt_spec *common;
	size_t n_common;
	complete_names_fn *names; /* or NULL */
};

/* words[0..n): those behind the program's name, the last one (perhaps "") is
 * to be completed. The index behind the name of a raw command is returned, and
 * nothing is added; else 0. */
size_t complete_words(const struct complete *c, const char *const *words,
    size_t n, struct strbuf *out);

/* One candidate, before + name, if it goes on from word. */
void complete_add(struct strbuf *out, const char *before, const char *name,
    const char *description, const char *word);
