/* SPDX-License-Identifier: Apache-2.0 */
/*
 * now - the only file that asks for the time. clock_gettime goes through the
 * vDSO for both clocks: no system call.
 */
#include "base/now.h"

#include <time.h>

static int64_t
clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
now_boot_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

int64_t
now_real_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int64_t
now_real_s(void)
{
	return clock_ms(CLOCK_REALTIME) / 1000;
}
