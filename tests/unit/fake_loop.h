/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_loop - lib/loop.h without libevent, on the time of fake_now (which must
 * be linked too). One loop lives at a time. Nothing runs by itself: the test
 * says when, and for how long.
 *
 *	loop = loop_new(&err);
 *	x = x_start(...);
 *	fake_loop_run_pending();          what is due now, until nothing is
 *	fake_loop_advance(5000);          five seconds, timers in their order
 *
 * loop_run() works as well: it jumps from timer to timer until loop_stop(), or
 * until nothing can happen any more.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/loop.h"

/* One turn: the tasks queued before it, the wakers woken, the timers due. */
void fake_loop_turn(void);
/* Turns until nothing is due now. Aborts after 10,000: a livelock. */
void fake_loop_run_pending(void);
/* Time passes, each timer firing at its own moment. Pending things first. */
void fake_loop_advance(int64_t ms);

/* Waits in real time, up to timeout_ms, until another thread calls loop_wake;
 * then runs what is pending. False when none came. */
bool fake_loop_wait_wake(int timeout_ms);

/* What the handlers of loop_on_signal and loop_on_clock_step are for. */
void fake_loop_signal(int signo);
void fake_loop_clock_step(void);

size_t fake_loop_timers(void); /* how many are set */
size_t fake_loop_tasks(void);  /* how many are queued */
/* Until the earliest timer; -1 when none is set. */
int64_t fake_loop_next_ms(void);
