/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys - see the header.
 */
#include "audit/keys.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "audit/scan.h"
#include "base/b64.h"
#include "base/strbuf.h"
#include "base/tb_error.h"

#define RAW_BYTES 32
#define SIGNATURE_BYTES 64
#define DOMAIN "tokenbroker audit checkpoint 1\n"
#define SIGNATURE_HEAD ",\"signature\":\""

struct key {
	char id[KEYS_ID_SIZE];
	EVP_PKEY *pkey;
	bool trusted;
};

struct keys {
	struct key *key;
	size_t n;
};

struct keys *
keys_new(void)
{
	return xnew(struct keys);
}

void
keys_free(struct keys *k)
{
	size_t i;

	if (!k)
		return;
	for (i = 0; i < k->n; i++)
		EVP_PKEY_free(k->key[i].pkey);
	free(k->key);
	free(k);
}

static struct key *
keys_find(const struct keys *k, const char *id, size_t len)
{
	size_t i;

	for (i = 0; i < k->n; i++)
		if (len == KEYS_ID_SIZE - 1 &&
		    memcmp(k->key[i].id, id, len) == 0)
			return &k->key[i];
	return NULL;
}

/* The first 16 digits of SHA-256 over the raw key. */
static bool
key_id(const EVP_PKEY *pkey, char id[KEYS_ID_SIZE])
{
	unsigned char raw[RAW_BYTES], digest[32];
	size_t n = sizeof(raw);
	char hex[65];

	if (EVP_PKEY_get_raw_public_key(pkey, raw, &n) <= 0 ||
	    n != sizeof(raw) ||
	    !EVP_Digest(raw, n, digest, NULL, EVP_sha256(), NULL))
		return false;
	hex_encode(digest, sizeof(digest), hex);
	memcpy(id, hex, KEYS_ID_SIZE - 1);
	id[KEYS_ID_SIZE - 1] = '\0';
	return true;
}

/* Takes pkey. False: no Ed25519 key. */
static bool
keys_add(struct keys *k, EVP_PKEY *pkey, bool trusted)
{
	struct key *old;
	char id[KEYS_ID_SIZE];

	if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519 || !key_id(pkey, id)) {
		EVP_PKEY_free(pkey);
		return false;
	}
	old = keys_find(k, id, KEYS_ID_SIZE - 1);
	if (old) {
		old->trusted |= trusted;
		EVP_PKEY_free(pkey);
		return true;
	}
	k->key = xreallocarray(k->key, k->n + 1, sizeof(k->key[0]));
	k->key[k->n] = (struct key){ .pkey = pkey, .trusted = trusted };
	memcpy(k->key[k->n++].id, id, sizeof(id));
	return true;
}

/* One PEM block. NULL: none, or no key that libcrypto can read. */
static EVP_PKEY *
read_block(FILE *f, bool *end)
{
	unsigned char *data = NULL;
	char *name = NULL, *header = NULL;
	const unsigned char *p;
	EVP_PKEY *pkey = NULL;
	long len;

	*end = false;
	if (PEM_read(f, &name, &header, &data, &len) <= 0) {
		*end = ERR_GET_REASON(ERR_peek_last_error()) ==
		    PEM_R_NO_START_LINE;
	} else {
		p = data;
		if (strcmp(name, PEM_STRING_PUBLIC) == 0)
			pkey = d2i_PUBKEY(NULL, &p, len);
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	ERR_clear_error();
	return pkey;
}

int
keys_load(struct keys *k, const char *path, struct tb_error *err)
{
	FILE *f _cleanup_(fclosep) = fopen(path, "re");
	size_t before = k->n;
	EVP_PKEY *pkey;
	bool end;

	if (!f)
		return tb_error_errno(err, TB_E_IO, errno, "cannot read the "
		    "key file %s", path);
	while ((pkey = read_block(f, &end)))
		if (!keys_add(k, pkey, true))
			return tb_error_set(err, TB_E_BADREQ, "%s: holds a "
			    "key that is not Ed25519", path);
	if (k->n == before || !end)
		return tb_error_set(err, TB_E_BADREQ, "%s: %s; the daemon "
		    "writes its public keys to audit.pub, next to the log",
		    path, k->n == before ? "holds no public key in PEM form" :
		    "one of its keys is damaged");
	return 0;
}

size_t
keys_count(const struct keys *k)
{
	size_t i, n = 0;

	for (i = 0; i < k->n; i++)
		n += k->key[i].trusted;
	return n;
}

/* Exactly n bytes of standard base64, in its one spelling. */
static bool
decode(const struct scan_member *m, unsigned char *out, size_t n)
{
	_cleanup_free_ unsigned char *bytes = NULL;
	_cleanup_free_ char *copy = NULL;
	size_t len, i, pads = (3 - n % 3) % 3;

	if (!m || m->escaped || m->value_len != (n + 2) / 3 * 4)
		return false;
	copy = xstrndup(m->value, m->value_len);
	len = m->value_len - pads;
	for (i = 0; i < m->value_len; i++) {
		if ((i >= len) != (copy[i] == '=') || copy[i] == '-' ||
		    copy[i] == '_')
			return false;
		copy[i] = copy[i] == '+' ? '-' : copy[i] == '/' ? '_' :
		    copy[i];
	}
	if (!b64url_decode(copy, len, &bytes, &i) || i != n)
		return false;
	memcpy(out, bytes, n);
	return true;
}

bool
keys_announce(struct keys *k, const struct scan *line)
{
	const struct scan_member *id = scan_string(line, SCAN_KEY);
	unsigned char raw[RAW_BYTES];
	EVP_PKEY *pkey;

	if (!id || !decode(scan_string(line, SCAN_PUBLIC_KEY), raw,
	    sizeof(raw)))
		return false;
	pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw,
	    sizeof(raw));
	return pkey && keys_add(k, pkey, false) &&
	    keys_find(k, id->value, id->value_len) != NULL;
}

void
keys_accept(struct keys *k)
{
	size_t i;

	for (i = 0; i < k->n; i++)
		k->key[i].trusted = true;
}

const char *
keys_check_form(const struct scan *scan)
{
	const struct scan_member *id = scan_string(scan, SCAN_KEY);
	const struct scan_member *sig = scan_string(scan, SCAN_SIGNATURE);
	unsigned char bytes[SIGNATURE_BYTES];

	if (!id || id->value_len != KEYS_ID_SIZE - 1)
		return "no \"key\" of 16 digits";
	if (!decode(sig, bytes, sizeof(bytes)))
		return "no \"signature\" of 64 bytes in base64";
	if (scan->at[SCAN_SIGNATURE] != (int)scan->n - 2)
		return "\"signature\" does not stand right in front of "
		    "\"hash\"";
	return NULL;
}

static bool
key_verifies(EVP_PKEY *pkey, const struct strbuf *text,
    const unsigned char *signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx &&
	    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) > 0 &&
	    EVP_DigestVerify(ctx, signature, SIGNATURE_BYTES,
		(const unsigned char *)text->s, text->len) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

enum keys_verdict
keys_check(struct keys *k, const char *line, const struct scan *scan,
    const char *before)
{
	const struct scan_member *id = scan_string(scan, SCAN_KEY);
	const struct scan_member *sig = scan_string(scan, SCAN_SIGNATURE);
	struct strbuf text _cleanup_(strbuf_clear) = STRBUF_INIT;
	unsigned char bytes[SIGNATURE_BYTES];
	const struct key *key;

	key = keys_find(k, id->value, id->value_len);
	if (!key || !key->trusted)
		return KEYS_UNKNOWN;
	if (!decode(sig, bytes, sizeof(bytes)))
		return KEYS_BAD;
	strbuf_adds(&text, DOMAIN);
	strbuf_add(&text, before, SCAN_HEX);
	strbuf_addc(&text, '\n');
	strbuf_add(&text, line, (size_t)(sig->value - line) -
	    (sizeof(SIGNATURE_HEAD) - 1));
	return key_verifies(key->pkey, &text, bytes) ? KEYS_GOOD : KEYS_BAD;
}
