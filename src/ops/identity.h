/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * identity - operation: who approved? Verifies an id token against the
 * provider's keys (fetched when not known, and once more for an unseen kid)
 * and gives its claims. Contract: lib/http.h.
 */
#include <jansson.h>

struct http;
struct identity;
struct idp;
struct loop;
struct secret;
struct tb_error;

/* How the times in an id token are taken. One of a login is fresh, or it is
 * somebody else's. That of a refresh came over TLS in answer to our own secret:
 * it says whose account this is, and a clock that was set wrong for an hour
 * must not end a grant; a day either way will do. */
enum identity_times { IDENTITY_FRESH, IDENTITY_OF_REFRESH };

/* claims is borrowed (json_incref to keep). err TB_E_PROTO: not verifiable,
 * the text says why. */
typedef void identity_done_fn(void *arg, json_t *claims,
    const struct tb_error *err);

struct identity *identity_start(struct loop *loop, struct http *http,
    struct idp *idp, const struct secret *id_token, enum identity_times times,
    identity_done_fn *done, void *arg);
void identity_cancel(struct identity **i);
