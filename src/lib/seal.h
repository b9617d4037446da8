/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * seal - records at rest: AES-256-GCM under a subkey per record. The subkey is
 * HKDF-SHA256(master key, random salt of the record, "tokenbroker record 1" +
 * name); name and version are associated data, so that a record cannot be
 * renamed, and one of another installation does not open.
 *
 * Sealed form: "TBR1" | key id (8) | version (8, big endian) | salt (32) |
 * nonce (12) | ciphertext | tag (16). The key id is the first 8 bytes of
 * HKDF(master, "tokenbroker key id"): a wrong key is told from damage.
 */
#include <stdint.h>

#include "base/secret.h"

struct seal;
struct tb_error;

#define SEAL_KEY_BYTES 32

/* key: exactly 32 bytes, or 64 hexadecimal digits with or without a newline
 * (what `tokenbrokerctl init-key` writes). Borrowed. */
struct seal *seal_new(const struct secret *key, struct tb_error *err);
void seal_free(struct seal *s);
/* 16 hex digits, for messages. */
const char *seal_key_id(const struct seal *s);

/* *out is malloc'd ciphertext (not secret), owned by the caller. */
int seal_close(struct seal *s, const char *name, uint64_t version,
    const struct secret *plain, unsigned char **out, size_t *out_len,
    struct tb_error *err);

enum seal_verdict {
	SEAL_OK,
	SEAL_FOREIGN_KEY, /* well-formed, but under another master key */
	SEAL_DAMAGED,     /* not ours, truncated, altered, or renamed */
};
/* err says why when the verdict is not SEAL_OK. */
enum seal_verdict seal_open(struct seal *s, const char *name,
    const unsigned char *bytes, size_t len, uint64_t *version,
    struct secret *plain, struct tb_error *err);

/* Keyed fingerprint of a token value for audit and status: 16 hex digits of
 * HMAC-SHA256 under a key derived from the master. Comparable, not
 * reversible, useless on another host. */
void seal_fingerprint(struct seal *s, const struct secret *value,
    char out[17]);
/* Another 32-byte key derived from the master key for `purpose`. */
int seal_derive(struct seal *s, const char *purpose, struct secret *out,
    struct tb_error *err);
