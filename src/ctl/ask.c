/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask - see the header. Patience: a socket that systemd holds queues us during
 * a restart and nothing is seen of it; a daemon that binds its socket itself
 * is away for a moment. That moment shows as "stopping", as a lost connection,
 * as a refused one (the file is there, nobody listens), and, once one of those
 * was seen, as a missing file. A missing file at first sight is no restart.
 */
#include "ctl/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "base/timefmt.h"
#include "ctl/term.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 1000
#define NOTE_AFTER_MS 2000

void
ctl_init(struct ctl *ctl, const char *run_dir)
{
	char *api = xasprintf("%s/api.sock", run_dir);
	char *admin = xasprintf("%s/admin.sock", run_dir);

	*ctl = (struct ctl){ .run_dir = run_dir };
	client_init(&ctl->api, api);
	client_init(&ctl->admin, admin);
	free(api);
	free(admin);
}

void
ctl_clear(struct ctl *ctl)
{
	client_clear(&ctl->api);
	client_clear(&ctl->admin);
}

__attribute__((format(printf, 3, 0))) static void
say(const struct ctl *ctl, const char *kind, const char *fmt, va_list ap)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;
	char *text;

	text = xvasprintf(fmt, ap);
	strbuf_adds(&b, "tokenbrokerctl: ");
	if (ctl->command)
		strbuf_addf(&b, "%s: ", ctl->command);
	strbuf_adds(&b, kind);
	term_add_clean(&b, text, true);
	strbuf_addc(&b, '\n');
	free(text);
	fflush(stdout);
	fputs(strbuf_str(&b), stderr);
}

void
ctl_complain(const struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(ctl, "", fmt, ap);
	va_end(ap);
}

void
ctl_note(const struct ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(ctl, "note: ", fmt, ap);
	va_end(ap);
}

enum ctl_exit
ctl_fail(const struct ctl *ctl, const struct tb_error *err)
{
	if (err->code != TB_E_UNREACHED) {
		ctl_complain(ctl, "%s", err->msg);
		return err->code == TB_E_TRANSIENT ? CTL_NO_DAEMON :
		    CTL_FAILED;
	}
	ctl_complain(ctl, "%s; is it running? systemctl status tokenbrokerd",
	    err->msg);
	return CTL_NO_DAEMON;
}

enum ctl_exit
ctl_fail_problem(const struct ctl *ctl, const struct problem *p,
    enum ask_door door)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	problem_add_text(&b, p, door == ASK_ADMIN, true);
	ctl_complain(ctl, "%s", strbuf_str(&b));
	return problem_exit(p);
}

/* ------------------------------------------------------------- patience */

struct patience
patience_of(int64_t ms, bool any_passing)
{
	int64_t now = ms ? now_boot_ms() : 0;

	return (struct patience){ .began = now, .ends = now + ms,
		.pause_ms = RETRY_FIRST_MS, .any_passing = any_passing };
}

/* Whether this failure is a passing one. */
static bool
is_passing(struct patience *p, const struct client *c,
    const struct tb_error *err, const struct problem *refused)
{
	if (err->code == TB_OK) {
		if (problem_is_restart(refused))
			p->restarting = true;
		return problem_is_restart(refused) ||
		    (p->any_passing && problem_is_passing(refused));
	}
	if (err->code == TB_E_TRANSIENT ||
	    (err->code == TB_E_UNREACHED && c->connect_errno == ECONNREFUSED))
		p->restarting = true;
	return p->restarting && (err->code == TB_E_TRANSIENT ||
	    err->code == TB_E_UNREACHED);
}

/* Sleeps; false when there is no time left for another try. */
static bool
be_patient(const struct ctl *ctl, struct patience *p, int64_t asked_s)
{
	struct timespec t;
	int64_t now = now_boot_ms(), ms;
	char more[TIMEFMT_SIZE];

	if (now >= p->ends)
		return false;
	ms = MIN2(MAX2(p->pause_ms, asked_s * 1000), p->ends - now);
	p->pause_ms = MIN2(2 * p->pause_ms, RETRY_MAX_MS);
	if (!p->noted && now + ms - p->began >= NOTE_AFTER_MS) {
		p->noted = true;
		ctl_note(ctl, "%s; trying for %s more", p->restarting ?
		    "tokenbrokerd restarts" : "not ready yet",
		    timefmt_duration((p->ends - now + 999) / 1000 * 1000, more,
		    sizeof(more)));
	}
	t = (struct timespec){ .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&t, NULL);
	return true;
}

bool
patience_goes_on(const struct ctl *ctl, struct patience *p,
    const struct client *c, const struct tb_error *err,
    const struct problem *refused)
{
	return p->began && is_passing(p, c, err, refused) &&
	    be_patient(ctl, p, MIN2(MAX2(refused->retry_after_s, 0),
	    RETRY_MAX_MS / 1000));
}

enum ctl_exit
ask_or_refusal(struct ctl *ctl, const struct ask *a, struct reply *out,
    struct problem *refused)
{
	struct client *c = a->door == ASK_API ? &ctl->api : &ctl->admin;
	struct client_request q = { .method = a->method ? a->method : "GET",
		.path = a->path, .accept = a->accept, .fields = a->fields,
		.body = a->body,
		.timeout_ms = a->timeout_ms ? a->timeout_ms : ASK_TIMEOUT_MS };
	struct patience p = patience_of(a->patience_ms, a->any_passing);
	struct tb_error err;

	for (;;) {
		err = (struct tb_error)TB_ERROR_INIT;
		problem_clear(refused);
		if (client_call(c, &q, out, &err) == 0) {
			if (out->status < 300)
				return CTL_OK;
			problem_from_reply(refused, out);
		}
		if (patience_goes_on(ctl, &p, c, &err, refused))
			continue;
		return err.code ? ctl_fail(ctl, &err) : CTL_OK;
	}
}

enum ctl_exit
ask(struct ctl *ctl, const struct ask *a, struct reply *out)
{
	struct problem refused _cleanup_(problem_clear) = PROBLEM_INIT;
	enum ctl_exit e = ask_or_refusal(ctl, a, out, &refused);

	if (e == CTL_OK && refused.code)
		e = ctl_fail_problem(ctl, &refused, a->door);
	return e;
}

enum ctl_exit
ask_json(struct ctl *ctl, const struct ask *a, struct json_t **out)
{
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct tb_error err = TB_ERROR_INIT;
	enum ctl_exit e = ask(ctl, a, &r);

	if (e != CTL_OK)
		return e;
	*out = jval_parse(&r.body, &err);
	return *out ? CTL_OK : ctl_fail(ctl, &err);
}

enum ctl_exit
ask_job(struct ctl *ctl, const struct ask *a, struct json_t **out)
{
	enum ctl_exit e = ask_json(ctl, a, out);

	if (e != CTL_OK || !streq(jval_str(*out, "state"), "working"))
		return e;
	ctl_complain(ctl, "it takes longer; the daemon goes on with it: see "
	    "'tokenbrokerctl status'");
	return CTL_NOT_READY;
}

char *
ask_path(const char *head, const char *name, const char *tail)
{
	struct strbuf b _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_addf(&b, "/api/v1/%s", head);
	strbuf_add_percent(&b, name);
	strbuf_adds(&b, tail);
	return strbuf_steal(&b);
}

static char *
value_path(const char *name, const char *of, int64_t min_valid_ms)
{
	char tail[64];

	snprintf(tail, sizeof(tail), "%s", of);
	if (min_valid_ms)
		snprintf(tail, sizeof(tail), "%s?min_valid=%" PRId64, of,
		    min_valid_ms / 1000 + (min_valid_ms % 1000 != 0));
	return ask_path("tokens/", name, tail);
}

char *
ask_token_path(const char *name, int64_t min_valid_ms)
{
	return value_path(name, "", min_valid_ms);
}

char *
ask_lease_path(const char *name, int64_t min_valid_ms)
{
	return value_path(name, "/lease", min_valid_ms);
}

enum ctl_exit
ctl_write(const struct ctl *ctl, const struct secret *bytes, bool line_end)
{
	struct secret all _cleanup_(secret_clear) = SECRET_INIT;
	size_t done = 0;
	ssize_t n;

	secret_dup(&all, bytes);
	if (line_end && (all.len == 0 ||
	    secret_reveal(&all)[all.len - 1] != '\n'))
		secret_append_str(&all, "\n");
	fflush(stdout);
	while (done < all.len) {
		n = write(STDOUT_FILENO, secret_reveal(&all) + done,
		    all.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ctl_complain(ctl, "cannot write to standard output: "
			    "%s", strerror(errno));
			return CTL_FAILED;
		}
		done += (size_t)n;
	}
	return CTL_OK;
}

bool
ctl_is_sure(const struct ctl *ctl, const char *question, enum ctl_exit *e)
{
	if (!term_can_ask()) {
		ctl_complain(ctl, "there is no terminal to ask on; say --yes");
		*e = CTL_USAGE;
		return false;
	}
	*e = CTL_FAILED;
	return term_ask(question);
}
