/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * control - the endpoints below /_sandbox for scripts and tests: what the
 * sandbox knows, its switches, and a simulated human.
 *
 * Each is a route_fn. They never give a token value, and refuse to be called
 * from a web page.
 */
struct reply;
struct request;
struct world;

/*
 * GET state: counters, tokens (the minted ones), oauth_tokens, grants, codes,
 * switches. GET log: requests.
 */
void control_state(
    struct world *world, struct request *request, struct reply *reply);
void control_log(
    struct world *world, struct request *request, struct reply *reply);

/* GET, POST and DELETE fault */
void control_list_faults(
    struct world *world, struct request *request, struct reply *reply);
void control_set_fault(
    struct world *world, struct request *request, struct reply *reply);
void control_clear_faults(
    struct world *world, struct request *request, struct reply *reply);

/* POST approve and deny: {"user_code":..., "user":...} */
void control_approve(
    struct world *world, struct request *request, struct reply *reply);
void control_deny(
    struct world *world, struct request *request, struct reply *reply);

/* POST revoke: {"id":...} of any token or grant, behind everybody's back. */
void control_revoke(
    struct world *world, struct request *request, struct reply *reply);

/* POST rotate_keys: new signing keys. */
void control_rotate_keys(
    struct world *world, struct request *request, struct reply *reply);

/* POST parent: a parent token of InfluxDB v2, its value in the answer. */
void control_make_parent(
    struct world *world, struct request *request, struct reply *reply);
