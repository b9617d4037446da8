/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * checkpoint - the lines of the audit log that are signed. The hash chain says
 * that nothing was changed in between two lines; a checkpoint says, by an
 * Ed25519 signature, that it was us who wrote them. Kept elsewhere, such a
 * line also shows a log that was cut off behind, or written anew. Pure: the
 * state of the chain in, text out.
 *
 *	{"seq":N,"time":...,"boot":...,"event":"checkpoint","reason":"time",
 *	 "records":K,"key":"KID","signature":"BASE64","hash":"H"}
 *
 * The signature is over "tokenbroker audit checkpoint 1\n", the 64 hex digits
 * of the previous line's hash, "\n", and the line's bytes up to and without
 * `,"signature"`.
 */
#include <stdint.h>

#include "base/secret.h"
#include "base/strbuf.h"
#include "state/chain.h"

struct checkpoint_key;
struct tb_error;

#define CHECKPOINT_SEED_BYTES 32
#define CHECKPOINT_ID_SIZE 17      /* 16 hex digits */
#define CHECKPOINT_PUBLIC_SIZE 45  /* base64 of 32 bytes */

/* A new random private key: what is sealed. Loop thread, as all secrets. */
int checkpoint_make_seed(struct secret *seed, struct tb_error *err);
/* Borrows seed. The key itself may be used by another thread, by one. */
struct checkpoint_key *checkpoint_key_new(const struct secret *seed,
    struct tb_error *err);
void checkpoint_key_free(struct checkpoint_key *k);
/* The first 16 hex digits of the SHA-256 of the raw public key. */
const char *checkpoint_key_id(const struct checkpoint_key *k);
/* Base64 of the raw public key. */
const char *checkpoint_key_public(const struct checkpoint_key *k);

/* Text for chain_append to sign and seal what `before` is the end of. head is
 * the line's beginning without seq, `{"time":...,"boot":...,"event":...`;
 * records and key are added. */
void checkpoint_build(const struct checkpoint_key *k,
    const struct chain_pos *before, const char *head, uint64_t records,
    struct strbuf *out);

/* ------------------------------------------------------------ public keys */

/* audit.pub: for each key a comment and a PEM block, newest last. */
#define CHECKPOINT_PUB_FILE "audit.pub"
void checkpoint_pub_add(const struct checkpoint_key *k, int64_t since_s,
    struct strbuf *out);

struct checkpoint_pub {
	char id[CHECKPOINT_ID_SIZE], public[CHECKPOINT_PUBLIC_SIZE];
	char since[40]; /* RFC 3339, "" when the comment does not say */
};
/* The next key of such a file behind *text, which moves; false: no more. A
 * block that is no Ed25519 key of ours is skipped. */
bool checkpoint_pub_next(const char **text, struct checkpoint_pub *out);
