/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * holders - who was given which generations of one token, as far as that may
 * matter: what is over is not kept (the audit log has it). A value without
 * I/O; broker/token_holders keeps it, and on disk.
 *
 * It answers one question: may somebody still use an old generation? Whatever
 * is not known is a yes.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tb_error;

/* Pairs of holder and generation, of one token. */
#define HOLDERS_MAX 512
#define HOLDERS_RUN_SIZE 33 /* 32 hexadecimal digits: systemd's invocation */

/* What a holder does with a value, from the least lasting on. */
enum holding_kind {
	HOLDING_FETCHED, /* asks again, and uses the newest that it got */
	HOLDING_RUN,     /* static: kept for as long as it runs (credential,
	                  * environment, memory file) */
	HOLDING_KEPT,    /* static, and outlives it (file), or said a word that
	                  * we do not know */
};

struct holding {
	uint64_t generation;
	int64_t first, last; /* epoch seconds; last: as far as noted */
	unsigned doors;      /* a bit for each, by counts_index */
	enum holding_kind kind;
	char run[HOLDERS_RUN_SIZE]; /* of the unit, "": not known */
};

struct holder {
	char *name;      /* holder_name() */
	uint64_t newest; /* generation that it was given last */
	struct holding *held; /* by generation, the newest first */
	size_t n_held;
};

/* About one generation. */
struct holders_about {
	uint64_t generation;
	bool unsure;   /* others may have it: a crash, a copied state */
	uint64_t more; /* first releases to others, for whom there was no room */
};

struct holders {
	struct holder *holder; /* by name */
	size_t n;
	size_t n_pairs;
	struct holders_about *about; /* of those with something to be said */
	size_t n_about;
};

struct holders_release {
	const char *name;
	uint64_t generation;
	unsigned door; /* counts_index */
	enum holding_kind kind;
	const char *run; /* NULL: not known */
	int64_t now_s;
};

/* That run of that unit is over, for sure. */
typedef bool holders_over_fn(const char *unit, const char *run);

void holders_clear(struct holders *h);
/* True: it is news, more than that somebody asked again. */
bool holders_note(struct holders *h, const struct holders_release *r);
void holders_forget_generation(struct holders *h, uint64_t generation);
/* All but those that are there. */
typedef bool holders_there_fn(void *arg, uint64_t generation);
void holders_keep_only(struct holders *h, holders_there_fn *there, void *arg);
/* Those that hold nothing any more because they run no more. over NULL: that
 * is never known. */
void holders_forget_over(struct holders *h, holders_over_fn *over);
/* Who else has it is not known. */
void holders_are_unsure(struct holders *h, uint64_t generation);

/* Why the generation may still be in use, as a text for people; NULL: all who
 * have it were given a newer one, or are gone. Owned by the caller. */
char *holders_why_needed(const struct holders *h, uint64_t generation,
    holders_over_fn *over);
/* How many were given it, whether they run or not. */
size_t holders_count(const struct holders *h, uint64_t generation);

/* boot: the id of this boot, "" when it is not known. complete: nobody has
 * been given anything that is not in here. */
void holders_encode(const struct holders *h, const char *boot, bool complete,
    json_t *o);
/* Into an empty one. What a reboot ends is left out when that was another
 * boot. */
int holders_decode(struct holders *h, const json_t *o, const char *boot,
    bool *complete, struct tb_error *err);
/* "holders" and what goes with it, of one generation. */
void holders_status(const struct holders *h, uint64_t generation,
    holders_over_fn *over, json_t *o);
