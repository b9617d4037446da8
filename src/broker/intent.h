/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * intent - "a mint with this nonce may be under way": on disk before the call
 * that creates a token leaves this host, gone when its outcome is known. An
 * intent found at start, or left by a lost reply, is settled (broker/settle).
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "broker/installation.h"

struct tb_error;

#define INTENT_NONCE_LEN 32 /* hexadecimal digits: 128 bits */

struct intent {
	char nonce[INTENT_NONCE_LEN + 1];
	uint64_t generation;
	int64_t created_at; /* epoch seconds */
	int64_t expires_at; /* of the token that was asked for */
	char *backend;
	bool endless; /* what it may have made is not over at expires_at */
};

struct intent *intent_new(uint64_t generation, const char *backend,
    int64_t created_at, int64_t expires_at);
void intent_free(struct intent *i); /* NULL is fine */

/* The text that marks a token upstream as ours; owned by the caller:
 * "PREFIX [tokenbroker HOST/INSTALLATION TOKEN #GENERATION NONCE]" */
char *intent_description(const struct intent *i, const char *prefix,
    const char *installation, const char *token);

/* Such a mark, read again. */
struct intent_mark {
	char installation[INSTALLATION_LEN + 1]; /* "": made by 0.2 */
	char token[257];
	uint64_t generation;
	char nonce[INTENT_NONCE_LEN + 1];
};
/* The last mark in a description, or what a backend made of it where a token
 * has only a name. It is others' text: true only when every
 * part has the form of one that we write. */
bool intent_read_mark(const char *description, struct intent_mark *out);

void intent_encode(const struct intent *i, struct secret *out);
struct intent *intent_decode(const struct secret *in, struct tb_error *err);
