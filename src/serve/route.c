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

/* Names of Vault's own, which no engine is mounted below. */
static bool
may_be_mount(const char *s, size_t len)
{
	return !((len >= 3 && memcmp(s, "sys", 3) == 0 &&
	    (len == 3 || s[3] == '/')) ||
	    (len >= 4 && memcmp(s, "auth", 4) == 0 &&
	    (len == 4 || s[4] == '/')));
}

static bool
path_fits(const char *pattern, const char *s, const char *end,
    struct http1_view *name)
{
	const char *rest, *stop = s;
	bool is_name;

	while (*pattern && *pattern != '{')
		if (s == end || *s++ != *pattern++)
			return false;
	if (!*pattern)
		return s == end;
	/* {name}, {mount}, {path}: by their first letter, since each request
	 * comes by here. */
	is_name = pattern[1] == 'n';
	if (pattern[1] == 'm' && !may_be_mount(s, (size_t)(end - s)))
		return false;
	for (rest = pattern + 1; *rest++ != '}';)
		;
	for (stop = s; stop < end; stop++) {
		stop = memchr(stop, '/', (size_t)(end - stop));
		if (!stop)
			stop = end;
		if (stop > s && path_fits(rest, stop, end, name)) {
			if (is_name)
				*name = (struct http1_view){ s,
					(size_t)(stop - s) };
			return true;
		}
		if (is_name || stop == end)
			break;
	}
	return false;
}

/* path is what follows the prefix; name->s stays NULL without a {name}. NULL:
 * no such path; or the path is there, but not for this method, which *allow
 * then lists. */
static const struct route *
find(const struct route *routes, size_t n_routes, enum http1_method method,
    struct http1_view path, struct http1_view *name, char *allow,
    size_t allow_size)
{
	size_t i, n;

	*allow = '\0';
	for (i = 0; i < n_routes; i++) {
		*name = (struct http1_view){ NULL, 0 };
		if (!path_fits(routes[i].path, path.s, path.s + path.len,
			name))
			continue;
		if (routes[i].method == method)
			return &routes[i];
		n = strlen(allow);
		snprintf(allow + n, allow_size - n, "%s%s", n ? ", " : "",
		    http1_method_name(routes[i].method));
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

/* Every parameter is one of the row's, and there once. (Of Vault's clients some
 * send more, and a Vault does not mind.) */
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
what_is_wrong(const struct session *s, const struct route *r,
    const struct http1 *h, const char *buf)
{
	if (r->body == ROUTE_NO_BODY && h->body_len)
		return "this request takes no body";
	if (r->body == ROUTE_MUST_BODY && !h->body_len)
		return "this request needs a JSON body";
	if (!session_is_vault(s) && !query_is_known(r, h, buf))
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
	wrong = what_is_wrong(s, r, rq->h, rq->buf);
	if (!wrong && name.s &&
	    http1_decode(name, false, rq->name, sizeof(rq->name)) < 0)
		wrong = "the name is too long or holds a forbidden character";
	if (wrong)
		session_refuse(s, PROBLEM_BAD_REQUEST, wrong);
	else
		r->fn(s, rq);
}

static bool
drop_prefix(struct http1_view *path, const char *prefix)
{
	size_t n = strlen(prefix);

	if (path->len <= n || memcmp(path->s, prefix, n) != 0)
		return false;
	path->s += n;
	path->len -= n;
	return true;
}

static void
dispatch_native(struct session *s, const struct http1 *h, const char *buf,
    struct http1_view path)
{
	const struct door *door = session_door(s);
	struct request rq = { .h = h, .buf = buf, .name = "" };
	struct http1_view name;
	const struct route *r = NULL;
	struct problem p = { .code = PROBLEM_ROUTE,
		.detail = "there is nothing at this address" };
	char allow[64] = "";

	if (!http1_is(http1_field(h, buf, "x-tokenbroker"), "1")) {
		session_refuse(s, PROBLEM_HEADER,
		    "send the header X-Tokenbroker: 1");
		return;
	}
	if (drop_prefix(&path, ROUTE_PREFIX))
		r = find(door->routes, door->n_routes, h->method, path, &name,
		    allow, sizeof(allow));
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

/* path is what follows the prefix. */
static void
dispatch_vault(struct session *s, const struct http1 *h, const char *buf,
    struct http1_view path)
{
	const struct door *door = session_door(s);
	struct request rq = { .h = h, .buf = buf, .name = "" };
	enum http1_method method = h->method == HTTP1_LIST ? HTTP1_GET :
	    h->method;
	struct http1_view name;
	const struct route *r;
	char allow[64];

	if (path.len && path.s[path.len - 1] == '/')
		path.len--;
	r = find(door->vault_routes, *door->n_vault_routes, method, path,
	    &name, allow, sizeof(allow));
	if (!http1_is(http1_field(h, buf, "x-vault-request"), "true"))
		session_refuse(s, PROBLEM_HEADER,
		    "send the header X-Vault-Request: true");
	else if (http1_field(h, buf, "x-vault-wrap-ttl").s)
		session_refuse(s, PROBLEM_BAD_REQUEST, "an answer is not "
		    "wrapped here: ask without X-Vault-Wrap-TTL");
	else if (r)
		run(s, r, &rq, name);
	else if (*allow)
		session_refuse(s, PROBLEM_ROLE, "this is no Vault but "
		    "tokenbroker, which only looks like one to readers; it "
		    "makes its tokens itself");
	else
		session_refuse(s, PROBLEM_ROUTE, "this is no Vault but "
		    "tokenbroker, and there is nothing at this address");
}

void
route_dispatch(struct session *s, const struct http1 *h, const char *buf)
{
	struct http1_view path = http1_path(h, buf);
	bool vault = session_door(s)->n_vault_routes &&
	    drop_prefix(&path, ROUTE_VAULT_PREFIX);

	session_set_vault(s, vault);
	if (is_from_browser(h, buf))
		session_refuse(s, PROBLEM_BROWSER, "a request with Origin or "
		    "Sec-Fetch fields comes from a web page");
	else if (vault)
		dispatch_vault(s, h, buf, path);
	else
		dispatch_native(s, h, buf, path);
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
