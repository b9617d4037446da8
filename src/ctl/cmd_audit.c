/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - reading the audit log is another program's work (see helper.h); all
 * that is asked of the daemon here is to sign a checkpoint now.
 */
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/helper.h"

static enum ctl_exit
checkpoint_now(struct ctl *ctl)
{
	static const struct ask a = { .door = ASK_ADMIN, .method = "POST",
		.path = "/api/v1/audit/checkpoint" };
	struct json_t *answer _cleanup_jval_ = NULL;
	enum ctl_exit e = ask_json(ctl, &a, &answer);
	const char *line = jval_str(answer, "checkpoint");

	if (e != CTL_OK)
		return e;
	if (!line) {
		ctl_complain(ctl, "the daemon has no checkpoint");
		return CTL_FAILED;
	}
	puts(line);
	return CTL_OK;
}

static enum ctl_exit
do_audit(struct ctl *ctl, const struct args *args)
{
	struct tb_error err = TB_ERROR_INIT;
	const char **argv;
	size_t n = 0, i;

	while (args->rest[n])
		n++;
	if (n == 2 && strcmp(args->rest[0], "checkpoint") == 0 &&
	    strcmp(args->rest[1], "--now") == 0)
		return checkpoint_now(ctl);
	argv = xcalloc(n + 2, sizeof(argv[0]));
	for (i = 0; i < n; i++)
		argv[i + 1] = args->rest[i];
	helper_exec(HELPER_AUDIT, argv, &err);
	free(argv);
	ctl_complain(ctl, "%s", err.msg);
	return CTL_FAILED;
}

const struct command cmd_audit = {
	.name = "audit", .synopsis = "COMMAND [OPTION...]",
	.summary = "Read and verify the audit log: 'audit --help'",
	.raw = true, .helper = HELPER_AUDIT, .fn = do_audit,
};
