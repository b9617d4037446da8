/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log_maker - audit logs for tests of those who read them: written by a second
 * hand (nothing of src/state), and then spoiled in every way.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#define MAKER_LINES 512

struct maker_log {
	char *line[MAKER_LINES]; /* without newline */
	size_t n;
};

/* Same seed, same key. */
EVP_PKEY *maker_key(unsigned char seed);
void maker_key_id(EVP_PKEY *key, char id[17]);
/* PEM, in a file. */
void maker_write_key(const char *path, EVP_PKEY *key, bool append);

void maker_clear(struct maker_log *l);
/* members: `"event":"sent",...`, between seq and hash. */
void maker_add(struct maker_log *l, const char *members);
void maker_add_checkpoint(struct maker_log *l, EVP_PKEY *key);
void maker_add_key(struct maker_log *l, EVP_PKEY *key);
/* n lines in all, a checkpoint after every `every` lines. */
void maker_fill(struct maker_log *l, size_t n, size_t every, EVP_PKEY *key);
void maker_copy(struct maker_log *to, const struct maker_log *from);

/* Spoiling. i counts from 0. */
void maker_drop(struct maker_log *l, size_t i, size_t n);
void maker_insert(struct maker_log *l, size_t at, const char *line);
void maker_move(struct maker_log *l, size_t from, size_t to);
void maker_replace(struct maker_log *l, size_t i, const char *what,
    const char *with);
/* The hash of one line is made to fit again. */
void maker_rehash(struct maker_log *l, size_t i);
/* All from i on, and the numbers; key: checkpoints are signed anew with it,
 * NULL: they keep their signatures. */
void maker_rechain(struct maker_log *l, size_t i, EVP_PKEY *key);
