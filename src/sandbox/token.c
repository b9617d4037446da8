/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/token.h"

#include <string.h>

#include "sandbox/client.h"
#include "sandbox/request.h"
#include "sandbox/sign.h"
#include "sandbox/swap.h"
#include "sandbox/util.h"
#include "sandbox/world.h"

#define TOKEN_GRANT_DEVICE "urn:ietf:params:oauth:grant-type:device_code"
#define TOKEN_GRANT_EXCHANGE \
	"urn:ietf:params:oauth:grant-type:token-exchange"
#define TOKEN_POLL_SLACK_MS 50 /* a timer may be that early */
#define TOKEN_SLOW_DOWN_MS 5000
#define TOKEN_ID_TTL 3600 /* seconds */

/* One answer in the making: what every step of it needs. */
struct token_job {
	struct world *world;
	struct request *request;
	struct reply *reply;
	struct grant *grant;
	bool is_refresh;
};

static const struct fault *
token_fault(const struct token_job *job, const char *name)
{
	return fault_take(&job->world->faults, name, job->request->method,
	    job->request->path);
}

const char *
token_count_name(const struct request *request)
{
	const char *type = params_get(&request->form, "grant_type");

	if (type && strcmp(type, TOKEN_GRANT_DEVICE) == 0)
		return "token_device_code";
	if (type && strcmp(type, "refresh_token") == 0)
		return "token_refresh_token";
	if (type && strcmp(type, TOKEN_GRANT_EXCHANGE) == 0)
		return "token_exchange";
	return "token_other";
}

bool
token_has_scope(const struct grant *grant, const char *scope)
{
	size_t len = strlen(scope);
	const char *p = grant->scope;

	for (; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		if (n == len && strncmp(p, scope, len) == 0)
			return true;
		p += n;
	}
	return false;
}

void
token_user_claims(json_t *claims, const struct user *user)
{
	json_object_set_new(claims, "sub", json_string(user->sub));
	json_object_set_new(claims, "oid", json_string(user->oid));
	json_object_set_new(claims, "email", json_string(user->email));
	json_object_set_new(claims, "email_verified", json_true());
	json_object_set_new(claims, "name", json_string(user->full_name));
	json_object_set_new(
	    claims, "preferred_username", json_string(user->name));
}

/* Claims of the id token, before any fault but those that are claims. */
static json_t *
token_id_claims(const struct token_job *job)
{
	const struct grant *grant = job->grant;
	const struct user *user = grant->user;
	json_int_t now = util_now_ms() / 1000;
	json_t *claims = json_object();

	if (token_fault(job, "expired_id_token"))
		now -= 2 * TOKEN_ID_TTL;
	if (token_fault(job, "other_user_sub"))
		user = user == world_user_at(0) ? world_user_at(1)
						: world_user_at(0);
	token_user_claims(claims, user);
	json_object_set_new(claims, "iss",
	    json_string(token_fault(job, "wrong_iss") ? "https://issuer.example"
						      : job->world->issuer));
	json_object_set_new(claims, "aud",
	    json_string(token_fault(job, "wrong_aud") ? "somebody-else"
						      : grant->client->id));
	json_object_set_new(claims, "azp", json_string(grant->client->id));
	json_object_set_new(claims, "iat", json_integer(now));
	json_object_set_new(claims, "exp", json_integer(now + TOKEN_ID_TTL));
	json_object_set_new(
	    claims, "auth_time", json_integer(grant->created_ms / 1000));
	if (grant->nonce)
		json_object_set_new(claims, "nonce", json_string(grant->nonce));
	return claims;
}

static json_t *
token_make_id(const struct token_job *job)
{
	json_t *claims _cleanup_(util_free_json) = token_id_claims(job);
	char *text _cleanup_(util_free_text) = NULL;
	enum sign_alg alg = SIGN_RS256;
	struct sign_flaws flaws = {
		.bad_signature = token_fault(job, "bad_signature"),
		.unknown_kid = token_fault(job, "unknown_kid"),
	};

	if (token_fault(job, "es256"))
		alg = SIGN_ES256;
	if (token_fault(job, "alg_hs256"))
		alg = SIGN_HS256;
	if (token_fault(job, "alg_none"))
		alg = SIGN_NONE;
	text = sign_token(job->world->sign, alg, "JWT", claims, &flaws);
	return json_string(text);
}

/* An access token as a JWT (RFC 9068). */
static char *
token_make_jwt(const struct token_job *job, int64_t ttl)
{
	const struct grant *grant = job->grant;
	struct sign_flaws flaws = { 0 };
	char jti[UTIL_UUID];
	json_int_t now = util_now_ms() / 1000;
	json_t *claims _cleanup_(util_free_json) = NULL;

	util_uuid(jti);
	claims = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}",
	    "iss", job->world->issuer, "sub", grant->user->sub, "oid",
	    grant->user->oid, "aud",
	    grant->audience ? grant->audience : job->world->issuer, "client_id",
	    grant->client->id, "scope", grant->scope, "jti", jti, "iat", now,
	    "exp", (json_int_t)(now + ttl));
	return sign_token(
	    job->world->sign, SIGN_RS256, "at+jwt", claims, &flaws);
}

static void
token_add_access(const struct token_job *job, json_t *out)
{
	char *value _cleanup_(util_free_text) = NULL;
	int64_t ttl = job->world->options.access_ttl;
	const struct fault *fault = NULL;
	struct token *token;

	if (job->is_refresh)
		fault = token_fault(job, "refresh_access_ttl");
	if (fault)
		ttl = (int64_t)fault->number;
	if (token_fault(job, "jwt_access_token"))
		value = token_make_jwt(job, ttl);
	else
		value = util_random_text(32);
	token = world_add_token(
	    job->world, TOKEN_ACCESS, value, ttl ? ttl * 1000 : 1);
	token->grant = job->grant;
	token->created_by = job->grant->user;
	json_object_set_new(out, "access_token", json_string(value));
	json_object_set_new(out, "token_type", json_string("Bearer"));
	json_object_set_new(out, "expires_in", json_integer(ttl));
	json_object_set_new(out, "scope", json_string(job->grant->scope));
}

static void
token_add_refresh(const struct token_job *job, json_t *out)
{
	char *value _cleanup_(util_free_text) = util_random_text(48);
	struct token *token = world_add_token(job->world, TOKEN_REFRESH, value,
	    job->world->options.refresh_ttl * 1000);

	token->grant = job->grant;
	token->created_by = job->grant->user;
	json_object_set_new(out, "refresh_token", json_string(value));
	/* not of a standard, but Keycloak says it, too */
	json_object_set_new(out, "refresh_expires_in",
	    json_integer(job->world->options.refresh_ttl));
}

/* Everything but the refresh token. */
static json_t *
token_begin_answer(const struct token_job *job)
{
	json_t *out = json_object();

	token_add_access(job, out);
	if (token_has_scope(job->grant, "openid") &&
	    !token_fault(job, "no_id_token"))
		json_object_set_new(out, "id_token", token_make_id(job));
	return out;
}

static void
token_poll_error(
    const struct token_job *job, const char *error, const char *description)
{
	reply_oauth_error(job->reply, 400, error, description);
}

/* Whether this poll came before the interval was over. */
static bool
token_poll_is_early(struct code *code)
{
	int64_t now = util_now_ms();
	int64_t since = now - code->last_poll_ms;
	bool is_early = code->last_poll_ms &&
			since < code->interval_ms - TOKEN_POLL_SLACK_MS;

	code->last_poll_ms = now;
	code->polls++;
	return is_early;
}

static void
token_redeem(struct token_job *job, struct code *code)
{
	json_t *out;

	code->state = CODE_REDEEMED;
	code->grant = world_add_grant(job->world, code);
	job->grant = code->grant;
	out = token_begin_answer(job);
	if (token_has_scope(job->grant, "offline_access"))
		token_add_refresh(job, out);
	reply_json(job->reply, 200, out);
}

static void
token_slow_down(const struct token_job *job, struct code *code)
{
	code->interval_ms += TOKEN_SLOW_DOWN_MS;
	token_poll_error(job, "slow_down",
	    "polled too soon; wait five seconds longer from now on");
}

static void
token_poll_unredeemed(struct token_job *job, struct code *code)
{
	bool is_early = token_poll_is_early(code);

	if (code->expires_ms <= util_now_ms())
		token_poll_error(
		    job, "expired_token", "nobody approved the code in time");
	else if (code->state == CODE_DENIED || token_fault(job, "deny"))
		token_poll_error(
		    job, "access_denied", "the human refused the request");
	else if (token_fault(job, "slow_down"))
		token_slow_down(job, code);
	else if (code->state == CODE_APPROVED && !token_fault(job, "pending"))
		token_redeem(job, code);
	else if (is_early)
		token_slow_down(job, code);
	else
		token_poll_error(job, "authorization_pending",
		    "nobody has approved the code yet");
}

static void
token_poll(struct token_job *job, const struct client *client)
{
	const char *value = params_get(&job->request->form, "device_code");
	struct code *code = value ? world_find_code(job->world, value) : NULL;

	if (!value) {
		token_poll_error(
		    job, "invalid_request", "device_code is missing");
	} else if (!code || code->client != client) {
		token_poll_error(
		    job, "invalid_grant", "no such device code of this client");
	} else if (code->state == CODE_REDEEMED) {
		world_revoke_grant(
		    job->world, code->grant, "device code redeemed twice");
		token_poll_error(job, "invalid_grant",
		    "the device code was used already; its grant is revoked");
	} else {
		token_poll_unredeemed(job, code);
	}
}

/* Whether a spent refresh token is still taken. */
static bool
token_in_grace(const struct token_job *job, const struct token *token)
{
	const struct fault *fault = token_fault(job, "reuse_grace");

	return fault && util_now_ms() - token->spent_ms <=
			    (int64_t)(fault->number * 1000);
}

/* The refresh token if it is good, else NULL with the error in reply. */
static struct token *
token_check_refresh(const struct token_job *job, const struct client *client)
{
	const char *value = params_get(&job->request->form, "refresh_token");
	struct token *token =
	    value ? world_find_token(job->world, value) : NULL;
	const char *why = NULL;

	if (!value) {
		reply_oauth_error(job->reply, 400, "invalid_request",
		    "refresh_token is missing");
		return NULL;
	}
	if (!token || token->kind != TOKEN_REFRESH ||
	    token->grant->client != client)
		why = "no such refresh token of this client";
	else if (token_fault(job, "refresh_invalid_grant"))
		why = "the grant is gone";
	else if (token->spent_ms && !token_in_grace(job, token)) {
		world_revoke_grant(
		    job->world, token->grant, "refresh token reused");
		why = "the refresh token was used already; its grant is "
		      "revoked";
	} else if (!token->spent_ms && !world_token_is_live(token))
		why = "the refresh token is expired or revoked";
	else if (token->grant->revoked_ms)
		why = "the grant is revoked";
	if (!why)
		return token;
	reply_oauth_error(job->reply, 400, "invalid_grant", why);
	return NULL;
}

static void
token_refresh(struct token_job *job, const struct client *client)
{
	struct token *token = token_check_refresh(job, client);
	json_t *out;

	if (!token)
		return;
	job->is_refresh = true;
	job->grant = token->grant;
	out = token_begin_answer(job);
	if (token_fault(job, "no_rotation")) {
		json_object_set_new(out, "refresh_token",
		    json_string(
			params_get(&job->request->form, "refresh_token")));
	} else if (!token_fault(job, "no_refresh_token")) {
		if (!token->spent_ms)
			token->spent_ms = util_now_ms();
		token_add_refresh(job, out);
	}
	reply_json(job->reply, 200, out);
}

void
token_endpoint(
    struct world *world, struct request *request, struct reply *reply)
{
	const struct client *client = client_authenticate(request, reply);
	const char *type = params_get(&request->form, "grant_type");
	struct token_job job = {
		.world = world,
		.request = request,
		.reply = reply,
	};

	if (!client)
		return;
	if (!type)
		reply_oauth_error(
		    reply, 400, "invalid_request", "grant_type is missing");
	else if (strcmp(type, TOKEN_GRANT_DEVICE) == 0)
		token_poll(&job, client);
	else if (strcmp(type, "refresh_token") == 0)
		token_refresh(&job, client);
	else if (strcmp(type, TOKEN_GRANT_EXCHANGE) == 0)
		swap_token(world, request, reply, client);
	else
		reply_oauth_error(reply, 400, "unsupported_grant_type",
		    "device_code, refresh_token and token-exchange are supported");
}
