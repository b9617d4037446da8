/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential - see the header.
 *
 * Who asks is PID 1 or a child of it, as uid 0, in the control group of the
 * unit (systemd 260 and later refresh from init.scope). The unit that it names
 * is a claim: anybody can bind such an address. So uid 0 is wanted, and where
 * the peer's own unit can be told, it must be the one it names. What the rules
 * then judge is the unit.
 *
 * Nothing else than a value that has left completely lets the connection be
 * closed without filler: that is the door's `end`, through which every way out
 * of a session goes.
 */
#include "serve/credential.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/now.h"
#include "base/principal.h"
#include "base/util.h"
#include "broker/broker.h"
#include "conf.h"
#include "serve/credname.h"
#include "serve/denylog.h"
#include "serve/filler.h"
#include "serve/peer.h"
#include "serve/peer_proc.h"
#include "serve/release.h"
#include "serve/serve_int.h"
#include "serve/session.h"
#include "state/audit.h"

#define LOG "credential"
/* Leaves in one piece on any socket; systemd takes at most 1 MiB. */
#define VALUE_MAX ((size_t)64 << 10)
/* For those who are not systemd: they could hold the descriptor for ever. */
#define STRANGER_MS 10000

struct credential {
	struct session_attachment attachment;
	struct principal who; /* the unit; its connector's numbers */
	struct credname name;
	bool given; /* the value is out */
	bool said;  /* the log has its line */
};

static struct credential *
credential_of(const struct session *s)
{
	return container_of(session_attached(s), struct credential,
	    attachment);
}

static void
credential_gone(struct session_attachment *a)
{
	struct credential *c = container_of(a, struct credential, attachment);

	principal_clear(&c->who);
	free(c);
}

/* ------------------------------------------------------------- who is it? */

static const char *
read_name(int fd, struct credname *out)
{
	struct sockaddr_un sun = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(sun);

	if (getpeername(fd, (struct sockaddr *)&sun, &len) < 0 ||
	    len < offsetof(struct sockaddr_un, sun_path))
		len = offsetof(struct sockaddr_un, sun_path);
	return credname_parse(sun.sun_path,
	    len - offsetof(struct sockaddr_un, sun_path), out);
}

/* Why this peer does not speak for that unit; NULL: it does. */
static const char *
check_claim(const struct principal *peer, const char *unit)
{
	if (peer->uid != 0)
		return "only systemd's system manager (uid 0) is served here";
	if (peer->container)
		return "it runs in a container, whose units are not ours";
	/* nothing can be read about it: uid 0 is what there is */
	if (peer->unit_hidden)
		return NULL;
	if (!peer->unit)
		return "it runs in no unit";
	if (streq(peer->unit, unit) || streq(peer->unit, "init.scope"))
		return NULL;
	if (strncmp(peer->unit, "user@", 5) == 0)
		return "it is a user's manager, whose units are not the "
		    "system's";
	return "it runs in another unit than the one that it names";
}

static void
become_unit(struct credential *c, const struct principal *peer)
{
	principal_copy(&c->who, peer);
	if (!streq(c->who.unit, c->name.unit)) {
		/* asked from init.scope, or nothing can be read */
		str_set(&c->who.unit, c->name.unit);
		free(c->who.invocation);
		c->who.invocation = peer_proc_invocation(c->name.unit);
	}
	if (peer->unit_hidden)
		c->who.strength = PRINCIPAL_WEAK;
}

/* ------------------------------------------------------------------- log */

/* One line per request, in which all is that an operator needs. */
static void
say_refused(const struct credname *name, const char *why, const char *hint)
{
	log_warn(LOG, "%s: credential '%s' refused, which fails the unit "
	    "(status=243/CREDENTIALS): %s%s%s", name->unit, name->id, why,
	    hint ? "; " : "", hint ? hint : "");
}

/* NULL: the detail says it, or there is nothing to be done. */
static const char *
hint_of(const struct problem *p)
{
	static const char *const hints[PROBLEM_N_CODES] = {
		[PROBLEM_TIMEOUT] =
		    "tokenbrokerctl status shows why it takes so long",
		[PROBLEM_UPSTREAM] = "tokenbrokerctl status shows more",
		[PROBLEM_CONFIGURATION] = "tokenbrokerctl status shows more",
		[PROBLEM_STOPPING] = "start the unit again",
		[PROBLEM_RATE] = "each Exec line of a unit counts as one",
		[PROBLEM_AUDIT] =
		    "see to the disk that the audit log is on",
		[PROBLEM_DISK] = "see to the disk that the audit log is on",
	};

	return hints[p->code];
}

static char *
hint_for_rule(const struct credential *c, const char *token,
    const struct acl_verdict *v)
{
	if (v->rule)
		return xasprintf("see [client %s] at %s", v->rule->name,
		    v->rule->where);
	if (streq(v->reason, "no such token"))
		return xasprintf("add a [token %s], or credentials = "
		    "%s=TOKEN to a [client] with unit = %s", token,
		    c->name.id, c->name.unit);
	return xasprintf("add a [client] with unit = %s and credentials = "
	    "%s=TOKEN, reload, and start the unit again", c->name.unit,
	    c->name.id);
}

/* ------------------------------------------------------------------ begin */

/* Not systemd, or not for that unit. */
static void
refuse_claim(struct session *s, const struct credname *name, const char *why)
{
	struct serve *serve = session_serve(s);
	const struct principal *peer = session_who(s);
	char id[17], whom[400];
	struct audit_rec rec = {
		.event = AUDIT_DENIED,
		.door = LOG,
		.who = peer,
		.verdict = "deny",
		.reason = why,
		.request_id = session_request_id(s, id),
	};

	counts_door(&serve->counts, ACL_DOOR_CREDENTIAL)->denied++;
	audit_denied(serve->audit, &rec);
	if (peer->uid != 0)
		denylog_line(serve->denylog, LOG, peer, NULL, why, NULL,
		    now_boot_ms());
	else
		log_warn(LOG, "%s asked for credential '%s' of %s and was "
		    "refused: %s",
		    principal_describe(peer, whom, sizeof(whom)),
		    *name->id ? name->id : "?",
		    *name->unit ? name->unit : "a unit that it did not name",
		    why);
	credential_of(s)->said = true;
	session_close(s);
}

static void
credential_open(struct session *s)
{
	const struct conf *conf = session_serve(s)->conf;
	struct credential *c = xnew(struct credential);
	struct release_ask ask = {
		.wait_s = -1,
		.patience_ms = conf->credential_wait_ms,
		.delivery = "static",
	};
	const char *why;

	c->attachment.gone = credential_gone;
	c->who = (struct principal)PRINCIPAL_INIT;
	session_attach(s, &c->attachment);
	session_new_request(s);
	why = read_name(session_fd(s), &c->name);
	if (!why || session_who(s)->uid != 0)
		why = check_claim(session_who(s), c->name.unit);
	if (why) {
		refuse_claim(s, &c->name, why);
		return;
	}
	become_unit(c, session_who(s));
	session_speak_for(s, &c->who);
	ask.token = acl_credential_token(conf->rules, conf->n_rules, &c->who,
	    c->name.id);
	release_start(s, &ask);
}

/* -------------------------------------------------------------------- end */

static void
credential_deny(struct session *s, const char *token,
    const struct acl_verdict *v)
{
	struct credential *c = credential_of(s);
	_cleanup_free_ char *hint = hint_for_rule(c, token, v);

	c->said = true;
	say_refused(&c->name, v->reason, hint);
	session_close(s);
}

static void
credential_refuse(struct session *s, const struct problem *p)
{
	struct credential *c = credential_of(s);

	c->said = true;
	say_refused(&c->name, p->detail, hint_of(p));
	session_close(s);
}

static void
say_given(const struct credential *c, const struct audit_rec *rec)
{
	log_info(LOG, "%s: credential '%s' given: token '%s' generation "
	    "%" PRIu64 ", by [client %s] at %s", c->name.unit, c->name.id,
	    rec->token, rec->generation, rec->rule->name, rec->rule->where);
}

static void
withhold(const struct credential *c, struct audit_rec *rec, const char *why)
{
	rec->event = AUDIT_WITHHELD;
	rec->reason = why;
	say_refused(&c->name, why, NULL);
}

/* In one piece or not at all. */
static void
credential_send(struct session *s, const struct broker_view *view,
    struct audit_rec *rec)
{
	struct credential *c = credential_of(s);
	ssize_t n;

	c->said = true;
	if (view->value->len > VALUE_MAX) {
		withhold(c, rec, "the value is too long for a credential");
		return;
	}
	n = send(session_fd(s), secret_reveal(view->value), view->value->len,
	    MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0) {
		withhold(c, rec, errno == EAGAIN ? "client does not read" :
		    "client went away");
		return;
	}
	rec->event = AUDIT_SENT;
	c->given = (size_t)n == view->value->len;
	if (c->given) {
		say_given(c, rec);
	} else {
		rec->reason = "cut short";
		say_refused(&c->name, "the kernel took only a part of the "
		    "value", NULL);
	}
}

/* Given, refused, or the client hung up: then the filler finds that out. */
static void
credential_end(struct session *s, int fd)
{
	struct serve *serve = session_serve(s);
	struct credential *c = credential_of(s);

	if (!c->said)
		say_refused(&c->name, serve->stopping ?
		    "tokenbrokerd is being stopped" : "systemd went away "
		    "while it waited", serve->stopping ?
		    "start the unit again" : "was the unit stopped, or did "
		    "its start take too long?");
	if (c->given)
		close(fd);
	else
		filler_start(serve->fillers, fd,
		    session_peer(s)->who.uid == 0 ? 0 : STRANGER_MS);
}

/* The peer could not be looked at, or there is no room for it. Only the
 * kernel's word is taken for who it is. */
static void
credential_turn_away(struct serve *serve, int fd, const char *detail)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);
	struct credname name;
	bool is_root = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred,
	    &len) == 0 && cred.uid == 0;

	if (is_root && !read_name(fd, &name))
		say_refused(&name, detail, "start the unit again");
	filler_start(serve->fillers, fd, is_root ? 0 : STRANGER_MS);
}

static const struct door_ops credential_ops = {
	.open = credential_open,
	.send = credential_send,
	.deny = credential_deny,
	.refuse = credential_refuse,
	.end = credential_end,
	.turn_away = credential_turn_away,
};

const struct door credential_door = {
	.id = ACL_DOOR_CREDENTIAL,
	.socket = "credential.sock",
	.mode = 0600,
	.ops = &credential_ops,
};
