/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * hist - latencies in buckets whose width grows with their value, as in
 * HdrHistogram: 64 steps between one power of two and the next, so a value is
 * known to 1.6 %, whatever it is, and the memory is the same after ten million
 * requests as after ten. Nanoseconds, up to 18 minutes.
 */
#include <stdint.h>
#include <string.h>

#define HIST_STEP_BITS 6
#define HIST_STEPS (1u << HIST_STEP_BITS)
#define HIST_BITS 40
#define HIST_BUCKETS ((HIST_BITS - HIST_STEP_BITS + 1) * HIST_STEPS)

struct hist {
	uint64_t n, max;
	uint64_t count[HIST_BUCKETS];
};

static inline unsigned
hist_bucket(uint64_t v)
{
	unsigned shift;

	if (v < HIST_STEPS)
		return (unsigned)v;
	if (v >> HIST_BITS)
		v = (UINT64_C(1) << HIST_BITS) - 1;
	shift = 63 - (unsigned)__builtin_clzll(v) - HIST_STEP_BITS;
	return (shift + 1) * HIST_STEPS +
	    (unsigned)((v >> shift) - HIST_STEPS);
}

/* The middle of what a bucket holds. */
static inline uint64_t
hist_value(unsigned b)
{
	unsigned shift = b / HIST_STEPS;

	if (!shift)
		return b;
	shift--;
	return ((uint64_t)(HIST_STEPS + b % HIST_STEPS) << shift) +
	    ((UINT64_C(1) << shift) >> 1);
}

static inline void
hist_add(struct hist *h, uint64_t v)
{
	h->count[hist_bucket(v)]++;
	h->n++;
	if (v > h->max)
		h->max = v;
}

/* part: 0.5 is the median. */
static inline uint64_t
hist_quantile(const struct hist *h, double part)
{
	uint64_t want = (uint64_t)(part * (double)h->n), sum = 0;
	unsigned b;

	for (b = 0; b < HIST_BUCKETS; b++) {
		sum += h->count[b];
		if (sum > want)
			return hist_value(b) < h->max ? hist_value(b) : h->max;
	}
	return h->max;
}
