/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * page - the approval page at /device, where a human types the code, chooses
 * an account and approves or denies.
 *
 * Plain HTML and forms, no script, nothing loaded from elsewhere. A decision
 * needs a token bound to a cookie and to the code, so that no other site can
 * make it. Nothing is ever approved by itself.
 */
struct reply;
struct request;
struct world;

/* GET /device[?user_code=...] */
void page_show(
    struct world *world, struct request *request, struct reply *reply);

/* POST /device */
void page_decide(
    struct world *world, struct request *request, struct reply *reply);

/* GET / : what this is, and where to go. */
void page_home(
    struct world *world, struct request *request, struct reply *reply);
