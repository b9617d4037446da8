/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_heap - see the header.
 */
#include "lib/loop_heap.h"

#include "base/util.h"
#include "lib/loop.h"

static void
place(struct loop_heap *h, size_t i, struct loop_timer *t)
{
	h->at[i] = t;
	t->slot = i + 1;
}

static void
move_up(struct loop_heap *h, size_t i, struct loop_timer *t)
{
	size_t parent;

	for (; i > 0; i = parent) {
		parent = (i - 1) / 2;
		if (h->at[parent]->at_ms <= t->at_ms)
			break;
		place(h, i, h->at[parent]);
	}
	place(h, i, t);
}

static void
move_down(struct loop_heap *h, size_t i, struct loop_timer *t)
{
	size_t child;

	for (; (child = 2 * i + 1) < h->n; i = child) {
		if (child + 1 < h->n &&
		    h->at[child + 1]->at_ms < h->at[child]->at_ms)
			child++;
		if (t->at_ms <= h->at[child]->at_ms)
			break;
		place(h, i, h->at[child]);
	}
	place(h, i, t);
}

struct loop_timer *
loop_heap_first(const struct loop_heap *h)
{
	return h->n ? h->at[0] : NULL;
}

void
loop_heap_add(struct loop_heap *h, struct loop_timer *t)
{
	if (h->n == h->cap) {
		h->cap = MAX2(2 * h->cap, (size_t)16);
		h->at = xreallocarray(h->at, h->cap, sizeof(h->at[0]));
	}
	h->n++;
	move_up(h, h->n - 1, t);
}

void
loop_heap_remove(struct loop_heap *h, struct loop_timer *t)
{
	size_t i = t->slot - 1;
	struct loop_timer *last = h->at[--h->n];

	t->slot = 0;
	if (last == t)
		return;
	if (i > 0 && last->at_ms < h->at[(i - 1) / 2]->at_ms)
		move_up(h, i, last);
	else
		move_down(h, i, last);
}

void
loop_heap_clear(struct loop_heap *h)
{
	size_t i;

	for (i = 0; i < h->n; i++)
		h->at[i]->slot = 0;
	free(h->at);
	*h = (struct loop_heap){ NULL, 0, 0 };
}
