/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * secret - bytes that must never be seen: tokens, codes, client secrets, keys,
 * and the bodies of requests and replies that carry them.
 *
 * A struct secret owns its bytes. It is never copied by '=', only moved
 * (secret_move) or duplicated (secret_dup). Its memory comes from locked,
 * non-dumpable pages (mlock(2), MADV_DONTDUMP), is followed by a NUL that
 * does not count in len, and is wiped before it is given back: all of the
 * allocation, not only len. The logger cannot take one. secret_reveal() is
 * the only door to the bytes; tests/lint/reveal.txt lists who may use it.
 *
 * Two traps: all of it belongs to one thread (the loop's), and a forked child
 * sees zeroes in its place (MADV_WIPEONFORK), so what a child needs must be
 * made in the child, or copied out before fork(2).
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

struct tb_error;

struct secret {
	unsigned char *bytes; /* private: use secret_reveal() */
	size_t len;
	size_t cap; /* private: size of the allocation */
};

#define SECRET_INIT { NULL, 0, 0 }

/* Sets up the locked pages now, so that a limit shows at start and not later.
 * Fails with TB_E_LIMIT (RLIMIT_MEMLOCK too small) and says the remedy.
 * Without this call pages are made on first use, locked when possible. */
int secret_memory_init(size_t bytes, struct tb_error *err);

/* A copy of the bytes. s is cleared first. */
void secret_set(struct secret *s, const void *bytes, size_t len);
void secret_set_str(struct secret *s, const char *str);

/* len zero bytes to be filled through the returned pointer. Clears s first. */
unsigned char *secret_alloc(struct secret *s, size_t len);

/* Grows by copying to new memory and wiping the old. */
void secret_append(struct secret *s, const void *bytes, size_t len);
void secret_append_str(struct secret *s, const char *str);

/* Wipes and frees; s is empty afterwards and may be used again. */
void secret_clear(struct secret *s);

/* to is cleared, gets what from has; from is empty afterwards. */
void secret_move(struct secret *to, struct secret *from);
void secret_dup(struct secret *to, const struct secret *from);

/* Constant time in the content (not in the length). */
bool secret_equal(const struct secret *a, const struct secret *b);
bool secret_is_empty(const struct secret *s);

/* The bytes, NUL-terminated, borrowed until the secret changes. Never NULL. */
const char *secret_reveal(const struct secret *s);

/* Token-shaped: not empty, printable ASCII without spaces. */
bool secret_is_token(const struct secret *s);
/* Is it longer than prefix, and begins with it? */
bool secret_has_prefix(const struct secret *s, const char *prefix);

/* An allocator that wipes on free, for libraries that take one (jansson,
 * libcurl). Ordinary heap, not locked: what a library does with it is its own.
 */
void *secret_lib_malloc(size_t size);
void *secret_lib_calloc(size_t n, size_t size);
void *secret_lib_realloc(void *p, size_t size);
char *secret_lib_strdup(const char *s);
void secret_lib_free(void *p);
