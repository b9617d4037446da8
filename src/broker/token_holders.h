/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * token_holders - the part of a token that knows who holds it: in memory, and
 * in a record of its own; and what a holder last complained of. For the files
 * of a token.
 */
#include "broker/holder.h"
#include "broker/holders.h"
#include "lib/loop.h"

struct principal;
struct token;
struct writer_item;

/* What our own look at a value came to that a holder complained of. As it is
 * written in the record: only add at the end. */
enum token_check {
	TOKEN_CHECK_PENDING,
	TOKEN_CHECK_REFUSED, /* the service refuses it */
	TOKEN_CHECK_WORKS,
	TOKEN_CHECK_UNCLEAR, /* no clear answer */
	TOKEN_CHECK_NONE,    /* it was not looked: no probe, or no use */
	TOKEN_N_CHECKS,
	TOKEN_CHECK_RECENT,  /* looked into less than a minute ago */
};

struct token_rejection {
	char by[HOLDER_NAME_SIZE];
	uint64_t generation; /* 0: there was none */
	int64_t at;
	enum token_check outcome;
};

/* Read from the record, for the generations that are to come. */
struct token_past {
	uint64_t generation;
	int64_t at;
};

struct token_held {
	struct holders all;
	struct token_rejection rejection;
	struct loop_timer save;
	struct writer_item *item;
	int64_t put_ms; /* boot time when item was queued */
	int64_t swept_ms;
	bool known;    /* the records of the state were taken up */
	bool stored;   /* there is a record, */
	bool complete; /* ... and nobody has what it does not name */
	bool dirty;    /* it is older than what is here */
	struct token_past *past;
	size_t n_past;
};

void token_held_init(struct token *t);
void token_held_stop(struct token *t);
void token_held_clear(struct token *t);
/* After all records. */
void token_held_activate(struct token *t);
/* Another generation is released from now on. changed: others are superseded
 * than before. */
void token_held_current(struct token *t, bool changed);
/* The generation is out of the list. */
void token_held_drop(struct token *t, uint64_t generation);

/* who NULL: the daemon itself. */
void token_note_rejection(struct token *t, uint64_t generation,
    const struct principal *who, enum token_check outcome);
void token_rejection_checked(struct token *t, uint64_t generation,
    enum token_check outcome);
const char *token_check_name(enum token_check outcome);
