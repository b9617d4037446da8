/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/probe.h"

#include <string.h>
#include <strings.h>

#include "sandbox/request.h"
#include "sandbox/world.h"

/* Whether a token may do that; on anything at all when resource is NULL. */
static bool
probe_allows(
    const struct token *token, const char *action, const char *resource)
{
	const json_t *permission;
	size_t i;

	json_array_foreach (token->permissions, i, permission) {
		const char *on =
		    json_string_value(json_object_get(permission, "resource"));

		if (strcmp(json_string_value(
			       json_object_get(permission, "action")),
			action) == 0 &&
		    (!resource || strcmp(on, "*") == 0 ||
			strcmp(on, resource) == 0))
			return true;
	}
	return false;
}

/* The live database token of the request, or NULL with a 401 in reply. */
static const struct token *
probe_authenticate(
    struct world *world, const struct request *request, struct reply *reply)
{
	const char *value = request_bearer(request);
	const struct token *token;

	if (!value && request->authorization &&
	    strncasecmp(request->authorization, "Token ", 6) == 0)
		value = request->authorization + 6;
	token = value ? world_find_token(world, value) : NULL;
	if (token && token->kind == TOKEN_DATABASE &&
	    world_token_is_live(token))
		return token;
	reply_api_error(reply, 401, "unauthorized");
	return NULL;
}

void
probe_health(struct world *world, struct request *request, struct reply *reply)
{
	const struct token *token = probe_authenticate(world, request, reply);

	if (token && probe_allows(token, "read", NULL))
		reply_json(reply, 200, json_pack("{s:s}", "status", "ok"));
	else if (token)
		reply_api_error(reply, 401, "no read permission");
}

static const struct token *
probe_database(struct world *world, struct request *request,
    struct reply *reply, const char *action)
{
	const struct token *token = probe_authenticate(world, request, reply);
	const char *db = params_get(&request->query, "db");

	if (!token)
		return NULL;
	if (!db) {
		reply_api_error(reply, 400, "db is missing");
		return NULL;
	}
	if (!probe_allows(token, action, db)) {
		reply_api_error(reply, 403, "no such permission");
		return NULL;
	}
	return token;
}

void
probe_query(struct world *world, struct request *request, struct reply *reply)
{
	if (probe_database(world, request, reply, "read"))
		reply_json(reply, 200, json_array());
}

void
probe_write(struct world *world, struct request *request, struct reply *reply)
{
	if (probe_database(world, request, reply, "write"))
		reply_text(reply, 204, NULL, NULL);
}
