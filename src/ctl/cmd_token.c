/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list, get - what a program may have, and one of it. `get` asks for the bare
 * value and copies it from the socket to standard output; no JSON is read
 * unless it goes wrong.
 */
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/format.h"
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

enum { GET_FORMAT, GET_JSON, GET_MIN_VALID, GET_NAME, GET_NO_NEWLINE,
	GET_SCHEME, GET_WAIT, N_GET };
static const struct opt_spec get_opts[N_GET] = {
	[GET_FORMAT] = { "format", 'f', OPT_TEXT,
	    "raw|json|env|header|credential_process|exec-credential",
	    "how to print it (default: raw)" },
	[GET_JSON] = { "json", 0, OPT_FLAG, NULL,
	    "the value with its expiry and generation" },
	[GET_MIN_VALID] = { "min-valid", 0, OPT_DURATION, "DURATION",
	    "valid for at least so long" },
	[GET_NAME] = { "name", 0, OPT_TEXT, "NAME",
	    "of the variable, header or key id" },
	[GET_NO_NEWLINE] = { "no-newline", 'n', OPT_FLAG, NULL,
	    "no line end behind the value" },
	[GET_SCHEME] = { "scheme", 0, OPT_TEXT, "WORD",
	    "in front of the value in a header (default: Bearer)" },
	[GET_WAIT] = { "wait", 0, OPT_DURATION, "DURATION",
	    "keep trying for so long while it is not ready" },
};

/* The value and its end out of the daemon's JSON. */
static int
read_answer(struct secret *body, int64_t *expires_at, struct tb_error *err)
{
	struct json_t *o _cleanup_jval_ = jval_parse(body, err);
	const char *value = jval_str(o, "token");

	if (!o)
		return -1;
	*expires_at = jval_time(o, "expires_at");
	secret_set_str(body, value ? value : "");
	return 0;
}

static enum ctl_exit
get_print(const struct ctl *ctl, const struct format_ask *f,
    struct secret *body, bool line_end)
{
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	int64_t expires_at = 0;

	if (f->format == FORMAT_JSON)
		return ctl_write(ctl, body, line_end);
	if (!format_is_bare(f->format) &&
	    read_answer(body, &expires_at, &err) < 0)
		return ctl_fail(ctl, &err);
	if (secret_is_empty(body)) {
		ctl_complain(ctl, "the daemon sent an empty value");
		return CTL_FAILED;
	}
	if (f->format == FORMAT_RAW)
		return ctl_write(ctl, body, line_end);
	if (format_value(f, body, expires_at, &text, &err) < 0)
		return ctl_fail(ctl, &err);
	return ctl_write(ctl, &text, line_end);
}

static int
get_format(const struct args *args, struct format_ask *f,
    struct tb_error *err)
{
	const struct opt_value *o = args->opt;

	*f = (struct format_ask){ .token = args->arg[0],
		.format = o[GET_JSON].set ? FORMAT_JSON : FORMAT_RAW,
		.name = o[GET_NAME].text, .scheme = o[GET_SCHEME].text,
		.exec_info = getenv("KUBERNETES_EXEC_INFO") };
	if (o[GET_JSON].set && o[GET_FORMAT].set)
		return tb_error_set(err, TB_E_BADREQ, "--json is --format "
		    "json: give one of them");
	if (o[GET_FORMAT].set &&
	    format_find(o[GET_FORMAT].text, &f->format, err) < 0)
		return -1;
	return format_check(f, err);
}

static enum ctl_exit
do_get(struct ctl *ctl, const struct args *args)
{
	const struct opt_value *o = args->opt;
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	_cleanup_free_ char *path = ask_token_path(args->arg[0],
	    o[GET_MIN_VALID].number);
	struct format_ask f;
	struct ask a = { .door = ASK_API, .path = path,
		/* where it goes from there it stays as it is */
		.fields = "X-Tokenbroker-Delivery: stdout\r\n",
		.any_passing = o[GET_WAIT].set,
		.patience_ms = o[GET_WAIT].set ? o[GET_WAIT].number :
		    ASK_RESTART_MS };
	enum ctl_exit e;

	if (get_format(args, &f, &err) < 0) {
		ctl_fail(ctl, &err);
		return CTL_USAGE;
	}
	a.accept = format_is_bare(f.format) ? "text/plain" : NULL;
	e = ask(ctl, &a, &r);
	return e != CTL_OK ? e : get_print(ctl, &f, &r.body,
	    !o[GET_NO_NEWLINE].set);
}

const struct command cmd_get = {
	.name = "get",
	.synopsis = "[--format FORMAT] [--min-valid DURATION] "
	    "[--wait DURATION] [-n] NAME",
	.summary = "Print the value of a token",
	.help = "During a restart of the daemon it tries again for 20 s; "
	    "--wait 0 turns\nthat off. A value on a screen or in a shell "
	    "variable is seen by more than\nits user: prefer 'run'.",
	.opts = get_opts, .n_opts = N_GET, .min_args = 1, .max_args = 1,
	.names = COMPLETE_TOKENS, .fn = do_get,
};
