/* SPDX-License-Identifier: Apache-2.0 */
#include "trail_fixture.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/util.h"

/* -------------------------------------------------------------- signatures */

/* The n-th key in audit.pub whose comment names id. */
static EVP_PKEY *
read_key(const char *pub, const char *id)
{
	_cleanup_free_ char *comment = xasprintf("# key %s since ", id);
	const char *at = strstr(pub, comment);
	EVP_PKEY *pkey;
	BIO *bio;

	if (!at)
		fail_msg("no key %s in audit.pub: %s", id, pub);
	bio = BIO_new_mem_buf(at, -1);
	pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	assert_non_null(pkey);
	BIO_free(bio);
	return pkey;
}

static void
verify_checkpoint(const char *pub, const char *before, const char *line)
{
	const char *sig = strstr(line, ",\"signature\":\"");
	const char *id = strstr(line, ",\"key\":\"");
	_cleanup_free_ char *bytes = NULL, *name = NULL;
	unsigned char raw[66];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *pkey;

	assert_non_null(sig);
	assert_non_null(id);
	name = xstrndup(id + 8, 16);
	bytes = xasprintf("tokenbroker audit checkpoint 1\n%.64s\n%.*s",
	    before, (int)(sig - line), line);
	pkey = read_key(pub, name);
	assert_int_equal(EVP_DecodeBlock(raw, (const unsigned char *)sig + 14,
	    88), 66);
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey), 1);
	if (EVP_DigestVerify(ctx, raw, 64, (unsigned char *)bytes,
		strlen(bytes)) != 1)
		fail_msg("the signature is wrong: %s", line);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
}

/* All lines of all files, in order, without those that a condemned file has
 * behind its end; to be freed. */
char *
trail_read_all(struct state_fixture *f)
{
	_cleanup_free_ char *list = state_list(f->log_dir);
	char *all = xstrdup(""), *save = NULL, *name, *more;
	char *names[128];
	size_t n = 0, i;

	for (name = strtok_r(list, " ", &save); name;
	    name = strtok_r(NULL, " ", &save))
		if (strncmp(name, "audit-", 6) == 0)
			names[n++] = name;
	names[n++] = (char *)"audit.jsonl";
	for (i = 0; i < n; i++) {
		_cleanup_free_ char *text = state_read(f->log_dir, names[i]);
		unsigned long long last = ULLONG_MAX, seq;
		char *keep = text, *line, *end;

		sscanf(names[i], "audit-%llu", &last);
		for (line = text; (end = strchr(line, '\n')); line = end + 1)
			if (sscanf(line, "{\"seq\":%llu,", &seq) == 1 &&
			    seq <= last)
				keep = end + 1;
		*keep = '\0';
		more = xasprintf("%s%s", all, text);
		free(all);
		all = more;
	}
	return all;
}

/* Checks the chain, every checkpoint's signature and count. Returns how many
 * checkpoints there are; *reasons: "started time ...", to be freed. */
unsigned
trail_verify(struct state_fixture *f, char **reasons)
{
	_cleanup_free_ char *all = trail_read_all(f);
	_cleanup_free_ char *pub = state_read(f->log_dir, "audit.pub");
	char before[65], *save = NULL, *line;
	unsigned n = 0, since = 0, records;
	struct strbuf b = STRBUF_INIT;

	state_verify_chain(f, true);
	memset(before, '0', 64);
	before[64] = '\0';
	for (line = strtok_r(all, "\n", &save); line;
	    line = strtok_r(NULL, "\n", &save)) {
		if (strstr(line, ",\"event\":\"checkpoint\",")) {
			assert_non_null(pub);
			verify_checkpoint(pub, before, line);
			assert_int_equal(sscanf(strstr(line, "\"records\":"),
			    "\"records\":%u", &records), 1);
			assert_int_equal(records, since);
			since = 0;
			n++;
			line = strstr(line, "\"reason\":\"") + 10;
			strbuf_addf(&b, "%s%.*s", b.len ? " " : "",
			    (int)strcspn(line, "\""), line);
		} else {
			since++;
		}
		memcpy(before, strstr(line, "\"hash\":\"") + 8, 64);
	}
	if (reasons)
		*reasons = strbuf_steal(&b);
	strbuf_clear(&b);
	return n;
}

void
trail_assert_reasons(struct state_fixture *f, const char *expected)
{
	_cleanup_free_ char *reasons = NULL;

	trail_verify(f, &reasons);
	assert_string_equal(reasons, expected);
}

/* ----------------------------------------------------------------- the key */

struct checkpoint_key *
trail_make_key(char c)
{
	struct secret seed _cleanup_(secret_clear) = SECRET_INIT;
	struct tb_error err = TB_ERROR_INIT;
	struct checkpoint_key *k;

	memset(secret_alloc(&seed, CHECKPOINT_SEED_BYTES), c,
	    CHECKPOINT_SEED_BYTES);
	k = checkpoint_key_new(&seed, &err);
	assert_non_null(k);
	return k;
}

void
trail_give_key(struct state_fixture *f, char c)
{
	writer_put_key(f->writer, trail_make_key(c));
}

void
trail_put(struct state_fixture *f, const char *name)
{
	state_put_line(f, name, true);
	assert_true(state_wait_done(f, 1));
}

void
trail_small_files(struct state_fixture *f, unsigned size, unsigned keep)
{
	state_stop(f);
	f->env.audit_max_size = size;
	f->env.audit_keep_files = keep;
	state_restart(f);
	trail_give_key(f, 'a');
}

size_t
trail_count_files(struct state_fixture *f)
{
	_cleanup_free_ char *list = state_list(f->log_dir);
	const char *p = list;
	size_t n = 0;

	while ((p = strstr(p, "audit-"))) {
		n++;
		p++;
	}
	return n;
}
