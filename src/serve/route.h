/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * route - from a request to its row in a door's table. What a row says is
 * checked here, before its function runs: role, body, query. No function
 * checks a role for itself, so none can forget it.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "serve/http1.h"
#include "state/acl.h"

struct request;
struct session;
struct tb_error;

#define ROUTE_PREFIX "/api/v1/"
#define ROUTE_VAULT_PREFIX "/v1/"
#define ROUTE_NAME_MAX 256
#define ROUTE_QUERY_MAX 5

enum route_role {
	ROUTE_ANYBODY = 1, /* the access rules decide, in its function */
	ROUTE_AUDITOR,
	ROUTE_OPERATOR,
};

enum route_body { ROUTE_NO_BODY, ROUTE_MAY_BODY, ROUTE_MUST_BODY };

/* Answers, or begins an operation that will (session.h). */
typedef void route_fn(struct session *s, const struct request *rq);

struct route {
	enum http1_method method;
	/* below the prefix; "{name}" is any one segment, "{mount}" and "{path}"
	 * are one or more, a mount not below sys or auth */
	const char *path;
	enum route_role role;
	enum route_body body;
	route_fn *fn;
	const char *query[ROUTE_QUERY_MAX]; /* the parameters that there are */
};

struct door_ops;
struct door {
	enum acl_door id;
	const char *socket; /* in the run directory */
	mode_t mode;        /* of the socket, when we bind it */
	const struct route *routes;
	size_t n_routes;
	/* below ROUTE_VAULT_PREFIX; n_vault_routes is NULL: nothing is */
	const struct route *vault_routes;
	const size_t *n_vault_routes;
	/* NULL: it speaks HTTP; else what it does instead (session.h) */
	const struct door_ops *ops;
};

/* A request whose row was found; borrowed for the call. */
struct request {
	const struct http1 *h;
	const char *buf;
	char name[ROUTE_NAME_MAX]; /* decoded "{name}", or "" */
};

void route_dispatch(struct session *s, const struct http1 *h,
    const char *buf);

/* A parameter of the query; s is NULL when it is not there. */
struct http1_view route_query(const struct request *rq, const char *key);
/* The body as a JSON object; "{}" for none. Owned by the caller. */
json_t *route_json(const struct request *rq, struct tb_error *err);
/* Prefer: wait=N, at most max; -1 when there is none. */
int64_t route_wait_s(const struct request *rq, int64_t max);
