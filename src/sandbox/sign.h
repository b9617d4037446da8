/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sign - the provider's keys, and JSON web tokens signed with them, rightly
 * or, on request, wrongly.
 *
 * One RSA key of 2048 bits and one P-256 key, made at start.
 */
#include <jansson.h>
#include <stdbool.h>

struct sign; /* opaque: both keys and their kids */

enum sign_alg {
	SIGN_RS256,
	SIGN_ES256,
	SIGN_NONE, /* "alg":"none", no signature */
	SIGN_HS256, /* HMAC keyed with the RSA key's public PEM: the classic
		       confusion that a verifier must refuse */
};

/* How to spoil a token. */
struct sign_flaws {
	bool bad_signature; /* flip bits of it */
	bool unknown_kid; /* name a key that is not in the key set */
};

struct sign *sign_new(void);
struct sign *sign_free(struct sign *sign);

/* Replace both keys; what was signed with the old ones verifies no more. */
void sign_rotate(struct sign *sign);

/* The JSON web key set (RFC 7517) of both public keys. */
json_t *sign_keys(const struct sign *sign);

/* A compact JWS over claims (borrowed), of that header type. */
char *sign_token(const struct sign *sign, enum sign_alg alg, const char *type,
    const json_t *claims, const struct sign_flaws *flaws);
