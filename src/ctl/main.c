/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenbrokerctl - the operator's tool and the client for local automation.
 * This file finds the command, reads its arguments and prints the help.
 *
 * Start-up is kept short, since scripts call `get` in loops: no locale, no
 * look-up of users, and libqrencode only when a code is drawn (see qr.h).
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/help.h"
#include "ctl/helper.h"
#include "ctl/names.h"

#define RUN_DIR "/run/tokenbroker"
#define RUN_FAILED 125 /* as env(1) and timeout(1) do */

static const struct command *const commands[] = { &cmd_login, &cmd_logout,
	&cmd_status, &cmd_tokens, &cmd_health, &cmd_list, &cmd_get, &cmd_run,
	&cmd_watch, &cmd_rotate, &cmd_revoke, &cmd_import, &cmd_reconcile,
	&cmd_explain, &cmd_audit, &cmd_events, &cmd_doctor, &cmd_unit,
	&cmd_reload, &cmd_init_key, &cmd_rekey, &cmd_adopt };

/* Options that every command takes stand in front of its own. */
enum { COMMON_RUN_DIR, COMMON_HELP, COMMON_VERSION, N_COMMON };
static const struct opt_spec common[N_COMMON] = {
	{ "run-dir", 0, OPT_TEXT, "DIR", "where the daemon's sockets are "
	    "(default: $TOKENBROKER_RUN_DIR or " RUN_DIR ")" },
	{ "help", 'h', OPT_FLAG, NULL, "this text" },
	{ "version", 'V', OPT_FLAG, NULL, "the version" },
};

static const struct command *
find_command(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static void
print_help(void)
{
	size_t i;

	printf("usage: tokenbrokerctl COMMAND [OPTION...] [ARGUMENT...]\n\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s  %s\n", commands[i]->name,
		    commands[i]->summary);
	printf("\n");
	help_options(common, N_COMMON);
	printf("\nExit status: 0 done, 1 failure, 2 usage, 3 a human is "
	    "needed, 4 denied or\nunknown, 5 not ready, 6 no daemon. "
	    "'tokenbrokerctl COMMAND --help' says more;\nso does "
	    "tokenbrokerctl(1).\n");
}

static void
print_command_help(const struct command *cmd)
{
	help_command("tokenbrokerctl", cmd->name, cmd->synopsis, cmd->summary,
	    cmd->help);
	help_options(cmd->opts, cmd->n_opts);
	help_options(common, N_COMMON);
}

static int
flush_output(int status)
{
	return help_flush("tokenbrokerctl", status);
}

static int
usage_error(const struct command *cmd, const char *text)
{
	fprintf(stderr, "tokenbrokerctl: %s%s%s; try 'tokenbrokerctl %s%s"
	    "--help'\n", cmd ? cmd->name : "", cmd ? ": " : "", text,
	    cmd ? cmd->name : "", cmd ? " " : "");
	return cmd && cmd->execs ? RUN_FAILED : CTL_USAGE;
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
		snprintf(text, sizeof(text), "unknown command '%.60s'; did "
		    "you mean '%s'?", word, near);
	else
		snprintf(text, sizeof(text), "unknown command '%.60s'", word);
	fprintf(stderr, "tokenbrokerctl: %s%s\n", text, near ? "" :
	    "; try 'tokenbrokerctl --help'");
	return CTL_USAGE;
}

static const char *
run_dir(const struct opt_value *option)
{
	const char *env = getenv("TOKENBROKER_RUN_DIR");

	return option->set ? option->text : env && *env ? env : RUN_DIR;
}

static int
do_command(const struct command *cmd, const struct opt_result *opts,
    char **argv)
{
	const struct args args = { .opt = opts->value + N_COMMON,
		.arg = opts->arg, .n_args = opts->n_args,
		.list = opts->list, .n_list = opts->n_list,
		.rest = argv + opts->rest };
	char *label = xasprintf("%s%s%s", cmd->name, opts->n_args ? " " : "",
	    opts->n_args ? opts->arg[0] : "");
	struct ctl ctl;
	enum ctl_exit e;

	ctl_init(&ctl, run_dir(&opts->value[COMMON_RUN_DIR]));
	ctl.command = label;
	e = cmd->fn(&ctl, &args);
	ctl_clear(&ctl);
	free(label);
	return flush_output((int)e);
}

static int
run_command(const struct command *cmd, int argc, char **argv, int first)
{
	struct opt_spec specs[OPT_MAX];
	struct opt_result opts;
	struct tb_error err = TB_ERROR_INIT;
	char text[80];

	memcpy(specs, common, sizeof(common));
	if (cmd->n_opts)
		memcpy(specs + N_COMMON, cmd->opts,
		    cmd->n_opts * sizeof(specs[0]));
	if (opt_parse(specs, N_COMMON + cmd->n_opts, argc, argv, first,
	    cmd->splits, &opts, &err) < 0)
		return usage_error(cmd, err.msg);
	if (opts.value[COMMON_HELP].set) {
		print_command_help(cmd);
		return flush_output(CTL_OK);
	}
	if (opts.value[COMMON_VERSION].set) {
		printf("tokenbrokerctl %s\n", PACKAGE_VERSION);
		return flush_output(CTL_OK);
	}
	if (opts.n_args < cmd->min_args || opts.n_args > cmd->max_args) {
		snprintf(text, sizeof(text), "too %s arguments",
		    opts.n_args < cmd->min_args ? "few" : "many");
		return usage_error(cmd, text);
	}
	return do_command(cmd, &opts, argv);
}

/* Only what stood in front of the name is ours. */
static int
run_raw(const struct command *cmd, int argc, char **argv)
{
	struct opt_result opts = { .rest = 2 };
	struct tb_error err = TB_ERROR_INIT;

	while (opts.rest < argc && strncmp(argv[opts.rest], "--run-dir",
	    strlen("--run-dir")) == 0)
		opts.rest += strchr(argv[opts.rest], '=') ? 1 : 2;
	opts.rest = MIN2(opts.rest, argc);
	argc = opts.rest;
	if (opt_parse(common, N_COMMON, argc, argv, 2, false, &opts, &err) < 0)
		return usage_error(cmd, err.msg);
	return do_command(cmd, &opts, argv);
}

/* The index of the first word that is no option: the command's name. What can
 * stand in front of it are the common options. */
static int
find_name(int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0)
		i += strcmp(argv[i], "--run-dir") == 0 ? 2 : 1;
	return i;
}

/* "--complete WORD...", for the shells' completions: see complete.h. */
static int
complete(int argc, char **argv)
{
	struct complete_row rows[ARRAY_SIZE(commands)];
	const struct complete c = { .rows = rows, .common = common,
		.n_rows = ARRAY_SIZE(commands), .n_common = N_COMMON,
		.names = names_add };
	struct strbuf out _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct tb_error err = TB_ERROR_INIT;
	const char **words = xcalloc((size_t)argc + 3, sizeof(*words));
	const struct command *cmd;
	size_t i, raw;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		rows[i] = (struct complete_row){ commands[i]->name,
			commands[i]->summary, commands[i]->opts,
			commands[i]->n_opts, commands[i]->names,
			commands[i]->splits, commands[i]->raw };
	/* room in front for what the other program is asked, and a NULL */
	for (i = 0; i < (size_t)argc; i++)
		words[i + 2] = argv[i];
	raw = complete_words(&c, words + 2, (size_t)argc, &out);
	if (raw) {
		cmd = find_command(words[raw + 1]);
		words[raw + 1] = "--complete";
		helper_exec(cmd->helper, words + raw, &err);
	}
	free(words);
	fputs(strbuf_str(&out), stdout);
	return flush_output(CTL_OK);
}

int
main(int argc, char **argv)
{
	const struct command *cmd;
	struct opt_result opts;
	struct tb_error err = TB_ERROR_INIT;
	int at = MIN2(find_name(argc, argv), argc), i;
	char *name = argv[at];

	if (argc > 1 && strcmp(argv[1], "--complete") == 0)
		return complete(argc - 2, argv + 2);
	/* What stands in front goes behind the name, where it is read. */
	for (i = at; name && i > 1; i--)
		argv[i] = argv[i - 1];
	if (name) {
		argv[1] = name;
		cmd = find_command(name);
		if (cmd && cmd->raw)
			return run_raw(cmd, argc, argv);
		return cmd ? run_command(cmd, argc, argv, 2) :
		    unknown_command(name);
	}
	if (opt_parse(common, N_COMMON, argc, argv, 1, false, &opts, &err) < 0)
		return usage_error(NULL, err.msg);
	if (opts.value[COMMON_VERSION].set)
		printf("tokenbrokerctl %s\n", PACKAGE_VERSION);
	else if (opts.value[COMMON_HELP].set)
		print_help();
	else
		return usage_error(NULL, "which command?");
	return flush_output(CTL_OK);
}
