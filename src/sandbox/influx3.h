/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * influx3 - tokens in the manner of InfluxDB 3 Core, Enterprise and Cloud:
 * POST /api/v3/configure/token/named_admin and
 * POST /api/v3/enterprise/configure/token make them (the latter not with the
 * switch influx3_core), /api/v3/configure/token/admin says that there is an
 * operator's token, which .../regenerate replaces, DELETE /api/v3/configure/token?token_name= deletes one
 * for good, and /api/v3/query_sql knows one table: system.tokens.
 *
 * Each is a route_fn. The caller is whoever owns the bearer: a live access
 * token of this provider, or a live admin token.
 */
struct reply;
struct request;
struct world;

void influx3_create_operator(
    struct world *world, struct request *request, struct reply *reply);
void influx3_regenerate(
    struct world *world, struct request *request, struct reply *reply);
void influx3_create_admin(
    struct world *world, struct request *request, struct reply *reply);
void influx3_create_resource(
    struct world *world, struct request *request, struct reply *reply);
void influx3_delete(
    struct world *world, struct request *request, struct reply *reply);
void influx3_query(
    struct world *world, struct request *request, struct reply *reply);
/* Whose logins it takes, to anybody who asks. */
void influx3_oauth_config(
    struct world *world, struct request *request, struct reply *reply);
void influx3_health(
    struct world *world, struct request *request, struct reply *reply);
