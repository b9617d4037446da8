/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * world - everything the sandbox knows: accounts, clients, device codes,
 * grants, tokens, counters, the request log. In memory only.
 *
 * It keeps no token value, only SHA-256 sums: a value leaves in the reply
 * that made it and is then known to nobody here. Objects live until
 * world_clear(), so pointers between them are never stale.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "sandbox/fault.h"
#include "sandbox/util.h"

struct sign;

struct options {
	int64_t access_ttl; /* seconds, as all of these */
	int64_t refresh_ttl;
	int64_t code_ttl;
	int64_t interval;
	int64_t token_ttl_max; /* 0: no limit */
	bool is_quiet;
};

struct user {
	const char *name;
	const char *sub;
	const char *oid;
	const char *email;
	const char *full_name;
	const char *role; /* Admin may create management tokens */
};

struct client {
	const char *id;
	const char *secret; /* NULL: a public client */
	const char *title;
};

/* One approval by a human: what a refresh token stands for. */
struct grant {
	TAILQ_ENTRY(grant) link;
	char id[UTIL_UUID];
	const struct client *client;
	const struct user *user;
	char *scope;
	char *audience; /* of JWT access tokens; may be NULL */
	char *nonce; /* may be NULL */
	int64_t created_ms;
	int64_t revoked_ms; /* 0: live */
	const char *reason; /* why it was revoked */
};

enum code_state { CODE_PENDING, CODE_APPROVED, CODE_DENIED, CODE_REDEEMED };

struct code {
	TAILQ_ENTRY(code) link;
	unsigned char digest[UTIL_DIGEST]; /* of the device code */
	char user_code[10];
	enum code_state state;
	const struct client *client;
	char *scope;
	char *audience;
	char *nonce;
	char *message; /* the host context line; may be NULL */
	int64_t created_ms;
	int64_t expires_ms;
	int64_t interval_ms; /* grows with each slow_down */
	int64_t last_poll_ms;
	int64_t polls;
	const struct user *user; /* who approved */
	struct grant *grant; /* what it was redeemed for */
};

enum token_kind {
	TOKEN_ACCESS,
	TOKEN_REFRESH,
	TOKEN_DATABASE,
	TOKEN_MANAGEMENT,
	TOKEN_EXCHANGED, /* permissions: for whom */
};

struct token {
	TAILQ_ENTRY(token) link;
	enum token_kind kind;
	char id[UTIL_UUID];
	unsigned char digest[UTIL_DIGEST];
	char prefix[10]; /* of the value; what a management listing shows */
	char *description;
	json_t *permissions;
	char *account; /* NULL: not of that shape */
	char *cluster;
	const struct user *created_by;
	struct grant *grant; /* access and refresh tokens */
	int64_t created_ms;
	int64_t active_ms; /* not accepted before */
	int64_t expires_ms; /* 0: never */
	int64_t revoked_ms; /* 0: live */
	bool is_inactive; /* not accepted, but may be again */
	int64_t spent_ms; /* refresh tokens: when it was rotated; 0: not */
};

TAILQ_HEAD(grant_list, grant);
TAILQ_HEAD(code_list, code);
TAILQ_HEAD(token_list, token);

#define WORLD_LOG_MAX 8192 /* lines kept; older ones are dropped */

struct world {
	struct options options;
	char *issuer;
	unsigned char csrf_key[UTIL_DIGEST];
	struct sign *sign;
	struct fault_list faults;
	struct grant_list grants;
	struct code_list codes;
	struct token_list tokens;
	json_t *influx2_users; /* created there: name -> true */
	json_t *requests; /* endpoint -> how often asked */
	json_t *done; /* endpoint -> how often answered 2xx, or committed */
	json_t *log;
	int64_t log_dropped;
};

void world_init(struct world *world, const struct options *options);
void world_clear(struct world *world);

/* The n-th account or NULL; an account or a client by name, or NULL. */
const struct user *world_user_at(size_t n);
const struct user *world_find_user(const char *name);
const struct client *world_find_client(const char *id);

/* Add one to a counter, which need not exist. */
void world_count(json_t *counters, const char *endpoint);

/* Append a line to the log (taken). */
void world_log(struct world *world, json_t *line);

/* A new device code; the device code itself goes to *value, caller frees. */
struct code *world_add_code(struct world *world, const struct client *client,
    int64_t ttl_ms, char **value);
struct code *world_find_code(struct world *world, const char *device_code);

/* By user code: case, spaces and the hyphen do not matter. */
struct code *world_find_user_code(struct world *world, const char *user_code);

/* What a human does. False when it is no longer theirs to decide. */
bool world_decide(struct code *code, const struct user *user, bool approve);

const char *world_code_state(const struct code *code);

struct grant *world_add_grant(struct world *world, const struct code *code);

/* End a grant and every access and refresh token of it. */
void world_revoke_grant(
    struct world *world, struct grant *grant, const char *reason);

/* A new token of that value (borrowed), living ttl_ms (0: for ever). */
struct token *world_add_token(struct world *world, enum token_kind kind,
    const char *value, int64_t ttl_ms);
struct token *world_find_token(struct world *world, const char *value);
struct token *world_find_token_id(struct world *world, const char *id);
void world_revoke_token(struct token *token);

/* What the switches activation_delay and list_lag say of a request: a new
 * token that is accepted later; what is newer than this is not listed yet. */
void world_delay_activation(struct world *world, struct token *token,
    const char *method, const char *path);
int64_t world_list_until(
    struct world *world, const char *method, const char *path);

/* live, inactive, pending, expired, revoked, spent; the kind as a word. */
const char *world_token_state(const struct token *token);
bool world_token_is_live(const struct token *token);
const char *world_token_kind(const struct token *token);
