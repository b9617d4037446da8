/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify - see the header.
 *
 * `high` is the line with the highest number so far. A line is either the one
 * after it, or jumps (what lies between becomes a gap, kept with its finding),
 * or goes back. One that goes back into a gap was moved, and the gap shrinks;
 * one that was there before is a duplicate or a second one. After each the
 * expectation is again the line after `high`, so that one break is one
 * finding and not two.
 */
#include "audit/verify.h"

#include "audit/anchor.h"
#include "audit/digest.h"
#include "audit/files.h"
#include "audit/gap.h"
#include "audit/keys.h"
#include "base/util.h"

struct seen {
	uint64_t seq; /* 0: nothing here */
	uint64_t line;
	const char *file;
	char hash[SCAN_HEX];
	bool fits; /* followed from the line before it */
};

struct verify {
	struct keys *keys;
	struct anchors *anchors;
	struct digest digest;
	struct findings findings;
	struct verify_sum sum;
	struct seen window[VERIFY_WINDOW]; /* by seq */
	struct gaps gaps; /* each with its finding; SIZE_MAX: it has none */

	/* the first line of all, while it cannot be checked */
	struct {
		char *line;
		size_t len;
		struct finding finding;
	} first;
	uint64_t high;
	char high_real[SCAN_HEX]; /* what the hash of `high` should be */
	bool high_altered;        /* ... where it is not what stands there */
	size_t high_finding;

	const char *file, *file_before;
	uint64_t line;      /* in file */
	uint64_t last_seq, last_seq_before; /* by the files' names */
	uint64_t lines_before; /* of file_before */
	bool past_end;      /* of a condemned file */
	uint64_t bad_run;   /* malformed lines since the last good one */
	char bad_hash[SCAN_HEX]; /* what the last of them claims, or 0 */
};

struct verify *
verify_new(struct keys *keys, struct anchors *anchors, struct tb_error *err)
{
	struct verify *v = xnew(struct verify);

	v->keys = keys;
	v->anchors = anchors;
	if (digest_init(&v->digest, err) == 0)
		return v;
	verify_free(v);
	return NULL;
}

void
verify_free(struct verify *v)
{
	if (!v)
		return;
	digest_clear(&v->digest);
	free(v->first.line);
	findings_clear(&v->findings);
	free(v);
}

static struct seen *
seen_at(struct verify *v, uint64_t seq)
{
	return &v->window[seq % VERIFY_WINDOW];
}

/* The line with this number, when it is remembered. */
static struct seen *
seen_find(struct verify *v, uint64_t seq)
{
	struct seen *s = seen_at(v, seq);

	return seq > 0 && s->seq == seq ? s : NULL;
}

static struct finding
finding_here(const struct verify *v, enum finding_kind kind, uint64_t seq)
{
	return (struct finding){ .kind = kind, .file = v->file,
		.line = v->line, .seq = seq };
}

/* Its index, SIZE_MAX when it was only counted. */
static size_t
report(struct verify *v, const struct finding *one)
{
	return findings_add(&v->findings, one) ? v->findings.n - 1 :
	    SIZE_MAX;
}

static size_t
report_here(struct verify *v, enum finding_kind kind, uint64_t seq,
    const char *detail)
{
	struct finding one = finding_here(v, kind, seq);

	snprintf(one.detail, sizeof(one.detail), "%s", detail ? detail : "");
	return report(v, &one);
}

void
verify_file(struct verify *v, const char *name, uint64_t last_seq)
{
	v->file_before = v->file;
	v->last_seq_before = v->last_seq;
	v->lines_before = v->line;
	v->file = name;
	v->last_seq = last_seq;
	v->line = 0;
	v->past_end = false;
	v->sum.files++;
}

/* -------------------------------------------------------------------- gaps */

/* seq has turned up after all. False: it was not missing. */
static bool
fill_gap(struct verify *v, uint64_t seq)
{
	struct finding *f;
	size_t finding;

	if (!gaps_take(&v->gaps, seq, &finding))
		return false;
	if (finding != SIZE_MAX) {
		f = &v->findings.list[finding];
		f->gone = --f->n == 0;
	}
	return true;
}

static void
missing(struct verify *v, enum finding_kind kind, const char *file,
    uint64_t line, uint64_t from, uint64_t to)
{
	struct finding one = { .kind = kind, .file = file, .line = line,
		.seq = from, .seq_to = to, .n = to - from + 1 };

	gaps_add(&v->gaps, from, to, report(v, &one));
}

/* from..to is missing in front of the line that we are at. Between two files,
 * the older one's name tells up to where it went. */
static void
missing_here(struct verify *v, uint64_t from, uint64_t to)
{
	uint64_t end = v->last_seq_before;

	if (v->line != 1 || !v->file_before) {
		missing(v, FINDING_MISSING, v->file, v->line, from, to);
		return;
	}
	if (end >= from) {
		missing(v, FINDING_CUT, v->file_before, v->lines_before, from,
		    MIN2(end, to));
		from = end + 1;
	}
	if (from <= to)
		missing(v, FINDING_FILE_MISSING, v->file, v->line, from, to);
}

/* ------------------------------------------------------------------- lines */

/* What the line before this one has as its hash, as far as that is known. */
struct before {
	const char *hash; /* NULL: not known */
	bool claimed;     /* by a line that is none: not fitting says nothing */
};

static struct before
before_of(struct verify *v, uint64_t seq)
{
	static const char zeros[] = "0000000000000000000000000000000000000000"
	    "000000000000000000000000";
	const struct seen *s = seen_find(v, seq - 1);
	const struct anchor *a;

	if (seq == 1)
		return (struct before){ zeros, false };
	if (s)
		return (struct before){ s->hash, false };
	if (v->bad_run && v->bad_hash[0])
		return (struct before){ v->bad_hash, true };
	a = v->anchors ? anchors_find(v->anchors, seq - 1) : NULL;
	return (struct before){ a ? anchor_hash(a) : NULL, false };
}

/* The first line of all. */
static void
take_first(struct verify *v, const char *line, size_t len, uint64_t seq)
{
	v->sum.first_seq = seq;
	if (seq > 1)
		gaps_add(&v->gaps, 1, seq - 1, SIZE_MAX);
	v->sum.first_unchecked = !before_of(v, seq).hash;
	if (!v->sum.first_unchecked)
		return;
	v->first.line = xstrndup(line, len);
	v->first.len = len;
	v->first.finding = finding_here(v, FINDING_EDITED, seq);
}

/* A number that is too high by some. Lines that are none stand for as many. */
static void
take_jump(struct verify *v, const char *line, const struct scan *s)
{
	uint64_t from = v->high + 1 + v->bad_run;
	const struct seen *high = seen_find(v, v->high);
	struct finding one = finding_here(v, FINDING_REWRITTEN, s->seq);

	if (s->seq <= from)
		return;
	if (!v->bad_run && high && digest_fits(&v->digest, high->hash, line, s)) {
		one.n = s->seq - from;
		report(v, &one);
		return;
	}
	missing_here(v, from, s->seq - 1);
}

/* A number that is not higher than what was there. True: this line is the
 * one that belongs there, and is remembered instead of the other. */
static bool
take_back(struct verify *v, const char *line, const struct scan *s)
{
	struct finding one = finding_here(v, FINDING_MOVED, s->seq);
	const struct seen *old = seen_find(v, s->seq);
	const struct seen *before = seen_find(v, s->seq - 1);
	bool better;

	one.other_seq = v->high;
	if (fill_gap(v, s->seq)) {
		report(v, &one);
		return true;
	}
	if (!old) {
		one.kind = FINDING_REPEATED;
		report(v, &one);
		return false;
	}
	one.other_file = old->file;
	one.other_line = old->line;
	better = !old->fits && before && digest_fits(&v->digest, before->hash, line, s);
	one.kind = better || memcmp(old->hash, s->hash, SCAN_HEX) != 0 ?
	    FINDING_SECOND : FINDING_DUPLICATE;
	report(v, &one);
	return better;
}

/* The line after one whose hash did not fit: does it fit what that one's hash
 * should have been? Then only the hash was altered. */
static bool
fits_real_hash(struct verify *v, const char *line, const struct scan *s)
{
	struct finding *f;

	if (!v->high_altered || s->seq != v->high + 1 ||
	    !digest_fits(&v->digest, v->high_real, line, s))
		return false;
	if (v->high_finding != SIZE_MAX) {
		f = &v->findings.list[v->high_finding];
		if (f->n == 1)
			f->kind = FINDING_HASH_ALTERED;
	}
	return true;
}

/* *before becomes what the line really follows from. */
static bool
check_hash(struct verify *v, const char *line, const struct scan *s,
    struct before *before, char real[SCAN_HEX], size_t *finding)
{
	*finding = SIZE_MAX;
	if (!before->hash)
		return true;
	digest_line(&v->digest, before->hash, line, s->body_len, real);
	if (memcmp(real, s->hash, SCAN_HEX) == 0)
		return true;
	if (fits_real_hash(v, line, s)) {
		before->hash = v->high_real;
		return true;
	}
	if (before->claimed) {
		before->hash = NULL;
		return true;
	}
	*finding = report_here(v, FINDING_EDITED, s->seq, NULL);
	return false;
}

static void
remember(struct verify *v, const struct scan *s, bool fits)
{
	struct seen *e = seen_at(v, s->seq);

	*e = (struct seen){ .seq = s->seq, .line = v->line, .file = v->file,
		.fits = fits };
	memcpy(e->hash, s->hash, SCAN_HEX);
}

/* -------------------------------------------------------------- checkpoints */

static void
check_signature(struct verify *v, const char *line, const struct scan *s,
    const char *before)
{
	struct finding one = finding_here(v, FINDING_BAD_SIGNATURE, s->seq);
	const struct scan_member *id = scan_string(s, SCAN_KEY);

	one.other_seq = v->sum.signed_seq;
	switch (keys_check(v->keys, line, s, before)) {
	case KEYS_GOOD:
		v->sum.good++;
		v->sum.signed_seq = MAX2(v->sum.signed_seq, s->seq);
		memcpy(v->sum.key, id->value, sizeof(v->sum.key) - 1);
		keys_accept(v->keys);
		break;
	case KEYS_BAD:
		report(v, &one);
		break;
	case KEYS_UNKNOWN:
		one.kind = FINDING_UNKNOWN_KEY;
		snprintf(one.detail, sizeof(one.detail), "%.*s",
		    (int)id->value_len, id->value);
		report(v, &one);
		break;
	}
}

static void
take_checkpoint(struct verify *v, const char *line, const struct scan *s,
    const struct before *before)
{
	const char *wrong = keys_check_form(s);

	v->sum.checkpoints++;
	if (wrong)
		report_here(v, FINDING_BAD_CHECKPOINT, s->seq, wrong);
	else if (keys_count(v->keys) == 0 || !before->hash)
		v->sum.unchecked++;
	else
		check_signature(v, line, s, before->hash);
}

static void
check_anchors(struct verify *v, const char *line, size_t len, uint64_t seq)
{
	struct anchor *a = anchors_find(v->anchors, seq), *end;

	if (!a)
		return;
	end = anchors_at(v->anchors, 0) + anchors_count(v->anchors);
	for (; a < end && a->seq == seq; a++) {
		if (a->len == len && memcmp(a->line, line, len) == 0) {
			a->found = true;
		} else if (!a->found && !a->differs) {
			a->differs = true;
			report_here(v, FINDING_ANCHOR_DIFFERS, seq, a->where);
		}
	}
}

/* -------------------------------------------------------------------- feed */

static void
take_malformed(struct verify *v, const char *line, size_t len,
    const char *wrong)
{
	static const char tail[] = ",\"hash\":\"";
	const size_t n = sizeof(tail) - 1 + SCAN_HEX + 2;

	report_here(v, FINDING_MALFORMED, 0, wrong);
	v->bad_run++;
	v->bad_hash[0] = '\0';
	if (len > n && len <= SCAN_LINE_MAX &&
	    memcmp(line + len - n, tail, sizeof(tail) - 1) == 0)
		memcpy(v->bad_hash, line + len - SCAN_HEX - 2, SCAN_HEX);
}

/* The daemon has deleted an old file, and says how that one ended. When it is
 * the one before the first that is here, the first line can be checked now. */
static void
take_removed(struct verify *v, const struct scan *s)
{
	const struct scan_member *last = scan_string(s, SCAN_LAST_HASH);
	_cleanup_free_ char *name = scan_dup(s, SCAN_FILE);
	struct scan first;

	if (!v->first.line || !last || last->value_len != SCAN_HEX || !name ||
	    files_name_seq(name) + 1 != v->sum.first_seq ||
	    scan_line(v->first.line, v->first.len, &first))
		return;
	if (!digest_fits(&v->digest, last->value, v->first.line, &first))
		report(v, &v->first.finding);
	v->sum.first_unchecked = false;
	free(STEAL(v->first.line));
}

/* Of what stands in a line, what the sum wants to know. */
static void
take_content(struct verify *v, const char *line, const struct scan *s,
    const struct before *before, bool fits)
{
	if (scan_is(s, SCAN_EVENT, "checkpoint"))
		take_checkpoint(v, line, s, before);
	else if (scan_is(s, SCAN_EVENT, "audit_key") && fits)
		keys_announce(v->keys, s);
	else if (scan_is(s, SCAN_EVENT, "files_removed"))
		take_removed(v, s);
	else if (scan_is(s, SCAN_EVENT, "lost") ||
	    scan_is(s, SCAN_EVENT, "disk_recovered"))
		v->sum.lost += scan_number(s, SCAN_COUNT);
}

static void
take_line(struct verify *v, const char *line, size_t len,
    const struct scan *s)
{
	bool first = v->sum.lines == 0, keep = true, fits;
	struct before before;
	char real[SCAN_HEX];
	size_t finding;

	if (first)
		take_first(v, line, len, s->seq);
	else if (s->seq > v->high + 1)
		take_jump(v, line, s);
	else if (s->seq <= v->high)
		keep = take_back(v, line, s);
	before = before_of(v, s->seq);
	fits = check_hash(v, line, s, &before, real, &finding);
	if (keep)
		remember(v, s, fits && before.hash);
	/* now: `before` points into what is overwritten next */
	take_content(v, line, s, &before, fits && before.hash);
	if (s->seq > v->high) {
		v->high = s->seq;
		v->high_altered = !fits;
		memcpy(v->high_real, fits ? s->hash : real, SCAN_HEX);
		v->high_finding = finding;
	}
	v->sum.lines++;
	v->bad_run = 0;
}

enum verify_line
verify_line(struct verify *v, const char *line, size_t len, struct scan *scan)
{
	const char *wrong;

	v->line++;
	v->sum.bytes += len + 1;
	wrong = len > SCAN_LINE_MAX ? "longer than any line of the log" :
	    scan_line(line, len, scan);
	if (v->past_end && (wrong || scan->seq > v->last_seq)) {
		v->sum.ignored++;
		return VERIFY_IGNORED;
	}
	if (wrong) {
		take_malformed(v, line, len, wrong);
		return VERIFY_NO_LINE;
	}
	take_line(v, line, len, scan);
	if (v->anchors)
		check_anchors(v, line, len, scan->seq);
	v->past_end |= scan->seq == v->last_seq;
	return VERIFY_COUNTS;
}

void
verify_rest(struct verify *v, size_t bytes, bool last)
{
	if (bytes == 0)
		return;
	if (v->past_end) {
		v->sum.ignored++;
	} else if (last) {
		v->sum.torn_bytes = bytes;
	} else {
		v->line++;
		take_malformed(v, "", 0, "it has no end");
	}
}

bool
verify_knows(struct verify *v, const struct scan *scan)
{
	const struct seen *s = seen_find(v, scan->seq);

	return s && memcmp(s->hash, scan->hash, SCAN_HEX) == 0;
}

static void
end_anchor(struct verify *v, struct anchor *a)
{
	struct finding one = finding_here(v, FINDING_ANCHOR_CUT, v->high);

	if (a->found) {
		v->sum.anchors_found++;
		return;
	}
	if (a->differs)
		return;
	if (a->seq < v->sum.first_seq || v->high == 0) {
		v->sum.anchors_older++;
		return;
	}
	snprintf(one.detail, sizeof(one.detail), "%.90s", a->where);
	one.other_seq = a->seq;
	if (a->seq < v->high) {
		one.kind = FINDING_ANCHOR_MISSING;
		one.line = 0;
		one.seq = a->seq;
	}
	report(v, &one);
}

void
verify_end(struct verify *v)
{
	size_t i;

	v->sum.last_seq = v->high;
	if (v->last_seq > v->high && v->high > 0)
		missing(v, FINDING_CUT, v->file, v->line, v->high + 1,
		    v->last_seq);
	if (!v->anchors)
		return;
	v->sum.anchors = anchors_count(v->anchors);
	for (i = 0; i < v->sum.anchors; i++)
		end_anchor(v, anchors_at(v->anchors, i));
}

const struct verify_sum *
verify_sum(const struct verify *v)
{
	return &v->sum;
}

const struct findings *
verify_findings(const struct verify *v)
{
	return &v->findings;
}

enum verify_status
verify_status(const struct verify *v)
{
	const struct verify_sum *s = &v->sum;

	if (findings_count(&v->findings) > 0)
		return VERIFY_BROKEN;
	return s->good == 0 || s->anchors_older > 0 ? VERIFY_UNKNOWN :
	    VERIFY_GOOD;
}
