/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwk - JWK to EVP_PKEY by OpenSSL 3's parameters, by hand: libjwt 1.10 knows
 * no JWK, and this keeps the policy about keys in one place.
 *
 * Conversion is done once per fetched key set, not per token. RSA keys get
 * their bounds checked and no more: EVP_PKEY_public_check would add primality
 * tests of several milliseconds per key on the loop thread, and a provider
 * that publishes a bad modulus under its own name harms only itself. For EC
 * it stays: it is cheap, and a point off the curve is an attack.
 */
#include "lib/jwk.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "lib/jsonx.h"

#define JWK_RSA_MIN_BITS 2048
#define JWK_RSA_MAX_BITS 8192
/* A long exponent makes every check as slow as signing. */
#define JWK_RSA_MAX_E_BITS 64
#define JWK_ED25519_BYTES 32
#define JWK_MAX_COORD_BYTES 66

static void
bn_freep(BIGNUM **p)
{
	BN_free(*p);
}

static void
bld_freep(OSSL_PARAM_BLD **p)
{
	OSSL_PARAM_BLD_free(*p);
}

static void
params_freep(OSSL_PARAM **p)
{
	OSSL_PARAM_free(*p);
}

static void
pkey_ctx_freep(EVP_PKEY_CTX **p)
{
	EVP_PKEY_CTX_free(*p);
}

static void
bio_freep(BIO **p)
{
	BIO_free(*p);
}

static const struct jwk_alg jwk_algs[] = {
	/* the first of a kind is its usual one */
	{ "RS256", JWK_KIND_RSA, JWK_SCHEME_PKCS1, "SHA256", 0 },
	{ "RS384", JWK_KIND_RSA, JWK_SCHEME_PKCS1, "SHA384", 0 },
	{ "RS512", JWK_KIND_RSA, JWK_SCHEME_PKCS1, "SHA512", 0 },
	{ "PS256", JWK_KIND_RSA, JWK_SCHEME_PSS, "SHA256", 0 },
	{ "ES256", JWK_KIND_P256, JWK_SCHEME_ECDSA, "SHA256", 32 },
	{ "ES384", JWK_KIND_P384, JWK_SCHEME_ECDSA, "SHA384", 48 },
	{ "ES512", JWK_KIND_P521, JWK_SCHEME_ECDSA, "SHA512", 66 },
	{ "EdDSA", JWK_KIND_ED25519, JWK_SCHEME_EDDSA, NULL, 0 },
};

static const struct {
	const char *crv, *group;
	enum jwk_kind kind;
	size_t coord_bytes;
} jwk_curves[] = {
	{ "P-256", "prime256v1", JWK_KIND_P256, 32 },
	{ "P-384", "secp384r1", JWK_KIND_P384, 48 },
	{ "P-521", "secp521r1", JWK_KIND_P521, 66 },
};

const struct jwk_alg *
jwk_alg_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(jwk_algs); i++)
		if (streq(jwk_algs[i].name, name))
			return &jwk_algs[i];
	return NULL;
}

const struct jwk_alg *
jwk_alg_of_kind(enum jwk_kind kind)
{
	size_t i = 0;

	while (jwk_algs[i].kind != kind)
		i++;
	return &jwk_algs[i];
}

bool
jwk_fits(const struct jwk *k, const struct jwk_alg *alg)
{
	return k->kind == alg->kind && (!k->alg || k->alg == alg);
}

void
jwk_clear(struct jwk *k)
{
	free(k->kid);
	EVP_PKEY_free(k->key);
	free(k->pem);
	free(k->json);
	*k = (struct jwk)JWK_INIT;
}

static int
jwk_check_rsa_size(EVP_PKEY *key, struct tb_error *err)
{
	int bits = EVP_PKEY_get_bits(key);

	if (bits < JWK_RSA_MIN_BITS || bits > JWK_RSA_MAX_BITS)
		return tb_error_set(err, TB_E_PROTO,
		    "an RSA key of %d bits (%d to %d are taken)", bits,
		    JWK_RSA_MIN_BITS, JWK_RSA_MAX_BITS);
	return 0;
}

int
jwk_kind_of(EVP_PKEY *key, enum jwk_kind *out, struct tb_error *err)
{
	char group[32] = "";

	if (EVP_PKEY_is_a(key, "RSA")) {
		*out = JWK_KIND_RSA;
		return jwk_check_rsa_size(key, err);
	}
	if (EVP_PKEY_is_a(key, "ED25519")) {
		*out = JWK_KIND_ED25519;
		return 0;
	}
	if (EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) > 0)
		for (size_t i = 0; i < ARRAY_SIZE(jwk_curves); i++)
			if (streq(group, jwk_curves[i].group)) {
				*out = jwk_curves[i].kind;
				return 0;
			}
	ERR_clear_error();
	return tb_error_set(err, TB_E_PROTO,
	    "not an RSA, P-256, P-384, P-521 or Ed25519 key");
}

/* A member in base64url; what is empty or not canonical is refused. */
static int
jwk_bytes(const json_t *obj, const char *name, unsigned char **out,
    size_t *len, struct tb_error *err)
{
	const char *text;

	if (jsonx_str(obj, name, &text, err) < 0)
		return -1;
	if (!b64url_decode(text, strlen(text), out, len) || !*len)
		return tb_error_set(err, TB_E_PROTO,
		    "member '%s' is not base64url", name);
	return 0;
}

/* Makes the key from what bld holds; consumes nothing. */
static EVP_PKEY *
jwk_build(const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params _cleanup_(params_freep) =
	    OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx _cleanup_(pkey_ctx_freep) =
	    EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		return NULL;
	return key;
}

static int
jwk_parse_rsa(const json_t *obj, struct jwk *out, struct tb_error *err)
{
	_cleanup_free_ unsigned char *n = NULL, *e = NULL;
	size_t n_len = 0, e_len = 0;
	BIGNUM *bn_n _cleanup_(bn_freep) = NULL;
	BIGNUM *bn_e _cleanup_(bn_freep) = NULL;
	OSSL_PARAM_BLD *bld _cleanup_(bld_freep) = OSSL_PARAM_BLD_new();

	if (jwk_bytes(obj, "n", &n, &n_len, err) < 0 ||
	    jwk_bytes(obj, "e", &e, &e_len, err) < 0)
		return -1;
	/* one leading zero octet is written by some */
	if (n_len > JWK_RSA_MAX_BITS / 8 + 1 || e_len > JWK_RSA_MAX_BITS / 8)
		return tb_error_set(err, TB_E_PROTO, "an RSA key too large");
	bn_n = BN_bin2bn(n, (int)n_len, NULL);
	bn_e = BN_bin2bn(e, (int)e_len, NULL);
	if (!bn_n || !bn_e || !BN_is_odd(bn_n) || !BN_is_odd(bn_e) ||
	    BN_is_one(bn_e) || BN_num_bits(bn_e) > JWK_RSA_MAX_E_BITS)
		return tb_error_set(err, TB_E_PROTO,
		    "an RSA modulus or exponent that cannot be right");
	if (!bld ||
	    !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) ||
	    !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) ||
	    !(out->key = jwk_build("RSA", bld)))
		return tb_error_set(err, TB_E_PROTO,
		    "libcrypto refuses the RSA key");
	out->kind = JWK_KIND_RSA;
	return jwk_check_rsa_size(out->key, err);
}

/* Right-aligned into size bytes; surplus leading zeros are tolerated. */
static int
jwk_coord(const json_t *obj, const char *name, unsigned char *to, size_t size,
    struct tb_error *err)
{
	_cleanup_free_ unsigned char *raw = NULL;
	const unsigned char *p;
	size_t len;

	if (jwk_bytes(obj, name, &raw, &len, err) < 0)
		return -1;
	for (p = raw; len > size && *p == 0; p++)
		len--;
	if (len > size)
		return tb_error_set(err, TB_E_PROTO,
		    "member '%s' is too long for the curve", name);
	memcpy(to + size - len, p, len);
	return 0;
}

static int
jwk_parse_ec(const json_t *obj, struct jwk *out, struct tb_error *err)
{
	unsigned char point[1 + 2 * JWK_MAX_COORD_BYTES] = { 0x04 };
	OSSL_PARAM_BLD *bld _cleanup_(bld_freep) = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *check _cleanup_(pkey_ctx_freep) = NULL;
	const char *crv;
	size_t i, n;

	if (jsonx_str(obj, "crv", &crv, err) < 0)
		return -1;
	for (i = 0; i < ARRAY_SIZE(jwk_curves); i++)
		if (streq(jwk_curves[i].crv, crv))
			break;
	if (i == ARRAY_SIZE(jwk_curves))
		return tb_error_set(err, TB_E_PROTO,
		    "a curve that is not P-256, P-384 or P-521");
	n = jwk_curves[i].coord_bytes;
	if (jwk_coord(obj, "x", point + 1, n, err) < 0 ||
	    jwk_coord(obj, "y", point + 1 + n, n, err) < 0)
		return -1;
	if (!bld ||
	    !OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
		jwk_curves[i].group, 0) ||
	    !OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY,
		point, 1 + 2 * n) ||
	    !(out->key = jwk_build("EC", bld)) ||
	    !(check = EVP_PKEY_CTX_new_from_pkey(NULL, out->key, NULL)) ||
	    EVP_PKEY_public_check(check) <= 0)
		return tb_error_set(err, TB_E_PROTO,
		    "libcrypto refuses the EC key (not a point on the curve)");
	out->kind = jwk_curves[i].kind;
	return 0;
}

static int
jwk_parse_okp(const json_t *obj, struct jwk *out, struct tb_error *err)
{
	_cleanup_free_ unsigned char *x = NULL;
	const char *crv;
	size_t len = 0;

	if (jsonx_str(obj, "crv", &crv, err) < 0)
		return -1;
	if (!streq(crv, "Ed25519"))
		return tb_error_set(err, TB_E_PROTO,
		    "a curve that is not Ed25519");
	if (jwk_bytes(obj, "x", &x, &len, err) < 0)
		return -1;
	if (len != JWK_ED25519_BYTES ||
	    !(out->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
		  x, len)))
		return tb_error_set(err, TB_E_PROTO,
		    "not a public key of Ed25519");
	out->kind = JWK_KIND_ED25519;
	return 0;
}

/* use and key_ops, where there, must allow to verify. */
static int
jwk_check_purpose(const json_t *obj, struct tb_error *err)
{
	const json_t *ops = json_object_get(obj, "key_ops"), *op;
	const char *use = "sig", *s;
	bool verify = false;
	size_t i;

	/* RSA, EC and OKP name the private part the same */
	if (json_object_get(obj, "d"))
		return tb_error_set(err, TB_E_PROTO,
		    "a private key among public ones");
	if (jsonx_opt_str(obj, "use", &use, err) < 0)
		return -1;
	if (!streq(use, "sig"))
		return tb_error_set(err, TB_E_PROTO,
		    "a key that is not for signatures");
	if (!ops)
		return 0;
	json_array_foreach (ops, i, op) {
		s = json_string_value(op);
		if (streq(s, "verify"))
			verify = true;
	}
	if (!verify)
		return tb_error_set(err, TB_E_PROTO,
		    "a key that is not for verifying");
	return 0;
}

/* kid and alg; an alg that is not in the list makes the key useless. */
static int
jwk_parse_names(const json_t *obj, struct jwk *out, struct tb_error *err)
{
	const char *kid = NULL, *alg = NULL;

	if (jsonx_opt_str(obj, "kid", &kid, err) < 0 ||
	    jsonx_opt_str(obj, "alg", &alg, err) < 0)
		return -1;
	out->kid = xstrdup0(kid);
	if (!alg)
		return 0;
	out->alg = jwk_alg_find(alg);
	if (!out->alg)
		return tb_error_set(err, TB_E_PROTO,
		    "a key for an algorithm that is not taken");
	if (out->alg->kind != out->kind)
		return tb_error_set(err, TB_E_PROTO,
		    "a key for an algorithm of another key type");
	return 0;
}

/* The key once more in the spellings that libjwt takes. */
static int
jwk_export(const json_t *obj, struct jwk *out, struct tb_error *err)
{
	BIO *bio _cleanup_(bio_freep) = BIO_new(BIO_s_mem());
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;
	char *pem;
	long len;

	if (!bio || PEM_write_bio_PUBKEY(bio, out->key) != 1 ||
	    (len = BIO_get_mem_data(bio, &pem)) <= 0)
		return tb_error_set(err, TB_E_PROTO,
		    "libcrypto cannot write the key");
	out->pem = xstrndup(pem, (size_t)len);
	out->pem_len = (size_t)len;
	jsonx_dump(obj, &text);
	out->json = xstrdup(secret_reveal(&text));
	return 0;
}

int
jwk_parse(const json_t *obj, struct jwk *out, struct tb_error *err)
{
	struct jwk k _cleanup_(jwk_clear) = JWK_INIT;
	const char *kty;
	int rc;

	if (!json_is_object(obj))
		return tb_error_set(err, TB_E_PROTO, "a key is not an object");
	if (jsonx_str(obj, "kty", &kty, err) < 0 ||
	    jwk_check_purpose(obj, err) < 0)
		return -1;
	if (streq(kty, "RSA"))
		rc = jwk_parse_rsa(obj, &k, err);
	else if (streq(kty, "EC"))
		rc = jwk_parse_ec(obj, &k, err);
	else if (streq(kty, "OKP"))
		rc = jwk_parse_okp(obj, &k, err);
	else
		rc = tb_error_set(err, TB_E_PROTO,
		    "a key type that is not RSA, EC or OKP");
	if (rc == 0)
		rc = jwk_parse_names(obj, &k, err);
	if (rc == 0)
		rc = jwk_export(obj, &k, err);
	ERR_clear_error();
	if (rc == 0) {
		*out = k;
		k = (struct jwk)JWK_INIT;
	}
	return rc;
}
