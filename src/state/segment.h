/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * segment - the audit log as files: append, sync, and what happens when the
 * disk says no. Used by the writer alone: opened on the loop thread at start,
 * then on the writer thread. Blocking.
 *
 * The file being written is always audit.jsonl. When a write or a sync of it
 * fails it is condemned: what the kernel could not write may be gone from its
 * cache as well, and the next sync of that file would lie. Every line since
 * the last good sync is still in memory; they go, same bytes, same chain,
 * into a new file that takes the name audit.jsonl, and the condemned one
 * stays as audit-SEQ.jsonl, SEQ (20 digits) being its last line that counts.
 * It is cut behind that line; where even the cut fails, what follows in it is
 * a copy of the beginning of the next file. Sorted by name, audit.jsonl last,
 * the files are one chain.
 *
 * Rotation is the same on purpose: segment_turn asks for a new file, and the
 * next batch is what it begins with. So audit.jsonl is never empty for long,
 * and who moves older files away takes nothing from us that we need.
 */
#include <stdbool.h>
#include <stddef.h>

#include "state/chain.h"

#define SEGMENT_FILE "audit.jsonl"
#define SEGMENT_NEW_FILE "audit.jsonl.new"
#define SEGMENT_TORN_FILE "audit.jsonl.torn"

struct segment;
struct tb_error;

/* Opens or makes the file in dirfd (borrowed for the segment's life) and
 * finds the chain's end. A last line that a crash tore is moved to
 * audit.jsonl.torn. */
struct segment *segment_open(int dirfd, struct tb_error *err);
/* What a flush left unsynced is synced first. */
void segment_close(struct segment *s);

/* Adds a line to the batch; nothing is written yet. */
void segment_add(struct segment *s, const char *text, size_t len);
/* Writes the batch, and makes it durable when asked, or when much or old
 * text is not. On failure the batch never was: it is dropped, the chain is
 * where it was before, and the next flush tries a new file first. */
int segment_flush(struct segment *s, bool durable, struct tb_error *err);

/* Written, but not synced yet. */
bool segment_is_dirty(const struct segment *s);
/* The next batch begins a new file. To be called when nothing is dirty. When
 * no new file can be made the old one goes on. */
void segment_turn(struct segment *s);

/* After the last flush; with what was added since; what is durable. */
const struct chain_pos *segment_end(const struct segment *s);
const struct chain_pos *segment_added(const struct segment *s);
const struct chain_pos *segment_synced(const struct segment *s);
/* The line added last, with its newline. Borrowed until the next add. */
const char *segment_last_line(const struct segment *s, size_t *len);
/* What the last flush wrote, if it went well. Borrowed until the next add. */
const char *segment_batch(const struct segment *s, size_t *len);
/* Bytes in the current file. */
size_t segment_size(const struct segment *s);
/* How many new files there were: to see that there is one. */
uint64_t segment_files(const struct segment *s);
/* So many bytes of a torn end were moved away at start. */
size_t segment_torn(const struct segment *s);
uint64_t segment_syncs(const struct segment *s);

/* The names audit-SEQ.jsonl in dirfd, sorted, oldest first; *names and each of
 * them to be freed. */
int segment_list(int dirfd, char ***names, size_t *n, struct tb_error *err);
void segment_list_free(char **names, size_t n);
/* The last line of such a file that counts; false: there is none. */
bool segment_list_end(int dirfd, const char *name, struct chain_pos *end);
/* The last line in the newest files that contains text: its copy without the
 * newline (NULL: none), and its seq, or that of the line before the first one
 * that was looked at. */
int segment_find(int dirfd, const char *text, char **line, uint64_t *seq,
    struct tb_error *err);
