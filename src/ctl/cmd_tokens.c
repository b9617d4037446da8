/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokens - the inventory: of each token its generations, who holds them, what
 * was complained of last, and which human it hangs on.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/inventory.h"
#include "ctl/jval.h"
#include "ctl/phrase.h"

enum { TOKENS_JSON, N_TOKENS };
static const struct opt_spec tokens_opts[N_TOKENS] = {
	{ "json", 0, OPT_FLAG, NULL, "the daemon's answer as it is" },
};

struct page {
	struct term term;
	int64_t now;
	struct strbuf out;
};

static void
add_clean(struct page *p, const char *text)
{
	term_add_clean(&p->out, text ? text : "?", p->term.utf8);
}

/* "in 3d" of a time. */
static const char *
when(const struct page *p, int64_t at, char *buf)
{
	return phrase_when(at - p->now, buf, PHRASE_SIZE);
}

/* ------------------------------------------------------------------- token */

static void
add_head(struct page *p, const struct json_t *o)
{
	int64_t generation = jval_int(o, "generation", 0);
	const char *why = jval_str(o, "last_error");

	strbuf_adds(&p->out, term_on(&p->term, TERM_BOLD));
	add_clean(p, jval_name(o));
	strbuf_adds(&p->out, term_off(&p->term));
	strbuf_adds(&p->out, ": ");
	add_clean(p, jval_str(o, "state"));
	if (generation)
		strbuf_addf(&p->out, ", #%" PRId64 " is released", generation);
	strbuf_adds(&p->out, ", backend ");
	add_clean(p, jval_str(o, "backend"));
	strbuf_addc(&p->out, '\n');
	if (why) {
		strbuf_adds(&p->out, "  last error: ");
		add_clean(p, why);
		strbuf_addc(&p->out, '\n');
	}
}

static void
add_human_due(struct page *p, const struct json_t *o, const char *login)
{
	int64_t at = jval_time(o, "needed_at");
	int64_t before = jval_time(o, "not_needed_before");
	char buf[PHRASE_SIZE];

	if (at && at <= p->now)
		strbuf_addf(&p->out, "%sa human is needed NOW%s",
		    term_on(&p->term, TERM_RED), term_off(&p->term));
	else if (at)
		strbuf_addf(&p->out, "a human is needed %s",
		    when(p, at, buf));
	else if (before > p->now)
		strbuf_addf(&p->out, "when a human is needed is not known, "
		    "not within %s", phrase_left(before - p->now, buf,
		    sizeof(buf)));
	else
		strbuf_adds(&p->out, "when a human is needed is not known");
	if (at && at <= p->now && login) {
		strbuf_adds(&p->out, ": tokenbrokerctl login ");
		add_clean(p, login);
	}
	strbuf_addc(&p->out, '\n');
}

static void
add_human(struct page *p, const struct json_t *o)
{
	const char *login = jval_str(o, "login");
	const char *human = jval_str(o, "human");
	const char *import = jval_str(o, "import");

	if (!login && !import) {
		strbuf_adds(&p->out, "  hangs on no login\n");
		return;
	}
	strbuf_adds(&p->out, login ? "  hangs on login " :
	    "  hangs on whoever imports ");
	add_clean(p, login ? login : import);
	if (human) {
		strbuf_adds(&p->out, ", ");
		add_clean(p, human);
	}
	strbuf_adds(&p->out, "\n  ");
	add_human_due(p, o, login);
}

static const char *
outcome_text(const char *outcome)
{
	static const struct { const char *word, *text; } t[] = {
		{ "pending", "the broker is looking for itself" },
		{ "refused", "the service refuses it to the broker, too" },
		{ "works", "it works for the broker" },
		{ "unclear", "the broker's own look was not clear" },
		{ "not_probed", "the broker could not look for itself" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (streq(outcome, t[i].word))
			return t[i].text;
	return outcome ? outcome : "?";
}

static void
add_rejection(struct page *p, const struct json_t *o)
{
	char buf[PHRASE_SIZE];

	if (!o)
		return;
	strbuf_addf(&p->out, "  last rejection: #%" PRId64 ", by ",
	    jval_int(o, "generation", 0));
	add_clean(p, jval_str(o, "by"));
	strbuf_addf(&p->out, ", %s\n     ", when(p, jval_time(o, "at"), buf));
	add_clean(p, outcome_text(jval_str(o, "outcome")));
	strbuf_addc(&p->out, '\n');
}

/* -------------------------------------------------------------- generation */

static enum term_colour
colour_of(const char *state, bool superseded)
{
	if (superseded)
		return TERM_DIM;
	return streq(state, "ready") ? TERM_GREEN :
	    streq(state, "rejected") ? TERM_RED : TERM_YELLOW;
}

static void
add_generation(struct page *p, const struct json_t *g, int64_t current,
    int64_t renew)
{
	int64_t number = jval_int(g, "generation", 0);
	int64_t expires = jval_time(g, "expires_at");
	int64_t since = jval_time(g, "superseded_at");
	const char *state = jval_str(g, "state"), *id = jval_str(g, "token_id");
	const char *why = jval_str(g, "kept_because");
	char buf[PHRASE_SIZE];

	strbuf_addf(&p->out, "  #%" PRId64 " %s", number,
	    term_on(&p->term, colour_of(state, since != 0)));
	add_clean(p, since ? "superseded" : state);
	strbuf_adds(&p->out, term_off(&p->term));
	if (since)
		strbuf_addf(&p->out, " %s", when(p, since, buf));
	strbuf_addf(&p->out, ", %s %s", expires < p->now ? "expired" :
	    "expires", when(p, expires, buf));
	if (number == current && renew)
		strbuf_addf(&p->out, ", renewed %s", renew <= p->now ? "now" :
		    when(p, renew, buf));
	if (id) {
		strbuf_adds(&p->out, "\n     id ");
		add_clean(p, id);
	}
	strbuf_addc(&p->out, '\n');
	inventory_add_holders(&p->out, g, p->now, p->term.utf8);
	if (why) {
		strbuf_adds(&p->out, "     kept: ");
		add_clean(p, why);
		strbuf_addc(&p->out, '\n');
	}
}

static void
add_token(struct page *p, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o, "generations"),
	    "generations");

	if (p->out.len)
		strbuf_addc(&p->out, '\n');
	add_head(p, o);
	add_human(p, jval_get(o, "depends_on"));
	add_rejection(p, jval_get(o, "last_rejection"));
	for (size_t i = 0; i < jval_size(list); i++)
		add_generation(p, jval_at(list, i),
		    jval_int(o, "generation", 0), jval_time(o, "renew_at"));
}

/* ----------------------------------------------------------------- command */

/* Those that were named, in that order. */
static void
print_json(const struct json_t *const *tokens, size_t n)
{
	printf("{\"tokens\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			printf(",");
		jval_print(tokens[i], stdout);
	}
	printf("]}\n");
}

static void
print_page(const struct json_t *const *tokens, size_t n)
{
	struct page p = { .now = now_real_s(), .out = STRBUF_INIT };

	term_init(&p.term, STDOUT_FILENO);
	for (size_t i = 0; i < n; i++)
		add_token(&p, tokens[i]);
	if (n == 0)
		strbuf_adds(&p.out, "No token is configured.\n");
	fputs(strbuf_str(&p.out), stdout);
	strbuf_clear(&p.out);
}

static enum ctl_exit
do_tokens(struct ctl *ctl, const struct args *args)
{
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct json_t *answer _cleanup_jval_ = NULL;
	const struct json_t **tokens _cleanup_free_ = NULL, *list;
	enum ctl_exit e = inventory_ask(ctl, &r, &answer);
	size_t n = args->n_args;

	if (e != CTL_OK)
		return e;
	if (args->opt[TOKENS_JSON].set && n == 0)
		return ctl_write(ctl, &r.body, true);
	list = jval_list(answer, "tokens");
	tokens = xcalloc(MAX2(n, jval_size(list)) + 1, sizeof(*tokens));
	for (size_t i = 0; i < n; i++) {
		tokens[i] = inventory_must_have(ctl, answer, args->arg[i], &e);
		if (!tokens[i])
			return e;
	}
	if (n == 0)
		for (; n < jval_size(list); n++)
			tokens[n] = jval_at(list, n);
	if (args->opt[TOKENS_JSON].set)
		print_json(tokens, n);
	else
		print_page(tokens, n);
	return CTL_OK;
}

const struct command cmd_tokens = {
	.name = "tokens", .synopsis = "[--json] [NAME...]",
	.summary = "The inventory: generations, who holds them, whom they "
	    "hang on",
	.help = "Holders are units, or uids where there is no unit that can "
	    "be relied upon.\n\"static\": it was started with that value, or "
	    "keeps it while it runs; \"kept\":\nin a file, or somewhere "
	    "unknown; \"has #N\": was given a newer one since;\n\"ended\": "
	    "that run of the unit is over. Operators and auditors may ask.",
	.opts = tokens_opts, .n_opts = N_TOKENS, .max_args = OPT_ARGS_MAX,
	.names = COMPLETE_ALL_TOKENS, .fn = do_tokens,
};
