/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jwk - one public JSON Web Key (RFC 7517, 7518, 8037) as a key of OpenSSL,
 * and which signature algorithm goes with which key. Used by jws alone.
 *
 * All policy about keys is here: signature keys only, public only, RSA of
 * 2048 to 8192 bits, EC points on their curve.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct evp_pkey_st;
struct tb_error;

enum jwk_kind {
	JWK_KIND_RSA,
	JWK_KIND_P256,
	JWK_KIND_P384,
	JWK_KIND_P521,
	JWK_KIND_ED25519,
};

enum jwk_scheme {
	JWK_SCHEME_PKCS1,
	JWK_SCHEME_PSS,
	JWK_SCHEME_ECDSA,
	JWK_SCHEME_EDDSA,
};

/* A row of the allow-list. HS* and none are not in it, and never will be. */
struct jwk_alg {
	const char *name; /* as in a token's head, compared exactly */
	enum jwk_kind kind;
	enum jwk_scheme scheme;
	const char *digest; /* NULL: the scheme has its own */
	size_t coord_bytes; /* ECDSA: the signature is two of these */
};

/* NULL for anything that is not in the list to the letter. */
const struct jwk_alg *jwk_alg_find(const char *name);
/* The usual algorithm of a kind of key. */
const struct jwk_alg *jwk_alg_of_kind(enum jwk_kind kind);

struct jwk {
	enum jwk_kind kind;
	char *kid;                 /* NULL: none */
	const struct jwk_alg *alg; /* the one it is for; NULL: not said */
	struct evp_pkey_st *key;
	/* the same key as libjwt takes it: SPKI in PEM (1.x), JSON (3.x) */
	char *pem;
	size_t pem_len;
	char *json;
};
#define JWK_INIT { .kid = NULL }

/* -1: a key that we cannot use; the text says why, without the key. */
int jwk_parse(const json_t *obj, struct jwk *out, struct tb_error *err);
void jwk_clear(struct jwk *k);
/* May this key check (or make) a signature of this algorithm? */
bool jwk_fits(const struct jwk *k, const struct jwk_alg *alg);

/* The kind of a key of OpenSSL; -1 when no algorithm of ours takes it. RSA
 * keys out of bounds are refused here. */
int jwk_kind_of(struct evp_pkey_st *key, enum jwk_kind *out,
    struct tb_error *err);
