/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * mint - operation: make one token at a service, with its write-ahead (P2):
 * the intent is durable before the call. One attempt; when to try again is
 * the token's decision. Contract: lib/http.h, save that a cancelled mint whose
 * call had left keeps its intent on disk, to be settled at the next start.
 */
#include "broker/intent.h"
#include "broker/token.h"

struct mint;

struct mint_result {
	struct secret value; /* may be moved */
	char *id;            /* upstream id or NULL; may be moved */
	int64_t expires_at;
	bool endless; /* expires_at is ours to bring about */
	/* what it was made for: a reload may have changed it since. Borrowed */
	const struct token_conf *tc;
	char nonce[INTENT_NONCE_LEN + 1]; /* "" without write-ahead */
};

/* r on success. On failure *open is set when a token may exist upstream: it
 * is the intent, to be taken (STEAL) and settled; otherwise its record is
 * gone already. After success the record is the token's to delete, once the
 * generation is durable. */
typedef void mint_done_fn(void *arg, struct mint_result *r,
    struct intent **open, const struct tb_error *err);

struct mint *mint_start(const struct token_env *env, const struct conf *conf,
    const struct token_conf *tc, uint64_t generation, int64_t min_valid_s,
    mint_done_fn *done, void *arg);
/* By which configuration it mints; borrowed from it, to the end of done. */
const struct conf *mint_conf(const struct mint *m,
    const struct token_conf **tc);

/* NULL before the intent; borrowed. */
const char *mint_nonce(const struct mint *m);

void mint_cancel(struct mint **m);
/* As cancel, but this process goes on: when the call has left, gives the
 * intent to settle, else NULL and no record stays. *m may be NULL. */
struct intent *mint_abandon(struct mint **m);
