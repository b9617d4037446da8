/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * textfile - a file for other programs to read (mode 0644): they see the old
 * text or the new one, never a half. Nothing is synced, because nothing is
 * lost with it. Blocking, for the writer thread.
 */
#include <stddef.h>

struct tb_error;

/* path is absolute. A temporary file ".NAME.tmp" is made beside it. */
int textfile_replace(const char *path, const void *bytes, size_t len,
    struct tb_error *err);
