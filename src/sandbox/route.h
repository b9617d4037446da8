/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * route - which function answers which method and path.
 */
#include <stdbool.h>

struct reply;
struct request;
struct world;

typedef void route_fn(
    struct world *world, struct request *request, struct reply *reply);

/* How errors look, and whether faults apply. */
enum route_style {
	ROUTE_OAUTH, /* {"error":...} */
	ROUTE_API, /* {"code":...,"message":...} */
	ROUTE_CONTROL, /* like the API; no fault applies */
};

struct route {
	const char *method;
	const char *pattern; /* a star stands for one path segment */
	const char *name; /* what the counters call it */
	enum route_style style;
	route_fn *handle;
	bool is_mint; /* makes a token: can be committed late */
};

/*
 * The route of a request, whose segments are filled in; or NULL with a 404
 * or a 405 in reply.
 */
const struct route *route_find(struct request *request, struct reply *reply);

/* What the counters call a request on this route. */
const char *route_count_name(
    const struct route *route, const struct request *request);

/* Start every counter at 0, so that none is missing in a report. */
void route_init_counters(struct world *world);
