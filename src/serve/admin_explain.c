/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET explain: what the rules say about a process as it would look if it
 * connected now, with the rule that decides. The same functions judge here and
 * at the api door.
 */
#include "base/principal.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "broker/broker.h"
#include "lib/jsonx.h"
#include "serve/admin_int.h"
#include "serve/peer.h"
#include "serve/self.h"
#include "serve/serve_int.h"
#include "serve/verdict.h"

struct explain {
	const struct serve *serve;
	struct principal who;
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
	struct acl_verdict v = verdict_get(&none, &env, &x->who, ACL_DOOR_API,
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

/* False: the request was refused. */
static bool
find_principal(struct session *s, const struct request *rq,
    struct principal *who)
{
	struct http1_view pid = route_query(rq, "pid");
	struct http1_view self = route_query(rq, "self");
	struct tb_error err = TB_ERROR_INIT;
	struct problem p;
	int64_t n;

	if ((pid.s != NULL) == (self.s != NULL) ||
	    (self.s && !http1_is(self, "1"))) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "give either pid=NUMBER or self=1");
		return false;
	}
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

void
admin_explain(struct session *s, const struct request *rq)
{
	struct explain x = { .serve = session_serve(s),
		.who = PRINCIPAL_INIT };
	struct http1_view token = route_query(rq, "token");
	struct http1_view door = route_query(rq, "door");
	char name[ROUTE_NAME_MAX];
	json_t *o;

	if (door.s && !http1_is(door, acl_door_name(ACL_DOOR_API))) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "rules are for the door api");
		return;
	}
	if (token.s &&
	    http1_decode(token, false, name, sizeof(name)) < 1) {
		session_refuse(s, PROBLEM_BAD_REQUEST,
		    "token is not the name of one");
		return;
	}
	if (!find_principal(s, rq, &x.who))
		return;
	x.tokens = json_array();
	if (token.s)
		explain_token(&x, name);
	else
		broker_each_token(x.serve->broker, explain_token, &x);
	o = json_object();
	json_object_set_new(o, "principal", self_describe(&x.who));
	json_object_set_new(o, "tokens", x.tokens);
	principal_clear(&x.who);
	session_reply_json(s, 200, o);
}
