/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * refresh - operation: redeem a refresh token once (RFC 6749 section 6). One
 * request, no retry: whether a second attempt is allowed is the login's
 * decision, which writes it down first. Contract: lib/http.h.
 */
#include "ops/oauth.h"

struct http;
struct idp;
struct loop;
struct refresh;

/* grant (may be moved; no refresh_token in it means the old one stays) or
 * err with the codes of oauth_parse_refresh; TB_E_UNREACHED (no link) and
 * TB_E_CONFIG (endpoint not known, client key unusable): the token was
 * certainly not spent. */
typedef void refresh_done_fn(void *arg, struct oauth_grant *grant,
    const struct tb_error *err);

struct refresh *refresh_start(struct loop *loop, struct http *http,
    struct idp *idp, const struct secret *refresh_token,
    refresh_done_fn *done, void *arg);
void refresh_cancel(struct refresh **r);
