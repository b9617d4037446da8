/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * child - runs a command after a change: no shell, no input, its output goes
 * where ours goes, bounded in time. The value is never in its arguments or
 * environment; it may get a descriptor.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct secret;
struct tb_error;

struct child {
	const char *const *argv; /* argv[0] is looked for in PATH */
	const char *const *env;  /* "KEY=VALUE" for its environment; or NULL */
	int fd;                  /* stays open in it, under its number; -1 */
	int64_t limit_ms;        /* then it is ended, with all it started */
	const volatile sig_atomic_t *stop; /* ended as well when this is set */
	const sigset_t *mask;    /* of signals, in the child and while waiting */
	void (*tick)(void);      /* about once a second, or NULL */
};

/* 0: it ran and exited with 0. TB_E_IO says how else it ended. */
int child_run(const struct child *c, struct tb_error *err);

/* A sealed file in memory with these bytes; whoever opens /proc/self/fd/N reads
 * them from the start. */
int child_memfd(const char *label, const struct secret *bytes,
    struct tb_error *err);
