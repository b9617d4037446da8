/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn - what it takes to run a command: posix_spawn(3) to the end of the
 * process, in turns where there are several commands, so that what disturbs
 * one disturbs all. One line per command: the median and the quickest.
 *
 *	spawn N COMMAND [ARGUMENT...] [::: COMMAND [ARGUMENT...]]...
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define COMMANDS_MAX 8

extern char **environ;

static double
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double
run(char **argv)
{
	posix_spawn_file_actions_t to_null;
	double since = now_us();
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&to_null);
	posix_spawn_file_actions_addopen(&to_null, 1, "/dev/null", O_WRONLY,
	    0);
	errno = posix_spawn(&pid, argv[0], &to_null, NULL, argv, environ);
	if (errno || waitpid(pid, &status, 0) < 0 || status != 0) {
		fprintf(stderr, "spawn: %s failed\n", argv[0]);
		exit(1);
	}
	posix_spawn_file_actions_destroy(&to_null);
	return now_us() - since;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	char **commands[COMMANDS_MAX];
	double *took[COMMANDS_MAX];
	int n = argc > 2 ? atoi(argv[1]) : 0, k = 0, i, j;

	if (n < 1) {
		fprintf(stderr, "usage: spawn N COMMAND... [::: COMMAND...]\n");
		return 2;
	}
	for (i = 2; i < argc; i++) {
		if (i == 2 || !argv[i - 1])
			commands[k++] = &argv[i];
		if (strcmp(argv[i], ":::") == 0)
			argv[i] = NULL;
		if (k == COMMANDS_MAX)
			return 2;
	}
	for (j = 0; j < k; j++)
		took[j] = calloc((size_t)n, sizeof(double));
	for (i = -1; i < n; i++) /* the first one warms the caches */
		for (j = 0; j < k; j++)
			took[j][i < 0 ? 0 : i] = run(commands[j]);
	for (j = 0; j < k; j++) {
		qsort(took[j], (size_t)n, sizeof(double), compare);
		printf("median_us=%.1f min_us=%.1f\n", took[j][n / 2],
		    took[j][0]);
		free(took[j]);
	}
	return 0;
}
