/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * follow - asks the daemon for what is new, has it delivered, and only then
 * moves the cursor: an event is told at least once, after a crash in between
 * twice (with the same id). What cannot be delivered is written to standard
 * error in the end, so that one dead receiver does not hide all that follows.
 */
#include <stdbool.h>
#include <stdint.h>

#include "ctl/client.h"
#include "events/book.h"
#include "events/deliver.h"
#include "events/tell.h"

struct follow {
	struct client client;
	struct book book;
	struct deliver deliver;
	const char *types; /* NULL: all */
	const char *since; /* RFC 3339; older ones are not told; or NULL */
	int64_t remind_s;  /* 0: never */
	unsigned tries;
	bool once; /* ends when there is nothing new */
	bool waiting; /* for the daemon: it was said */
	bool dead;    /* something was given up */
	bool kept;    /* the cursor was, in its file, at least once */
	bool unkept;  /* the newest could not be */
};

enum tell_exit follow_run(struct follow *f);
