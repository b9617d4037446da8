/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store_world - a store on a real directory, for the tests of state/store: it
 * can be closed and opened as another process would, on another machine, in
 * another boot, with another key.
 */
#include <stddef.h>

#include "base/strbuf.h"
#include "lib/seal.h"
#include "state/store.h"
#include "state_fixture.h"

#define KEY_A \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B \
	"ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct world {
	struct state_fixture *f;
	const char *key, *machine, *boot;
	struct seal *seal;
	struct store *store;
	struct strbuf found; /* "KIND/NAME=PLAIN\n" in the order found */
};

int store_world_setup(void **state);
int store_world_teardown(void **state);

/* NULL and err, or the store, which has not begun. */
struct store *try_open(struct world *w, struct tb_error *err);
/* NULL: it must open, and begins. Else it must not, and say so. */
void open_store(struct world *w, const char *msg);
void close_store(struct world *w);
void reopen(struct world *w);
/* For the next open. */
void use_key(struct world *w, const char *hex);
struct seal *seal_of(const char *hex);

/* Puts and waits. */
void put(struct world *w, const char *kind, const char *name,
    const char *text);

void assert_stats(struct world *w, size_t records, size_t quarantined);
/* Without the store's own files. */
void assert_listing(struct world *w, const char *sub, const char *expected);
/* This record was found to be wrong at this start. */
void assert_trouble(struct world *w, const char *record, const char *why);
void assert_no_trouble(struct world *w);

char *path_of(struct world *w, const char *file); /* to be freed */
const char *path_of_static(struct world *w, const char *file);
/* printf with a shell; it must work. */
void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
