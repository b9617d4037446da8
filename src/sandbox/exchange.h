/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * exchange - one request in the air, from its arrival to its reply, which
 * may come late, spoilt or never.
 *
 *   start --delay--> enter --work--> finish --> send
 *                      |                |
 *                      |hang            +-lost_reply--> cut
 *                      +-late_commit--> cut --N s--> work, reply to nobody
 *                      +-status, html_error, ...--> send
 */
#include <sys/queue.h>

struct event_base;
struct evhttp_request;
struct exchange; /* opaque: ends by itself, or with its pool */
struct reply;
struct request;
struct route;
struct world;

TAILQ_HEAD(exchange_list, exchange);

struct exchange_pool {
	struct event_base *base;
	struct world *world;
	struct exchange_list list;
};

void exchange_pool_init(
    struct exchange_pool *pool, struct event_base *base, struct world *world);

/* Forget all of them. To be called before evhttp_free(). */
void exchange_pool_clear(struct exchange_pool *pool);

struct exchange *exchange_new(
    struct exchange_pool *pool, struct evhttp_request *http);

/* To be filled before the start. */
struct request *exchange_request(struct exchange *ex);

/* Set it going on its route; without one it answers refusal (moved from). */
void exchange_start(
    struct exchange *ex, const struct route *route, struct reply *refusal);
