/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * swap - token exchange (RFC 8693) at the token endpoint, introspection (RFC
 * 7662), and services that take what was exchanged: GET /audience/NAME answers
 * 200 to a live token for NAME and 401 to any other.
 *
 * Names and URIs with "unknown" in them are invalid_target, the scope "admin"
 * is invalid_scope. What was exchanged outlives its grant, as JWTs do.
 */
struct client;
struct reply;
struct request;
struct world;

/* POST /token with that grant type, the client authenticated. */
void swap_token(struct world *world, struct request *request,
    struct reply *reply, const struct client *client);

/* Each is a route_fn. */
void swap_introspect(
    struct world *world, struct request *request, struct reply *reply);
void swap_audience(
    struct world *world, struct request *request, struct reply *reply);
