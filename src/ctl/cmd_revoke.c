/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke - a token by its name, or all, or what somebody was given. The last
 * is read from the audit log (by tokenbroker-audit), which knows every release;
 * the daemon is then asked to revoke generation by generation. Before anything
 * is done it is said whom it hits: a generation that several hold dies for all.
 */
#include <inttypes.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/helper.h"
#include "ctl/inventory.h"
#include "ctl/phrase.h"
#include "ctl/term.h"

enum { REVOKE_GENERATION, REVOKE_ALL, REVOKE_YES, REVOKE_UNIT, REVOKE_USER, REVOKE_LOGIN,
	REVOKE_SINCE, REVOKE_DRY_RUN, REVOKE_LOG_DIR, N_REVOKE };
static const struct opt_spec revoke_opts[N_REVOKE] = {
	{ "generation", 0, OPT_NUMBER, "N", "this one only, not all" },
	{ "all", 0, OPT_FLAG, NULL, "every token of this daemon" },
	{ "yes", 'y', OPT_FLAG, NULL, "do not ask" },
	{ "unit", 0, OPT_TEXT, "PATTERN", "what this systemd unit was given" },
	{ "user", 0, OPT_TEXT, "USER", "what this user was given" },
	{ "login", 0, OPT_TEXT, "NAME", "what was minted on this login" },
	{ "since", 0, OPT_TEXT, "TIME", "what was given out after this" },
	{ "dry-run", 'n', OPT_FLAG, NULL, "only say what would be revoked" },
	{ "log-dir", 0, OPT_TEXT, "DIR", "where the audit log is" },
};

/* ---------------------------------------------------------- by name, or all */

struct plan {
	const struct json_t **tokens; /* NULL: it is done */
	bool *failed;
	size_t n;
};

/* What the daemon would do; of one already being revoked nothing is said. */
static size_t
add_generations(struct strbuf *b, const struct json_t *token,
    const struct opt_value *only, int64_t now)
{
	const struct json_t *list = jval_list(jval_get(token, "generations"),
	    "generations"), *g;
	char when[PHRASE_SIZE];
	size_t n = 0;

	for (size_t i = 0; i < jval_size(list); i++) {
		g = jval_at(list, i);
		if ((only->set && jval_int(g, "generation", 0) !=
		    only->number) || streq(jval_str(g, "state"), "revoking"))
			continue;
		strbuf_adds(b, "  ");
		term_add_clean(b, jval_name(token), true);
		strbuf_addf(b, " #%" PRId64 ", expires %s, held by\n",
		    jval_int(g, "generation", 0), phrase_when(jval_time(g,
		    "expires_at") - now, when, sizeof(when)));
		inventory_add_holders(b, g, now, true);
		n++;
	}
	return n;
}

/* On standard output. Returns how many generations. */
static size_t
tell_tokens(const struct plan *p, const struct opt_value *only)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	int64_t now = now_real_s();
	size_t generations = 0;

	for (size_t i = 0; i < p->n; i++)
		generations += add_generations(&b, p->tokens[i], only, now);
	if (generations)
		printf("To be revoked:\n%s", strbuf_str(&b));
	fflush(stdout);
	return generations;
}

static enum ctl_exit
revoke_token(struct ctl *ctl, const char *name,
    const struct opt_value *generation)
{
	struct secret body _cleanup_(secret_clear) = SECRET_INIT;
	_cleanup_free_ char *path = ask_path("tokens/", name, "/revoke");
	struct ask a = { .door = ASK_ADMIN, .method = "POST", .path = path,
		.timeout_ms = ASK_LONG_MS };
	struct json_t *answer _cleanup_jval_ = NULL;
	enum ctl_exit e;
	char text[64];

	if (generation->set) {
		snprintf(text, sizeof(text), "{\"generation\":%" PRId64 "}",
		    generation->number);
		secret_set_str(&body, text);
		a.body = &body;
	}
	e = ask_job(ctl, &a, &answer);
	return e == CTL_OK ? cmd_admin_tell_counts(ctl, answer) : e;
}

static bool
is_needed_to_pay(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->tokens[i] && streq(jval_str(p->tokens[i], "paid_by"),
		    name))
			return true;
	return false;
}

/* The next whose turn it is: nothing that is left is paid by it. */
static bool
next_token(const struct plan *p, size_t *out)
{
	for (size_t i = 0; i < p->n; i++) {
		*out = i;
		if (p->tokens[i] && !p->failed[i] && !is_needed_to_pay(p,
		    jval_name(p->tokens[i])))
			return true;
	}
	return false;
}

static void
tell_left(const struct ctl *ctl, const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->tokens[i] && !p->failed[i])
			ctl_complain(ctl, "'%.60s' was left as it is: what it "
			    "pays for may be alive, and is revoked by it",
			    jval_name(p->tokens[i]));
}

/* Those that are paid by others go first: without its payer nothing can be
 * revoked. */
static enum ctl_exit
revoke_in_order(struct ctl *ctl, struct plan *p,
    const struct opt_value *generation)
{
	const char *command = ctl->command;
	enum ctl_exit e = CTL_OK, one;
	size_t i;

	while (next_token(p, &i)) {
		const char *name = jval_name(p->tokens[i]);
		_cleanup_free_ char *label = xasprintf("revoke %s", name);

		ctl->command = label;
		if (p->n > 1)
			printf("%s: ", name);
		fflush(stdout);
		one = revoke_token(ctl, name, generation);
		ctl->command = command;
		if (one == CTL_OK)
			p->tokens[i] = NULL;
		else
			e = one;
		p->failed[i] = one != CTL_OK;
		if (one == CTL_DENIED || one == CTL_NO_DAEMON)
			return e;
	}
	tell_left(ctl, p);
	return e;
}

static enum ctl_exit
revoke_tokens(struct ctl *ctl, const struct args *args, struct plan *p)
{
	const struct opt_value *generation = &args->opt[REVOKE_GENERATION];
	size_t generations = tell_tokens(p, generation);
	_cleanup_free_ char *question = xasprintf("Revoke %zu generation%s? "
	    "Programs that use %s fail until they fetch a new one.",
	    generations, generations == 1 ? "" : "s",
	    generations == 1 ? "it" : "them");
	enum ctl_exit e;

	if (args->opt[REVOKE_DRY_RUN].set) {
		if (!generations)
			printf("Nothing that is alive.\n");
		return CTL_OK;
	}
	/* else the daemon says what there is: one may be under way */
	if (generations && !args->opt[REVOKE_YES].set &&
	    !ctl_is_sure(ctl, question, &e))
		return e;
	return revoke_in_order(ctl, p, generation);
}

static enum ctl_exit
revoke_by_name(struct ctl *ctl, const struct args *args)
{
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct json_t *answer _cleanup_jval_ = NULL;
	const struct json_t **tokens _cleanup_free_ = NULL, *list;
	bool *failed _cleanup_free_ = NULL;
	enum ctl_exit e = inventory_ask(ctl, &r, &answer);
	struct plan p = { .n = 1 };

	if (e != CTL_OK)
		return e;
	list = jval_list(answer, "tokens");
	p.tokens = tokens = xcalloc(jval_size(list) + 1, sizeof(*tokens));
	p.failed = failed = xcalloc(jval_size(list) + 1, sizeof(*failed));
	if (args->opt[REVOKE_ALL].set) {
		for (p.n = 0; p.n < jval_size(list); p.n++)
			tokens[p.n] = jval_at(list, p.n);
	} else {
		tokens[0] = inventory_must_have(ctl, answer, args->arg[0],
		    &e);
		if (!tokens[0])
			return e;
	}
	return revoke_tokens(ctl, args, &p);
}

/* ----------------------------------------------------------- by who has it */

struct sum {
	int64_t revoked, forgotten, failed, gone;
};

/* The answer of `audit who`, or NULL: complained. */
static struct json_t *
ask_log(struct ctl *ctl, const struct args *args, enum ctl_exit *e)
{
	static const struct { int opt; const char *name; } pass[] = {
		{ REVOKE_UNIT, "--unit" }, { REVOKE_USER, "--user" },
		{ REVOKE_LOGIN, "--login" }, { REVOKE_SINCE, "--since" },
		{ REVOKE_LOG_DIR, "--log-dir" } };
	const char *argv[2 * ARRAY_SIZE(pass) + 2 * OPT_ARGS_MAX + 5] = {
		"", "who", "--format", "json" };
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *answer = NULL;
	size_t i, n = 4;
	int status;

	for (i = 0; i < ARRAY_SIZE(pass); i++) {
		if (!args->opt[pass[i].opt].set)
			continue;
		argv[n++] = pass[i].name;
		argv[n++] = args->opt[pass[i].opt].text;
	}
	for (i = 0; i < args->n_args; i++) {
		argv[n++] = "--token";
		argv[n++] = args->arg[i];
	}
	if (helper_read(argv, &out, &status, &err) == 0)
		answer = jval_parse_text(strbuf_str(&out), out.len, &err);
	*e = status == CTL_USAGE ? CTL_USAGE : CTL_FAILED;
	if (!answer && err.code != TB_E_CANCELLED)
		ctl_complain(ctl, "%s", err.msg);
	return answer;
}

/* Others can be told from the asked-for only when a holder was asked for. */
static void
add_holder(struct strbuf *b, const struct json_t *h, bool asked, int64_t now)
{
	const char *unit = jval_str(h, "unit");
	char when[PHRASE_SIZE];

	strbuf_adds(b, asked ? "    held by  " : "    ALSO BY  ");
	if (jval_is_true(h, "container"))
		unit = "container";
	if (unit)
		term_add_clean(b, unit, true);
	strbuf_addf(b, "%suid %" PRId64 "%s, last %s\n", unit ? " (" : "",
	    jval_int(h, "uid", -1), unit ? ")" : "",
	    phrase_when(jval_time(h, "last") - now, when, sizeof(when)));
}

static void
add_target(struct strbuf *b, const struct json_t *g, int64_t now,
    size_t *others)
{
	const struct json_t *holders = jval_list(g, "holders"), *h;
	int64_t expires = jval_time(g, "expires_at");
	const char *state = jval_str(g, "state");
	char when[PHRASE_SIZE];
	size_t i;

	strbuf_adds(b, "  ");
	term_add_clean(b, jval_str(g, "token"), true);
	strbuf_addf(b, " #%" PRId64, jval_int(g, "generation", 0));
	if (expires)
		strbuf_addf(b, ", expires %s", phrase_when(expires - now,
		    when, sizeof(when)));
	if (streq(state, "revoking"))
		strbuf_adds(b, ": being revoked already");
	else if (streq(state, "forgotten"))
		strbuf_adds(b, ": lives to its expiry, its service cannot "
		    "revoke");
	strbuf_addc(b, '\n');
	for (i = 0; i < jval_size(holders); i++) {
		h = jval_at(holders, i);
		add_holder(b, h, jval_is_true(h, "matched"), now);
		*others += !jval_is_true(h, "matched");
	}
}

static bool
is_target(const struct json_t *g)
{
	return streq(jval_str(g, "state"), "live") && jval_str(g, "token") &&
	    jval_int(g, "generation", 0) > 0;
}

/* What will be done, on standard output. Returns how many generations. */
static size_t
tell_plan(const struct json_t *list, size_t *others)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	int64_t now = now_real_s();
	size_t i, n = 0, more = 0;

	*others = 0;
	for (i = 0; i < jval_size(list); i++) {
		if (!is_target(jval_at(list, i)))
			continue;
		add_target(&b, jval_at(list, i), now, others);
		n++;
	}
	if (n > 0)
		printf("To be revoked:\n%s", strbuf_str(&b));
	strbuf_reset(&b);
	for (i = 0; i < jval_size(list); i++) {
		if (is_target(jval_at(list, i)))
			continue;
		add_target(&b, jval_at(list, i), now, &more);
	}
	if (b.len)
		printf("Not to be revoked:\n%s", strbuf_str(&b));
	return n;
}

/* False: there is no use in going on. */
static bool
revoke_one(struct ctl *ctl, const struct json_t *g, struct sum *sum,
    enum ctl_exit *e)
{
	const char *token = jval_str(g, "token"), *why;
	int64_t generation = jval_int(g, "generation", 0), failed;
	_cleanup_free_ char *path = ask_path("tokens/", token, "/revoke");
	_cleanup_free_ char *text = xasprintf("{\"generation\":%" PRId64 "}",
	    generation);
	struct secret body _cleanup_(secret_clear) = SECRET_INIT;
	const struct ask a = { .door = ASK_ADMIN, .method = "POST",
		.path = path, .body = &body, .timeout_ms = ASK_LONG_MS };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	struct json_t *answer _cleanup_jval_ = NULL;
	struct tb_error err = TB_ERROR_INIT;

	secret_set_str(&body, text);
	*e = ask_or_refusal(ctl, &a, &r, &refused);
	if (*e != CTL_OK)
		return false;
	if (refused.code && refused.status == 404) {
		sum->gone++; /* as the daemon sees it, it is dead */
		return true;
	}
	if (refused.code) {
		*e = ctl_fail_problem(ctl, &refused, ASK_ADMIN);
		sum->failed++;
		return problem_exit(&refused) != CTL_DENIED;
	}
	answer = jval_parse(&r.body, &err);
	if (!answer) {
		*e = ctl_fail(ctl, &err);
		return false;
	}
	sum->revoked += jval_int(answer, "revoked", 0);
	sum->forgotten += jval_int(answer, "forgotten", 0);
	failed = jval_int(answer, "failed", 0);
	why = jval_str(answer, "last_error");
	if (streq(jval_str(answer, "state"), "working")) {
		failed = 1;
		why = "it takes longer; the daemon goes on with it";
	}
	sum->failed += failed;
	if (failed)
		ctl_complain(ctl, "generation %" PRId64 " of %s may still be "
		    "alive: %s", generation, token, why ? why :
		    "no reason given");
	return true;
}

static enum ctl_exit
tell_sum(const struct ctl *ctl, const struct sum *sum, size_t left)
{
	printf("%" PRId64 " generation%s revoked at the service", sum->revoked,
	    sum->revoked == 1 ? "" : "s");
	if (sum->forgotten)
		printf(", %" PRId64 " forgotten here only (the service cannot "
		    "revoke: they live to their expiry)", sum->forgotten);
	if (sum->gone)
		printf(", %" PRId64 " the daemon does not have any more",
		    sum->gone);
	printf(".\n");
	if (sum->failed == 0 && left == 0)
		return CTL_OK;
	ctl_complain(ctl, "%" PRId64 " may still be alive at the service; see "
	    "'tokenbrokerctl status'", sum->failed + (int64_t)left);
	return CTL_FAILED;
}

static enum ctl_exit
revoke_all(struct ctl *ctl, const struct json_t *list, size_t n)
{
	struct sum sum = { 0 };
	enum ctl_exit e = CTL_OK;
	size_t i;

	for (i = 0; i < jval_size(list); i++) {
		if (!is_target(jval_at(list, i)))
			continue;
		if (!revoke_one(ctl, jval_at(list, i), &sum, &e)) {
			tell_sum(ctl, &sum, n);
			return e == CTL_OK ? CTL_FAILED : e;
		}
		n--;
	}
	return tell_sum(ctl, &sum, 0);
}

static enum ctl_exit
revoke_by_log(struct ctl *ctl, const struct args *args)
{
	enum ctl_exit e;
	struct json_t *answer _cleanup_jval_ = ask_log(ctl, args, &e);
	_cleanup_free_ char *question = NULL;
	const struct json_t *list;
	size_t n, others;

	if (!answer)
		return e;
	list = jval_list(answer, "generations");
	if (jval_int(jval_get(answer, "log"), "first_seq", 0) > 1)
		ctl_note(ctl, "older files of the audit log are not there: "
		    "what was given out before them is not known");
	n = tell_plan(list, &others);
	if (n == 0) {
		printf("Nothing that is alive and can be revoked.\n");
		return CTL_OK;
	}
	if (others)
		printf("%zu other holder%s it too and fail%s until a new one "
		    "is fetched.\n", others, others == 1 ? " has" : "s have",
		    others == 1 ? "s" : "");
	if (args->opt[REVOKE_DRY_RUN].set)
		return CTL_OK;
	question = xasprintf("Revoke %zu generation%s?", n,
	    n == 1 ? "" : "s");
	fflush(stdout);
	if (!args->opt[REVOKE_YES].set && !ctl_is_sure(ctl, question, &e))
		return e;
	return revoke_all(ctl, list, n);
}

static enum ctl_exit
do_revoke(struct ctl *ctl, const struct args *args)
{
	const struct opt_value *opt = args->opt;
	bool by_log = opt[REVOKE_UNIT].set || opt[REVOKE_USER].set ||
	    opt[REVOKE_LOGIN].set || opt[REVOKE_SINCE].set;
	const char *wrong = NULL;

	if (by_log && opt[REVOKE_GENERATION].set)
		wrong = "--generation goes with a NAME, not with --unit, "
		    "--user, --login or --since";
	else if (opt[REVOKE_ALL].set && (by_log || args->n_args ||
	    opt[REVOKE_GENERATION].set))
		wrong = "--all is all: it goes with no NAME, --generation, "
		    "--unit, --user, --login or --since";
	else if (!by_log && opt[REVOKE_LOG_DIR].set)
		wrong = "--log-dir goes with --unit, --user, --login or "
		    "--since";
	else if (!by_log && !opt[REVOKE_ALL].set && args->n_args == 0)
		wrong = "which token? Give a NAME, or --unit, --user, "
		    "--login, --since or --all";
	else if (!by_log && args->n_args > 1)
		wrong = "one NAME at a time";
	if (wrong) {
		ctl_complain(ctl, "%s", wrong);
		return CTL_USAGE;
	}
	return by_log ? revoke_by_log(ctl, args) : revoke_by_name(ctl, args);
}

const struct command cmd_revoke = {
	.name = "revoke",
	.synopsis = "[--yes | --dry-run] [--generation N] NAME\n"
	    "       tokenbrokerctl revoke [--yes | --dry-run] --all\n"
	    "       tokenbrokerctl revoke [--yes | --dry-run] "
	    "[--unit PATTERN] [--user USER]\n"
	    "           [--login NAME] [--since TIME] [NAME...]",
	.summary = "Revoke a token at its service, or what somebody was given",
	.help = "It is said first whom it hits. Holders get a new generation "
	    "when they ask again.\nThe last form asks the audit log which "
	    "generations are meant (all that is given\nmust fit). TIME is "
	    "2026-11-22T17:20:00Z, or a duration before now (2h).",
	.opts = revoke_opts, .n_opts = N_REVOKE, .max_args = OPT_ARGS_MAX,
	.names = COMPLETE_ALL_TOKENS, .fn = do_revoke,
};
