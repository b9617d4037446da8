/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * recfile - the files of sealed records, written whole or not at all. Blocking,
 * for the writer thread. What is done here is durable only after a sync of
 * the directory, which the caller makes once for many (recfile_sync_dir).
 */
#include <stddef.h>

struct tb_error;

/* What a crash leaves behind is called RECFILE_TMP_PREFIX NAME
 * RECFILE_TMP_SUFFIX. */
#define RECFILE_TMP_PREFIX "."
#define RECFILE_TMP_SUFFIX ".tmp"
/* The longest name that leaves room for them. */
#define RECFILE_NAME_MAX (255 - 5)

/* Into a file of its own, synced, then renamed over the old one. On failure
 * the old one is as it was. */
int recfile_replace(int dirfd, const char *name, const void *bytes, size_t len,
    struct tb_error *err);
/* A missing file is fine. */
int recfile_delete(int dirfd, const char *name, struct tb_error *err);
/* Can anything be written there? Leaves nothing behind. */
int recfile_probe(int dirfd, struct tb_error *err);
int recfile_sync_dir(int dirfd, struct tb_error *err);
