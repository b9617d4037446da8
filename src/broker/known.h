/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * known - every value this installation knows of, by its nonce: generations,
 * mints under way, mints being settled, records that nothing configured
 * claims. Made for one look at a service's list, and forgotten after it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/intent.h"

struct token;

struct known_value {
	char nonce[INTENT_NONCE_LEN + 1];
	char *id; /* upstream; NULL: not known (yet) */
	/* Not NULL: the list that is looked at should have it. */
	struct token *token;
	uint64_t generation;
	bool listed; /* it has */
};

struct known {
	struct known_value *v;
	size_t n;
};

/* nonce and id are copied; nonce NULL adds nothing. Returns the value, valid
 * until the next add. */
struct known_value *known_add(struct known *k, const char *nonce,
    const char *id);
/* After the last add. */
void known_sort(struct known *k);
/* The first of that nonce, or NULL; more may follow it. */
struct known_value *known_find(const struct known *k, const char *nonce);
void known_clear(struct known *k);
