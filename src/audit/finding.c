/* SPDX-License-Identifier: Apache-2.0 */
/*
 * finding - see the header. The texts say what was seen; what it may mean only
 * where that follows from it.
 */
#include "audit/finding.h"

#include <inttypes.h>

#include "base/strbuf.h"

static const char *const kind_names[FINDING_KINDS] = {
	[FINDING_MALFORMED] = "malformed",
	[FINDING_EDITED] = "edited",
	[FINDING_HASH_ALTERED] = "hash_altered",
	[FINDING_MISSING] = "missing",
	[FINDING_CUT] = "cut",
	[FINDING_FILE_MISSING] = "file_missing",
	[FINDING_MOVED] = "moved",
	[FINDING_DUPLICATE] = "duplicate",
	[FINDING_SECOND] = "second",
	[FINDING_REPEATED] = "repeated",
	[FINDING_REWRITTEN] = "rewritten",
	[FINDING_BAD_SIGNATURE] = "bad_signature",
	[FINDING_UNKNOWN_KEY] = "unknown_key",
	[FINDING_BAD_CHECKPOINT] = "bad_checkpoint",
	[FINDING_ANCHOR_CUT] = "anchor_cut",
	[FINDING_ANCHOR_DIFFERS] = "anchor_differs",
	[FINDING_ANCHOR_MISSING] = "anchor_missing",
};

const char *
finding_name(enum finding_kind kind)
{
	return kind_names[kind];
}

void
findings_clear(struct findings *f)
{
	free(f->list);
	*f = (struct findings){ .n = 0 };
}

/* Checkpoints are far apart, and one bad one makes all that follow bad. */
static bool
joins(const struct finding *a, const struct finding *b)
{
	if (a->kind != b->kind || a->gone)
		return false;
	if (a->kind == FINDING_BAD_SIGNATURE)
		return a->other_seq == b->other_seq;
	if (a->kind == FINDING_UNKNOWN_KEY)
		return strcmp(a->detail, b->detail) == 0;
	if (a->file != b->file || b->line != a->line_to + 1)
		return false;
	if (a->kind == FINDING_MALFORMED)
		return strcmp(a->detail, b->detail) == 0;
	if (a->kind == FINDING_DUPLICATE || a->kind == FINDING_SECOND)
		return b->seq == a->seq_to + 1 &&
		    a->other_file == b->other_file &&
		    b->other_line - a->other_line == b->line - a->line;
	return b->seq == a->seq_to + 1 && (a->kind == FINDING_EDITED ||
	    a->kind == FINDING_MOVED || a->kind == FINDING_REPEATED);
}

struct finding *
findings_add(struct findings *f, const struct finding *one)
{
	struct finding *last = f->n ? &f->list[f->n - 1] : NULL;

	if (last && !f->more && joins(last, one)) {
		last->line_to = one->line;
		last->seq_to = one->seq;
		last->n++;
		return last;
	}
	if (f->n == FINDINGS_MAX) {
		f->more++;
		return NULL;
	}
	f->list = xreallocarray(f->list, f->n + 1, sizeof(f->list[0]));
	last = &f->list[f->n++];
	*last = *one;
	if (last->line_to == 0)
		last->line_to = last->line;
	if (last->seq_to == 0)
		last->seq_to = last->seq;
	if (last->n == 0)
		last->n = 1;
	return last;
}

uint64_t
findings_count(const struct findings *f)
{
	uint64_t n = f->more;
	size_t i;

	for (i = 0; i < f->n; i++)
		n += !f->list[i].gone;
	return n;
}

/* ------------------------------------------------------------------- text */

static void
add_where(const struct finding *one, struct strbuf *out)
{
	strbuf_addf(out, "%s:", one->file);
	if (one->line)
		strbuf_addf(out, "%" PRIu64, one->line);
	if (one->line && one->line_to > one->line)
		strbuf_addf(out, "-%" PRIu64, one->line_to);
	strbuf_adds(out, one->line ? ": " : " ");
	if (one->seq == 0)
		return;
	strbuf_addf(out, "seq %" PRIu64, one->seq);
	if (one->seq_to > one->seq)
		strbuf_addf(out, "-%" PRIu64, one->seq_to);
	strbuf_adds(out, ": ");
}

static void
add_missing(const struct finding *one, struct strbuf *out)
{
	uint64_t whole = one->seq_to - one->seq + 1;
	bool one_line = one->n == 1;

	if (one->n == whole)
		strbuf_addf(out, "%" PRIu64 " line%s missing", one->n,
		    one_line ? " is" : "s are");
	else
		strbuf_addf(out, "%" PRIu64 " of %" PRIu64 " lines %s "
		    "missing", one->n, whole, one_line ? "is" : "are");
	if (one->kind == FINDING_MISSING)
		strbuf_adds(out, " in front of this line: dropped");
	else if (one->kind == FINDING_CUT)
		strbuf_adds(out, " behind this line: the end of the file was "
		    "cut off");
	else
		strbuf_adds(out, " in front of this file: a whole file, or "
		    "its beginning");
}

static void
add_other(const struct finding *one, const char *what, struct strbuf *out)
{
	strbuf_addf(out, "%s %s:%" PRIu64, what, one->other_file,
	    one->other_line);
}

static void
add_bad_signature(const struct finding *one, struct strbuf *out)
{
	if (one->n > 1)
		strbuf_addf(out, "the signatures of these %" PRIu64
		    " checkpoints do not fit", one->n);
	else
		strbuf_adds(out, "the signature of this checkpoint does not "
		    "fit");
	if (one->other_seq)
		strbuf_addf(out, ": something behind the last good "
		    "checkpoint (seq %" PRIu64 ") was changed and the hashes "
		    "were made anew, or the checkpoint was", one->other_seq);
	else
		strbuf_adds(out, ": something in front of it was changed and "
		    "the hashes were made anew, or the checkpoint was");
}

static void
add_unknown_key(const struct finding *one, struct strbuf *out)
{
	if (one->n > 1)
		strbuf_addf(out, "%" PRIu64 " checkpoints are signed",
		    one->n);
	else
		strbuf_adds(out, "this checkpoint is signed");
	strbuf_addf(out, " by key %s, which is neither in the key file nor "
	    "announced under a key that is: somebody else signed, or the "
	    "daemon lost its key and made a new one", one->detail);
}

/* What a line or its place says. */
static void
add_line_text(const struct finding *one, struct strbuf *out)
{
	if (one->kind == FINDING_MALFORMED)
		strbuf_addf(out, "no line of the log: %s", one->detail);
	else if (one->kind == FINDING_EDITED)
		strbuf_adds(out, one->n > 1 ? "edited: the hashes do not fit "
		    "these lines" : "edited: the hash does not fit the line "
		    "(or the line before it was changed together with its "
		    "hash)");
	else if (one->kind == FINDING_HASH_ALTERED)
		strbuf_adds(out, "edited: the line itself is as it was, its "
		    "\"hash\" was altered");
	else if (one->kind == FINDING_MOVED)
		strbuf_addf(out, "reordered: stands behind seq %" PRIu64,
		    one->other_seq);
	else if (one->kind == FINDING_DUPLICATE)
		add_other(one, "duplicated: the same as", out);
	else if (one->kind == FINDING_SECOND)
		add_other(one, "inserted or edited: another line with this "
		    "number is", out);
	else if (one->kind == FINDING_REPEATED)
		strbuf_addf(out, "duplicated or reordered: the log had reached "
		    "seq %" PRIu64 " before", one->other_seq);
	else if (one->kind == FINDING_REWRITTEN)
		strbuf_addf(out, "%" PRIu64 " line%s missing in front of this "
		    "line, and its hash was made to fit: the log was written "
		    "anew", one->n, one->n == 1 ? " is" : "s are");
}

/* What checkpoints and anchors say. */
static void
add_signed_text(const struct finding *one, struct strbuf *out)
{
	if (one->kind == FINDING_BAD_SIGNATURE)
		add_bad_signature(one, out);
	else if (one->kind == FINDING_UNKNOWN_KEY)
		add_unknown_key(one, out);
	else if (one->kind == FINDING_BAD_CHECKPOINT)
		strbuf_addf(out, "a checkpoint with %s", one->detail);
	else if (one->kind == FINDING_ANCHOR_CUT)
		strbuf_addf(out, "the log ends here, and the anchor %s says "
		    "it reached seq %" PRIu64 ": its end was cut off",
		    one->detail, one->other_seq);
	else if (one->kind == FINDING_ANCHOR_DIFFERS)
		strbuf_addf(out, "the anchor %s says another line was here: "
		    "the log was written and signed anew in front of it, or "
		    "the anchor is of another log", one->detail);
	else if (one->kind == FINDING_ANCHOR_MISSING)
		strbuf_addf(out, "the checkpoint of the anchor %s is not in "
		    "the log", one->detail);
}

static void
add_what(const struct finding *one, struct strbuf *out)
{
	switch (one->kind) {
	case FINDING_MISSING:
	case FINDING_CUT:
	case FINDING_FILE_MISSING:
		add_missing(one, out);
		break;
	case FINDING_MALFORMED:
	case FINDING_EDITED:
	case FINDING_HASH_ALTERED:
	case FINDING_MOVED:
	case FINDING_DUPLICATE:
	case FINDING_SECOND:
	case FINDING_REPEATED:
	case FINDING_REWRITTEN:
		add_line_text(one, out);
		break;
	case FINDING_BAD_SIGNATURE:
	case FINDING_UNKNOWN_KEY:
	case FINDING_BAD_CHECKPOINT:
	case FINDING_ANCHOR_CUT:
	case FINDING_ANCHOR_DIFFERS:
	case FINDING_ANCHOR_MISSING:
		add_signed_text(one, out);
		break;
	case FINDING_KINDS:
		break;
	}
}

void
finding_add_text(const struct finding *one, struct strbuf *out)
{
	add_where(one, out);
	add_what(one, out);
}

void
finding_add_json(const struct finding *one, struct strbuf *out)
{
	struct strbuf what _cleanup_(strbuf_clear) = STRBUF_INIT;

	add_what(one, &what);
	strbuf_addf(out, "{\"kind\":\"%s\",\"file\":",
	    finding_name(one->kind));
	strbuf_add_json(out, one->file);
	strbuf_addf(out, ",\"line\":%" PRIu64 ",\"line_to\":%" PRIu64
	    ",\"seq\":%" PRIu64 ",\"seq_to\":%" PRIu64 ",\"count\":%" PRIu64,
	    one->line, one->line_to, one->seq, one->seq_to, one->n);
	if (one->other_file) {
		strbuf_adds(out, ",\"other_file\":");
		strbuf_add_json(out, one->other_file);
		strbuf_addf(out, ",\"other_line\":%" PRIu64, one->other_line);
	}
	strbuf_adds(out, ",\"text\":");
	strbuf_add_json(out, strbuf_str(&what));
	strbuf_addc(out, '}');
}
