/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * mgmt - the management API: database tokens as InfluxDB publishes it, in the
 * shape of Cloud Dedicated (/api/v0/accounts/A/clusters/C/tokens) and of
 * Clustered (/api/v0/tokens), and management tokens by paths invented here,
 * since none are published.
 *
 * Each is a route_fn. The caller is whoever owns the bearer: a live access
 * token of this provider, or a live management token.
 */
struct reply;
struct request;
struct token;
struct world;

/* The live access or management token of the request, or NULL. */
const struct token *mgmt_payer(
    struct world *world, const struct request *request);

void mgmt_create(
    struct world *world, struct request *request, struct reply *reply);
void mgmt_list(
    struct world *world, struct request *request, struct reply *reply);
void mgmt_get(
    struct world *world, struct request *request, struct reply *reply);
void mgmt_patch(
    struct world *world, struct request *request, struct reply *reply);
void mgmt_delete(
    struct world *world, struct request *request, struct reply *reply);

/* /api/v0/management-tokens[/ID] */
void mgmt_create_management(
    struct world *world, struct request *request, struct reply *reply);
void mgmt_list_management(
    struct world *world, struct request *request, struct reply *reply);
void mgmt_delete_management(
    struct world *world, struct request *request, struct reply *reply);
