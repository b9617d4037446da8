/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * opt - options and arguments of one command, from a table. Pure: it prints
 * nothing. Own, because getopt_long(3) prints its errors itself, takes
 * abbreviations (which then can never be made ambiguous), and knows neither
 * durations nor the nearest spelling.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tb_error;

enum opt_kind {
	OPT_FLAG,
	OPT_TEXT,
	OPT_DURATION, /* number is milliseconds */
	OPT_NUMBER,   /* not negative */
	OPT_LIST,     /* OPT_TEXT that may be repeated; one of them a table */
};

struct opt_spec {
	const char *name; /* without "--" */
	char letter;      /* 0: has none */
	enum opt_kind kind;
	const char *arg;  /* what the help calls its value */
	const char *help;
};

struct opt_value {
	bool set;
	const char *text; /* borrowed from argv */
	int64_t number;
};

#define OPT_MAX 24
#define OPT_ARGS_MAX 256
#define OPT_LIST_MAX 64

struct opt_result {
	struct opt_value value[OPT_MAX]; /* as the table */
	const char *arg[OPT_ARGS_MAX];   /* what is no option */
	size_t n_args;
	const char *list[OPT_LIST_MAX];  /* of the OPT_LIST option */
	size_t n_list;
	int rest; /* index in argv of what stands behind "--" */
};

/* Reads argv[first..argc). "--" ends the options; what stands behind it is
 * argument too, or is left to the caller as `rest` when split is set (rest is
 * argc when there was none). TB_E_BADREQ with the text for the user. */
int opt_parse(const struct opt_spec *specs, size_t n_specs, int argc,
    char *const *argv, int first, bool split, struct opt_result *out,
    struct tb_error *err);

/* The word that was probably meant, or NULL. words ends with NULL. */
const char *opt_nearest(const char *word, const char *const *words);
