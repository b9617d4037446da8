/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/idp.h"

#include <string.h>

#include "sandbox/client.h"
#include "sandbox/request.h"
#include "sandbox/sign.h"
#include "sandbox/token.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

#define IDP_MESSAGE_MAX 200 /* bytes of the host context line */
#define IDP_SCOPE_MAX 512

static json_t *
idp_url(const char *origin, const char *path)
{
	char *url _cleanup_(util_free_text) = util_format("%s%s", origin, path);

	return json_string(url);
}

/* The part of the metadata that is the same for every instance. */
static json_t *
idp_capabilities(void)
{
	return json_pack("{s:[sss], s:[], s:[s], s:[ss], s:[sss], s:[sss],"
			 " s:[sssss], s:[sssssssss]}",
	    "grant_types_supported",
	    "urn:ietf:params:oauth:grant-type:device_code", "refresh_token",
	    "urn:ietf:params:oauth:grant-type:token-exchange",
	    "response_types_supported", "subject_types_supported", "public",
	    "id_token_signing_alg_values_supported", "RS256", "ES256",
	    "token_endpoint_auth_methods_supported", "none",
	    "client_secret_basic", "client_secret_post",
	    "revocation_endpoint_auth_methods_supported", "none",
	    "client_secret_basic", "client_secret_post", "scopes_supported",
	    "openid", "profile", "email", "offline_access", "influxdb",
	    "claims_supported", "iss", "aud", "sub", "oid", "exp", "iat",
	    "auth_time", "email", "name");
}

void
idp_discovery(struct world *world, struct request *request, struct reply *reply)
{
	static const struct {
		const char *name, *path;
	} endpoints[] = {
		{ "device_authorization_endpoint", "/device_authorization" },
		{ "token_endpoint", "/token" },
		{ "jwks_uri", "/jwks" },
		{ "userinfo_endpoint", "/userinfo" },
		{ "revocation_endpoint", "/revoke" },
		{ "introspection_endpoint", "/introspect" },
	};
	json_t *meta = idp_capabilities();
	bool no_revocation = fault_take(&world->faults,
	    "no_revocation_endpoint", request->method, request->path);
	const char *origin = world->issuer;
	const struct fault *fault;

	json_object_set_new(meta, "issuer", json_string(world->issuer));
	fault = fault_take(
	    &world->faults, "discovery_issuer", request->method, request->path);
	if (fault)
		json_object_set_new(meta, "issuer", json_string(fault->value));
	fault = fault_take(&world->faults, "foreign_endpoints", request->method,
	    request->path);
	if (fault)
		origin = fault->value;
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		json_object_set_new(meta, endpoints[i].name,
		    idp_url(origin, endpoints[i].path));
	if (no_revocation)
		json_object_del(meta, "revocation_endpoint");
	reply_json(reply, 200, meta);
}

void
idp_jwks(struct world *world, struct request *request, struct reply *reply)
{
	(void)request;
	reply_json(reply, 200, sign_keys(world->sign));
}

/* RFC 6749, 3.3: printable, but neither quote nor backslash. */
static bool
idp_is_scope(const char *scope)
{
	if (strlen(scope) > IDP_SCOPE_MAX)
		return false;
	for (; *scope; scope++) {
		if (*scope < ' ' || *scope > '~' || *scope == '"' ||
		    *scope == '\\')
			return false;
	}
	return true;
}

/* One line to be shown to a human: control characters become spaces. */
static char *
idp_one_line(const char *text)
{
	size_t len = text ? strlen(text) : 0;
	char *line;

	if (!text)
		return NULL;
	if (len > IDP_MESSAGE_MAX) {
		len = IDP_MESSAGE_MAX; /* but not inside a UTF-8 sequence */
		while (((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	line = util_format("%.*s", (int)len, text);
	for (char *p = line; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
	return line;
}

static void
idp_device_reply(struct world *world, struct request *request,
    struct reply *reply, const struct code *code, const char *device_code)
{
	char *page _cleanup_(util_free_text) =
	    util_format("%s/device", world->issuer);
	char *complete _cleanup_(util_free_text) =
	    util_format("%s?user_code=%s", page, code->user_code);
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:I}", "device_code",
	    device_code, "user_code", code->user_code, "verification_uri", page,
	    "verification_uri_complete", complete, "expires_in",
	    (json_int_t)((code->expires_ms - code->created_ms + 999) / 1000));

	if (!fault_take(
		&world->faults, "no_interval", request->method, request->path))
		json_object_set_new(
		    json, "interval", json_integer(world->options.interval));
	reply_json(reply, 200, json);
}

void
idp_device(struct world *world, struct request *request, struct reply *reply)
{
	const struct client *client = client_authenticate(request, reply);
	char *device_code _cleanup_(util_free_text) = NULL;
	const struct params *form = &request->form;
	const char *scope = params_get(form, "scope");
	const char *audience = params_get(form, "audience");
	int64_t ttl_ms = world->options.code_ttl * 1000;
	const struct fault *fault;
	struct code *code;

	if (!client)
		return;
	if (scope && !idp_is_scope(scope)) {
		reply_oauth_error(reply, 400, "invalid_scope",
		    "a scope has a character that no scope may have");
		return;
	}
	fault = fault_take(
	    &world->faults, "expire_code", request->method, request->path);
	if (fault)
		ttl_ms = (int64_t)(fault->number * 1000);
	code = world_add_code(world, client, ttl_ms, &device_code);
	code->scope = util_copy(scope ? scope : "openid");
	code->audience =
	    util_copy(audience ? audience : params_get(form, "resource"));
	code->nonce = util_copy(params_get(form, "nonce"));
	code->message = idp_one_line(params_get(form, "binding_message"));
	idp_device_reply(world, request, reply, code, device_code);
}

void
idp_userinfo(struct world *world, struct request *request, struct reply *reply)
{
	const char *value = request_bearer(request);
	const struct token *token =
	    value ? world_find_token(world, value) : NULL;
	json_t *claims;

	if (!token || token->kind != TOKEN_ACCESS ||
	    !world_token_is_live(token)) {
		reply_oauth_error(
		    reply, 401, "invalid_token", "no live access token");
		reply_header(reply, "WWW-Authenticate",
		    "Bearer error=\"invalid_token\"");
		return;
	}
	if (!token_has_scope(token->grant, "openid")) {
		reply_oauth_error(reply, 403, "insufficient_scope",
		    "the scope openid is needed");
		return;
	}
	claims = json_object();
	token_user_claims(claims, token->grant->user);
	reply_json(reply, 200, claims);
}

void
idp_revoke(struct world *world, struct request *request, struct reply *reply)
{
	const struct client *client = client_authenticate(request, reply);
	const char *value = params_get(&request->form, "token");
	struct token *token;

	if (!client)
		return;
	if (!value) {
		reply_oauth_error(
		    reply, 400, "invalid_request", "token is missing");
		return;
	}
	token = world_find_token(world, value);
	if (token && token->grant && token->grant->client != client) {
		reply_oauth_error(reply, 400, "unauthorized_client",
		    "this token is another client's");
		return;
	}
	/* RFC 7009, 2.2: a token nobody knows is as good as a revoked one */
	if (token && token->kind == TOKEN_REFRESH)
		world_revoke_grant(world, token->grant, "revoked by client");
	else if (token && (token->kind == TOKEN_ACCESS ||
			      token->kind == TOKEN_EXCHANGED))
		world_revoke_token(token);
	reply_text(reply, 200, NULL, NULL);
}
