/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/influx3.h"

#include <string.h>

#include "sandbox/mgmt.h"
#include "sandbox/request.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

/* What tells these tokens from those of the other APIs. */
#define INFLUX3_SCOPE "influxdb3"
#define INFLUX3_NAME_MAX 256

static struct token *
influx3_find(struct world *world, const char *name)
{
	struct token *token;

	TAILQ_FOREACH (token, &world->tokens, link) {
		if (token->account &&
		    strcmp(token->account, INFLUX3_SCOPE) == 0 &&
		    !token->revoked_ms && strcmp(token->description, name) == 0)
			return token;
	}
	return NULL;
}

static void
influx3_refuse(struct reply *reply, int status, const char *why)
{
	reply_text(reply, status, "text/plain", util_copy(why));
}

/* The payer, or NULL with a 401 in reply, whose body is this product's. A
 * server that was started without authorization has no tokens: 405. */
static const struct token *
influx3_authenticate(
    struct world *world, const struct request *request, struct reply *reply)
{
	const struct token *token = mgmt_payer(world, request);

	if (fault_take(&world->faults, "influx3_no_auth", request->method,
		request->path)) {
		influx3_refuse(reply, 405, "endpoint disabled, started without "
					   "auth");
		return NULL;
	}
	if (!token)
		reply_json(reply, 401,
		    json_pack("{s:s}", "error", "the token is not valid"));
	return token;
}

/* The body, or NULL with the answer in reply. */
static json_t *
influx3_read_body(const struct request *request, struct reply *reply)
{
	json_t *body;

	if (!request_is_type(request, "application/json")) {
		influx3_refuse(reply, 415, "invalid mime type");
		return NULL;
	}
	body = request_json(request);
	if (!body)
		influx3_refuse(reply, 400, "error parsing the body");
	return body;
}

/* Enterprise's permissions in the sandbox's own form. NULL: not understood. */
static json_t *
influx3_permissions(const json_t *list)
{
	json_t *out = json_array();
	const json_t *one, *name, *action;
	size_t i, j, k;

	json_array_foreach (list, i, one) {
		json_array_foreach (
		    json_object_get(one, "resource_names"), j, name) {
			json_array_foreach (
			    json_object_get(one, "actions"), k, action) {
				json_array_append_new(out,
				    json_pack("{s:O, s:O}", "action", action,
					"resource", name));
			}
		}
	}
	if (json_array_size(out))
		return out;
	json_decref(out);
	return NULL;
}

static const char *
influx3_check(const json_t *body, bool admin, int64_t *ttl_ms)
{
	const json_t *name = json_object_get(body, "token_name");
	const json_t *secs = json_object_get(body, "expiry_secs");

	if (!json_is_string(name) || !json_string_length(name) ||
	    json_string_length(name) > INFLUX3_NAME_MAX)
		return "missing field `token_name`";
	if (!admin && !json_array_size(json_object_get(body, "permissions")))
		return "missing field `permissions`";
	if (secs && !json_is_null(secs) &&
	    (!json_is_integer(secs) || json_integer_value(secs) <= 0))
		return "invalid value: `expiry_secs`";
	*ttl_ms = json_integer_value(secs) * 1000;
	return NULL;
}

static void
influx3_create(struct world *world, struct request *request,
    struct reply *reply, bool admin)
{
	const struct token *payer =
	    influx3_authenticate(world, request, reply);
	json_t *body _cleanup_(util_free_json) = NULL;
	char *random _cleanup_(util_free_text) = NULL;
	char *value _cleanup_(util_free_text) = NULL;
	struct token *token;
	const char *name, *why;
	int64_t ttl_ms = 0;
	json_t *json;

	if (!payer || !(body = influx3_read_body(request, reply)))
		return;
	why = influx3_check(body, admin, &ttl_ms);
	if (why) {
		influx3_refuse(reply, 400, why);
		return;
	}
	name = json_string_value(json_object_get(body, "token_name"));
	if (influx3_find(world, name)) {
		influx3_refuse(reply, 409, "token name already exists");
		return;
	}
	random = util_random_text(86);
	value = util_format("apiv3_%s", random);
	token = world_add_token(world,
	    admin ? TOKEN_MANAGEMENT : TOKEN_DATABASE, value, ttl_ms);
	token->description = util_copy(name);
	token->account = util_copy(INFLUX3_SCOPE);
	token->cluster = util_copy(INFLUX3_SCOPE);
	token->created_by = payer->created_by;
	token->permissions = admin ? json_array() :
	    influx3_permissions(json_object_get(body, "permissions"));
	world_delay_activation(world, token, request->method, request->path);
	json = json_pack("{s:i, s:s, s:s, s:o, s:o}", "id", 1, "name", name,
	    "token", value, "created_at", util_json_time(token->created_ms),
	    "expiry", ttl_ms ? util_json_time(token->expires_ms) :
			       json_null());
	reply_json(reply, 201, json);
	reply->content_type = "json"; /* what Core calls it */
}

void
influx3_create_admin(
    struct world *world, struct request *request, struct reply *reply)
{
	influx3_create(world, request, reply, true);
}

/* There is an operator's token already, as after every set-up. Guides post a
 * body here; the server does not look at it. */
void
influx3_create_operator(
    struct world *world, struct request *request, struct reply *reply)
{
	if (fault_take(&world->faults, "influx3_no_auth", request->method,
		request->path))
		influx3_refuse(reply, 405, "endpoint disabled, started without "
					   "auth");
	else
		influx3_refuse(reply, 409, "token name already exists, _admin");
}

/* The old one is dead at once. */
void
influx3_regenerate(
    struct world *world, struct request *request, struct reply *reply)
{
	const struct token *payer =
	    influx3_authenticate(world, request, reply);
	char *random _cleanup_(util_free_text) = NULL;
	char *value _cleanup_(util_free_text) = NULL;
	struct token *token;

	if (!payer)
		return;
	token = influx3_find(world, "_admin");
	if (token)
		world_revoke_token(token);
	random = util_random_text(86);
	value = util_format("apiv3_%s", random);
	token = world_add_token(world, TOKEN_MANAGEMENT, value, 0);
	token->description = util_copy("_admin");
	token->account = util_copy(INFLUX3_SCOPE);
	token->cluster = util_copy(INFLUX3_SCOPE);
	token->created_by = payer->created_by;
	token->permissions = json_array();
	reply_json(reply, 201, json_pack("{s:i, s:s, s:s, s:o, s:n}", "id", 0,
	    "name", "_admin", "token", value, "created_at",
	    util_json_time(token->created_ms), "expiry"));
	reply->content_type = "json"; /* what Core calls it */
}

void
influx3_create_resource(
    struct world *world, struct request *request, struct reply *reply)
{
	if (fault_take(&world->faults, "influx3_core", request->method,
		request->path))
		influx3_refuse(reply, 404, "Not Found");
	else
		influx3_create(world, request, reply, false);
}

void
influx3_delete(
    struct world *world, struct request *request, struct reply *reply)
{
	const char *name = params_get(&request->query, "token_name");
	struct token *token;

	if (!influx3_authenticate(world, request, reply))
		return;
	if (name && strcmp(name, "_admin") == 0) {
		influx3_refuse(reply, 405, "cannot delete operator token");
		return;
	}
	token = name ? influx3_find(world, name) : NULL;
	if (!token) {
		influx3_refuse(reply, 404, "token not found");
		return;
	}
	world_revoke_token(token);
	reply_text(reply, 200, NULL, NULL);
}

/* The times of this table have no zone. */
static json_t *
influx3_time(int64_t ms)
{
	json_t *with_zone = ms ? util_json_time(ms) : json_null();
	const char *text = json_string_value(with_zone);
	json_t *out = text ?
	    json_stringn(text, strcspn(text, "Z")) : json_null();

	json_decref(with_zone);
	return out;
}

void
influx3_query(
    struct world *world, struct request *request, struct reply *reply)
{
	const char *q = params_get(&request->query, "q");
	const char *db = params_get(&request->query, "db");
	const struct token *token;
	int64_t until;
	json_t *rows;

	if (!influx3_authenticate(world, request, reply))
		return;
	if (!q || !db || strcmp(db, "_internal") != 0 ||
	    !strstr(q, "FROM system.tokens")) {
		influx3_refuse(reply, 400, "this is no database, it knows "
		    "system.tokens only");
		return;
	}
	until = world_list_until(world, request->method, request->path);
	rows = json_array();
	json_array_append_new(rows, json_pack("{s:s, s:s, s:n}", "name",
	    "_admin", "created_at", "2026-01-01T00:00:00", "expiry"));
	TAILQ_FOREACH (token, &world->tokens, link) {
		if (!token->account || token->revoked_ms ||
		    strcmp(token->description, "_admin") == 0 ||
		    token->created_ms > until ||
		    strcmp(token->account, INFLUX3_SCOPE) != 0)
			continue;
		json_array_append_new(rows, json_pack("{s:s, s:o, s:o}",
		    "name", token->description, "created_at",
		    influx3_time(token->created_ms), "expiry",
		    influx3_time(token->expires_ms)));
	}
	reply_json(reply, 200, rows);
}

/* Nobody has published its layout: the names are those of the options. */
void
influx3_oauth_config(
    struct world *world, struct request *request, struct reply *reply)
{
	const struct fault *fault = fault_take(
	    &world->faults, "oauth_issuer", request->method, request->path);

	reply_json(reply, 200,
	    json_pack("{s:s, s:s, s:s, s:[s, s]}", "issuer",
		fault ? fault->value : world->issuer, "client_id",
		"tokenbroker", "audience", "influxdb3", "scopes", "openid",
		"offline_access"));
}

void
influx3_health(
    struct world *world, struct request *request, struct reply *reply)
{
	const char *value = request_bearer(request);
	const struct token *token =
	    value ? world_find_token(world, value) : NULL;

	if (token && token->account && world_token_is_live(token) &&
	    strcmp(token->account, INFLUX3_SCOPE) == 0)
		reply_text(reply, 200, "text/plain", util_copy("OK"));
	else
		reply_text(reply, 401, NULL, NULL);
}
