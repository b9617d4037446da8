/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_evloop - lib/loop.h with real descriptors (libevent) on the time of
 * fake_now, which must be linked too. For what has sockets and deadlines. Link
 * it instead of src/lib/loop.c and fake_loop.c.
 */
#include <stdint.h>

#include "lib/loop.h"

/* Tasks, timers that are due, and descriptors that are ready, until nothing
 * happens any more. */
void fake_evloop_run(void);
/* Time passes in steps of 100 ms, everything running at its own moment. */
void fake_evloop_advance(int64_t ms);
