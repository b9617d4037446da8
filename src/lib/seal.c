/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal - records at rest, by OpenSSL 3's fetched algorithms.
 *
 * The algorithms are fetched once and the contexts kept: a fetch walks the
 * provider tables under a lock and costs more than sealing a record. For the
 * same reason one struct seal belongs to one thread at a time.
 *
 * The whole head of a record (magic, key id, version, salt, nonce) is
 * associated data, with the name behind it. The head has a fixed length, so
 * head and name cannot run into each other. A fresh salt makes a fresh
 * subkey, so that the random nonce never meets the same key twice, no matter
 * how many records one master key seals.
 *
 * What is derived is told apart by its info text alone: "tokenbroker key id",
 * "tokenbroker record 1NAME", "tokenbroker purpose 1PURPOSE".
 */
#include "lib/seal.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/b64.h"
#include "base/tb_error.h"

#define SEAL_MAGIC "TBR1"
#define SEAL_MAGIC_BYTES 4
#define SEAL_ID_BYTES 8
#define SEAL_VERSION_BYTES 8
#define SEAL_SALT_BYTES 32
#define SEAL_NONCE_BYTES 12
#define SEAL_TAG_BYTES 16

/* Where the fields of the head are. */
#define SEAL_AT_ID SEAL_MAGIC_BYTES
#define SEAL_AT_VERSION (SEAL_AT_ID + SEAL_ID_BYTES)
#define SEAL_AT_SALT (SEAL_AT_VERSION + SEAL_VERSION_BYTES)
#define SEAL_AT_NONCE (SEAL_AT_SALT + SEAL_SALT_BYTES)
#define SEAL_HEAD_BYTES (SEAL_AT_NONCE + SEAL_NONCE_BYTES)

#define SEAL_INFO_KEY_ID "tokenbroker key id"
#define SEAL_INFO_RECORD "tokenbroker record 1"
#define SEAL_INFO_PURPOSE "tokenbroker purpose 1"

struct seal {
	struct secret master;
	struct secret fingerprint_key;
	unsigned char id[SEAL_ID_BYTES];
	char id_hex[2 * SEAL_ID_BYTES + 1];
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *cipher_ctx;
	EVP_KDF_CTX *kdf_ctx;
	EVP_MAC_CTX *mac_ctx;
};

static void
seal_freep(struct seal **s)
{
	seal_free(*s);
}

/* OpenSSL's own reason is of no use to an operator; its queue must not keep
 * it for the next library that looks. */
static int
seal_fail(struct tb_error *err, const char *what)
{
	ERR_clear_error();
	return tb_error_set(err, TB_E_IO, "%s failed in libcrypto", what);
}

/* HKDF-SHA256(master, salt or none, info1 + info2) to len bytes of out. */
static bool
seal_hkdf(struct seal *s, const unsigned char *salt, const char *info1,
    const char *info2, unsigned char *out, size_t len)
{
	_cleanup_free_ char *info = xasprintf("%s%s", info1, info2);
	OSSL_PARAM params[5], *p = params;
	bool ok;

	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
	    (char *)"SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
	    (void *)secret_reveal(&s->master), s->master.len);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info,
	    strlen(info));
	if (salt)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
		    (void *)salt, SEAL_SALT_BYTES);
	*p = OSSL_PARAM_construct_end();

	ok = EVP_KDF_derive(s->kdf_ctx, out, len, params) > 0;
	/* forget the key; and info would be appended to what is there */
	EVP_KDF_CTX_reset(s->kdf_ctx);
	return ok;
}

static bool
seal_fetch(struct seal *s)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	/* a context keeps its algorithm alive by itself */
	if (kdf)
		s->kdf_ctx = EVP_KDF_CTX_new(kdf);
	if (mac)
		s->mac_ctx = EVP_MAC_CTX_new(mac);
	EVP_KDF_free(kdf);
	EVP_MAC_free(mac);
	s->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	s->cipher_ctx = EVP_CIPHER_CTX_new();
	return s->kdf_ctx && s->mac_ctx && s->cipher && s->cipher_ctx;
}

static int
seal_take_key(struct seal *s, const struct secret *key, struct tb_error *err)
{
	const char *text = secret_reveal(key);
	size_t digits = 2 * SEAL_KEY_BYTES;
	struct secret hex _cleanup_(secret_clear) = SECRET_INIT;

	if (key->len == SEAL_KEY_BYTES) {
		secret_dup(&s->master, key);
		return 0;
	}
	if (key->len == digits ||
	    (key->len == digits + 1 && text[digits] == '\n')) {
		secret_set(&hex, text, digits);
		if (hex_decode(secret_reveal(&hex),
			secret_alloc(&s->master, SEAL_KEY_BYTES),
			SEAL_KEY_BYTES))
			return 0;
	}
	return tb_error_set(err, TB_E_CONFIG,
	    "the master key must be %d bytes or %zu hexadecimal digits",
	    SEAL_KEY_BYTES, digits);
}

struct seal *
seal_new(const struct secret *key, struct tb_error *err)
{
	struct seal *s _cleanup_(seal_freep) = xnew(struct seal);

	if (seal_take_key(s, key, err) < 0)
		return NULL;
	if (!seal_fetch(s) ||
	    !seal_hkdf(s, NULL, SEAL_INFO_KEY_ID, "", s->id, sizeof(s->id))) {
		seal_fail(err, "setting up the seal");
		return NULL;
	}
	hex_encode(s->id, sizeof(s->id), s->id_hex);
	if (seal_derive(s, "fingerprint", &s->fingerprint_key, err) < 0)
		return NULL;
	return STEAL(s);
}

void
seal_free(struct seal *s)
{
	if (!s)
		return;
	EVP_CIPHER_CTX_free(s->cipher_ctx);
	EVP_CIPHER_free(s->cipher);
	EVP_KDF_CTX_free(s->kdf_ctx);
	EVP_MAC_CTX_free(s->mac_ctx);
	secret_clear(&s->master);
	secret_clear(&s->fingerprint_key);
	free(s);
}

const char *
seal_key_id(const struct seal *s)
{
	return s->id_hex;
}

static void
put_be64(unsigned char *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (unsigned char)(v >> (56 - 8 * i));
}

static uint64_t
get_be64(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* Keys the cipher for one record and feeds it head and name. */
static bool
seal_begin(struct seal *s, const unsigned char *head, const char *name,
    int encrypt)
{
	struct secret subkey _cleanup_(secret_clear) = SECRET_INIT;
	unsigned char *key = secret_alloc(&subkey, SEAL_KEY_BYTES);
	int n;

	return seal_hkdf(s, head + SEAL_AT_SALT, SEAL_INFO_RECORD, name, key,
		   SEAL_KEY_BYTES) &&
	    EVP_CIPHER_CTX_reset(s->cipher_ctx) > 0 &&
	    EVP_CipherInit_ex2(s->cipher_ctx, s->cipher, key,
		head + SEAL_AT_NONCE, encrypt, NULL) > 0 &&
	    EVP_CipherUpdate(s->cipher_ctx, NULL, &n, head,
		SEAL_HEAD_BYTES) > 0 &&
	    EVP_CipherUpdate(s->cipher_ctx, NULL, &n,
		(const unsigned char *)name, (int)strlen(name)) > 0;
}

int
seal_close(struct seal *s, const char *name, uint64_t version,
    const struct secret *plain, unsigned char **out, size_t *out_len,
    struct tb_error *err)
{
	_cleanup_free_ unsigned char *b = NULL;
	size_t size = SEAL_HEAD_BYTES + plain->len + SEAL_TAG_BYTES;
	unsigned char *body;
	int n = 0, rest = 0;
	bool ok;

	if (plain->len > INT_MAX - SEAL_HEAD_BYTES - SEAL_TAG_BYTES)
		return tb_error_set(err, TB_E_LIMIT,
		    "record '%s' is too large to be sealed", name);
	b = xcalloc(1, size);
	body = b + SEAL_HEAD_BYTES;
	memcpy(b, SEAL_MAGIC, SEAL_MAGIC_BYTES);
	memcpy(b + SEAL_AT_ID, s->id, SEAL_ID_BYTES);
	put_be64(b + SEAL_AT_VERSION, version);
	if (RAND_bytes(b + SEAL_AT_SALT,
		SEAL_SALT_BYTES + SEAL_NONCE_BYTES) != 1)
		return seal_fail(err, "getting random bytes");

	ok = seal_begin(s, b, name, 1);
	/* an update without bytes would be taken for the end */
	if (ok && plain->len)
		ok = EVP_CipherUpdate(s->cipher_ctx, body, &n,
		    (const unsigned char *)secret_reveal(plain),
		    (int)plain->len) > 0;
	ok = ok &&
	    EVP_CipherFinal_ex(s->cipher_ctx, body + n, &rest) > 0 &&
	    EVP_CIPHER_CTX_ctrl(s->cipher_ctx, EVP_CTRL_AEAD_GET_TAG,
		SEAL_TAG_BYTES, body + plain->len) > 0;
	EVP_CIPHER_CTX_reset(s->cipher_ctx); /* forget the subkey */
	if (!ok)
		return seal_fail(err, "sealing a record");
	*out = STEAL(b);
	*out_len = size;
	return 0;
}

/* plain is only filled when the tag was right. */
static bool
seal_decrypt(struct seal *s, const char *name, const unsigned char *bytes,
    size_t len, struct secret *plain)
{
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;
	size_t text_len = len - SEAL_HEAD_BYTES - SEAL_TAG_BYTES;
	unsigned char *to = secret_alloc(&text, text_len);
	const unsigned char *body = bytes + SEAL_HEAD_BYTES;
	int n = 0, rest = 0;
	bool ok = seal_begin(s, bytes, name, 0);

	if (ok && text_len)
		ok = EVP_CipherUpdate(s->cipher_ctx, to, &n, body,
		    (int)text_len) > 0;
	ok = ok &&
	    EVP_CIPHER_CTX_ctrl(s->cipher_ctx, EVP_CTRL_AEAD_SET_TAG,
		SEAL_TAG_BYTES, (void *)(body + text_len)) > 0 &&
	    EVP_CipherFinal_ex(s->cipher_ctx, to + n, &rest) > 0;
	EVP_CIPHER_CTX_reset(s->cipher_ctx);
	ERR_clear_error();
	if (ok)
		secret_move(plain, &text);
	return ok;
}

enum seal_verdict
seal_open(struct seal *s, const char *name, const unsigned char *bytes,
    size_t len, uint64_t *version, struct secret *plain, struct tb_error *err)
{
	char theirs[2 * SEAL_ID_BYTES + 1];

	if (len < SEAL_HEAD_BYTES + SEAL_TAG_BYTES || len > INT_MAX ||
	    memcmp(bytes, SEAL_MAGIC, SEAL_MAGIC_BYTES) != 0) {
		tb_error_set(err, TB_E_IO,
		    "record '%s' is not a sealed record, or is cut short",
		    name);
		return SEAL_DAMAGED;
	}
	if (memcmp(bytes + SEAL_AT_ID, s->id, SEAL_ID_BYTES) != 0) {
		hex_encode(bytes + SEAL_AT_ID, SEAL_ID_BYTES, theirs);
		tb_error_set(err, TB_E_IO,
		    "record '%s' is sealed with master key %s, ours is %s",
		    name, theirs, s->id_hex);
		return SEAL_FOREIGN_KEY;
	}
	if (!seal_decrypt(s, name, bytes, len, plain)) {
		tb_error_set(err, TB_E_IO,
		    "record '%s' is damaged, altered or renamed", name);
		return SEAL_DAMAGED;
	}
	/* read only now: before, nobody vouched for it */
	*version = get_be64(bytes + SEAL_AT_VERSION);
	return SEAL_OK;
}

void
seal_fingerprint(struct seal *s, const struct secret *value, char out[17])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t n = 0;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		    (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	/* key and digest are good since seal_new: only memory can be short */
	if (EVP_MAC_init(s->mac_ctx,
		(const unsigned char *)secret_reveal(&s->fingerprint_key),
		s->fingerprint_key.len, params) <= 0 ||
	    EVP_MAC_update(s->mac_ctx,
		(const unsigned char *)secret_reveal(value),
		value->len) <= 0 ||
	    EVP_MAC_final(s->mac_ctx, mac, &n, sizeof(mac)) <= 0)
		abort();
	hex_encode(mac, 8, out);
	OPENSSL_cleanse(mac, sizeof(mac));
}

int
seal_derive(struct seal *s, const char *purpose, struct secret *out,
    struct tb_error *err)
{
	unsigned char *to = secret_alloc(out, SEAL_KEY_BYTES);

	if (!seal_hkdf(s, NULL, SEAL_INFO_PURPOSE, purpose, to,
		SEAL_KEY_BYTES)) {
		secret_clear(out);
		return seal_fail(err, "deriving a key");
	}
	return 0;
}
