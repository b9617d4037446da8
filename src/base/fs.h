/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fs - files, read whole with a cap or replaced atomically. Blocking: for
 * start, for reload and for the writer thread, never for the loop in between.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "base/secret.h"

struct tb_error;

/* The whole file. More than cap bytes is TB_E_LIMIT, else TB_E_IO. */
int fs_read_secret(const char *path, size_t cap, struct secret *out,
    struct tb_error *err);
int fs_read_text(const char *path, size_t cap, char **out,
    struct tb_error *err);

/* tmp file in the same directory, write, fsync, rename, fsync(directory).
 * On failure the old file is untouched and the tmp file is removed; only when
 * the last step fails, the directory's fsync, is the new file there and it is
 * unknown which one a power cut leaves. A crash in between leaves a
 * ".NAME.RANDOM.tmp". */
int fs_write_atomic(int dirfd, const char *name, mode_t mode,
    const void *bytes, size_t len, struct tb_error *err);

/* Makes the directory (parents too) with mode when missing; then requires it
 * to be a directory owned by this euid (or root) with no bit of `forbidden`
 * set. Returns an O_DIRECTORY descriptor or -1. */
int fs_open_dir(const char *path, mode_t mode, mode_t forbidden,
    struct tb_error *err);

/* Requires a regular file, owned by root or this euid, with no bit of
 * `forbidden` set: for key files and client secrets. */
int fs_check_private(const char *path, mode_t forbidden, struct tb_error *err);
