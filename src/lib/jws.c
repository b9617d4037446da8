/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws - signed tokens verified. Signing is in jws_sign.c.
 *
 * The way of a token, each step a function, nothing later sees what an
 * earlier one refused:
 *
 *   jws_split    size, two dots, three parts, strict base64url, JSON objects
 *   jws_head     alg of the allow-list, no crit, typ, kid
 *   jws_by_any   keys of that kid and of that alg, the signature itself
 *   jws_claims   iss, aud, azp, exp, nbf, iat, sub
 *
 * libjwt is asked for RS* and ES* only; it does not know PS256 and EdDSA,
 * which OpenSSL verifies directly. What was measured on libjwt 1.10.2, and
 * which guard is against it:
 *   forged HS256, alg none, lower-case alg   allow-list, exact compare
 *   key of length 0 accepted unverified      keys are made here, never empty
 *   ES256 with a P-521 key                   jwk_fits
 *   lax base64, one token in many spellings  b64url_decode is strict
 *   empty part: write past the end           refused before
 *   head of 16 MiB: stack overflow           JWS_MAX_TOKEN
 *   duplicate members, array payload         jsonx
 *   no claim checks                          jws_claims
 * libjwt leaves copies of the token on the heap that nobody wipes; an id token
 * opens nothing by itself.
 */
#include "lib/jws.h"

#include <jansson.h>
#include <jwt.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "lib/jsonx.h"
#include "lib/jwk.h"

/* 3.x says so in its export header; 1.x and 2.x do not. */
#if defined(JWT_VERSION_MAJOR)
#if JWT_VERSION_MAJOR >= 3
#define JWS_LIBJWT3 1
#endif
#endif

#define JWS_MAX_TOKEN 16384
/* Each key that fits costs a verification on the loop thread. */
#define JWS_MAX_KEYS 128

struct jws_keys {
	struct jwk *v;
	size_t n;
};

struct jws_token {
	const char *text;  /* borrowed, NUL-terminated */
	size_t signed_len; /* head and payload with the dot between */
	json_t *head, *claims;
	unsigned char *sig;
	size_t sig_len;
	const struct jwk_alg *alg;
	const char *kid; /* borrowed from head; NULL: none */
};
#define JWS_TOKEN_INIT { .text = NULL }

static void
jws_token_clear(struct jws_token *t)
{
	json_decref(t->head);
	json_decref(t->claims);
	free(t->sig);
}

static void
md_ctx_freep(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}

static void
jws_keys_freep(struct jws_keys **p)
{
	jws_keys_free(*p);
}

/* Key sets. */

struct jws_keys *
jws_keys_parse(const struct secret *jwks, struct tb_error *err)
{
	json_t *root _cleanup_json_ = jsonx_parse_object(jwks, err);
	struct jws_keys *keys _cleanup_(jws_keys_freep) = NULL;
	struct tb_error why = TB_ERROR_INIT;
	const json_t *list, *item;
	size_t i;

	if (!root) {
		tb_error_wrap(err, "the key set");
		return NULL;
	}
	list = json_object_get(root, "keys");
	if (!json_is_array(list) || json_array_size(list) > JWS_MAX_KEYS) {
		tb_error_set(err, TB_E_PROTO,
		    "the key set has no array 'keys' of at most %d",
		    JWS_MAX_KEYS);
		return NULL;
	}
	keys = xnew(struct jws_keys);
	keys->v = xcalloc(json_array_size(list), sizeof(*keys->v));
	json_array_foreach (list, i, item)
		if (jwk_parse(item, &keys->v[keys->n], &why) == 0)
			keys->n++;
	if (keys->n == 0) {
		if (i == 0)
			tb_error_set(err, TB_E_PROTO, "the key set is empty");
		else
			tb_error_set(err, TB_E_PROTO,
			    "the key set has no usable key, the last is: %s",
			    why.msg);
		return NULL;
	}
	return STEAL(keys);
}

void
jws_keys_free(struct jws_keys *keys)
{
	if (!keys)
		return;
	for (size_t i = 0; i < keys->n; i++)
		jwk_clear(&keys->v[i]);
	free(keys->v);
	free(keys);
}

/* From text to a token whose form is beyond doubt. */

/* Base64url to a JSON object. The bytes in between are wiped. */
static json_t *
jws_part(const char *what, const char *text, size_t len, struct tb_error *err)
{
	_cleanup_free_ unsigned char *raw = NULL;
	size_t n = 0;
	json_t *j;

	if (!b64url_decode(text, len, &raw, &n)) {
		tb_error_set(err, TB_E_PROTO,
		    "the %s of the token is not base64url", what);
		return NULL;
	}
	j = jsonx_parse((const char *)raw, n, err);
	explicit_bzero(raw, n);
	if (!j) {
		tb_error_wrap(err, "the %s of the token", what);
		return NULL;
	}
	if (!json_is_object(j)) {
		json_decref(j);
		tb_error_set(err, TB_E_PROTO,
		    "the %s of the token is not an object", what);
		return NULL;
	}
	return j;
}

static int
jws_split(const struct secret *token, struct jws_token *t,
    struct tb_error *err)
{
	const char *s = secret_reveal(token), *dot1, *dot2;
	size_t len = token->len;

	if (len == 0 || len > JWS_MAX_TOKEN)
		return tb_error_set(err, TB_E_PROTO,
		    "the token is empty or longer than %d bytes",
		    JWS_MAX_TOKEN);
	dot1 = memchr(s, '.', len);
	dot2 = dot1 ? memchr(dot1 + 1, '.', len - (size_t)(dot1 + 1 - s)) :
		      NULL;
	if (!dot2 || dot1 == s || dot2 == dot1 + 1 || dot2 + 1 == s + len)
		return tb_error_set(err, TB_E_PROTO,
		    "the token does not have three parts");
	/* a third dot, white space or NUL is no letter of base64url */
	if (!b64url_decode(dot2 + 1, len - (size_t)(dot2 + 1 - s), &t->sig,
		&t->sig_len))
		return tb_error_set(err, TB_E_PROTO,
		    "the signature of the token is not base64url");
	t->text = s;
	t->signed_len = (size_t)(dot2 - s);
	t->head = jws_part("head", s, (size_t)(dot1 - s), err);
	if (!t->head)
		return -1;
	t->claims = jws_part("payload", dot1 + 1,
	    (size_t)(dot2 - dot1 - 1), err);
	return t->claims ? 0 : -1;
}

static int
jws_head(struct jws_token *t, struct tb_error *err)
{
	const char *alg, *typ = "JWT";

	if (jsonx_str(t->head, "alg", &alg, err) < 0 ||
	    jsonx_opt_str(t->head, "kid", &t->kid, err) < 0 ||
	    jsonx_opt_str(t->head, "typ", &typ, err) < 0)
		return tb_error_wrap(err, "the head of the token");
	t->alg = jwk_alg_find(alg);
	if (!t->alg)
		return tb_error_set(err, TB_E_PROTO,
		    "the algorithm of the token is not one that is taken");
	if (json_object_get(t->head, "crit"))
		return tb_error_set(err, TB_E_PROTO,
		    "the token needs an extension ('crit')");
	/* an access token ("at+jwt") must not pass for an id token */
	if (strcasecmp(typ, "JWT") != 0)
		return tb_error_set(err, TB_E_PROTO,
		    "the token's 'typ' is not JWT");
	return 0;
}

static int
jws_token_parse(const struct secret *token, struct jws_token *t,
    struct tb_error *err)
{
	if (jws_split(token, t, err) < 0)
		return -1;
	return jws_head(t, err);
}

/* The signature. */

#ifdef JWS_LIBJWT3
static bool
jws_libjwt_verify(const struct jwk *k, const struct jws_token *t)
{
	jwk_set_t *set = jwks_create(k->json);
	const jwk_item_t *item = set ? jwks_item_get(set, 0) : NULL;
	jwt_checker_t *c = jwt_checker_new();
	bool ok = false;

	if (c && item && !jwks_item_error(item) &&
	    jwks_item_kty(item) != JWK_KEY_TYPE_OCT &&
	    !jwks_item_is_private(item) &&
	    jwt_checker_setkey(c, jwt_str_alg(t->alg->name), item) == 0) {
		/* times are ours: jws_claims */
		jwt_checker_time_leeway(c, JWT_CLAIM_EXP, -1);
		jwt_checker_time_leeway(c, JWT_CLAIM_NBF, -1);
		ok = jwt_checker_verify(c, t->text) == 0;
	}
	jwt_checker_free(c);
	jwks_free(set);
	return ok;
}
#else
static bool
jws_libjwt_verify(const struct jwk *k, const struct jws_token *t)
{
	jwt_alg_t want = jwt_str_alg(t->alg->name);
	jwt_t *j = NULL;
	bool ok;

	/* jwt_get_alg says none when nothing was verified */
	ok = want != JWT_ALG_INVAL && want != JWT_ALG_NONE && k->pem_len > 0 &&
	    jwt_decode(&j, t->text, (const unsigned char *)k->pem,
		(int)k->pem_len) == 0 &&
	    jwt_get_alg(j) == want;
	jwt_free(j);
	return ok;
}
#endif

/* PS256 and EdDSA. */
static bool
jws_evp_verify(const struct jwk *k, const struct jws_token *t)
{
	EVP_MD_CTX *ctx _cleanup_(md_ctx_freep) = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL; /* belongs to ctx */

	if (!ctx ||
	    EVP_DigestVerifyInit_ex(ctx, &pctx, t->alg->digest, NULL, NULL,
		k->key, NULL) <= 0)
		return false;
	if (t->alg->scheme == JWK_SCHEME_PSS &&
	    (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) <= 0 ||
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx,
		    RSA_PSS_SALTLEN_DIGEST) <= 0))
		return false;
	return EVP_DigestVerify(ctx, t->sig, t->sig_len,
		   (const unsigned char *)t->text, t->signed_len) == 1;
}

static bool
jws_signature_is_good(const struct jwk *k, const struct jws_token *t)
{
	bool ok = false;

	switch (t->alg->scheme) {
	case JWK_SCHEME_PKCS1:
		ok = t->sig_len == (size_t)EVP_PKEY_get_size(k->key) &&
		    jws_libjwt_verify(k, t);
		break;
	case JWK_SCHEME_ECDSA:
		ok = t->sig_len == 2 * t->alg->coord_bytes &&
		    jws_libjwt_verify(k, t);
		break;
	case JWK_SCHEME_PSS:
	case JWK_SCHEME_EDDSA:
		ok = jws_evp_verify(k, t);
		break;
	}
	ERR_clear_error();
	return ok;
}

/* Without a kid every key that fits is tried: two of the same kind are usual
 * while a provider rotates. */
static int
jws_by_any(const struct jws_keys *keys, const struct jws_token *t,
    struct tb_error *err)
{
	bool known = false, fits = false;

	for (size_t i = 0; i < keys->n; i++) {
		const struct jwk *k = &keys->v[i];

		if (t->kid && !streq(k->kid, t->kid))
			continue;
		known = true;
		if (!jwk_fits(k, t->alg))
			continue;
		fits = true;
		if (jws_signature_is_good(k, t))
			return 0;
	}
	if (!known)
		return tb_error_set(err, TB_E_PROTO,
		    "the token names a key that the provider does not publish");
	if (!fits)
		return tb_error_set(err, TB_E_PROTO,
		    "no key for the token's algorithm (%s)", t->alg->name);
	return tb_error_set(err, TB_E_PROTO,
	    "the signature of the token is not good");
}

bool
jws_keys_has(const struct jws_keys *keys, const struct secret *token)
{
	struct jws_token t _cleanup_(jws_token_clear) = JWS_TOKEN_INIT;
	struct tb_error why = TB_ERROR_INIT;

	/* what is malformed stays so with any set */
	if (jws_token_parse(token, &t, &why) < 0)
		return true;
	if (!t.kid) /* its signature is its only name */
		return jws_by_any(keys, &t, &why) == 0;
	for (size_t i = 0; i < keys->n; i++)
		if (streq(keys->v[i].kid, t.kid))
			return true;
	return false;
}

/* The claims. */

static int
jws_time(const json_t *claims, const char *name, double *out,
    struct tb_error *err)
{
	const json_t *j = json_object_get(claims, name);

	if (!json_is_number(j))
		return tb_error_set(err, TB_E_PROTO,
		    "claim '%s' is missing or not a number", name);
	*out = json_number_value(j);
	return 0;
}

static int
jws_times(const json_t *claims, const struct jws_expect *expect,
    struct tb_error *err)
{
	double exp = 0, iat = 0, nbf = 0, now = (double)expect->now_s;
	double leeway = (double)expect->leeway_s;

	if (jws_time(claims, "exp", &exp, err) < 0 ||
	    jws_time(claims, "iat", &iat, err) < 0)
		return -1;
	if (now >= exp + leeway)
		return tb_error_set(err, TB_E_PROTO,
		    "the token expired %.0f s ago (is the clock right?)",
		    now - exp);
	if (iat > now + leeway)
		return tb_error_set(err, TB_E_PROTO,
		    "the token is issued %.0f s in the future (is the clock "
		    "right?)", iat - now);
	if (!json_object_get(claims, "nbf"))
		return 0;
	if (jws_time(claims, "nbf", &nbf, err) < 0)
		return -1;
	if (nbf > now + leeway)
		return tb_error_set(err, TB_E_PROTO,
		    "the token is not valid before %.0f s from now (is the "
		    "clock right?)", nbf - now);
	return 0;
}

/* A string, or an array of nothing but strings, that has client_id in it. */
static bool
jws_audience_has(const json_t *aud, const char *client_id)
{
	const json_t *item;
	bool found = false;
	size_t i;

	if (json_is_string(aud))
		return streq(json_string_value(aud), client_id);
	json_array_foreach (aud, i, item) {
		if (!json_is_string(item))
			return false;
		if (streq(json_string_value(item), client_id))
			found = true;
	}
	return found;
}

static int
jws_claims(const json_t *claims, const struct jws_expect *expect,
    struct tb_error *err)
{
	const char *iss, *sub, *azp = expect->client_id;

	if (jsonx_str(claims, "iss", &iss, err) < 0 ||
	    jsonx_str(claims, "sub", &sub, err) < 0 ||
	    jsonx_opt_str(claims, "azp", &azp, err) < 0)
		return tb_error_wrap(err, "the claims of the token");
	if (!streq(iss, expect->issuer))
		return tb_error_set(err, TB_E_PROTO,
		    "the token's issuer is not '%s'", expect->issuer);
	if (!jws_audience_has(json_object_get(claims, "aud"),
		expect->client_id))
		return tb_error_set(err, TB_E_PROTO,
		    "the token is not for '%s' (claim 'aud')",
		    expect->client_id);
	if (!streq(azp, expect->client_id))
		return tb_error_set(err, TB_E_PROTO,
		    "the token is not for '%s' (claim 'azp')",
		    expect->client_id);
	if (*sub == '\0')
		return tb_error_set(err, TB_E_PROTO, "claim 'sub' is empty");
	return jws_times(claims, expect, err);
}

json_t *
jws_verify(const struct jws_keys *keys, const struct secret *token,
    const struct jws_expect *expect, struct tb_error *err)
{
	struct jws_token t _cleanup_(jws_token_clear) = JWS_TOKEN_INIT;

	if (jws_token_parse(token, &t, err) < 0 ||
	    jws_by_any(keys, &t, err) < 0 ||
	    jws_claims(t.claims, expect, err) < 0)
		return NULL;
	return STEAL(t.claims);
}
