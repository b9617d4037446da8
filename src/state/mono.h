/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * mono - the writer thread's clock: only distances are needed there, and what
 * waits on a condition variable waits in real time, whatever a test says the
 * time is.
 */
#include <stdint.h>
#include <time.h>

static inline int64_t
mono_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
