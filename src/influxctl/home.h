/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * home - the directory that influxctl takes for HOME, and what is left of it
 * afterwards: nothing. Everything in it is 0700 and 0600, made without
 * following a link; a home of one run is in memory, and is overwritten before
 * it is removed. A kept home (influxctl's own login) stays.
 */
#include <stdbool.h>
#include <sys/types.h>

#include <jansson.h>

struct helper;
struct tb_error;

/* "RUN_DIR/run-PID"; owned. */
char *home_fresh_path(const struct helper *h, pid_t pid);
char *home_kept_path(const struct helper *h, const char *name);

/* Makes the directory when it is not there; a descriptor, or -1. */
int home_open(const char *path, struct tb_error *err);
/* files: see question.h. path: what HOME_WORD of a file becomes. */
int home_fill(int home, const char *path, const json_t *files,
    struct tb_error *err);

/* Overwrites and removes a directory with all that is in it. */
void home_wipe(const char *path);
/* What an earlier helper left, because it was killed. */
void home_wipe_leftovers(const struct helper *h);

/* run_dir is there, ours alone, and in memory. */
int home_check_dirs(const struct helper *h, struct tb_error *err);

/* One run at a time per profile: an open descriptor that holds the lock, -1
 * with TB_E_BUSY when others have it for longer than wait_ms. */
int home_lock(const struct helper *h, const char *name, int wait_ms,
    struct tb_error *err);
