/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * recfile - the files of sealed records, written whole or not at all. Blocking,
 * for the writer thread. What is done here is durable only after a sync of
 * the directory, which the caller makes once for many (recfile_sync_dir).
 *
 * Room can be set aside for a record to come: a file of its own with blocks in
 * it. When the disk is full, the record is written into those blocks, and that
 * file takes the record's name. Nobody else can take them in between, as they
 * could had something only been deleted to make space.
 */
#include <stdbool.h>
#include <stddef.h>

struct tb_error;

/* What a crash leaves behind is called RECFILE_TMP_PREFIX NAME and one of
 * the suffixes. */
#define RECFILE_TMP_PREFIX "."
#define RECFILE_TMP_SUFFIX ".tmp"
#define RECFILE_ROOM_SUFFIX ".room"
/* The longest name that leaves room for them. */
#define RECFILE_NAME_MAX (255 - 6)

/* Into a file of its own, synced, then renamed over the old one. On failure
 * the old one is as it was. use_room: room is set aside under this name, for
 * when there is no space. */
int recfile_replace(int dirfd, const char *name, const void *bytes, size_t len,
    bool use_room, struct tb_error *err);
/* A missing file is fine. */
int recfile_delete(int dirfd, const char *name, struct tb_error *err);
/* Can anything be written there? Leaves nothing behind. */
int recfile_probe(int dirfd, struct tb_error *err);
int recfile_sync_dir(int dirfd, struct tb_error *err);
/* The whole file, malloc'd; *bytes NULL and 0: there is none. */
int recfile_read(int dirfd, const char *name, size_t max,
    unsigned char **bytes, size_t *len, struct tb_error *err);

/* Sets room aside; what is there already grows to it. */
int recfile_hold_room(int dirfd, const char *name, size_t len,
    struct tb_error *err);
void recfile_drop_room(int dirfd, const char *name);
