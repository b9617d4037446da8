/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * grafana - the tokens of a service account in the manner of Grafana:
 * /api/serviceaccounts/ID/tokens makes, lists and (with /TOKENID) deletes them,
 * GET /api/search tells whether one works. What is quirky there is so here:
 * ids are numbers, the value is called key, the answer to a mint does not say
 * when it ends, names are unique among the tokens of all service accounts and
 * cut off at 190 bytes with a 500, expired tokens stay listed with hasExpired,
 * and a deletion is final.
 *
 * Each is a route_fn. Written from Grafana's published HTTP API reference.
 */
struct reply;
struct request;
struct world;

void grafana_create(
    struct world *world, struct request *request, struct reply *reply);
void grafana_list(
    struct world *world, struct request *request, struct reply *reply);
void grafana_delete(
    struct world *world, struct request *request, struct reply *reply);
void grafana_search(
    struct world *world, struct request *request, struct reply *reply);
