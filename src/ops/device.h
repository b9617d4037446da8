/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * device - operation: one login by the device authorization grant (RFC 8628),
 * from "give me a code" to a grant, a refusal, or the end of the code's life.
 * First poll after one interval; +5 s for good on every slow_down; exponential
 * back-off on time-outs; Retry-After honoured; expires_in bounds it all; once
 * a 200 arrived the code is never redeemed again. Stores nothing and judges
 * nobody. Contract: lib/http.h.
 */
#include <stdint.h>

#include "ops/oauth.h"

struct device;
struct http;
struct idp;
struct loop;

/* Once, when the code is there; everything is borrowed for the call. */
struct device_prompt {
	const char *user_code, *verification_uri, *verification_uri_complete;
	int64_t expires_in_s;
	int64_t interval_s;
};
typedef void device_prompt_fn(void *arg, const struct device_prompt *prompt);

/* grant (its members may be moved) or err: TB_E_LOGIN (refused or not
 * confirmed in time, or the reply with the grant was lost), TB_E_UPSTREAM,
 * TB_E_PROTO, TB_E_CONFIG (endpoint not known, client key unusable),
 * TB_E_TRANSIENT and TB_E_UNREACHED (only while asking for the code). */
typedef void device_done_fn(void *arg, struct oauth_grant *grant,
    const struct tb_error *err);

struct device *device_start(struct loop *loop, struct http *http,
    struct idp *idp, device_prompt_fn *prompt, device_done_fn *done,
    void *arg);
void device_cancel(struct device **d);
