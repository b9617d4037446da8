/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fake_now - base/now.h where time moves only when the test says so. Link it
 * instead of src/base/now.c. Both clocks start at fixed values, so that a
 * test may write down what it expects.
 */
#include <stdint.h>

#include "base/now.h"

#define FAKE_NOW_BOOT_MS INT64_C(1000000)
/* 2026-11-22T17:20:00Z */
#define FAKE_NOW_REAL_S INT64_C(1795368000)

/* Back to the values above: for a test's setup. */
void fake_now_reset(void);
/* Time passes: both clocks move. With fake_loop, use fake_loop_advance(), or
 * no timer fires. */
void fake_now_advance(int64_t ms);
/* Somebody sets the wall clock; the other one does not move. */
void fake_now_step_wall(int64_t ms);
