/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain - which rule decides. Operators ask about any process; everybody may
 * ask about themselves, and gets from the api door what that one tells.
 */
#include <inttypes.h>

#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/table.h"

enum { EXPLAIN_PID, EXPLAIN_SELF, EXPLAIN_UNIT, EXPLAIN_DOOR, EXPLAIN_JSON,
	N_EXPLAIN };
static const struct opt_spec explain_opts[N_EXPLAIN] = {
	{ "pid", 'p', OPT_NUMBER, "PID", "of this process" },
	{ "self", 0, OPT_FLAG, NULL, "of this very command (the default)" },
	{ "unit", 'u', OPT_TEXT, "UNIT", "of this unit, when systemd asks for it" },
	{ "door", 0, OPT_TEXT, "DOOR", "which door it connects to (default: api)" },
	{ "json", 0, OPT_FLAG, NULL, "the daemon's answer as it is" },
};

/* "allow" or "deny" in whatever form the daemon said it. */
static const char *
verdict_of(const struct json_t *row)
{
	static const char *const keys[] = { "verdict", "action", "allow",
		"allowed" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		if (jval_str(row, keys[i]))
			return jval_str(row, keys[i]);
		if (jval_is_true(row, keys[i]))
			return "allow";
		if (jval_is_false(row, keys[i]))
			return "deny";
	}
	return "?";
}

static const char *
first_str(const struct json_t *o, const char *const *keys)
{
	const char *s = NULL;

	for (; !s && *keys; keys++)
		s = jval_str(o, *keys);
	return s;
}

static void
add_row(struct table *t, const struct json_t *row)
{
	static const char *const token[] = { "token", "name", NULL };
	static const char *const rule[] = { "where", "rule", NULL };
	static const char *const reason[] = { "reason", "detail", NULL };
	const char *verdict = verdict_of(row);

	table_row(t);
	table_cell(t, 0, TERM_PLAIN, jval_text(row) ? jval_text(row) :
	    first_str(row, token));
	table_cell(t, 1, streq(verdict, "allow") ? TERM_GREEN : TERM_RED,
	    jval_text(row) ? "allow" : verdict);
	table_cell(t, 2, TERM_PLAIN, first_str(row, rule));
	table_cell(t, 3, TERM_PLAIN, first_str(row, reason));
}

/* "uid 1000, unit telegraf.service (strong)" */
static void
add_who(struct strbuf *out, const struct json_t *o, bool utf8)
{
	const struct json_t *who = jval_get(o, "principal");
	const char *text = jval_text(who), *unit, *strength;
	int64_t uid;

	if (!jval_is_object(who))
		who = o;
	uid = jval_int(who, "uid", -1);
	unit = jval_str(who, "unit");
	strength = first_str(who, (const char *const[]){ "strength",
	    "identity", "unit_strength", NULL });
	if (!text && uid < 0)
		return;
	strbuf_adds(out, "Who: ");
	if (text) {
		term_add_clean(out, text, utf8);
	} else {
		strbuf_addf(out, "uid %" PRId64, uid);
		strbuf_adds(out, ", unit ");
		term_add_clean(out, unit ? unit : "unknown", utf8);
		if (strength && unit) {
			strbuf_adds(out, " (");
			term_add_clean(out, strength, utf8);
			strbuf_addc(out, ')');
		}
	}
	strbuf_addc(out, '\n');
}

static const struct json_t *
list_of(const struct json_t *o)
{
	const struct json_t *list = jval_list(o, "tokens");

	return list ? list : jval_list(o, "verdicts");
}

/* wanted: of the list only this one; NULL: all. */
static void
print_verdicts(const struct json_t *who, const struct json_t *list,
    const char *wanted)
{
	static const char *const heading[] = { "TOKEN", "VERDICT", "RULE",
		"REASON" };
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct term term;
	struct table t;
	size_t i;

	term_init(&term, STDOUT_FILENO);
	add_who(&out, who, term.utf8);
	table_init(&t, heading, ARRAY_SIZE(heading), 3, term.utf8);
	for (i = 0; i < jval_size(list); i++)
		if (!wanted || streq(jval_name(jval_at(list, i)), wanted))
			add_row(&t, jval_at(list, i));
	if (!list && jval_str(who, "token"))
		add_row(&t, who);
	if (t.n_rows > 1)
		table_render(&t, &term, &out);
	else if (wanted)
		strbuf_adds(&out, "That token is denied or unknown.\n");
	else
		strbuf_adds(&out, "No token is allowed.\n");
	table_clear(&t);
	fputs(strbuf_str(&out), stdout);
}

static char *
explain_path(const struct args *args)
{
	const struct opt_value *o = args->opt;
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&b, "/api/v1/explain?");
	if (o[EXPLAIN_PID].set)
		strbuf_addf(&b, "pid=%" PRId64, o[EXPLAIN_PID].number);
	else if (o[EXPLAIN_UNIT].set)
		strbuf_adds(&b, "unit=");
	else
		strbuf_adds(&b, "self=1");
	if (o[EXPLAIN_UNIT].set) {
		strbuf_add_percent(&b, o[EXPLAIN_UNIT].text);
		/* as with systemctl(1), "x" is x.service */
		if (!strchr(o[EXPLAIN_UNIT].text, '.'))
			strbuf_adds(&b, ".service");
	}
	if (args->n_args) {
		strbuf_adds(&b, "&token=");
		strbuf_add_percent(&b, args->arg[0]);
	}
	if (o[EXPLAIN_DOOR].set) {
		strbuf_adds(&b, "&door=");
		strbuf_add_percent(&b, o[EXPLAIN_DOOR].text);
	}
	return strbuf_steal(&b);
}

/* What the api door tells its asker: who he is, and what he may have. Not by
 * which rule, and not what is denied: that would tell which tokens exist. */
static enum ctl_exit
explain_to_anybody(struct ctl *ctl, const char *wanted, bool json)
{
	static const struct ask who = { .door = ASK_API,
		.path = "/api/v1/self" };
	static const struct ask what = { .door = ASK_API,
		.path = "/api/v1/tokens" };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *self _cleanup_jval_ = NULL, *o _cleanup_jval_ = NULL;
	enum ctl_exit e;

	ctl_note(ctl, "the rules are for operators only; this is what the api "
	    "door tells about ourselves");
	e = ask(ctl, &who, &r);
	if (e != CTL_OK)
		return e;
	if (json)
		return ctl_write(ctl, &r.body, true);
	self = jval_parse(&r.body, &err);
	if (!self)
		return ctl_fail(ctl, &err);
	e = ask_json(ctl, &what, &o);
	if (e == CTL_OK)
		print_verdicts(self, jval_list(o, "tokens"), wanted);
	return e;
}

static enum ctl_exit
do_explain(struct ctl *ctl, const struct args *args)
{
	_cleanup_free_ char *path = explain_path(args);
	const struct ask a = { .door = ASK_ADMIN, .path = path };
	const struct opt_value *o = args->opt;
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *answer _cleanup_jval_ = NULL;
	enum ctl_exit e;

	if (o[EXPLAIN_PID].set + o[EXPLAIN_SELF].set + o[EXPLAIN_UNIT].set >
	    1) {
		ctl_complain(ctl, "--pid, --self and --unit exclude each "
		    "other");
		return CTL_USAGE;
	}
	if (o[EXPLAIN_DOOR].set && !streq(o[EXPLAIN_DOOR].text, "api") &&
	    !streq(o[EXPLAIN_DOOR].text, "credential")) {
		ctl_complain(ctl, "--door: there are api and credential, and "
		    "no '%.40s'", o[EXPLAIN_DOOR].text);
		return CTL_USAGE;
	}
	e = ask_or_refusal(ctl, &a, &r, &refused);
	if (e != CTL_OK)
		return e;
	if (refused.code && !o[EXPLAIN_PID].set && !o[EXPLAIN_UNIT].set &&
	    refused.status == 403)
		return explain_to_anybody(ctl, args->arg[0],
		    o[EXPLAIN_JSON].set);
	if (refused.code)
		return ctl_fail_problem(ctl, &refused, ASK_ADMIN);
	if (o[EXPLAIN_JSON].set)
		return ctl_write(ctl, &r.body, true);
	answer = jval_parse(&r.body, &err);
	if (!answer)
		return ctl_fail(ctl, &err);
	print_verdicts(answer, list_of(answer), NULL);
	return CTL_OK;
}

const struct command cmd_explain = {
	.name = "explain",
	.synopsis = "[--pid PID | --self | --unit UNIT] [--door DOOR] [--json] "
	    "[TOKEN]",
	.summary = "Which rule gives or refuses which token, and why",
	.opts = explain_opts, .n_opts = N_EXPLAIN, .max_args = 1,
	.names = COMPLETE_ALL_TOKENS, .fn = do_explain,
};
