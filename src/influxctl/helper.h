/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * helper - how tokenbroker-influxctl was started; read by all of its files,
 * set once by main.c.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HELPER_ENV_MAX 16

struct helper {
	const char *socket_path;
	const char *program;   /* influxctl; NULL: where packages put it */
	const char *run_dir;   /* homes of one run; in memory */
	const char *state_dir; /* homes that are kept */
	uid_t asker;           /* who may ask */
	bool allow_disk;       /* run_dir may be on a disk */
	const char *pass_env[HELPER_ENV_MAX]; /* names */
	size_t n_pass_env;
};
