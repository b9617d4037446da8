/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * writer_int - what the two halves of the writer share: writer.c, which is the
 * loop thread's, and writer_thread.c.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/strbuf.h"
#include "base/tb_error.h"
#include "state/trail.h"
#include "state/writer.h"

struct checkpoint_key;
struct loop_waker;

#define WRITER_LINGER_BYTES ((size_t)256 << 10)
/* A line that is longer has a batch of its own. */
#define WRITER_BATCH_BYTES ((size_t)64 << 10)
#define WRITER_SPARE_MAX 8

enum item_kind {
	ITEM_RECORD, ITEM_DELETE, ITEM_CHANGE, ITEM_TEXT, ITEM_LINE,
	ITEM_ERROR,
	ITEM_KEY, ITEM_CHECKPOINT, ITEM_READ,
};

/* What only records have. */
struct item_record {
	uint64_t version;
	char *room_for;
	size_t room;
	bool is_list;
	records_change_fn *change;
	void *change_arg;
	void (*change_release)(void *arg);
	bool seen;
};

struct writer_item {
	struct writer_item *next;
	enum item_kind kind;
	bool durable, anonymous;
	char *name;
	unsigned char *bytes; /* owned, or the end of this allocation */
	size_t len;
	size_t lines; /* of ITEM_LINE; the others count as one */
	bool is_batch; /* each of the lines ends with a newline */
	struct item_record rec;
	struct checkpoint_key *key; /* ITEM_KEY: owned until it is run */
	struct eventlog_slice *slice; /* ITEM_READ: owned */
	struct tb_error *err; /* owned; NULL: all went well */
	writer_done_fn *done; /* the loop thread's */
	void *arg;
};

struct item_list {
	struct writer_item *head, **end;
};

enum writer_state { WRITER_BUSY, WRITER_IDLE, WRITER_LINGERING };

struct writer {
	int state_dirfd, log_dirfd;
	struct loop_waker *waker;
	pthread_t thread;
	bool started, delivering;
	size_t torn;
	uint64_t torn_behind;

	/* the writer thread's */
	struct trail *trail;
	struct records *records;
	struct tb_error line_err, record_err; /* how it went last */
	uint64_t failed, lost_in_group;
	int64_t probe_ms; /* no look before at a state directory that failed */
	uint64_t view_version; /* of what is shown; 0: nothing yet */

	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* under lock */
	enum writer_state state;
	struct item_list queue, finished;
	struct writer_item *batch; /* at the end of the queue, to be added to */
	struct writer_item *spare; /* batches to be filled again */
	unsigned n_spare;
	size_t queue_bytes;
	bool urgent, stop;
	struct writer_stats stats;
	struct tb_error health;
	struct writer_trail shown;
	struct strbuf events; /* not told yet */
	uint64_t synced_seq; /* the last durable line */
	bool health_changed;

	/* the loop thread's */
	writer_seen_fn *seen;
	void *seen_arg;
	writer_events_fn *events_fn;
	void *events_arg;
	uint64_t events_told; /* up to this line */
	void (*watch)(void *arg);
	void *watch_arg;
};

void writer_list_init(struct item_list *l);
void writer_list_append(struct item_list *l, struct writer_item *it);
void writer_list_free(struct item_list *l);
/* The first failure stays. */
void writer_item_fail(struct writer_item *it, const struct tb_error *err);

/* What writer_get_trail gives, as it is now. Under lock, or before there is a
 * thread. */
void writer_show_trail(struct writer *w);
/* The thread. */
void *writer_main(void *writer);
