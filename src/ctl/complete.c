/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete - see the header. What the value of an option can be is told by what
 * the help calls it: FILE, PATH and DIR are files, TOKEN and TEMPLATE names,
 * and "a|b|c" is a choice.
 */
#include "ctl/complete.h"

#include "base/util.h"

/* Where the reader of the words stands. */
struct place {
	const struct complete_row *row; /* NULL: before the command's name */
	const struct opt_spec *value_of; /* the word is its value */
	const char *run_dir;
	size_t behind; /* the index behind the command's name */
	size_t dashes; /* the index behind "--", 0: none so far */
	size_t n_args;
};

void
complete_add(struct strbuf *out, const char *before, const char *name,
    const char *description, const char *word)
{
	size_t n = strlen(before);
	const char *s;

	if (strncmp(before, word, MIN2(n, strlen(word))) != 0 ||
	    (strlen(word) > n && strncmp(name, word + n, strlen(word) - n) !=
	    0))
		return;
	/* a name from elsewhere that could be taken for something else */
	for (s = name; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return;
	strbuf_addf(out, "%s%s\t%s\n", before, name, description);
}

static const struct opt_spec *
find_in(const struct opt_spec *opts, size_t n_opts, const char *name, size_t n)
{
	size_t i;

	for (i = 0; i < n_opts; i++)
		if (strlen(opts[i].name) == n &&
		    strncmp(opts[i].name, name, n) == 0)
			return &opts[i];
	return NULL;
}

/* word begins with '-'. NULL: it is none that we know. */
static const struct opt_spec *
find_option(const struct complete *c, const struct complete_row *row,
    const char *word)
{
	const struct opt_spec *o;
	size_t i, n = strcspn(word, "=") - 2;

	if (word[1] == '-') {
		o = find_in(c->common, c->n_common, word + 2, n);
		return o || !row ? o : find_in(row->opts, row->n_opts,
		    word + 2, n);
	}
	/* "-f" alone: with more behind it the value is in the same word */
	for (i = 0; row && i < row->n_opts; i++)
		if (row->opts[i].letter && row->opts[i].letter == word[1] &&
		    !word[2])
			return &row->opts[i];
	return NULL;
}

static const struct complete_row *
find_row(const struct complete *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n_rows; i++)
		if (streq(c->rows[i].name, name))
			return &c->rows[i];
	return NULL;
}

/* One word that is complete. False: it makes no sense. */
static bool
take_word(const struct complete *c, struct place *p, const char *word,
    size_t i)
{
	const struct opt_spec *o;

	if (p->value_of) {
		if (streq(p->value_of->name, "run-dir"))
			p->run_dir = word;
		p->value_of = NULL;
	} else if (streq(word, "--") && p->row) {
		p->dashes = i + 1;
	} else if (word[0] == '-' && word[1]) {
		o = find_option(c, p->row, word);
		if (o && o->kind != OPT_FLAG && !strchr(word, '='))
			p->value_of = o;
		else if (o && streq(o->name, "run-dir"))
			p->run_dir = strchr(word, '=') + 1;
	} else if (!p->row) {
		p->row = find_row(c, word);
		p->behind = i + 1;
		return p->row != NULL;
	} else {
		p->n_args++;
	}
	return true;
}

/* ---------------------------------------------------------------- candidates */

static void
add_names(const struct complete *c, const struct place *p,
    enum complete_what what, const char *before, const char *word,
    struct strbuf *out)
{
	if (what == COMPLETE_FILES || what == COMPLETE_TEMPLATES)
		strbuf_adds(out, ":files\n");
	if (what != COMPLETE_FILES && what != COMPLETE_NOTHING && c->names)
		c->names(what, p->run_dir, before, word, out);
}

/* "raw|json": each of them. */
static void
add_choice(const char *choice, const char *before, const char *word,
    struct strbuf *out)
{
	size_t n;

	for (;; choice += n + 1) {
		n = strcspn(choice, "|");
		_cleanup_free_ char *one = xstrndup(choice, n);
		complete_add(out, before, one, "", word);
		if (!choice[n])
			break;
	}
}

static void
add_value(const struct complete *c, const struct place *p,
    const struct opt_spec *o, const char *before, const char *word,
    struct strbuf *out)
{
	static const struct {
		const char *arg;
		enum complete_what what;
	} known[] = {
		{ "FILE", COMPLETE_FILES }, { "PATH", COMPLETE_FILES },
		{ "DIR", COMPLETE_FILES }, { "FILE[:SIGNAL]", COMPLETE_FILES },
		{ "TOKEN", COMPLETE_TOKENS }, { "TEMPLATE", COMPLETE_TEMPLATES },
	};
	size_t i;

	if (strchr(o->arg, '|')) {
		add_choice(o->arg, before, word, out);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (streq(known[i].arg, o->arg))
			add_names(c, p, known[i].what, before, word, out);
}

static void
add_options(const struct opt_spec *opts, size_t n, const char *word,
    struct strbuf *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		complete_add(out, "--", opts[i].name, opts[i].help, word);
}

static void
add_argument(const struct complete *c, const struct place *p,
    const char *word, struct strbuf *out)
{
	const char *equals = strchr(word, '=');
	_cleanup_free_ char *before = NULL;

	if (p->row->args != COMPLETE_VARIABLES) {
		add_names(c, p, p->row->args, "", word, out);
	} else if (equals) {
		before = xstrndup(word, (size_t)(equals - word) + 1);
		add_names(c, p, COMPLETE_TOKENS, before, word, out);
	}
}

static void
add_commands(const struct complete *c, const char *word, struct strbuf *out)
{
	size_t i;

	for (i = 0; i < c->n_rows; i++)
		complete_add(out, "", c->rows[i].name, c->rows[i].summary,
		    word);
}

/* The last word. */
static void
add_candidates(const struct complete *c, const struct place *p,
    const char *word, size_t i, struct strbuf *out)
{
	const char *equals = strchr(word, '=');
	const struct opt_spec *o;
	_cleanup_free_ char *before = NULL;

	if (p->dashes && p->row->splits) {
		strbuf_adds(out, i == p->dashes ? ":commands\n" : ":files\n");
	} else if (p->value_of) {
		add_value(c, p, p->value_of, "", word, out);
	} else if (word[0] == '-' && word[1] == '-' && equals && !p->dashes) {
		o = find_option(c, p->row, word);
		before = xstrndup(word, (size_t)(equals - word) + 1);
		if (o && o->kind != OPT_FLAG)
			add_value(c, p, o, before, word, out);
	} else if (word[0] == '-' && !p->dashes) {
		if (p->row)
			add_options(p->row->opts, p->row->n_opts, word, out);
		add_options(c->common, c->n_common, word, out);
	} else if (p->row) {
		add_argument(c, p, word, out);
	} else {
		add_commands(c, word, out);
	}
}

size_t
complete_words(const struct complete *c, const char *const *words, size_t n,
    struct strbuf *out)
{
	struct place p = { .row = NULL };
	size_t i;

	if (n == 0)
		return 0;
	for (i = 0; i < n - 1; i++) {
		if (p.dashes)
			continue;
		if (!take_word(c, &p, words[i], i))
			return 0;
		if (p.row && p.row->raw)
			return p.behind;
	}
	add_candidates(c, &p, words[i], i, out);
	return 0;
}
