/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/control.h"

#include <string.h>

#include "sandbox/influx2.h"
#include "sandbox/request.h"
#include "sandbox/sign.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

static void
control_set_time(json_t *json, const char *name, int64_t ms)
{
	json_object_set_new(json, name, ms ? util_json_time(ms) : json_null());
}

static json_t *
control_describe_token(const struct token *token)
{
	char *sum _cleanup_(util_free_text) =
	    util_hex(token->digest, sizeof token->digest);
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?,"
				 " s:O?, s:s?}",
	    "id", token->id, "kind", world_token_kind(token), "state",
	    world_token_state(token), "sha256", sum, "description",
	    token->description, "account_id", token->account, "cluster_id",
	    token->cluster, "created_by",
	    token->created_by ? token->created_by->name : NULL, "permissions",
	    token->permissions, "grant",
	    token->grant ? token->grant->id : NULL);

	control_set_time(json, "created_at", token->created_ms);
	control_set_time(json, "active_at", token->active_ms);
	control_set_time(json, "expires_at", token->expires_ms);
	control_set_time(json, "revoked_at", token->revoked_ms);
	return json;
}

static json_t *
control_describe_grant(const struct grant *grant)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?}", "id",
	    grant->id, "client_id", grant->client->id, "user",
	    grant->user->name, "scope", grant->scope, "state",
	    grant->revoked_ms ? "revoked" : "live", "reason", grant->reason);

	control_set_time(json, "created_at", grant->created_ms);
	control_set_time(json, "revoked_at", grant->revoked_ms);
	return json;
}

static json_t *
control_describe_code(const struct code *code)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:I, s:I, s:s?}",
	    "user_code", code->user_code, "client_id", code->client->id,
	    "scope", code->scope, "state", world_code_state(code),
	    "binding_message", code->message, "interval",
	    (json_int_t)(code->interval_ms / 1000), "polls",
	    (json_int_t)code->polls, "user",
	    code->user ? code->user->name : NULL);

	control_set_time(json, "expires_at", code->expires_ms);
	return json;
}

void
control_state(struct world *world, struct request *request, struct reply *reply)
{
	json_t *minted = json_array(), *granted = json_array();
	json_t *grants = json_array();
	json_t *codes = json_array(), *pending = json_array();
	const struct token *token;
	const struct grant *grant;
	const struct code *code;

	(void)request;
	TAILQ_FOREACH (token, &world->tokens, link)
		json_array_append_new(token->grant ? granted : minted,
		    control_describe_token(token));
	TAILQ_FOREACH (grant, &world->grants, link)
		json_array_append_new(grants, control_describe_grant(grant));
	TAILQ_FOREACH (code, &world->codes, link) {
		json_array_append_new(codes, control_describe_code(code));
		if (strcmp(world_code_state(code), "pending") == 0)
			json_array_append_new(
			    pending, json_string(code->user_code));
	}
	reply_json(reply, 200,
	    json_pack("{s:s, s:O, s:O, s:o, s:o, s:o, s:o, s:o, s:o}", "issuer",
		world->issuer, "requests", world->requests, "done", world->done,
		"tokens", minted, "oauth_tokens", granted, "grants", grants,
		"codes", codes, "pending", pending, "faults",
		fault_describe(&world->faults)));
}

void
control_log(struct world *world, struct request *request, struct reply *reply)
{
	(void)request;
	/* a deep copy, since the reply may still be changed */
	reply_json(reply, 200,
	    json_pack("{s:I, s:o}", "dropped", (json_int_t)world->log_dropped,
		"requests", json_deep_copy(world->log)));
}

/*
 * A page of another site can make a browser send a simple request here, but
 * not without an Origin, nor with this Content-Type.
 */
static bool
control_is_script(const struct request *request, struct reply *reply)
{
	if (!request->origin &&
	    (strcmp(request->method, "POST") != 0 ||
		request_is_type(request, "application/json")))
		return true;
	reply_api_error(reply, 403,
	    "for scripts only: no Origin, Content-Type application/json");
	return false;
}

/* The body of a POST, or NULL with an error in reply. */
static json_t *
control_read_body(const struct request *request, struct reply *reply)
{
	json_t *body;

	if (!control_is_script(request, reply))
		return NULL;
	body = request_json(request);
	if (!body)
		reply_api_error(reply, 400, "the body is not a JSON object");
	return body;
}

void
control_list_faults(
    struct world *world, struct request *request, struct reply *reply)
{
	(void)request;
	reply_json(reply, 200,
	    json_pack("{s:o}", "faults", fault_describe(&world->faults)));
}

void
control_set_fault(
    struct world *world, struct request *request, struct reply *reply)
{
	json_t *body _cleanup_(util_free_json) =
	    control_read_body(request, reply);
	char *why _cleanup_(util_free_text) = NULL;

	if (!body)
		return;
	why = fault_set(&world->faults, body);
	if (why)
		reply_api_error(reply, 400, why);
	else
		control_list_faults(world, request, reply);
}

void
control_clear_faults(
    struct world *world, struct request *request, struct reply *reply)
{
	if (!control_is_script(request, reply))
		return;
	fault_clear(&world->faults, params_get(&request->query, "name"));
	control_list_faults(world, request, reply);
}

static void
control_decide(struct world *world, struct request *request,
    struct reply *reply, bool approve)
{
	json_t *body _cleanup_(util_free_json) =
	    control_read_body(request, reply);
	const json_t *name = json_object_get(body, "user");
	const char *user_code =
	    json_string_value(json_object_get(body, "user_code"));
	const struct user *user =
	    name ? world_find_user(json_string_value(name)) : world_user_at(0);
	struct code *code =
	    user_code ? world_find_user_code(world, user_code) : NULL;

	if (!body)
		return;
	if (!user)
		reply_api_error(reply, 400, "user must be alice or bob");
	else if (!code)
		reply_api_error(reply, 404, "no such user_code");
	else if (!world_decide(code, user, approve))
		reply_api_error(reply, 409, "the code is no longer pending");
	else
		reply_json(reply, 200, control_describe_code(code));
}

void
control_approve(
    struct world *world, struct request *request, struct reply *reply)
{
	control_decide(world, request, reply, true);
}

void
control_deny(struct world *world, struct request *request, struct reply *reply)
{
	control_decide(world, request, reply, false);
}

void
control_revoke(
    struct world *world, struct request *request, struct reply *reply)
{
	json_t *body _cleanup_(util_free_json) =
	    control_read_body(request, reply);
	const char *id = json_string_value(json_object_get(body, "id"));
	struct token *token = id ? world_find_token_id(world, id) : NULL;
	struct grant *grant;

	if (!body)
		return;
	if (token) {
		world_revoke_token(token);
		reply_json(reply, 200, control_describe_token(token));
		return;
	}
	TAILQ_FOREACH (grant, &world->grants, link) {
		if (id && strcmp(grant->id, id) == 0) {
			world_revoke_grant(world, grant, "revoked by control");
			reply_json(reply, 200, control_describe_grant(grant));
			return;
		}
	}
	reply_api_error(reply, 404, "no token or grant has that id");
}

void
control_rotate_keys(
    struct world *world, struct request *request, struct reply *reply)
{
	if (!control_is_script(request, reply))
		return;
	sign_rotate(world->sign);
	reply_json(reply, 200, sign_keys(world->sign));
}

void
control_make_parent(
    struct world *world, struct request *request, struct reply *reply)
{
	if (control_is_script(request, reply))
		influx2_make_parent(world, request, reply);
}
