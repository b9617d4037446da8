/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify - what is wrong with a log, one line each; then what the answer rests
 * on and what it cannot say; then the answer.
 */
#include <inttypes.h>
#include <time.h>

#include "audit/tool.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

enum { V_LOG_DIR, V_KEY, V_ANCHOR, V_FORMAT, V_QUIET, V_STATS, N_V };
static const struct opt_spec verify_opts[N_V] = {
	TOOL_OPT_LOG_DIR,
	TOOL_OPT_KEY,
	{ "anchor", 0, OPT_LIST, "FILE", "checkpoint lines that were kept "
	    "elsewhere, or -" },
	{ "format", 0, OPT_TEXT, "FORMAT", "text (default) or json" },
	{ "quiet", 'q', OPT_FLAG, NULL, "nothing when all is good" },
	{ "stats", 0, OPT_FLAG, NULL, "how fast it was, on standard error" },
};

static const char *const status_names[] = { [VERIFY_GOOD] = "good",
	[VERIFY_BROKEN] = "broken", [VERIFY_USAGE] = "",
	[VERIFY_UNKNOWN] = "unknown" };

/* Sentences, each with '\n' behind it. */
static void __attribute__((format(printf, 2, 3)))
note(struct strbuf *notes, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	strbuf_adds(notes, text);
	strbuf_addc(notes, '\n');
	free(text);
}

static void
note_keys(struct strbuf *b, const struct tool_log *log,
    const struct verify_sum *s)
{
	if (!log->key_path)
		note(b, "there is no public key (--key, or audit.pub beside "
		    "the log): no signature was checked");
	else if (s->checkpoints == 0)
		note(b, "the log holds no checkpoint: nothing in it is "
		    "signed");
	else if (log->key_beside)
		note(b, "the key is from the log's own directory, %s: who can "
		    "rewrite the log can replace it as well; one that was "
		    "copied elsewhere (--key) proves more", log->key_path);
	if (log->key_path && s->unchecked)
		note(b, "%" PRIu64 " checkpoint%s could not be checked: the "
		    "line before is not here", s->unchecked,
		    s->unchecked == 1 ? "" : "s");
}

static void
note_ends(struct strbuf *b, const struct tool_log *log,
    const struct verify_sum *s)
{
	if (s->first_seq > 1)
		note(b, "the log begins at seq %" PRIu64 ": older files are "
		    "not here%s", s->first_seq, s->first_unchecked ?
		    ", and without the line before it the first line could "
		    "not be checked" : "");
	if (s->good && s->last_seq > s->signed_seq)
		note(b, "seq %" PRIu64 " to %" PRIu64 " stand behind the last "
		    "good checkpoint: chained, not signed yet",
		    s->signed_seq + 1, s->last_seq);
	if (s->anchors_older && s->last_seq == 0)
		note(b, "there is no line of the log here, and the anchors say "
		    "that there were some: it was emptied, or its files are "
		    "somewhere else");
	else if (s->anchors_older)
		note(b, "%" PRIu64 " anchor%s older than the first line that "
		    "is here, and could not be looked for", s->anchors_older,
		    s->anchors_older == 1 ? " is" : "s are");
	if (!log->anchors && s->good)
		note(b, "without a checkpoint that was kept elsewhere "
		    "(--anchor) nobody can tell whether the end was cut off");
	if (!log->files.has_current)
		note(b, "there is no " FILES_CURRENT " here: the newest "
		    "lines are somewhere else, or gone");
}

static void
note_disk(struct strbuf *b, const struct tool_log *log,
    const struct verify_sum *s)
{
	if (s->torn_bytes)
		note(b, "the last %" PRIu64 " bytes are no whole line: being "
		    "written right now, or torn by a crash (the daemon says "
		    "so when it starts and moves them to " FILES_TORN ")",
		    s->torn_bytes);
	if (log->files.torn_bytes)
		note(b, FILES_TORN " holds %" PRIu64 " bytes that were cut "
		    "off behind the last whole line at a start: by a crash, "
		    "or by somebody who edited the end",
		    (uint64_t)log->files.torn_bytes);
	if (s->ignored)
		note(b, "%" PRIu64 " line%s behind the end of a file that a "
		    "failing disk ended %s ignored: the next file begins "
		    "there", s->ignored, s->ignored == 1 ? "" : "s",
		    s->ignored == 1 ? "is" : "are");
	if (s->lost)
		note(b, "the daemon says that %" PRIu64 " record%s could not "
		    "be written: see 'tokenbrokerctl audit show --event "
		    "disk_recovered', and '--event lost'", s->lost,
		    s->lost == 1 ? "" : "s");
}

static void
add_summary(struct strbuf *b, const struct tool_log *log)
{
	const struct verify_sum *s = verify_sum(log->verify);
	enum verify_status status = verify_status(log->verify);
	uint64_t n = findings_count(verify_findings(log->verify));

	if (status == VERIFY_BROKEN)
		strbuf_addf(b, "BROKEN in %" PRIu64 " place%s: ", n,
		    n == 1 ? "" : "s");
	else
		strbuf_adds(b, status == VERIFY_GOOD ? "good: " :
		    s->lines == 0 ? "cannot be told: " :
		    s->good ? "cannot be told: an anchor is older than what "
		    "is here: " : "cannot be told: the chain holds, but "
		    "nothing shows who wrote it: ");
	strbuf_addf(b, "%" PRIu64 " line%s", s->lines,
	    s->lines == 1 ? "" : "s");
	if (s->lines)
		strbuf_addf(b, " (seq %" PRIu64 " to %" PRIu64 ")",
		    s->first_seq, s->last_seq);
	strbuf_addf(b, " in %" PRIu64 " file%s, %" PRIu64 " of %" PRIu64
	    " checkpoint%s good", s->files, s->files == 1 ? "" : "s", s->good,
	    s->checkpoints, s->checkpoints == 1 ? "" : "s");
	if (s->good)
		strbuf_addf(b, " (key %s)", s->key);
	if (log->anchors)
		strbuf_addf(b, ", %" PRIu64 " of %" PRIu64 " anchor%s found",
		    s->anchors_found, s->anchors, s->anchors == 1 ? "" : "s");
}

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
	add_summary(&b, log);
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
	    status_names[verify_status(log->verify)]);
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

static struct anchors *
load_anchors(const struct opt_result *all, struct tb_error *err)
{
	struct anchors *a = anchors_new();
	size_t i;

	for (i = 0; i < all->n_list; i++) {
		if (anchors_load(a, all->list[i], err) < 0) {
			anchors_free(a);
			return NULL;
		}
	}
	return a;
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
	note_keys(&notes, log, s);
	note_ends(&notes, log, s);
	note_disk(&notes, log, s);
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
	if (opt[V_ANCHOR].set && !(anchors = load_anchors(args->all, &err)))
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
