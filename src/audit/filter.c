/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter - see the header.
 */
#include "audit/filter.h"

#include <fnmatch.h>
#include <pwd.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "base/timefmt.h"

/* As with systemctl(1), "x" is x.service: whoever forgets the end must not be
 * told that x holds nothing. */
bool
filter_unit(const char *pattern, const char *unit)
{
	size_t n = strlen(pattern);

	return fnmatch(pattern, unit, 0) == 0 || (!strpbrk(pattern, ".*?[") &&
	    strncmp(pattern, unit, n) == 0 && strcmp(unit + n, ".service") ==
	    0);
}

bool
filter_text(const char *pattern, const struct scan *s, enum scan_name name)
{
	_cleanup_free_ char *text = NULL;

	if (!pattern)
		return true;
	text = scan_dup(s, name);
	return text && (name == SCAN_UNIT ? filter_unit(pattern, text) :
	    fnmatch(pattern, text, 0) == 0);
}

int64_t
filter_time(const struct scan *s, enum scan_name name)
{
	const struct scan_member *m = scan_string(s, name);
	char text[TIMEFMT_SIZE];
	int64_t epoch_s;

	if (!m || m->value_len >= sizeof(text))
		return 0;
	memcpy(text, m->value, m->value_len);
	text[m->value_len] = '\0';
	return timefmt_parse_rfc3339(text, &epoch_s) ? epoch_s : 0;
}

static bool
in_time(const struct filter *f, const struct scan *s)
{
	int64_t t;

	if (!f->since && !f->until)
		return true;
	t = filter_time(s, SCAN_TIME);
	return t && (!f->since || t >= f->since) &&
	    (!f->until || t <= f->until);
}

static bool
is_number(const struct scan *s, enum scan_name name, int64_t wanted)
{
	return wanted < 0 || (scan_has(s, name) &&
	    scan_number(s, name) == (uint64_t)wanted);
}

bool
filter_matches(const struct filter *f, const struct scan *s)
{
	return (!f->event || scan_is(s, SCAN_EVENT, f->event)) &&
	    (!f->verdict || scan_is(s, SCAN_VERDICT, f->verdict)) &&
	    (!f->login || scan_is(s, SCAN_LOGIN, f->login)) &&
	    (!f->request_id || scan_is(s, SCAN_REQUEST_ID, f->request_id)) &&
	    is_number(s, SCAN_UID, f->uid) &&
	    is_number(s, SCAN_GENERATION, f->generation) &&
	    filter_text(f->unit, s, SCAN_UNIT) &&
	    filter_text(f->token, s, SCAN_TOKEN) && in_time(f, s);
}

int
filter_parse_user(const char *text, int64_t *uid, struct tb_error *err)
{
	const struct passwd *pw;
	size_t n = strspn(text, "0123456789");

	if (n > 0 && n <= 10 && !text[n]) {
		*uid = strtoll(text, NULL, 10);
		return 0;
	}
	pw = getpwnam(text);
	if (!pw)
		return tb_error_set(err, TB_E_BADREQ, "there is no user "
		    "'%.60s' on this host; the log holds numbers, which can "
		    "be given instead of a name", text);
	*uid = pw->pw_uid;
	return 0;
}

int
filter_parse_time(const char *option, const char *text, int64_t now,
    int64_t *out, struct tb_error *err)
{
	_cleanup_free_ char *day = xasprintf("%sT00:00:00Z", text);
	int64_t ms;

	if (timefmt_parse_rfc3339(text, out) ||
	    timefmt_parse_rfc3339(day, out))
		return 0;
	if (!timefmt_parse_duration(text, &ms))
		return tb_error_set(err, TB_E_BADREQ, "--%s: '%.40s' is no "
		    "time; write for example 2026-11-22T17:20:00Z, "
		    "2026-11-22, or 2h for two hours ago", option, text);
	*out = now - ms / 1000;
	return 0;
}
