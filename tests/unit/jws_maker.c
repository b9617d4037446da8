/* SPDX-License-Identifier: Apache-2.0 */
#include "jws_maker.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/b64.h"
#include "base/util.h"

#define MUST(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "jws_maker: %s failed\n", #x); \
			abort(); \
		} \
	} while (0)

EVP_PKEY *
maker_rsa(unsigned bits)
{
	EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);

	MUST(k);
	return k;
}

EVP_PKEY *
maker_ec(const char *curve)
{
	EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve);

	MUST(k);
	return k;
}

EVP_PKEY *
maker_ed25519(void)
{
	EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	MUST(k);
	return k;
}

static void
set_bn(json_t *j, const char *name, EVP_PKEY *key, const char *param,
    size_t pad)
{
	_cleanup_free_ char *text = NULL;
	unsigned char buf[1100];
	BIGNUM *bn = NULL;
	size_t n;

	MUST(EVP_PKEY_get_bn_param(key, param, &bn));
	n = pad ? pad : (size_t)BN_num_bytes(bn);
	MUST(BN_bn2binpad(bn, buf, (int)n) > 0);
	BN_free(bn);
	text = b64url_encode(buf, n);
	MUST(json_object_set_new(j, name, json_string(text)) == 0);
}

json_t *
maker_jwk(EVP_PKEY *key, const char *kid)
{
	json_t *j = json_object();
	unsigned char raw[32];
	size_t n = sizeof(raw), coord;
	_cleanup_free_ char *x = NULL;

	if (EVP_PKEY_is_a(key, "RSA")) {
		json_object_set_new(j, "kty", json_string("RSA"));
		set_bn(j, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
		set_bn(j, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
	} else if (EVP_PKEY_is_a(key, "EC")) {
		coord = ((size_t)EVP_PKEY_get_bits(key) + 7) / 8;
		json_object_set_new(j, "kty", json_string("EC"));
		json_object_set_new(j, "crv", json_string(coord == 32 ?
		    "P-256" : coord == 48 ? "P-384" : "P-521"));
		set_bn(j, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, coord);
		set_bn(j, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, coord);
	} else {
		MUST(EVP_PKEY_get_raw_public_key(key, raw, &n));
		x = b64url_encode(raw, n);
		json_object_set_new(j, "kty", json_string("OKP"));
		json_object_set_new(j, "crv", json_string("Ed25519"));
		json_object_set_new(j, "x", json_string(x));
	}
	if (kid)
		json_object_set_new(j, "kid", json_string(kid));
	return j;
}

static void
dump(json_t *j, struct secret *out)
{
	size_t n = json_dumpb(j, NULL, 0, JSON_COMPACT);

	json_dumpb(j, (char *)secret_alloc(out, n), n, JSON_COMPACT);
}

void
maker_set(struct secret *out, json_t *a, json_t *b, json_t *c)
{
	json_t *list = json_array(), *root = json_pack("{s:o}", "keys", list);

	if (a)
		json_array_append_new(list, a);
	if (b)
		json_array_append_new(list, b);
	if (c)
		json_array_append_new(list, c);
	dump(root, out);
	json_decref(root);
}

static char *
bio_text(BIO *bio)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	char *text = xstrndup(p, (size_t)n);

	BIO_free(bio);
	return text;
}

char *
maker_public_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	MUST(PEM_write_bio_PUBKEY(bio, key));
	return bio_text(bio);
}

char *
maker_private_pem(EVP_PKEY *key, const char *passphrase)
{
	BIO *bio = BIO_new(BIO_s_mem());

	MUST(PEM_write_bio_PrivateKey(bio, key,
	    passphrase ? EVP_aes_128_cbc() : NULL,
	    (const unsigned char *)passphrase,
	    passphrase ? (int)strlen(passphrase) : 0, NULL, NULL));
	return bio_text(bio);
}

static char *
begin(const char *head, const char *payload)
{
	_cleanup_free_ char *h = b64url_encode(head, strlen(head));
	_cleanup_free_ char *p = b64url_encode(payload, strlen(payload));

	return xasprintf("%s.%s", h, p);
}

static char *
finish(const char *text, const unsigned char *sig, size_t n)
{
	_cleanup_free_ char *s = b64url_encode(sig, n);

	return xasprintf("%s.%s", text, s);
}

/* DER to r||s in the size of the key's own curve. */
static size_t
raw_ecdsa(EVP_PKEY *key, unsigned char *sig, size_t n)
{
	const unsigned char *der = sig;
	size_t coord = ((size_t)EVP_PKEY_get_bits(key) + 7) / 8;
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)n);

	MUST(s);
	MUST(BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, (int)coord) >= 0);
	MUST(BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + coord, (int)coord) >= 0);
	ECDSA_SIG_free(s);
	return 2 * coord;
}

char *
maker_token(EVP_PKEY *key, const char *alg, const char *head,
    const char *payload)
{
	_cleanup_free_ char *text = begin(head, payload);
	unsigned char sig[1100];
	size_t n = sizeof(sig);
	const char *md = strstr(alg, "512") ? "SHA512" :
	    strstr(alg, "384") ? "SHA384" : "SHA256";
	EVP_MD_CTX *ctx;
	EVP_PKEY_CTX *pctx;

	if (!*alg)
		return finish(text, sig, 0);
	ctx = EVP_MD_CTX_new();
	if (strcmp(alg, "EdDSA") == 0)
		md = NULL;
	MUST(EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, key, NULL) > 0);
	if (alg[0] == 'P') {
		MUST(EVP_PKEY_CTX_set_rsa_padding(pctx,
		    RSA_PKCS1_PSS_PADDING) > 0);
		MUST(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx,
		    RSA_PSS_SALTLEN_DIGEST) > 0);
	}
	MUST(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text,
	    strlen(text)) > 0);
	EVP_MD_CTX_free(ctx);
	if (EVP_PKEY_is_a(key, "EC"))
		n = raw_ecdsa(key, sig, n);
	return finish(text, sig, n);
}

char *
maker_token_hs256(const void *key, size_t len, const char *head,
    const char *payload)
{
	_cleanup_free_ char *text = begin(head, payload);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	MUST(HMAC(EVP_sha256(), key, (int)len, (const unsigned char *)text,
	    strlen(text), mac, &n));
	return finish(text, mac, n);
}
