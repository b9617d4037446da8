/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws_sign - client assertions (RFC 7523), signed by OpenSSL directly.
 *
 * Not by libjwt: 3.x takes private keys as JWK only, 1.x copies the PEM to
 * memory that it does not wipe and frees what jansson's allocator made by
 * free(3), which is wrong once jansson has an allocator of its own.
 */
#include "lib/jws.h"

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "lib/jsonx.h"
#include "lib/jwk.h"

#define JWS_ASSERTION_LIFE_S 60
#define JWS_MAX_PEM 65536
/* An RSA signature of 8192 bits; ECDSA in DER is far shorter. */
#define JWS_MAX_SIGNATURE 1024

static void
bio_freep(BIO **p)
{
	BIO_free(*p);
}

static void
pkey_freep(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void
md_ctx_freep(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}

static void
ecdsa_sig_freep(ECDSA_SIG **p)
{
	ECDSA_SIG_free(*p);
}

/* An encrypted key must fail, not ask on the terminal. */
static int
jws_no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

/* The key and the algorithm it will sign with. */
static EVP_PKEY *
jws_signing_key(const struct secret *pem, const char *alg,
    const struct jwk_alg **row, struct tb_error *err)
{
	EVP_PKEY *key _cleanup_(pkey_freep) = NULL;
	BIO *bio _cleanup_(bio_freep) = NULL;
	enum jwk_kind kind;

	if (pem->len > 0 && pem->len <= JWS_MAX_PEM)
		bio = BIO_new_mem_buf(secret_reveal(pem), (int)pem->len);
	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, jws_no_passphrase,
		    NULL);
	ERR_clear_error();
	if (!key) {
		tb_error_set(err, TB_E_CONFIG,
		    "not a private key in PEM without a passphrase");
		return NULL;
	}
	if (jwk_kind_of(key, &kind, err) < 0) {
		err->code = TB_E_CONFIG;
		return NULL;
	}
	*row = alg ? jwk_alg_find(alg) : jwk_alg_of_kind(kind);
	if (!*row) {
		tb_error_set(err, TB_E_CONFIG,
		    "unknown signature algorithm '%s'", alg);
		return NULL;
	}
	if ((*row)->kind != kind) {
		tb_error_set(err, TB_E_CONFIG,
		    "the private key is not one for %s", (*row)->name);
		return NULL;
	}
	return STEAL(key);
}

/* DER to r||s, each of the curve's size (RFC 7518 3.4). */
static bool
jws_ecdsa_raw(unsigned char *sig, size_t *len, size_t coord)
{
	const unsigned char *der = sig;
	ECDSA_SIG *s _cleanup_(ecdsa_sig_freep) =
	    d2i_ECDSA_SIG(NULL, &der, (long)*len);

	*len = 2 * coord;
	return s &&
	    BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, (int)coord) >= 0 &&
	    BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + coord, (int)coord) >= 0;
}

static bool
jws_sign_bytes(EVP_PKEY *key, const struct jwk_alg *alg, const char *text,
    unsigned char *sig, size_t *len)
{
	EVP_MD_CTX *ctx _cleanup_(md_ctx_freep) = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL; /* belongs to ctx */

	if (!ctx ||
	    EVP_DigestSignInit_ex(ctx, &pctx, alg->digest, NULL, NULL, key,
		NULL) <= 0)
		return false;
	if (alg->scheme == JWK_SCHEME_PSS &&
	    (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) <= 0 ||
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx,
		    RSA_PSS_SALTLEN_DIGEST) <= 0))
		return false;
	if (EVP_DigestSign(ctx, sig, len, (const unsigned char *)text,
		strlen(text)) <= 0)
		return false;
	return alg->scheme != JWK_SCHEME_ECDSA ||
	    jws_ecdsa_raw(sig, len, alg->coord_bytes);
}

/* A JSON object as one part of a token; obj is consumed. NULL for NULL. */
static char *
jws_encode_part(json_t *obj)
{
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;

	if (!obj)
		return NULL;
	jsonx_dump(obj, &text);
	json_decref(obj);
	return b64url_encode(secret_reveal(&text), text.len);
}

int
jws_sign_assertion(const struct secret *key_pem, const char *alg,
    const char *kid, const char *client_id, const char *audience,
    int64_t now_s, struct secret *out, struct tb_error *err)
{
	EVP_PKEY *key _cleanup_(pkey_freep) = NULL;
	_cleanup_free_ char *head = NULL, *claims = NULL, *text = NULL;
	_cleanup_free_ char *jti = NULL, *tail = NULL;
	unsigned char random[16], sig[JWS_MAX_SIGNATURE];
	size_t sig_len = sizeof(sig);
	const struct jwk_alg *row;

	key = jws_signing_key(key_pem, alg, &row, err);
	if (!key)
		return -1;
	if (RAND_bytes(random, sizeof(random)) != 1) {
		ERR_clear_error();
		return tb_error_set(err, TB_E_IO, "no random bytes");
	}
	jti = b64url_encode(random, sizeof(random));
	head = jws_encode_part(json_pack("{s:s, s:s, s:s*}", "alg", row->name,
	    "typ", "JWT", "kid", kid));
	claims = jws_encode_part(json_pack(
	    "{s:s, s:s, s:s, s:s, s:I, s:I}", "iss", client_id, "sub",
	    client_id, "aud", audience, "jti", jti, "iat",
	    (json_int_t)now_s, "exp",
	    (json_int_t)(now_s + JWS_ASSERTION_LIFE_S)));
	if (!head || !claims)
		return tb_error_set(err, TB_E_CONFIG,
		    "client_id, key id or audience is not UTF-8");
	text = xasprintf("%s.%s", head, claims);
	if (!jws_sign_bytes(key, row, text, sig, &sig_len)) {
		ERR_clear_error();
		return tb_error_set(err, TB_E_CONFIG,
		    "the private key does not sign");
	}
	tail = b64url_encode(sig, sig_len);
	secret_set_str(out, text);
	secret_append_str(out, ".");
	secret_append_str(out, tail);
	explicit_bzero(tail, strlen(tail)); /* without it no assertion */
	return 0;
}

int
jws_check_signing_key(const struct secret *key_pem, const char *alg,
    struct tb_error *err)
{
	const struct jwk_alg *row;
	EVP_PKEY *key _cleanup_(pkey_freep) =
	    jws_signing_key(key_pem, alg, &row, err);

	return key ? 0 : -1;
}
