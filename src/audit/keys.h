/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * keys - public keys of checkpoints, and whom to believe. Trusted are those of
 * the key file; and a key that a line of the log announces, from the moment
 * on that a checkpoint of a trusted key covers that line: whoever held the old
 * key has vouched for the new one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keys;
struct scan;
struct tb_error;

#define KEYS_ID_SIZE 17

struct keys *keys_new(void);
void keys_free(struct keys *k);

/* PEM blocks of Ed25519 public keys; what stands between them is comment. */
int keys_load(struct keys *k, const char *path, struct tb_error *err);
size_t keys_count(const struct keys *k);

/* An `audit_key` line; false: it does not make sense. */
bool keys_announce(struct keys *k, const struct scan *line);
/* What was announced so far is trusted from now on. */
void keys_accept(struct keys *k);

enum keys_verdict { KEYS_GOOD, KEYS_BAD, KEYS_UNKNOWN };
/* The signature of a checkpoint: scan is that of the line, before the hash of
 * the line in front of it. */
enum keys_verdict keys_check(struct keys *k, const char *line,
    const struct scan *scan, const char *before);
/* NULL, or what is wrong with its form. */
const char *keys_check_form(const struct scan *scan);
