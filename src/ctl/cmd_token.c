/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list, get - what a program may have, and one of it. `get` asks for the bare
 * value and copies it from the socket to standard output; no JSON is read
 * unless it goes wrong.
 */
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/term.h"

enum { LIST_JSON, N_LIST };
static const struct opt_spec list_opts[N_LIST] = {
	{ "json", 0, OPT_FLAG, NULL, "the daemon's answer as it is" },
};

static void
print_names(const struct json_t *answer, bool utf8)
{
	const struct json_t *list = jval_list(answer, "tokens");
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *name;
	size_t i;

	for (i = 0; i < jval_size(list); i++) {
		name = jval_name(jval_at(list, i));
		if (!name)
			continue;
		term_add_clean(&b, name, utf8);
		strbuf_addc(&b, '\n');
	}
	fputs(strbuf_str(&b), stdout);
}

static enum ctl_exit
do_list(struct ctl *ctl, const struct args *args)
{
	static const struct ask a = { .door = ASK_API,
		.path = "/api/v1/tokens", .patience_ms = ASK_RESTART_MS };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *answer _cleanup_jval_ = NULL;
	enum ctl_exit e = ask(ctl, &a, &r);
	struct term t;

	if (e != CTL_OK)
		return e;
	if (args->opt[LIST_JSON].set)
		return ctl_write(ctl, &r.body, true);
	answer = jval_parse(&r.body, &err);
	if (!answer)
		return ctl_fail(ctl, &err);
	term_init(&t, STDOUT_FILENO);
	print_names(answer, t.utf8);
	return CTL_OK;
}

const struct command cmd_list = {
	.name = "list", .synopsis = "[--json]",
	.summary = "Names of the tokens that we may have",
	.opts = list_opts, .n_opts = N_LIST, .fn = do_list,
};

enum { GET_MIN_VALID, GET_WAIT, GET_JSON, GET_NO_NEWLINE, N_GET };
static const struct opt_spec get_opts[N_GET] = {
	{ "min-valid", 0, OPT_DURATION, "DURATION",
	    "valid for at least so long" },
	{ "wait", 0, OPT_DURATION, "DURATION",
	    "keep trying for so long while it is not ready" },
	{ "json", 0, OPT_FLAG, NULL,
	    "the value with its expiry and generation" },
	{ "no-newline", 'n', OPT_FLAG, NULL, "no line end behind the value" },
};

static enum ctl_exit
do_get(struct ctl *ctl, const struct args *args)
{
	const struct opt_value *o = args->opt;
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	_cleanup_free_ char *path = ask_token_path(args->arg[0],
	    o[GET_MIN_VALID].number);
	const struct ask a = { .door = ASK_API, .path = path,
		.accept = o[GET_JSON].set ? NULL : "text/plain",
		/* where it goes from there it stays as it is */
		.fields = "X-Tokenbroker-Delivery: stdout\r\n",
		.any_passing = o[GET_WAIT].set,
		.patience_ms = o[GET_WAIT].set ? o[GET_WAIT].number :
		    ASK_RESTART_MS };
	enum ctl_exit e = ask(ctl, &a, &r);

	if (e != CTL_OK)
		return e;
	if (secret_is_empty(&r.body)) {
		ctl_complain(ctl, "the daemon sent an empty value");
		return CTL_FAILED;
	}
	return ctl_write(ctl, &r.body, !o[GET_NO_NEWLINE].set);
}

const struct command cmd_get = {
	.name = "get",
	.synopsis = "[--min-valid DURATION] [--wait DURATION] [--json] [-n] "
	    "NAME",
	.summary = "Print the value of a token",
	.help = "During a restart of the daemon it tries again for 20 s; "
	    "--wait 0 turns\nthat off. A value on a screen or in a shell "
	    "variable is seen by more than\nits user: prefer 'run'.",
	.opts = get_opts, .n_opts = N_GET, .min_args = 1, .max_args = 1,
	.fn = do_get,
};
