/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a test's own process writes to stderr, kept from the terminal. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int caught_pipe[2], caught_stderr;

/* 0, or -1 with errno. */
static inline int
caught_stderr_begin(void)
{
	if (pipe2(caught_pipe, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	caught_stderr = dup(STDERR_FILENO);
	return dup2(caught_pipe[1], STDERR_FILENO) < 0 ? -1 : 0;
}

/* Since the last call; good until the next. */
static inline const char *
caught(void)
{
	static char buf[65536];
	ssize_t n;

	fflush(stderr);
	n = read(caught_pipe[0], buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static inline void
caught_stderr_end(void)
{
	dup2(caught_stderr, STDERR_FILENO);
	close(caught_stderr);
	close(caught_pipe[0]);
	close(caught_pipe[1]);
}
