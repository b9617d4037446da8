/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint - the last signed line of the log, to be kept where who can
 * write the log cannot: what `verify --anchor` is given later. (With --now,
 * tokenbrokerctl asks the daemon for a new one, and this is not run.)
 */
#include "audit/tool.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

enum { C_LOG_DIR, C_KEY, N_C };
static const struct opt_spec checkpoint_opts[N_C] = {
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
};

static void
checkpoint_on_line(void *arg, const char *line, size_t len,
    const struct scan *scan)
{
	struct strbuf *last = arg;

	if (!scan_is(scan, SCAN_EVENT, "checkpoint"))
		return;
	strbuf_reset(last);
	strbuf_add(last, line, len);
}

/* Only the files from i on: the last checkpoint is nearly always in the last
 * one. Whether they can be believed is told all the same. */
static int
find_last(const struct opt_value *opt, struct files *all, size_t i,
    struct strbuf *last, struct tb_error *err)
{
	struct tool_log log _cleanup_(tool_log_clear) = TOOL_LOG_INIT;
	const char *path = all->file[i].path;
	_cleanup_free_ char *key = xasprintf("%s/" FILES_KEYS, all->dir);

	if (access(key, R_OK) < 0)
		free(STEAL(key));
	if (tool_log_open(&log, NULL, &path, 1, opt[C_KEY].set ?
	    opt[C_KEY].text : key, NULL, err) < 0 ||
	    walk_files(&log.files, log.verify, checkpoint_on_line, last,
	    err) < 0)
		return -1;
	if (last->len > 0)
		tool_log_warn(&log);
	return 0;
}

static int
do_checkpoint(const struct tool_args *args)
{
	const struct opt_value *opt = args->opt;
	struct strbuf last _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct files all _cleanup_(files_clear) = { .n = 0 };
	struct tb_error err = TB_ERROR_INIT;
	size_t i;

	if (files_list(&all, opt[C_LOG_DIR].set ? opt[C_LOG_DIR].text :
	    TOOL_LOG_DIR, &err) < 0)
		return tool_fail(&err);
	for (i = all.n; i-- > 0 && last.len == 0;)
		if (find_last(opt, &all, i, &last, &err) < 0)
			return tool_fail(&err);
	if (last.len == 0) {
		tool_complain("the log holds no checkpoint yet; the daemon "
		    "writes one soon after its start");
		return TOOL_FAILED;
	}
	puts(last.s);
	return TOOL_OK;
}

const struct tool_command cmd_checkpoint = {
	.name = "checkpoint", .synopsis = "[--now] [--log-dir DIR]",
	.summary = "The last signed line, to be kept elsewhere",
	.help = "Keep what it prints where root of this host cannot change "
	    "it; 'audit verify\n--anchor FILE' holds the log against it. "
	    "--now has the daemon sign up to now\nfirst (operators only).",
	.opts = checkpoint_opts, .n_opts = N_C, .fn = do_checkpoint,
};
