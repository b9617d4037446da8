/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint - see the header. A SubjectPublicKeyInfo of Ed25519 is 12 fixed
 * bytes and the key (RFC 8410), so no ASN.1 is needed to write or read one.
 */
#include "state/checkpoint.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/b64.h"
#include "base/tb_error.h"
#include "base/timefmt.h"

#define RAW_BYTES 32
#define SIGNATURE_BYTES 64
#define LABEL "tokenbroker audit checkpoint 1\n"
#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----\n"
#define PEM_END "\n-----END PUBLIC KEY-----\n"
#define COMMENT "# key "
#define COMMENT_SINCE " since "

static const unsigned char spki_head[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
	0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };
#define SPKI_BYTES (sizeof(spki_head) + RAW_BYTES)
#define SPKI_TEXT_BYTES (4 * ((SPKI_BYTES + 2) / 3))

struct checkpoint_key {
	EVP_PKEY *pkey;
	unsigned char raw[RAW_BYTES]; /* public */
	char id[CHECKPOINT_ID_SIZE], public[CHECKPOINT_PUBLIC_SIZE];
};

int
checkpoint_make_seed(struct secret *seed, struct tb_error *err)
{
	unsigned char *p = secret_alloc(seed, CHECKPOINT_SEED_BYTES);

	if (RAND_priv_bytes(p, CHECKPOINT_SEED_BYTES) == 1)
		return 0;
	secret_clear(seed);
	return tb_error_set(err, TB_E_IO, "libcrypto has no random bytes");
}

/* out: CHECKPOINT_ID_SIZE. */
static void
key_id(const unsigned char raw[RAW_BYTES], char *out)
{
	unsigned char digest[32];
	unsigned int n = 0;

	if (EVP_Digest(raw, RAW_BYTES, digest, &n, EVP_sha256(), NULL) != 1)
		abort(); /* only memory that is short */
	hex_encode(digest, (CHECKPOINT_ID_SIZE - 1) / 2, out);
}

static void
encode(const unsigned char *bytes, size_t len, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

struct checkpoint_key *
checkpoint_key_new(const struct secret *seed, struct tb_error *err)
{
	struct checkpoint_key *k = xnew(struct checkpoint_key);
	size_t n = RAW_BYTES;

	if (seed->len == CHECKPOINT_SEED_BYTES)
		k->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL,
		    (const unsigned char *)secret_reveal(seed), seed->len);
	if (!k->pkey ||
	    EVP_PKEY_get_raw_public_key(k->pkey, k->raw, &n) != 1) {
		checkpoint_key_free(k);
		tb_error_set(err, TB_E_PROTO, "this is no Ed25519 key of %d "
		    "bytes", CHECKPOINT_SEED_BYTES);
		return NULL;
	}
	key_id(k->raw, k->id);
	encode(k->raw, RAW_BYTES, k->public);
	return k;
}

void
checkpoint_key_free(struct checkpoint_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey); /* wipes */
	free(k);
}

const char *
checkpoint_key_id(const struct checkpoint_key *k)
{
	return k->id;
}

const char *
checkpoint_key_public(const struct checkpoint_key *k)
{
	return k->public;
}

static void
sign(const struct checkpoint_key *k, const struct strbuf *what, char *out)
{
	unsigned char signature[SIGNATURE_BYTES];
	size_t n = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	/* once per thousand lines: no context is kept */
	if (!ctx ||
	    EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) != 1 ||
	    EVP_DigestSign(ctx, signature, &n,
		(const unsigned char *)what->s, what->len) != 1 ||
	    n != sizeof(signature))
		abort(); /* only memory that is short */
	EVP_MD_CTX_free(ctx);
	encode(signature, sizeof(signature), out);
}

void
checkpoint_build(const struct checkpoint_key *k,
    const struct chain_pos *before, const char *head, uint64_t records,
    struct strbuf *out)
{
	struct strbuf what _cleanup_(strbuf_clear) = STRBUF_INIT;
	char signature[4 * ((SIGNATURE_BYTES + 2) / 3) + 1];
	size_t start = out->len;

	strbuf_addf(out, "%s,\"records\":%" PRIu64 ",\"key\":\"%s\"", head,
	    records, k->id);
	/* as it will stand in the file: see chain_append */
	strbuf_addf(&what, LABEL "%s\n{\"seq\":%" PRIu64 ",%s", before->hash,
	    before->seq + 1, out->s + start + 1);
	sign(k, &what, signature);
	strbuf_addf(out, ",\"signature\":\"%s\"}", signature);
}

/* ------------------------------------------------------------ public keys */

void
checkpoint_pub_add(const struct checkpoint_key *k, int64_t since_s,
    struct strbuf *out)
{
	unsigned char spki[SPKI_BYTES];
	char text[SPKI_TEXT_BYTES + 1], since[TIMEFMT_SIZE];

	memcpy(spki, spki_head, sizeof(spki_head));
	memcpy(spki + sizeof(spki_head), k->raw, RAW_BYTES);
	encode(spki, sizeof(spki), text);
	strbuf_addf(out, COMMENT "%s" COMMENT_SINCE "%s\n" PEM_BEGIN "%s"
	    PEM_END, k->id, timefmt_rfc3339(since_s, since, sizeof(since)),
	    text);
}

/* A PEM block's base64 (one line, as we write it) into raw. */
static bool
decode_spki(const char *text, unsigned char raw[RAW_BYTES])
{
	unsigned char spki[SPKI_TEXT_BYTES];

	_Static_assert(SPKI_TEXT_BYTES == 60 && SPKI_BYTES == 44,
	    "one = of padding");
	if (strnlen(text, SPKI_TEXT_BYTES) < SPKI_TEXT_BYTES ||
	    strncmp(text + SPKI_TEXT_BYTES, PEM_END, sizeof(PEM_END) - 1) != 0
	    || EVP_DecodeBlock(spki, (const unsigned char *)text,
		SPKI_TEXT_BYTES) != SPKI_TEXT_BYTES / 4 * 3 ||
	    memcmp(spki, spki_head, sizeof(spki_head)) != 0)
		return false;
	memcpy(raw, spki + sizeof(spki_head), RAW_BYTES);
	return true;
}

/* "# key ID since TIME\n" right in front of `block`, somewhere behind begin. */
static void
read_since(const char *begin, const char *block, struct checkpoint_pub *out)
{
	_cleanup_free_ char *comment = xasprintf(COMMENT "%s" COMMENT_SINCE,
	    out->id);
	const char *p = memmem(begin, (size_t)(block - begin), comment,
	    strlen(comment));
	int64_t epoch_s;
	size_t n;

	out->since[0] = '\0';
	if (!p)
		return;
	p += strlen(comment);
	n = strcspn(p, "\n");
	if (n >= sizeof(out->since))
		return;
	memcpy(out->since, p, n);
	out->since[n] = '\0';
	if (!timefmt_parse_rfc3339(out->since, &epoch_s))
		out->since[0] = '\0';
}

bool
checkpoint_pub_next(const char **text, struct checkpoint_pub *out)
{
	const char *begin = *text, *block;
	unsigned char raw[RAW_BYTES];

	while ((block = strstr(*text, PEM_BEGIN))) {
		*text = block + sizeof(PEM_BEGIN) - 1;
		if (!decode_spki(*text, raw))
			continue;
		key_id(raw, out->id);
		encode(raw, RAW_BYTES, out->public);
		read_since(begin, block, out);
		return true;
	}
	return false;
}
