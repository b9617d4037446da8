/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * grant - what a login keeps across restarts, and its sealed form (versioned
 * JSON as one secret). A value: no I/O here.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "ops/oauth.h"

struct tb_error;

struct grant {
	/* what it is bound to (promise P9) */
	char *issuer, *client_id, *origins;
	char *server; /* the InfluxDB 3 server that named them; NULL: none */
	/* the human: iss, the claim pinned and its value, and a name to show */
	char *pin_iss, *pin_claim, *pin_value, *pin_show;
	struct secret refresh_token, access_token;
	int64_t access_expires_at;  /* epoch seconds, 0 = not known */
	int64_t refresh_expires_at; /* 0 = not known */
	int64_t granted_at, refreshed_at;
	/* redemptions of the current refresh token begun and not resolved */
	unsigned redeeming;
	char *human_needed; /* why, NULL while the grant is good */
};

#define GRANT_INIT { .redeeming = 0 }

void grant_clear(struct grant *g);
/* Forgets the tokens, keeps the pin: after logout or loss. */
void grant_forget_tokens(struct grant *g);
bool grant_has_tokens(const struct grant *g);
bool grant_is_pinned(const struct grant *g);

/* Takes the tokens of a token endpoint's answer; an answer without a refresh
 * token keeps the old one (RFC 6749 section 6). */
void grant_take(struct grant *g, struct oauth_grant *from, int64_t now_s);

void grant_encode(const struct grant *g, struct secret *out);
int grant_decode(const struct secret *in, struct grant *out,
    struct tb_error *err);
