/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * revoke - operation: hand a grant back (RFC 7009): the refresh token, then
 * the access token. unsupported_token_type and unknown tokens are success.
 * A provider without a revocation endpoint is TB_E_UPSTREAM with a text that
 * says so. Contract: lib/http.h.
 */
struct http;
struct idp;
struct loop;
struct revoke;
struct secret;
struct tb_error;

typedef void revoke_done_fn(void *arg, const struct tb_error *err);

/* Either token may be empty. Both are copied. */
struct revoke *revoke_start(struct loop *loop, struct http *http,
    struct idp *idp, const struct secret *refresh_token,
    const struct secret *access_token, revoke_done_fn *done, void *arg);
void revoke_cancel(struct revoke **r);
