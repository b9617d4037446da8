/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * holdings - what a log says about who holds what: each generation of each
 * token with its life and the principals it was released to; and what became
 * of logins. Fed with lines; memory grows with generations and holders, not
 * with releases.
 *
 * A release counts from its `authorised` line on. A `withheld` for the same
 * request takes it back: nothing left the host. One without an outcome (a
 * crash, or it is still under way) counts as a release that is not confirmed,
 * since the value may have left.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct filter;
struct holdings;
struct scan;

enum held_state {
	HELD_LIVE,
	HELD_REVOKING,  /* not released any more, the service not yet done */
	HELD_FORGOTTEN, /* the service cannot revoke: lives to its expiry */
	HELD_EXPIRED,
	HELD_REVOKED,
};

struct holder {
	char *unit;     /* NULL: none, or a container */
	char *strength; /* of unit */
	char *delivery; /* of the newest release that says one */
	bool container;
	uint32_t uid, gid;
	int64_t first, last; /* seconds since the epoch */
	uint64_t releases;
	uint64_t unconfirmed; /* of them */
	bool matched;   /* by held_match */
};

struct held {
	char *token, *token_id, *fingerprint, *backend, *login, *human;
	uint64_t generation;
	int64_t minted, expires; /* 0: not in this log; not known */
	int64_t revoked;
	bool imported, revoking, forgotten;
	struct holder **holder; /* by first release */
	size_t n_holders;
	void *holders; /* tree of them */
	/* what holdings_approval found, among how many events; 0: none yet */
	long approval;
	size_t approval_of;
};

struct login_event {
	char *event, *login, *human, *reason;
	int64_t time;
};

/* login: only this one's events are kept; NULL: none are. */
struct holdings *holdings_new(const char *login);
struct holdings *holdings_new_every_login(void);
void holdings_free(struct holdings *h);
void holdings_take(struct holdings *h, const struct scan *s);

/* In the order in which they turned up. */
size_t holdings_count(const struct holdings *h);
struct held *holdings_at(const struct holdings *h, size_t i);
size_t holdings_n_events(const struct holdings *h);
const struct login_event *holdings_event(const struct holdings *h, size_t i);

/* The approval that paid for g, as the number of its event: the last one before
 * it was minted. -1: it is not in the log. */
long holdings_approval(const struct holdings *h, struct held *g);

/* When its value was of no use any more, or will be: INT64_MAX where nobody
 * said so. */
int64_t held_end(const struct held *g);
enum held_state held_state(const struct held *g, int64_t at);
const char *held_state_name(enum held_state state);
/* Somebody could use it. */
bool held_is_alive(enum held_state state);
/* Marks the holders that unit, uid and since of a filter ask for; false: none. */
bool held_match(struct held *g, const struct filter *f);
