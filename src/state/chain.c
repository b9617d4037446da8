/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain - see the header. Sequence number and hash are put in here and not
 * where a line is composed, because only the writer knows which lines really
 * came before: one that could not be written has never been in the chain, and
 * leaves no gap.
 */
#include "state/chain.h"

#include <assert.h>
#include <openssl/evp.h>

#include "base/b64.h"
#include "base/tb_error.h"

#define CHAIN_HEAD "{\"seq\":"
#define CHAIN_TAIL ",\"hash\":\""
#define CHAIN_HEX 64
/* tail, digits, closing quote and brace */
#define CHAIN_END_BYTES (sizeof(CHAIN_TAIL) - 1 + CHAIN_HEX + 2)

const struct chain_pos chain_start = {
	.seq = 0,
	.hash = "0000000000000000000000000000000000000000000000000000000000"
	    "000000",
};

struct chain_hasher {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

struct chain_hasher *
chain_hasher_new(struct tb_error *err)
{
	struct chain_hasher *h = xnew(struct chain_hasher);

	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	if (!h->md || !h->ctx) {
		chain_hasher_free(h);
		tb_error_set(err, TB_E_IO, "libcrypto has no SHA-256");
		return NULL;
	}
	return h;
}

void
chain_hasher_free(struct chain_hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
}

static void
chain_hash(struct chain_hasher *h, const char *before, const char *line,
    size_t len, char out[65])
{
	unsigned char digest[32];
	unsigned int n = 0;

	/* no input can make these fail, only memory that is short */
	if (EVP_DigestInit_ex2(h->ctx, h->md, NULL) <= 0 ||
	    EVP_DigestUpdate(h->ctx, before, CHAIN_HEX) <= 0 ||
	    EVP_DigestUpdate(h->ctx, line, len) <= 0 ||
	    EVP_DigestFinal_ex(h->ctx, digest, &n) <= 0 || n != sizeof(digest))
		abort();
	hex_encode(digest, sizeof(digest), out);
}

/* By hand: printf is a tenth of what a line costs. */
static void
add_head(struct strbuf *out, uint64_t seq)
{
	char text[21];
	size_t at = sizeof(text);

	text[--at] = ',';
	do {
		text[--at] = (char)('0' + seq % 10);
		seq /= 10;
	} while (seq);
	strbuf_add(out, CHAIN_HEAD, sizeof(CHAIN_HEAD) - 1);
	strbuf_add(out, text + at, sizeof(text) - at);
}

void
chain_append(struct chain_hasher *h, struct chain_pos *pos, const char *text,
    size_t len, struct strbuf *out)
{
	size_t start = out->len;
	char hash[65];

	assert(len > 2 && text[0] == '{' && text[len - 1] == '}');
	add_head(out, ++pos->seq);
	strbuf_add(out, text + 1, len - 2);
	chain_hash(h, pos->hash, out->s + start, out->len - start, hash);
	memcpy(pos->hash, hash, sizeof(hash));
	strbuf_adds(out, CHAIN_TAIL);
	strbuf_add(out, hash, CHAIN_HEX);
	strbuf_add(out, "\"}\n", 3);
}

static bool
chain_is_hex(const char *s)
{
	return strspn(s, "0123456789abcdef") == CHAIN_HEX;
}

bool
chain_parse(const char *line, size_t len, struct chain_pos *pos)
{
	const size_t head = sizeof(CHAIN_HEAD) - 1;
	const char *end, *p;
	uint64_t seq = 0;
	char hash[65];

	if (len < head + 2 + CHAIN_END_BYTES ||
	    memcmp(line, CHAIN_HEAD, head) != 0 || memchr(line, '\0', len))
		return false;
	for (p = line + head; *p >= '0' && *p <= '9'; p++) {
		if (seq > (UINT64_MAX - 9) / 10)
			return false;
		seq = 10 * seq + (uint64_t)(*p - '0');
	}
	if (p == line + head || *p != ',' || seq == 0)
		return false;
	end = line + len - CHAIN_END_BYTES;
	if (memcmp(end, CHAIN_TAIL, sizeof(CHAIN_TAIL) - 1) != 0 ||
	    memcmp(line + len - 2, "\"}", 2) != 0)
		return false;
	memcpy(hash, line + len - 2 - CHAIN_HEX, CHAIN_HEX);
	hash[CHAIN_HEX] = '\0';
	if (!chain_is_hex(hash))
		return false;
	pos->seq = seq;
	memcpy(pos->hash, hash, sizeof(hash));
	return true;
}
