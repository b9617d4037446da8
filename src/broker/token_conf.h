/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * token_conf - one [token NAME] of the configuration: the recipe of a token.
 * Filled by conf, immutable.
 */
#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"

enum token_on_grant_loss {
	TOKEN_LOSS_SERVE,
	TOKEN_LOSS_WITHHOLD,
	TOKEN_LOSS_REVOKE,
};

/* Between the name of a recipe and its holder's; in no name of a recipe. */
#define TOKEN_OF '@'
/* The same for a lease, which a number and a holder follow. No holder's name
 * begins so. */
#define TOKEN_LEASE "@lease:"

struct token_conf {
	char *name;
	char *where; /* "file:line" of its section */
	const struct backend_conf *backend; /* borrowed from the same conf */
	struct backend_recipe recipe;
	char *description;        /* goes in front of the nonce */
	int64_t lifetime_ms;      /* mandatory, <= max_lifetime */
	int64_t renew_before_ms;  /* 1/3 of lifetime when not set */
	bool probe;               /* probe = auto (true) or none */
	int64_t activate_after_ms; /* with probe = none: wait this long */
	enum token_on_grant_loss on_grant_loss;
	bool revoke_superseded; /* when_moved (true) or never */
	int64_t overlap_ms;     /* with it: not before */
	bool hard_overlap;      /* ... and then, whoever uses it */
	bool update; /* on_change = update: living values are changed */
	bool per_holder;        /* each holder has a value of its own ... */
	unsigned max_holders;   /* ... and so many may */
	unsigned leases;         /* values of one run each, at a time */
	unsigned mints_per_hour; /* of the recipe; 0: only the broker's counts */
	/* An end that no renewal comes before is told so long before it;
	 * longest first. */
	int64_t announce_ms[8];
	size_t n_announce;
};
