/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/grafana.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/mgmt.h"
#include "sandbox/request.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

/* What tells these tokens from those of the other APIs. */
#define GRAFANA_SCOPE "grafana"
#define GRAFANA_NAME_MAX 190 /* a column of its database */
#define GRAFANA_LIFE_MAX (10LL * 365 * 24 * 3600)

static void
grafana_say(struct reply *reply, int status, const char *message)
{
	reply_json(reply, status, json_pack("{s:s}", "message", message));
}

static const struct token *
grafana_authenticate(
    struct world *world, const struct request *request, struct reply *reply)
{
	const struct token *payer = mgmt_payer(world, request);

	if (!payer)
		grafana_say(reply, 401, "Unauthorized");
	return payer;
}

/* There is one service account, whose number is 2. */
static bool
grafana_knows_account(const struct request *request, struct reply *reply)
{
	const char *id = request->segment[0];

	if (!*id || id[strspn(id, "0123456789")])
		grafana_say(reply, 400, "Service Account ID is invalid");
	else if (strcmp(id, "2") != 0)
		grafana_say(reply, 404, "Failed to retrieve service account");
	else
		return true;
	return false;
}

static bool
grafana_is_ours(const struct token *token)
{
	return token->account && !token->revoked_ms &&
	       strcmp(token->account, GRAFANA_SCOPE) == 0;
}

static struct token *
grafana_find(struct world *world, const char *id, const char *name)
{
	struct token *token;

	TAILQ_FOREACH (token, &world->tokens, link) {
		if (grafana_is_ours(token) &&
		    ((id && strcmp(token->id, id) == 0) ||
			(name && strcmp(token->description, name) == 0)))
			return token;
	}
	return NULL;
}

/* NULL, or what is said with the status. */
static const char *
grafana_check(struct world *world, const json_t *body, int *status)
{
	const char *name = json_string_value(json_object_get(body, "name"));
	const json_t *life = json_object_get(body, "secondsToLive");

	*status = 400;
	if (!name || !*name || (life && !json_is_integer(life)))
		return "Bad request data";
	if (json_integer_value(life) < 0)
		return "invalid SecondsToLive value";
	if (!json_integer_value(life))
		return "Number of seconds before expiration should be set";
	if (json_integer_value(life) > GRAFANA_LIFE_MAX)
		return "Number of seconds before expiration is greater than "
		       "the global limit";
	*status = 500;
	if (strlen(name) > GRAFANA_NAME_MAX)
		return "Failed to add service account token";
	*status = 409;
	if (grafana_find(world, NULL, name))
		return "service account token with given name already exists "
		       "in the organization";
	return NULL;
}

/* The numbers of all that were ever made go on. */
static void
grafana_number(struct world *world, struct token *token)
{
	const struct token *other;
	int n = 0;

	TAILQ_FOREACH (other, &world->tokens, link)
		n += other->account &&
		     strcmp(other->account, GRAFANA_SCOPE) == 0;
	snprintf(token->id, sizeof token->id, "%d", n);
}

void
grafana_create(
    struct world *world, struct request *request, struct reply *reply)
{
	const struct token *payer =
	    grafana_authenticate(world, request, reply);
	json_t *body _cleanup_(util_free_json) = NULL;
	char *random _cleanup_(util_free_text) = NULL;
	char *value _cleanup_(util_free_text) = NULL;
	struct token *token;
	const char *name, *why;
	int status;

	if (!payer || !grafana_knows_account(request, reply))
		return;
	body = request_json(request);
	why = grafana_check(world, body, &status);
	if (why) {
		grafana_say(reply, status, why);
		return;
	}
	name = json_string_value(json_object_get(body, "name"));
	random = util_random_text(24);
	value = util_format("glsa_%s_77c34a79", random);
	token = world_add_token(world, TOKEN_DATABASE, value,
	    json_integer_value(json_object_get(body, "secondsToLive")) * 1000);
	token->description = util_copy(name);
	token->account = util_copy(GRAFANA_SCOPE);
	token->permissions = json_array();
	token->created_by = payer->created_by;
	world_delay_activation(world, token, request->method, request->path);
	grafana_number(world, token);
	reply_json(reply, 200, json_pack("{s:I, s:s, s:s}", "id",
	    (json_int_t)atoll(token->id), "name", name, "key", value));
}

static json_t *
grafana_describe(const struct token *token)
{
	int64_t left = token->expires_ms - util_now_ms();

	return json_pack("{s:I, s:s, s:s, s:o, s:o, s:f, s:b}", "id",
	    (json_int_t)atoll(token->id), "name", token->description, "role",
	    "Viewer", "created", util_json_time(token->created_ms),
	    "expiration", util_json_time(token->expires_ms),
	    "secondsUntilExpiration", left > 0 ? (double)left / 1000 : 0.0,
	    "hasExpired", left <= 0);
}

void
grafana_list(struct world *world, struct request *request, struct reply *reply)
{
	const struct token *token;
	int64_t until;
	json_t *list;

	if (!grafana_authenticate(world, request, reply) ||
	    !grafana_knows_account(request, reply))
		return;
	until = world_list_until(world, request->method, request->path);
	list = json_array();
	TAILQ_FOREACH (token, &world->tokens, link) {
		if (grafana_is_ours(token) && token->created_ms <= until)
			json_array_append_new(list, grafana_describe(token));
	}
	reply_json(reply, 200, list);
}

void
grafana_delete(
    struct world *world, struct request *request, struct reply *reply)
{
	struct token *token;

	if (!grafana_authenticate(world, request, reply) ||
	    !grafana_knows_account(request, reply))
		return;
	token = grafana_find(world, request->segment[1], NULL);
	if (!token) {
		grafana_say(reply, 404, "Failed to delete service account "
					"token");
		return;
	}
	world_revoke_token(token);
	grafana_say(reply, 200, "Service account token deleted");
}

void
grafana_search(
    struct world *world, struct request *request, struct reply *reply)
{
	const char *value = request_bearer(request);
	const struct token *token =
	    value ? world_find_token(world, value) : NULL;

	if (token && grafana_is_ours(token) && world_token_is_live(token))
		reply_json(reply, 200, json_array());
	else
		grafana_say(reply, 401, "Unauthorized");
}
