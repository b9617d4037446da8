/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/swap.h"

#include <string.h>

#include "sandbox/client.h"
#include "sandbox/request.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

#define SWAP_TYPE "urn:ietf:params:oauth:token-type:"

struct swap {
	struct world *world;
	struct request *request;
	struct reply *reply;
	const struct client *client;
	const struct token *subject;
};

static const struct fault *
swap_fault(const struct swap *s, const char *name)
{
	return fault_take(&s->world->faults, name, s->request->method,
	    s->request->path);
}

static int
swap_refuse(const struct swap *s, const char *error, const char *why)
{
	reply_oauth_error(s->reply, 400, error, why);
	return -1;
}

/* What it is to be for: audience and resource, each any number of times. */
static json_t *
swap_targets(const struct request *request)
{
	json_t *targets = json_array();

	for (size_t i = 0; i < request->form.count; i++) {
		const struct param *p = &request->form.list[i];

		if (strcmp(p->name, "audience") == 0 ||
		    strcmp(p->name, "resource") == 0)
			json_array_append_new(targets, json_string(p->value));
	}
	return targets;
}

static int
swap_check_subject(struct swap *s)
{
	const struct params *form = &s->request->form;
	const char *value = params_get(form, "subject_token");
	const char *type = params_get(form, "subject_token_type");
	const struct token *token;

	if (!value || !type)
		return swap_refuse(s, "invalid_request",
		    "subject_token and subject_token_type are required");
	if (strcmp(type, SWAP_TYPE "access_token") != 0)
		return swap_refuse(s, "invalid_request",
		    "subject_token_type is not supported");
	token = world_find_token(s->world, value);
	if (!token || token->kind != TOKEN_ACCESS ||
	    token->grant->client != s->client || !world_token_is_live(token))
		/* RFC 8693, 2.2.2: not invalid_grant */
		return swap_refuse(s, "invalid_request",
		    "the subject token is unknown, expired or revoked");
	s->subject = token;
	return 0;
}

static int
swap_check(struct swap *s, const json_t *targets)
{
	const char *type = params_get(&s->request->form,
	    "requested_token_type");
	const char *scope = params_get(&s->request->form, "scope");
	const json_t *target;
	size_t i;

	if (swap_fault(s, "exchange_off"))
		return swap_refuse(s, "unsupported_grant_type",
		    "device_code and refresh_token are supported");
	if (swap_fault(s, "exchange_not_allowed"))
		return swap_refuse(s, "unauthorized_client",
		    "this client may not exchange tokens");
	if (swap_check_subject(s) < 0)
		return -1;
	if (type && strcmp(type, SWAP_TYPE "access_token") != 0 &&
	    strcmp(type, SWAP_TYPE "jwt") != 0)
		return swap_refuse(s, "invalid_request",
		    "requested_token_type is not supported");
	if (scope && strstr(scope, "admin"))
		return swap_refuse(s, "invalid_scope", "admin is not given");
	json_array_foreach (targets, i, target) {
		if (strstr(json_string_value(target), "unknown"))
			return swap_refuse(s, "invalid_target",
			    "there is no such audience");
	}
	return 0;
}

static struct token *
swap_add(const struct swap *s, json_t *targets, const char *value, int64_t ttl)
{
	struct token *token = world_add_token(s->world, TOKEN_EXCHANGED, value,
	    ttl * 1000);

	token->description = util_copy("");
	token->permissions = json_incref(targets);
	token->account = util_copy(s->client->id);
	token->created_by = s->subject->created_by;
	world_delay_activation(s->world, token, s->request->method,
	    s->request->path);
	return token;
}

/* As a switch has it, else as it should be. */
static json_t *
swap_word(const struct swap *s, const char *name, const char *otherwise)
{
	const struct fault *fault = swap_fault(s, name);

	return json_string(fault ? fault->value : otherwise);
}

static void
swap_answer(const struct swap *s, const char *value, int64_t ttl)
{
	const char *type = params_get(&s->request->form,
	    "requested_token_type");
	const char *scope = params_get(&s->request->form, "scope");
	json_t *out = json_pack("{s:s, s:o, s:o}", "access_token", value,
	    "issued_token_type", swap_word(s, "exchange_type",
		type ? type : SWAP_TYPE "access_token"), "token_type",
	    swap_word(s, "exchange_token_type", "Bearer"));

	if (!swap_fault(s, "exchange_no_expiry"))
		json_object_set_new(out, "expires_in", json_integer(ttl));
	if (scope)
		json_object_set_new(out, "scope", json_string(scope));
	if (swap_fault(s, "exchange_refresh"))
		json_object_set_new(out, "refresh_token",
		    json_string("sandbox-refresh-token-of-an-exchange"));
	reply_json(s->reply, 200, out);
	reply_header(s->reply, "Cache-Control", "no-store");
}

void
swap_token(struct world *world, struct request *request, struct reply *reply,
    const struct client *client)
{
	struct swap s = { .world = world, .request = request, .reply = reply,
		.client = client };
	json_t *targets _cleanup_(util_free_json) = swap_targets(request);
	char *value _cleanup_(util_free_text) = NULL;
	int64_t ttl = world->options.access_ttl;
	const struct fault *fault;

	if (swap_check(&s, targets) < 0)
		return;
	fault = swap_fault(&s, "exchange_ttl");
	if (fault)
		ttl = (int64_t)fault->number;
	value = util_random_text(32);
	swap_add(&s, targets, value, ttl);
	swap_answer(&s, value, ttl);
}

/* The live token of that value that may be looked at, or NULL. */
static const struct token *
swap_find(struct world *world, const char *value)
{
	const struct token *token = value ? world_find_token(world, value) :
					    NULL;

	return token && world_token_is_live(token) &&
		(token->kind == TOKEN_EXCHANGED ||
		    token->kind == TOKEN_ACCESS) ? token : NULL;
}

void
swap_introspect(
    struct world *world, struct request *request, struct reply *reply)
{
	const struct token *token;

	if (!client_authenticate(request, reply))
		return;
	token = swap_find(world, params_get(&request->form, "token"));
	if (!token) /* RFC 7662, 2.2: nothing more is said */
		reply_json(reply, 200, json_pack("{s:b}", "active", 0));
	else
		reply_json(reply, 200, json_pack("{s:b, s:s, s:I, s:O?}",
		    "active", 1, "token_type", "Bearer", "exp",
		    (json_int_t)(token->expires_ms / 1000), "aud",
		    token->permissions));
}

void
swap_audience(
    struct world *world, struct request *request, struct reply *reply)
{
	const struct token *token = swap_find(world, request_bearer(request));
	const json_t *target;
	size_t i;

	json_array_foreach (token ? token->permissions : NULL, i, target) {
		if (strcmp(json_string_value(target),
			request->segment[0]) == 0) {
			reply_json(reply, 200, json_pack("{s:s}", "for",
			    request->segment[0]));
			return;
		}
	}
	reply_oauth_error(reply, 401, "invalid_token",
	    "no live token for this audience");
	reply_header(reply, "WWW-Authenticate",
	    "Bearer error=\"invalid_token\"");
}
