/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oidclib - asks oidc-agent through its own client library, again and again:
 * what a program that uses it gets. Built by tests/bench/run where
 * liboidc-agent-dev is installed. OIDC_SOCK says where the agent is.
 *
 *	oidclib SECONDS CPU
 */
#include <oidc-agent/api.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hist.h"

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int
main(int argc, char **argv)
{
	static struct hist hist;
	uint64_t start, end, since, now;
	cpu_set_t set;

	if (argc != 3)
		return 2;
	CPU_ZERO(&set);
	CPU_SET((unsigned)atoi(argv[2]), &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return 1;
	start = now = now_ns();
	end = start + (uint64_t)(atof(argv[1]) * 1e9);
	while (now < end) {
		char *token;

		since = now_ns();
		token = getAccessToken("bench", 60, NULL);
		now = now_ns();
		if (!token)
			return 1;
		secFree(token);
		hist_add(&hist, now - since);
	}
	printf("rps=%.1f p50_us=%.2f p99_us=%.2f n=%llu\n",
	    (double)hist.n * 1e9 / (double)(now - start),
	    (double)hist_quantile(&hist, 0.5) / 1e3,
	    (double)hist_quantile(&hist, 0.99) / 1e3,
	    (unsigned long long)hist.n);
	return 0;
}
