/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - telling others is another program's work (see helper.h): it speaks
 * HTTP and signs, and this one starts without what that needs.
 */
#include "base/tb_error.h"
#include "ctl/command.h"
#include "ctl/helper.h"

static enum ctl_exit
do_events(struct ctl *ctl, const struct args *args)
{
	struct tb_error err = TB_ERROR_INIT;
	const char **argv;
	size_t n = 0;

	while (args->rest[n])
		n++;
	argv = xcalloc(n + 4, sizeof(argv[0]));
	argv[1] = "--run-dir"; /* in front: one that is given later counts */
	argv[2] = ctl->run_dir;
	memcpy(argv + 3, args->rest, n * sizeof(argv[0]));
	helper_exec(HELPER_EVENTS, argv, &err);
	free(argv);
	ctl_complain(ctl, "%s", err.msg);
	return CTL_FAILED;
}

const struct command cmd_events = {
	.name = "events", .synopsis = "[OPTION...]",
	.summary = "What happens, to people, a command or a webhook",
	.raw = true, .helper = HELPER_EVENTS, .fn = do_events,
};
