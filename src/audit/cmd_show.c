/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show, export - lines of the log, those that are asked for, the newest last.
 */
#include "audit/print.h"
#include "audit/tool.h"
#include "base/tb_error.h"

enum { S_FORMAT = TOOL_N_FILTER, S_LIMIT, S_LOG_DIR, S_KEY, S_LOCAL, N_SHOW,
	N_EXPORT = S_LOCAL };
static const struct opt_spec show_opts[N_SHOW] = {
	TOOL_OPTS_FILTER,
	{ "format", 0, OPT_TEXT, "table|json", "table (default) or json: the "
	    "lines as they are" },
	{ "limit", 'n', OPT_NUMBER, "N", "the last N of them only" },
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
	{ "local", 0, OPT_FLAG, NULL, "times in this host's zone, not in "
	    "UTC" },
};
static const struct opt_spec export_opts[N_EXPORT] = {
	TOOL_OPTS_FILTER,
	{ "format", 0, OPT_TEXT, "json|csv", "json (default): the lines as "
	    "they are; or csv" },
	{ "limit", 'n', OPT_NUMBER, "N", "the last N of them only" },
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
};

/* The last lines so far, as a ring; without a limit none are kept. */
struct show {
	struct filter filter;
	struct print print;
	size_t limit; /* 0: none */
	char **kept;
	size_t n_kept, next;
};

static void
show_on_line(void *arg, const char *line, size_t len, const struct scan *scan)
{
	struct show *s = arg;

	if (!filter_matches(&s->filter, scan))
		return;
	if (s->limit == 0) {
		print_line(&s->print, line, len, scan);
		return;
	}
	if (s->n_kept < s->limit) {
		s->kept = xreallocarray(s->kept, ++s->n_kept,
		    sizeof(s->kept[0]));
		s->kept[s->next] = NULL;
	}
	free(s->kept[s->next]);
	s->kept[s->next] = xstrndup(line, len);
	s->next = (s->next + 1) % s->limit;
}

static void
show_kept(struct show *s)
{
	size_t i, at = s->n_kept < s->limit ? 0 : s->next;
	struct scan scan;
	char *line;

	for (i = 0; i < s->n_kept; i++) {
		line = s->kept[(at + i) % s->n_kept];
		if (!scan_line(line, strlen(line), &scan))
			print_line(&s->print, line, strlen(line), &scan);
		free(line);
	}
	free(s->kept);
}

static int
show(const struct tool_args *args, const enum print_format *format,
    const char *const *words)
{
	const struct opt_value *opt = args->opt;
	struct tool_log log _cleanup_(tool_log_clear) = TOOL_LOG_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct show s = { .limit = (size_t)opt[S_LIMIT].number };
	int chosen, failed;

	if (tool_filter(opt, &s.filter, &err) < 0 ||
	    tool_format(&opt[S_FORMAT], words, &chosen, &err) < 0 ||
	    tool_log_open(&log, opt[S_LOG_DIR].text, NULL, 0,
	    opt[S_KEY].text, NULL, &err) < 0)
		return tool_fail(&err);
	print_init(&s.print, format[chosen],
	    words[0][0] == 't' && opt[S_LOCAL].set);
	if (opt[S_LIMIT].set && s.limit == 0)
		return TOOL_OK;
	print_heading(&s.print);
	failed = walk_files(&log.files, log.verify, show_on_line, &s, &err);
	show_kept(&s);
	if (failed)
		return tool_fail(&err);
	verify_end(log.verify);
	tool_log_warn(&log);
	return TOOL_OK;
}

static int
do_show(const struct tool_args *args)
{
	static const char *const words[] = { "table", "json", NULL };
	static const enum print_format formats[] = { PRINT_TABLE, PRINT_JSON };

	return show(args, formats, words);
}

static int
do_export(const struct tool_args *args)
{
	static const char *const words[] = { "json", "csv", NULL };
	static const enum print_format formats[] = { PRINT_JSON, PRINT_CSV };

	return show(args, formats, words);
}

const struct tool_command cmd_show = {
	.name = "show", .synopsis = "[FILTER...] [--format FORMAT] "
	    "[--limit N]",
	.summary = "Lines of the log, the newest last",
	.help = "All filters given must fit. PATTERN may hold * and ?; TIME "
	    "is\n2026-11-22T17:20:00Z, 2026-11-22, or a duration before now "
	    "(2h).",
	.opts = show_opts, .n_opts = N_SHOW, .fn = do_show,
};

const struct tool_command cmd_export = {
	.name = "export", .synopsis = "[FILTER...] [--format FORMAT]",
	.summary = "The same for programs: JSON Lines or CSV",
	.opts = export_opts, .n_opts = N_EXPORT, .fn = do_export,
};
