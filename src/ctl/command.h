/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * command - one row per command: how it is called, what its help says, and
 * the function that does it. The rows stand in the cmd_*.c files, the table of
 * them in main.c.
 */
#include "ctl/ask.h"
#include "ctl/complete.h"
#include "ctl/opt.h"

struct args {
	const struct opt_value *opt; /* as the command's opts */
	const char *const *arg;
	size_t n_args;
	const char *const *list; /* of the OPT_LIST option */
	size_t n_list;
	/* `run`: the command behind "--"; raw: all; ends with NULL */
	char *const *rest;
};

struct command {
	const char *name;
	const char *synopsis; /* behind the name */
	const char *summary;  /* half a line */
	const char *help;     /* paragraphs, or NULL */
	const struct opt_spec *opts;
	size_t n_opts;
	size_t min_args, max_args;
	enum complete_what names; /* what its arguments are */
	bool splits; /* what stands behind "--" is a command */
	bool execs;  /* its exit status is another's: own failures are 125 */
	bool raw;    /* what stands behind the name is not ours to read */
	const char *helper; /* ... but this program's; see helper.h */
	enum ctl_exit (*fn)(struct ctl *ctl, const struct args *args);
};

extern const struct command cmd_audit, cmd_login, cmd_logout, cmd_status,
    cmd_health, cmd_list, cmd_get, cmd_run, cmd_import, cmd_rotate, cmd_revoke,
    cmd_reload, cmd_reconcile, cmd_explain, cmd_init_key, cmd_rekey, cmd_adopt,
    cmd_tokens, cmd_doctor, cmd_unit, cmd_watch, cmd_events;

/* What revocation did, and whether all of it worked. */
enum ctl_exit cmd_admin_tell_counts(const struct ctl *ctl,
    const struct json_t *answer);
