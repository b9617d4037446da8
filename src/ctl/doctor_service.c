/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_service - the daemon's own units as systemd sees them, and what the
 * daemon says of itself.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0.1.0"
#endif

#include <inttypes.h>

#include "base/now.h"
#include "base/tb_error.h"
#include "ctl/doctor.h"
#include "ctl/phrase.h"

#define RESTARTS_MANY 5

static const char area_service[] = "service", area_daemon[] = "daemon",
    area_provider[] = "provider", area_tokens[] = "tokens";

/* ------------------------------------------------------------------ units */

static bool
is(const char *text, const char *key, const char *value)
{
	_cleanup_free_ char *v = doctor_property(text, key);

	return v && strcmp(v, value) == 0;
}

static void
look_at_socket_unit(struct doctor *d, const char *door)
{
	_cleanup_free_ char *unit = xasprintf("tokenbroker-%s.socket", door);
	_cleanup_free_ char *show = doctor_systemctl((const char *const[]){
	    "show", unit, "-p", "LoadState,ActiveState,UnitFileState,Result",
	    NULL });
	_cleanup_free_ char *result = show ? doctor_property(show, "Result") :
	    NULL;

	if (!show)
		return;
	if (!is(show, "LoadState", "loaded"))
		doctor_add(d, FINDING_FAIL, area_service, "make install, then "
		    "systemctl daemon-reload", "%s is not installed", unit);
	else if (is(show, "ActiveState", "failed"))
		doctor_add(d, FINDING_FAIL, area_service, "journalctl -u "
		    "tokenbrokerd says why the daemon did not come up; then "
		    "systemctl start tokenbrokerd", "%s has failed (%s)", unit,
		    result ? result : "?");
	else if (!is(show, "ActiveState", "active"))
		doctor_add_take(d, FINDING_FAIL, area_service, xasprintf(
		    "systemctl enable %s, then systemctl restart "
		    "tokenbrokerd, which takes it along", unit),
		    "%s is not active", unit);
	else if (!is(show, "UnitFileState", "enabled") &&
	    !is(show, "UnitFileState", "enabled-runtime"))
		doctor_add_take(d, FINDING_WARN, area_service, xasprintf(
		    "systemctl enable %s", unit), "%s is not enabled: after a "
		    "boot the door is missing until the daemon is started",
		    unit);
	else
		doctor_add(d, FINDING_OK, area_service, NULL, "%s is active",
		    unit);
}

static void
look_at_service_unit(struct doctor *d)
{
	_cleanup_free_ char *show = doctor_systemctl((const char *const[]){
	    "show", "tokenbrokerd.service", "-p",
	    "LoadState,ActiveState,SubState,Result,NRestarts,"
	    "NeedDaemonReload", NULL });
	_cleanup_free_ char *state = NULL, *result = NULL, *n = NULL;

	if (!show)
		return;
	state = doctor_property(show, "ActiveState");
	result = doctor_property(show, "Result");
	n = doctor_property(show, "NRestarts");
	if (is(show, "LoadState", "masked") ||
	    is(show, "LoadState", "not-found"))
		doctor_add(d, FINDING_FAIL, area_service, "make install, then "
		    "systemctl daemon-reload", "tokenbrokerd.service is not "
		    "installed, or masked");
	else if (is(show, "ActiveState", "failed"))
		doctor_add(d, FINDING_FAIL, area_service, "journalctl -u "
		    "tokenbrokerd, then systemctl start tokenbrokerd",
		    "tokenbrokerd.service has failed (%s)",
		    result ? result : "?");
	else if (is(show, "SubState", "auto-restart"))
		doctor_add(d, FINDING_FAIL, area_service, "journalctl -u "
		    "tokenbrokerd", "tokenbrokerd.service ends as soon as it "
		    "is started (%s)", result ? result : "?");
	else
		doctor_add(d, FINDING_OK, area_service, NULL,
		    "tokenbrokerd.service is %s%s", state ? state : "?",
		    is(show, "ActiveState", "inactive") ?
		    "; the first client starts it" : "");
	if (n && strtol(n, NULL, 10) >= RESTARTS_MANY)
		doctor_add(d, FINDING_WARN, area_service, "journalctl -u "
		    "tokenbrokerd", "the daemon ended and was started again "
		    "%s times", n);
	if (is(show, "NeedDaemonReload", "yes"))
		doctor_add(d, FINDING_WARN, area_service, "systemctl "
		    "daemon-reload", "the unit on disk is newer than the one "
		    "in use");
}

void
doctor_service(struct doctor *d)
{
	_cleanup_free_ char *up = NULL;

	if (!d->has_systemd) {
		doctor_add(d, FINDING_WARN, area_service, NULL, "systemd is "
		    "not PID 1 here: there are no units, no LoadCredential=");
		return;
	}
	up = doctor_systemctl((const char *const[]){ "show", "-p", "Version",
	    NULL });
	if (!up) {
		doctor_add(d, FINDING_UNSEEN, area_service, NULL, "systemctl "
		    "cannot reach systemd: units are not looked at");
		return;
	}
	look_at_socket_unit(d, "api");
	look_at_socket_unit(d, "credential");
	look_at_socket_unit(d, "admin");
	look_at_service_unit(d);
}

/* ----------------------------------------------------------------- daemon */

static void
judge_login(struct doctor *d, const struct json_t *o, int64_t now)
{
	const char *name = jval_name(o), *state = jval_str(o, "state");
	const char *why = jval_str(o, "human_needed");
	const char *error = jval_str(o, "last_error");
	const char *issuer = jval_str(o, "issuer");
	int64_t error_at = jval_time(o, "last_error_at");
	int64_t good_at = MAX2(jval_time(o, "refreshed_at"),
	    jval_time(o, "granted_at"));
	char when[PHRASE_SIZE];

	if (!name)
		return;
	issuer = issuer ? issuer : "its provider";
	if (why || streq(state, "human_needed") || streq(state, "empty"))
		doctor_add_take(d, FINDING_FAIL, area_provider, xasprintf(
		    "tokenbrokerctl login %s", name), "login %s needs a "
		    "human: %s", name, why ? why : "nobody has logged in yet");
	if (error && error_at > good_at)
		doctor_add(d, FINDING_WARN, area_provider, "what is kept is "
		    "served meanwhile, and it is tried again by itself; look "
		    "at the network and at the provider", "login %s: %s, at "
		    "%s, %s", name, error, issuer, phrase_when(error_at - now,
		    when, sizeof(when)));
	else if (good_at)
		doctor_add(d, FINDING_OK, area_provider, NULL, "login %s: %s "
		    "last answered %s", name, issuer, phrase_when(good_at -
		    now, when, sizeof(when)));
}

/* needed: what somebody has to import now, or NULL. */
static void
judge_token(struct doctor *d, const struct json_t *o, const char *needed,
    int64_t now)
{
	const char *name = jval_name(o), *error = jval_str(o, "last_error");
	int64_t error_at = jval_time(o, "last_error_at");
	int64_t expires = jval_time(o, "expires_at");
	bool ready = jval_int(o, "generation", 0) > 0 &&
	    (!expires || expires > now);
	char when[PHRASE_SIZE];

	if (!name)
		return;
	if (streq(jval_str(o, "state"), "refused"))
		doctor_add_take(d, FINDING_FAIL, area_tokens, xasprintf(
		    "tokenbrokerctl import %s", name), "token %s, which pays, "
		    "needs a human: %s", name, error ? error : "it is refused");
	else if (streq(name, needed))
		doctor_add_take(d, FINDING_FAIL, area_tokens, xasprintf(
		    "make one at its service, then: tokenbrokerctl import %s",
		    name), "token %s needs a human: it is waited for, and "
		    "there is none", name);
	else if (error)
		doctor_add(d, ready ? FINDING_WARN : FINDING_FAIL, area_tokens,
		    "tokenbrokerctl status shows it whole", "token %s, %s: %s",
		    name, phrase_when(error_at - now, when, sizeof(when)),
		    error);
	else if (ready)
		doctor_add(d, FINDING_OK, area_tokens, NULL, "token %s is "
		    "ready%s%s", name, expires ? ", expires " : "", expires ?
		    phrase_when(expires - now, when, sizeof(when)) : "");
	else
		doctor_add(d, FINDING_OK, area_tokens, NULL, "token %s has "
		    "no value, and nobody waits for it", name);
	if (jval_str(o, "expiring"))
		doctor_add(d, FINDING_WARN, area_tokens, jval_str(o,
		    "expiring_advice"), "token %s ends %s, and nothing newer "
		    "comes: %s", name, phrase_when(expires - now, when,
		    sizeof(when)), jval_str(o, "expiring"));
	if (jval_size(jval_list(jval_get(o, "unsettled"), "unsettled")))
		doctor_add(d, FINDING_WARN, area_tokens, "tokenbrokerctl "
		    "status says until when", "token %s: the outcome of a "
		    "mint is not known", name);
}

/* A state that may not be ours to use, and records that are not used. */
static void
judge_state(struct doctor *d, const struct json_t *o)
{
	const char *why = jval_str(o, "quarantine");
	size_t lost = jval_size(jval_list(jval_get(o, "trouble"), "trouble"));

	if (why)
		doctor_add(d, FINDING_FAIL, area_daemon, "if this host is to "
		    "go on with it: tokenbrokerctl adopt; see RECOVERY in "
		    "tokenbrokerd(8)", "the state is quarantined: %s", why);
	if (lost)
		doctor_add(d, FINDING_WARN, area_daemon, "tokenbrokerctl "
		    "status says which and why", "%zu record%s of the state "
		    "%s not used", lost, lost == 1 ? "" : "s",
		    lost == 1 ? "is" : "are");
}

static void
judge_orphans(struct doctor *d, const struct json_t *o)
{
	const char *backend = jval_str(o, "backend");
	int64_t n = jval_int(o, "orphans_alive", 0);

	if (n > 0)
		doctor_add(d, FINDING_WARN, area_tokens, "tokenbrokerctl "
		    "reconcile lists them; on_orphan = revoke in the "
		    "[backend], and reload, has them revoked", "backend %s: "
		    "%" PRId64 " token%s made here %s alive and known to "
		    "nobody", backend ? backend : "?", n, n == 1 ? "" : "s",
		    n == 1 ? "is" : "are");
}

static void
judge_insecure(struct doctor *d, const struct json_t *o)
{
	const struct json_t *list = jval_list(jval_get(o,
	    "insecure_backends"), "insecure_backends");

	for (size_t i = 0; i < jval_size(list); i++)
		doctor_add(d, FINDING_WARN, area_tokens, "name your authority "
		    "with ca_file and take tls_insecure out", "backend %s: "
		    "its certificate is not verified", jval_text(jval_at(
		    list, i)));
}

static void
judge_status(struct doctor *d, const struct json_t *o)
{
	const struct json_t *disk = jval_get(o, "disk");
	const struct json_t *logins = jval_list(jval_get(o, "logins"),
	    "logins"), *tokens = jval_list(jval_get(o, "tokens"), "tokens");
	const struct json_t *looks = jval_list(jval_get(o, "reconcile"),
	    "reconcile");
	const char *version = jval_str(o, "version");
	const char *error = jval_str(disk, "error");
	const struct json_t *human = jval_get(o, "human_needed");
	int64_t now = now_real_s();
	const char *import = jval_time(human, "at") <= now ?
	    jval_str(human, "import") : NULL;
	size_t i;

	if (!streq(version, PACKAGE_VERSION))
		doctor_add(d, FINDING_WARN, area_daemon, "systemctl restart "
		    "tokenbrokerd: clients do not notice", "the daemon that "
		    "runs is %s, this is tokenbrokerctl %s", version ?
		    version : "of an older version", PACKAGE_VERSION);
	else
		doctor_add(d, FINDING_OK, area_daemon, NULL, "tokenbrokerd "
		    "%s answers", version);
	judge_state(d, jval_get(o, "state"));
	if (error)
		doctor_add(d, FINDING_FAIL, area_daemon, "look at the disk; "
		    "the log says more", "it cannot write: %s", error);
	for (i = 0; i < jval_size(logins); i++)
		judge_login(d, jval_at(logins, i), now);
	for (i = 0; i < jval_size(tokens); i++)
		judge_token(d, jval_at(tokens, i), import, now);
	for (i = 0; i < jval_size(looks); i++)
		judge_orphans(d, jval_at(looks, i));
	judge_insecure(d, o);
}

void
doctor_daemon(struct doctor *d)
{
	static const struct client_request q = { .method = "GET",
		.path = "/api/v1/status", .timeout_ms = 10000 };
	struct reply r _cleanup_(reply_clear) = REPLY_INIT;
	struct problem p _cleanup_(problem_clear) = PROBLEM_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct json_t *o _cleanup_jval_ = NULL;

	if (client_call(&d->ctl->admin, &q, &r, &err) < 0) {
		doctor_add(d, FINDING_FAIL, area_daemon, d->has_systemd ?
		    "systemctl start tokenbrokerd; journalctl -u tokenbrokerd"
		    : "start tokenbrokerd", "it does not answer: %s", err.msg);
		return;
	}
	d->daemon_answers = true;
	if (r.status / 100 == 2)
		o = jval_parse(&r.body, &err);
	else
		problem_from_reply(&p, &r);
	if (o)
		judge_status(d, o);
	else if (r.status == 403)
		doctor_add(d, FINDING_UNSEEN, area_daemon, NULL, "it answers; "
		    "%s", p.detail);
	else
		doctor_add(d, FINDING_FAIL, area_daemon, "journalctl -u "
		    "tokenbrokerd", "it answers %d: %s", r.status, p.detail ?
		    p.detail : err.msg);
}
