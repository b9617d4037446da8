/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * generation - one minted value of a token, and its sealed form. A value with
 * a place in its token's list; no I/O here.
 */
#include <jansson.h>
#include <sys/queue.h>

#include "base/secret.h"
#include "broker/token_conf.h"

struct seal;
struct tb_error;

enum generation_state {
	GENERATION_PROBING,  /* minted, not seen to work yet */
	GENERATION_READY,    /* may be released */
	GENERATION_REJECTED, /* the service refuses it; kept until its expiry */
	GENERATION_REVOKING, /* never released again */
};

struct generation {
	TAILQ_ENTRY(generation) link;
	uint64_t number;
	enum generation_state state;
	struct secret value;
	char fingerprint[17];
	unsigned char sha256[32];
	char *id;      /* upstream, NULL when unknown */
	char *nonce;   /* that of its intent, NULL: none */
	char *backend; /* name, as configured when it was minted */
	char *login, *human; /* NULL: not paid by a login */
	char *recipe;  /* generation_recipe() it was minted by */
	bool imported;
	bool endless; /* its service does not end it: we do, and forget it then */
	int64_t disabled_at; /* epoch seconds, 0: it still works there */
	int64_t minted_at, expires_at; /* epoch seconds */
	int64_t announced_s; /* its end was told so long before it, 0: not */

	/* not kept over a restart */
	int64_t until_boot_ms; /* expires_at by the clock that nobody sets, as
	                        * it looked when the value was made or read; 0:
	                        * the wall clock was wrong even then */
	int64_t checked_ms; /* boot time of the last probe after `rejected` */
	int64_t rejected_at;
	int64_t born_ms;       /* boot time when minted, 0: in an earlier run */
	int64_t superseded_at; /* epoch seconds, 0: it is the newest; kept with
	                        * the holders (broker/token_holders) */
	int64_t superseded_ms; /* the same by boot time */
	int64_t missing_ms;    /* boot time of the first list without it */
	int64_t missing_since; /* epoch seconds; told, not before two lists */
};
TAILQ_HEAD(generations, generation);

struct generation *generation_new(uint64_t number);
void generation_free(struct generation *g); /* NULL is fine */
/* value is taken; fingerprint and hash follow from it. */
void generation_set_value(struct generation *g, struct seal *seal,
    struct secret *value);


/*
 * Its end is a wall clock time, and that clock may be set wrong for a while.
 * So the time left is reckoned twice: by the wall clock, and by how long the
 * machine has been up since the value was made or read. It is released as
 * long as one of the two gives it time (a value that works is not dropped
 * because somebody set a clock), and renewed as soon as one says so.
 */
/* When minted_at and expires_at are set, once. */
void generation_start_clock(struct generation *g);
/* Seconds by the more and by the less generous of the two. */
int64_t generation_left_s(const struct generation *g);
int64_t generation_left_least_s(const struct generation *g);

/* Was it minted as this kind of token? */
bool generation_is_kind(const struct generation *g, enum backend_kind kind);

/* What a value was minted for, as one line of text: a generation of another
 * recipe is replaced. Owned by the caller. */
char *generation_recipe(const struct token_conf *tc);

void generation_encode(const struct generation *g, struct secret *out);
struct generation *generation_decode(const struct secret *in,
    struct seal *seal, struct tb_error *err);
json_t *generation_status(const struct generation *g);
