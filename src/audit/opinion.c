/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opinion - see the header.
 */
#include "audit/opinion.h"

#include <inttypes.h>

#include "audit/tool.h"
#include "base/strbuf.h"

const char *
opinion_name(enum verify_status status)
{
	static const char *const names[] = { [VERIFY_GOOD] = "good",
		[VERIFY_BROKEN] = "broken", [VERIFY_USAGE] = "",
		[VERIFY_UNKNOWN] = "unknown" };

	return names[status];
}

/* Sentences, each with '\n' behind it. */
static void __attribute__((format(printf, 2, 3)))
note(struct strbuf *notes, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
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

void
opinion_add_summary(const struct tool_log *log, struct strbuf *b)
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

void
opinion_add_notes(const struct tool_log *log, struct strbuf *b)
{
	const struct verify_sum *s = verify_sum(log->verify);

	note_keys(b, log, s);
	note_ends(b, log, s);
	note_disk(b, log, s);
}
