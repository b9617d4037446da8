/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * idp - the identity provider's endpoints, but for /token (token.h) and the
 * approval page (page.h).
 *
 * Each is a route_fn: it reads world and request and fills reply.
 */
struct reply;
struct request;
struct world;

/* /.well-known/openid-configuration, /.well-known/oauth-authorization-server */
void idp_discovery(
    struct world *world, struct request *request, struct reply *reply);

/* /jwks */
void idp_jwks(
    struct world *world, struct request *request, struct reply *reply);

/* POST /device_authorization: RFC 8628, 3.1 */
void idp_device(
    struct world *world, struct request *request, struct reply *reply);

/* /userinfo */
void idp_userinfo(
    struct world *world, struct request *request, struct reply *reply);

/* POST /revoke: RFC 7009 */
void idp_revoke(
    struct world *world, struct request *request, struct reply *reply);
