/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * token - the token endpoint: device codes and refresh tokens in, access,
 * refresh and id tokens out; and, by swap.h, access tokens exchanged.
 *
 * A refresh token works once. Seeing one again ends its grant, as does a
 * second redemption of a device code.
 */
#include <jansson.h>
#include <stdbool.h>

struct grant;
struct reply;
struct request;
struct user;
struct world;

/* POST /token: a route_fn. */
void token_endpoint(
    struct world *world, struct request *request, struct reply *reply);

/* What the counters call this request: token_device_code and so on. */
const char *token_count_name(const struct request *request);

bool token_has_scope(const struct grant *grant, const char *scope);

/* Add the claims that say who a user is. */
void token_user_claims(json_t *claims, const struct user *user);
