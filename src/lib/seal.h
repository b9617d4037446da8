/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * seal - records at rest: AES-256-GCM under a subkey per record. The subkey is
 * HKDF-SHA256(master key, random salt of the record, "tokenbroker record 2" +
 * name); head and name are associated data, so that a record cannot be
 * renamed, nor brought in from another state, nor given another version.
 *
 * Sealed form: "TBR2" | key id (8) | state id (16) | version (8, big endian) |
 * salt (32) | nonce (12) | ciphertext | tag (16). The key id is the first 8
 * bytes of HKDF(master, "tokenbroker key id"): a wrong key is told from
 * damage. The state id is the random number of one state directory. "TBR1",
 * what 0.1.0 wrote, has none and is still read.
 *
 * While the master key is being changed a seal knows two keys: it opens what
 * either sealed, and seals with the first.
 */
#include <stdint.h>

#include "base/secret.h"

struct seal;
struct tb_error;

#define SEAL_KEY_BYTES 32
#define SEAL_STATE_BYTES 16
#define SEAL_FORMAT 2 /* what is written */

/* key: exactly 32 bytes, or 64 hexadecimal digits with or without a newline
 * (what `tokenbrokerctl init-key` writes). Borrowed. */
struct seal *seal_new(const struct secret *key, struct tb_error *err);
void seal_free(struct seal *s);
/* The same keys, state and fingerprints, for another thread. */
struct seal *seal_clone(const struct seal *s, struct tb_error *err);
/* 16 hex digits, for messages. */
const char *seal_key_id(const struct seal *s);

/* ------------------------------------------------------------ two keys */

/* The other key, which from now on opens records too; as for seal_new. One
 * that is there already is forgotten. */
int seal_add_key(struct seal *s, const struct secret *key,
    struct tb_error *err);
/* What sealed until now only opens, and the other way round. */
void seal_swap_keys(struct seal *s);
void seal_drop_other_key(struct seal *s);
/* NULL: there is none. */
const char *seal_other_key_id(const struct seal *s);
/* The 32 bytes of a key, to be sealed with the other one. */
void seal_export_key(const struct seal *s, bool other, struct secret *out);

/* --------------------------------------------------------------- records */

/* Until it is set, records of any state are opened, and none are sealed. */
void seal_set_state(struct seal *s, const unsigned char id[SEAL_STATE_BYTES]);
bool seal_has_state(const struct seal *s);
/* 32 hex digits, "" while there is none. */
const char *seal_state_id(const struct seal *s);

/* *out is malloc'd ciphertext (not secret), owned by the caller. */
int seal_close(struct seal *s, const char *name, uint64_t version,
    const struct secret *plain, unsigned char **out, size_t *out_len,
    struct tb_error *err);

enum seal_verdict {
	SEAL_OK,
	SEAL_FOREIGN_KEY,   /* well-formed, but under another master key */
	SEAL_FOREIGN_STATE, /* our key, but of another state directory */
	SEAL_NEWER,         /* of a format that a later version made */
	SEAL_DAMAGED,       /* not ours, truncated, altered, or renamed */
};
/* What is known of a record that opened. */
struct seal_info {
	uint64_t version;
	unsigned format; /* 1 or 2 */
	bool other_key;  /* sealed with the other key */
	unsigned char state[SEAL_STATE_BYTES]; /* zeroes in format 1 */
};
/* err says why when the verdict is not SEAL_OK. */
enum seal_verdict seal_open(struct seal *s, const char *name,
    const unsigned char *bytes, size_t len, struct seal_info *info,
    struct secret *plain, struct tb_error *err);

/* ----------------------------------------------------------- fingerprints */

/* Keyed fingerprint of a token value for audit and status: 16 hex digits of
 * HMAC-SHA256 under a key of its own, which is derived from the master key
 * unless seal_set_fingerprint_key gave another. Comparable, not reversible,
 * useless on another host. */
void seal_fingerprint(struct seal *s, const struct secret *value,
    char out[17]);
/* A change of the master key does not change fingerprints: the key they began
 * with is kept as a record. */
void seal_set_fingerprint_key(struct seal *s, const struct secret *key);
void seal_get_fingerprint_key(const struct seal *s, struct secret *out);
/* Another 32-byte key derived from the master key for `purpose`. */
int seal_derive(struct seal *s, const char *purpose, struct secret *out,
    struct tb_error *err);
