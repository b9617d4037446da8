/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin - see the header.
 */
#include "serve/admin.h"

#include "base/openmetrics.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "broker/broker.h"
#include "conf.h"
#include "lib/jsonx.h"
#include "serve/admin_int.h"
#include "serve/health.h"
#include "serve/metrics.h"
#include "serve/serve_int.h"
#include "serve/session.h"
#include "state/audit.h"

void
admin_note(struct session *s, const char *what, const char *token,
    const char *login)
{
	char id[17];
	struct audit_rec rec = {
		.event = AUDIT_ADMIN,
		.door = acl_door_name(session_door(s)->id),
		.who = session_who(s),
		.verdict = "allow",
		.reason = what,
		.token = token,
		.login = login,
		.request_id = session_request_id(s, id),
	};

	audit_note(session_serve(s)->audit, &rec);
}

bool
admin_has_login(struct session *s, const char *name)
{
	const struct conf *conf = session_serve(s)->conf;
	size_t i;

	for (i = 0; i < conf->n_logins; i++)
		if (streq(conf->logins[i]->name, name))
			return true;
	session_refuse(s, PROBLEM_UNKNOWN,
	    "there is no login of this name in the configuration");
	return false;
}

bool
admin_has_token(struct session *s, const char *name)
{
	if (broker_has_token(session_serve(s)->broker, name))
		return true;
	session_refuse(s, PROBLEM_UNKNOWN,
	    "there is no token of this name in the configuration");
	return false;
}

bool
admin_has_backend(struct session *s, const char *name)
{
	const struct conf *conf = session_serve(s)->conf;
	size_t i;

	for (i = 0; i < conf->n_backends; i++)
		if (streq(conf->backends[i]->name, name))
			return true;
	session_refuse(s, PROBLEM_UNKNOWN,
	    "there is no backend of this name in the configuration");
	return false;
}

/* ------------------------------------------------------------------- looks */

static void
admin_health(struct session *s, const struct request *rq)
{
	health_answer(s, rq, true);
}

static void
admin_metrics(struct session *s, const struct request *rq)
{
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;

	metrics_text(session_serve(s), false, &text);
	session_reply(s, 200, "Content-Type: " OPENMETRICS_CONTENT_TYPE
	    "\r\n", text.s, text.len);
}

static void
admin_status(struct session *s, const struct request *rq)
{
	session_reply_json(s, 200, broker_status(session_serve(s)->broker));
}

static void
admin_list_logins(struct session *s, const struct request *rq)
{
	json_t *o = json_object();

	json_object_set_new(o, "logins",
	    broker_status_logins(session_serve(s)->broker));
	session_reply_json(s, 200, o);
}

static void
admin_list_tokens(struct session *s, const struct request *rq)
{
	json_t *o = json_object();

	json_object_set_new(o, "tokens",
	    broker_status_tokens(session_serve(s)->broker));
	session_reply_json(s, 200, o);
}

/* ------------------------------------------------------------------ reload */

static void
admin_reload(struct session *s, const struct request *rq)
{
	struct serve *serve = session_serve(s);
	struct tb_error err = TB_ERROR_INIT;
	struct problem p;
	json_t *o;

	if (serve->reload(serve->reload_arg, &err) < 0) {
		admin_note(s, "reload, refused", NULL, NULL);
		p = problem_from_error(&err, NULL);
		session_problem(s, &p);
		return;
	}
	admin_note(s, "reload", NULL, NULL);
	o = json_object();
	json_object_set_new(o, "state", json_string("reloaded"));
	session_reply_json(s, 200, o);
}

static const struct route admin_routes[] = {
	{ HTTP1_GET, "health", ROUTE_AUDITOR, ROUTE_NO_BODY, admin_health,
	    { "live" } },
	{ HTTP1_GET, "metrics", ROUTE_AUDITOR, ROUTE_NO_BODY, admin_metrics,
	    { NULL } },
	{ HTTP1_GET, "status", ROUTE_AUDITOR, ROUTE_NO_BODY, admin_status,
	    { NULL } },
	{ HTTP1_GET, "audit", ROUTE_AUDITOR, ROUTE_NO_BODY, admin_audit,
	    { NULL } },
	{ HTTP1_POST, "audit/checkpoint", ROUTE_OPERATOR, ROUTE_NO_BODY,
	    admin_checkpoint, { NULL } },
	{ HTTP1_GET, "events", ROUTE_AUDITOR, ROUTE_NO_BODY, admin_events,
	    { "after", "types", "wait" } },
	{ HTTP1_GET, "explain", ROUTE_AUDITOR, ROUTE_NO_BODY, admin_explain,
	    { "pid", "self", "unit", "token", "door" } },
	{ HTTP1_GET, "logins", ROUTE_AUDITOR, ROUTE_NO_BODY,
	    admin_list_logins, { NULL } },
	{ HTTP1_GET, "logins/{name}", ROUTE_AUDITOR, ROUTE_NO_BODY,
	    admin_get_login, { NULL } },
	{ HTTP1_POST, "logins/{name}", ROUTE_OPERATOR, ROUTE_MAY_BODY,
	    admin_start_login, { NULL } },
	{ HTTP1_POST, "logins/{name}/confirm", ROUTE_OPERATOR,
	    ROUTE_MUST_BODY, admin_confirm_login, { NULL } },
	{ HTTP1_DELETE, "logins/{name}", ROUTE_OPERATOR, ROUTE_NO_BODY,
	    admin_logout, { "keep_tokens" } },
	{ HTTP1_GET, "tokens", ROUTE_AUDITOR, ROUTE_NO_BODY,
	    admin_list_tokens, { NULL } },
	{ HTTP1_POST, "tokens/{name}/rotate", ROUTE_OPERATOR, ROUTE_NO_BODY,
	    admin_rotate, { NULL } },
	{ HTTP1_POST, "tokens/{name}/revoke", ROUTE_OPERATOR, ROUTE_MAY_BODY,
	    admin_revoke, { NULL } },
	{ HTTP1_POST, "tokens/{name}/import", ROUTE_OPERATOR,
	    ROUTE_MUST_BODY, admin_import, { NULL } },
	{ HTTP1_POST, "reconcile", ROUTE_OPERATOR, ROUTE_MAY_BODY,
	    admin_reconcile, { NULL } },
	{ HTTP1_POST, "adopt", ROUTE_OPERATOR, ROUTE_NO_BODY, admin_adopt,
	    { NULL } },
	{ HTTP1_POST, "rekey", ROUTE_OPERATOR, ROUTE_MUST_BODY, admin_rekey,
	    { NULL } },
	{ HTTP1_POST, "reload", ROUTE_OPERATOR, ROUTE_NO_BODY, admin_reload,
	    { NULL } },
};

const struct door admin_door = {
	.id = ACL_DOOR_ADMIN,
	.socket = "admin.sock",
	.mode = 0666,
	.routes = admin_routes,
	.n_routes = ARRAY_SIZE(admin_routes),
};
