/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route - see the header. The tables have a dozen rows: they are searched from
 * the top.
 */
#include "serve/route.h"

#include "base/now.h"
#include "base/tb_error.h"
#include "base/util.h"
#include "lib/jsonx.h"
#include "serve/denylog.h"
#include "serve/serve_int.h"
#include "serve/session.h"
#include "state/audit.h"

/* ------------------------------------------------------------------ match */

/* path is what follows the prefix; name->s stays NULL without a {name}. */
static bool
path_fits(const char *pattern, struct http1_view path,
    struct http1_view *name)
{
	const char *s = path.s, *end = path.s + path.len, *slash;

	*name = (struct http1_view){ NULL, 0 };
	while (*pattern) {
		if (*pattern != '{') {
			if (s == end || *s++ != *pattern++)
				return false;
			continue;
		}
		pattern = strchr(pattern, '}') + 1;
		slash = memchr(s, '/', (size_t)(end - s));
		if (!slash)
			slash = end;
		*name = (struct http1_view){ s, (size_t)(slash - s) };
		if (name->len == 0)
			return false;
		s = slash;
	}
	return s == end;
}

/* NULL: no such path; or the path is there, but not for this method, which
 * *allow then lists. */
static const struct route *
find(const struct door *door, enum http1_method method,
    struct http1_view path, struct http1_view *name, char *allow,
    size_t allow_size)
{
	size_t i, n;

	*allow = '\0';
	for (i = 0; i < door->n_routes; i++) {
		if (!path_fits(door->routes[i].path, path, name))
			continue;
		if (door->routes[i].method == method)
			return &door->routes[i];
		n = strlen(allow);
		snprintf(allow + n, allow_size - n, "%s%s", n ? ", " : "",
		    http1_method_name(door->routes[i].method));
	}
	return NULL;
}

/* ------------------------------------------------------------------ checks */

/* A request that a web page made somebody's browser send. */
static bool
is_from_browser(const struct http1 *h, const char *buf)
{
	return http1_field(h, buf, "origin").s ||
	    http1_has_field_prefix(h, buf, "sec-fetch-");
}

static bool
has_role(const struct serve *serve, const struct principal *who,
    enum route_role role)
{
	bool is_operator = who->uid == 0 ||
	    (serve->admin_gid != SERVE_NO_GROUP &&
		principal_in_group(who, serve->admin_gid));

	switch (role) {
	case ROUTE_ANYBODY:
		return true;
	case ROUTE_OPERATOR:
		return is_operator;
	case ROUTE_AUDITOR:
		return is_operator || (serve->auditor_gid != SERVE_NO_GROUP &&
		    principal_in_group(who, serve->auditor_gid));
	}
	return false;
}

static void
deny_role(struct session *s, enum route_role role)
{
	struct serve *serve = session_serve(s);
	char id[17];
	struct audit_rec rec = {
		.event = AUDIT_DENIED,
		.door = acl_door_name(session_door(s)->id),
		.who = session_who(s),
		.verdict = "deny",
		.reason = role == ROUTE_OPERATOR ? "not an operator" :
		    "neither operator nor auditor",
		.request_id = session_request_id(s, id),
	};

	counts_door(&serve->counts, session_door(s)->id)->denied++;
	audit_denied(serve->audit, &rec);
	denylog_line(serve->denylog, rec.door, rec.who, NULL, rec.reason,
	    NULL, now_boot_ms());
	session_refuse(s, PROBLEM_ROLE, role == ROUTE_OPERATOR ?
	    "this is for root and members of the admin group" :
	    "this is for root and members of the admin or auditor group");
}

/* Every parameter is one of the row's, and there once. */
static bool
query_is_known(const struct route *r, const struct http1 *h, const char *buf)
{
	struct http1_view rest = http1_query(h, buf), key, value;
	unsigned seen = 0, i;

	while (http1_next_param(&rest, &key, &value)) {
		for (i = 0; i < ROUTE_QUERY_MAX && r->query[i]; i++)
			if (key.len == strlen(r->query[i]) &&
			    memcmp(key.s, r->query[i], key.len) == 0)
				break;
		if (i == ROUTE_QUERY_MAX || !r->query[i] || (seen & 1u << i))
			return false;
		seen |= 1u << i;
	}
	return true;
}

static const char *
what_is_wrong(const struct route *r, const struct http1 *h, const char *buf)
{
	if (r->body == ROUTE_NO_BODY && h->body_len)
		return "this request takes no body";
	if (r->body == ROUTE_MUST_BODY && !h->body_len)
		return "this request needs a JSON body";
	if (!query_is_known(r, h, buf))
		return "a query parameter is unknown or given twice";
	return NULL;
}

static void
run(struct session *s, const struct route *r, struct request *rq,
    struct http1_view name)
{
	const char *wrong;

	if (!has_role(session_serve(s), session_who(s), r->role)) {
		deny_role(s, r->role);
		return;
	}
	wrong = what_is_wrong(r, rq->h, rq->buf);
	if (!wrong && name.s &&
	    http1_decode(name, false, rq->name, sizeof(rq->name)) < 0)
		wrong = "the name is too long or holds a forbidden character";
	if (wrong)
		session_refuse(s, PROBLEM_BAD_REQUEST, wrong);
	else
		r->fn(s, rq);
}

void
route_dispatch(struct session *s, const struct http1 *h, const char *buf)
{
	struct request rq = { .h = h, .buf = buf, .name = "" };
	struct http1_view path = http1_path(h, buf), name;
	size_t prefix = sizeof(ROUTE_PREFIX) - 1;
	const struct route *r = NULL;
	struct problem p = { .code = PROBLEM_ROUTE,
		.detail = "there is nothing at this address" };
	char allow[64] = "";

	if (is_from_browser(h, buf)) {
		session_refuse(s, PROBLEM_BROWSER, "a request with Origin or "
		    "Sec-Fetch fields comes from a web page");
		return;
	}
	if (!http1_is(http1_field(h, buf, "x-tokenbroker"), "1")) {
		session_refuse(s, PROBLEM_HEADER,
		    "send the header X-Tokenbroker: 1");
		return;
	}
	if (path.len > prefix && memcmp(path.s, ROUTE_PREFIX, prefix) == 0) {
		path.s += prefix;
		path.len -= prefix;
		r = find(session_door(s), h->method, path, &name, allow,
		    sizeof(allow));
	}
	if (r) {
		run(s, r, &rq, name);
		return;
	}
	if (*allow) {
		p.code = PROBLEM_METHOD;
		p.detail = "this address takes other methods";
		p.allow = allow;
	}
	session_problem(s, &p);
}

/* --------------------------------------------------- what functions ask for */

struct http1_view
route_query(const struct request *rq, const char *key)
{
	struct http1_view rest = http1_query(rq->h, rq->buf), k, value;

	while (http1_next_param(&rest, &k, &value))
		if (k.len == strlen(key) && memcmp(k.s, key, k.len) == 0)
			return value;
	return (struct http1_view){ NULL, 0 };
}

json_t *
route_json(const struct request *rq, struct tb_error *err)
{
	struct http1_view body = http1_body(rq->h, rq->buf);
	json_t *o;

	if (body.len == 0)
		return json_object();
	o = jsonx_parse(body.s, body.len, err);
	if (o && !json_is_object(o)) {
		json_decref(o);
		o = NULL;
		tb_error_set(err, TB_E_PROTO, "not a JSON object");
	}
	if (!o)
		tb_error_wrap(err, "body");
	return o;
}

int64_t
route_wait_s(const struct request *rq, int64_t max)
{
	struct http1_view rest = http1_field(rq->h, rq->buf, "prefer"), item;
	int64_t n;

	while (rest.s && http1_next_item(&rest, &item)) {
		if (item.len < 6 || strncasecmp(item.s, "wait=", 5) != 0)
			continue;
		n = http1_number((struct http1_view){ item.s + 5,
			item.len - 5 }, INT32_MAX);
		return MIN2(n, max);
	}
	return -1;
}
