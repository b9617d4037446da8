/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * probe - where a database token is used: just enough of a data API to see
 * whether one works yet, still, and for what.
 *
 * Each is a route_fn; the token comes as "Bearer" or as "Token".
 */
struct reply;
struct request;
struct world;

/* GET /health/auth: 200 for a live token with read on something, else 401. */
void probe_health(
    struct world *world, struct request *request, struct reply *reply);

/* GET /api/v3/query?db=NAME: 200 [], 401 dead, 403 no read there. */
void probe_query(
    struct world *world, struct request *request, struct reply *reply);

/* POST /api/v3/write_lp?db=NAME: 204, 401 dead, 403 no write there. */
void probe_write(
    struct world *world, struct request *request, struct reply *reply);
