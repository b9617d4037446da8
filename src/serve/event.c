/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event - see the header. One row per record that is told; the sentences are
 * for a person who reads them on another device, hours later.
 */
#include "serve/event.h"

#include <inttypes.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "base/util.h"
#include "lib/jsonx.h"

#define ID_DIGITS 32 /* of the line's hash */
#define BIT(type) (1u << (type))

static const char *const type_names[EVENT_TYPES] = {
	[EVENT_HUMAN_NEEDED] = "human_needed",
	[EVENT_LOGIN_PENDING] = "login_pending",
	[EVENT_LOGIN_GRANTED] = "login_granted",
	[EVENT_LOGIN_FAILED] = "login_failed",
	[EVENT_LOGOUT] = "logout",
	[EVENT_ROTATED] = "rotated",
	[EVENT_UPDATED] = "updated",
	[EVENT_REVOKED] = "revoked",
	[EVENT_DENIED] = "denied",
	[EVENT_EXPIRING] = "expiring",
	[EVENT_UNSETTLED] = "unsettled",
	[EVENT_SETTLED] = "settled",
	[EVENT_ORPHAN] = "orphan",
	[EVENT_MISSING] = "missing",
	[EVENT_QUARANTINED] = "quarantined",
	[EVENT_ADOPTED] = "adopted",
	[EVENT_AUDIT_DEGRADED] = "audit_degraded",
	[EVENT_AUDIT_RECOVERED] = "audit_recovered",
};

/* What is told besides the sentence, where the record has it. */
static const char *const members[] = { "login", "token", "generation",
	"token_id", "backend", "human", "record", "unit", "uid", "container",
	"door", "rule", "reason", "count", "since", "until", "expires_at",
	"nonce", "request_id" };

const char *
event_type_name(enum event_type type)
{
	return type_names[type];
}

unsigned
event_types(const char *words, size_t len)
{
	const char *end = words + len, *comma;
	unsigned bits = 0, i;
	size_t n;

	for (; words <= end; words = comma + 1) {
		comma = memchr(words, ',', (size_t)(end - words));
		comma = comma ? comma : end;
		n = (size_t)(comma - words);
		for (i = 0; i < EVENT_TYPES; i++)
			if (strlen(type_names[i]) == n &&
			    memcmp(type_names[i], words, n) == 0)
				break;
		if (i == EVENT_TYPES)
			return 0;
		bits |= BIT(i);
	}
	return bits;
}

/* ------------------------------------------------------------- sentences */

struct say {
	const json_t *rec;
	struct strbuf text, next;
};

/* A member as text; "?" when it is not there. */
static const char *
get(const struct say *s, const char *key)
{
	const char *text = json_string_value(json_object_get(s->rec, key));

	return text ? text : "?";
}

static bool
has(const struct say *s, const char *key)
{
	return json_object_get(s->rec, key) != NULL;
}

static int64_t
number(const struct say *s, const char *key)
{
	return json_integer_value(json_object_get(s->rec, key));
}

/* ": why" and the full stop. */
static void
add_reason(struct say *s)
{
	if (has(s, "reason"))
		strbuf_addf(&s->text, ": %s", get(s, "reason"));
	strbuf_addc(&s->text, '.');
}

static void
say_human_needed(struct say *s)
{
	strbuf_addf(&s->text, "Login '%s' needs a human", get(s, "login"));
	add_reason(s);
	strbuf_addf(&s->next, "Run 'tokenbrokerctl login %s' there.",
	    get(s, "login"));
}

static void
say_import_needed(struct say *s)
{
	strbuf_addf(&s->text, "Token '%s', which pays, needs a human",
	    get(s, "token"));
	add_reason(s);
	strbuf_addf(&s->next, "Make another one at the service, and run "
	    "'tokenbrokerctl import %s' there.", get(s, "token"));
}

static void
say_login_pending(struct say *s)
{
	strbuf_addf(&s->text, "A login of '%s' has begun; a human has to "
	    "approve it.", get(s, "login"));
	strbuf_adds(&s->next, "Whoever began it has the code. If none of you "
	    "did, approve nothing.");
}

static void
say_login_granted(struct say *s)
{
	strbuf_addf(&s->text, "Login '%s' was approved", get(s, "login"));
	if (has(s, "human"))
		strbuf_addf(&s->text, " by %s", get(s, "human"));
	strbuf_addc(&s->text, '.');
}

static void
say_login_failed(struct say *s)
{
	strbuf_addf(&s->text, "The login of '%s' failed", get(s, "login"));
	add_reason(s);
	strbuf_addf(&s->next, "Run 'tokenbrokerctl login %s' there again.",
	    get(s, "login"));
}

static void
say_logout(struct say *s)
{
	strbuf_addf(&s->text, "Login '%s' was logged out", get(s, "login"));
	add_reason(s);
}

static void
add_generation(struct say *s)
{
	strbuf_addf(&s->text, "Token '%s'", get(s, "token"));
	if (number(s, "generation"))
		strbuf_addf(&s->text, ", generation %" PRId64,
		    number(s, "generation"));
}

/* What it may do, or what is known of it. */
static void
say_updated(struct say *s)
{
	add_generation(s);
	strbuf_adds(&s->text, ", is another now");
	add_reason(s);
}

static void
say_rotated(struct say *s)
{
	add_generation(s);
	strbuf_adds(&s->text, ", is released from now on");
	if (has(s, "expires_at"))
		strbuf_addf(&s->text, "; it ends at %s",
		    get(s, "expires_at"));
	strbuf_addc(&s->text, '.');
}

static void
say_revoked(struct say *s)
{
	add_generation(s);
	strbuf_adds(&s->text, ", was revoked");
	add_reason(s);
}

static void
say_denied(struct say *s)
{
	int64_t count = number(s, "count");

	if (has(s, "unit"))
		strbuf_addf(&s->text, "Unit %s (uid %" PRId64 ")",
		    get(s, "unit"), number(s, "uid"));
	else if (has(s, "uid"))
		strbuf_addf(&s->text, "Uid %" PRId64, number(s, "uid"));
	else
		strbuf_adds(&s->text, "Somebody");
	strbuf_adds(&s->text, " was refused");
	if (has(s, "token"))
		strbuf_addf(&s->text, " token '%s'", get(s, "token"));
	if (count > 0)
		strbuf_addf(&s->text, ", %" PRId64 " more time%s in a minute",
		    count, count == 1 ? "" : "s");
	add_reason(s);
	if (has(s, "uid"))
		strbuf_addf(&s->next, "See 'tokenbrokerctl audit show --event "
		    "denied --uid %" PRId64 "' there.", number(s, "uid"));
	else
		strbuf_adds(&s->next, "See 'tokenbrokerctl audit show --event "
		    "denied' there.");
}

static void
say_expiring(struct say *s)
{
	add_generation(s);
	strbuf_addf(&s->text, ", ends at %s, and nothing newer is ready",
	    get(s, "expires_at"));
	add_reason(s);
	strbuf_addf(&s->next, "See 'tokenbrokerctl status' there; then "
	    "'tokenbrokerctl rotate %s'.", get(s, "token"));
}

static void
say_unsettled(struct say *s)
{
	add_generation(s);
	strbuf_addf(&s->text, ", may exist at '%s' without anybody holding it",
	    get(s, "backend"));
	add_reason(s);
	strbuf_addf(&s->next, "Search at '%s' for a token described with %s "
	    "and revoke it.", get(s, "backend"), get(s, "nonce"));
}

static void
say_settled(struct say *s)
{
	add_generation(s);
	strbuf_adds(&s->text, ": it is known now what became of it");
	add_reason(s);
}

static void
say_orphan(struct say *s)
{
	strbuf_addf(&s->text, "Backend '%s' lists a token %s that was made "
	    "here and that nobody here knows.", get(s, "backend"),
	    get(s, "token_id"));
	strbuf_addf(&s->next, "See 'tokenbrokerctl reconcile %s' there; if "
	    "nobody uses it, revoke it.", get(s, "backend"));
}

static void
say_missing(struct say *s)
{
	add_generation(s);
	strbuf_addf(&s->text, ", is no longer listed by backend '%s'.",
	    get(s, "backend"));
	strbuf_addf(&s->next, "Find out who removed it; then 'tokenbrokerctl "
	    "rotate %s' there.", get(s, "token"));
}

static void
say_quarantined(struct say *s)
{
	bool all = streq(get(s, "record"), "all");

	if (all)
		strbuf_adds(&s->text, "The whole state is quarantined; "
		    "nothing is refreshed, minted or revoked");
	else
		strbuf_addf(&s->text, "Record %s is not used",
		    get(s, "record"));
	add_reason(s);
	strbuf_adds(&s->next, all ? "If that host is to go on with it: "
	    "'tokenbrokerctl adopt' there." :
	    "See 'tokenbrokerctl status' there.");
}

static void
say_adopted(struct say *s)
{
	strbuf_adds(&s->text, "An operator adopted the quarantined state; it "
	    "is used again.");
}

static void
say_degraded(struct say *s)
{
	if (has(s, "since"))
		strbuf_addf(&s->text, "The disk refuses what must be recorded "
		    "since %s; nothing unrecorded is released",
		    get(s, "since"));
	else
		strbuf_addf(&s->text, "%" PRId64 " line%s of the audit log "
		    "could not be written", number(s, "count"),
		    number(s, "count") == 1 ? "" : "s");
	add_reason(s);
	strbuf_adds(&s->next, has(s, "since") ? "Look at the disk: "
	    "'tokenbrokerctl doctor' there." :
	    "See 'tokenbrokerctl audit verify' there.");
}

static void
say_recovered(struct say *s)
{
	int64_t n = number(s, "count");

	strbuf_addf(&s->text, "The disk works again; it failed from %s until "
	    "%s, and %" PRId64 " line%s of the audit log %s missing.",
	    get(s, "since"), get(s, "until"), n, n == 1 ? "" : "s",
	    n == 1 ? "is" : "are");
	if (n)
		strbuf_adds(&s->next, "See 'tokenbrokerctl audit verify' "
		    "there.");
}

/* ----------------------------------------------------------------- the rows */

/* A condition's name is the type's and these members', which its end has as
 * well. */
#define KEYS_MAX 2
struct row {
	const char *record; /* of the audit log */
	enum event_type type;
	const char *severity, *subject; /* the member that it is about */
	void (*say)(struct say *s);
	const char *keys[KEYS_MAX];
	bool lasts; /* it is a condition */
	struct {
		enum event_type type; /* none: EVENT_TYPES */
		const char *keys[KEYS_MAX];
	} ends;
};

#define ENDS_NOTHING .ends = { .type = EVENT_TYPES }
#define ENDS(what, ...) .ends = { .type = (what), .keys = { __VA_ARGS__ } }

static const struct row rows[] = {
	{ "human_needed", EVENT_HUMAN_NEEDED, "error", "login",
	    say_human_needed, { "login" }, true, ENDS_NOTHING },
	/* of a value that a human has to make: nothing tells its end */
	{ "human_needed", EVENT_HUMAN_NEEDED, "error", "token",
	    say_import_needed, { NULL }, false, ENDS_NOTHING },
	{ "login_started", EVENT_LOGIN_PENDING, "notice", "login",
	    say_login_pending, { NULL }, false, ENDS_NOTHING },
	{ "login_granted", EVENT_LOGIN_GRANTED, "info", "login",
	    say_login_granted, { NULL }, false,
	    ENDS(EVENT_HUMAN_NEEDED, "login") },
	{ "login_failed", EVENT_LOGIN_FAILED, "warning", "login",
	    say_login_failed, { NULL }, false, ENDS_NOTHING },
	{ "logout", EVENT_LOGOUT, "notice", "login", say_logout, { NULL },
	    false, ENDS(EVENT_HUMAN_NEEDED, "login") },
	{ "renewed", EVENT_ROTATED, "info", "token", say_rotated, { NULL },
	    false, ENDS(EVENT_EXPIRING, "token") },
	{ "updated", EVENT_UPDATED, "notice", "token", say_updated, { NULL },
	    false, ENDS_NOTHING },
	{ "revoked", EVENT_REVOKED, "notice", "token", say_revoked, { NULL },
	    false, ENDS(EVENT_ORPHAN, "nonce", "token_id") },
	{ "denied", EVENT_DENIED, "warning", "uid", say_denied, { NULL },
	    false, ENDS_NOTHING },
	{ "expiring", EVENT_EXPIRING, "error", "token", say_expiring,
	    { "token" }, true, ENDS_NOTHING },
	{ "unsettled", EVENT_UNSETTLED, "error", "token", say_unsettled,
	    { "nonce" }, true, ENDS_NOTHING },
	{ "settled", EVENT_SETTLED, "info", "token", say_settled, { NULL },
	    false, ENDS(EVENT_UNSETTLED, "nonce") },
	{ "orphan", EVENT_ORPHAN, "error", "backend", say_orphan,
	    { "nonce", "token_id" }, true, ENDS_NOTHING },
	{ "missing", EVENT_MISSING, "warning", "token", say_missing,
	    { NULL }, false, ENDS_NOTHING },
	{ "quarantined", EVENT_QUARANTINED, "error", "record",
	    say_quarantined, { "record" }, true, ENDS_NOTHING },
	{ "adopted", EVENT_ADOPTED, "notice", "record", say_adopted,
	    { NULL }, false, ENDS(EVENT_QUARANTINED, "record") },
	{ "disk_failed", EVENT_AUDIT_DEGRADED, "error", NULL, say_degraded,
	    { NULL }, true, ENDS_NOTHING },
	{ "lost", EVENT_AUDIT_DEGRADED, "error", NULL, say_degraded,
	    { NULL }, false, ENDS_NOTHING },
	{ "disk_recovered", EVENT_AUDIT_RECOVERED, "notice", NULL,
	    say_recovered, { NULL }, false, ENDS(EVENT_AUDIT_DEGRADED, NULL) },
};

/* "expiring/telegraf-write" */
static json_t *
condition_name(enum event_type type, const char *const *keys,
    const json_t *rec)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *value;
	size_t i;

	strbuf_adds(&b, type_names[type]);
	for (i = 0; i < KEYS_MAX && keys[i]; i++) {
		value = json_string_value(json_object_get(rec, keys[i]));
		strbuf_addf(&b, "/%s", value ? value : "");
	}
	return json_string(strbuf_str(&b));
}

/* "login ops", "uid 1000", "audit" */
static json_t *
subject(const struct row *r, const json_t *rec)
{
	const json_t *v = r->subject ? json_object_get(rec, r->subject) : NULL;

	if (json_is_integer(v))
		return json_sprintf("%s %" JSON_INTEGER_FORMAT, r->subject,
		    json_integer_value(v));
	if (json_is_string(v))
		return json_sprintf("%s %s", r->subject,
		    json_string_value(v));
	return json_string(r->subject ? r->subject : "audit");
}

static void
add_sentences(json_t *o, const struct row *r, const json_t *rec)
{
	struct say s = { rec, STRBUF_INIT, STRBUF_INIT };

	r->say(&s);
	json_object_set_new(o, "text", json_string(strbuf_str(&s.text)));
	if (s.next.len)
		json_object_set_new(o, "next",
		    json_string(strbuf_str(&s.next)));
	strbuf_clear(&s.text);
	strbuf_clear(&s.next);
}

/* id and time are borrowed. */
static void
event_build(const struct row *r, const json_t *rec, const char *id,
    const char *host, struct event *out)
{
	json_t *o = json_object(), *v;
	size_t i;

	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(o, "type", json_string(type_names[r->type]));
	json_object_set(o, "timestamp", json_object_get(rec, "time"));
	json_object_set_new(o, "host", json_string(host));
	json_object_set_new(o, "severity", json_string(r->severity));
	json_object_set_new(o, "subject", subject(r, rec));
	add_sentences(o, r, rec);
	out->types = BIT(r->type);
	if (r->lasts)
		json_object_set_new(o, "condition", condition_name(r->type,
		    r->keys, rec));
	if (r->ends.type != EVENT_TYPES) {
		json_object_set_new(o, "ends", condition_name(r->ends.type,
		    r->ends.keys, rec));
		out->types |= BIT(r->ends.type);
	}
	v = json_object_get(rec, "seq");
	if (v)
		json_object_set(o, "seq", v);
	for (i = 0; i < ARRAY_SIZE(members); i++) {
		v = json_object_get(rec, members[i]);
		if (v)
			json_object_set(o, members[i], v);
	}
	out->seq = (uint64_t)json_integer_value(json_object_get(rec, "seq"));
	out->json = o;
}

/* Of several rows for a record, the one whose subject that has. */
static bool
is_about(const struct row *r, const json_t *rec)
{
	return r->type != EVENT_HUMAN_NEEDED ||
	    json_object_get(rec, r->subject);
}

bool
event_from_line(const char *line, size_t len, const char *host,
    struct event *out)
{
	struct tb_error err = TB_ERROR_INIT;
	json_t *rec _cleanup_json_ = jsonx_parse(line, len, &err);
	const char *name = json_string_value(json_object_get(rec, "event"));
	const char *hash = json_string_value(json_object_get(rec, "hash"));
	const char *since;
	char id[ID_DIGITS + 4];
	size_t i;

	*out = (struct event){ .seq = 0 };
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (streq(rows[i].record, name) && is_about(&rows[i], rec))
			break;
	if (!name || !hash || i == ARRAY_SIZE(rows))
		return false;
	snprintf(id, sizeof(id), "tb-%.*s", ID_DIGITS, hash);
	event_build(&rows[i], rec, id, host, out);
	since = json_string_value(json_object_get(rec, "since"));
	if (rows[i].type == EVENT_AUDIT_DEGRADED && since)
		timefmt_parse_rfc3339(since, &out->outage);
	return true;
}

void
event_degraded(int64_t since, const char *why, const char *host,
    struct event *out)
{
	json_t *rec _cleanup_json_ = json_object();
	char *id _cleanup_free_ = xasprintf("tb-degraded-%" PRId64 "-%s",
	    since, host);
	char when[TIMEFMT_SIZE];
	size_t i;

	timefmt_rfc3339(since, when, sizeof(when));
	json_object_set_new(rec, "time", json_string(when));
	json_object_set_new(rec, "since", json_string(when));
	json_object_set_new(rec, "reason", json_string(why));
	for (i = 0; !streq(rows[i].record, "disk_failed"); i++)
		continue;
	*out = (struct event){ .outage = since };
	event_build(&rows[i], rec, id, host, out);
}
