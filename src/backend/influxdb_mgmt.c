/* SPDX-License-Identifier: Apache-2.0 */
/*
 * influxdb_mgmt - InfluxDB Cloud Dedicated and Clustered. The two differ in
 * where the API is and in the path of the token collection, and not even that
 * is sure: a public client uses the account path for Clustered as well. So
 * both are templates with a default by type.
 *
 * Survived here: 200 or 201 for a mint; an undocumented expirationType that
 * one guide demands; revoked tokens that stay in the list.
 */
#include "backend/influxdb_mgmt.h"

#include "backend/answer.h"
#include "backend/backend_int.h"
#include "backend/check.h"
#include "backend/http_template.h"
#include "backend/import.h"
#include "backend/influxctl.h"
#include "backend/template.h"
#include "base/strbuf.h"
#include "base/timefmt.h"


#define DEDICATED_BASE_URL "https://console.influxdata.com"
#define API_ROOT "/api/v0"
/* in our words, and as the published descriptions have them */
#define PATH_VARS(c) \
	{ "account_id", (c)->account_id }, { "accountId", (c)->account_id }, \
	{ "cluster_id", (c)->cluster_id }, { "clusterId", (c)->cluster_id }
#define DEDICATED_PATH \
	API_ROOT "/accounts/{account_id}/clusters/{cluster_id}/tokens"
#define CLUSTERED_PATH API_ROOT "/tokens"

static const struct answer_spec influxdb_mgmt_spec = {
	.token = "/accessToken",
	.id = "/id",
	.id_required = true,
	.expires = { "/expiresAt", "/expires_at" },
	.list_id = "/id",
	.list_description = "/description",
	.list_created = { "/createdAt", "/created_at" },
	.list_revoked = { "/revokedAt", "/revoked_at" },
	.list_expires = { "/expiresAt", "/expires_at" },
};

static bool
influxdb_mgmt_is_dedicated(const struct backend_conf *c)
{
	return c->ops == &influxdb_mgmt_dedicated_ops;
}

/* The published descriptions count /api/v0 to the base; whoever writes it
 * there does not get it twice. */
static const char *
influxdb_mgmt_path(const struct backend_conf *c)
{
	const char *path = influxdb_mgmt_is_dedicated(c) ? DEDICATED_PATH :
							   CLUSTERED_PATH;
	const size_t root = sizeof(API_ROOT) - 1;
	size_t base = c->base_url ? strlen(c->base_url) : 0;

	if (c->tokens_path)
		return c->tokens_path;
	return base > root && streq(c->base_url + base - root, API_ROOT) ?
	    path + root : path;
}

static bool
influxdb_mgmt_by_http(const struct backend_conf *c)
{
	return streq(c->management_driver, "http");
}

static bool
influxdb_mgmt_by_influxctl(const struct backend_conf *c)
{
	return streq(c->management_driver, "influxctl");
}

/* ------------------------------------------------------------ permissions */

static bool
influxdb_mgmt_can_probe(const struct backend_conf *c,
    const struct backend_recipe *r)
{
	if (!c->probe_url)
		return false;
	return !r || !template_uses(c->probe_url, "database") ||
	    backend_probe_database(r);
}

/* A value made by hand can be looked for and ended, where somebody says how:
 * no such path is published. */
static unsigned
influxdb_mgmt_imported_caps(const struct backend_conf *c)
{
	return c->list.url || c->revoke.url ?
	    http_template_caps(c) & ~(unsigned)BACKEND_CAN_PROBE : 0;
}

static unsigned
influxdb_mgmt_management_caps(const struct backend_conf *c)
{
	if (influxdb_mgmt_by_influxctl(c))
		return influxctl_caps(c);
	return influxdb_mgmt_by_http(c) ? http_template_caps(c) :
	    BACKEND_NO_MINT | influxdb_mgmt_imported_caps(c);
}

static unsigned
influxdb_mgmt_caps(const struct backend_conf *c,
    const struct backend_recipe *r)
{
	if (r && r->kind == BACKEND_KIND_MANAGEMENT)
		return influxdb_mgmt_management_caps(c);
	/* with influxctl's own login there may be management tokens only */
	if (!r && influxdb_mgmt_by_influxctl(c) && influxctl_is_own(c))
		return influxctl_caps(c);
	return BACKEND_CAN_LIST | BACKEND_CAN_REVOKE | BACKEND_CAN_GET |
	    BACKEND_CAN_UPDATE | BACKEND_NEEDS_PAYER |
	    (influxdb_mgmt_can_probe(c, r) ? BACKEND_CAN_PROBE : 0);
}

/* --------------------------------------------------------------- at load */

static int
influxdb_mgmt_check_path(const struct backend_conf *c, struct tb_error *err)
{
	const struct template_var vars[] = { PATH_VARS(c) };
	const char *path = influxdb_mgmt_path(c);

	if (*path != '/' || path[strlen(path) - 1] == '/' ||
	    path[strcspn(path, "?#")])
		return tb_error_set(err, TB_E_CONFIG,
		    "tokens_path must begin with a slash, not end with one, "
		    "and have no query");
	if (template_check(path, vars, ARRAY_SIZE(vars), err) < 0)
		return tb_error_wrap(err, "tokens_path");
	return 0;
}

static int
influxdb_mgmt_check_probe(const struct backend_conf *c, struct tb_error *err)
{
	const struct template_var vars[] = {
		PATH_VARS(c),
		{ "database", "sample" },
	};

	if (!c->probe_url)
		return 0;
	return check_url(c, "probe_url", c->probe_url, vars, ARRAY_SIZE(vars),
	    err);
}

static int
influxdb_mgmt_check_words(const struct backend_conf *c, struct tb_error *err)
{
	const char *driver = c->management_driver;
	const char *type = c->expiration_type;

	if (type && !streq(type, "omit") && !streq(type, "datetime"))
		return tb_error_set(err, TB_E_CONFIG,
		    "expiration_type must be omit or datetime");
	if (driver && !streq(driver, "import") && !streq(driver, "http") &&
	    !streq(driver, "influxctl"))
		return tb_error_set(err, TB_E_CONFIG,
		    "management_driver must be import, http or influxctl");
	return 0;
}

static int
influxdb_mgmt_check(const struct backend_conf *c, struct tb_error *err)
{
	bool dedicated = influxdb_mgmt_is_dedicated(c);

	if (dedicated && (!c->account_id || !c->cluster_id))
		return tb_error_set(err, TB_E_CONFIG, "%s is missing",
		    c->account_id ? "cluster_id" : "account_id");
	if (!dedicated && !c->base_url)
		return tb_error_set(err, TB_E_CONFIG, "base_url is missing");
	if (check_common(c, err) < 0 || influxdb_mgmt_check_words(c, err) < 0 ||
	    influxdb_mgmt_check_path(c, err) < 0 ||
	    influxdb_mgmt_check_probe(c, err) < 0)
		return -1;
	if (influxdb_mgmt_by_influxctl(c))
		return influxctl_check(c, dedicated, err);
	return influxdb_mgmt_by_http(c) ? http_template_check(c, err) :
	    http_template_check_imported(c, err);
}

static int
influxdb_mgmt_check_recipe(const struct backend_conf *c,
    const struct backend_recipe *r, struct tb_error *err)
{
	switch (r->kind) {
	case BACKEND_KIND_DATABASE:
		if (!r->n_permissions)
			return tb_error_set(err, TB_E_CONFIG,
			    "permissions are missing, such as read:metrics");
		if (!c->login && !c->management_token)
			return tb_error_set(err, TB_E_CONFIG, "kind = database "
			    "needs a payer: influxctl_login = own of "
			    "[backend %s] is for management tokens", c->name);
		return check_permissions(r, err);
	case BACKEND_KIND_MANAGEMENT:
		if (check_no_permissions(r, "kind = management", err) < 0)
			return -1;
		return check_full_access(r,
		    "kind = management is all-powerful", err);
	case BACKEND_KIND_ACCESS:
	case BACKEND_KIND_CUSTOM:
		break;
	}
	return tb_error_set(err, TB_E_CONFIG,
	    "a backend of type %s has kind = database or management",
	    c->ops->type);
}

/* --------------------------------------------------------------- requests */

/* The collection, without a slash behind it. */
static void
influxdb_mgmt_url(const struct backend_conf *c, struct strbuf *url)
{
	const struct template_var vars[] = { PATH_VARS(c) };

	strbuf_adds(url, c->base_url ? c->base_url : DEDICATED_BASE_URL);
	template_url(url, influxdb_mgmt_path(c), vars, ARRAY_SIZE(vars));
}

/* "permissions":[...] */
static void
influxdb_mgmt_add_permissions(const struct backend_recipe *r,
    struct strbuf *body)
{
	strbuf_adds(body, "\"permissions\":[");
	for (size_t i = 0; i < r->n_permissions; i++) {
		strbuf_adds(body, i ? ",{\"action\":" : "{\"action\":");
		strbuf_add_json(body, r->permissions[i].action);
		strbuf_adds(body, ",\"resource\":");
		strbuf_add_json(body, r->permissions[i].resource);
		strbuf_addc(body, '}');
	}
	strbuf_addc(body, ']');
}

static void
influxdb_mgmt_send_mint(struct backend_run *run, struct strbuf *url,
    struct http_request *request)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	char expires_at[TIMEFMT_SIZE];

	strbuf_adds(&body, "{\"description\":");
	strbuf_add_json(&body, run->description);
	strbuf_addc(&body, ',');
	influxdb_mgmt_add_permissions(run->recipe, &body);
	strbuf_addf(&body, ",\"expiresAt\":\"%s\"",
	    timefmt_rfc3339(run->expires_at, expires_at, sizeof(expires_at)));
	if (streq(run->conf->expiration_type, "datetime"))
		strbuf_adds(&body, ",\"expirationType\":\"datetime\"");
	strbuf_addc(&body, '}');

	backend_prepare(run, "POST", url, request);
	request->content_type = "application/json";
	secret_set_str(&request->body, strbuf_str(&body));
}

/* get, update, revoke */
static int
influxdb_mgmt_send_one(struct backend_run *run, struct strbuf *url,
    struct http_request *request, struct tb_error *err)
{
	struct strbuf body _cleanup_(strbuf_clear) = STRBUF_INIT;
	bool update = run->verb == BACKEND_UPDATE;

	if (!answer_is_id(run->token_id))
		return tb_error_set(err, TB_E_BADREQ,
		    "%s: there is no usable token id",
		    backend_verb_name(run->verb));
	strbuf_addc(url, '/');
	strbuf_add_percent(url, run->token_id);
	backend_prepare(run, update ? "PATCH" :
	    run->verb == BACKEND_GET ? "GET" : "DELETE", url, request);
	if (!update)
		return 0;
	strbuf_addc(&body, '{');
	influxdb_mgmt_add_permissions(run->recipe, &body);
	strbuf_addc(&body, '}');
	request->content_type = "application/json";
	secret_set_str(&request->body, strbuf_str(&body));
	return 0;
}

/* Of a management token there is one thing published that it can do without
 * harm: to list the database tokens. */
static void
influxdb_mgmt_send_management_probe(struct backend_run *run,
    struct http_request *request)
{
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	influxdb_mgmt_url(run->conf, &url);
	backend_prepare(run, "GET", &url, request);
	request->body_cap = BACKEND_LIST_CAP;
}

static void
influxdb_mgmt_send_probe(struct backend_run *run, struct http_request *request)
{
	const struct backend_conf *c = run->conf;
	const struct template_var vars[] = {
		PATH_VARS(c),
		{ "database", backend_probe_database(run->recipe) },
	};
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	if (*c->probe_url == '/')
		strbuf_adds(&url, c->base_url);
	template_url(&url, c->probe_url, vars, ARRAY_SIZE(vars));
	backend_prepare(run, "GET", &url, request);
}

static enum backend_next
influxdb_mgmt_send(struct backend_run *run, struct http_request *request,
    struct tb_error *err)
{
	struct strbuf url _cleanup_(strbuf_clear) = STRBUF_INIT;

	influxdb_mgmt_url(run->conf, &url);
	switch (run->verb) {
	case BACKEND_MINT:
		influxdb_mgmt_send_mint(run, &url, request);
		break;
	case BACKEND_LIST:
		backend_prepare(run, "GET", &url, request);
		request->body_cap = BACKEND_LIST_CAP;
		break;
	case BACKEND_REVOKE:
	case BACKEND_GET:
	case BACKEND_UPDATE:
		if (influxdb_mgmt_send_one(run, &url, request, err) < 0)
			return BACKEND_FAILED;
		break;
	case BACKEND_PROBE:
		influxdb_mgmt_send_probe(run, request);
		break;
	case BACKEND_DISABLE:
		return backend_cannot(run, err);
	}
	return BACKEND_SEND;
}

/* ---------------------------------------------------------------- replies */

static const char *
influxdb_mgmt_keys(const struct backend_run *run, int status)
{
	const struct backend_conf *c = run->conf;

	if (run->recipe && run->recipe->kind == BACKEND_KIND_MANAGEMENT)
		return http_template_keys(run, status);
	if ((status == 400 || status == 422) && run->verb != BACKEND_LIST)
		return "permissions and lifetime of the [token], or at "
		    "expiration_type";
	if (!influxdb_mgmt_is_dedicated(c))
		return "base_url and tokens_path";
	return c->base_url || c->tokens_path ?
	    "account_id, cluster_id, base_url and tokens_path" :
	    "account_id and cluster_id";
}

static enum backend_next
influxdb_mgmt_read(struct backend_run *run, const struct http_reply *reply,
    struct tb_error *err)
{
	switch (run->verb) {
	case BACKEND_PROBE:
		return backend_probed_database(run, reply);
	case BACKEND_REVOKE:
		return backend_revoked(run, reply, err);
	case BACKEND_MINT:
		if (reply->status != 200 && reply->status != 201)
			return backend_refused(run, reply, err);
		if (answer_minted(run, reply, &influxdb_mgmt_spec, err) < 0)
			return backend_unusable(run, err);
		/* expiresAt is there where there is an end: some releases
		 * know none for database tokens */
		run->minted_endless = !run->minted_expires_at;
		return BACKEND_DONE;
	case BACKEND_LIST:
		return backend_listed(run, reply, &influxdb_mgmt_spec, err);
	case BACKEND_GET:
		return backend_got(run, reply, &influxdb_mgmt_spec, err);
	case BACKEND_UPDATE:
		return reply->status == 200 || reply->status == 204 ?
		    BACKEND_DONE : backend_refused(run, reply, err);
	case BACKEND_DISABLE:
		break;
	}
	return backend_cannot(run, err);
}

static enum backend_next
influxdb_mgmt_management_step(struct backend_run *run,
    const struct http_reply *reply, struct http_request *request,
    struct tb_error *err)
{
	if (!influxdb_mgmt_by_influxctl(run->conf))
		return run->verb == BACKEND_MINT &&
		    !influxdb_mgmt_by_http(run->conf) ?
		    import_step(run, reply, request, err) :
		    http_template_step(run, reply, request, err);
	if (run->verb != BACKEND_PROBE)
		return influxctl_step(run, reply, request, err);
	if (reply)
		return backend_probed(run, reply);
	if (run->conf->probe_url &&
	    !template_uses(run->conf->probe_url, "database"))
		influxdb_mgmt_send_probe(run, request);
	else
		influxdb_mgmt_send_management_probe(run, request);
	return BACKEND_SEND;
}

static enum backend_next
influxdb_mgmt_step(struct backend_run *run, const struct http_reply *reply,
    struct http_request *request, struct tb_error *err)
{
	if (run->recipe && run->recipe->kind == BACKEND_KIND_MANAGEMENT)
		return influxdb_mgmt_management_step(run, reply, request, err);
	return reply ? influxdb_mgmt_read(run, reply, err) :
		       influxdb_mgmt_send(run, request, err);
}

const struct backend_ops influxdb_mgmt_dedicated_ops = {
	.type = "influxdb-dedicated",
	.caps = influxdb_mgmt_caps,
	.check = influxdb_mgmt_check,
	.check_recipe = influxdb_mgmt_check_recipe,
	.keys = influxdb_mgmt_keys,
	.step = influxdb_mgmt_step,
};

const struct backend_ops influxdb_mgmt_clustered_ops = {
	.type = "influxdb-clustered",
	.caps = influxdb_mgmt_caps,
	.check = influxdb_mgmt_check,
	.check_recipe = influxdb_mgmt_check_recipe,
	.keys = influxdb_mgmt_keys,
	.step = influxdb_mgmt_step,
};
