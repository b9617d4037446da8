/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * discover - operation: make sure an idp knows its endpoints (OpenID Connect
 * Discovery, then RFC 8414) and, when asked, its signing keys. What is known
 * and younger than an hour is not fetched again. Endpoints must be of the
 * issuer's origin, save jwks_uri (public, no secret goes there) and those of
 * presets that are known to spread (entra, auth0 do not).
 * Contract: lib/http.h.
 */
#include <stdbool.h>

struct discover;
struct http;
struct idp;
struct loop;
struct tb_error;

enum discover_want {
	DISCOVER_ENDPOINTS,
	DISCOVER_KEYS,       /* endpoints and keys */
	DISCOVER_KEYS_AGAIN, /* keys even when known: an unseen kid */
};

typedef void discover_done_fn(void *arg, const struct tb_error *err);

struct discover *discover_start(struct loop *loop, struct http *http,
    struct idp *idp, enum discover_want want, discover_done_fn *done,
    void *arg);
void discover_cancel(struct discover **d);
