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
/* After the last flush. */
const struct chain_pos *segment_end(const struct segment *s);
/* A torn line was cut off at start. */
bool segment_was_repaired(const struct segment *s);
uint64_t segment_syncs(const struct segment *s);
