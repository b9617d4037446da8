/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * audit_line - the text of an audit record: a JSON object with its members in
 * a fixed order, those without a value left out. Pure but for what is kept: two
 * times, and text that many records have in common. seq and hash are added when it is written (state/chain.h).
 *
 *	seq time boot event door uid gid unit invocation strength container pid
 *	rule verdict token generation token_id fingerprint backend login human
 *	expires_at request_id nonce record count since until delivery reason
 *	hash
 */
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"
#include "base/timefmt.h"
#include "state/audit.h"

/* Seconds as text, remembered: most records of a busy second share one. */
struct audit_line_time {
	int64_t epoch_s;
	char text[TIMEFMT_SIZE];
	size_t len;
};

/* The head of records that have one number. */
struct audit_line_kept {
	uint64_t same;
	enum audit_event event;
	struct strbuf text;
};

#define AUDIT_LINE_KEPT 64

struct audit_line {
	char boot[56]; /* `,"boot":"ID"`, of the kernel, where it has one */
	size_t boot_len;
	struct audit_line_time now, expires;
	struct audit_line_kept kept[AUDIT_LINE_KEPT];
};

/* Reads the boot id. */
void audit_line_init(struct audit_line *l);
void audit_line_clear(struct audit_line *l);

/* The whole object. */
void audit_line_build(struct audit_line *l, const struct audit_rec *rec,
    int64_t now_ms, struct strbuf *out);

/* The same in its parts, for who counts records of one text: open, head,
 * count, tail, close (request_id and nonce are of one request: left out).
 * Each member of head, count and tail begins with ','. */
void audit_line_open(struct audit_line *l, int64_t now_ms,
    struct strbuf *out);
void audit_line_head(struct audit_line *l, const struct audit_rec *rec,
    struct strbuf *out);
void audit_line_count(uint64_t count, struct strbuf *out);
void audit_line_tail(const struct audit_rec *rec, struct strbuf *out);
void audit_line_close(struct strbuf *out);
/* Instead of head, count and tail: denials that are not told apart, of one
 * uid or (NULL) of all that have none of their own. */
void audit_line_denied_rest(const uid_t *uid, uint64_t count,
    struct strbuf *out);

/* "authorised", ... */
const char *audit_line_event_name(enum audit_event event);
