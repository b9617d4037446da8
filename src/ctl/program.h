/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * program - runs another program and reads what it prints, for looking at this
 * host. No shell, no input, bounded in time and size.
 */
#include <stdbool.h>
#include <stddef.h>

struct tb_error;

/* argv ends with NULL; argv[0] is looked for in PATH. *out is the standard
 * output (owned by the caller), *status the exit status; standard error comes
 * along when with_stderr is set and is dropped otherwise. -1: it could not be
 * run, was killed, said more than cap bytes or took longer than ten seconds. */
int program_read(const char *const *argv, bool with_stderr, size_t cap,
    char **out, int *status, struct tb_error *err);
