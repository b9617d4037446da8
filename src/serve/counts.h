/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * counts - what the doors count, for the metrics. A few increments on the way
 * of a request: no clock is read for them, no system call made. An answer given
 * in the turn of the loop that read its request counts as no time at all;
 * what took longer is timed by the clock readings of the session's phases.
 */
#include <stdint.h>

#include "state/acl.h"

#define COUNTS_DOORS 3
#define COUNTS_BOUNDS 15
extern const int64_t counts_bounds_ms[COUNTS_BOUNDS];

struct counts_door {
	uint64_t took[COUNTS_BOUNDS + 1]; /* answers by time; see bounds */
	uint64_t took_ms;                 /* all together */
	uint64_t denied, refused;
	unsigned connections;
};

struct counts {
	struct counts_door door[COUNTS_DOORS];
	unsigned watches;
};

/* enum acl_door has a bit each. */
static inline unsigned
counts_index(enum acl_door door)
{
	return (unsigned)door >> 1;
}

static inline struct counts_door *
counts_door(struct counts *c, enum acl_door door)
{
	return &c->door[counts_index(door)];
}

void counts_took(struct counts_door *d, int64_t ms);
