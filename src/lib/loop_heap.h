/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * loop_heap - the timers of a loop, earliest first: a binary heap of borrowed
 * pointers. Each timer knows its place (slot, from 1), so one in the middle is
 * taken out without a search. Private to loop.c.
 */
#include <stddef.h>

struct loop_timer;

struct loop_heap {
	struct loop_timer **at;
	size_t n, cap;
};

/* NULL when there is none. */
struct loop_timer *loop_heap_first(const struct loop_heap *h);
/* By its at_ms; sets its slot. */
void loop_heap_add(struct loop_heap *h, struct loop_timer *t);
/* It must be in it; its slot is 0 afterwards. */
void loop_heap_remove(struct loop_heap *h, struct loop_timer *t);
/* All are out of it, the memory is freed. */
void loop_heap_clear(struct loop_heap *h);
