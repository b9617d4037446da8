/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * trail - what the writer thread makes of audit lines: it chains them into
 * files (state/segment.h), signs the chain's end now and then
 * (state/checkpoint.h), begins a new file when the current one is large, and
 * mirrors the lines to the journal when asked. Blocking; opened and closed on
 * the loop thread, in between the writer thread's.
 *
 * A checkpoint is made after every 1,024 lines, a minute after the first line
 * that has none, before the log is rotated, when asked and at the end; not
 * before there is a key, which comes from the sealed store some time after
 * start (trail_set_key).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chain_pos;
struct checkpoint_key;
struct strbuf;
struct tb_error;
struct trail;

struct trail_env {
	int dirfd;         /* the log directory, borrowed */
	uint64_t max_size; /* a file of so many bytes is rotated; 0: none is */
	unsigned keep_files; /* older files that stay; 0: all */
	const char *journal; /* socket of the journal, NULL: no mirror */
	unsigned checkpoint_records; /* 0: 1,024 */
	int64_t checkpoint_ms;       /* 0: 60 s */
};

struct trail *trail_open(const struct trail_env *env, struct tb_error *err);
/* Writes a last checkpoint and syncs. */
void trail_close(struct trail *t);

/* Lines between begin and flush are a batch: see segment_flush. */
void trail_begin(struct trail *t);
void trail_add(struct trail *t, const char *text, size_t len);
int trail_flush(struct trail *t, bool durable, struct tb_error *err);

/* Taken. Its announcement goes into the log, its public part into audit.pub;
 * where that fails it is tried again. */
void trail_set_key(struct trail *t, struct checkpoint_key *key);
/* A checkpoint, durable. */
int trail_checkpoint(struct trail *t, struct tb_error *err);

/* How long the thread may sleep until trail_tick has work; 0: for ever. */
int trail_wait_ms(const struct trail *t);
/* What time brings: checkpoints, old files, and, when idle, a sync. True: it
 * has written, and *err is how that went. */
bool trail_tick(struct trail *t, bool idle, struct tb_error *err);
/* What was written since goes to the journal. */
void trail_mirror(struct trail *t);

const struct chain_pos *trail_end(const struct trail *t);
size_t trail_torn(const struct trail *t);
uint64_t trail_syncs(const struct trail *t);
uint64_t trail_dropped(const struct trail *t); /* by the journal */

/* The last line that is durable. */
uint64_t trail_synced(const struct trail *t);
/* Appends the events (state/eventlog.h) that have become durable since the
 * last call. A line that a power cut may take back is none yet. */
void trail_take_events(struct trail *t, struct strbuf *out);

/* What others may know without a look at the disk. Borrowed. */
struct trail_view {
	uint64_t version;       /* moves when anything below changes */
	const char *checkpoint; /* the newest durable one, NULL: none */
	const char *keys;       /* "KID PUBLIC SINCE\n" each, newest last */
	const char *files;      /* "NAME\n" each, oldest first */
};
void trail_get_view(const struct trail *t, struct trail_view *out);
