/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jws - signed tokens: id tokens verified against a provider's JWKS, and
 * client assertions signed (RFC 7523). The only file that knows libjwt; it
 * asks it one question, "is this signature good for this key and this
 * algorithm", behind guards of its own, because libjwt 1.10.2 was measured to
 * accept forged HS256, zero-length keys, a wrong curve and lax base64
 * (at most 16 KiB, two dots, three non-empty parts, strict base64url,
 * no duplicate members, alg from the allow-list and of the key's type, no
 * crit; claims checked by us).
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"

struct jws_keys;
struct tb_error;
typedef struct json_t json_t;

/* From the bytes of a JWK Set. Keys we cannot use (enc, oct, private, unknown
 * kty, RSA under 2048 bits, point off the curve) are skipped; a set without
 * any usable key is TB_E_PROTO. Conversion happens here, once. */
struct jws_keys *jws_keys_parse(const struct secret *jwks,
    struct tb_error *err);
void jws_keys_free(struct jws_keys *keys);
/* False: a token names a key we have not seen; fetch the set anew. */
bool jws_keys_has(const struct jws_keys *keys, const struct secret *token);

struct jws_expect {
	const char *issuer;    /* must be equal to iss */
	const char *client_id; /* must be in aud; azp, if there, equal */
	int64_t now_s;
	int64_t leeway_s; /* 60 by default */
};

/* All claims of a token that verified, owned by the caller; NULL and err
 * (TB_E_PROTO) otherwise. Requires sub, exp, iat. */
json_t *jws_verify(const struct jws_keys *keys, const struct secret *token,
    const struct jws_expect *expect, struct tb_error *err);

/* A client assertion: iss = sub = client_id, aud, jti (random), iat, exp =
 * now + 60 s; alg "RS256" or "ES256" from the key's type unless given. key_pem
 * is a private key in PEM; kid may be NULL. */
int jws_sign_assertion(const struct secret *key_pem, const char *alg,
    const char *kid, const char *client_id, const char *audience,
    int64_t now_s, struct secret *out, struct tb_error *err);
/* Can this key sign at all? For configuration checks. */
int jws_check_signing_key(const struct secret *key_pem, const char *alg,
    struct tb_error *err);
