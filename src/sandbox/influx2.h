/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * influx2 - tokens in the manner of InfluxDB Cloud Serverless and OSS v2:
 * /api/v2/authorizations with orgs, buckets, users and resources around it.
 * One organization, "example", with the buckets metrics and logs. A token has
 * no end of its own; an inactive one is refused. "Token" in front of a value
 * is case-sensitive, and lists show "redacted" instead of values.
 *
 * Each is a route_fn. The caller is a live parent token, which
 * POST /_sandbox/parent makes: it stands for the one a human makes in the UI.
 */
struct reply;
struct request;
struct world;

void influx2_make_parent(
    struct world *world, struct request *request, struct reply *reply);

void influx2_create(
    struct world *world, struct request *request, struct reply *reply);
void influx2_list(
    struct world *world, struct request *request, struct reply *reply);
void influx2_get(
    struct world *world, struct request *request, struct reply *reply);
void influx2_patch(
    struct world *world, struct request *request, struct reply *reply);
void influx2_delete(
    struct world *world, struct request *request, struct reply *reply);

void influx2_orgs(
    struct world *world, struct request *request, struct reply *reply);
/* For every live token: it lists what that may read. */
void influx2_buckets(
    struct world *world, struct request *request, struct reply *reply);
void influx2_users(
    struct world *world, struct request *request, struct reply *reply);
void influx2_create_user(
    struct world *world, struct request *request, struct reply *reply);
void influx2_resources(
    struct world *world, struct request *request, struct reply *reply);
