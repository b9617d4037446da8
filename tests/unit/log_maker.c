/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_maker - see the header.
 */
#include "log_maker.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/pem.h>

#include "base/util.h"

#define ZEROS "00000000000000000000000000000000000000000000000000000000000000" \
	"00"
#define TAIL ",\"hash\":\""
#define HEX 64

EVP_PKEY *
maker_key(unsigned char seed)
{
	unsigned char raw[32];

	memset(raw, seed, sizeof(raw));
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw,
	    sizeof(raw));
}

static void
to_hex(const unsigned char *bytes, size_t n, char *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void
maker_key_id(EVP_PKEY *key, char id[17])
{
	unsigned char raw[32], digest[32];
	size_t n = sizeof(raw);

	EVP_PKEY_get_raw_public_key(key, raw, &n);
	EVP_Digest(raw, n, digest, NULL, EVP_sha256(), NULL);
	to_hex(digest, 8, id);
}

void
maker_write_key(const char *path, EVP_PKEY *key, bool append)
{
	FILE *f = fopen(path, append ? "ae" : "we");
	char id[17];

	assert(f);
	maker_key_id(key, id);
	fprintf(f, "# key %s since 2026-11-22T17:20:00Z\n", id);
	PEM_write_PUBKEY(f, key);
	fclose(f);
}

void
maker_clear(struct maker_log *l)
{
	while (l->n)
		free(l->line[--l->n]);
}

static const char *
hash_in(const char *line)
{
	return line + strlen(line) - 2 - HEX;
}

static const char *
hash_before(const struct maker_log *l, size_t i)
{
	return i ? hash_in(l->line[i - 1]) : ZEROS;
}

/* body + `,"hash":...}` */
static char *
seal_line(const char *before, const char *body)
{
	_cleanup_free_ char *text = xasprintf("%.64s%s", before, body);
	unsigned char digest[32];
	char hex[HEX + 1];

	EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL);
	to_hex(digest, sizeof(digest), hex);
	return xasprintf("%s" TAIL "%s\"}", body, hex);
}

static void
append(struct maker_log *l, char *line)
{
	assert(l->n < MAKER_LINES);
	l->line[l->n++] = line;
}

void
maker_add(struct maker_log *l, const char *members)
{
	_cleanup_free_ char *body = xasprintf("{\"seq\":%zu,\"time\":"
	    "\"2026-11-22T17:%02zu:%02zu.000Z\",%s", l->n + 1,
	    l->n / 60 % 60, l->n % 60, members);

	append(l, seal_line(hash_before(l, l->n), body));
}

static char *
sign(EVP_PKEY *key, const char *before, const char *head)
{
	_cleanup_free_ char *text = xasprintf("tokenbroker audit checkpoint "
	    "1\n%.64s\n%s", before, head);
	unsigned char sig[64], b64[89];
	size_t n = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	EVP_DigestSignInit(ctx, NULL, NULL, NULL, key);
	EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text,
	    strlen(text));
	EVP_MD_CTX_free(ctx);
	EVP_EncodeBlock(b64, sig, (int)n);
	return xasprintf("%s,\"signature\":\"%s\"", head, b64);
}

static char *
checkpoint(EVP_PKEY *key, size_t seq, const char *before, size_t records)
{
	_cleanup_free_ char *head = NULL, *body = NULL;
	char id[17];

	maker_key_id(key, id);
	head = xasprintf("{\"seq\":%zu,\"time\":\"2026-11-22T17:%02zu:%02zu."
	    "000Z\",\"event\":\"checkpoint\",\"reason\":\"records\","
	    "\"records\":%zu,\"key\":\"%s\"", seq, (seq - 1) / 60 % 60,
	    (seq - 1) % 60, records, id);
	body = sign(key, before, head);
	return seal_line(before, body);
}

/* Lines since the checkpoint before, without either. */
static size_t
records_at(const struct maker_log *l, size_t i)
{
	size_t n = 0;

	while (n < i && !strstr(l->line[i - 1 - n], "\"checkpoint\""))
		n++;
	return n;
}

void
maker_add_checkpoint(struct maker_log *l, EVP_PKEY *key)
{
	append(l, checkpoint(key, l->n + 1, hash_before(l, l->n),
	    records_at(l, l->n)));
}

void
maker_add_key(struct maker_log *l, EVP_PKEY *key)
{
	_cleanup_free_ char *members = NULL;
	unsigned char raw[32], b64[45];
	size_t n = sizeof(raw);
	char id[17];

	EVP_PKEY_get_raw_public_key(key, raw, &n);
	EVP_EncodeBlock(b64, raw, (int)n);
	maker_key_id(key, id);
	members = xasprintf("\"event\":\"audit_key\",\"key\":\"%s\","
	    "\"public_key\":\"%s\"", id, b64);
	maker_add(l, members);
}

void
maker_fill(struct maker_log *l, size_t n, size_t every, EVP_PKEY *key)
{
	_cleanup_free_ char *members = NULL;

	while (l->n < n) {
		if (every && (l->n + 1) % every == 0) {
			maker_add_checkpoint(l, key);
			continue;
		}
		free(members);
		members = xasprintf("\"event\":\"sent\",\"uid\":%zu,"
		    "\"token\":\"db\",\"generation\":%zu", l->n % 7,
		    l->n / 10 + 1);
		maker_add(l, members);
	}
}

void
maker_copy(struct maker_log *to, const struct maker_log *from)
{
	size_t i;

	to->n = 0;
	for (i = 0; i < from->n; i++)
		append(to, xstrdup(from->line[i]));
}

/* ---------------------------------------------------------------- spoiling */

void
maker_drop(struct maker_log *l, size_t i, size_t n)
{
	size_t j;

	for (j = i; j < i + n; j++)
		free(l->line[j]);
	memmove(l->line + i, l->line + i + n,
	    (l->n - i - n) * sizeof(l->line[0]));
	l->n -= n;
}

void
maker_insert(struct maker_log *l, size_t at, const char *line)
{
	assert(l->n < MAKER_LINES);
	memmove(l->line + at + 1, l->line + at,
	    (l->n - at) * sizeof(l->line[0]));
	l->line[at] = xstrdup(line);
	l->n++;
}

void
maker_move(struct maker_log *l, size_t from, size_t to)
{
	_cleanup_free_ char *line = xstrdup(l->line[from]);

	maker_drop(l, from, 1);
	maker_insert(l, to, line);
}

void
maker_replace(struct maker_log *l, size_t i, const char *what,
    const char *with)
{
	char *at = strstr(l->line[i], what), *line;

	assert(at);
	line = xasprintf("%.*s%s%s", (int)(at - l->line[i]), l->line[i], with,
	    at + strlen(what));
	free(l->line[i]);
	l->line[i] = line;
}

void
maker_rehash(struct maker_log *l, size_t i)
{
	char *cut = strstr(l->line[i], TAIL), *line;

	*cut = '\0';
	line = seal_line(hash_before(l, i), l->line[i]);
	free(l->line[i]);
	l->line[i] = line;
}

void
maker_rechain(struct maker_log *l, size_t i, EVP_PKEY *key)
{
	char *rest, *line;

	for (; i < l->n; i++) {
		if (key && strstr(l->line[i], "\"checkpoint\"")) {
			line = checkpoint(key, i + 1, hash_before(l, i),
			    records_at(l, i));
		} else {
			rest = strchr(l->line[i], ',');
			line = xasprintf("{\"seq\":%zu%s", i + 1, rest);
		}
		free(l->line[i]);
		l->line[i] = line;
		if (!key || !strstr(line, "\"checkpoint\""))
			maker_rehash(l, i);
	}
}
