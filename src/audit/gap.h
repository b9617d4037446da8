/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * gap - numbers that a log has left out so far. Pure. Bounded: of very many
 * the oldest are forgotten.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GAPS_MAX 1024

struct gap {
	uint64_t from, to;
	size_t finding; /* the caller's */
};

struct gaps {
	struct gap gap[GAPS_MAX];
	size_t n;
};

void gaps_add(struct gaps *g, uint64_t from, uint64_t to, size_t finding);
/* seq has turned up after all, and the gap that held it shrinks, or becomes
 * two. False: it was not missing. */
bool gaps_take(struct gaps *g, uint64_t seq, size_t *finding);
