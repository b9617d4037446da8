/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_now.h"

static int64_t boot_ms = FAKE_NOW_BOOT_MS;
static int64_t real_ms = FAKE_NOW_REAL_S * 1000;

void
fake_now_reset(void)
{
	boot_ms = FAKE_NOW_BOOT_MS;
	real_ms = FAKE_NOW_REAL_S * 1000;
}

void
fake_now_advance(int64_t ms)
{
	boot_ms += ms;
	real_ms += ms;
}

void
fake_now_step_wall(int64_t ms)
{
	real_ms += ms;
}

int64_t
now_boot_ms(void)
{
	return boot_ms;
}

int64_t
now_real_ms(void)
{
	return real_ms;
}

int64_t
now_real_s(void)
{
	return real_ms / 1000;
}
