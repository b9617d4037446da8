/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * writer - the one thread that writes to disk. Sealed records and audit lines
 * go through one ordered queue; what is queued when the thread comes by is
 * made durable together (one sync for the lines of a group), then every `done`
 * runs on the loop thread, in order. The loop never waits for a disk.
 *
 * An error is given to the done of each item it concerns. Order holds: an
 * item is durable only after all items put before it are, or have failed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/records.h"

struct checkpoint_key;
struct eventlog_slice;
struct loop;
struct tb_error;
struct writer;
struct writer_item; /* opaque: valid until its done runs */

typedef void writer_done_fn(void *arg, const struct tb_error *err);

struct writer_env {
	const char *state_dir; /* opened 0700, owned by us (or TB_E_IO) */
	const char *log_dir;   /* 0750 */
	/* the audit log: see state/trail.h; 0 and NULL are its defaults */
	uint64_t audit_max_size;
	unsigned audit_keep_files;
	const char *journal; /* socket of the journal; NULL: no mirror */
	unsigned checkpoint_records;
	int64_t checkpoint_ms;
};

struct writer_stats {
	uint64_t items, groups, syncs, errors;
	uint64_t lost; /* lines that never got into the log: failed (their done
	                * was told), or not taken while the disk stalled */
	size_t queued;
	bool failing;     /* the disk refuses, as of the last group */
	uint64_t outages; /* how often it began to */
	int64_t failed_since, recovered_at; /* of the last one, wall clock */
};

/* What is known of the audit log without a look at the disk. */
struct writer_trail {
	uint64_t seq;   /* the chain's end, as of the last finished group */
	char hash[65];
	char *checkpoint; /* the newest durable one; NULL: none yet */
	char *keys;     /* "KID PUBLIC SINCE\n" for each in audit.pub */
	char *files;    /* "NAME\n" each, oldest first */
	uint64_t journal_dropped;
};

enum writer_kind {
	WRITER_RECORD, /* replace file `name` in state_dir by bytes */
	WRITER_DELETE, /* remove file `name` from state_dir */
	WRITER_TEXT,   /* replace the file of that absolute path, for others to
	                * read; it is not of the state: it is not synced, and
	                * its failure says nothing about the disk's health */
	WRITER_CHANGE, /* replace file `name` by what `change` makes of it */
	WRITER_LINE,   /* append bytes to the audit log: one JSON object, no
	                * newline; see state/chain.h for what is added */
};

struct writer_rec {
	enum writer_kind kind;
	char *name;           /* taken; NULL for WRITER_LINE */
	unsigned char *bytes; /* taken, never secret in clear */
	size_t len;
	bool durable; /* WRITER_LINE: sync before done; records always are */

	/* WRITER_RECORD; see records_put in state/records.h */
	uint64_t version;
	char *room_for; /* taken, or NULL */
	size_t room;
	/* The list of records, as it will be when all that was put so far is
	 * done: of several in one group only the last is written, in the place
	 * of the first. */
	bool is_list;
	/* WRITER_CHANGE: runs on the writer thread */
	records_change_fn *change;
	void *change_arg;
	void (*change_release)(void *arg); /* when it is over, or given up: on
	                                    * either thread */
	bool seen; /* whoever keeps the books is told; see writer_keep_books */
};

/* What has become of a record with `seen`: runs on the loop before its done,
 * and also where that was forgotten. Of one store per writer; fn NULL: nobody
 * is told any more. */
struct writer_seen {
	const char *name;
	uint64_t version;
	bool is_list, is_delete;
};
typedef void writer_seen_fn(void *arg, const struct writer_seen *what,
    const struct tb_error *err);
void writer_keep_books(struct writer *w, writer_seen_fn *fn, void *arg);

struct writer *writer_start(struct loop *loop, const struct writer_env *env,
    struct tb_error *err);
/* Writes out everything queued, runs no done, joins the thread. */
void writer_stop(struct writer *w);

/* rec's pointers are taken. Never fails: errors come to done. done may be
 * NULL; there is nothing to forget then, and NULL is returned. */
struct writer_item *writer_put(struct writer *w, struct writer_rec *rec,
    writer_done_fn *done, void *arg);
/* A WRITER_LINE of which the bytes are only borrowed: one allocation. A line
 * that is neither durable nor has a done may wait some 20 ms for company, and
 * is dropped (and counted as lost) when the disk has stalled for so long that
 * WRITER_BACKLOG_MAX bytes wait. */
struct writer_item *writer_put_line(struct writer *w, const char *text,
    size_t len, bool durable, writer_done_fn *done, void *arg);
#define WRITER_BACKLOG_MAX ((size_t)32 << 20)
/* Half of that waits: who can say no to what would add to it does, so that the
 * rest is there for what cannot be left out. */
bool writer_is_behind(const struct writer *w);
/* Writes nothing; done gets this error, in its turn. For callers that promise
 * to fail through done only. */
struct writer_item *writer_put_error(struct writer *w,
    const struct tb_error *why, writer_done_fn *done, void *arg);
/* done will not run (its object went away); the write goes on. *item may be
 * NULL and is cleared. */
void writer_forget(struct writer_item **item);

/* 0, or -1 with the last error while the disk refuses. */
int writer_health(const struct writer *w, struct tb_error *err);
void writer_get_stats(const struct writer *w, struct writer_stats *out);
/* fn runs on the loop when writer_health has changed. One watcher. */
void writer_watch(struct writer *w, void (*fn)(void *arg), void *arg);
/* The state directory, for reading at start (borrowed). */
int writer_state_dirfd(const struct writer *w);
/* As records_set_mark. */
void writer_set_mark(struct writer *w, const char *run_path,
    const char *log_path, const char *state, uint64_t list, uint64_t highest);

/* So many bytes of a torn last line (by a crash) were cut off at start and
 * moved beside the log; 0: none. *behind_seq: the line they followed. */
size_t writer_torn(const struct writer *w, uint64_t *behind_seq);
#define WRITER_TORN_FILE "audit.jsonl.torn"

/* The key that signs the log's checkpoints; taken. */
void writer_put_key(struct writer *w, struct checkpoint_key *key);
/* Signs the end of the chain, behind all that was put before. done as for
 * writer_put; the line is writer_get_trail's then, or an even newer one. */
struct writer_item *writer_put_checkpoint(struct writer *w,
    writer_done_fn *done, void *arg);
void writer_get_trail(const struct writer *w, struct writer_trail *out);
void writer_trail_clear(struct writer_trail *t);

/* fn runs on the loop with the lines that are events (state/eventlog.h) and
 * have become durable, each with its newline, in their order; with none when
 * writer_health has changed. One watcher; NULL ends it. */
typedef void writer_events_fn(void *arg, const char *lines, size_t len);
void writer_watch_events(struct writer *w, writer_events_fn *fn, void *arg);
/* The watcher was told of all events up to this line. */
uint64_t writer_events_seq(const struct writer *w);
/* Older ones, from the files: eventlog_read. slice is taken, stays readable
 * until done has returned, and is freed then. */
struct writer_item *writer_put_read(struct writer *w,
    struct eventlog_slice *slice, writer_done_fn *done, void *arg);
