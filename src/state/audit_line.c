/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_line - see the header. On the hot path: no JSON library, no printf,
 * no allocation but the growth of a buffer that is used again and again.
 */
#include "state/audit_line.h"

#include <fcntl.h>

#include "base/principal.h"
#include "state/acl.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define NAME_MAX_BYTES 180 /* of RECIPE@HOLDER, see broker/broker_own */

static const char *const event_names[AUDIT_EVENTS] = {
	[AUDIT_AUTHORISED] = "authorised",
	[AUDIT_SENT] = "sent",
	[AUDIT_WITHHELD] = "withheld",
	[AUDIT_DENIED] = "denied",
	[AUDIT_MINT_INTENT] = "mint_intent",
	[AUDIT_MINTED] = "minted",
	[AUDIT_MINT_FAILED] = "mint_failed",
	[AUDIT_SETTLED] = "settled",
	[AUDIT_RENEWED] = "renewed",
	[AUDIT_REVOKED] = "revoked",
	[AUDIT_IMPORTED] = "imported",
	[AUDIT_REJECTED] = "rejected",
	[AUDIT_LOGIN_STARTED] = "login_started",
	[AUDIT_LOGIN_GRANTED] = "login_granted",
	[AUDIT_LOGIN_FAILED] = "login_failed",
	[AUDIT_LOGIN_PINNED] = "login_pinned",
	[AUDIT_REFRESH_INTENT] = "refresh_intent",
	[AUDIT_REFRESHED] = "refreshed",
	[AUDIT_REFRESH_FAILED] = "refresh_failed",
	[AUDIT_HUMAN_NEEDED] = "human_needed",
	[AUDIT_LOGOUT] = "logout",
	[AUDIT_RELOADED] = "reloaded",
	[AUDIT_STARTED] = "started",
	[AUDIT_STOPPED] = "stopped",
	[AUDIT_ADMIN] = "admin",
	[AUDIT_ORPHAN] = "orphan",
	[AUDIT_MISSING] = "missing",
	[AUDIT_UNSETTLED] = "unsettled",
	[AUDIT_EXPIRING] = "expiring",
	[AUDIT_UPDATED] = "updated",
	[AUDIT_REKEYED] = "rekeyed",
	[AUDIT_QUARANTINED] = "quarantined",
	[AUDIT_ADOPTED] = "adopted",
	[AUDIT_DISK_FAILED] = "disk_failed",
	[AUDIT_DISK_RECOVERED] = "disk_recovered",
	[AUDIT_LOST] = "lost",
	[AUDIT_CHECKPOINT] = "checkpoint",
	[AUDIT_KEY] = "audit_key",
	[AUDIT_FILES_REMOVED] = "files_removed",
};

const char *
audit_line_event_name(enum audit_event event)
{
	return event_names[event];
}

void
audit_line_init(struct audit_line *l)
{
	_cleanup_close_ int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
	char id[40];
	ssize_t n;

	*l = (struct audit_line){ .now.epoch_s = INT64_MIN,
		.expires.epoch_s = INT64_MIN };
	n = fd < 0 ? -1 : read(fd, id, sizeof(id) - 1);
	id[n > 0 ? n : 0] = '\0';
	/* what needs no escaping: it is not looked at again */
	id[strspn(id, "0123456789abcdef-")] = '\0';
	if (id[0])
		l->boot_len = (size_t)snprintf(l->boot, sizeof(l->boot),
		    ",\"boot\":\"%s\"", id);
}

void
audit_line_clear(struct audit_line *l)
{
	size_t i;

	for (i = 0; i < AUDIT_LINE_KEPT; i++)
		strbuf_clear(&l->kept[i].text);
}

/* As strbuf_add, inlined for text whose length the compiler knows. The NUL
 * behind the text comes with audit_line_close. */
static inline void
add(struct strbuf *b, const char *bytes, size_t len)
{
	if (b->cap - b->len <= len) {
		strbuf_add(b, bytes, len);
		return;
	}
	memcpy(b->s + b->len, bytes, len);
	b->len += len;
}

#define ADD(b, literal) add((b), (literal), sizeof(literal) - 1)

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
/* Not 0 when a byte of w is less than `byte` (at most 0x80), or is it. */
#define ANY_BELOW(w, byte) (((w) - EACH(byte)) & ~(w) & EACH(0x80))
#define ANY_IS(w, byte) ANY_BELOW((w) ^ EACH(byte), 1)

/* Printable ASCII that JSON does not escape: nearly all there is, and eight
 * bytes at a time a fifth of the cost of looking at each. */
static bool
is_plain(const char *s, size_t len)
{
	uint64_t w;

	for (; len >= 8; s += 8, len -= 8) {
		memcpy(&w, s, 8);
		if ((w & EACH(0x80)) | ANY_BELOW(w, 0x20) | ANY_IS(w, '"') |
		    ANY_IS(w, '\\') | ANY_IS(w, 0x7f))
			return false;
	}
	for (; len > 0; s++, len--)
		if (*s < 0x20 || *s >= 0x7f || *s == '"' || *s == '\\')
			return false;
	return true;
}

static void
add_json(struct strbuf *b, const char *value)
{
	size_t len = strlen(value);

	if (is_plain(value, len)) {
		ADD(b, "\"");
		add(b, value, len);
		ADD(b, "\"");
	} else {
		strbuf_add_json(b, value);
	}
}

static void
add_text(struct strbuf *b, const char *name, size_t len, const char *value)
{
	if (!value)
		return;
	add(b, name, len);
	add_json(b, value);
}

/* name is `,"NAME":`. */
#define ADD_TEXT(b, name, value) \
	add_text((b), (name), sizeof(name) - 1, (value))

static void
add_number(struct strbuf *b, const char *name, size_t len, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	add(b, name, len);
	add(b, digits + at, sizeof(digits) - at);
}

#define ADD_NUMBER(b, name, value) \
	add_number((b), (name), sizeof(name) - 1, (value))

/* Without the Z. */
static void
add_time(struct strbuf *b, struct audit_line_time *t, int64_t epoch_s)
{
	if (t->epoch_s != epoch_s) {
		timefmt_rfc3339(epoch_s, t->text, sizeof(t->text));
		t->epoch_s = epoch_s;
		t->len = strcspn(t->text, "Z");
	}
	add(b, t->text, t->len);
}

/* The last for RECIPE@unit:a\x2db.service. */
static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '-' && c <= ':' && c != '/') || c == '_' || c == '@' ||
	    c == '\\';
}

/* A token's name is the one thing here that an asker writes. What cannot be
 * one of ours is not repeated. */
static const char *
token_name(const char *s)
{
	size_t n;

	if (!s)
		return NULL;
	for (n = 0; s[n]; n++)
		if (n == NAME_MAX_BYTES || !is_name_char(s[n]))
			return "(no name)";
	return n > 0 ? s : "(no name)";
}

static void
add_principal(struct strbuf *b, const struct principal *who)
{
	ADD_NUMBER(b, ",\"uid\":", who->uid);
	ADD_NUMBER(b, ",\"gid\":", who->gid);
	if (who->container) {
		ADD(b, ",\"container\":true");
	} else if (who->unit) {
		ADD_TEXT(b, ",\"unit\":", who->unit);
		ADD_TEXT(b, ",\"invocation\":", who->invocation);
		ADD_TEXT(b, ",\"strength\":",
		    principal_strength_name(who->strength));
	}
	if (who->pid > 0)
		ADD_NUMBER(b, ",\"pid\":", (uint64_t)who->pid);
}

static void
add_rule(struct strbuf *b, const struct acl_rule *rule)
{
	ADD(b, ",\"rule\":");
	add_json(b, rule->where ? rule->where : rule->name);
}

void
audit_line_open(struct audit_line *l, int64_t now_ms, struct strbuf *out)
{
	int64_t s = now_ms / 1000;
	int ms = (int)(now_ms % 1000);
	char fraction[] = { '.', (char)('0' + ms / 100),
		(char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '"' };

	ADD(out, "{\"time\":\"");
	add_time(out, &l->now, s);
	add(out, fraction, sizeof(fraction));
	add(out, l->boot, l->boot_len);
}

static void
add_head(struct audit_line *l, const struct audit_rec *rec,
    struct strbuf *out)
{
	ADD_TEXT(out, ",\"event\":", audit_line_event_name(rec->event));
	ADD_TEXT(out, ",\"door\":", rec->door);
	if (rec->who)
		add_principal(out, rec->who);
	if (rec->rule)
		add_rule(out, rec->rule);
	ADD_TEXT(out, ",\"verdict\":", rec->verdict);
	ADD_TEXT(out, ",\"token\":", token_name(rec->token));
	if (rec->generation)
		ADD_NUMBER(out, ",\"generation\":", rec->generation);
	ADD_TEXT(out, ",\"token_id\":", rec->token_id);
	ADD_TEXT(out, ",\"fingerprint\":", rec->fingerprint);
	ADD_TEXT(out, ",\"backend\":", rec->backend);
	ADD_TEXT(out, ",\"login\":", rec->login);
	ADD_TEXT(out, ",\"human\":", rec->human);
	if (rec->expires_at) {
		ADD(out, ",\"expires_at\":\"");
		add_time(out, &l->expires, rec->expires_at);
		ADD(out, "Z\"");
	}
}

void
audit_line_head(struct audit_line *l, const struct audit_rec *rec,
    struct strbuf *out)
{
	struct audit_line_kept *k = &l->kept[(2 * rec->same + rec->event) %
	    AUDIT_LINE_KEPT];
	size_t start = out->len;

	if (rec->same && k->same == rec->same && k->event == rec->event) {
		add(out, k->text.s, k->text.len);
		return;
	}
	add_head(l, rec, out);
	if (!rec->same)
		return;
	k->same = rec->same;
	k->event = rec->event;
	strbuf_reset(&k->text);
	strbuf_add(&k->text, out->s + start, out->len - start);
}

/* What is of one request. */
static void
add_ids(const struct audit_rec *rec, struct strbuf *out)
{
	ADD_TEXT(out, ",\"request_id\":", rec->request_id);
	ADD_TEXT(out, ",\"nonce\":", rec->nonce);
	ADD_TEXT(out, ",\"record\":", rec->record);
}

void
audit_line_count(uint64_t count, struct strbuf *out)
{
	if (count)
		ADD_NUMBER(out, ",\"count\":", count);
}

/* Rare, and never the same twice: not remembered. */
static void
add_moment(struct strbuf *b, const char *name, int64_t epoch_s)
{
	char text[TIMEFMT_SIZE];

	if (epoch_s)
		strbuf_addf(b, ",\"%s\":\"%s\"", name,
		    timefmt_rfc3339(epoch_s, text, sizeof(text)));
}

void
audit_line_tail(const struct audit_rec *rec, struct strbuf *out)
{
	add_moment(out, "since", rec->since);
	add_moment(out, "until", rec->until);
	ADD_TEXT(out, ",\"delivery\":", rec->delivery);
	ADD_TEXT(out, ",\"reason\":", rec->reason);
}

void
audit_line_close(struct strbuf *out)
{
	strbuf_addc(out, '}');
}

void
audit_line_denied_rest(const uid_t *uid, uint64_t count, struct strbuf *out)
{
	struct audit_rec rec = {
		.reason = uid ? "further denials of this uid" :
		    "further denials of further uids",
	};

	ADD_TEXT(out, ",\"event\":", audit_line_event_name(AUDIT_DENIED));
	if (uid)
		ADD_NUMBER(out, ",\"uid\":", *uid);
	ADD_TEXT(out, ",\"verdict\":", "deny");
	audit_line_count(count, out);
	audit_line_tail(&rec, out);
}

void
audit_line_build(struct audit_line *l, const struct audit_rec *rec,
    int64_t now_ms, struct strbuf *out)
{
	audit_line_open(l, now_ms, out);
	audit_line_head(l, rec, out);
	add_ids(rec, out);
	audit_line_count(rec->count, out);
	audit_line_tail(rec, out);
	audit_line_close(out);
}
