/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * api - the door for local automation: which tokens may I have, give me one,
 * this one was refused, who am I.
 */
#include <jansson.h>

#include "serve/route.h"

struct release_ask;
struct session;

extern const struct door api_door;

/* The names of the tokens that the asker may have; owned by the caller. */
json_t *api_allowed_tokens(struct session *s);

/* What a request for a token's value asks for. False: it was refused. */
bool api_parse_ask(struct session *s, const struct request *rq,
    struct release_ask *ask);
