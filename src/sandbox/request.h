/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * request - one HTTP request as the handlers see it, and their reply.
 *
 * Both own all their text, so that a request outlives its connection (a
 * commit that comes late) and a handler is a plain function from request to
 * reply. Nothing here knows sockets.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define REQUEST_SEGMENTS 3 /* variable path segments of a route */

struct param {
	char *name;
	char *value;
};

/* A query or a form: in the order sent. */
struct params {
	struct param *list;
	size_t count;
};

struct request {
	char *method;
	char *path; /* without the query */
	struct params query;
	struct params form; /* filled when the body is a form */
	bool is_form;
	bool is_malformed; /* the query or the form cannot be decoded */
	char *authorization;
	char *content_type;
	char *cookie;
	char *origin;
	char *host; /* without the port */
	char *body; /* NUL-terminated */
	size_t body_len;
	char *segment[REQUEST_SEGMENTS]; /* what matched the route's stars */
};

struct header {
	char *name;
	char *value;
};

struct reply {
	int status;
	json_t *json; /* body as JSON, or */
	char *text; /* body as text; neither: no body */
	const char *content_type; /* NULL: by the kind of body */
	struct header headers[10];
	size_t n_headers;
};

/* Append what an urlencoded text says. Returns -1 when it is malformed. */
int params_parse(struct params *params, const char *text, size_t len);
void params_clear(struct params *params);

/* The first value of that name, or NULL. An empty value counts as none. */
const char *params_get(const struct params *params, const char *name);

/* Whether any name is there twice (RFC 6749, 3.1 forbids it), save those that
 * may (RFC 8693, 2.1; RFC 8707, 2). */
bool params_has_duplicate(const struct params *params);

void request_clear(struct request *request);

/* The token of "Authorization: Bearer TOKEN", or NULL. Borrowed. */
const char *request_bearer(const struct request *request);

/* The value of a cookie, freed by the caller, or NULL. */
char *request_cookie(const struct request *request, const char *name);

/* Whether the Content-Type is that media type, whatever its parameters. */
bool request_is_type(const struct request *request, const char *type);

/*
 * The body as a JSON object, or NULL: no JSON, not an object, or a member
 * given twice. The caller frees it.
 */
json_t *request_json(const struct request *request);

void reply_clear(struct reply *reply);

/* Add a header; one that has a line break in it is left out. */
void reply_header(struct reply *reply, const char *name, const char *value);

/* Answer with JSON (taken), or with text (taken) of that type. */
void reply_json(struct reply *reply, int status, json_t *json);
void reply_text(struct reply *reply, int status, const char *type, char *text);

/* {"error":...,"error_description":...}, as OAuth has it. */
void reply_oauth_error(struct reply *reply, int status, const char *error,
    const char *description);

/* {"code":...,"message":...}, as the management API has it. */
void reply_api_error(struct reply *reply, int status, const char *message);
