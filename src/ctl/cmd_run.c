/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - a program with tokens at hand. The value lies in a sealed memfd that
 * the program inherits; the variable holds its path. Nothing is left on disk,
 * in the environment or in argv, and nobody can change the value. The program
 * takes our place (exec), so signals, its exit status and its parent are its
 * own by nature, and nothing of us stays in memory.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>

#include "base/tb_error.h"
#include "ctl/child.h"
#include "ctl/command.h"

#define RUN_FAILED 125
#define RUN_NOT_EXECUTABLE 126
#define RUN_NOT_FOUND 127

enum { RUN_ENV, RUN_WAIT, RUN_MIN_VALID, N_RUN };
static const struct opt_spec run_opts[N_RUN] = {
	{ "env", 0, OPT_FLAG, NULL,
	    "put the value itself into the variable" },
	{ "wait", 0, OPT_DURATION, "DURATION",
	    "keep trying for so long while it is not ready" },
	{ "min-valid", 0, OPT_DURATION, "DURATION",
	    "valid for at least so long" },
};

/* "VAR=TOKEN": the length of VAR, 0 when it is none. */
static size_t
variable_length(const char *s)
{
	size_t n = 0;

	if (isdigit((unsigned char)*s))
		return 0;
	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return s[n] == '=' && s[n + 1] ? n : 0;
}

/* A descriptor that stays open over exec(2), on a memory file with the value
 * that nobody can change any more. */
static int
make_file(const char *name, const struct secret *value, struct tb_error *err)
{
	_cleanup_free_ char *label = xasprintf("token %.100s", name);
	int fd = child_memfd(label, value, err);

	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
	return fd;
}

static int
hand_over(const char *variable, const char *name, const struct secret *value,
    bool in_environment, struct tb_error *err)
{
	char path[48];
	int fd;

	if (in_environment) {
		if (setenv(variable, secret_reveal(value), 1) < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot set %.60s", variable);
		return 0;
	}
	fd = make_file(name, value, err);
	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (setenv(variable, path, 1) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot set %.60s", variable);
	return 0;
}

/* One VAR=TOKEN. False: complained. */
static bool
run_take(struct ctl *ctl, const struct opt_value *o, const char *pair)
{
	size_t n = variable_length(pair);
	const char *name = pair + n + 1;
	_cleanup_free_ char *variable = xstrndup(pair, n);
	_cleanup_free_ char *path = ask_token_path(name,
	    o[RUN_MIN_VALID].number);
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	const struct ask a = { .door = ASK_API, .path = path,
		.accept = "text/plain",
		.fields = o[RUN_ENV].set ?
		    "X-Tokenbroker-Delivery: environment\r\n" :
		    "X-Tokenbroker-Delivery: memfd\r\n",
		.any_passing = o[RUN_WAIT].set,
		.patience_ms = o[RUN_WAIT].set ? o[RUN_WAIT].number :
		    ASK_RESTART_MS };

	ctl->command = pair;
	if (ask(ctl, &a, &r) != CTL_OK)
		return false;
	if (!secret_is_token(&r.body))
		tb_error_set(&err, TB_E_PROTO, "the daemon sent what is no "
		    "token");
	else
		hand_over(variable, name, &r.body, o[RUN_ENV].set, &err);
	if (err.code)
		ctl_complain(ctl, "%s", err.msg);
	return err.code == TB_OK;
}

static enum ctl_exit
do_run(struct ctl *ctl, const struct args *args)
{
	size_t i;
	int e;

	if (!args->rest[0]) {
		ctl_complain(ctl, "which command? tokenbrokerctl run "
		    "VAR=TOKEN... -- COMMAND");
		return (enum ctl_exit)RUN_FAILED;
	}
	for (i = 0; i < args->n_args; i++) {
		if (variable_length(args->arg[i]))
			continue;
		ctl_complain(ctl, "'%.60s' is not VARIABLE=TOKEN; the command "
		    "stands behind '--'", args->arg[i]);
		return (enum ctl_exit)RUN_FAILED;
	}
	if (args->opt[RUN_ENV].set)
		ctl_note(ctl, "--env puts the token into the environment, "
		    "where children, crash reports and /proc show it");
	for (i = 0; i < args->n_args; i++)
		if (!run_take(ctl, args->opt, args->arg[i]))
			return (enum ctl_exit)RUN_FAILED;
	execvp(args->rest[0], args->rest);
	e = errno;
	ctl->command = "run";
	ctl_complain(ctl, "cannot execute %.200s: %s", args->rest[0],
	    strerror(e));
	return (enum ctl_exit)(e == ENOENT ? RUN_NOT_FOUND :
	    RUN_NOT_EXECUTABLE);
}

const struct command cmd_run = {
	.name = "run",
	.synopsis = "[--env] [--wait DURATION] [--min-valid DURATION] "
	    "VAR=TOKEN... -- COMMAND [ARGUMENT...]",
	.summary = "Run a command with tokens at hand",
	.help = "VAR becomes the path of a file in memory that holds the "
	    "value and that\nonly the command can open. The exit status is "
	    "the command's; 125: the\ntoken could not be had, 126: the "
	    "command cannot be executed, 127: there\nis no such command.",
	.opts = run_opts, .n_opts = N_RUN, .min_args = 1,
	.max_args = OPT_ARGS_MAX, .names = COMPLETE_VARIABLES,
	.splits = true, .execs = true, .fn = do_run,
};
