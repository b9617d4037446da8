/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/mgmt.h"

#include <string.h>

#include "sandbox/request.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

#define MGMT_PERMISSIONS_MAX 256
#define MGMT_NAME_MAX 64
#define MGMT_TEXT_MAX 1024

const struct token *
mgmt_payer(struct world *world, const struct request *request)
{
	const char *value = request_bearer(request);
	const struct token *token =
	    value ? world_find_token(world, value) : NULL;

	if (token && world_token_is_live(token) &&
	    (token->kind == TOKEN_ACCESS || token->kind == TOKEN_MANAGEMENT))
		return token;
	return NULL;
}

/* The token that pays for a call, or NULL with a 401 in reply. */
static const struct token *
mgmt_authenticate(
    struct world *world, const struct request *request, struct reply *reply)
{
	const struct token *token = mgmt_payer(world, request);

	if (!token)
		reply_api_error(reply, 401, "unauthorized");
	return token;
}

/* The path's account and cluster, both or neither. */
static const char *
mgmt_account(const struct request *request)
{
	return strncmp(request->path, "/api/v0/accounts/", 17) == 0
		   ? request->segment[0]
		   : NULL;
}

static const char *
mgmt_cluster(const struct request *request)
{
	return mgmt_account(request) ? request->segment[1] : NULL;
}

static bool
mgmt_is_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void
mgmt_set_time(json_t *json, const char *name, int64_t ms)
{
	if (ms)
		json_object_set_new(json, name, util_json_time(ms));
}

/* A database token as the API shows it. */
static json_t *
mgmt_describe(const struct token *token)
{
	json_t *json =
	    json_pack("{s:s, s:s, s:O}", "id", token->id, "description",
		token->description, "permissions", token->permissions);

	mgmt_set_time(json, "createdAt", token->created_ms);
	mgmt_set_time(json, "expiresAt", token->expires_ms);
	mgmt_set_time(json, "revokedAt", token->revoked_ms);
	if (token->account) {
		json_object_set_new(
		    json, "accountId", json_string(token->account));
		json_object_set_new(
		    json, "clusterId", json_string(token->cluster));
	}
	return json;
}

static const char *
mgmt_check_permission(const json_t *permission)
{
	const char *action =
	    json_string_value(json_object_get(permission, "action"));
	const char *resource =
	    json_string_value(json_object_get(permission, "resource"));

	if (!action || !resource)
		return "a permission wants an action and a resource";
	if (strcmp(action, "read") != 0 && strcmp(action, "write") != 0)
		return "action must be read or write";
	if (!*resource || strlen(resource) > MGMT_NAME_MAX)
		return "resource must have 1 to 64 characters";
	return NULL;
}

static const char *
mgmt_check_permissions(const json_t *permissions)
{
	const json_t *permission;
	size_t i;

	if (!json_is_array(permissions))
		return "permissions must be an array";
	if (json_array_size(permissions) > MGMT_PERMISSIONS_MAX)
		return "too many permissions";
	json_array_foreach (permissions, i, permission) {
		const char *why = mgmt_check_permission(permission);

		if (why)
			return why;
	}
	return NULL;
}

static const char *
mgmt_check_description(const json_t *description)
{
	if (!json_is_string(description))
		return "description must be a string";
	if (json_string_length(description) > MGMT_TEXT_MAX)
		return "description is too long";
	return NULL;
}

/* Check the requested end of life; *ttl_ms becomes 0 when there is none. */
static const char *
mgmt_check_expiry(
    const struct world *world, const json_t *body, int64_t *ttl_ms)
{
	const json_t *at = json_object_get(body, "expiresAt");
	int64_t max_ms = world->options.token_ttl_max * 1000;
	int64_t at_ms;

	*ttl_ms = 0;
	if (!at || json_is_null(at))
		return max_ms ? "expiresAt is required here" : NULL;
	if (!json_is_string(at) ||
	    util_parse_time(json_string_value(at), &at_ms) < 0)
		return "expiresAt must be a time in RFC 3339";
	*ttl_ms = at_ms - util_now_ms();
	if (*ttl_ms <= 0)
		return "expiresAt is in the past";
	if (max_ms && *ttl_ms > max_ms)
		return "expiresAt is too far in the future";
	return NULL;
}

/* With strict_body, a member that the published description has not. */
static const char *
mgmt_check_members(
    struct world *world, const struct request *request, const json_t *body)
{
	static const char *const known[] = { "description", "permissions",
		"expiresAt" };
	size_t n = 0;

	if (!fault_take(
		&world->faults, "strict_body", request->method, request->path))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		n += json_object_get(body, known[i]) != NULL;
	return n < json_object_size(body) ? "unknown member in the body" : NULL;
}

/* The body of a POST or PATCH, or NULL with a 400 in reply. */
static json_t *
mgmt_read_body(const struct request *request, struct reply *reply)
{
	json_t *body;

	if (!request_is_type(request, "application/json")) {
		reply_api_error(
		    reply, 400, "Content-Type must be application/json");
		return NULL;
	}
	body = request_json(request);
	if (!body)
		reply_api_error(reply, 400, "the body is not a JSON object");
	return body;
}

static struct token *
mgmt_add(struct world *world, const struct request *request,
    const struct token *payer, const json_t *body, const char *value,
    int64_t ttl_ms)
{
	const json_t *permissions = json_object_get(body, "permissions");
	struct token *token =
	    world_add_token(world, TOKEN_DATABASE, value, ttl_ms);

	token->description =
	    util_copy(json_string_value(json_object_get(body, "description")));
	token->permissions =
	    permissions ? json_deep_copy(permissions) : json_array();
	token->account = util_copy(mgmt_account(request));
	token->cluster = util_copy(mgmt_cluster(request));
	token->created_by = payer->created_by;
	world_delay_activation(
	    world, token, request->method, request->path);
	return token;
}

void
mgmt_create(struct world *world, struct request *request, struct reply *reply)
{
	const struct token *payer = mgmt_authenticate(world, request, reply);
	json_t *body _cleanup_(util_free_json) = NULL;
	char *random _cleanup_(util_free_text) = NULL;
	char *value _cleanup_(util_free_text) = NULL;
	const struct token *token;
	const char *why;
	int64_t ttl_ms = 0;
	json_t *json;
	bool is_201;

	if (!payer || !(body = mgmt_read_body(request, reply)))
		return;
	why = mgmt_check_description(json_object_get(body, "description"));
	if (!why && json_object_get(body, "permissions"))
		why = mgmt_check_permissions(
		    json_object_get(body, "permissions"));
	if (!why)
		why = mgmt_check_expiry(world, body, &ttl_ms);
	if (!why)
		why = mgmt_check_members(world, request, body);
	if (why) {
		reply_api_error(reply, 400, why);
		return;
	}
	random = util_random_text(64);
	value = util_format("apiv1_%s", random);
	token = mgmt_add(world, request, payer, body, value, ttl_ms);
	json = mgmt_describe(token);
	json_object_set_new(json, "accessToken", json_string(value));
	is_201 = fault_take(
	    &world->faults, "status_201", request->method, request->path);
	reply_json(reply, is_201 ? 201 : 200, json);
}

/* Whether a list shows this token: its kind, its cluster, and the switches. */
static bool
mgmt_is_listed(const struct token *token, enum token_kind kind,
    const struct request *request, int64_t before_ms, bool hide_revoked)
{
	return token->kind == kind &&
	       mgmt_is_same(token->account, mgmt_account(request)) &&
	       mgmt_is_same(token->cluster, mgmt_cluster(request)) &&
	       token->created_ms <= before_ms &&
	       !(hide_revoked && token->revoked_ms);
}

static void
mgmt_list_kind(struct world *world, struct request *request,
    struct reply *reply, enum token_kind kind,
    json_t *(*describe)(const struct token *))
{
	int64_t before_ms =
	    world_list_until(world, request->method, request->path);
	bool hide_revoked = fault_take(
	    &world->faults, "hide_revoked", request->method, request->path);
	const struct token *token;
	json_t *array = json_array();

	TAILQ_FOREACH (token, &world->tokens, link) {
		if (mgmt_is_listed(
			token, kind, request, before_ms, hide_revoked))
			json_array_append_new(array, describe(token));
	}
	reply_json(reply, 200, array);
}

void
mgmt_list(struct world *world, struct request *request, struct reply *reply)
{
	if (mgmt_authenticate(world, request, reply))
		mgmt_list_kind(
		    world, request, reply, TOKEN_DATABASE, mgmt_describe);
}

/* The token that the path names, or NULL with a 404 in reply. */
static struct token *
mgmt_find(struct world *world, const struct request *request,
    struct reply *reply, enum token_kind kind)
{
	const char *id = request->segment[mgmt_account(request) ? 2 : 0];
	struct token *token = world_find_token_id(world, id);

	if (token && token->kind == kind &&
	    mgmt_is_same(token->account, mgmt_account(request)) &&
	    mgmt_is_same(token->cluster, mgmt_cluster(request)))
		return token;
	reply_api_error(reply, 404, "no such token");
	return NULL;
}

void
mgmt_get(struct world *world, struct request *request, struct reply *reply)
{
	const struct token *token;

	if (!mgmt_authenticate(world, request, reply))
		return;
	token = mgmt_find(world, request, reply, TOKEN_DATABASE);
	if (token)
		reply_json(reply, 200, mgmt_describe(token));
}

void
mgmt_patch(struct world *world, struct request *request, struct reply *reply)
{
	json_t *body _cleanup_(util_free_json) = NULL;
	json_t *description, *permissions;
	const char *why = NULL;
	struct token *token;

	if (!mgmt_authenticate(world, request, reply) ||
	    !(token = mgmt_find(world, request, reply, TOKEN_DATABASE)) ||
	    !(body = mgmt_read_body(request, reply)))
		return;
	description = json_object_get(body, "description");
	permissions = json_object_get(body, "permissions");
	if (!description && !permissions)
		why = "want a description, or permissions, or both";
	if (!why && description)
		why = mgmt_check_description(description);
	if (!why && permissions)
		why = mgmt_check_permissions(permissions);
	if (why) {
		reply_api_error(reply, 400, why);
		return;
	}
	if (description)
		util_replace(&token->description,
		    util_copy(json_string_value(description)));
	if (permissions) {
		json_decref(token->permissions);
		token->permissions = json_deep_copy(permissions);
	}
	reply_json(reply, 200, mgmt_describe(token));
}

static void
mgmt_delete_kind(struct world *world, struct request *request,
    struct reply *reply, enum token_kind kind)
{
	struct token *token;

	if (!mgmt_authenticate(world, request, reply))
		return;
	token = mgmt_find(world, request, reply, kind);
	if (!token)
		return;
	world_revoke_token(token); /* the record stays, with revokedAt */
	reply_text(reply, 204, NULL, NULL);
}

void
mgmt_delete(struct world *world, struct request *request, struct reply *reply)
{
	mgmt_delete_kind(world, request, reply, TOKEN_DATABASE);
}

/* A management token as influxctl's listing shows it, with times as text. */
static json_t *
mgmt_describe_management(const struct token *token)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "id", token->id,
	    "token_prefix", token->prefix, "description", token->description,
	    "created_by", token->created_by->email);

	mgmt_set_time(json, "created_at", token->created_ms);
	mgmt_set_time(json, "expires_at", token->expires_ms);
	mgmt_set_time(json, "revoked_at", token->revoked_ms);
	return json;
}

/* Who may make management tokens: whoever is Admin. NULL, or why not. */
static const char *
mgmt_check_payer(struct world *world, const struct request *request,
    const struct token *payer)
{
	if (strcmp(payer->created_by->role, "Admin") != 0)
		return "only an Admin may create management tokens";
	if (payer->kind == TOKEN_MANAGEMENT &&
	    fault_take(&world->faults, "mgmt_no_chain", request->method,
		request->path))
		return "a management token may not create another";
	return NULL;
}

void
mgmt_create_management(
    struct world *world, struct request *request, struct reply *reply)
{
	const struct token *payer = mgmt_authenticate(world, request, reply);
	json_t *body _cleanup_(util_free_json) = NULL;
	char *random _cleanup_(util_free_text) = NULL;
	char *value _cleanup_(util_free_text) = NULL;
	const json_t *description;
	struct token *token;
	const char *why;
	int64_t ttl_ms = 0;
	json_t *json;

	if (!payer)
		return;
	why = mgmt_check_payer(world, request, payer);
	if (why) {
		reply_api_error(reply, 403, why);
		return;
	}
	body = mgmt_read_body(request, reply);
	if (!body)
		return;
	description = json_object_get(body, "description");
	if (description)
		why = mgmt_check_description(description);
	if (!why)
		why = mgmt_check_expiry(world, body, &ttl_ms);
	if (why) {
		reply_api_error(reply, 400, why);
		return;
	}
	random = util_random_text(48);
	value = util_format("M.V1.%s", random);
	token = world_add_token(world, TOKEN_MANAGEMENT, value, ttl_ms);
	token->description =
	    util_copy(description ? json_string_value(description) : "");
	token->created_by = payer->created_by;
	world_delay_activation(
	    world, token, request->method, request->path);
	json = json_pack("{s:s, s:s, s:s}", "id", token->id, "token", value,
	    "description", token->description);
	mgmt_set_time(json, "createdAt", token->created_ms);
	mgmt_set_time(json, "expiresAt", token->expires_ms);
	reply_json(reply, 201, json);
}

void
mgmt_list_management(
    struct world *world, struct request *request, struct reply *reply)
{
	if (mgmt_authenticate(world, request, reply))
		mgmt_list_kind(world, request, reply, TOKEN_MANAGEMENT,
		    mgmt_describe_management);
}

void
mgmt_delete_management(
    struct world *world, struct request *request, struct reply *reply)
{
	mgmt_delete_kind(world, request, reply, TOKEN_MANAGEMENT);
}
