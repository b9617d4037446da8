/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal - records at rest, by OpenSSL 3's fetched algorithms.
 *
 * The algorithms are fetched once and the contexts kept: a fetch walks the
 * provider tables under a lock and costs more than sealing a record. For the
 * same reason one struct seal belongs to one thread at a time.
 *
 * The whole head of a record (magic, key id, state, version, salt, nonce) is
 * associated data, with the name behind it. A format's head has a fixed
 * length, so head and name cannot run into each other. A fresh salt makes a fresh
 * subkey, so that the random nonce never meets the same key twice, no matter
 * how many records one master key seals.
 *
 * What is derived is told apart by its info text alone: "tokenbroker key id",
 * "tokenbroker record 1NAME" and 2NAME (by format), "tokenbroker purpose
 * 1PURPOSE".
 */
#include "lib/seal.h"

#include <assert.h>
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

#define SEAL_MAGIC "TBR" /* and the digit of the format */
#define SEAL_MAGIC_BYTES 4
#define SEAL_ID_BYTES 8
#define SEAL_VERSION_BYTES 8
#define SEAL_SALT_BYTES 32
#define SEAL_NONCE_BYTES 12
#define SEAL_TAG_BYTES 16

/* Where the fields of the head are; the key id is always behind the magic. */
#define SEAL_AT_ID SEAL_MAGIC_BYTES
#define SEAL_AT_STATE (SEAL_AT_ID + SEAL_ID_BYTES)

#define SEAL_INFO_KEY_ID "tokenbroker key id"
#define SEAL_INFO_PURPOSE "tokenbroker purpose 1"

static const struct layout {
	const char *info;
	size_t state; /* bytes of state id */
	size_t version, salt, nonce, head; /* where they are */
} layouts[] = {
#define LAYOUT(text, id) { text, id, SEAL_AT_STATE + (id), \
	SEAL_AT_STATE + (id) + SEAL_VERSION_BYTES, \
	SEAL_AT_STATE + (id) + SEAL_VERSION_BYTES + SEAL_SALT_BYTES, \
	SEAL_AT_STATE + (id) + SEAL_VERSION_BYTES + SEAL_SALT_BYTES + \
	    SEAL_NONCE_BYTES }
	[1] = LAYOUT("tokenbroker record 1", 0),
	[SEAL_FORMAT] = LAYOUT("tokenbroker record 2", SEAL_STATE_BYTES),
#undef LAYOUT
};

struct key {
	struct secret bytes;
	unsigned char id[SEAL_ID_BYTES];
	char id_hex[2 * SEAL_ID_BYTES + 1];
};

struct seal {
	struct key key, other; /* other.bytes may be empty */
	struct secret fingerprint_key;
	unsigned char state[SEAL_STATE_BYTES];
	char state_hex[2 * SEAL_STATE_BYTES + 1]; /* "" until it is set */
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

/* HKDF-SHA256(key, salt or none, info1 + info2) to len bytes of out. */
static bool
seal_hkdf(struct seal *s, const struct key *key, const unsigned char *salt,
    const char *info1, const char *info2, unsigned char *out, size_t len)
{
	_cleanup_free_ char *info = xasprintf("%s%s", info1, info2);
	OSSL_PARAM params[5], *p = params;
	bool ok;

	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
	    (char *)"SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
	    (void *)secret_reveal(&key->bytes), key->bytes.len);
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
seal_take_key(struct seal *s, struct key *to, const struct secret *key,
    struct tb_error *err)
{
	const char *text = secret_reveal(key);
	size_t digits = 2 * SEAL_KEY_BYTES;
	struct secret hex _cleanup_(secret_clear) = SECRET_INIT;
	bool ok = false;

	if (key->len == SEAL_KEY_BYTES) {
		secret_dup(&to->bytes, key);
		ok = true;
	} else if (key->len == digits ||
	    (key->len == digits + 1 && text[digits] == '\n')) {
		secret_set(&hex, text, digits);
		ok = hex_decode(secret_reveal(&hex),
		    secret_alloc(&to->bytes, SEAL_KEY_BYTES), SEAL_KEY_BYTES);
	}
	if (!ok) {
		secret_clear(&to->bytes);
		return tb_error_set(err, TB_E_CONFIG, "the master key must be "
		    "%d bytes or %zu hexadecimal digits", SEAL_KEY_BYTES,
		    digits);
	}
	if (!seal_hkdf(s, to, NULL, SEAL_INFO_KEY_ID, "", to->id,
		sizeof(to->id)))
		return seal_fail(err, "setting up the seal");
	hex_encode(to->id, sizeof(to->id), to->id_hex);
	return 0;
}

struct seal *
seal_new(const struct secret *key, struct tb_error *err)
{
	struct seal *s _cleanup_(seal_freep) = xnew(struct seal);

	if (!seal_fetch(s)) {
		seal_fail(err, "setting up the seal");
		return NULL;
	}
	if (seal_take_key(s, &s->key, key, err) < 0 ||
	    seal_derive(s, "fingerprint", &s->fingerprint_key, err) < 0)
		return NULL;
	return STEAL(s);
}

struct seal *
seal_clone(const struct seal *s, struct tb_error *err)
{
	struct seal *c _cleanup_(seal_freep) = seal_new(&s->key.bytes, err);

	if (!c || (!secret_is_empty(&s->other.bytes) &&
		seal_add_key(c, &s->other.bytes, err) < 0))
		return NULL;
	secret_dup(&c->fingerprint_key, &s->fingerprint_key);
	memcpy(c->state, s->state, sizeof(c->state));
	memcpy(c->state_hex, s->state_hex, sizeof(c->state_hex));
	return STEAL(c);
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
	secret_clear(&s->key.bytes);
	secret_clear(&s->other.bytes);
	secret_clear(&s->fingerprint_key);
	free(s);
}

const char *
seal_key_id(const struct seal *s)
{
	return s->key.id_hex;
}

int
seal_add_key(struct seal *s, const struct secret *key, struct tb_error *err)
{
	struct key fresh = { .bytes = SECRET_INIT };

	if (seal_take_key(s, &fresh, key, err) < 0) {
		secret_clear(&fresh.bytes);
		return -1;
	}
	secret_clear(&s->other.bytes);
	s->other = fresh; /* moved */
	return 0;
}

void
seal_swap_keys(struct seal *s)
{
	struct key k = s->key;

	s->key = s->other;
	s->other = k;
}

void
seal_drop_other_key(struct seal *s)
{
	secret_clear(&s->other.bytes);
}

const char *
seal_other_key_id(const struct seal *s)
{
	return secret_is_empty(&s->other.bytes) ? NULL : s->other.id_hex;
}

void
seal_export_key(const struct seal *s, bool other, struct secret *out)
{
	secret_dup(out, other ? &s->other.bytes : &s->key.bytes);
}

void
seal_set_state(struct seal *s, const unsigned char id[SEAL_STATE_BYTES])
{
	memcpy(s->state, id, sizeof(s->state));
	hex_encode(s->state, sizeof(s->state), s->state_hex);
}

bool
seal_has_state(const struct seal *s)
{
	return s->state_hex[0] != '\0';
}

const char *
seal_state_id(const struct seal *s)
{
	return s->state_hex;
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
seal_begin(struct seal *s, const struct key *master, const struct layout *at,
    const unsigned char *head, const char *name, int encrypt)
{
	struct secret subkey _cleanup_(secret_clear) = SECRET_INIT;
	unsigned char *key = secret_alloc(&subkey, SEAL_KEY_BYTES);
	int n;

	return seal_hkdf(s, master, head + at->salt, at->info, name, key,
		   SEAL_KEY_BYTES) &&
	    EVP_CIPHER_CTX_reset(s->cipher_ctx) > 0 &&
	    EVP_CipherInit_ex2(s->cipher_ctx, s->cipher, key,
		head + at->nonce, encrypt, NULL) > 0 &&
	    EVP_CipherUpdate(s->cipher_ctx, NULL, &n, head,
		(int)at->head) > 0 &&
	    EVP_CipherUpdate(s->cipher_ctx, NULL, &n,
		(const unsigned char *)name, (int)strlen(name)) > 0;
}

/* All of the head, with fresh random numbers. */
static bool
seal_make_head(const struct seal *s, const struct layout *at,
    uint64_t version, unsigned char *b)
{
	memcpy(b, SEAL_MAGIC, sizeof(SEAL_MAGIC) - 1);
	b[SEAL_MAGIC_BYTES - 1] = '0' + SEAL_FORMAT;
	memcpy(b + SEAL_AT_ID, s->key.id, SEAL_ID_BYTES);
	memcpy(b + SEAL_AT_STATE, s->state, at->state);
	put_be64(b + at->version, version);
	return RAND_bytes(b + at->salt, SEAL_SALT_BYTES + SEAL_NONCE_BYTES) ==
	    1;
}

int
seal_close(struct seal *s, const char *name, uint64_t version,
    const struct secret *plain, unsigned char **out, size_t *out_len,
    struct tb_error *err)
{
	const struct layout *at = &layouts[SEAL_FORMAT];
	_cleanup_free_ unsigned char *b = NULL;
	size_t size = at->head + plain->len + SEAL_TAG_BYTES;
	unsigned char *body;
	int n = 0, rest = 0;
	bool ok;

	if (plain->len > INT_MAX - at->head - SEAL_TAG_BYTES)
		return tb_error_set(err, TB_E_LIMIT,
		    "record '%s' is too large to be sealed", name);
	assert(seal_has_state(s));
	b = xcalloc(1, size);
	body = b + at->head;
	if (!seal_make_head(s, at, version, b))
		return seal_fail(err, "getting random bytes");

	ok = seal_begin(s, &s->key, at, b, name, 1);
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
seal_decrypt(struct seal *s, const struct key *key, const struct layout *at,
    const char *name, const unsigned char *bytes, size_t len,
    struct secret *plain)
{
	struct secret text _cleanup_(secret_clear) = SECRET_INIT;
	size_t text_len = len - at->head - SEAL_TAG_BYTES;
	unsigned char *to = secret_alloc(&text, text_len);
	const unsigned char *body = bytes + at->head;
	int n = 0, rest = 0;
	bool ok = seal_begin(s, key, at, bytes, name, 0);

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

/* The format by the magic alone: 0 when it is none, INT_MAX for a later one. */
static unsigned
seal_format(const unsigned char *bytes, size_t len)
{
	if (len < SEAL_MAGIC_BYTES ||
	    memcmp(bytes, SEAL_MAGIC, sizeof(SEAL_MAGIC) - 1) != 0)
		return 0;
	switch (bytes[SEAL_MAGIC_BYTES - 1]) {
	case '1':
		return 1;
	case '2':
		return 2;
	case '3': case '4': case '5': case '6': case '7': case '8': case '9':
		return INT_MAX;
	default:
		return 0;
	}
}

static enum seal_verdict
seal_not_ours(const struct seal *s, const char *name,
    const unsigned char *bytes, struct tb_error *err)
{
	char theirs[2 * SEAL_ID_BYTES + 1];

	hex_encode(bytes + SEAL_AT_ID, SEAL_ID_BYTES, theirs);
	tb_error_set(err, TB_E_IO,
	    "record '%s' is sealed with master key %s, ours is %s", name,
	    theirs, s->key.id_hex);
	return SEAL_FOREIGN_KEY;
}

/* Which of the two keys, by its id; NULL: neither. */
static const struct key *
seal_key_of(const struct seal *s, const unsigned char *bytes)
{
	if (memcmp(bytes + SEAL_AT_ID, s->key.id, SEAL_ID_BYTES) == 0)
		return &s->key;
	if (!secret_is_empty(&s->other.bytes) &&
	    memcmp(bytes + SEAL_AT_ID, s->other.id, SEAL_ID_BYTES) == 0)
		return &s->other;
	return NULL;
}

static enum seal_verdict
seal_damaged(const char *name, struct tb_error *err)
{
	tb_error_set(err, TB_E_IO,
	    "record '%s' is damaged, altered or renamed", name);
	return SEAL_DAMAGED;
}

/* A byte that turned over in the magic does not make a later format: what
 * opens under an older one's was one of those. */
static bool
seal_is_spoiled_magic(struct seal *s, const char *name,
    const unsigned char *bytes, size_t len)
{
	_cleanup_free_ unsigned char *copy = xcalloc(1, len);
	struct secret plain _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error ignored = TB_ERROR_INIT;
	struct seal_info info;

	memcpy(copy, bytes, len);
	for (char c = '1'; c <= '0' + SEAL_FORMAT; c++) {
		copy[SEAL_MAGIC_BYTES - 1] = (unsigned char)c;
		if (seal_open(s, name, copy, len, &info, &plain,
			&ignored) == SEAL_OK)
			return true;
	}
	return false;
}

static enum seal_verdict
seal_check_form(const char *name, const unsigned char *bytes, size_t len,
    unsigned *format, struct tb_error *err)
{
	*format = seal_format(bytes, len);
	if (*format == INT_MAX) {
		tb_error_set(err, TB_E_CONFIG, "record '%s' has the format "
		    SEAL_MAGIC "%c of a later version of tokenbroker; this one "
		    "reads " SEAL_MAGIC "1 and " SEAL_MAGIC "%d", name,
		    bytes[SEAL_MAGIC_BYTES - 1], SEAL_FORMAT);
		return SEAL_NEWER;
	}
	if (*format == 0 || len > INT_MAX ||
	    len < layouts[*format].head + SEAL_TAG_BYTES) {
		tb_error_set(err, TB_E_IO,
		    "record '%s' is not a sealed record, or is cut short",
		    name);
		return SEAL_DAMAGED;
	}
	return SEAL_OK;
}

enum seal_verdict
seal_open(struct seal *s, const char *name, const unsigned char *bytes,
    size_t len, struct seal_info *info, struct secret *plain,
    struct tb_error *err)
{
	const struct layout *at;
	const struct key *key;
	unsigned format;
	enum seal_verdict v = seal_check_form(name, bytes, len, &format, err);

	if (v == SEAL_NEWER && seal_is_spoiled_magic(s, name, bytes, len))
		v = seal_damaged(name, err);
	if (v != SEAL_OK)
		return v;
	at = &layouts[format];
	key = seal_key_of(s, bytes);
	if (!key)
		return seal_not_ours(s, name, bytes, err);
	if (!seal_decrypt(s, key, at, name, bytes, len, plain))
		return seal_damaged(name, err);
	/* read only now: before, nobody vouched for it */
	*info = (struct seal_info){ .version = get_be64(bytes + at->version),
		.format = format, .other_key = key == &s->other };
	memcpy(info->state, bytes + SEAL_AT_STATE, at->state);
	if (format > 1 && seal_has_state(s) &&
	    memcmp(info->state, s->state, SEAL_STATE_BYTES) != 0) {
		secret_clear(plain);
		tb_error_set(err, TB_E_IO, "record '%s' belongs to another "
		    "state directory that is sealed with the same key", name);
		return SEAL_FOREIGN_STATE;
	}
	return SEAL_OK;
}

void
seal_set_fingerprint_key(struct seal *s, const struct secret *key)
{
	secret_dup(&s->fingerprint_key, key);
}

void
seal_get_fingerprint_key(const struct seal *s, struct secret *out)
{
	secret_dup(out, &s->fingerprint_key);
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

	if (!seal_hkdf(s, &s->key, NULL, SEAL_INFO_PURPOSE, purpose, to,
		SEAL_KEY_BYTES)) {
		secret_clear(out);
		return seal_fail(err, "deriving a key");
	}
	return 0;
}
