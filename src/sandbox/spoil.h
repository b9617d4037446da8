/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * spoil - what the faults do to a reply: in place of the work, or to a good
 * answer on its way out.
 */
#include <jansson.h>

struct evbuffer;
struct fault;
struct reply;
struct route;

/* An error in the manner of the route, perhaps with Retry-After. */
void spoil_status(
    struct reply *reply, const struct route *route, const struct fault *fault);

/* A page of the kind that a proxy in the middle sends. */
void spoil_html(struct reply *reply, const struct fault *fault);
void spoil_redirect(struct reply *reply, const struct fault *fault);

/* Turn expires_in and interval into text; add members to every object. */
void spoil_numbers(json_t *json);
void spoil_members(json_t **json);

/* Not spoilt: render the body, with its Content-Type as a header. */
void spoil_body(struct reply *reply, struct evbuffer *body);

/* Another Content-Type; some MiB; a promise of more than there is. */
void spoil_type(struct reply *reply, const struct fault *fault);
void spoil_big(struct evbuffer *body, const struct fault *fault);
void spoil_half(struct reply *reply, struct evbuffer *body);
