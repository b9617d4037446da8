/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opt - see the header.
 */
#include "ctl/opt.h"

#include "base/tb_error.h"
#include "base/timefmt.h"
#include "base/util.h"

#define WORD_MAX 32

/* Levenshtein's distance; words longer than WORD_MAX are infinitely far. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], n = strlen(b), i, j, diagonal, above;

	if (n > WORD_MAX || strlen(a) > WORD_MAX)
		return SIZE_MAX;
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		diagonal = row[0];
		row[0] = i;
		for (j = 1; j <= n; j++) {
			above = row[j];
			row[j] = MIN2(diagonal + (a[i - 1] != b[j - 1]),
			    MIN2(above, row[j - 1]) + 1);
			diagonal = above;
		}
	}
	return row[n];
}

const char *
opt_nearest(const char *word, const char *const *words)
{
	const char *best = NULL;
	size_t d, best_d = SIZE_MAX;

	for (; *words; words++) {
		d = distance(word, *words);
		if (d < best_d) {
			best_d = d;
			best = *words;
		}
	}
	/* One slip in a short word, two in a longer one. */
	return best_d <= (strlen(word) > 4 ? 2u : 1u) ? best : NULL;
}

static int
unknown_option(const struct opt_spec *specs, size_t n_specs, const char *name,
    struct tb_error *err)
{
	const char *words[OPT_MAX + 1] = { NULL }, *near;
	size_t i;

	for (i = 0; i < n_specs; i++)
		words[i] = specs[i].name;
	near = opt_nearest(name, words);
	if (near)
		return tb_error_set(err, TB_E_BADREQ, "unknown option "
		    "'--%.60s'; did you mean '--%s'?", name, near);
	return tb_error_set(err, TB_E_BADREQ, "unknown option '--%.60s'", name);
}

static int
take_value(const struct opt_spec *spec, const char *text,
    struct opt_value *out, struct tb_error *err)
{
	char *end;

	switch (spec->kind) {
	case OPT_FLAG:
	case OPT_TEXT:
	case OPT_LIST:
		break;
	case OPT_DURATION:
		if (!timefmt_parse_duration(text, &out->number))
			return tb_error_set(err, TB_E_BADREQ, "--%s: '%.40s' "
			    "is no duration; write for example 90s, 5m, 6h "
			    "or 7d", spec->name, text);
		break;
	case OPT_NUMBER:
		out->number = strtoll(text, &end, 10);
		if (*text < '0' || *text > '9' || *end ||
		    strlen(text) > 18)
			return tb_error_set(err, TB_E_BADREQ,
			    "--%s: '%.40s' is no number", spec->name, text);
		break;
	}
	out->set = true;
	out->text = text;
	return 0;
}

struct reader {
	const struct opt_spec *specs;
	size_t n_specs;
	int argc;
	char *const *argv;
	int next;
	struct opt_result *out;
};

/* inline_value: what stood behind "=" or directly behind the letter. */
static int
take_option(struct reader *r, size_t i, const char *inline_value,
    struct tb_error *err)
{
	const struct opt_spec *spec = &r->specs[i];
	const char *text = inline_value;

	if (r->out->value[i].set && spec->kind != OPT_FLAG &&
	    spec->kind != OPT_LIST)
		return tb_error_set(err, TB_E_BADREQ, "--%s is given twice",
		    spec->name);
	if (spec->kind == OPT_FLAG && inline_value)
		return tb_error_set(err, TB_E_BADREQ, "--%s takes no value",
		    spec->name);
	if (spec->kind != OPT_FLAG && !text) {
		if (r->next >= r->argc)
			return tb_error_set(err, TB_E_BADREQ,
			    "--%s needs a value: %s", spec->name, spec->arg);
		text = r->argv[r->next++];
	}
	if (spec->kind == OPT_LIST && r->out->n_list == OPT_LIST_MAX)
		return tb_error_set(err, TB_E_BADREQ, "--%s is given more "
		    "than %d times", spec->name, OPT_LIST_MAX);
	if (spec->kind == OPT_LIST)
		r->out->list[r->out->n_list++] = text;
	return take_value(spec, text, &r->out->value[i], err);
}

static int
take_long(struct reader *r, const char *word, struct tb_error *err)
{
	char name[64];
	const char *equals = strchr(word, '=');
	size_t i;

	snprintf(name, sizeof(name), "%.*s", equals ? (int)(equals - word) :
	    (int)strlen(word), word);
	for (i = 0; i < r->n_specs; i++)
		if (strcmp(r->specs[i].name, name) == 0)
			return take_option(r, i, equals ? equals + 1 : NULL,
			    err);
	return unknown_option(r->specs, r->n_specs, name, err);
}

/* "-n", "-nv", "-oFILE" */
static int
take_letters(struct reader *r, const char *letters, struct tb_error *err)
{
	size_t i;

	for (; *letters; letters++) {
		for (i = 0; i < r->n_specs; i++)
			if (r->specs[i].letter == *letters)
				break;
		if (i == r->n_specs)
			return tb_error_set(err, TB_E_BADREQ,
			    "unknown option '-%c'", *letters);
		if (r->specs[i].kind != OPT_FLAG)
			return take_option(r, i, letters[1] ? letters + 1 :
			    NULL, err);
		if (take_option(r, i, NULL, err) < 0)
			return -1;
	}
	return 0;
}

static int
take_arg(struct reader *r, const char *word, struct tb_error *err)
{
	if (r->out->n_args == OPT_ARGS_MAX)
		return tb_error_set(err, TB_E_BADREQ,
		    "more than %d arguments", OPT_ARGS_MAX);
	r->out->arg[r->out->n_args++] = word;
	return 0;
}

int
opt_parse(const struct opt_spec *specs, size_t n_specs, int argc,
    char *const *argv, int first, bool split, struct opt_result *out,
    struct tb_error *err)
{
	struct reader r = { specs, n_specs, argc, argv, first, out };
	const char *word;
	int failed = 0;

	*out = (struct opt_result){ .rest = argc };
	while (failed == 0 && r.next < argc) {
		word = argv[r.next++];
		if (strcmp(word, "--") == 0) {
			out->rest = r.next;
			break;
		}
		if (word[0] == '-' && word[1] == '-')
			failed = take_long(&r, word + 2, err);
		else if (word[0] == '-' && word[1])
			failed = take_letters(&r, word + 1, err);
		else
			failed = take_arg(&r, word, err);
	}
	for (; failed == 0 && !split && out->rest < argc; out->rest++)
		failed = take_arg(&r, argv[out->rest], err);
	return failed;
}
