/* SPDX-License-Identifier: Apache-2.0 */
/*
 * influxdb3 - see the header. What is special here:
 *
 *  - A token is deleted by its name, and names are unique. So the name is our
 *    description, nonce included, in letters that need no quoting anywhere;
 *    and it is the token's id for us.
 *  - Expiry is sent as seconds from now, so the service's clock decides.
 *  - There is no list of tokens but a table, system.tokens in the database
 *    _internal, read by SQL. Its times have no zone: they are UTC.
 *  - Answers call their content "json", 409 is plain text, 401 may be empty:
 *    nothing is asked of a content type here.
 */
#include "backend/influxdb3.h"

#include <ctype.h>
#include <inttypes.h>

#include "backend/answer.h"
#include "backend/backend_int.h"
#include "backend/check.h"
#include "backend/template.h"
#include "base/strbuf.h"

/* Nobody says how long a name may be. The nonce is at the end of ours. */
#define INFLUXDB3_NAME_MAX 120

#define INFLUXDB3_ADMIN_PATH "/api/v3/configure/token/named_admin"
#define INFLUXDB3_RESOURCE_PATH "/api/v3/enterprise/configure/token"
#define INFLUXDB3_DELETE_PATH "/api/v3/configure/token?token_name="
#define INFLUXDB3_PROBE_PATH "/health"
/* The operator's token is not ours, and has no end. */
#define INFLUXDB3_LIST_PATH \
	"/api/v3/query_sql?db=_internal&format=json&q=SELECT%20name%2C%20" \
	"created_at%2C%20expiry%20FROM%20system.tokens"

static const struct answer_spec influxdb3_spec = {
	.token = "/token",
	.id = "/name",
	.expires = { "/expiry", NULL },
	.list_id = "/name",
	.list_description = "/name",
	.list_created = { "/created_at", NULL },
	.list_expires = { "/expiry", NULL },
};

static unsigned
influxdb3_caps(const struct backend_conf *c, const struct backend_recipe *r)
{
	return BACKEND_CAN_LIST | BACKEND_CAN_REVOKE | BACKEND_CAN_PROBE |
	    BACKEND_NEEDS_PAYER;
}

static int
influxdb3_check(const struct backend_conf *c, struct tb_error *err)
{
	const struct template_var none[] = { { "database", NULL } };

	if (!c->base_url)
		return tb_error_set(err, TB_E_CONFIG, "base_url is missing");
	if (check_common(c, err) < 0)
		return -1;
	return c->probe_url ? check_url(c, "probe_url", c->probe_url, none,
	    ARRAY_SIZE(none), err) : 0;
}

static int
influxdb3_check_recipe(const struct backend_conf *c,
    const struct backend_recipe *r, struct tb_error *err)
{
	switch (r->kind) {
	case BACKEND_KIND_DATABASE:
		if (!r->n_permissions)
			return tb_error_set(err, TB_E_CONFIG,
			    "permissions are missing, such as read:metrics");
		return check_permissions(r, err);
	case BACKEND_KIND_MANAGEMENT:
		if (check_no_permissions(r, "kind = management", err) < 0)
			return -1;
		return check_full_access(r,
		    "an admin token is all-powerful", err);
	case BACKEND_KIND_ACCESS:
	case BACKEND_KIND_CUSTOM:
		break;
	}
	return tb_error_set(err, TB_E_CONFIG, "a backend of type influxdb3 "
	    "has kind = database or management");
}

/* --------------------------------------------------------------- requests */

/* "host [tokenbroker h db #1 NONCE]" becomes "host-tokenbroker-h-db-1-NONCE". */
static char *
influxdb3_name(const char *description)
{
	struct strbuf name _cleanup_(strbuf_clear) = STRBUF_INIT;
	const char *s;

	for (s = description; *s; s++) {
		if (isalnum((unsigned char)*s) || *s == '_' || *s == '.')
			strbuf_addc(&name, *s);
		else if (name.len && name.s[name.len - 1] != '-')
			strbuf_addc(&name, '-');
	}
	while (name.len && name.s[name.len - 1] == '-')
		name.s[--name.len] = '\0';
	/* the end, where the nonce is */
	s = strbuf_str(&name);
	if (name.len > INFLUXDB3_NAME_MAX)
		s += name.len - INFLUXDB3_NAME_MAX;
	return xstrdup(s);
}

static void
influxdb3_add_permissions(const struct backend_recipe *r, struct strbuf *body)
{
	strbuf_adds(body, ",\"permissions\":[");
	for (size_t i = 0; i < r->n_permissions; i++) {
		strbuf_adds(body, i ? ",{\"resource_type\":\"db\"," :
		    "{\"resource_type\":\"db\",");
		strbuf_adds(body, "\"resource_names\":[");
		strbuf_add_json(body, r->permissions[i].resource);
		strbuf_adds(body, "],\"actions\":[");
		strbuf_add_json(body, r->permissions[i].action);
		strbuf_adds(body, "]}");
	}
	strbuf_addc(body, ']');
}

static void
influxdb3_send_mint(struct backend_run *run, struct strbuf *url,
    struct http_request *request)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	char *name _cleanup_free_ = influxdb3_name(run->description);
	bool admin = run->recipe->kind == BACKEND_KIND_MANAGEMENT;

	strbuf_adds(url, admin ? INFLUXDB3_ADMIN_PATH :
	    INFLUXDB3_RESOURCE_PATH);
	strbuf_adds(&body, "{\"token_name\":");
	strbuf_add_json(&body, name);
	if (!admin)
		influxdb3_add_permissions(run->recipe, &body);
	strbuf_addf(&body, ",\"expiry_secs\":%" PRId64 "}",
	    run->expires_at - run->now_s);
	backend_prepare(run, "POST", url, request);
	request->content_type = "application/json"; /* else 415 */
	secret_set_str(&request->body, strbuf_str(&body));
}

static int
influxdb3_send_revoke(struct backend_run *run, struct strbuf *url,
    struct http_request *request, struct tb_error *err)
{
	if (!answer_is_id(run->token_id))
		return tb_error_set(err, TB_E_BADREQ,
		    "revoke: there is no usable token name");
	strbuf_adds(url, INFLUXDB3_DELETE_PATH);
	strbuf_add_percent(url, run->token_id);
	backend_prepare(run, "DELETE", url, request);
	return 0;
}

static void
influxdb3_send_probe(struct backend_run *run, struct http_request *request)
{
	const struct backend_conf *c = run->conf;
	const char *database = backend_probe_database(run->recipe);
	const struct template_var vars[] = {
		{ "database", database ? database : "_internal" },
	};
	const char *probe = c->probe_url ? c->probe_url : INFLUXDB3_PROBE_PATH;
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (*probe == '/')
		strbuf_adds(&url, c->base_url);
	template_url(&url, probe, vars, ARRAY_SIZE(vars));
	backend_prepare(run, "GET", &url, request);
}

static enum backend_next
influxdb3_send(struct backend_run *run, struct http_request *request,
    struct tb_error *err)
{
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	strbuf_adds(&url, run->conf->base_url);
	switch (run->verb) {
	case BACKEND_MINT:
		influxdb3_send_mint(run, &url, request);
		break;
	case BACKEND_LIST:
		strbuf_adds(&url, INFLUXDB3_LIST_PATH);
		backend_prepare(run, "GET", &url, request);
		request->body_cap = BACKEND_LIST_CAP;
		break;
	case BACKEND_REVOKE:
		if (influxdb3_send_revoke(run, &url, request, err) < 0)
			return BACKEND_FAILED;
		break;
	case BACKEND_PROBE:
		influxdb3_send_probe(run, request);
		break;
	case BACKEND_DISABLE:
	case BACKEND_GET:
	case BACKEND_UPDATE:
		return backend_cannot(run, err);
	}
	return BACKEND_SEND;
}

/* ---------------------------------------------------------------- replies */

static enum backend_next
influxdb3_minted(struct backend_run *run, const struct http_reply *reply,
    struct tb_error *err)
{
	if (reply->status != 200 && reply->status != 201) {
		backend_refused(run, reply, err);
		if (run->recipe->kind == BACKEND_KIND_DATABASE &&
		    (reply->status == 404 || reply->status == 405))
			tb_error_wrap(err, "this server makes no resource "
			    "tokens (InfluxDB 3 Core does not: it has kind = "
			    "management only)");
		else if (reply->status == 405)
			tb_error_wrap(err, "this server was started without "
			    "authorization");
		return BACKEND_FAILED;
	}
	if (answer_minted(run, reply, &influxdb3_spec, err) < 0)
		return backend_unusable(run, err);
	/* What deletes it is the name that we gave, whatever is shown. */
	free(run->minted_id);
	run->minted_id = influxdb3_name(run->description);
	return BACKEND_DONE;
}

static const char *
influxdb3_keys(const struct backend_run *run, int status)
{
	if ((status == 400 || status == 422) && run->verb == BACKEND_MINT)
		return "permissions and lifetime of the [token], or at "
		    "base_url";
	return "base_url";
}

static enum backend_next
influxdb3_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	if (!reply)
		return influxdb3_send(run, request, err);
	switch (run->verb) {
	case BACKEND_MINT:
		return influxdb3_minted(run, reply, err);
	case BACKEND_PROBE:
		return backend_probed_database(run, reply);
	case BACKEND_REVOKE:
		return backend_revoked(run, reply, err);
	case BACKEND_LIST:
		return backend_listed(run, reply, &influxdb3_spec, err);
	case BACKEND_DISABLE:
	case BACKEND_GET:
	case BACKEND_UPDATE:
		break;
	}
	return backend_cannot(run, err);
}

const struct backend_ops influxdb3_ops = {
	.type = "influxdb3",
	.caps = influxdb3_caps,
	.check = influxdb3_check,
	.check_recipe = influxdb3_check_recipe,
	.keys = influxdb3_keys,
	.step = influxdb3_step,
};
