/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenbroker-audit - reads the audit log. It needs no daemon and speaks to
 * none: files, and the public key that their checkpoints are signed with. A
 * program of its own, so that tokenbrokerctl does not load libcrypto.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "audit/tool.h"
#include "base/tb_error.h"
#include "ctl/complete.h"
#include "ctl/help.h"

static const struct tool_command *const commands[] = { &cmd_verify, &cmd_show,
	&cmd_export, &cmd_follow, &cmd_checkpoint, &cmd_who, &cmd_login,
	&cmd_report };

enum { COMMON_HELP, COMMON_VERSION, N_COMMON };
static const struct opt_spec common[N_COMMON] = {
	{ "help", 'h', OPT_FLAG, NULL, "this text" },
	{ "version", 'V', OPT_FLAG, NULL, "the version" },
};

static void
print_help(void)
{
	size_t i;

	printf("usage: tokenbrokerctl audit COMMAND [OPTION...] "
	    "[ARGUMENT...]\n\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s  %s\n", commands[i]->name,
		    commands[i]->summary);
	printf("\n");
	help_options(common, N_COMMON);
	printf("\n'tokenbrokerctl audit COMMAND --help' says more; so do "
	    "tokenbrokerctl(1) and\ntokenbroker-audit(5).\n");
}

static void
print_command_help(const struct tool_command *cmd)
{
	help_command("tokenbrokerctl audit", cmd->name, cmd->synopsis, cmd->summary,
	    cmd->help);
	help_options(cmd->opts, cmd->n_opts);
	help_options(common, N_COMMON);
}

static int
flush_output(int status)
{
	return help_flush("tokenbrokerctl: audit", status);
}

static int
usage_error(const struct tool_command *cmd, const char *text)
{
	fprintf(stderr, "tokenbrokerctl: audit %s%s%s; try 'tokenbrokerctl "
	    "audit %s%s--help'\n", cmd ? cmd->name : "", cmd ? ": " : "",
	    text, cmd ? cmd->name : "", cmd ? " " : "");
	return TOOL_USAGE;
}

static int
unknown_command(const char *word)
{
	const char *words[ARRAY_SIZE(commands) + 1] = { NULL }, *near;
	char text[160];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		words[i] = commands[i]->name;
	near = opt_nearest(word, words);
	if (near)
		snprintf(text, sizeof(text), "has no command '%.60s'; did "
		    "you mean '%s'?", word, near);
	else
		snprintf(text, sizeof(text), "has no command '%.60s'", word);
	return usage_error(NULL, text);
}

static int
run_command(const struct tool_command *cmd, int argc, char **argv)
{
	struct opt_spec specs[OPT_MAX];
	struct tb_error err = TB_ERROR_INIT;
	struct opt_result opts;
	struct tool_args args = { .opt = opts.value + N_COMMON,
		.arg = opts.arg, .all = &opts };

	memcpy(specs, common, sizeof(common));
	memcpy(specs + N_COMMON, cmd->opts, cmd->n_opts * sizeof(specs[0]));
	if (opt_parse(specs, N_COMMON + cmd->n_opts, argc, argv, 2, false,
	    &opts, &err) < 0)
		return usage_error(cmd, err.msg);
	if (opts.value[COMMON_HELP].set) {
		print_command_help(cmd);
		return flush_output(TOOL_OK);
	}
	if (opts.n_args < cmd->min_args || opts.n_args > cmd->max_args)
		return usage_error(cmd, opts.n_args < cmd->min_args ?
		    "too few arguments" : "too many arguments");
	args.n_args = opts.n_args;
	tool_set_command(cmd->name);
	return flush_output(cmd->fn(&args));
}

/* As tokenbrokerctl's, which runs this for the words behind "audit". */
static int
complete(size_t n, char *const *argv)
{
	struct complete_row rows[ARRAY_SIZE(commands)];
	const struct complete c = { .rows = rows, .common = common,
		.n_rows = ARRAY_SIZE(commands), .n_common = N_COMMON };
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *words[OPT_ARGS_MAX];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		rows[i] = (struct complete_row){ .name = commands[i]->name,
			.summary = commands[i]->summary,
			.opts = commands[i]->opts,
			.n_opts = commands[i]->n_opts,
			.args = commands[i] == &cmd_verify ? COMPLETE_FILES :
			    COMPLETE_NOTHING };
	n = MIN2(n, OPT_ARGS_MAX);
	for (i = 0; i < n; i++)
		words[i] = argv[i];
	complete_words(&c, words, n, &out);
	fputs(strbuf_str(&out), stdout);
	return flush_output(TOOL_OK);
}

int
main(int argc, char **argv)
{
	struct tb_error err = TB_ERROR_INIT;
	struct opt_result opts;
	size_t i;

	if (argc > 1 && strcmp(argv[1], "--complete") == 0)
		return complete((size_t)argc - 2, argv + 2);
	if (argc > 1 && argv[1][0] != '-') {
		for (i = 0; i < ARRAY_SIZE(commands); i++)
			if (strcmp(commands[i]->name, argv[1]) == 0)
				return run_command(commands[i], argc, argv);
		return unknown_command(argv[1]);
	}
	if (opt_parse(common, N_COMMON, argc, argv, 1, false, &opts, &err) < 0)
		return usage_error(NULL, err.msg);
	if (opts.value[COMMON_VERSION].set)
		printf("tokenbroker-audit %s\n", PACKAGE_VERSION);
	else if (opts.value[COMMON_HELP].set)
		print_help();
	else
		return usage_error(NULL, "which command?");
	return flush_output(TOOL_OK);
}
