/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * run - one run of a program: nothing on its standard input, its two outputs
 * kept up to a cap, an end at a deadline. Whatever it started ends with it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/secret.h"

struct tb_error;

struct run {
	/* in */
	const char *program;
	char *const *argv, *const *envp;
	const char *dir;  /* where it runs */
	int timeout_ms;
	int asker; /* a socket: when its other end is gone, so is the reason
	            * to run. -1: none */
	/* out */
	bool timed_out, too_long, abandoned;
	int status; /* exit status; -1: none */
	int signal; /* that ended it; 0: none */
	struct secret out, err; /* err: its first few kilobytes */
};

#define RUN_OUT_CAP ((size_t)4 << 20)

/* -1: it was not started, with the reason. Blocks until all is over. */
int run_program(struct run *r, struct tb_error *err);
void run_clear(struct run *r);
