/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET explain: what the rules say about a process as it would look if it
 * connected now, with the rule that decides; or about a unit, as systemd would
 * ask for it. The same functions judge here and at those doors.
 */
#include "base/principal.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "broker/broker.h"
#include "conf.h"
#include "lib/jsonx.h"
#include "serve/admin_int.h"
#include "serve/cgroup.h"
#include "serve/peer.h"
#include "serve/self.h"
#include "serve/serve_int.h"
#include "serve/verdict.h"

struct explain {
	const struct serve *serve;
	struct principal who;
	enum acl_door door;
	json_t *tokens;
};

static void
explain_token(void *arg, const char *name)
{
	struct explain *x = arg;
	struct verdict_env env = {
		.broker = x->serve->broker,
		.conf = x->serve->conf,
		.conf_generation = x->serve->conf_generation,
	};
	struct verdict_cache *none = NULL;
	struct acl_verdict v = verdict_get(&none, &env, &x->who, x->door,
	    name);
	json_t *o = json_object();

	free(none);
	json_object_set_new(o, "token", json_string(name));
	json_object_set_new(o, "allow", json_boolean(v.allow));
	if (v.rule && v.rule->where)
		json_object_set_new(o, "where", json_string(v.rule->where));
	json_object_set_new(o, "reason", json_string(v.reason));
	json_array_append_new(x->tokens, o);
}

/* A unit that need not run: one that was refused does not. */
static bool
take_unit(struct session *s, struct http1_view unit, struct principal *who)
{
	char name[CGROUP_UNIT_MAX];
	ssize_t n = http1_decode(unit, false, name, sizeof(name));

	if (n < 1 || !cgroup_is_unit_name(name, (size_t)n)) {
		session_refuse(s, PROBLEM_BAD_REQUEST, "unit is the whole name "
		    "of one, such as telegraf.service");
		return false;
	}
	who->uid = 0;
	who->gid = 0;
	who->unit = xstrdup(name);
	who->strength = PRINCIPAL_STRONG;
	return true;
}

/* False: the request was refused. */
static bool
find_principal(struct session *s, const struct request *rq,
    struct principal *who)
{
	struct http1_view pid = route_query(rq, "pid");
	struct http1_view self = route_query(rq, "self");
	struct http1_view unit = route_query(rq, "unit");
	struct tb_error err = TB_ERROR_INIT;
	struct problem p;
	int64_t n;

	if ((pid.s != NULL) + (self.s != NULL) + (unit.s != NULL) != 1 ||
	    (self.s && !http1_is(self, "1"))) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "give one of pid=NUMBER, self=1 and unit=NAME");
		return false;
	}
	if (unit.s)
		return take_unit(s, unit, who);
	if (self.s) {
		principal_copy(who, session_who(s));
		return true;
	}
	n = http1_number(pid, INT32_MAX);
	if (n < 1) {
		session_refuse(s, PROBLEM_BAD_REQUEST, "pid is a number");
		return false;
	}
	if (peer_of_pid(session_serve(s)->peers, (pid_t)n, who, &err) < 0) {
		p = problem_from_error(&err, NULL);
		if (err.code == TB_E_BADREQ)
			p.code = PROBLEM_UNKNOWN;
		session_problem(s, &p);
		return false;
	}
	return true;
}

/* A unit by name is only known to systemd, so to the credential door. */
static bool
find_door(struct session *s, const struct request *rq, enum acl_door *out)
{
	struct http1_view door = route_query(rq, "door");
	bool by_unit = route_query(rq, "unit").s;

	*out = by_unit ? ACL_DOOR_CREDENTIAL : ACL_DOOR_API;
	if (!door.s || (http1_is(door, "api") && !by_unit))
		return true;
	if (http1_is(door, "credential")) {
		*out = ACL_DOOR_CREDENTIAL;
		return true;
	}
	session_refuse(s, PROBLEM_BAD_REQUEST, by_unit ? "a unit by name asks "
	    "at the door credential; give a pid for the door api" :
	    "rules are for the doors api and credential");
	return false;
}

void
admin_explain(struct session *s, const struct request *rq)
{
	struct explain x = { .serve = session_serve(s),
		.who = PRINCIPAL_INIT };
	struct http1_view token = route_query(rq, "token");
	char name[ROUTE_NAME_MAX];
	json_t *o;

	if (!find_door(s, rq, &x.door))
		return;
	if (token.s &&
	    http1_decode(token, false, name, sizeof(name)) < 1) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "token is not the name of one");
		return;
	}
	if (!find_principal(s, rq, &x.who))
		return;
	x.tokens = json_array();
	/* it is systemd that asks, whoever the unit's processes are */
	if (x.door == ACL_DOOR_CREDENTIAL)
		x.who.uid = 0;
	if (token.s && x.door == ACL_DOOR_CREDENTIAL)
		explain_token(&x, acl_credential_token(x.serve->conf->rules,
		    x.serve->conf->n_rules, &x.who, name));
	else if (token.s)
		explain_token(&x, name);
	else
		broker_each_token(x.serve->broker, explain_token, &x);
	o = json_object();
	json_object_set_new(o, "principal", self_describe(&x.who));
	json_object_set_new(o, "tokens", x.tokens);
	principal_clear(&x.who);
	session_reply_json(s, 200, o);
}
