/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * trail_int - what trail.c (lines and time) shares with trail_files.c (the
 * key's announcement and the older files).
 */
#include "base/strbuf.h"
#include "state/audit_line.h"
#include "state/trail.h"

struct journal;
struct segment;

struct trail {
	struct trail_env env;
	struct segment *segment;
	struct audit_line line; /* this thread's own */
	struct strbuf buf;      /* used again for each line of ours */

	struct checkpoint_key *key;
	bool announced; /* the key's line is in the log */
	bool published; /* its public part is in audit.pub */
	uint64_t signed_seq;         /* the last checkpoint added */
	uint64_t flushed_signed_seq; /* ... as of the last flush */
	char *made;                  /* a checkpoint that is not durable yet */
	uint64_t made_seq;
	int64_t due_ms; /* when one is due; 0: nothing is new */

	int64_t rotate_ms; /* no rotation is tried before */
	uint64_t seen_files;
	bool tidy; /* there is a new file: look at the old ones */

	struct journal *journal;
	struct strbuf mirror; /* lines for it */

	struct strbuf events; /* that are written, whether durable or not */

	/* what is shown */
	uint64_t version; /* from 1 */
	char *shown;
	struct strbuf keys, files;
};

/* Into t->buf: `{"time":...,"boot":...,"event":"NAME"`. */
void trail_begin_line(struct trail *t, enum audit_event event);
void trail_add_checkpoint(struct trail *t, const char *reason);

/* Says in the log and in audit.pub which key signs from now on. */
int trail_announce(struct trail *t, struct tb_error *err);
void trail_publish(struct trail *t);
/* The names for the view. */
void trail_list_files(struct trail *t);
/* After a new file: the names, and those that must go. As trail_tick. */
bool trail_tidy(struct trail *t, struct tb_error *err);
