/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * now - the two clocks. Deadlines while running are on CLOCK_BOOTTIME, which
 * counts suspend; what is written down or came from elsewhere is wall time.
 * Tests link tests/unit/fake_now.c instead and move time by hand.
 */
#include <stdint.h>

int64_t now_boot_ms(void); /* CLOCK_BOOTTIME, milliseconds */
int64_t now_real_s(void);  /* seconds since the epoch */
int64_t now_real_ms(void);
