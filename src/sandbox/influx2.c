/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/influx2.h"

#include <string.h>

#include "sandbox/request.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

/* What tells these tokens from those of the other APIs. */
#define INFLUX2_SCOPE "influxdb-v2"
#define INFLUX2_ORG "example"
#define INFLUX2_ORG_ID "0a1b2c3d4e5f6071"
#define INFLUX2_USER_ID "0a1b2c3d4e5f6072"
#define INFLUX2_ID 16 /* hexadecimal digits */

static const struct {
	const char *name, *id;
} influx2_bucket_table[] = {
	{ "metrics", "0b0b0b0b0b0b0b01" },
	{ "logs", "0b0b0b0b0b0b0b02" },
};

static const char *const influx2_types[] = { "authorizations", "buckets",
	"dashboards", "instance", "orgs", "tasks", "users" };

static void
influx2_refuse(
    struct reply *reply, int status, const char *code, const char *message)
{
	reply_json(reply, status,
	    json_pack("{s:s, s:s}", "code", code, "message", message));
}

/* ---------------------------------------------------------------- callers */

/* The live token of the request, or NULL with a 401 in reply. */
static const struct token *
influx2_authenticate(
    struct world *world, const struct request *request, struct reply *reply)
{
	const char *header = request->authorization;
	const struct token *token = NULL;

	if (header && strncmp(header, "Token ", 6) == 0)
		token = world_find_token(world, header + 6);
	if (token && token->account && world_token_is_live(token) &&
	    strcmp(token->account, INFLUX2_SCOPE) == 0)
		return token;
	influx2_refuse(reply, 401, "unauthorized", "unauthorized access");
	return NULL;
}

/* The live parent token, or NULL with the answer in reply. */
static const struct token *
influx2_payer(
    struct world *world, const struct request *request, struct reply *reply)
{
	const struct token *token =
	    influx2_authenticate(world, request, reply);

	if (!token || token->kind == TOKEN_MANAGEMENT)
		return token;
	influx2_refuse(reply, 403, "forbidden", "insufficient permissions");
	return NULL;
}

/* ------------------------------------------------------------------ tokens */

/* A new one; its value goes to *value, freed by the caller. */
static struct token *
influx2_add(struct world *world, enum token_kind kind,
    const char *description, json_t *permissions, char **value)
{
	unsigned char id[INFLUX2_ID / 2];
	char *hex _cleanup_(util_free_text) = NULL;
	struct token *token;

	*value = util_random_text(64);
	token = world_add_token(world, kind, *value, 0);
	util_random(id, sizeof id);
	hex = util_hex(id, sizeof id);
	snprintf(token->id, sizeof token->id, "%s", hex);
	token->description = util_copy(description);
	token->account = util_copy(INFLUX2_SCOPE);
	token->cluster = util_copy(INFLUX2_SCOPE);
	token->created_by = world_user_at(0);
	token->permissions = permissions;
	return token;
}

/* value: NULL where it is not shown again. */
static json_t *
influx2_describe(const struct token *token, const char *value)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:o}", "id",
	    token->id, "token", value ? value : "redacted", "status",
	    token->is_inactive ? "inactive" : "active", "description",
	    token->description, "orgID", INFLUX2_ORG_ID, "org", INFLUX2_ORG,
	    "userID", INFLUX2_USER_ID, "permissions", token->permissions,
	    "createdAt", util_json_time(token->created_ms));
}

void
influx2_make_parent(
    struct world *world, struct request *request, struct reply *reply)
{
	char *value _cleanup_(util_free_text) = NULL;
	struct token *token;

	(void)request;
	token = influx2_add(world, TOKEN_MANAGEMENT, "parent",
	    json_pack("[{s:s, s:{s:s, s:s}}]", "action", "write", "resource",
		"type", "authorizations", "orgID", INFLUX2_ORG_ID), &value);
	reply_json(reply, 200, influx2_describe(token, value));
}

/* The one of the path, or NULL with a 404 in reply. */
static struct token *
influx2_find(
    struct world *world, const struct request *request, struct reply *reply)
{
	const char *id = request->segment[0];
	struct token *token = world_find_token_id(world, id);

	if (strlen(id) != INFLUX2_ID)
		influx2_refuse(reply, 400, "invalid",
		    "id must have a length of 16 bytes");
	else if (token && token->account && !token->revoked_ms &&
	    strcmp(token->account, INFLUX2_SCOPE) == 0)
		return token;
	else
		influx2_refuse(
		    reply, 404, "not found", "authorization not found");
	return NULL;
}

static const char *
influx2_check_permission(const json_t *permission)
{
	const char *action =
	    json_string_value(json_object_get(permission, "action"));
	const json_t *resource = json_object_get(permission, "resource");
	const char *type =
	    json_string_value(json_object_get(resource, "type"));
	const json_t *id = json_object_get(resource, "id");

	if (!action || !type ||
	    (strcmp(action, "read") != 0 && strcmp(action, "write") != 0))
		return "invalid action or type of a permission";
	if (id && json_string_length(id) != INFLUX2_ID)
		return "invalid id of a resource";
	return NULL;
}

static const char *
influx2_check(const json_t *body)
{
	const json_t *permissions = json_object_get(body, "permissions");
	const char *org = json_string_value(json_object_get(body, "orgID"));
	const json_t *one;
	size_t i;

	if (!org || strcmp(org, INFLUX2_ORG_ID) != 0)
		return "org id is required, and must be that of a known one";
	if (!json_array_size(permissions))
		return "authorization must include permissions";
	json_array_foreach (permissions, i, one) {
		const char *why = influx2_check_permission(one);

		if (why)
			return why;
	}
	return NULL;
}

/* The parent has no permission on the instance, as no token of InfluxDB OSS
 * 2.7.12 has (measured). */
static bool
influx2_is_forbidden(const json_t *body)
{
	const json_t *one, *permissions = json_object_get(body, "permissions");
	const char *type;
	size_t i;

	json_array_foreach (permissions, i, one) {
		type = json_string_value(json_object_get(
		    json_object_get(one, "resource"), "type"));
		if (type && strcmp(type, "instance") == 0)
			return true;
	}
	return false;
}

void
influx2_create(
    struct world *world, struct request *request, struct reply *reply)
{
	json_t *body _cleanup_(util_free_json) = NULL;
	char *value _cleanup_(util_free_text) = NULL;
	const char *description, *why;
	struct token *token;

	if (!influx2_payer(world, request, reply))
		return;
	body = request_json(request);
	why = body ? influx2_check(body) : "invalid json structure";
	if (why) {
		influx2_refuse(reply, 400, "invalid", why);
		return;
	}
	if (influx2_is_forbidden(body)) {
		influx2_refuse(reply, 403, "forbidden", "permission "
		    "read:instance is not allowed: read:instance is "
		    "unauthorized");
		return;
	}
	description = json_string_value(json_object_get(body, "description"));
	token = influx2_add(world, TOKEN_DATABASE,
	    description ? description : "",
	    json_incref(json_object_get(body, "permissions")), &value);
	world_delay_activation(world, token, request->method, request->path);
	reply_json(reply, 201, influx2_describe(token, value));
}

void
influx2_list(struct world *world, struct request *request, struct reply *reply)
{
	const char *org = params_get(&request->query, "org");
	const char *org_id = params_get(&request->query, "orgID");
	const struct token *token;
	int64_t until;
	json_t *list;

	if (!influx2_payer(world, request, reply))
		return;
	if ((org && strcmp(org, INFLUX2_ORG) != 0) ||
	    (org_id && strcmp(org_id, INFLUX2_ORG_ID) != 0)) {
		influx2_refuse(
		    reply, 404, "not found", "organization not found");
		return;
	}
	list = json_array();
	until = world_list_until(world, request->method, request->path);
	TAILQ_FOREACH (token, &world->tokens, link) {
		if (token->account && !token->revoked_ms &&
		    token->created_ms <= until &&
		    strcmp(token->account, INFLUX2_SCOPE) == 0)
			json_array_append_new(
			    list, influx2_describe(token, NULL));
	}
	reply_json(reply, 200, json_pack("{s:{s:s}, s:o}", "links", "self",
	    "/api/v2/authorizations", "authorizations", list));
}

void
influx2_get(struct world *world, struct request *request, struct reply *reply)
{
	const struct token *token;

	if (!influx2_payer(world, request, reply))
		return;
	token = influx2_find(world, request, reply);
	if (token)
		reply_json(reply, 200, influx2_describe(token, NULL));
}

void
influx2_patch(struct world *world, struct request *request, struct reply *reply)
{
	json_t *body _cleanup_(util_free_json) = NULL;
	const char *status, *description;
	struct token *token;

	if (!influx2_payer(world, request, reply) ||
	    !(token = influx2_find(world, request, reply)))
		return;
	body = request_json(request);
	status = json_string_value(json_object_get(body, "status"));
	description = json_string_value(json_object_get(body, "description"));
	if (!body || (status && strcmp(status, "active") != 0 &&
			 strcmp(status, "inactive") != 0)) {
		influx2_refuse(reply, 400, "invalid", "unknown status");
		return;
	}
	if (status)
		token->is_inactive = strcmp(status, "inactive") == 0;
	if (description)
		util_replace(&token->description, util_copy(description));
	reply_json(reply, 200, influx2_describe(token, NULL));
}

void
influx2_delete(
    struct world *world, struct request *request, struct reply *reply)
{
	struct token *token;

	if (!influx2_payer(world, request, reply))
		return;
	token = influx2_find(world, request, reply);
	if (token) {
		world_revoke_token(token);
		reply_text(reply, 204, NULL, NULL);
	}
}

/* -------------------------------------------------------------- what is there */

void
influx2_orgs(struct world *world, struct request *request, struct reply *reply)
{
	const char *org = params_get(&request->query, "org");

	if (!influx2_payer(world, request, reply))
		return;
	if (org && strcmp(org, INFLUX2_ORG) != 0)
		influx2_refuse(
		    reply, 404, "not found", "organization name not found");
	else
		reply_json(reply, 200, json_pack("{s:[{s:s, s:s}]}", "orgs",
		    "id", INFLUX2_ORG_ID, "name", INFLUX2_ORG));
}

/* May the token see that bucket? A parent sees all. */
static bool
influx2_sees(const struct token *token, const char *bucket_id)
{
	const json_t *one;
	size_t i;

	if (token->kind == TOKEN_MANAGEMENT)
		return true;
	json_array_foreach (token->permissions, i, one) {
		const json_t *resource = json_object_get(one, "resource");
		const char *action =
		    json_string_value(json_object_get(one, "action"));
		const char *type =
		    json_string_value(json_object_get(resource, "type"));
		const char *id =
		    json_string_value(json_object_get(resource, "id"));

		if (strcmp(action, "read") == 0 &&
		    strcmp(type, "buckets") == 0 &&
		    (!id || strcmp(id, bucket_id) == 0))
			return true;
	}
	return false;
}

void
influx2_buckets(
    struct world *world, struct request *request, struct reply *reply)
{
	const struct token *token =
	    influx2_authenticate(world, request, reply);
	const char *name = params_get(&request->query, "name");
	json_t *list;

	if (!token)
		return;
	list = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(influx2_bucket_table); i++) {
		if (influx2_sees(token, influx2_bucket_table[i].id) &&
		    (!name || strcmp(name, influx2_bucket_table[i].name) == 0))
			json_array_append_new(list,
			    json_pack("{s:s, s:s, s:s}", "id",
				influx2_bucket_table[i].id, "name",
				influx2_bucket_table[i].name, "orgID",
				INFLUX2_ORG_ID));
	}
	reply_json(reply, 200, json_pack("{s:o}", "buckets", list));
}

/* A user that was created has an id made of the name. */
static json_t *
influx2_user(const char *name)
{
	unsigned char digest[UTIL_DIGEST];
	char *hex _cleanup_(util_free_text) = NULL;

	util_digest(name, digest);
	hex = util_hex(digest, INFLUX2_ID / 2);
	return json_pack("{s:s, s:s, s:s}", "id", hex, "name", name, "status",
	    "active");
}

void
influx2_users(struct world *world, struct request *request, struct reply *reply)
{
	const char *name = params_get(&request->query, "name");

	if (!influx2_payer(world, request, reply))
		return;
	if (name && json_object_get(world->influx2_users, name))
		reply_json(reply, 200, json_pack("{s:[o]}", "users",
		    influx2_user(name)));
	else
		influx2_refuse(reply, 404, "not found", "user not found");
}

void
influx2_create_user(
    struct world *world, struct request *request, struct reply *reply)
{
	json_t *body _cleanup_(util_free_json) = NULL;
	const char *name;

	if (!influx2_payer(world, request, reply))
		return;
	body = request_json(request);
	name = json_string_value(json_object_get(body, "name"));
	if (!name || !*name) {
		influx2_refuse(reply, 400, "invalid", "name is required");
	} else if (json_object_get(world->influx2_users, name)) {
		influx2_refuse(reply, 422, "conflict", "user already exists");
	} else {
		json_object_set_new(world->influx2_users, name, json_true());
		reply_json(reply, 201, influx2_user(name));
	}
}

void
influx2_resources(
    struct world *world, struct request *request, struct reply *reply)
{
	json_t *list;

	if (!influx2_payer(world, request, reply))
		return;
	list = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(influx2_types); i++)
		json_array_append_new(list, json_string(influx2_types[i]));
	reply_json(reply, 200, list);
}
