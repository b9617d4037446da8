/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_screen - see the header. What is wrong is gathered on the way and
 * stands last, where the eye is.
 */
#include "ctl/status_screen.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "ctl/phrase.h"
#include "ctl/table.h"

struct screen {
	struct term term;
	int64_t now;
	struct strbuf out;
	struct strbuf wrong; /* lines about what needs attention */
	unsigned n_wrong;
	bool bad; /* something is red */
};

static enum term_colour
state_colour(const char *state)
{
	static const char *const good[] = { "granted", "refreshing", "ready",
		"renewing" };
	static const char *const bad[] = { "human_needed", "failed",
		"withheld", "empty", "refused" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		if (streq(state, good[i]))
			return TERM_GREEN;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (streq(state, bad[i]))
			return TERM_RED;
	return TERM_YELLOW;
}

static void __attribute__((format(printf, 3, 4)))
add_wrong(struct screen *s, enum term_colour colour, const char *fmt, ...)
{
	struct strbuf clean _cleanup_(strbuf_clear) = STRBUF_INIT;
	char *text;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	strbuf_addf(&s->wrong, "%s!%s ", term_on(&s->term, colour),
	    term_off(&s->term));
	term_add_clean(&clean, text, s->term.utf8);
	if (s->term.is_terminal)
		term_add_folded(&s->wrong, strbuf_str(&clean),
		    s->term.columns, 2, 2);
	else
		strbuf_adds(&s->wrong, strbuf_str(&clean));
	strbuf_addc(&s->wrong, '\n');
	s->n_wrong++;
	s->bad |= colour == TERM_RED;
	free(text);
}

static void
add_last_error(struct screen *s, const char *kind, const char *name,
    const struct json_t *o)
{
	const char *why = jval_str(o, "last_error");
	int64_t at = jval_time(o, "last_error_at");
	char when[PHRASE_SIZE];

	if (why)
		add_wrong(s, TERM_YELLOW, "%s %s%s%s: %s", kind, name,
		    at ? ", " : "", at ? phrase_when(at - s->now, when,
		    sizeof(when)) : "", why);
}

/* ---------------------------------------------------------------- state */

/* Records that are not used, and a state that may not be ours to use. */
static void
add_state(struct screen *s, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o, "trouble"),
	    "trouble"), *one, *rekey = jval_get(o, "rekey");
	const char *why = jval_str(o, "quarantine"), *file;

	for (size_t i = 0; i < jval_size(list); i++) {
		one = jval_at(list, i);
		file = jval_str(one, "file");
		add_wrong(s, TERM_RED, "record %s is not used: %s%s%s",
		    jval_str(one, "record"), jval_str(one, "reason"),
		    file ? "; it lies in " : "", file ? file : "");
	}
	if (streq(jval_str(rekey, "state"), "waiting"))
		add_wrong(s, TERM_YELLOW, "the records are sealed with key "
		    "%s; give the daemon that key and restart it, until then "
		    "the old one (%s) opens them as well", jval_str(o, "key"),
		    jval_str(rekey, "old_key"));
	else if (rekey)
		add_wrong(s, TERM_YELLOW, "change of the master key: %s, %"
		    PRId64 " records left", jval_str(rekey, "state"),
		    jval_int(rekey, "left", 0));
	if (why)
		add_wrong(s, TERM_RED, "the state is QUARANTINED: %s. Nothing "
		    "is refreshed, minted or revoked. If this host is to go "
		    "on with it: 'tokenbrokerctl adopt'", why);
}

/* --------------------------------------------------------------- daemon */

static void
add_daemon(struct screen *s, const struct json_t *o)
{
	const char *version = jval_str(o, "version");
	const char *audit = jval_str(o, "audit");
	const struct json_t *disk = jval_get(o, "disk");
	const char *disk_error = jval_str(disk, "error");
	int64_t started = jval_time(o, "started_at");
	char up[PHRASE_SIZE];

	strbuf_addf(&s->out, "tokenbrokerd%s%s", version ? " " : "",
	    version ? version : "");
	if (started)
		strbuf_addf(&s->out, ", up %s", phrase_left(s->now - started,
		    up, sizeof(up)));
	if (audit)
		strbuf_addf(&s->out, ", audit %s", audit);
	if (disk)
		strbuf_addf(&s->out, ", disk %s%s%s",
		    term_on(&s->term, disk_error ? TERM_RED : TERM_GREEN),
		    disk_error ? "FAILING" : "ok", term_off(&s->term));
	strbuf_addc(&s->out, '\n');
	if (disk_error)
		add_wrong(s, TERM_RED, "disk: %s", disk_error);
	add_state(s, jval_get(o, "state"));
}

/* Why nobody can say when a human is needed. What was imported has an end that
 * was told, so it is for the logins to be without one. */
static void
add_human_unknown(struct screen *s, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o, "logins"), "logins");
	const char *login = jval_name(jval_at(list, 0));

	if (jval_size(list) == 0) {
		strbuf_adds(&s->out, "human needed: never, nothing hangs on a "
		    "login or an import\n");
		return;
	}
	strbuf_adds(&s->out, "human needed: not known (");
	if (jval_size(list) > 1) {
		strbuf_adds(&s->out, "the providers do not say when their "
		    "logins end)\n");
		return;
	}
	strbuf_adds(&s->out, "the provider does not say when login ");
	term_add_clean(&s->out, login ? login : "?", s->term.utf8);
	strbuf_adds(&s->out, " ends)\n");
}

static bool
is_refused(const struct json_t *o, const char *token)
{
	const struct json_t *list = jval_list(jval_get(o, "tokens"), "tokens");

	for (size_t i = 0; i < jval_size(list); i++) {
		if (streq(jval_name(jval_at(list, i)), token))
			return streq(jval_str(jval_at(list, i), "state"),
			    "refused");
	}
	return false;
}

/* How long the outside may be away, and when a human is needed: a line
 * each. */
static void
add_outlook(struct screen *s, const struct json_t *o)
{
	const struct json_t *budget = jval_get(o, "outage_budget");
	const struct json_t *human = jval_get(o, "human_needed");
	const char *token = jval_str(budget, "token");
	const char *login = jval_str(human, "login");
	const char *import = jval_str(human, "import");
	int64_t left = jval_int(budget, "seconds", 0);
	int64_t at = jval_time(human, "at");
	char buf[PHRASE_SIZE];

	if (token) {
		strbuf_addf(&s->out, "outage budget: %s%s%s (token ",
		    term_on(&s->term, left ? TERM_PLAIN : TERM_RED),
		    left ? phrase_left(left, buf, sizeof(buf)) : "none",
		    term_off(&s->term));
		term_add_clean(&s->out, token, s->term.utf8);
		strbuf_adds(&s->out, ")\n");
	}
	if ((login || import) && at) {
		strbuf_addf(&s->out, "human needed: %s (%s ",
		    at <= s->now ? "now" : phrase_when(at - s->now, buf,
		    sizeof(buf)), login ? "login" : "import");
		term_add_clean(&s->out, login ? login : import,
		    s->term.utf8);
		strbuf_adds(&s->out, ")\n");
	} else {
		add_human_unknown(s, o);
	}
	/* one that is refused says so itself */
	if (import && at && at <= s->now && !is_refused(o, import))
		add_wrong(s, TERM_RED, "token %s: it is waited for, and there "
		    "is none: make one at its service and run 'tokenbrokerctl "
		    "import %s'", import, import);
}

/* --------------------------------------------------------------- logins */

/* When a human has to act: "now", "in 29d", or what can be said. */
static const char *
human_due(const struct screen *s, const struct json_t *o,
    enum term_colour *colour, char *buf, size_t size)
{
	const char *state = jval_str(o, "state");
	int64_t at = jval_time(o, "refresh_expires_at");

	*colour = TERM_PLAIN;
	if (jval_str(o, "human_needed") || streq(state, "human_needed") ||
	    streq(state, "empty")) {
		*colour = TERM_RED;
		return "now";
	}
	if (jval_is_false(o, "renewable"))
		at = jval_time(o, "access_expires_at");
	if (!at)
		return "not known";
	if (at - s->now < 3 * 86400)
		*colour = TERM_YELLOW;
	return phrase_when(at - s->now, buf, size);
}

/* "ISSUER SUBJECT (NAME)" with what a colleague would say in front, since the
 * end is what is cut; 'tokens' and the audit log have it whole. */
static char *
human_name(const struct json_t *o)
{
	const char *human = jval_str(o, "human"), *issuer = jval_str(o,
	    "issuer"), *name;
	size_t n = issuer ? strlen(issuer) : 0;

	if (!human)
		return NULL;
	if (n && strncmp(human, issuer, n) == 0 && human[n] == ' ')
		human += n + 1;
	name = strstr(human, " (");
	if (!name || human[strlen(human) - 1] != ')')
		return xstrdup(human);
	return xasprintf("%.*s (%.*s)", (int)strlen(name) - 3, name + 2,
	    (int)(name - human), human);
}

static void
add_login(struct screen *s, struct table *t, const struct json_t *o)
{
	const char *name = jval_name(o), *state = jval_str(o, "state");
	const char *why = jval_str(o, "human_needed");
	enum term_colour colour;
	int64_t refresh = jval_time(o, "refresh_at");
	char due[PHRASE_SIZE], left[PHRASE_SIZE];
	char *who _cleanup_free_ = human_name(o);
	const char *text;

	if (!name)
		return;
	text = human_due(s, o, &colour, due, sizeof(due));
	table_row(t);
	table_cell(t, 0, TERM_PLAIN, name);
	table_cell(t, 1, state_colour(state), state);
	table_cell(t, 2, TERM_PLAIN, who);
	table_cell(t, 3, TERM_PLAIN, !refresh ? NULL : refresh <= s->now ?
	    "now" : phrase_left(refresh - s->now, left, sizeof(left)));
	table_cell(t, 4, colour, text);
	if (why)
		add_wrong(s, TERM_RED, "login %s: %s; run 'tokenbrokerctl "
		    "login %s'", name, why, name);
	else if (streq(state, "empty"))
		add_wrong(s, TERM_RED, "login %s: nobody has logged in yet; "
		    "run 'tokenbrokerctl login %s'", name, name);
	else
		add_last_error(s, "login", name, o);
}

static void
add_logins(struct screen *s, const struct json_t *o)
{
	static const char *const heading[] = { "LOGIN", "STATE", "HUMAN",
		"REFRESHES IN", "HUMAN NEEDED" };
	const struct json_t *list = jval_list(jval_get(o, "logins"), "logins");
	struct table t;
	size_t i;

	strbuf_addc(&s->out, '\n');
	if (jval_size(list) == 0) {
		strbuf_adds(&s->out, "No login is configured.\n");
		return;
	}
	table_init(&t, heading, ARRAY_SIZE(heading), 2, s->term.utf8);
	table_may_drop(&t, 3);
	for (i = 0; i < jval_size(list); i++)
		add_login(s, &t, jval_at(list, i));
	table_render(&t, &s->term, &s->out);
	table_clear(&t);
}

/* --------------------------------------------------------------- tokens */

static void
add_unsettled(struct screen *s, const char *name, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o, "unsettled"),
	    "unsettled"), *one;
	int64_t until;
	char when[PHRASE_SIZE];
	size_t i;

	for (i = 0; i < jval_size(list); i++) {
		one = jval_at(list, i);
		until = jval_time(one, "until");
		add_wrong(s, streq(jval_str(one, "state"), "settling") ?
		    TERM_YELLOW : TERM_RED, "token %s: %s: a mint whose "
		    "outcome is not known%s%s", name,
		    jval_str(one, "state") ? jval_str(one, "state") :
		    "unsettled", until ? "; this ends " : "",
		    !until ? "" : until <= s->now ? "with the next look" :
		    phrase_when(until - s->now, when, sizeof(when)));
	}
}

/* Revoked here, and the service has not agreed yet. */
static void
add_revoking(struct screen *s, const char *name, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o, "generations"),
	    "generations"), *one;
	size_t i;

	for (i = 0; i < jval_size(list); i++) {
		one = jval_at(list, i);
		/* inactive there, and deleted by and by: as it should be */
		if (!streq(jval_str(one, "state"), "revoking") ||
		    jval_time(one, "disabled_at"))
			continue;
		add_wrong(s, TERM_YELLOW, "token %s: generation %" PRId64
		    " is released to nobody, but the service has not agreed "
		    "to its revocation yet; that is tried again by itself",
		    name, jval_int(one, "generation", 0));
	}
}

/* Its end is near, and no renewal comes before it. */
static void
add_ending(struct screen *s, const char *name, const struct json_t *o)
{
	const char *why = jval_str(o, "expiring");
	const char *advice = jval_str(o, "expiring_advice");
	int64_t left = jval_time(o, "expires_at") - s->now;
	char when[PHRASE_SIZE];

	if (why)
		add_wrong(s, left < 86400 ? TERM_RED : TERM_YELLOW, "token "
		    "%s ends %s, and nothing newer comes: %s%s%s%s", name,
		    phrase_when(left, when, sizeof(when)), why,
		    advice ? "; run '" : "", advice ? advice : "",
		    advice ? "'" : "");
}

static void
add_token(struct screen *s, struct table *t, const struct json_t *o)
{
	const char *name = jval_name(o), *state = jval_str(o, "state");
	int64_t generation = jval_int(o, "generation", 0);
	int64_t expires = jval_time(o, "expires_at");
	int64_t renew = jval_time(o, "renew_at");
	char number[24], buf[PHRASE_SIZE];

	if (!name)
		return;
	table_row(t);
	table_cell(t, 0, TERM_PLAIN, name);
	table_cell(t, 1, state_colour(state), state);
	snprintf(number, sizeof(number), "%" PRId64, generation);
	table_cell(t, 2, TERM_PLAIN, generation ? number : NULL);
	table_cell(t, 3, expires && expires < s->now ? TERM_RED : TERM_PLAIN,
	    expires ? phrase_left(expires - s->now, buf, sizeof(buf)) : NULL);
	table_cell(t, 4, TERM_PLAIN, !renew ? NULL : renew <= s->now ? "now" :
	    phrase_left(renew - s->now, buf, sizeof(buf)));
	table_cell(t, 5, TERM_PLAIN, jval_str(o, "backend"));
	add_last_error(s, "token", name, o);
	add_ending(s, name, o);
	add_unsettled(s, name, o);
	add_revoking(s, name, o);
}

static void
add_tokens(struct screen *s, const struct json_t *o)
{
	static const char *const heading[] = { "TOKEN", "STATE", "GEN",
		"EXPIRES IN", "RENEWS IN", "BACKEND" };
	const struct json_t *list = jval_list(jval_get(o, "tokens"), "tokens");
	struct table t;
	size_t i;

	strbuf_addc(&s->out, '\n');
	if (jval_size(list) == 0) {
		strbuf_adds(&s->out, "No token is configured.\n");
		return;
	}
	table_init(&t, heading, ARRAY_SIZE(heading), 0, s->term.utf8);
	table_may_drop(&t, 5);
	table_may_drop(&t, 2);
	table_may_drop(&t, 4);
	for (i = 0; i < jval_size(list); i++)
		add_token(s, &t, jval_at(list, i));
	table_render(&t, &s->term, &s->out);
	table_clear(&t);
}

/* Tokens that this host made and nobody knows, and looks that fail. */
static void
add_reconciles(struct screen *s, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o, "reconcile"),
	    "reconcile"), *one;
	const char *name;
	int64_t n;
	size_t i;

	for (i = 0; i < jval_size(list); i++) {
		one = jval_at(list, i);
		name = jval_str(one, "backend");
		n = jval_int(one, "orphans_alive", 0);
		if (!name)
			continue;
		if (n)
			add_wrong(s, TERM_RED, "backend %s: %" PRId64
			    " token%s there made here and known to nobody; "
			    "see 'tokenbrokerctl reconcile %s'", name, n,
			    n == 1 ? "" : "s", name);
		add_last_error(s, "backend", name, one);
	}
}

static void
add_insecure(struct screen *s, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o,
	    "insecure_backends"), "insecure_backends");

	for (size_t i = 0; i < jval_size(list); i++)
		add_wrong(s, TERM_RED, "backend %s: its certificate is not "
		    "verified (tls_insecure = yes)",
		    jval_text(jval_at(list, i)));
}

static void
add_jobs(struct screen *s, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o, "jobs"), "jobs");
	const struct json_t *one;
	const char *job, *name;
	char when[PHRASE_SIZE];
	int64_t since;
	size_t i;

	for (i = 0; i < jval_size(list); i++) {
		one = jval_at(list, i);
		job = jval_str(one, "job");
		name = jval_str(one, "name");
		since = jval_time(one, "since");
		add_wrong(s, TERM_YELLOW, "%s%s%s: under way, begun %s",
		    job ? job : "?", name ? " " : "", name ? name : "",
		    phrase_when(since - s->now, when, sizeof(when)));
	}
}

/* The earliest of list by that member: "next refresh: in 3h (login ops)". */
static void
add_earliest(struct screen *s, const char *what, const struct json_t *list,
    const char *member, const char *kind)
{
	const char *name = NULL;
	int64_t at = 0, one;
	char buf[PHRASE_SIZE];
	size_t i;

	for (i = 0; i < jval_size(list); i++) {
		one = jval_time(jval_at(list, i), member);
		if (one && (!at || one < at) && jval_name(jval_at(list, i))) {
			at = one;
			name = jval_name(jval_at(list, i));
		}
	}
	if (!name)
		return;
	strbuf_addf(&s->out, "next %s: %s (%s ", what, at <= s->now ? "now" :
	    phrase_when(at - s->now, buf, sizeof(buf)), kind);
	term_add_clean(&s->out, name, s->term.utf8);
	strbuf_adds(&s->out, ")\n");
}

/* What the daemon does by itself next. */
static void
add_next(struct screen *s, const struct json_t *o)
{
	add_earliest(s, "refresh", jval_list(jval_get(o, "logins"), "logins"),
	    "refresh_at", "login");
	add_earliest(s, "renewal", jval_list(jval_get(o, "tokens"), "tokens"),
	    "renew_at", "token");
}

static void
add_verdict(const struct screen *s, struct strbuf *out)
{
	if (!s->n_wrong)
		strbuf_addf(out, "%sall is well%s\n", term_on(&s->term,
		    TERM_GREEN), term_off(&s->term));
	else
		strbuf_addf(out, "%s%u %s to look at, see below%s\n",
		    term_on(&s->term, s->bad ? TERM_RED : TERM_YELLOW),
		    s->n_wrong, s->n_wrong == 1 ? "thing" : "things",
		    term_off(&s->term));
}

struct status_verdict
status_screen(struct strbuf *out, const struct json_t *o, int64_t now,
    const struct term *term)
{
	struct screen whole = { .term = *term, .now = now, .out = STRBUF_INIT,
		.wrong = STRBUF_INIT }, *s = &whole;
	int64_t at = jval_time(jval_get(o, "human_needed"), "at");
	size_t head;

	add_daemon(s, o);
	head = s->out.len;
	add_outlook(s, o);
	add_next(s, o);
	add_logins(s, o);
	add_tokens(s, o);
	add_reconciles(s, o);
	add_insecure(s, o);
	add_jobs(s, o);
	strbuf_add(out, strbuf_str(&s->out), head);
	add_verdict(s, out);
	strbuf_adds(out, strbuf_str(&s->out) + head);
	if (s->wrong.len)
		strbuf_addf(out, "\n%s", strbuf_str(&s->wrong));
	strbuf_clear(&s->out);
	strbuf_clear(&s->wrong);
	return (struct status_verdict){ .bad = s->bad,
		.human = at && at <= now };
}
