/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * backoff - how long to wait before trying again: exponential with full
 * jitter and a cap; what the service asked for (Retry-After) is a minimum.
 * Pure but for the random source, which a test may set.
 */
#include <stdint.h>

struct backoff {
	int64_t base_ms; /* first ceiling */
	int64_t cap_ms;  /* no delay is longer, save a Retry-After up to 1 h */
	unsigned attempt;
};

#define BACKOFF_INIT(base, cap) { .base_ms = (base), .cap_ms = (cap) }

/* The delay before the next attempt: uniform in [ceiling/2, ceiling], where
 * ceiling = min(cap, base * 2^attempt); at least server_says_ms (which is
 * itself cut at one hour). Counts the attempt. */
int64_t backoff_next(struct backoff *b, int64_t server_says_ms);
void backoff_reset(struct backoff *b);

/* Uniform in [0, n). */
uint64_t backoff_random(uint64_t n);

/* Where the random numbers come from: NULL is getrandom(2). For tests. */
typedef uint64_t backoff_source_fn(void);
void backoff_set_source(backoff_source_fn *fn);
