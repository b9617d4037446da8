/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run - a program with tokens at hand. The value lies in a sealed memfd that
 * the program inherits; the variable holds its path. Nothing is left on disk,
 * in the environment or in argv, and nobody can change the value. The program
 * takes our place (exec), so signals, its exit status and its parent are its
 * own by nature, and nothing of us stays in memory. Only with --revoke-on-exit
 * somebody has to stay, and stands in front of it (ctl/run_lease.c).
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/tb_error.h"
#include "ctl/child.h"
#include "ctl/command.h"
#include "ctl/run_lease.h"

enum { RUN_ENV, RUN_WAIT, RUN_MIN_VALID, RUN_REVOKE, N_RUN };
static const struct opt_spec run_opts[N_RUN] = {
	{ "env", 0, OPT_FLAG, NULL,
	    "put the value itself into the variable" },
	{ "wait", 0, OPT_DURATION, "DURATION",
	    "keep trying for so long while it is not ready" },
	{ "min-valid", 0, OPT_DURATION, "DURATION",
	    "valid for at least so long" },
	{ "revoke-on-exit", 0, OPT_FLAG, NULL,
	    "values of its own, which are revoked when it is over" },
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

/* *fd: of the memory file, -1 when there is none. */
static int
hand_over(const char *variable, const char *name, const struct secret *value,
    bool in_environment, int *fd, struct tb_error *err)
{
	char path[48];

	*fd = -1;
	if (in_environment) {
		if (setenv(variable, secret_reveal(value), 1) < 0)
			return tb_error_errno(err, TB_E_IO, errno,
			    "cannot set %.60s", variable);
		return 0;
	}
	*fd = make_file(name, value, err);
	if (*fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
	if (setenv(variable, path, 1) < 0)
		return tb_error_errno(err, TB_E_IO, errno,
		    "cannot set %.60s", variable);
	return 0;
}

static const char *
delivery_field(bool in_environment)
{
	return in_environment ? "X-Tokenbroker-Delivery: environment\r\n" :
	    "X-Tokenbroker-Delivery: memfd\r\n";
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
	int fd; /* it stays open, over exec(2) */
	const struct ask a = { .door = ASK_API, .path = path,
		.accept = "text/plain",
		.fields = delivery_field(o[RUN_ENV].set),
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
		hand_over(variable, name, &r.body, o[RUN_ENV].set, &fd, &err);
	if (err.code)
		ctl_complain(ctl, "%s", err.msg);
	return err.code == TB_OK;
}

/* In our place, or in a child's. */
static enum ctl_exit
run_command(struct ctl *ctl, char *const *argv)
{
	int e;

	execvp(argv[0], argv);
	e = errno;
	ctl->command = "run";
	ctl_complain(ctl, "cannot execute %.200s: %s", argv[0], strerror(e));
	return (enum ctl_exit)(e == ENOENT ? RUN_NOT_FOUND :
	    RUN_NOT_EXECUTABLE);
}

/* ------------------------------------------------------- values of its own */

/* A lease, and its value where the command will find it. False: complained. */
static bool
run_lease(const struct run_lease_how *how, struct run_lease *l,
    const char *pair, bool in_environment)
{
	_cleanup_free_ char *variable = xstrndup(pair, variable_length(pair));
	struct secret value _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;

	if (!run_lease_take(l, how, &value))
		return false;
	if (hand_over(variable, l->token, &value, in_environment, &l->value_fd,
	    &err) == 0)
		return true;
	ctl_complain(&l->ctl, "%s", err.msg);
	return false;
}

/* The command has them; in us, who stay, nothing of them does. */
static void
forget_values(const struct args *args, struct run_lease *leases)
{
	for (size_t i = 0; i < args->n_args && leases[i].token; i++) {
		_cleanup_free_ char *variable = xstrndup(args->arg[i],
		    variable_length(args->arg[i]));
		char *value = getenv(variable);

		if (value)
			explicit_bzero(value, strlen(value));
		unsetenv(variable);
		if (leases[i].value_fd >= 0)
			close(leases[i].value_fd);
	}
}

static enum ctl_exit
run_leased(struct ctl *ctl, const struct args *args)
{
	const struct opt_value *o = args->opt;
	struct run_lease *leases = xcalloc(args->n_args, sizeof(*leases));
	const struct run_lease_how how = {
		.fields = delivery_field(o[RUN_ENV].set),
		.min_valid_ms = o[RUN_MIN_VALID].number,
		.waits = o[RUN_WAIT].set,
		.patience_ms = o[RUN_WAIT].set ? o[RUN_WAIT].number :
		    ASK_RESTART_MS,
	};
	enum ctl_exit e = (enum ctl_exit)RUN_FAILED;
	bool ok = true;
	int signals;
	pid_t pid;

	for (size_t i = 0; i < args->n_args && ok; i++) {
		run_lease_init(&leases[i], ctl->run_dir, args->arg[i],
		    args->arg[i] + variable_length(args->arg[i]) + 1);
		ok = run_lease(&how, &leases[i], args->arg[i],
		    o[RUN_ENV].set);
	}
	pid = ok ? run_fork(ctl, &signals) : -1;
	if (pid == 0)
		_exit((int)run_command(ctl, args->rest));
	forget_values(args, leases);
	if (pid > 0)
		e = run_stand_by(pid, signals, leases, args->n_args);
	/* what was taken in vain ends with its connection */
	for (size_t i = 0; i < args->n_args; i++)
		run_lease_clear(&leases[i]);
	free(leases);
	return e;
}

static enum ctl_exit
do_run(struct ctl *ctl, const struct args *args)
{
	if (!args->rest[0]) {
		ctl_complain(ctl, "which command? tokenbrokerctl run "
		    "VAR=TOKEN... -- COMMAND");
		return (enum ctl_exit)RUN_FAILED;
	}
	for (size_t i = 0; i < args->n_args; i++) {
		if (variable_length(args->arg[i]))
			continue;
		ctl_complain(ctl, "'%.60s' is not VARIABLE=TOKEN; the command "
		    "stands behind '--'", args->arg[i]);
		return (enum ctl_exit)RUN_FAILED;
	}
	if (args->opt[RUN_ENV].set)
		ctl_note(ctl, "--env puts the token into the environment, "
		    "where children, crash reports and /proc show it");
	if (args->opt[RUN_REVOKE].set)
		return run_leased(ctl, args);
	for (size_t i = 0; i < args->n_args; i++)
		if (!run_take(ctl, args->opt, args->arg[i]))
			return (enum ctl_exit)RUN_FAILED;
	return run_command(ctl, args->rest);
}

const struct command cmd_run = {
	.name = "run",
	.synopsis = "[--env] [--wait DURATION] [--min-valid DURATION] "
	    "[--revoke-on-exit] VAR=TOKEN... -- COMMAND [ARGUMENT...]",
	.summary = "Run a command with tokens at hand",
	.help = "VAR becomes the path of a file in memory that holds the "
	    "value and that\nonly the command can open. The exit status is "
	    "the command's; 125: the\ntoken could not be had, 126: the "
	    "command cannot be executed, 127: there\nis no such command.",
	.opts = run_opts, .n_opts = N_RUN, .min_args = 1,
	.max_args = OPT_ARGS_MAX, .names = COMPLETE_VARIABLES,
	.splits = true, .execs = true, .fn = do_run,
};
