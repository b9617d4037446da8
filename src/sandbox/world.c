/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/world.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/sign.h"

static const struct user world_users[] = {
	{
	    .name = "alice",
	    .sub = "sandbox|alice",
	    .oid = "a11ce000-0000-4000-8000-000000000001",
	    .email = "alice@example.org",
	    .full_name = "Alice Archer",
	    .role = "Admin",
	},
	{
	    .name = "bob",
	    .sub = "sandbox|bob",
	    .oid = "b0b00000-0000-4000-8000-000000000002",
	    .email = "bob@example.org",
	    .full_name = "Bob Baker",
	    .role = "Member",
	},
};

static const struct client world_clients[] = {
	{ .id = "tokenbroker", .title = "Token broker" },
	{
	    .id = "tokenbroker-conf",
	    .secret = "sandbox-secret",
	    .title = "Token broker (confidential)",
	},
};

void
world_init(struct world *world, const struct options *options)
{
	*world = (struct world){ .options = *options };
	TAILQ_INIT(&world->faults);
	TAILQ_INIT(&world->grants);
	TAILQ_INIT(&world->codes);
	TAILQ_INIT(&world->tokens);
	world->sign = sign_new();
	world->requests = json_object();
	world->done = json_object();
	world->influx2_users = json_object();
	world->log = json_array();
	util_random(world->csrf_key, sizeof world->csrf_key);
}

static void
world_free_code(struct code *code)
{
	free(code->scope);
	free(code->audience);
	free(code->nonce);
	free(code->message);
	free(code);
}

static void
world_free_grant(struct grant *grant)
{
	free(grant->scope);
	free(grant->audience);
	free(grant->nonce);
	free(grant);
}

static void
world_free_token(struct token *token)
{
	free(token->description);
	json_decref(token->permissions);
	free(token->account);
	free(token->cluster);
	free(token);
}

void
world_clear(struct world *world)
{
	struct token *token;
	struct grant *grant;
	struct code *code;

	while ((token = TAILQ_FIRST(&world->tokens))) {
		TAILQ_REMOVE(&world->tokens, token, link);
		world_free_token(token);
	}
	while ((code = TAILQ_FIRST(&world->codes))) {
		TAILQ_REMOVE(&world->codes, code, link);
		world_free_code(code);
	}
	while ((grant = TAILQ_FIRST(&world->grants))) {
		TAILQ_REMOVE(&world->grants, grant, link);
		world_free_grant(grant);
	}
	fault_clear(&world->faults, NULL);
	sign_free(world->sign);
	json_decref(world->requests);
	json_decref(world->done);
	json_decref(world->influx2_users);
	json_decref(world->log);
	free(world->issuer);
}

const struct user *
world_user_at(size_t n)
{
	return n < ARRAY_SIZE(world_users) ? &world_users[n] : NULL;
}

const struct user *
world_find_user(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(world_users); i++) {
		if (strcmp(world_users[i].name, name) == 0)
			return &world_users[i];
	}
	return NULL;
}

const struct client *
world_find_client(const char *id)
{
	for (size_t i = 0; id && i < ARRAY_SIZE(world_clients); i++) {
		if (strcmp(world_clients[i].id, id) == 0)
			return &world_clients[i];
	}
	return NULL;
}

void
world_count(json_t *counters, const char *endpoint)
{
	json_int_t n = json_integer_value(json_object_get(counters, endpoint));

	json_object_set_new(counters, endpoint, json_integer(n + 1));
}

void
world_log(struct world *world, json_t *line)
{
	json_t *rest;

	/* by the quarter, because taking one out moves all the others */
	if (json_array_size(world->log) >= WORLD_LOG_MAX) {
		rest = json_array();
		for (size_t i = WORLD_LOG_MAX / 4; i < WORLD_LOG_MAX; i++)
			json_array_append(rest, json_array_get(world->log, i));
		json_decref(world->log);
		world->log = rest;
		world->log_dropped += WORLD_LOG_MAX / 4;
	}
	json_array_append_new(world->log, line);
}

/* Eight letters without vowels, so that no word comes out: RFC 8628, 6.1. */
static void
world_make_user_code(char user_code[10])
{
	static const char letters[] = "BCDFGHJKLMNPQRSTVWXZ";
	unsigned char byte;

	for (int i = 0; i < 9; i++) {
		if (i == 4) {
			user_code[i] = '-';
			continue;
		}
		do /* 240 is a multiple of 20: each letter equally likely */
			util_random(&byte, 1);
		while (byte >= 240);
		user_code[i] = letters[byte % 20];
	}
	user_code[9] = '\0';
}

struct code *
world_add_code(struct world *world, const struct client *client, int64_t ttl_ms,
    char **value)
{
	struct code *code = util_alloc(sizeof *code);

	*value = util_random_text(32);
	util_digest(*value, code->digest);
	do
		world_make_user_code(code->user_code);
	while (world_find_user_code(world, code->user_code));
	code->client = client;
	code->created_ms = util_now_ms();
	code->expires_ms = code->created_ms + ttl_ms;
	code->interval_ms = world->options.interval * 1000;
	TAILQ_INSERT_TAIL(&world->codes, code, link);
	return code;
}

struct code *
world_find_code(struct world *world, const char *device_code)
{
	unsigned char digest[UTIL_DIGEST];
	struct code *code;

	util_digest(device_code, digest);
	TAILQ_FOREACH (code, &world->codes, link) {
		if (memcmp(code->digest, digest, sizeof digest) == 0)
			return code;
	}
	return NULL;
}

struct code *
world_find_user_code(struct world *world, const char *user_code)
{
	char plain[10] = "";
	struct code *code;
	size_t n = 0;

	for (; *user_code; user_code++) {
		if (*user_code == '-' || *user_code == ' ')
			continue;
		if (n == 9 || !isalpha((unsigned char)*user_code))
			return NULL;
		if (n == 4)
			plain[n++] = '-';
		plain[n++] = (char)toupper((unsigned char)*user_code);
	}
	TAILQ_FOREACH (code, &world->codes, link) {
		if (strcmp(code->user_code, plain) == 0)
			return code;
	}
	return NULL;
}

bool
world_decide(struct code *code, const struct user *user, bool approve)
{
	if (code->state != CODE_PENDING || code->expires_ms <= util_now_ms())
		return false;
	code->state = approve ? CODE_APPROVED : CODE_DENIED;
	code->user = user;
	return true;
}

const char *
world_code_state(const struct code *code)
{
	static const char *const names[] = { "pending", "approved", "denied",
		"redeemed" };

	if (code->state != CODE_REDEEMED && code->expires_ms <= util_now_ms())
		return "expired";
	return names[code->state];
}

struct grant *
world_add_grant(struct world *world, const struct code *code)
{
	struct grant *grant = util_alloc(sizeof *grant);

	util_uuid(grant->id);
	grant->client = code->client;
	grant->user = code->user;
	grant->scope = util_copy(code->scope);
	grant->audience = util_copy(code->audience);
	grant->nonce = util_copy(code->nonce);
	grant->created_ms = util_now_ms();
	TAILQ_INSERT_TAIL(&world->grants, grant, link);
	return grant;
}

void
world_revoke_grant(struct world *world, struct grant *grant, const char *reason)
{
	struct token *token;

	if (grant->revoked_ms)
		return;
	grant->revoked_ms = util_now_ms();
	grant->reason = reason;
	TAILQ_FOREACH (token, &world->tokens, link) {
		if (token->grant == grant)
			world_revoke_token(token);
	}
}

struct token *
world_add_token(struct world *world, enum token_kind kind, const char *value,
    int64_t ttl_ms)
{
	struct token *token = util_alloc(sizeof *token);

	token->kind = kind;
	util_uuid(token->id);
	util_digest(value, token->digest);
	snprintf(token->prefix, sizeof token->prefix, "%s", value);
	token->created_ms = util_now_ms();
	token->active_ms = token->created_ms;
	if (ttl_ms)
		token->expires_ms = token->created_ms + ttl_ms;
	TAILQ_INSERT_TAIL(&world->tokens, token, link);
	return token;
}

struct token *
world_find_token(struct world *world, const char *value)
{
	unsigned char digest[UTIL_DIGEST];
	struct token *token;

	util_digest(value, digest);
	TAILQ_FOREACH_REVERSE(token, &world->tokens, token_list, link)
	{
		if (memcmp(token->digest, digest, sizeof digest) == 0)
			return token;
	}
	return NULL;
}

struct token *
world_find_token_id(struct world *world, const char *id)
{
	struct token *token;

	TAILQ_FOREACH (token, &world->tokens, link) {
		if (strcmp(token->id, id) == 0)
			return token;
	}
	return NULL;
}

void
world_revoke_token(struct token *token)
{
	if (!token->revoked_ms)
		token->revoked_ms = util_now_ms();
}

void
world_delay_activation(struct world *world, struct token *token,
    const char *method, const char *path)
{
	const struct fault *fault =
	    fault_take(&world->faults, "activation_delay", method, path);

	if (fault)
		token->active_ms += (int64_t)(fault->number * 1000);
}

int64_t
world_list_until(struct world *world, const char *method, const char *path)
{
	const struct fault *fault =
	    fault_take(&world->faults, "list_lag", method, path);

	return util_now_ms() - (fault ? (int64_t)(fault->number * 1000) : 0);
}

const char *
world_token_state(const struct token *token)
{
	int64_t now = util_now_ms();

	if (token->revoked_ms)
		return "revoked";
	if (token->expires_ms && token->expires_ms <= now)
		return "expired";
	if (token->spent_ms)
		return "spent";
	if (token->is_inactive)
		return "inactive";
	return token->active_ms > now ? "pending" : "live";
}

bool
world_token_is_live(const struct token *token)
{
	return strcmp(world_token_state(token), "live") == 0;
}

const char *
world_token_kind(const struct token *token)
{
	static const char *const names[] = { "access", "refresh", "database",
		"management", "exchanged" };

	return names[token->kind];
}
