/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * names - ids that a service gave for names, for a few minutes: many tokens
 * minted at once ask for each name once. Not for longer, since a bucket that
 * was deleted and made again has another id, and a service may take the old
 * one without a word. NULL for the cache itself is fine everywhere.
 */
#include <stdint.h>

struct names;

struct names *names_new(void);
void names_free(struct names *n);

/* Borrowed until the next call; NULL: not known. kind keeps apart what may
 * have the same name. */
const char *names_get(const struct names *n, const char *kind,
    const char *name, int64_t now_s);
void names_put(struct names *n, const char *kind, const char *name,
    const char *id, int64_t now_s);
/* All of it: something known was wrong. */
void names_forget(struct names *n);
