/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify - what is wrong with a log, one line each; then what the answer rests
 * on and what it cannot say; then the answer.
 */
#include <inttypes.h>
#include <time.h>

#include "audit/opinion.h"
#include "audit/tool.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

enum { V_LOG_DIR, V_KEY, V_ANCHOR, V_FORMAT, V_QUIET, V_STATS, N_V };
static const struct opt_spec verify_opts[N_V] = {
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
	{ "anchor", 0, OPT_LIST, "FILE", "checkpoint lines that were kept "
	    "elsewhere, or -" },
	{ "format", 0, OPT_TEXT, "text|json", "text (default) or json" },
	{ "quiet", 'q', OPT_FLAG, NULL, "nothing when all is good" },
	{ "stats", 0, OPT_FLAG, NULL, "how fast it was, on standard error" },
};

static void
print_clean(const char *text)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct term term;

	term_init(&term, STDOUT_FILENO);
	term_add_clean(&b, text, term.utf8);
	puts(strbuf_str(&b));
}

static void
print_text(const struct tool_log *log, const struct strbuf *notes, bool quiet)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct findings *f = verify_findings(log->verify);
	const char *p = strbuf_str(notes);
	size_t i;

	for (i = 0; i < f->n; i++) {
		if (f->list[i].gone)
			continue;
		strbuf_reset(&b);
		finding_add_text(&f->list[i], &b);
		print_clean(strbuf_str(&b));
	}
	if (f->more)
		printf("and %" PRIu64 " more places\n", f->more);
	if (quiet && verify_status(log->verify) == VERIFY_GOOD)
		return;
	for (; *p; p += strcspn(p, "\n") + 1) {
		strbuf_reset(&b);
		strbuf_add(&b, p, strcspn(p, "\n"));
		printf("note: ");
		print_clean(strbuf_str(&b));
	}
	strbuf_reset(&b);
	opinion_add_summary(log, &b);
	print_clean(strbuf_str(&b));
}

static void
add_json_numbers(struct strbuf *b, const struct verify_sum *s)
{
	strbuf_addf(b, ",\"files\":%" PRIu64 ",\"lines\":%" PRIu64
	    ",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64
	    ",\"signed_seq\":%" PRIu64 ",\"checkpoints\":%" PRIu64
	    ",\"checkpoints_good\":%" PRIu64 ",\"checkpoints_unchecked\":%"
	    PRIu64 ",\"anchors\":%" PRIu64 ",\"anchors_found\":%" PRIu64
	    ",\"ignored\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"torn_bytes\":%"
	    PRIu64, s->files, s->lines, s->first_seq, s->last_seq,
	    s->signed_seq, s->checkpoints, s->good, s->unchecked, s->anchors,
	    s->anchors_found, s->ignored, s->lost, s->torn_bytes);
	if (s->good)
		strbuf_addf(b, ",\"key\":\"%s\"", s->key);
}

static void
print_json(const struct tool_log *log, const struct strbuf *notes)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct findings *f = verify_findings(log->verify);
	const char *p = strbuf_str(notes), *comma = "";
	size_t i;

	strbuf_addf(&b, "{\"status\":\"%s\"",
	    opinion_name(verify_status(log->verify)));
	add_json_numbers(&b, verify_sum(log->verify));
	strbuf_adds(&b, ",\"findings\":[");
	for (i = 0; i < f->n; i++) {
		if (f->list[i].gone)
			continue;
		strbuf_adds(&b, comma);
		finding_add_json(&f->list[i], &b);
		comma = ",";
	}
	strbuf_addf(&b, "],\"more_findings\":%" PRIu64 ",\"notes\":[",
	    f->more);
	for (comma = ""; *p; p += strcspn(p, "\n") + 1) {
		_cleanup_free_ char *one = xstrndup(p, strcspn(p, "\n"));

		strbuf_adds(&b, comma);
		strbuf_add_json(&b, one);
		comma = ",";
	}
	strbuf_adds(&b, "]}");
	puts(strbuf_str(&b));
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
print_stats(const struct verify_sum *s, double took)
{
	took = MAX2(took, 1e-9);
	fprintf(stderr, "%" PRIu64 " lines, %" PRIu64 " bytes in %.3f s: "
	    "%.0f lines/s, %.0f MB/s\n", s->lines, s->bytes, took,
	    (double)s->lines / took, (double)s->bytes / took / 1e6);
}

/* What cannot be read cannot be told. */
static int
verify_fail(const struct tb_error *err)
{
	tool_fail(err);
	return err->code == TB_E_BADREQ ? VERIFY_USAGE : VERIFY_UNKNOWN;
}

static int
verify_log(struct tool_log *log, const struct opt_value *opt, bool json,
    struct tb_error *err)
{
	struct strbuf notes _cleanup_(strbuf_clear) = STRBUF_INIT;
	const struct verify_sum *s = verify_sum(log->verify);
	double start = seconds();

	if (walk_files(&log->files, log->verify, NULL, NULL, err) < 0)
		return verify_fail(err);
	verify_end(log->verify);
	if (opt[V_STATS].set)
		print_stats(s, seconds() - start);
	opinion_add_notes(log, &notes);
	if (json)
		print_json(log, &notes);
	else
		print_text(log, &notes, opt[V_QUIET].set);
	return (int)verify_status(log->verify);
}

static int
do_verify(const struct tool_args *args)
{
	static const char *const formats[] = { "text", "json", NULL };
	const struct opt_value *opt = args->opt;
	struct tool_log log _cleanup_(tool_log_clear) = TOOL_LOG_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct anchors *anchors = NULL;
	int format;

	if (tool_format(&opt[V_FORMAT], formats, &format, &err) < 0)
		return verify_fail(&err);
	if (opt[V_LOG_DIR].set && args->n_args) {
		tool_complain("--log-dir and files exclude each other");
		return VERIFY_USAGE;
	}
	if (opt[V_ANCHOR].set && !(anchors = tool_anchors(args->all, &err)))
		return verify_fail(&err);
	if (tool_log_open(&log, opt[V_LOG_DIR].text, args->arg, args->n_args,
	    opt[V_KEY].text, anchors, &err) < 0)
		return verify_fail(&err);
	return verify_log(&log, opt, format == 1, &err);
}

const struct tool_command cmd_verify = {
	.name = "verify",
	.synopsis = "[--log-dir DIR | FILE...] [--key FILE] "
	    "[--anchor FILE]...",
	.summary = "Is the log as it was written",
	.help = "Prints every line that was edited, moved, dropped or "
	    "duplicated. Needs no daemon.\nExit status: 0 good, 1 broken, "
	    "2 usage, 3 it cannot be told (no key, no\ncheckpoint, an anchor "
	    "older than the log, or it cannot be read).",
	.opts = verify_opts, .n_opts = N_V, .max_args = OPT_ARGS_MAX,
	.fn = do_verify,
};
