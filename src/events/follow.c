/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow - see the header.
 */
#include "events/follow.h"

#include <inttypes.h>
#include <limits.h>

#include "base/backoff.h"
#include "base/now.h"
#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "lib/jsonx.h"

#define WAIT_S 60
#define GRACE_MS 30000 /* beyond the wait */
#define RETRY_FIRST_MS 1000
#define RETRY_CAP_MS 300000
#define DAEMON_FIRST_MS 200
#define DAEMON_CAP_MS 10000

/* --------------------------------------------------------------- delivery */

static void
bury(struct follow *f, const json_t *event, const struct tb_error *err)
{
	_cleanup_free_ char *text = json_dumps(event, JSON_COMPACT);

	tell("given up after %u attempts (%s), dead letter: %s", f->tries,
	    err->msg, text ? text : "?");
	f->dead = true;
}

/* True: told, or given up. */
static bool
tell_patiently(struct follow *f, const json_t *event)
{
	struct backoff pause = BACKOFF_INIT(RETRY_FIRST_MS, RETRY_CAP_MS);
	struct tb_error err;
	unsigned n;

	for (n = 1;; n++) {
		err = (struct tb_error)TB_ERROR_INIT;
		if (deliver(&f->deliver, event, &err) == 0)
			return true;
		if (err.code == TB_E_CANCELLED)
			break;
		if (n >= f->tries) {
			bury(f, event, &err);
			return true;
		}
		if (n == 1)
			tell("%s; it is tried again, %u times at most",
			    err.msg, f->tries - 1);
		if (!tell_sleep(backoff_next(&pause, err.retry_after_ms)))
			break;
	}
	if (err.code == TB_E_CANCELLED && !tell_stopped)
		tell("%s", err.msg);
	tell_stopped = 1;
	return false;
}

/* False: it never was to be kept there, and we end. */
static bool
save(struct follow *f)
{
	struct tb_error err = TB_ERROR_INIT;

	if (book_save(&f->book, &err) == 0) {
		if (f->unkept)
			tell("the cursor is kept in %s again", f->book.path);
		f->unkept = false;
		f->kept = true;
		return true;
	}
	if (!f->unkept)
		tell("%s%s", err.msg, f->kept ? "; going on without: a "
		    "restart tells again what follows" : "");
	f->unkept = true;
	/* to end would tell the same event at each start, and no later one */
	if (f->kept)
		return true;
	tell_stopped = 1;
	return false;
}

static bool
has_word(const char *words, const char *word)
{
	size_t n = word ? strlen(word) : 0;
	const char *p;

	for (p = words; n && p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, word, n) == 0 && (p[n] == ',' || !p[n]))
			return true;
	}
	return false;
}

/* The daemon also sends what ends a condition of a wanted type. */
static bool
is_wanted(const struct follow *f, const json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "type"));

	return !f->types || streq(type, "gap") || has_word(f->types, type);
}

static bool
is_too_old(const struct follow *f, const json_t *event)
{
	const char *when = json_string_value(json_object_get(event,
	    "timestamp"));

	/* both in UTC and of one form up to the seconds */
	return f->since && when && strncmp(when, f->since, 19) < 0;
}

/* False: we end. */
static bool
take_event(struct follow *f, const json_t *event)
{
	json_t *over _cleanup_json_ = NULL;

	if (!is_too_old(f, event)) {
		if (is_wanted(f, event) && !tell_patiently(f, event))
			return false;
		over = book_note(&f->book, event, now_real_s(), f->remind_s);
		if (over && !tell_patiently(f, over))
			return false;
	}
	book_set_cursor(&f->book, json_string_value(json_object_get(event,
	    "cursor")));
	return save(f);
}

/* ------------------------------------------------------------------ answers */

static json_t *
gap_event(const json_t *gap)
{
	char host[HOST_NAME_MAX + 1] = "localhost", when[TIMEFMT_SIZE];
	json_int_t after = json_integer_value(json_object_get(gap, "after"));
	json_int_t until = json_integer_value(json_object_get(gap, "until"));
	json_t *o = json_object();

	(void)gethostname(host, sizeof(host) - 1);
	timefmt_rfc3339(now_real_s(), when, sizeof(when));
	json_object_set_new(o, "id", json_sprintf("tb-gap-%"
	    JSON_INTEGER_FORMAT "-%" JSON_INTEGER_FORMAT "-%s", after, until,
	    host));
	json_object_set_new(o, "type", json_string("gap"));
	json_object_set_new(o, "timestamp", json_string(when));
	json_object_set_new(o, "host", json_string(host));
	json_object_set_new(o, "severity", json_string("error"));
	json_object_set_new(o, "subject", json_string("audit"));
	json_object_set_new(o, "text", json_sprintf("The audit log has no "
	    "lines between %" JSON_INTEGER_FORMAT " and %"
	    JSON_INTEGER_FORMAT " any more; events among them are not told.",
	    after, until + 1));
	json_object_set_new(o, "next", json_string("See 'tokenbrokerctl audit "
	    "verify' there; audit_keep_files says how much is kept."));
	return o;
}

/* False: we end. *news: there was something. */
static bool
take_answer(struct follow *f, const json_t *answer, bool *news)
{
	const json_t *list = json_object_get(answer, "events"), *gap;
	json_t *lost _cleanup_json_ = NULL;
	size_t i, n = json_array_size(list);

	gap = json_object_get(answer, "gap");
	*news = n > 0 || gap;
	if (gap) {
		lost = gap_event(gap);
		if (!tell_patiently(f, lost))
			return false;
	}
	for (i = 0; i < n; i++)
		if (!take_event(f, json_array_get(list, i)))
			return false;
	if (!*news)
		f->since = NULL; /* what comes is new, whatever the clock says */
	book_set_cursor(&f->book, json_string_value(json_object_get(answer,
	    "cursor")));
	return save(f);
}

static enum tell_exit
refused(const struct reply *r, const json_t *o)
{
	const char *detail = json_string_value(json_object_get(o, "detail"));

	detail = detail ? detail : "no reason is given";
	if (r->status == 403) {
		tell("denied: %s; add this user to the auditor group "
		    "(usually tokenbroker-auditor), or run it as root",
		    detail);
		return TELL_DENIED;
	}
	tell("the daemon answers with HTTP %d: %s", r->status, detail);
	return r->status == 400 ? TELL_USAGE : TELL_FAILED;
}

/* -------------------------------------------------------------------- asking */

static int64_t
wait_s(const struct follow *f)
{
	int64_t next = f->remind_s ? book_next_s(&f->book, now_real_s()) : -1;

	/* without a cursor, one comes first: an end before it is kept must not
	 * make what has happened since go missing */
	if (f->once || !f->book.cursor || f->since)
		return 0;
	return next < 0 ? WAIT_S : MIN2(next, WAIT_S);
}

static void
add_path(struct strbuf *b, const struct follow *f, int64_t wait)
{
	strbuf_addf(b, "/api/v1/events?wait=%" PRId64, wait);
	if (f->book.cursor) {
		strbuf_adds(b, "&after=");
		strbuf_add_percent(b, f->book.cursor);
	}
	if (f->types)
		strbuf_addf(b, "&types=%s", f->types);
}

/* The daemon is not there, or going. False: we end. */
static bool
wait_for_daemon(struct follow *f, struct backoff *pause,
    const struct tb_error *err)
{
	if (err->code == TB_E_CANCELLED || f->once)
		return false;
	if (!f->waiting && pause->attempt > 2) {
		tell("%s; waiting for it", err->msg);
		f->waiting = true;
	}
	return tell_sleep(backoff_next(pause, 0));
}

static bool
remind(struct follow *f)
{
	json_t *o;
	bool told = true;

	while (f->remind_s && told &&
	    (o = book_remind(&f->book, now_real_s(), f->remind_s))) {
		told = tell_patiently(f, o) && save(f);
		json_decref(o);
	}
	return told;
}

/* One question. TELL_OK with *more: ask again. */
static enum tell_exit
ask(struct follow *f, struct backoff *pause, bool *more)
{
	struct strbuf path _cleanup_(strbuf_clear) = STRBUF_INIT;
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	json_t *o _cleanup_json_ = NULL;
	struct client_request q = { .method = "GET" };
	int64_t wait = wait_s(f);
	bool news = false;

	*more = true;
	add_path(&path, f, wait);
	q.path = strbuf_str(&path);
	q.timeout_ms = wait * 1000 + GRACE_MS;
	if (client_call(&f->client, &q, &r, &err) < 0) {
		*more = wait_for_daemon(f, pause, &err);
		if (f->once)
			tell("%s; is it running? systemctl status "
			    "tokenbrokerd", err.msg);
		return f->once ? TELL_NO_DAEMON : TELL_OK;
	}
	o = jsonx_parse_secret(&r.body, &err);
	if (r.status == 503) {
		tb_error_set(&err, TB_E_TRANSIENT, "tokenbrokerd says: %s",
		    json_string_value(json_object_get(o, "detail")));
		*more = wait_for_daemon(f, pause, &err);
		return f->once ? refused(&r, o) : TELL_OK;
	}
	if (r.status != 200 || !o) {
		*more = false;
		return refused(&r, o);
	}
	f->waiting = false;
	backoff_reset(pause);
	*more = take_answer(f, o, &news) && (news || !f->once);
	return TELL_OK;
}

enum tell_exit
follow_run(struct follow *f)
{
	struct backoff pause = BACKOFF_INIT(DAEMON_FIRST_MS, DAEMON_CAP_MS);
	enum tell_exit e = TELL_OK;
	bool more = true;

	while (more && !tell_stopped && e == TELL_OK) {
		e = ask(f, &pause, &more);
		if (e == TELL_OK && !tell_stopped && !remind(f))
			break;
	}
	return e == TELL_OK && (f->dead || f->unkept) ? TELL_FAILED : e;
}
