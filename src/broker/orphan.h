/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * orphan - what is remembered of one service's list, over restarts: values
 * with our mark that nobody here knows, and values of ours that are over but
 * that a service may go on listing. A value with its sealed form; no I/O.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "broker/intent.h"

struct tb_error;

#define ORPHANS_MAX 256
#define RETIRED_MAX 1024

struct orphan {
	char *id; /* upstream */
	struct intent_mark mark;
	enum backend_kind kind; /* of the list it is in */
	int64_t created_at; /* as the service says, 0: it does not */
	int64_t first_seen; /* epoch seconds */
	bool former; /* marked with our number of before: never revoked */
	int64_t revoked_at; /* 0: not; the service agreed then, and is not
	                     * asked again even if it lists it for ever */
	/* not kept over a restart */
	int64_t first_ms; /* boot time; 0: in an earlier run */
	bool seen;        /* in the present look */
	bool refused;     /* ... the service would not revoke it */
};

struct retired {
	char nonce[INTENT_NONCE_LEN + 1];
	char *id; /* NULL: any of this nonce */
	/* not kept over a restart */
	int64_t since_ms; /* boot time; 0: in an earlier run */
	bool seen;
};

struct orphan_book {
	struct orphan *orphans;
	size_t n_orphans, n_untold; /* untold: no room was left for them */
	struct retired *retired; /* oldest first */
	size_t n_retired;
	bool changed; /* since it was encoded */
};

/* NULL: not in the book. */
struct orphan *orphan_find(struct orphan_book *b, const char *id);
/* NULL when there is no room. id and mark are copied. */
struct orphan *orphan_add(struct orphan_book *b, const char *id,
    const struct intent_mark *mark);
/* From one book into another, as it is. False: there is no room. */
bool orphan_move(struct orphan_book *from, struct orphan_book *to,
    struct orphan *o);
/* How many are alive, as far as known. */
size_t orphan_count(const struct orphan_book *b);

/* A value of ours is over: seen in a list, it is no orphan. nonce NULL: never
 * marked, nothing to remember. */
void orphan_retire(struct orphan_book *b, const char *nonce, const char *id);
struct retired *orphan_find_retired(struct orphan_book *b, const char *nonce,
    const char *id);

/* Before a look, and after a complete one that was begun at began_ms: what is
 * not listed any more is forgotten. */
void orphan_look_begins(struct orphan_book *b);
void orphan_look_ends(struct orphan_book *b, int64_t began_ms);

void orphan_encode(struct orphan_book *b, struct secret *out);
int orphan_decode(const struct secret *in, struct orphan_book *b,
    struct tb_error *err);
json_t *orphan_status(const struct orphan_book *b);
void orphan_clear(struct orphan_book *b);
