/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * digest - the hash of a line: SHA-256 over the hash of the line before and
 * the line's own bytes. The algorithm is fetched once.
 */
#include <stdbool.h>
#include <stddef.h>

#include <openssl/types.h>

#include "audit/scan.h"

struct tb_error;

struct digest {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

int digest_init(struct digest *d, struct tb_error *err);
void digest_clear(struct digest *d);

/* before and out: SCAN_HEX digits. */
void digest_line(struct digest *d, const char *before, const char *line,
    size_t len, char out[SCAN_HEX]);
/* The hash in the line is that. */
bool digest_fits(struct digest *d, const char *before, const char *line,
    const struct scan *s);
