/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jws_maker - makes keys, key sets and signed tokens for tests, by OpenSSL
 * alone: nothing of what is under test is used to make its input. It makes
 * the bad ones too. Every failure aborts.
 */
#include <jansson.h>
#include <openssl/evp.h>

#include "base/secret.h"

EVP_PKEY *maker_rsa(unsigned bits);
EVP_PKEY *maker_ec(const char *curve); /* "P-256" ... */
EVP_PKEY *maker_ed25519(void);

/* The public key as a JWK; kid may be NULL. Owned by the caller. */
json_t *maker_jwk(EVP_PKEY *key, const char *kid);
/* {"keys":[...]} of a JWK that is consumed; NULLs are left out. */
void maker_set(struct secret *out, json_t *a, json_t *b, json_t *c);
char *maker_public_pem(EVP_PKEY *key);
/* Encrypted when there is a passphrase. */
char *maker_private_pem(EVP_PKEY *key, const char *passphrase);

/* head.payload.signature of texts that need not be JSON. alg decides how it is
 * signed, not the head: RS*, PS256, ES*, EdDSA, or "" for an empty signature.
 * For ES* the signature has the size of the key's curve, whatever alg says. */
char *maker_token(EVP_PKEY *key, const char *alg, const char *head,
    const char *payload);
/* The same with HMAC-SHA256 under any bytes. */
char *maker_token_hs256(const void *key, size_t len, const char *head,
    const char *payload);
