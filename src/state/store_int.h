/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store_int - what store.c shares with store_load.c, which reads everything
 * at start.
 */
#include <stdbool.h>

#include "state/store.h"

#define STORE_SUFFIX ".tbr"
#define STORE_QUARANTINE "quarantine"
#define STORE_RECORD_MAX ((size_t)1 << 20)

struct store {
	struct writer *writer;
	struct seal *seal;
	char **names; /* "KIND/NAME", sorted, owned */
	size_t n_names, names_cap;
	uint64_t version; /* the highest one in use */
	size_t quarantined;
};

int store_load(struct store *s, store_found_fn *found, void *arg,
    struct tb_error *err);

void store_add_name(struct store *s, const char *name);
char *store_record_name(const char *kind, const char *name);
char *store_file_name(const char *kind, const char *name);
bool store_is_kind(const char *kind);
