/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/sign.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/util.h"

#define SIGN_COORDINATE 32 /* bytes of a P-256 coordinate */
#define SIGN_MAX 512

struct sign {
	EVP_PKEY *rsa;
	EVP_PKEY *ec;
	char *rsa_kid;
	char *ec_kid;
};

static void
sign_clear_keys(struct sign *sign)
{
	EVP_PKEY_free(sign->rsa);
	EVP_PKEY_free(sign->ec);
	free(sign->rsa_kid);
	free(sign->ec_kid);
	*sign = (struct sign){ 0 };
}

void
sign_rotate(struct sign *sign)
{
	char *serial _cleanup_(util_free_text) = util_random_text(6);

	sign_clear_keys(sign);
	sign->rsa = EVP_RSA_gen(2048);
	sign->ec = EVP_EC_gen("P-256");
	if (!sign->rsa || !sign->ec)
		abort();
	sign->rsa_kid = util_format("rsa-%s", serial);
	sign->ec_kid = util_format("ec-%s", serial);
}

struct sign *
sign_new(void)
{
	struct sign *sign = util_alloc(sizeof *sign);

	sign_rotate(sign);
	return sign;
}

struct sign *
sign_free(struct sign *sign)
{
	if (sign) {
		sign_clear_keys(sign);
		free(sign);
	}
	return NULL;
}

/* One integer of a key, base64url, padded to len bytes (0: as short as it is).
 */
static json_t *
sign_integer(const EVP_PKEY *key, const char *name, int len)
{
	char *text _cleanup_(util_free_text) = NULL;
	unsigned char bytes[SIGN_MAX];
	BIGNUM *n = NULL;

	if (EVP_PKEY_get_bn_param(key, name, &n) != 1 ||
	    BN_num_bytes(n) > SIGN_MAX)
		abort();
	if (len == 0)
		len = BN_num_bytes(n);
	if (BN_bn2binpad(n, bytes, len) != len)
		abort();
	BN_free(n);
	text = util_base64url(bytes, (size_t)len);
	return json_string(text);
}

json_t *
sign_keys(const struct sign *sign)
{
	return json_pack("{s:[{s:s, s:s, s:s, s:s, s:o, s:o},"
			 "{s:s, s:s, s:s, s:s, s:s, s:o, s:o}]}",
	    "keys", "kty", "RSA", "use", "sig", "alg", "RS256", "kid",
	    sign->rsa_kid, "n",
	    sign_integer(sign->rsa, OSSL_PKEY_PARAM_RSA_N, 0), "e",
	    sign_integer(sign->rsa, OSSL_PKEY_PARAM_RSA_E, 0), "kty", "EC",
	    "use", "sig", "alg", "ES256", "kid", sign->ec_kid, "crv", "P-256",
	    "x",
	    sign_integer(sign->ec, OSSL_PKEY_PARAM_EC_PUB_X, SIGN_COORDINATE),
	    "y",
	    sign_integer(sign->ec, OSSL_PKEY_PARAM_EC_PUB_Y, SIGN_COORDINATE));
}

/* JOSE wants an ECDSA signature as r || s, OpenSSL gives DER. */
static size_t
sign_ecdsa_to_raw(unsigned char *sig, size_t len)
{
	const unsigned char *der = sig;
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);

	if (!pair)
		abort();
	BN_bn2binpad(ECDSA_SIG_get0_r(pair), sig, SIGN_COORDINATE);
	BN_bn2binpad(
	    ECDSA_SIG_get0_s(pair), sig + SIGN_COORDINATE, SIGN_COORDINATE);
	ECDSA_SIG_free(pair);
	return 2 * SIGN_COORDINATE;
}

static size_t
sign_with_key(EVP_PKEY *key, const char *input, unsigned char sig[SIGN_MAX])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = SIGN_MAX;

	if (!ctx ||
	    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(ctx, sig, &len, (const unsigned char *)input,
		strlen(input)) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	return len;
}

static size_t
sign_with_public_pem(
    EVP_PKEY *key, const char *input, unsigned char sig[SIGN_MAX])
{
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned int len = 0;
	char *pem;
	long pem_len;

	if (!bio || PEM_write_bio_PUBKEY(bio, key) != 1)
		abort();
	pem_len = BIO_get_mem_data(bio, &pem);
	if (!HMAC(EVP_sha256(), pem, (int)pem_len, (const unsigned char *)input,
		strlen(input), sig, &len))
		abort();
	BIO_free(bio);
	return len;
}

static size_t
sign_bytes(const struct sign *sign, enum sign_alg alg, const char *input,
    unsigned char sig[SIGN_MAX])
{
	size_t len;

	switch (alg) {
	case SIGN_RS256:
		return sign_with_key(sign->rsa, input, sig);
	case SIGN_ES256:
		len = sign_with_key(sign->ec, input, sig);
		return sign_ecdsa_to_raw(sig, len);
	case SIGN_HS256:
		return sign_with_public_pem(sign->rsa, input, sig);
	case SIGN_NONE:
		return 0;
	}
	abort();
}

/* base64url of a JSON value in its compact form. */
static char *
sign_encode(const json_t *json)
{
	char *text _cleanup_(util_free_text) = json_dumps(json, JSON_COMPACT);

	if (!text)
		abort();
	return util_base64url(text, strlen(text));
}

static json_t *
sign_header(const struct sign *sign, enum sign_alg alg, const char *type,
    const struct sign_flaws *flaws)
{
	static const char *const names[] = { "RS256", "ES256", "none",
		"HS256" };
	json_t *header =
	    json_pack("{s:s, s:s}", "typ", type, "alg", names[alg]);
	const char *kid = alg == SIGN_ES256 ? sign->ec_kid : sign->rsa_kid;

	if (flaws->unknown_kid)
		kid = "nobody-has-this-key";
	if (alg != SIGN_NONE)
		json_object_set_new(header, "kid", json_string(kid));
	return header;
}

char *
sign_token(const struct sign *sign, enum sign_alg alg, const char *type,
    const json_t *claims, const struct sign_flaws *flaws)
{
	json_t *header _cleanup_(util_free_json) =
	    sign_header(sign, alg, type, flaws);
	char *head _cleanup_(util_free_text) = sign_encode(header);
	char *body _cleanup_(util_free_text) = sign_encode(claims);
	char *input _cleanup_(util_free_text) =
	    util_format("%s.%s", head, body);
	char *tail _cleanup_(util_free_text) = NULL;
	unsigned char sig[SIGN_MAX];
	size_t len = sign_bytes(sign, alg, input, sig);

	if (flaws->bad_signature && len > 8)
		sig[7] ^= 0x55;
	tail = util_base64url(sig, len);
	return util_format("%s.%s", input, tail);
}
