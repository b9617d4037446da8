/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest - see the header.
 */
#include "audit/digest.h"

#include <openssl/evp.h>

#include "base/b64.h"
#include "base/tb_error.h"

int
digest_init(struct digest *d, struct tb_error *err)
{
	d->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	d->ctx = EVP_MD_CTX_new();
	if (d->md && d->ctx)
		return 0;
	return tb_error_set(err, TB_E_IO, "libcrypto has no SHA-256");
}

void
digest_clear(struct digest *d)
{
	EVP_MD_CTX_free(d->ctx);
	EVP_MD_free(d->md);
	*d = (struct digest){ NULL, NULL };
}

void
digest_line(struct digest *d, const char *before, const char *line, size_t len,
    char out[SCAN_HEX])
{
	unsigned char bytes[SCAN_HEX / 2];
	char hex[SCAN_HEX + 1];

	/* no input can make these fail, only memory that is short */
	if (EVP_DigestInit_ex2(d->ctx, d->md, NULL) <= 0 ||
	    EVP_DigestUpdate(d->ctx, before, SCAN_HEX) <= 0 ||
	    EVP_DigestUpdate(d->ctx, line, len) <= 0 ||
	    EVP_DigestFinal_ex(d->ctx, bytes, NULL) <= 0)
		abort();
	hex_encode(bytes, sizeof(bytes), hex);
	memcpy(out, hex, SCAN_HEX);
}

bool
digest_fits(struct digest *d, const char *before, const char *line,
    const struct scan *s)
{
	char hash[SCAN_HEX];

	digest_line(d, before, line, s->body_len, hash);
	return memcmp(hash, s->hash, SCAN_HEX) == 0;
}
